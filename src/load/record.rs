//! Commit records, their reading, and the order of commits.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use chrono::{DateTime, TimeDelta, Utc};
use rayon::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::files::{failed, list, replace_json};
use super::raw_zone::RawFile;
use super::{FORMAT, Lake, LakeError};
use crate::clock;
use crate::lake_layout::{self, COMMITS, STATE, state};
use crate::run_meta::RunMeta;

/// The record of a commit. The first commit of a run has the run's id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CommitRecord {
    pub format: u32,
    pub commit_id: String,
    pub kind: CommitKind,
    pub pipeline: String,
    pub run_id: String,
    /// Logical time of the run's observations.
    pub snapshot_at: DateTime<Utc>,
    /// True if the run observed the sandbox instead of real sources.
    pub simulated: bool,
    pub committed_at: DateTime<Utc>,
    /// True if the run has nothing left to do.
    #[serde(default)]
    pub closes_run: bool,
    pub add: Vec<AddedFile>,
    /// Paths relative to the lake.
    pub remove: Vec<String>,
    /// The raw files of the run, if the run itself committed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub raw: Vec<RawFile>,
    pub applied: bool,
}

impl CommitRecord {
    /// Returns true if this run has nothing left to do after this commit.
    pub fn closes(&self, run_id: &str) -> bool {
        self.closes_run && self.run_id == run_id
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommitKind {
    /// A run's first commit.
    Run,
    /// More files of a continued run, or its pages flattened again.
    Replace,
    /// Merged files of a day, with unchanged rows.
    Compact,
    /// Removal of rows that are no longer wanted.
    Prune,
    /// Marts of a date, computed from the tables. They belong to no run and no pipeline.
    Marts,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AddedFile {
    /// Relative to the lake.
    pub path: String,
    pub table: String,
    pub rows: u64,
    pub bytes: u64,
    /// BLAKE3 checksum of the file, in hex.
    pub checksum: String,
    /// The runs that may have rows in it, if it holds rows of other runs than the commit's.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub runs: BTreeSet<String>,
}

/// The run whose files a commit adds, as its record names it.
#[derive(Clone, Copy, Debug)]
pub struct CommitSource<'a> {
    pub meta: &'a RunMeta,
    /// True if the run has nothing left to do.
    pub closes: bool,
    /// The raw files that the commit's rows and ledger come from.
    pub raw: &'a [RawFile],
}

impl<'a> CommitSource<'a> {
    /// Returns the source of a commit that closes no run and records no raw files.
    pub fn of(meta: &'a RunMeta) -> Self {
        CommitSource {
            meta,
            closes: false,
            raw: &[],
        }
    }
}

impl Lake {
    /// Returns all commits, oldest first.
    ///
    /// # Errors
    /// Fails if a record cannot be read.
    pub fn commits(&self) -> Result<Vec<CommitRecord>, LakeError> {
        let mut records = records(&self.root)?;
        records.sort_by(|a, b| (a.committed_at, &a.commit_id).cmp(&(b.committed_at, &b.commit_id)));
        Ok(records)
    }
}

/// Returns all commits, unordered. Of several errors, the first by name is returned.
pub(super) fn records(root: &Path) -> Result<Vec<CommitRecord>, LakeError> {
    let mut files = list(&root.join(COMMITS))?;
    files.retain(|path| path.extension().is_some_and(|e| e == "json"));
    if files.len() < MANY {
        return files.iter().map(|path| read(path)).collect();
    }
    let records: Vec<Result<_, _>> = files.par_iter().map(|path| read(path)).collect();
    records.into_iter().collect()
}

/// Minimum number of records for which all processors read them: to start their threads takes longer than
/// to read fewer. A year of hourly runs has ten thousand.
const MANY: usize = 256;

pub(super) fn record_path(root: &Path, commit_id: &str) -> PathBuf {
    root.join(lake_layout::record_path(commit_id))
}

/// A JSON file of redlake that names its format.
pub(super) trait Formatted: DeserializeOwned {
    fn format(&self) -> u32;
}

impl Formatted for CommitRecord {
    fn format(&self) -> u32 {
        self.format
    }
}

/// Reads a JSON file of redlake and checks its format number.
pub(super) fn read<T: Formatted>(path: &Path) -> Result<T, LakeError> {
    #[derive(Deserialize)]
    struct FormatOnly {
        format: u32,
    }
    let text = fs::read_to_string(path).map_err(failed("read", path))?;
    let content = serde_json::from_str::<T>(&text);
    let found = match &content {
        Ok(content) => Some(content.format()),
        // A newer file may have other fields.
        Err(_) => serde_json::from_str(&text)
            .ok()
            .map(|FormatOnly { format }| format),
    };
    let path = path.to_owned();
    match found {
        Some(found) if found != FORMAT => Err(LakeError::Newer { path, found }),
        _ => content.map_err(|error| LakeError::Record {
            path,
            reason: error.to_string(),
        }),
    }
}

/// Content of `clock.json`: the time of the lake's newest commit.
#[derive(Serialize, Deserialize)]
struct Newest {
    committed_at: DateTime<Utc>,
}

/// Returns the time of the next commit: now, or just after the newest commit, since commits are
/// ordered by their times. The caller holds the commit lock.
///
/// # Errors
/// Fails if the newest time cannot be written, or if it is unknown and a record cannot be read.
pub(super) fn next_commit_time(root: &Path) -> Result<DateTime<Utc>, LakeError> {
    let path = root.join(STATE).join(state::CLOCK);
    let kept = fs::read_to_string(&path).ok();
    let kept = kept.and_then(|text| serde_json::from_str::<Newest>(&text).ok());
    let newest = match kept {
        Some(kept) => Some(kept.committed_at),
        None => records(root)?
            .iter()
            .map(|record| record.committed_at)
            .max(),
    };
    let committed_at = after(newest, clock::now());
    replace_json(&path, &Newest { committed_at })?;
    Ok(committed_at)
}

fn after(newest: Option<DateTime<Utc>>, now: DateTime<Utc>) -> DateTime<Utc> {
    let Some(newest) = newest.filter(|newest| *newest >= now) else {
        return now;
    };
    if newest - now > TOLERATED {
        tracing::warn!(
            "this machine's clock says {}, and the lake's newest commit was at {}: one of the two is wrong; \
             commits keep their order anyway",
            now.format("%F %T UTC"),
            newest.format("%F %T UTC")
        );
    }
    let next = newest.checked_add_signed(TimeDelta::microseconds(1));
    next.unwrap_or(newest)
}

/// Tolerated clock skew between machines.
const TOLERATED: TimeDelta = TimeDelta::seconds(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_back_does_not_put_a_commit_before_another() {
        let at = |seconds| DateTime::from_timestamp(seconds, 0).expect("a time");
        assert_eq!(after(None, at(10)), at(10));
        assert_eq!(after(Some(at(9)), at(10)), at(10));
        let step = TimeDelta::microseconds(1);
        assert_eq!(after(Some(at(10)), at(10)), at(10) + step);
        assert_eq!(after(Some(at(9_000)), at(10)), at(9_000) + step);
    }
}
