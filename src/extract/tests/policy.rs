//! The whole table of verdicts, and what holds for all outcomes.

use std::time::Duration;

use proptest::prelude::*;

use super::source;
use crate::extract::policy::{
    Attempt, CallOutcome, Decision, Failure, Refusal, Unconnected, Verdict, decide,
};
use crate::plan::parts::Retries;
use crate::spec::class::CallClass;
use crate::spec::pipeline::UnknownOutcomeAction;
use crate::spec::source::{Billed, Source};

const RETRIES: Retries = Retries {
    max: 4,
    delay: Duration::from_secs(1),
    on_unknown_outcome: None,
};

const STATUSES: [u16; 8] = [200, 400, 401, 403, 404, 429, 500, 503];

fn first() -> Attempt {
    Attempt {
        number: 1,
        unknown: 0,
    }
}

fn answer(status: u16, code: Option<&str>, retry_after: Option<u64>) -> CallOutcome {
    CallOutcome::Answer {
        status,
        code: code.map(str::to_owned),
        retry_after: retry_after.map(Duration::from_secs),
    }
}

/// The verdict with the longest possible delay.
fn judged(outcome: &CallOutcome, source: &Source, attempt: Attempt) -> Verdict {
    decide(outcome, source, attempt, RETRIES, 1.0)
}

/// What the attempts 1 to 5 do, equal ones told once; `unknown` of those before are unknown.
fn attempts(outcome: &CallOutcome, source: &Source, unknown: u32) -> String {
    let mut told: Vec<(String, usize)> = Vec::new();
    for number in 1..=5 {
        let verdict = judged(outcome, source, Attempt { number, unknown });
        let slow = match verdict.slow_down {
            Some(Some(pause)) => format!("slow(pause {pause:?}) "),
            Some(None) => "slow ".to_owned(),
            None => String::new(),
        };
        let decision = match verdict.decision {
            Decision::Retry { after } => format!("{slow}{after:?}"),
            other => format!("{slow}{other:?}"),
        };
        match told.last_mut() {
            Some((last, times)) if *last == decision => *times += 1,
            _ => told.push((decision, 1)),
        }
    }
    let told = told.iter().map(|(decision, times)| match times {
        1 => decision.clone(),
        5 => decision.clone(),
        _ => format!("{decision} x{times}"),
    });
    told.collect::<Vec<_>>().join(", ")
}

/// One line a row: what came, what it means, whether it is billed, what the attempts 1 to 5 do,
/// and, if that is something else, what they do after an attempt with an unknown outcome.
fn row(what: &str, outcome: &CallOutcome, source: &Source) -> String {
    let verdict = judged(outcome, source, first());
    for number in 1..=5 {
        for unknown in 0..=1 {
            let later = judged(outcome, source, Attempt { number, unknown });
            assert_eq!(
                (&later.class, later.billed),
                (&verdict.class, verdict.billed)
            );
        }
    }
    let (class, billed) = (verdict.class, format!("{:?}", verdict.billed));
    let plain = attempts(outcome, source, 0);
    let after_unknown = attempts(outcome, source, 1);
    let after_unknown = if after_unknown == plain {
        String::new()
    } else {
        format!(" | once unknown: {after_unknown}")
    };
    format!("{what:<28} {class:<13} {billed:<8} {plain}{after_unknown}")
}

/// The row of an outcome, and those with `Retry-After` that differ from it.
fn rows(what: &str, source: &Source, outcome: impl Fn(Option<u64>) -> CallOutcome) -> Vec<String> {
    let plain = row("", &outcome(None), source);
    let mut rows = vec![row(what, &outcome(None), source)];
    for seconds in [7, 3_600] {
        let patient = outcome(Some(seconds));
        if row("", &patient, source) != plain {
            rows.push(row(&format!("  Retry-After {seconds}"), &patient, source));
        }
    }
    rows
}

const REFUSALS: [Refusal; 6] = [
    Refusal::OtherHost,
    Refusal::OtherPort,
    Refusal::Unencrypted,
    Refusal::TooMany { followed: 5 },
    Refusal::NoLocation,
    Refusal::NoAddress,
];

fn unconnected() -> Failure {
    Failure::Connect(Unconnected::Refused)
}

