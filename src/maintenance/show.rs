//! Shows a run, and publishes or discards its held tables.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::extract::daily_spend::journals;
use crate::extract::journal::{self, Entry};
use crate::load::Lake;
use crate::load::held::Held;
use crate::load::record::AddedFile;
use crate::query::duckdb::Database;
use crate::query::runs::{self, CallsOf, FailedRow, RunRow, UncommittedRun};
use crate::run::catalog;
use crate::run::commit::{ledger, rows};
use crate::run::error::RunError;
use crate::run::marts::refresh_or_warn;
use crate::spec::contracts::Contracts;

/// Returns the runs that made calls and have no row in `runs`, oldest first.
///
/// # Errors
/// A journal cannot be read.
pub fn uncommitted_runs(lake: &Lake, database: &Database) -> Result<Vec<UncommittedRun>, RunError> {
    let committed = runs::ids(database)?;
    let mut found = Vec::new();
    for path in journals(&lake.journals())? {
        let head = match journal::head(&path) {
            // Its pipeline has deleted it since it was listed.
            Err(error) if error.is_not_found() => continue,
            head => head?,
        };
        let Some(head) = head.filter(|head| !committed.contains(&head.run_id)) else {
            continue;
        };
        let entries = journal::read(&path)?;
        let is_running = journal::is_under_way(&path);
        let calls = entries.iter().filter(|e| matches!(e, Entry::Sent(_)));
        let requests = calls.count() as u64;
        if is_running || requests > 0 {
            found.push(UncommittedRun {
                run_id: head.run_id,
                pipeline: head.pipeline,
                snapshot_at: head.snapshot_at,
                started_at: head.started_at,
                status: if is_running { "running" } else { "open" },
                requests,
            });
        }
    }
    Ok(found)
}

/// Everything that the lake has about a run.
#[derive(Clone, Debug, Serialize)]
pub struct Shown {
    pub run_id: String,
    /// Its row in the table `runs`.
    pub run: Option<RunRow>,
    pub files: Vec<AddedFile>,
    pub calls: Vec<CallsOf>,
    /// Searches that failed, with the reason.
    pub failed: Vec<FailedRow>,
    /// Tables that wait for `publish` or `discard`.
    pub held: Option<Held>,
    /// Paths of its raw files.
    pub raw: Vec<PathBuf>,
    /// Folders that this account may not read. `held` or `raw` is then empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<&'static str>,
}

/// A run whose held tables were committed.
#[derive(Debug, Serialize)]
pub struct Published {
    pub run_id: String,
    pub rows: BTreeMap<String, u64>,
    /// Error of writing `lake.duckdb`, if it failed. The data is committed.
    #[serde(skip)]
    pub catalog_error: Option<RunError>,
}

/// A run whose held tables were dropped.
#[derive(Clone, Debug, Serialize)]
pub struct Discarded {
    pub run_id: String,
    pub pipeline: String,
    /// Paths of its raw files. `transform --raw` builds tables from them.
    pub raw: Vec<PathBuf>,
}

/// Finds a run by its id or a unique prefix of it.
///
/// # Errors
/// [`RunError::UnknownRun`] or [`RunError::AmbiguousRun`], or the lake cannot be read.
pub fn show(root: &Path, contracts: &Contracts, asked: &str) -> Result<Shown, RunError> {
    let lake = Lake::open_existing(root)?;
    let database = catalog::open_some(&lake, &contracts.tables, &ledger::TABLES)?;
    let mut unreadable = Vec::new();
    let held = lake.held_if_readable()?;
    unreadable.extend(held.is_none().then_some("_staging"));
    let held = held.unwrap_or_default();
    let run_id = resolve(&held, &database, asked)?;
    let files = lake.files_of(&run_id)?;
    let held = held.into_iter().find(|held| held.run_id == run_id);
    let raw = match raw_of(&lake, &run_id) {
        Err(RunError::Lake(error)) if error.is_forbidden() => {
            unreadable.push("raw");
            Vec::new()
        }
        raw => raw?,
    };
    Ok(Shown {
        unreadable,
        run: runs::row(&database, &run_id)?,
        files: files.into_iter().map(|live| live.file).collect(),
        calls: runs::calls(&database, &run_id)?,
        failed: runs::failed(&database, &run_id)?,
        held,
        raw,
        run_id,
    })
}

/// Commits the held tables of a run.
///
/// # Errors
/// As [`show`]. Also if nothing is held, or the commit fails.
pub fn publish(root: &Path, contracts: &Contracts, asked: &str) -> Result<Published, RunError> {
    let lake = Lake::open_existing(root)?;
    let run_id = find(&lake, contracts, asked)?;
    let rewriting = lake.lock_rewrites()?;
    let record = lake.publish(&run_id)?;
    drop(rewriting);
    refresh_or_warn(&lake, contracts);
    Ok(Published {
        rows: rows(&record),
        run_id,
        catalog_error: catalog::write(&lake, contracts).err(),
    })
}

/// Removes the held tables of a run. Keeps its pages and its ledger.
///
/// # Errors
/// As [`show`]. Also if nothing is held.
pub fn discard(root: &Path, contracts: &Contracts, asked: &str) -> Result<Discarded, RunError> {
    let lake = Lake::open_existing(root)?;
    let run_id = find(&lake, contracts, asked)?;
    let held = lake.discard(&run_id)?;
    Ok(Discarded {
        raw: raw_of(&lake, &run_id)?,
        run_id,
        pipeline: held.pipeline,
    })
}

/// Returns the id of the only run whose id is or starts with `asked`.
///
/// # Errors
/// [`RunError::UnknownRun`] or [`RunError::AmbiguousRun`], or the lake cannot be read.
pub(crate) fn find(lake: &Lake, contracts: &Contracts, asked: &str) -> Result<String, RunError> {
    let database = catalog::open_some(lake, &contracts.tables, &ledger::TABLES)?;
    resolve(&lake.held()?, &database, asked)
}

fn raw_of(lake: &Lake, run_id: &str) -> Result<Vec<PathBuf>, RunError> {
    let files = lake.raw_files()?.into_iter();
    let ours = files.filter(|(id, _)| id == run_id);
    Ok(ours.map(|(_, path)| path).collect())
}

fn resolve(held: &[Held], database: &Database, asked: &str) -> Result<String, RunError> {
    let mut ids = runs::ids(database)?;
    ids.extend(held.iter().map(|held| held.run_id.clone()));
    ids.sort();
    ids.dedup();
    if ids.iter().any(|id| id == asked) {
        return Ok(asked.to_owned());
    }
    let begins = |id: &&String| !asked.is_empty() && id.starts_with(asked);
    let mut fitting: Vec<String> = ids.iter().filter(begins).cloned().collect();
    match fitting.len() {
        1 => Ok(fitting.remove(0)),
        0 => Err(RunError::UnknownRun {
            asked: asked.to_owned(),
            near: nearest(&ids, asked),
        }),
        _ => Err(RunError::AmbiguousRun {
            asked: asked.to_owned(),
            ids: fitting,
        }),
    }
}

/// Returns the three ids with the longest common prefix with `asked`. Ties go to the newest.
fn nearest(ids: &[String], asked: &str) -> Vec<String> {
    let shared = |id: &str| {
        id.bytes()
            .zip(asked.bytes())
            .take_while(|(a, b)| a == b)
            .count()
    };
    let mut near: Vec<&String> = ids.iter().rev().collect();
    near.sort_by_key(|id| std::cmp::Reverse(shared(id)));
    near.into_iter().take(3).cloned().collect()
}
