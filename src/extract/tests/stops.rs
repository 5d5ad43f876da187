//! The rules that end a search, each alone and against each other.

use std::collections::HashSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use proptest::prelude::*;

use super::{endpoint, search};
use crate::extract::envelope::PageSummary;
use crate::extract::pager::{KnownItems, Pager, StopReason};
use crate::plan::{Depth, KnownShare, Search, StopRules};

const MANY: u32 = 1_000;
const DAY_S: u64 = 86_400;

fn snapshot_at() -> DateTime<Utc> {
    "2026-03-09T04:00:00Z".parse().expect("a time")
}

/// The instant that is so many seconds before the run's logical time.
fn ago(seconds: u64) -> i64 {
    snapshot_at().timestamp() - seconds as i64
}

/// A search with these rules; earlier runs found the notes `known`.
fn pager(stop_when: StopRules, max_pages: u32, known: &[&str]) -> Pager {
    let search = Search {
        max_pages,
        stop_when,
        ..search(&[])
    };
    let known: HashSet<String> = known.iter().map(|id| id.to_string()).collect();
    let endpoint = endpoint("justoneapi", "note_search");
    Pager::new(search, endpoint, snapshot_at(), known_ids(known))
}

/// Ids that earlier runs found; no recheck is due.
fn known_ids(ids: HashSet<String>) -> KnownItems {
    KnownItems {
        ids: Arc::new(ids),
        due: Vec::new(),
    }
}

fn items(ids: &[&str]) -> PageSummary {
    PageSummary {
        item_count: ids.len() as u64,
        ids: ids.iter().map(|id| id.to_string()).collect(),
        published: Vec::new(),
    }
}

fn cards(item_count: u64) -> PageSummary {
    PageSummary {
        item_count,
        ..PageSummary::default()
    }
}

fn published(published: &[i64]) -> PageSummary {
    PageSummary {
        item_count: published.len() as u64,
        ids: Vec::new(),
        published: published.to_vec(),
    }
}

fn none() -> StopRules {
    StopRules {
        empty: false,
        ..StopRules::default()
    }
}

fn known(share: f64) -> StopRules {
    StopRules {
        known: Some(KnownShare {
            share,
            within_s: 1,
            recheck: None,
        }),
        ..StopRules::default()
    }
}

fn older_than(seconds: u64) -> StopRules {
    StopRules {
        older_than_s: Some(seconds),
        ..StopRules::default()
    }
}

/// Why the search stops after these pages, one a letter: the last page's reason.
fn after(mut pager: Pager, pages: &[PageSummary]) -> Option<StopReason> {
    let (last, before) = pages.split_last().expect("a page");
    for page in before {
        assert_eq!(pager.advance(page).1, None, "{page:?}");
    }
    pager.advance(last).1
}

#[test]
fn a_short_page_is_the_last() {
    let rules = |n| StopRules {
        short_page: Some(n),
        ..StopRules::default()
    };
    assert_eq!(after(pager(rules(20), MANY, &[]), &[cards(20)]), None);
    let short = after(pager(rules(20), MANY, &[]), &[cards(20), cards(19)]);
    assert_eq!(short, Some(StopReason::ShortPage));
    let one = after(pager(rules(1), MANY, &[]), &[cards(1), cards(0)]);
    assert_eq!(one, Some(StopReason::Empty));
    // Where an empty page is no end of its own, it has fewer items all the same.
    let rules = StopRules {
        empty: false,
        ..rules(20)
    };
    let pages = [cards(20), cards(0)];
    assert_eq!(
        after(pager(rules, MANY, &[]), &pages),
        Some(StopReason::ShortPage)
    );
}

#[test]
fn an_empty_page_may_be_no_end() {
    let pages = [cards(0), cards(20), cards(0), cards(20)];
    assert_eq!(after(pager(none(), MANY, &[]), &pages), None);
    let last = after(pager(none(), 4, &[]), &pages);
    assert_eq!(last, Some(StopReason::MaxPages));
    // Two in a row bring nothing new.
    let pages = [cards(20), cards(0), cards(0)];
    let circles = after(pager(none(), MANY, &[]), &pages);
    assert_eq!(circles, Some(StopReason::Repeated));
}

