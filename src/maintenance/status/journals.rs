//! Runs that have not ended, from the journals of a lake: runs under way, and runs whose process was
//! killed.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use chrono::{DateTime, Utc};

use crate::extract::daily_spend::journals;
use crate::extract::journal::{self, Entry, JournalError, RunHead};
use crate::extract::ledger::Call;
use crate::load::Lake;
use crate::run::error::RunError;

/// A run whose journal is not closed.
#[derive(Clone, Debug)]
pub(super) struct UnclosedRun {
    pub head: RunHead,
    /// True if its process is alive.
    pub is_running: bool,
    /// True if its process died before it committed what it had fetched.
    pub is_killed: bool,
    /// Number of calls that were sent.
    pub calls: u64,
    /// Calls that are in no ledger. A call without an answer has unknown billing.
    pub uncommitted: Vec<SpentCall>,
    /// Number of fetched pages whose items are in no table.
    pub pages_without_rows: u64,
}

/// A call that is not in the ledger of the lake.
#[derive(Clone, Debug)]
pub(super) struct SpentCall {
    pub request_id: String,
    pub started_at: DateTime<Utc>,
    pub currency: Option<String>,
    /// Its charge, or the price of a call whose billing is unknown.
    pub cost: f64,
}

/// Returns the runs whose journals are not closed, oldest first. `commits` holds the number of
/// commits of each run. `None` if this account may not read the journals.
///
/// # Errors
/// A journal cannot be read for another reason.
pub(super) fn unclosed_runs(
    lake: &Lake,
    commits: &HashMap<&str, u64>,
) -> Result<Option<Vec<UnclosedRun>>, RunError> {
    match read_all(lake, commits) {
        Err(error) if error.is_forbidden() => Ok(None),
        runs => Ok(Some(runs?)),
    }
}

fn read_all(lake: &Lake, commits: &HashMap<&str, u64>) -> Result<Vec<UnclosedRun>, JournalError> {
    let mut runs = Vec::new();
    for path in journals(&lake.journals())? {
        // Most journals belong to runs that have ended.
        if ends_closed(&path) {
            continue;
        }
        let is_running = journal::is_under_way(&path);
        let entries = match journal::read(&path) {
            // Its pipeline has deleted it since it was listed.
            Err(error) if error.is_not_found() => continue,
            entries => entries?,
        };
        let Some(Entry::Run(head)) = entries.first() else {
            continue;
        };
        let committed = commits.get(head.run_id.as_str()).copied();
        runs.push(unclosed(head, &entries, is_running, committed.unwrap_or(0)));
    }
    Ok(runs)
}

/// Returns true if the last line says that the run is closed.
fn ends_closed(path: &Path) -> bool {
    let last = b"\"closed\"\n";
    let ends = || -> std::io::Result<bool> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::End(-(last.len() as i64)))?;
        let mut end = Vec::new();
        file.read_to_end(&mut end)?;
        Ok(end == last)
    };
    ends().unwrap_or(false)
}

fn unclosed(head: &RunHead, entries: &[Entry], is_running: bool, commits: u64) -> UnclosedRun {
    let is_commit = |entry: &Entry| matches!(entry, Entry::Committed { .. });
    let noted = entries.iter().filter(|entry| is_commit(entry)).count() as u64;
    // The process may have died between its commit and the line about it.
    let is_noted = commits <= noted;
    let since = |place: Option<usize>| {
        if is_noted {
            &entries[place.map_or(0, |at| at + 1)..]
        } else {
            &[]
        }
    };
    let after_ledger = since(entries.iter().rposition(is_commit));
    let has_tables = |entry: &Entry| *entry == Entry::Committed { tables: true };
    let after_tables = since(entries.iter().rposition(has_tables));
    let sent = entries.iter().filter_map(Entry::sent);
    let uncommitted = spent_calls(after_ledger);
    UnclosedRun {
        head: head.clone(),
        is_running,
        is_killed: !is_running && !uncommitted.is_empty(),
        calls: sent.count() as u64,
        uncommitted,
        pages_without_rows: after_tables.iter().filter(|entry| is_page(entry)).count() as u64,
    }
}

fn is_page(entry: &Entry) -> bool {
    entry.done().is_some_and(Call::is_page)
}

fn spent_calls(entries: &[Entry]) -> Vec<SpentCall> {
    let done = entries.iter().filter_map(Entry::done);
    let done: HashMap<&str, &Call> = done.map(|call| (call.request_id.as_str(), call)).collect();
    let mut seen = HashSet::new();
    let mut calls = Vec::new();
    for sent in entries.iter().filter_map(Entry::sent) {
        if seen.insert(sent.request_id.as_str()) {
            // `cost` is null for a call whose billing is unknown.
            let known = done.get(sent.request_id.as_str()).and_then(|c| c.cost);
            calls.push(SpentCall {
                request_id: sent.request_id.clone(),
                started_at: sent.started_at,
                currency: sent.currency.clone(),
                cost: known.or(sent.price).unwrap_or_default(),
            });
        }
    }
    calls
}
