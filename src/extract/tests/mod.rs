//! What an answer means, when paging ends, what may be spent, and what a journal tells.

mod budget;
mod day;
mod journal;
mod lanes;
mod pace;
mod pages;
mod policy;
mod rechecks;
mod replay;
mod requests;
mod stops;
mod turns;

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use super::journal::{Entry, Journal, RunHead};
use super::ledger::Call;
use crate::extract::ledger::Sent;
use crate::plan::{Plan, Search, StopRules, plan};
use crate::spec::class::CallClass;
use crate::spec::contracts::Contracts;
use crate::spec::load::load_pipeline;
use crate::spec::source::{Billed, Endpoint, Source};

static CONTRACTS: LazyLock<Arc<Contracts>> =
    LazyLock::new(|| Arc::new(Contracts::load(None).unwrap_or_else(|e| panic!("{e}"))));

const SHANGHAI: Tz = chrono_tz::Asia::Shanghai;

fn source(name: &str) -> &'static Source {
    &CONTRACTS.sources[name]
}

fn endpoint(source_name: &str, name: &str) -> &'static Endpoint {
    &source(source_name).endpoints[name]
}

/// A search of three pages at most, with these parameters.
fn search(params: &[(&str, &str)]) -> Search {
    let params = params.iter().map(|(k, v)| (k.to_string(), v.to_string()));
    Search {
        search_id: "24382dd2e0be3a01".to_owned(),
        source: "justoneapi".to_owned(),
        endpoint: "note_search".to_owned(),
        keyword: Some("防晒".to_owned()),
        keyword_set: Some("topics".to_owned()),
        filters: Default::default(),
        note_id: None,
        params: params.collect(),
        max_pages: 3,
        stop_when: StopRules::default(),
        wishes: Vec::new(),
        fields: Vec::new(),
    }
}

fn planned(pipeline: &str) -> Plan {
    let dir = tempfile::TempDir::new().expect("a temporary folder");
    let path = dir.path().join("test.yaml");
    std::fs::write(&path, pipeline).expect("a writable folder");
    let loaded = load_pipeline(&path, &|_| None).unwrap_or_else(|e| panic!("{e}"));
    plan(loaded, Arc::clone(&CONTRACTS)).unwrap_or_else(|e| panic!("{e}"))
}

fn time(text: &str) -> DateTime<Utc> {
    text.parse().expect("a time")
}

/// A call to the note search that is about to be sent.
fn sent(request_id: &str, started_at: &str, price: Option<f64>) -> Sent {
    Sent {
        request_id: request_id.to_owned(),
        source: "justoneapi".to_owned(),
        search_id: "24382dd2e0be3a01".to_owned(),
        endpoint: "note_search".to_owned(),
        keyword: None,
        note_id: None,
        page: 1,
        attempt: 1,
        started_at: time(started_at),
        price,
        currency: price.map(|_| "CNY".to_owned()),
    }
}

/// What became of it.
fn done(sent: &Sent, billed: Billed) -> Call {
    let call = Call {
        http_status: Some(200),
        class: CallClass::Ok,
        error: None,
        ..Call::unanswered(sent, "")
    };
    call.charged(billed, sent.price)
}

fn head(run_id: &str) -> RunHead {
    RunHead {
        run_id: run_id.to_owned(),
        pipeline: "test".to_owned(),
        plan_hash: "0123456789abcdef".to_owned(),
        shard: None,
        snapshot_at: time("2026-03-09T04:00:00Z"),
        started_at: time("2026-03-09T04:00:01.000002Z"),
        opened_at: time("2026-03-09T04:00:02Z"),
        simulated: false,
        replaces: Vec::new(),
    }
}

fn journal_path(folder: &Path, run_id: &str) -> PathBuf {
    folder.join(format!("{run_id}.ndjson"))
}

/// A journal of a run, with these entries after its first line.
fn journal(folder: &Path, head: RunHead, entries: &[Entry]) -> Journal {
    let path = journal_path(folder, &head.run_id);
    let journal =
        Journal::create(path, head, crate::durable::FileAccess::Owner).expect("a new journal");
    for entry in entries {
        journal.append(entry).expect("a writable journal");
    }
    journal
}