#[test]
fn a_page_that_repeats_the_last_ends_every_search() {
    let pages = [items(&["a", "b"]), items(&["a", "b"])];
    let repeated = after(pager(none(), MANY, &[]), &pages);
    assert_eq!(repeated, Some(StopReason::Repeated));
    // Also in another order, with cards between, and with a note twice.
    let shuffled = PageSummary {
        item_count: 5,
        ..items(&["b", "a", "b"])
    };
    let pages = [items(&["a", "b"]), shuffled];
    let repeated = after(pager(none(), MANY, &[]), &pages);
    assert_eq!(repeated, Some(StopReason::Repeated));
}

#[test]
fn a_similar_page_is_not_a_repetition() {
    let cases: [&[PageSummary]; 5] = [
        // A part of the last page.
        &[items(&["a", "b"]), items(&["a"])],
        // A page before the last.
        &[items(&["a"]), items(&["b"]), items(&["a"])],
        // A page of cards lies between.
        &[items(&["a"]), cards(1), items(&["a"])],
        // What has no ids cannot be told apart.
        &[cards(2), cards(2), cards(2)],
        &[items(&["a", "b"]), items(&["a", "c"])],
    ];
    for pages in cases {
        assert_eq!(after(pager(none(), MANY, &[]), pages), None, "{pages:?}");
    }
}

#[test]
fn the_second_page_in_a_row_without_anything_new_ends_a_search() {
    // A feed that begins anew: every page differs from the one before.
    let again = [
        items(&["a", "b"]),
        items(&["c", "d"]),
        items(&["b", "a"]),
        items(&["d", "c"]),
    ];
    assert_eq!(after(pager(none(), MANY, &[]), &again[..3]), None);
    assert_eq!(
        after(pager(none(), MANY, &[]), &again),
        Some(StopReason::Repeated)
    );
    // Something new in between, or a page of cards, begins the count anew.
    let news = [
        items(&["a"]),
        items(&["b"]),
        items(&["a"]),
        items(&["a", "c"]),
        items(&["b"]),
    ];
    assert_eq!(after(pager(none(), MANY, &[]), &news), None);
    let cards = [
        items(&["a"]),
        items(&["b"]),
        items(&["a"]),
        cards(1),
        items(&["b"]),
    ];
    assert_eq!(after(pager(none(), MANY, &[]), &cards), None);
}

#[test]
fn a_search_shared_by_two_entries_continues_while_one_needs_pages() {
    let shallow = Depth {
        max_pages: 1,
        stop_when: none(),
    };
    let new_only = Depth {
        max_pages: 6,
        stop_when: known(0.5),
    };
    let with_both = |earlier: &[&str]| {
        let mut search = pager(none(), 6, earlier).search;
        search.wishes = vec![shallow.clone(), new_only.clone()];
        let known = earlier.iter().map(|id| id.to_string()).collect();
        let endpoint = endpoint("justoneapi", "note_search");
        Pager::new(search, endpoint, snapshot_at(), known_ids(known))
    };
    // Neither wants more than the first page, where it is known.
    let stop = after(with_both(&["a", "b"]), &[items(&["a", "b"])]);
    assert_eq!(stop, Some(StopReason::MaxPages));
    let news = [items(&["a"]), items(&["b"]), items(&["x"])];
    assert_eq!(after(with_both(&["x"]), &news[..2]), None);
    assert_eq!(
        after(with_both(&["x"]), &news),
        Some(StopReason::KnownShare)
    );
}

#[test]
fn a_page_of_known_notes_ends_a_search() {
    let ids = ["a", "b", "c", "d"];
    let cases = [
        (0.75, &ids[..3], Some(StopReason::KnownShare)),
        (0.75, &ids[..2], None),
        (0.76, &ids[..3], None),
        (1.0, &ids[..3], None),
        (1.0, &ids[..], Some(StopReason::KnownShare)),
        (f64::MIN_POSITIVE, &ids[..1], Some(StopReason::KnownShare)),
        (f64::MIN_POSITIVE, &[], None),
    ];
    for (share, earlier, stop) in cases {
        let pager = pager(known(share), MANY, earlier);
        assert_eq!(after(pager, &[items(&ids)]), stop, "{share} {earlier:?}");
    }
}

