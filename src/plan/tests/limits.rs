//! How fast and for how much: what is declared, what is not, and money.

use std::time::Duration;

use proptest::prelude::*;

use super::{THREE_KINDS, and, planned};
use crate::plan::Plan;
use crate::plan::limits::{Budgets, Limits, Window};
use crate::plan::money::Money;
use crate::plan::parts::Retries;
use crate::spec::pipeline::UnknownOutcomeAction;

fn limits(declared: &str) -> Limits {
    planned(&and(&format!("limits: {{{declared}}}\n"))).limits
}

fn priced(declared: &str) -> Plan {
    let price = "price: {note_search: 0.10, currency: CNY}";
    planned(&and(&format!("limits: {{{declared}}}\n{price}\n")))
}

#[test]
fn limits_that_are_not_declared_have_their_defaults() {
    let defaults = Limits {
        requests_per_second: 2.0,
        burst: 1,
        concurrency: 4,
        retries: Retries {
            max: 4,
            delay: Duration::from_secs(1),
            on_unknown_outcome: None,
        },
        max_answer: 32 << 20,
        budgets: Budgets::default(),
    };
    assert_eq!(planned(&and("")).limits, defaults);
    assert_eq!(limits(""), defaults);
    let hours = planned(&and("")).resume_within.as_secs() / 3_600;
    assert_eq!(hours, 6);
}

#[test]
fn limits_are_what_is_declared() {
    let plan = priced(
        "requests_per_second: 0.5, burst: 3, concurrency: 9, retries: 0, retry_delay: 250ms, \
         max_answer_mib: 1, requests_per_run: 1000, requests_per_day: 20000, cost_per_run: 12.5, \
         cost_per_day: 200",
    );
    let declared = Limits {
        requests_per_second: 0.5,
        burst: 3,
        concurrency: 9,
        retries: Retries {
            max: 0,
            delay: Duration::from_millis(250),
            on_unknown_outcome: None,
        },
        max_answer: 1 << 20,
        budgets: Budgets {
            requests_per_run: Some(1_000),
            requests_per_day: Some(20_000),
            cost_per_run: Some(Money(12_500_000)),
            cost_per_day: Some(Money(200_000_000)),
        },
    };
    assert_eq!(plan.limits, declared);
    let resumed = planned(&and("resume_within: 90s\n")).resume_within;
    assert_eq!(resumed, Duration::from_secs(90));
}

#[test]
fn calls_that_may_be_billed_follow_the_pipeline_or_else_the_contract() {
    let action = |declared: &str| limits(declared).retries.on_unknown_outcome;
    assert_eq!(action(""), None);
    let once = action("on_unknown_outcome: retry_once");
    assert_eq!(once, Some(UnknownOutcomeAction::RetryOnce));
    let fail = action("on_unknown_outcome: fail, retries: 0");
    assert_eq!(fail, Some(UnknownOutcomeAction::Fail));
}

#[test]
fn a_burst_is_a_twentieth_of_a_second() {
    let bursts = [
        ("0.1", 1),
        ("19", 1),
        ("20", 1),
        ("39.9", 1),
        ("40", 2),
        ("100", 5),
        ("1e12", u32::MAX),
    ];
    for (rate, burst) in bursts {
        let declared = format!("requests_per_second: {rate}");
        assert_eq!(limits(&declared).burst, burst, "{rate}");
    }
}

#[test]
fn a_budget_of_money_needs_a_price_but_a_price_may_be_nothing() {
    let free = "limits: {cost_per_run: 0}\nprice: {note_search: 0, currency: CNY}\n";
    let budgets = planned(&and(free)).limits.budgets;
    assert_eq!(budgets.cost_per_run, Some(Money(0)));
    // A budget of calls needs none.
    let calls = limits("requests_per_day: 1").budgets;
    assert_eq!(calls.requests_per_day, Some(1));
}

#[test]
fn amounts_are_read_to_the_millionth() {
    let amounts = [
        ("0", 0),
        ("0.1", 100_000),
        ("12.50", 12_500_000),
        ("0.000001", 1),
        // Nothing is smaller.
        ("0.0000004", 0),
        ("1e3", 1_000_000_000),
        ("1e12", 1_000_000_000_000_000_000),
    ];
    for (text, money) in amounts {
        // Free calls leave any budget as it is.
        let price = "price: {note_search: 0, currency: CNY}";
        let plan = planned(&and(&format!(
            "limits: {{cost_per_run: {text}}}\n{price}\n"
        )));
        let budgets = plan.limits.budgets;
        assert_eq!(budgets.cost_per_run, Some(Money(money)), "{text}");
    }
    assert_eq!(Money::of(f64::NAN), Money(0));
    assert_eq!(Money::of(-1.0), Money(0));
    assert_eq!(Money::of(f64::MAX), Money(u64::MAX));
}

#[test]
fn money_is_told_with_two_places_or_as_many_as_it_has() {
    let told = [
        (0, "0.00"),
        (100_000, "0.10"),
        (300_000, "0.30"),
        (12_500_000, "12.50"),
        (200_000_000, "200.00"),
        (125_000, "0.125"),
        (1, "0.000001"),
        (1_234_567_890, "1234.56789"),
        (1_000_000_000_000_000_000, "1000000000000.00"),
    ];
    for (money, text) in told {
        assert_eq!(Money(money).to_string(), text);
    }
}

#[test]
fn sums_of_money_are_exact() {
    let dime = Money::of(0.1);
    let sum = |calls| (0..calls).fold(Money::default(), |sum, _| sum.plus(dime));
    assert_eq!(sum(3), Money::of(0.3));
    assert_eq!(sum(1_000_000).to_string(), "100000.00");
    assert_eq!(Money(7).minus(Money(3)), Money(4));
    // It never turns round.
    assert_eq!(Money(3).minus(Money(7)), Money(0));
    assert_eq!(Money(u64::MAX).plus(Money(1)), Money(u64::MAX));
}

#[test]
fn the_sandbox_has_no_limit_of_its_own() {
    let plan = planned(THREE_KINDS);
    let window = Window {
        requests: 100,
        per: Duration::from_secs(60),
    };
    assert_eq!(plan.window("xhs_open"), Some(window));
    assert_eq!(plan.window("justoneapi"), None);
    assert_eq!(
        (plan.rate("xhs_open"), plan.rate("justoneapi")),
        (100.0 / 60.0, 4.0)
    );
    // The slower of the two limits counts.
    let slow = THREE_KINDS.replace("requests_per_second: 4", "requests_per_second: 0.5");
    assert_eq!(planned(&slow).rate("xhs_open"), 0.5);
    let sandbox = THREE_KINDS.replace("{name: xhs_open}", "{name: xhs_open, base_url: sandbox}");
    let plan = planned(&sandbox);
    assert_eq!(plan.window("xhs_open"), None);
    assert_eq!(plan.rate("xhs_open"), 4.0);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_amount_is_read_back_from_what_is_told(millionths in 0_u64..1 << 50) {
        let money = Money(millionths);
        let told = money.to_string();
        prop_assert_eq!(Money::of(told.parse().expect("a number")), money);
        prop_assert_eq!(Money::of(money.amount()), money);
        let (_, places) = told.split_once('.').expect("places");
        prop_assert!((2..=6).contains(&places.len()), "{}", told);
    }
}
