//! The rules that end a search: as declared, as merged, and as part of what is asked.

use proptest::prelude::*;

use super::{PIPELINE, and, changed, planned};
use crate::plan::{KnownShare, Plan, Recheck, Search, StopRules};
use crate::spec::words::Filter;

const DAY_S: u64 = 86_400;

/// The pipeline with these rules.
fn ruled(rules: &str) -> Plan {
    planned(&changed(
        "max: 3",
        &format!("max: 3, stop_when: {{{rules}}}"),
    ))
}

fn rules(declared: &str) -> StopRules {
    ruled(declared).searches[0].stop_when.clone()
}

fn known(share: f64, within_s: u64) -> Option<KnownShare> {
    Some(KnownShare {
        share,
        within_s,
        recheck: None,
    })
}

/// How far a search is paged that two entries ask for.
fn merged(one: &str, other: &str) -> Search {
    let first = changed("max: 3", &format!("max: {one}"));
    let second =
        format!("  - {{endpoint: note_search, keywords: [brands], pages: {{max: {other}}}}}");
    let plan = planned(&format!("{first}{second}\n"));
    assert_eq!(plan.searches.len(), 2, "each keyword is searched for once");
    plan.searches[1].clone()
}

#[test]
fn a_search_ends_at_an_empty_page_unless_it_is_told_otherwise() {
    let default = StopRules {
        empty: true,
        short_page: None,
        known: None,
        older_than_s: None,
    };
    assert_eq!(planned(PIPELINE).searches[0].stop_when, default);
    assert_eq!(rules(""), default);
    assert_eq!(StopRules::default(), default);
    let never = StopRules {
        empty: false,
        ..default
    };
    assert_eq!(rules("empty: false"), never);
}

#[test]
fn rules_are_what_is_declared() {
    let all = "known_share: 0.9, known_within: 2d, short_page: 15, empty: false, older_than: 1w";
    let newest = changed("max: 3", &format!("max: 3, stop_when: {{{all}}}"))
        .replace("pages:", "filters: {sort: newest}\n    pages:");
    let rules = StopRules {
        empty: false,
        short_page: Some(15),
        known: known(0.9, 2 * DAY_S),
        older_than_s: Some(7 * DAY_S),
    };
    assert_eq!(planned(&newest).searches[0].stop_when, rules);
    let recheck = self::rules("known_share: 1, recheck: {every: 1d, pages: 2}").known;
    let declared = Recheck {
        every_s: DAY_S,
        pages: 2,
    };
    assert_eq!(recheck.and_then(|rule| rule.recheck), Some(declared));
    // What was found in the last week is known.
    assert_eq!(self::rules("known_share: 1").known, known(1.0, 7 * DAY_S));
}

#[test]
fn older_than_ends_only_searches_that_begin_with_the_newest() {
    let both = changed("max: 3", "max: 3, stop_when: {older_than: 1d}")
        .replace("pages:", "filters: {sort: [general, newest]}\n    pages:");
    let plan = planned(&both);
    let ages: Vec<_> = plan
        .searches
        .iter()
        .map(|s| (s.filters[&Filter::Sort].as_str(), s.stop_when.older_than_s))
        .collect();
    let pair = [("general", None), ("newest", Some(DAY_S))];
    assert_eq!(ages, [pair, pair].concat());
}

#[test]
fn two_entries_that_ask_the_same_keep_their_own_rules() {
    let search = merged("3", "7");
    assert_eq!(search.max_pages, 7);
    let pages: Vec<u32> = search.depths().iter().map(|d| d.max_pages).collect();
    assert_eq!(pages, [3, 7]);
    let search = merged("1", "6, stop_when: {known_share: 0.5}");
    let rules: Vec<_> = search
        .depths()
        .into_iter()
        .map(|d| d.stop_when.known)
        .collect();
    assert_eq!(rules, [None, known(0.5, 7 * DAY_S)]);
    // The same wish twice is one wish.
    assert_eq!(merged("3", "3").wishes, []);
}

