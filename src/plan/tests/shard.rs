//! A plan among several machines: nothing twice, nothing left out, no limit exceeded.

use std::time::Duration;

use proptest::prelude::*;

use super::{ids, planned};
use crate::plan::limits::{Budgets, Window};
use crate::plan::money::Money;
use crate::plan::{Plan, Search, Shard};

/// Many searches, a follow-up and every limit.
const WIDE: &str = "
version: 1
pipeline: test
source: {name: justoneapi}
keyword_sets: {many: [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t]}
extract:
  - {endpoint: note_search, keywords: [many], filters: {sort: [general, newest]}, pages: {max: 2}}
  - endpoint: note_detail
    source: {name: xhs_open}
    notes: {found_by: note_search, top: 50, by: liked_count}
limits: {requests_per_second: 60, concurrency: 8, requests_per_run: 100, requests_per_day: 1001,
  cost_per_run: 10, cost_per_day: 7.000003}
price: {note_search: 0.1, note_detail: 0, currency: CNY}
";

fn parts(count: u32) -> Vec<Shard> {
    (1..=count).map(|index| Shard { index, count }).collect()
}

fn sharded(plan: &Plan, shard: Shard) -> Plan {
    let part = plan.clone().shard(shard);
    part.unwrap_or_else(|e| panic!("{e}"))
}

fn search(search_id: String) -> Search {
    let mut search = planned(WIDE).searches.remove(0);
    search.search_id = search_id;
    search
}

#[test]
fn every_search_is_in_exactly_one_part() {
    let plan = planned(WIDE);
    assert_eq!(plan.searches.len(), 40);
    for count in 1..=7 {
        let mut found = Vec::new();
        for shard in parts(count) {
            let part = sharded(&plan, shard);
            assert_eq!(part.shard, Some(shard));
            assert!(part.searches.iter().all(|search| shard.has(search)));
            found.extend(ids(&part).into_iter().map(str::to_owned));
        }
        found.sort_unstable();
        let mut all = ids(&plan);
        all.sort_unstable();
        assert_eq!(found, all, "{count} parts");
    }
}

/// Which machine asks is part of every lake that was made so far.
#[test]
fn the_part_of_a_search_is_for_ever() {
    let parts = [
        ("24382dd2e0be3a01", 7, 1),
        ("0000000000000000", 7, 1),
        ("0000000000000006", 7, 7),
        ("ffffffffffffffff", 2, 2),
    ];
    for (id, count, index) in parts {
        let search = search(id.to_owned());
        let has = |shard: &Shard| shard.has(&search);
        let found: Vec<u32> = self::parts(count)
            .into_iter()
            .filter(has)
            .map(|s| s.index)
            .collect();
        assert_eq!(found, [index], "{id} of {count}");
    }
}

#[test]
fn the_limits_of_all_parts_are_those_of_the_whole() {
    let plan = planned(WIDE);
    for count in 1..=7 {
        let parts: Vec<Plan> = parts(count)
            .into_iter()
            .map(|s| sharded(&plan, s))
            .collect();
        let sum = |what: fn(&Plan) -> u64| parts.iter().map(what).sum::<u64>();
        assert_eq!(sum(|p| p.limits.concurrency.into()), 8);
        assert_eq!(sum(|p| p.limits.budgets.requests_per_run.unwrap_or(0)), 100);
        assert_eq!(
            sum(|p| p.limits.budgets.requests_per_day.unwrap_or(0)),
            1_001
        );
        assert_eq!(
            sum(|p| p.limits.budgets.cost_per_run.map_or(0, |m| m.0)),
            10_000_000
        );
        assert_eq!(
            sum(|p| p.limits.budgets.cost_per_day.map_or(0, |m| m.0)),
            7_000_003
        );
        assert_eq!(sum(|p| p.follow_ups[0].top.into()), 50);
        assert!(sum(|p| p.window("xhs_open").map_or(0, |w| w.requests.into())) <= 100);
        let rate: f64 = parts.iter().map(|p| p.rate("justoneapi")).sum();
        assert!((rate - 60.0).abs() < 1e-9, "{rate}");
        let rate: f64 = parts.iter().map(|p| p.rate("xhs_open")).sum();
        assert!(rate <= 100.0 / 60.0 + 1e-9, "{rate}");
        // What is asked stays the same question.
        assert!(parts.iter().all(|part| part.hash == plan.hash));
    }
}

