//! The files of marts, and the inputs that they were computed from.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::files::{list, replace_json};
use super::{Lake, LakeError};
use crate::lake_layout::{self, STATE, state};
use crate::load::record::{CommitKind, CommitRecord};

/// Map from a date to the hash of the inputs of its figures.
pub type Inputs = BTreeMap<NaiveDate, String>;

/// Inputs and failures of the last computation of the marts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Computed {
    pub days: Inputs,
    /// The marts that could not be computed from these inputs.
    #[serde(default)]
    pub failed: Vec<FailedMart>,
}

/// A mart without rows for a date, because it could not be computed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedMart {
    pub date: NaiveDate,
    /// `None` if the tables could not be read for any mart of the date.
    pub mart: Option<String>,
    pub reason: String,
}

impl Lake {
    /// Returns, for every date of these tables, a hash of `definition` and of the commits that
    /// changed their rows on this or an earlier date. Earlier dates count because figures such as
    /// new notes look back. All files of these commits are in place.
    ///
    /// # Errors
    /// Fails if a record cannot be read.
    pub fn mart_inputs(
        &self,
        tables: &BTreeSet<String>,
        definition: &str,
    ) -> Result<Inputs, LakeError> {
        let mut commits: BTreeMap<NaiveDate, BTreeSet<String>> = BTreeMap::new();
        let _held = self.lock_exclusive()?;
        let records = self.commits()?.into_iter();
        for record in records.filter(|record| changes_rows(record.kind)) {
            for date in dates(&record, tables) {
                let of_date = commits.entry(date).or_default();
                of_date.insert(record.commit_id.clone());
            }
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update(definition.as_bytes());
        let inputs = commits.into_iter().map(|(date, ids)| {
            hasher.update(format!("\n{date}").as_bytes());
            for id in ids {
                hasher.update(format!(" {id}").as_bytes());
            }
            (date, hasher.finalize().to_hex().to_string())
        });
        Ok(inputs.collect())
    }

    /// Returns the inputs that the marts in the lake were computed from. Empty if unknown.
    pub fn computed_marts(&self) -> Computed {
        let text = fs::read_to_string(self.root.join(STATE).join(state::COMPUTED_MARTS));
        let computed = text.ok().and_then(|text| serde_json::from_str(&text).ok());
        computed.unwrap_or_default()
    }

    /// Stores the inputs that the marts were computed from. If they are lost, the marts are
    /// recomputed once.
    ///
    /// # Errors
    /// Fails if the file cannot be written.
    pub fn remember_marts(&self, computed: &Computed) -> Result<(), LakeError> {
        replace_json(&self.root.join(STATE).join(state::COMPUTED_MARTS), computed)
    }

    /// Returns the files of a mart for a date, relative to the lake.
    ///
    /// # Errors
    /// Fails if the folder cannot be listed.
    pub fn mart_files(&self, mart: &str, date: NaiveDate) -> Result<Vec<String>, LakeError> {
        let folder = lake_layout::mart_folder(mart, date);
        let path = self.root.join(&folder);
        if !path.exists() {
            return Ok(Vec::new());
        }
        let files = list(&path)?.into_iter();
        let files = files.filter(|path| lake_layout::is_parquet(path));
        let name = |path: &Path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            format!("{folder}/{name}")
        };
        Ok(files.map(|path| name(&path)).collect())
    }

    /// Returns true if `files` is exactly one file with these bytes, or empty if `bytes` is `None`.
    pub fn is_in_place(&self, files: &[String], bytes: Option<&[u8]>) -> bool {
        match (files, bytes) {
            ([], None) => true,
            ([file], Some(bytes)) => {
                fs::read(self.root.join(file)).is_ok_and(|there| there == bytes)
            }
            _ => false,
        }
    }
}

/// Returns true if a commit of this kind changes the rows of tables.
fn changes_rows(kind: CommitKind) -> bool {
    match kind {
        CommitKind::Run | CommitKind::Replace | CommitKind::Prune => true,
        CommitKind::Compact | CommitKind::Marts => false,
    }
}

/// Returns the dates of the files of these tables that a commit adds or removes.
fn dates(record: &CommitRecord, tables: &BTreeSet<String>) -> BTreeSet<NaiveDate> {
    let added = record.add.iter().map(|file| &file.path);
    let changed = added.chain(&record.remove);
    changed.filter_map(|path| date(path, tables)).collect()
}

fn date(path: &str, tables: &BTreeSet<String>) -> Option<NaiveDate> {
    let (table, date) = lake_layout::table_of(path)?;
    tables.contains(table).then_some(date)
}