#[test]
fn each_note_of_a_page_counts_once_for_the_known() {
    // Two of three notes are known, however often they stand there.
    let page = items(&["a", "a", "a", "b", "c"]);
    let two = |share| {
        after(
            pager(known(share), MANY, &["a", "b"]),
            std::slice::from_ref(&page),
        )
    };
    assert_eq!(two(0.66), Some(StopReason::KnownShare));
    assert_eq!(two(0.67), None);
    // Cards without an id count neither way.
    let page = PageSummary {
        item_count: 50,
        ..items(&["a", "b"])
    };
    let all = after(pager(known(1.0), MANY, &["a", "b"]), &[page]);
    assert_eq!(all, Some(StopReason::KnownShare));
    // A page of such cards says nothing.
    let cards = after(pager(known(0.1), MANY, &["a"]), &[cards(20)]);
    assert_eq!(cards, None);
    // What this run found itself is not what earlier runs found.
    let pages = [items(&["a", "b"]), items(&["b", "c"])];
    assert_eq!(after(pager(known(0.5), MANY, &[]), &pages), None);
}

/// 0.28 of 25 is a little more than 7 in floating point.
#[test]
fn a_share_that_is_reached_exactly_is_reached() {
    for percent in 1..=100_usize {
        for count in (1..=100).filter(|count| percent * count % 100 == 0) {
            let ids: Vec<String> = (0..count).map(|n| n.to_string()).collect();
            let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
            let enough = percent * count / 100;
            let share = percent as f64 / 100.0;
            let stop = |earlier| after(pager(known(share), MANY, earlier), &[items(&ids)]);
            let place = format!("{share} of {count}");
            assert_eq!(
                stop(&ids[..enough]),
                Some(StopReason::KnownShare),
                "{place}"
            );
            assert_eq!(stop(&ids[..enough - 1]), None, "{place}");
        }
    }
}

#[test]
fn a_page_of_old_notes_ends_a_search() {
    let (young, old) = (ago(DAY_S), ago(DAY_S + 1));
    let stop = |times: &[i64]| after(pager(older_than(DAY_S), MANY, &[]), &[published(times)]);
    assert_eq!(stop(&[old; 20]), Some(StopReason::OlderThan));
    assert_eq!(stop(&[old]), Some(StopReason::OlderThan));
    // As old as that is not yet older.
    assert_eq!(stop(&[young; 20]), None);
    // A note that its author pinned to the top is old among the young.
    let mut times = [young; 20];
    times[0] = old;
    assert_eq!(stop(&times), None);
    // One young note, or two of twenty, came out of order among the old.
    let mut times = [old; 20];
    times[7] = young;
    assert_eq!(stop(&times), Some(StopReason::OlderThan));
    times[19] = young;
    assert_eq!(stop(&times), Some(StopReason::OlderThan));
    times[0] = young;
    assert_eq!(stop(&times), None);
    assert_eq!(stop(&[old, old, old, old, young]), None);
}

#[test]
fn without_times_no_page_is_old() {
    let stop = |page| after(pager(older_than(1), MANY, &[]), &[page]);
    assert_eq!(stop(cards(20)), None);
    assert_eq!(stop(items(&["a"])), None);
    // Only notes with a time count: this is one old note of one.
    let page = PageSummary {
        item_count: 20,
        ..published(&[ago(2)])
    };
    assert_eq!(stop(page), Some(StopReason::OlderThan));
    // Longer ago than there is time.
    let never = after(pager(older_than(u64::MAX), MANY, &[]), &[published(&[1])]);
    assert_eq!(never, None);
}

