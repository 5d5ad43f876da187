//! Addresses and the sandbox, the status of a run, and ledgers by date.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use super::access::{AccessError, Accesses, default_clock};
use super::outcome::Status;
use super::prior::ledgers_since;
use crate::extract::Extracted;
use crate::extract::budget::{BudgetLimit, Exhausted};
use crate::extract::context::{Cut, SearchEnd};
use crate::extract::pager::StopReason;
use crate::load::record::CommitRecord;
use crate::plan::{Plan, plan};
use crate::spec::class::CallClass;
use crate::spec::contracts::Contracts;
use crate::spec::load::load_pipeline;

static CONTRACTS: LazyLock<Arc<Contracts>> =
    LazyLock::new(|| Arc::new(Contracts::load(None).unwrap_or_else(|e| panic!("{e}"))));

/// Returns a plan with this source.
fn planned(source: &str) -> Plan {
    let dir = tempfile::TempDir::new().expect("a temporary folder");
    let path = dir.path().join("test.yaml");
    let text = format!(
        "version: 1
pipeline: test
source: {{name: justoneapi, {source}}}
keyword_sets: {{topics: [防晒]}}
extract: [{{endpoint: note_search, keywords: [topics], pages: {{max: 1}}}}]
"
    );
    std::fs::write(&path, text).expect("a writable folder");
    let loaded = load_pipeline(&path, &|_| None).unwrap_or_else(|e| panic!("{e}"));
    plan(loaded, Arc::clone(&CONTRACTS)).unwrap_or_else(|e| panic!("{e}"))
}

fn resolved(source: &str, env: &[(&str, &str)]) -> Result<Accesses, AccessError> {
    let env: BTreeMap<_, _> = env.iter().copied().collect();
    let lookup = |name: &str| env.get(name).map(|value| value.to_string());
    Accesses::resolve(&planned(source), &lookup)
}

const TOKEN: (&str, &str) = ("JUSTONEAPI_TOKEN", " the-token\n");

#[test]
fn a_sandbox_pipeline_ignores_the_address_in_the_environment() {
    let url = ("JUSTONEAPI_BASE_URL", "https://api.justoneapi.com");
    for env in [&[][..], &[TOKEN, url]] {
        let sandbox = "base_url: sandbox, sandbox: {clock: 2026-01-01T00:00:00Z}";
        let accesses = resolved(sandbox, env).expect("no token is needed");
        let clock = accesses.simulated_clock().expect("a simulated clock");
        assert_eq!(clock.to_rfc3339(), "2026-01-01T00:00:00+00:00");
    }
}

#[test]
fn the_environment_may_turn_a_run_into_a_rehearsal() {
    let env = [("JUSTONEAPI_BASE_URL", "sandbox")];
    let accesses = resolved("base_url: prod-global", &env).expect("no token is needed");
    assert_eq!(accesses.simulated_clock(), Some(default_clock()));
}

#[test]
fn a_real_source_needs_a_token_that_is_not_blank() {
    for env in [&[][..], &[("JUSTONEAPI_TOKEN", " \n")]] {
        let error = resolved("base_url: prod-global", env).expect_err("no token");
        assert_eq!(
            error.to_string(),
            "the token of justoneapi is missing: the environment variable JUSTONEAPI_TOKEN is not set"
        );
    }
}

#[test]
fn an_address_in_the_environment_overrides_the_pipeline() {
    let address = |override_url: &str| {
        let env = [TOKEN, ("JUSTONEAPI_BASE_URL", override_url)];
        let accesses = resolved("base_url: prod-global", &env).expect("a token");
        assert_eq!(accesses.simulated_clock(), None);
        format!("{accesses:?}")
    };
    assert!(address("https://example.com/").contains("\"https://example.com\""));
    assert!(address("").contains("\"https://api.justoneapi.com\""));
    assert!(!address("").contains("the-token"));
}

#[test]
fn the_status_is_the_worst_outcome() {
    let cut = |class| (class, String::new(), String::new());
    let stopped = |(class, message, source)| Cut::Stopped {
        class,
        message,
        source,
    };
    let aborted = |(class, message, source)| Cut::Aborted {
        class,
        message,
        source,
    };
    let calls = Exhausted {
        limit: BudgetLimit::RequestsPerRun,
        value: "3".to_owned(),
        spent: "3".to_owned(),
    };
    let cases = [
        (None, StopReason::Empty, Status::Complete),
        (None, StopReason::Gone, Status::Complete),
        (None, StopReason::Failed, Status::Failed),
        (
            Some(stopped(cut(CallClass::Quota))),
            StopReason::Failed,
            Status::Stopped,
        ),
        (
            Some(aborted(cut(CallClass::Auth))),
            StopReason::Failed,
            Status::Failed,
        ),
        (
            Some(Cut::Interrupted),
            StopReason::Failed,
            Status::Interrupted,
        ),
        (Some(Cut::Budget(calls)), StopReason::Empty, Status::Stopped),
        (Some(Cut::Broken), StopReason::Empty, Status::Failed),
    ];
    for (cut, stop, status) in cases {
        let end = SearchEnd {
            search_id: "s".to_owned(),
            stop,
            error: None,
        };
        let extracted = Extracted {
            cut,
            ended: vec![end],
            ..Extracted::default()
        };
        assert_eq!(Status::of(&extracted), status, "{extracted:?}");
        // With a page, the searches that failed have delivered something.
        let with_page = Extracted {
            pages: 1,
            ..extracted
        };
        let delivered = match (&with_page.cut, stop) {
            (None, StopReason::Failed) => Status::Partial,
            _ => status,
        };
        assert_eq!(Status::of(&with_page), delivered, "{with_page:?}");
    }
}

/// Returns a commit with the ledger of this date.
fn ledger_of(dt: &str, snapshot_at: &str, committed_at: &str) -> CommitRecord {
    let file = |table: &str| {
        serde_json::json!({
            "path": format!("tables/{table}/dt={dt}/r.parquet"),
            "table": table, "rows": 1, "bytes": 1, "checksum": "",
        })
    };
    let record = serde_json::json!({
        "format": 1, "commit_id": "c", "kind": "run", "pipeline": "test", "run_id": "r",
        "snapshot_at": snapshot_at, "simulated": false, "committed_at": committed_at,
        "add": [file("requests"), file("notes")], "remove": [], "applied": true,
    });
    serde_json::from_value(record).expect("a record")
}

#[test]
fn calls_of_a_day_are_looked_for_where_commits_since_then_have_put_them() {
    let day = |day| chrono::NaiveDate::from_ymd_opt(2026, 3, day).expect("a date");
    let (early, late) = ("2026-03-07T23:59:59Z", "2026-03-08T00:00:00Z");
    let commits = [
        ledger_of("2026-03-05", early, early),
        // A snapshot of the past, called for later.
        ledger_of("2026-03-06", early, late),
        ledger_of("2026-03-10", late, early),
    ];
    assert_eq!(ledgers_since(&commits, day(9), false), [day(6)].into());
    assert_eq!(ledgers_since(&commits, day(9), true), [day(10)].into());
}
