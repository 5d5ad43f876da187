//! Everything that a lake holds of one run, and what was paid for it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use indexmap::IndexMap;
use serde::Serialize;

use crate::load::Lake;
use crate::load::inventory::LiveFile;
use crate::load::record::CommitRecord;
use crate::query::runs::{self, Paid};
use crate::run::catalog;
use crate::run::commit::ledger;
use crate::run::error::RunError;
use crate::run_meta::RunMeta;
use crate::spec::contracts::Contracts;
use crate::spec::table::Table;

/// The rows and pages of a run, and what was paid for them. The ledger is not counted.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunContents {
    pub run_id: String,
    pub pipeline: String,
    pub snapshot_at: DateTime<Utc>,
    /// Number of committed rows, by table.
    pub tables: BTreeMap<String, u64>,
    /// Number of held rows, by table.
    pub held: BTreeMap<String, u64>,
    pub raw: Vec<RawFileSize>,
    #[serde(flatten)]
    pub paid: Paid,
}

/// A file of the raw zone.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RawFileSize {
    pub path: PathBuf,
    pub bytes: u64,
}

impl RunContents {
    /// Reads the contents of the run of the commit `last`. `files` are the run's files without the
    /// ledger, `raw` are its raw files.
    ///
    /// # Errors
    /// The lake cannot be read.
    pub fn of(
        lake: &Lake,
        tables: &IndexMap<String, Table>,
        last: &CommitRecord,
        files: &[LiveFile],
        raw: &[(String, PathBuf)],
    ) -> Result<Self, RunError> {
        let run_id = last.run_id.as_str();
        let held = lake.held()?.into_iter().filter(|h| h.run_id == run_id);
        let mut held_rows = BTreeMap::new();
        for file in held.flat_map(|held| held.add) {
            if !ledger::is_ledger(&file.table) {
                *held_rows.entry(file.table).or_default() += file.rows;
            }
        }
        // A missing file has no size.
        let sizes = raw.iter().filter_map(|(_, path)| {
            let path = path.clone();
            let bytes = lake.size_of_raw(&[(run_id.to_owned(), path.clone())]);
            (bytes.files > 0).then_some(RawFileSize {
                path,
                bytes: bytes.bytes,
            })
        });
        let database = catalog::open_some(lake, tables, &["requests"])?;
        let paid = runs::paid(&database, run_id)?;
        drop(database);
        Ok(RunContents {
            run_id: run_id.to_owned(),
            pipeline: last.pipeline.clone(),
            snapshot_at: last.snapshot_at,
            tables: rows(lake, tables, run_id, files)?,
            held: held_rows,
            raw: sizes.collect(),
            paid,
        })
    }

    /// Returns the number of committed rows.
    pub fn rows(&self) -> u64 {
        self.tables.values().sum()
    }
}

/// Returns the number of rows of a run in these files, by table. Rows in files that other runs share
/// are counted by a query.
fn rows(
    lake: &Lake,
    tables: &IndexMap<String, Table>,
    run_id: &str,
    files: &[LiveFile],
) -> Result<BTreeMap<String, u64>, RunError> {
    let mut rows: BTreeMap<String, u64> = BTreeMap::new();
    let mut shared: BTreeSet<&str> = BTreeSet::new();
    for live in files {
        let rows = rows.entry(live.file.table.clone()).or_default();
        if live.runs.len() == 1 {
            *rows += live.file.rows;
        } else {
            shared.insert(&live.file.table);
        }
    }
    // Without a contract the rows in shared files stay.
    shared.retain(|name| tables.contains_key(*name));
    if shared.is_empty() {
        return Ok(rows);
    }
    let names: Vec<&str> = shared.into_iter().collect();
    let database = catalog::open_some(lake, tables, &names)?;
    for name in names {
        rows.insert(name.to_owned(), runs::rows_of(&database, name, run_id)?);
    }
    Ok(rows)
}

/// Returns the number of notes of a run that are new to the lake. `None` if the contracts have no
/// table of notes.
///
/// # Errors
/// The lake cannot be read.
pub fn new_notes(
    root: &Path,
    contracts: &Contracts,
    meta: &RunMeta,
) -> Result<Option<u64>, RunError> {
    if !contracts.tables.contains_key("notes") {
        return Ok(None);
    }
    let lake = Lake::open_unchanged(root)?;
    let database = catalog::open_some(&lake, &contracts.tables, &["notes"])?;
    let new = runs::new_notes(&database, &meta.run_id, meta.snapshot_date)?;
    Ok(Some(new))
}