/// Every rule holds for the last page; they are taken away one after the other.
#[test]
fn stop_reasons_have_priorities() {
    let mut rules = StopRules {
        empty: true,
        short_page: Some(20),
        known: Some(KnownShare {
            share: 0.9,
            within_s: 1,
            recheck: None,
        }),
        older_than_s: Some(1),
    };
    let page = PageSummary {
        published: vec![ago(9)],
        ..items(&["a"])
    };
    let twice = |rules: &StopRules| {
        let mut pager = pager(rules.clone(), 2, &["a"]);
        pager.advance(&page);
        pager.advance(&page).1
    };
    let once = |rules: &StopRules| pager(rules.clone(), 1, &["a"]).advance(&page).1;
    assert_eq!(twice(&rules), Some(StopReason::Repeated));
    assert_eq!(once(&rules), Some(StopReason::ShortPage));
    rules.short_page = None;
    assert_eq!(once(&rules), Some(StopReason::KnownShare));
    rules.known = None;
    assert_eq!(once(&rules), Some(StopReason::OlderThan));
    rules.older_than_s = None;
    assert_eq!(once(&rules), Some(StopReason::MaxPages));
    // The end of the results comes before all of them.
    let nothing = after(pager(rules, 1, &["a"]), &[cards(0)]);
    assert_eq!(nothing, Some(StopReason::Empty));
}

#[test]
fn every_reason_has_a_name_that_is_read_back() {
    let names = [
        "max_pages",
        "empty",
        "short_page",
        "known_share",
        "older_than",
        "repeated",
        "single",
        "gone",
        "failed",
    ];
    for name in names {
        let stop = StopReason::named(name).unwrap_or_else(|| panic!("{name} is unknown"));
        assert_eq!(stop.as_str(), name);
        let json = serde_json::to_string(&stop).expect("JSON");
        assert_eq!(json, format!("\"{name}\""));
    }
    assert_eq!(StopReason::named("Empty"), None);
    assert_eq!(StopReason::named(""), None);
}

fn any_page() -> impl Strategy<Value = PageSummary> {
    let ids = prop::collection::vec(prop::sample::select(vec!["a", "b", "c", "d", "e"]), 0..5);
    let times = prop::collection::vec(prop::sample::select(vec![1, ago(5), ago(0)]), 0..5);
    (ids, 0_u64..4, times).prop_map(|(ids, cards, published)| PageSummary {
        item_count: ids.len() as u64 + cards,
        published,
        ..items(&ids)
    })
}

fn any_rules() -> impl Strategy<Value = StopRules> {
    let share = prop::option::of(0.01_f64..=1.0);
    let short_page = prop::option::of(1_u32..6);
    let older_than_s = prop::option::of(0_u64..10);
    (any::<bool>(), short_page, share, older_than_s).prop_map(
        |(empty, short_page, share, older_than_s)| StopRules {
            empty,
            short_page,
            known: share.map(|share| KnownShare {
                share,
                within_s: 1,
                recheck: None,
            }),
            older_than_s,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_search_always_ends_and_asks_for_no_more_pages_than_it_may(
        pages in prop::collection::vec(any_page(), 1..12),
        rules in any_rules(),
        max_pages in 1_u32..10,
    ) {
        let mut pager = pager(rules.clone(), max_pages, &["a", "b"]);
        let mut asked = 0;
        let mut sum = 0;
        // A provider that begins anew when it has no more.
        let reason = pages.iter().cycle().find_map(|page| {
            asked += 1;
            assert_eq!(pager.page(), asked);
            assert!(asked <= max_pages);
            let (added, stop) = pager.advance(page);
            assert_eq!(added.items_before, sum);
            assert!(added.new_items <= page.item_count);
            sum += page.item_count;
            stop
        });
        prop_assert_eq!((pager.pages, pager.items), (asked, sum));
        let reason = reason.expect("a reason");
        prop_assert!(reason != StopReason::MaxPages || asked == max_pages);
        prop_assert!(reason != StopReason::Empty || rules.empty);
        prop_assert!(reason != StopReason::ShortPage || rules.short_page.is_some());
        prop_assert!(reason != StopReason::KnownShare || rules.known.is_some());
        prop_assert!(reason != StopReason::OlderThan || rules.older_than_s.is_some());
        prop_assert!(reason != StopReason::Repeated || asked > 1);
    }
}