/// A row without one for `Retry-After` below it is the same with it; that of a code, whatever the
/// HTTP status.
#[test]
fn every_outcome_has_its_verdict() {
    let mut table = Vec::new();
    for name in ["justoneapi", "xhs_open"] {
        let source = source(name);
        table.push(format!("# {name}: a code, at any status"));
        for code in source.codes.keys().map(String::as_str).chain(["999"]) {
            let at = |status| {
                let outcome = |retry_after| answer(status, Some(code), retry_after);
                rows(&format!("code {code}"), source, outcome)
            };
            for status in STATUSES {
                assert_eq!(at(status), at(200), "code {code} at status {status}");
            }
            table.extend(at(200));
        }
        table.push(format!("# {name}: no code"));
        let bare = [204, 301, 302, 418, 502, 504];
        let mut statuses: Vec<u16> = STATUSES.into_iter().chain(bare).collect();
        statuses.sort_unstable();
        for status in statuses {
            let outcome = |retry_after| answer(status, None, retry_after);
            table.extend(rows(&format!("status {status}"), source, outcome));
        }
        table.push(format!("# {name}: no answer"));
        let failures = [
            ("Connect", unconnected()),
            ("Timeout", Failure::Timeout),
            ("Broken", Failure::Broken),
            ("TooLarge", Failure::TooLarge { limit: 1 << 25 }),
            ("Undecodable", Failure::Undecodable { encoding: "gzip" }),
        ];
        for (what, failure) in failures {
            table.push(row(what, &CallOutcome::Failure(failure), source));
        }
        table.push(format!("# {name}: a redirect"));
        table.push(row("followed", &CallOutcome::Redirect(None), source));
        for refusal in REFUSALS {
            let outcome = CallOutcome::Redirect(Some(refusal));
            table.push(row(&format!("{refusal:?}"), &outcome, source));
        }
    }
    insta::assert_snapshot!("verdicts", table.join("\n"));
}

#[test]
fn without_retries_the_first_attempt_is_the_last() {
    let none = Retries { max: 0, ..RETRIES };
    let outcomes = [
        answer(503, None, Some(1)),
        answer(429, Some("429"), Some(1)),
        CallOutcome::Failure(unconnected()),
        CallOutcome::Failure(Failure::Timeout),
    ];
    for outcome in outcomes {
        let verdict = decide(&outcome, source("xhs_open"), first(), none, 0.5);
        assert_eq!(verdict.decision, Decision::FailSearch, "{outcome:?}");
    }
}

#[test]
fn the_pipeline_decides_before_the_contract_on_calls_that_may_be_billed() {
    let judged = |source_name, action, unknown| {
        let retries = Retries {
            on_unknown_outcome: action,
            ..RETRIES
        };
        let attempt = Attempt { number: 1, unknown };
        let timeout = CallOutcome::Failure(Failure::Timeout);
        decide(&timeout, source(source_name), attempt, retries, 0.0).decision
    };
    let retry = Decision::Retry {
        after: Duration::ZERO,
    };
    let (fail, once) = (UnknownOutcomeAction::Fail, UnknownOutcomeAction::RetryOnce);
    for (name, by_contract) in [
        ("justoneapi", Decision::FailSearch),
        ("xhs_open", retry.clone()),
    ] {
        assert_eq!(judged(name, None, 0), by_contract);
        assert_eq!(judged(name, Some(fail), 0), Decision::FailSearch);
        assert_eq!(judged(name, Some(once), 0), retry);
        assert_eq!(judged(name, Some(once), 1), Decision::FailSearch);
    }
}

/// Anything that may come of a call, the likely and the odd.
fn any_outcome() -> impl Strategy<Value = CallOutcome> {
    let code = prop_oneof![
        2 => Just(None),
        2 => prop::sample::select(vec!["0", "200", "301", "302", "404", "429", "500", "503"])
            .prop_map(|code| Some(code.to_owned())),
        1 => any::<String>().prop_map(Some),
    ];
    let status = prop_oneof![prop::sample::select(STATUSES.to_vec()), 100_u16..600];
    let retry_after = prop::option::of(0_u64..100);
    let answered = (status, code, retry_after)
        .prop_map(|(status, code, retry_after)| answer(status, code.as_deref(), retry_after));
    let failure = prop::sample::select(vec![
        unconnected(),
        Failure::Timeout,
        Failure::Timeout,
        Failure::Broken,
        Failure::TooLarge { limit: 1 },
        Failure::Undecodable { encoding: "gzip" },
    ]);
    let refusal = prop::option::of(prop::sample::select(REFUSALS.to_vec()));
    prop_oneof![
        4 => answered,
        2 => failure.prop_map(CallOutcome::Failure),
        1 => refusal.prop_map(CallOutcome::Redirect),
    ]
}