#[test]
fn limits_prices_and_budgets_do_not_change_search_ids() {
    let hash = planned(PIPELINE).hash;
    let same = [
        "limits: {requests_per_second: 9, burst: 2, concurrency: 1, retries: 0}\n",
        "limits: {on_unknown_outcome: retry_once}\n",
        "limits: {requests_per_run: 5, requests_per_day: 6, max_answer_mib: 1}\n",
        "price: {note_search: 0.10, currency: CNY}\n",
        "limits: {cost_per_run: 1, cost_per_day: 2}\nprice: {note_search: 1, currency: CNY}\n",
        "resume_within: 1h\n",
        "timezone: UTC\n",
        "load: {lake: elsewhere, compression: snappy}\n",
    ];
    for more in same {
        assert_eq!(planned(&and(more)).hash, hash, "{more}");
    }
    // The default said aloud is the same question.
    assert_eq!(ruled("empty: true").hash, hash);
    assert_eq!(
        ruled("known_share: 0.9").hash,
        ruled("known_share: 0.9, known_within: 1w").hash
    );
}

#[test]
fn rules_and_follow_ups_are_part_of_what_is_asked() {
    let details = |rest: &str| {
        let notes = format!("found_by: note_search, top: 5, by: liked_count{rest}");
        planned(&and(&format!(
            "  - {{endpoint: note_detail, source: {{name: xhs_open}}, notes: {{{notes}}}}}\n"
        )))
    };
    let plans = [
        planned(PIPELINE),
        ruled("empty: false"),
        ruled("short_page: 10"),
        ruled("short_page: 11"),
        ruled("known_share: 0.9"),
        ruled("known_share: 0.8"),
        ruled("known_share: 0.9, known_within: 1d"),
        ruled("known_share: 0.9, recheck: {every: 1d, pages: 2}"),
        ruled("known_share: 0.9, recheck: {every: 1d, pages: 3}"),
        ruled("known_share: 0.9, recheck: {every: 2d, pages: 3}"),
        details(""),
        details(", seen_within: 1d"),
        details(", seen_within: 2d"),
        details(", not_refreshed_for: 1d"),
        details(", seen_within: 1d, not_refreshed_for: 1d"),
    ];
    let mut hashes: Vec<&str> = plans.iter().map(|plan| plan.hash.as_str()).collect();
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), plans.len());
    // But the id of a search stays, whatever ends it.
    let ids = |plan: &Plan| super::ids(plan).join(" ");
    assert!(plans.iter().all(|plan| ids(plan) == ids(&plans[0])));
}

#[test]
fn follow_ups_may_look_back() {
    let plan = planned(&and("  - endpoint: note_detail
    source: {name: xhs_open}
    notes: {found_by: note_search, top: 5, by: liked_count, seen_within: 1w, not_refreshed_for: 12h}
"));
    let follow_up = &plan.follow_ups[0];
    assert_eq!(follow_up.seen_within_s, Some(7 * DAY_S));
    assert_eq!(follow_up.not_refreshed_for_s, Some(DAY_S / 2));
}

fn any_rules() -> impl Strategy<Value = StopRules> {
    // As people write shares.
    let share = (1_u32..=1_000).prop_map(|thousandths| f64::from(thousandths) / 1e3);
    let recheck = (1_u64..9, 2_u32..9);
    let recheck = recheck.prop_map(|(every_s, pages)| Recheck { every_s, pages });
    let known = (share, 1_u64..9, prop::option::of(recheck));
    (
        any::<bool>(),
        prop::option::of(1_u32..9),
        prop::option::of(known),
        prop::option::of(1_u64..9),
    )
        .prop_map(|(empty, short_page, known, older_than_s)| StopRules {
            empty,
            short_page,
            known: known.map(|(share, within_s, recheck)| KnownShare {
                share,
                within_s,
                recheck,
            }),
            older_than_s,
        })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// However many entries ask the same, and in whatever order.
    #[test]
    fn rules_are_read_back_from_a_page(rules in any_rules()) {
        let text = serde_json::to_string(&rules).expect("JSON");
        prop_assert_eq!(serde_json::from_str::<StopRules>(&text).expect("rules"), rules);
    }
}
