//! One run: what is known of it, and what becomes of the tables that a check held back.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::load::Lake;
use crate::load::held::Held;
use crate::load::record::AddedFile;
use crate::query::duckdb::Database;
use crate::query::runs::{self, CallsOf, RunRow};
use crate::run::commit::rows;
use crate::run::error::RunError;
use crate::run::marts::refresh_or_warn;
use crate::run::{catalog, ledger};
use crate::spec::contracts::Contracts;

/// All that the lake knows of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Shown {
    pub run_id: String,
    /// Its row of the table `runs`.
    pub run: Option<RunRow>,
    pub files: Vec<AddedFile>,
    pub calls: Vec<CallsOf>,
    /// What waits for `publish` or `discard`.
    pub held: Option<Held>,
    /// Where its pages are.
    pub raw: Vec<PathBuf>,
    /// The folders that this account may not read: what is held, and where pages are, is not known then.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<&'static str>,
}

/// A run whose held tables were committed.
#[derive(Debug, Serialize)]
pub struct Published {
    pub run_id: String,
    pub rows: BTreeMap<String, u64>,
    /// Why `lake.duckdb` could not be written; the data is committed all the same.
    #[serde(skip)]
    pub catalog_error: Option<RunError>,
}

/// A run whose held tables were dropped.
#[derive(Clone, Debug, Serialize)]
pub struct Discarded {
    pub run_id: String,
    pub pipeline: String,
    /// Where its pages are, which tables can be made of.
    pub raw: Vec<PathBuf>,
}

/// Looks a run up by its id or the beginning of it.
///
/// # Errors
/// [`RunError::UnknownRun`], [`RunError::AmbiguousRun`]; the lake cannot be read.
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
        held,
        raw,
        run_id,
    })
}

/// Commits the tables that are held of a run.
///
/// # Errors
/// As [`show`]; nothing is held, or it cannot be committed.
pub fn publish(root: &Path, contracts: &Contracts, asked: &str) -> Result<Published, RunError> {
    let lake = Lake::open_existing(root)?;
    let run_id = find(&lake, contracts, asked)?;
    let rewriting = lake.rewrite_lock()?;
    let record = lake.publish(&run_id)?;
    drop(rewriting);
    refresh_or_warn(&lake, contracts);
    Ok(Published {
        rows: rows(&record),
        run_id,
        catalog_error: catalog::write(&lake, contracts).err(),
    })
}

/// Drops the tables that are held of a run. Its pages and its ledger stay.
///
/// # Errors
/// As [`show`]; nothing is held.
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

/// The one run whose id begins so.
///
/// # Errors
/// [`RunError::UnknownRun`], [`RunError::AmbiguousRun`]; the lake cannot be read.
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

/// The ids that share the longest beginning with what was asked for, a few; of those that share
/// none the newest.
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