fn waits(decision: &Decision) -> Option<Duration> {
    match decision {
        Decision::Retry { after } => Some(*after),
        _ => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_delay_is_below_its_bound_and_grows_with_the_jitter(
        number in 1_u32..=64,
        delay in prop_oneof![0_u64..100_000, Just(u64::MAX / 1_000)],
        jitter in 0.0_f64..1.0,
        outcome in prop::sample::select(vec![
            answer(500, None, None),
            answer(429, None, None),
            answer(200, Some("302"), None),
            CallOutcome::Failure(unconnected()),
        ]),
    ) {
        let delay = Duration::from_millis(delay);
        let retries = Retries { max: 64, delay, on_unknown_outcome: None };
        let source = source("justoneapi");
        let attempt = Attempt { number, unknown: 0 };
        let after = |jitter| {
            let verdict = decide(&outcome, source, attempt, retries, jitter);
            waits(&verdict.decision).unwrap_or_else(|| panic!("{verdict:?}"))
        };
        let doubled = delay.saturating_mul(1 << (number - 1).min(16));
        let bound = doubled.min(Duration::from_secs(60));
        prop_assert!(after(jitter) <= bound);
        prop_assert!(after(jitter / 2.0) <= after(jitter));
        prop_assert_eq!(after(0.0), Duration::ZERO);
        prop_assert_eq!(after(1.0), bound);
    }

    #[test]
    fn retry_after_is_respected_with_any_jitter(
        seconds in any::<u64>(),
        number in 1_u32..=4,
        jitter in 0.0_f64..1.0,
    ) {
        let attempt = Attempt { number, unknown: 0 };
        let after = Duration::from_secs(seconds.min(60));
        for code in [Some("302"), None] {
            let slow = answer(429, code, Some(seconds));
            let verdict = decide(&slow, source("justoneapi"), attempt, RETRIES, jitter);
            prop_assert_eq!(verdict.decision, Decision::Retry { after });
            prop_assert_eq!(verdict.slow_down, Some(Some(after)));
            let busy = answer(503, code.map(|_| "503"), Some(seconds));
            let verdict = decide(&busy, source("justoneapi"), attempt, RETRIES, jitter);
            prop_assert_eq!(verdict.decision, Decision::Retry { after });
        }
    }

    /// As a page is asked for: again until it is there or given up.
    #[test]
    fn a_page_is_asked_again_at_most_once_after_an_unknown_outcome(
        outcomes in prop::collection::vec(any_outcome(), 8),
        jitter in 0.0_f64..1.0,
        open in any::<bool>(),
    ) {
        let source = source(if open { "xhs_open" } else { "justoneapi" });
        let mut attempt = first();
        let mut after_unknown = 0;
        for outcome in &outcomes {
            let verdict = decide(outcome, source, attempt, RETRIES, jitter);
            let Some(after) = waits(&verdict.decision) else { break };
            prop_assert!(after <= Duration::from_secs(60));
            attempt.number += 1;
            if verdict.billed == Billed::Unknown {
                attempt.unknown += 1;
                after_unknown += 1;
            }
        }
        prop_assert!(attempt.number <= RETRIES.max + 1);
        prop_assert!(after_unknown <= u32::from(open), "{outcomes:?}");
    }

    #[test]
    fn an_unknown_code_is_never_a_page_and_never_asked_again(
        code in prop_oneof![any::<String>(), (0..1_000_u32).prop_map(|code| code.to_string())],
        status in 100_u16..600,
        retry_after in prop::option::of(any::<u64>()),
        number in 1_u32..=5,
        unknown in 0_u32..=2,
    ) {
        for name in ["justoneapi", "xhs_open"] {
            let source = source(name);
            if source.codes.contains_key(&code) {
                continue;
            }
            let outcome = answer(status, Some(&code), retry_after);
            let verdict = judged(&outcome, source, Attempt { number, unknown });
            let expected = Verdict {
                class: CallClass::Unknown,
                billed: Billed::Unknown,
                decision: Decision::FailSearch,
                slow_down: None,
            };
            prop_assert_eq!(verdict, expected);
        }
    }
}