#[test]
fn the_first_parts_take_what_is_left_over() {
    let plan = planned(WIDE);
    let part = |text: &str| sharded(&plan, text.parse().expect("a shard"));
    let (first, last) = (part("1/3"), part("3/3"));
    assert_eq!((first.limits.concurrency, last.limits.concurrency), (3, 2));
    assert_eq!((first.follow_ups[0].top, last.follow_ups[0].top), (17, 16));
    assert_eq!((first.limits.burst, last.limits.burst), (1, 1));
    assert_eq!(first.limits.requests_per_second, 20.0);
    let budgets = Budgets {
        requests_per_run: Some(34),
        requests_per_day: Some(334),
        cost_per_run: Some(Money(3_333_334)),
        cost_per_day: Some(Money(2_333_335)),
    };
    assert_eq!(first.limits.budgets, budgets);
    let window = Window {
        requests: 33,
        per: Duration::from_secs(60),
    };
    assert_eq!(last.window("xhs_open"), Some(window));
    // Alone, a part is the whole.
    let one = part("1/1");
    assert_eq!(one.limits, plan.limits);
    assert_eq!(ids(&one), ids(&plan));
}

#[test]
fn a_limit_that_leaves_a_shard_no_call_is_refused() {
    let cases = [
        ("concurrency: 8", "concurrency: 2", "concurrency: 2"),
        (
            "requests_per_run: 100",
            "requests_per_run: 1",
            "requests_per_run: 1",
        ),
        (
            "requests_per_day: 1001",
            "requests_per_day: 2",
            "requests_per_day: 2",
        ),
        ("top: 50", "top: 2", "top: 2"),
    ];
    for (old, new, told) in cases {
        let plan = planned(&WIDE.replace(old, new));
        for shard in parts(3) {
            let error = plan.clone().shard(shard).expect_err("it is too little");
            let expected = format!("{told} cannot be divided among 3 shards");
            assert_eq!(error.to_string(), expected);
        }
    }
    let poor = planned(&WIDE.replace("cost_per_run: 10,", "cost_per_run: 0.29,"));
    let error = poor.shard(parts(3)[2]).expect_err("it is too little");
    assert_eq!(
        error.to_string(),
        "cost_per_run: 0.29 cannot be divided among 3 shards: a part could not pay for one call"
    );
    let enough = planned(&WIDE.replace("concurrency: 8", "concurrency: 3"));
    assert_eq!(sharded(&enough, parts(3)[2]).limits.concurrency, 1);
}

#[test]
fn a_shard_is_read_as_it_is_told() {
    for (text, index, count) in [("1/1", 1, 1), ("2/4", 2, 4), ("4/4", 4, 4)] {
        let shard = Shard { index, count };
        assert_eq!(text.parse(), Ok(shard));
        assert_eq!(shard.to_string(), text);
        let json = serde_json::to_string(&shard).expect("JSON");
        assert_eq!(json, format!("\"{text}\""));
        assert_eq!(
            serde_json::from_str::<Shard>(&json).expect("a shard"),
            shard
        );
    }
    let wrong = [
        "",
        "/",
        "2",
        "0/4",
        "5/4",
        "0/0",
        "1/0",
        "-1/4",
        "1/-4",
        "1/4/2",
        " 1/4",
        "1/4 ",
        "a/b",
        "1.0/4",
        "1/4294967296",
    ];
    for text in wrong {
        let error = text.parse::<Shard>().expect_err(text);
        let told = format!("`{text}` is not a shard; write 1/4 to 4/4 on four machines");
        assert_eq!(error, told);
        serde_json::from_str::<Shard>(&format!("\"{text}\"")).expect_err(text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn shares_add_up_and_differ_by_one_at_most(whole in any::<u64>(), count in 1_u32..=7) {
        let shares: Vec<u64> = parts(count).iter().map(|shard| shard.share(whole)).collect();
        prop_assert_eq!(shares.iter().sum::<u64>(), whole);
        prop_assert!(shares.is_sorted_by(|a, b| a >= b));
        prop_assert!(shares[0] - shares[shares.len() - 1] <= 1);
    }
}

#[test]
fn any_id_is_in_exactly_one_part() {
    let mut search = search(String::new());
    let odd = ["", "no hex at all", "ff", "防晒防晒防晒"].map(str::to_owned);
    let many = (0..2_000_u64).map(|n| format!("{:016x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    for id in many.chain(odd) {
        search.search_id = id;
        for count in 1..=7 {
            let has = parts(count).iter().filter(|s| s.has(&search)).count();
            assert_eq!(has, 1, "{} of {count}", search.search_id);
        }
    }
}
