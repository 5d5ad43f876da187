use std::time::Duration;

use proptest::prelude::*;

use super::source;
use crate::extract::policy::{Decision, Failure, Outcome, Verdict, decide};
use crate::plan::Retries;
use crate::spec::source::Source;

const RETRIES: Retries = Retries {
    max: 4,
    delay: Duration::from_secs(1),
};

fn answer(status: u16, code: Option<&str>, retry_after: Option<u64>) -> Outcome {
    Outcome::Answer {
        status,
        code: code.map(str::to_owned),
        retry_after: retry_after.map(Duration::from_secs),
    }
}

/// The verdict with the longest possible delay.
fn judged(outcome: &Outcome, source: &Source, attempt: u32) -> Verdict {
    decide(outcome, source, attempt, RETRIES, 1.0)
}

/// One line a row: what came, what it means, whether it is billed, what the attempts 1 to 5 do.
fn row(what: &str, outcome: &Outcome, source: &Source) -> String {
    let verdict = judged(outcome, source, 1);
    let mut decisions = Vec::new();
    for attempt in 1..=5 {
        let decision = match judged(outcome, source, attempt).decision {
            Decision::Retry { after } => format!("{after:?}"),
            other => format!("{other:?}"),
        };
        if decisions.last() != Some(&decision) {
            decisions.push(decision);
        }
    }
    let (class, billed) = (verdict.class, format!("{:?}", verdict.billed));
    format!(
        "{what:<28} {class:<13} {billed:<8} {}",
        decisions.join(", ")
    )
}

#[test]
fn every_outcome_has_its_verdict() {
    let mut table = Vec::new();
    for name in ["justoneapi", "xhs_open"] {
        let source = source(name);
        table.push(format!("# {name}"));
        for code in source.codes.keys() {
            // At whatever status: the code decides.
            let rows = [200, 429, 500].map(|status| {
                row(
                    &format!("code {code}"),
                    &answer(status, Some(code), None),
                    source,
                )
            });
            assert!(rows.iter().all(|row| *row == rows[0]), "{rows:?}");
            table.push(rows[0].clone());
        }
        let unknown = answer(200, Some("999"), Some(7));
        table.push(row("code 999, Retry-After 7", &unknown, source));
    }
    let source = source("justoneapi");
    table.push("# no code".to_owned());
    for status in [200, 204, 302, 401, 403, 404, 429, 500, 503] {
        table.push(row(
            &format!("status {status}"),
            &answer(status, None, None),
            source,
        ));
    }
    table.push("# Retry-After".to_owned());
    let patient = [
        ("code 302, Retry-After 7", answer(429, Some("302"), Some(7))),
        ("code 301, Retry-After 0", answer(200, Some("301"), Some(0))),
        ("code 303, Retry-After 7", answer(429, Some("303"), Some(7))),
        ("status 429, Retry-After 7", answer(429, None, Some(7))),
        (
            "status 503, Retry-After 3600",
            answer(503, None, Some(3_600)),
        ),
        ("status 404, Retry-After 7", answer(404, None, Some(7))),
    ];
    for (what, outcome) in patient {
        table.push(row(what, &outcome, source));
    }
    table.push("# no answer".to_owned());
    let failures = [
        Failure::Connect,
        Failure::Timeout,
        Failure::Broken,
        Failure::TooLarge,
        Failure::Redirect,
    ];
    for failure in failures {
        table.push(row(
            &format!("{failure:?}"),
            &Outcome::Failure(failure),
            source,
        ));
    }
    let table: Vec<&str> = table.iter().map(|row| row.trim_end()).collect();
    insta::assert_snapshot!("verdicts", table.join("\n"));
}

#[test]
fn without_retries_the_first_attempt_is_the_last() {
    let none = Retries { max: 0, ..RETRIES };
    let outcome = answer(503, None, Some(1));
    let verdict = decide(&outcome, source("justoneapi"), 1, none, 0.5);
    assert_eq!(verdict.decision, Decision::FailSearch);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_delay_is_below_its_bound_and_grows_with_the_jitter(
        attempt in 1_u32..=64,
        delay in prop_oneof![0_u64..100_000, Just(u64::MAX / 1_000)],
        jitter in 0.0_f64..1.0,
    ) {
        let delay = Duration::from_millis(delay);
        let retries = Retries { max: 64, delay };
        let source = source("justoneapi");
        let after = |jitter| match decide(&answer(500, None, None), source, attempt, retries, jitter) {
            Verdict { decision: Decision::Retry { after }, .. } => after,
            other => panic!("{other:?}"),
        };
        let doubled = delay.saturating_mul(1 << (attempt - 1).min(16));
        let bound = doubled.min(Duration::from_secs(60));
        prop_assert!(after(jitter) <= bound);
        prop_assert!(after(jitter / 2.0) <= after(jitter));
        prop_assert_eq!(after(0.0), Duration::ZERO);
        prop_assert_eq!(after(1.0), bound);
    }

    #[test]
    fn retry_after_is_kept_whatever_the_jitter(
        seconds in any::<u64>(),
        attempt in 1_u32..=4,
        jitter in 0.0_f64..1.0,
    ) {
        let outcome = answer(429, Some("302"), Some(seconds));
        let verdict = decide(&outcome, source("justoneapi"), attempt, RETRIES, jitter);
        let after = Duration::from_secs(seconds.min(60));
        prop_assert_eq!(verdict.decision, Decision::Retry { after });
    }
}
