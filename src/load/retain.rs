//! How long the raw zone keeps what was answered.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

use super::files::{remove_if_there, sync_parent};
use super::{Lake, LakeError};
use crate::load::record::CommitRecord;
use crate::plan::RawRetention;

/// What was removed from the raw zone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    pub files: u64,
    pub bytes: u64,
}

impl Lake {
    /// The raw files that a pipeline need not keep any longer, with the runs they belong to: only
    /// those of its own runs of which nothing is left to do. A run counts as old as its first
    /// commit. `is_of_pages` says whether a table is made of pages: without one in the lake, the
    /// raw files of a run are all there is of it, and only their age removes them.
    ///
    /// # Errors
    /// A record or a folder that cannot be read.
    pub fn expired_raw(
        &self,
        pipeline: &str,
        retention: RawRetention,
        now: DateTime<Utc>,
        is_of_pages: impl Fn(&str) -> bool,
    ) -> Result<Vec<(String, PathBuf)>, LakeError> {
        if retention == RawRetention::Forever {
            return Ok(Vec::new());
        }
        let commits = self.commits()?;
        let mut runs: BTreeMap<&str, Vec<&CommitRecord>> = BTreeMap::new();
        for commit in commits.iter().filter(|c| c.pipeline == pipeline) {
            runs.entry(&commit.run_id).or_default().push(commit);
        }
        let is_expired = |commits: &Vec<&CommitRecord>| match retention {
            RawRetention::Forever => false,
            // The commit that ended the run, or one after it, has to hold tables of its pages:
            // those of an earlier part of the run are not made of all of them.
            RawRetention::UntilTables => commits
                .iter()
                .skip_while(|commit| !commit.closes_run)
                .any(|commit| commit.add.iter().any(|file| is_of_pages(&file.table))),
            RawRetention::For(kept) => {
                let age = commits.iter().map(|c| now - c.committed_at).max();
                let age = age.and_then(|age| age.to_std().ok());
                age.is_some_and(|age| age > kept)
            }
        };
        let mut files = self.raw_of_decided()?;
        files.retain(|(run_id, _)| {
            let run = runs.get(run_id.as_str());
            run.is_some_and(|commits| commits.iter().any(|c| c.closes_run) && is_expired(commits))
        });
        Ok(files)
    }

    /// The raw files of runs of which nothing is left to do and whose last commit came before
    /// `before`, of all pipelines.
    ///
    /// # Errors
    /// A record or a folder that cannot be read.
    pub fn old_raw(&self, before: DateTime<Utc>) -> Result<Vec<(String, PathBuf)>, LakeError> {
        let commits = self.commits()?;
        let mut runs: BTreeMap<&str, (bool, DateTime<Utc>)> = BTreeMap::new();
        for commit in &commits {
            let (closed, last) = runs.entry(&commit.run_id).or_default();
            *closed |= commit.closes_run;
            *last = commit.committed_at.max(*last);
        }
        let mut files = self.raw_of_decided()?;
        files.retain(|(run_id, _)| {
            let run = runs.get(run_id.as_str());
            run.is_some_and(|(closed, last)| *closed && *last < before)
        });
        Ok(files)
    }

    /// The raw files but for those of runs whose tables are held: once these are discarded, nothing else is
    /// left of what was paid for.
    fn raw_of_decided(&self) -> Result<Vec<(String, PathBuf)>, LakeError> {
        let held: BTreeSet<String> = self.held()?.into_iter().map(|held| held.run_id).collect();
        let mut files = self.raw_files()?;
        files.retain(|(run_id, _)| !held.contains(run_id));
        Ok(files)
    }

    /// What removing raw files would remove.
    pub fn size_of_raw(&self, files: &[(String, PathBuf)]) -> Removed {
        let sizes = files.iter().filter_map(|(_, path)| fs::metadata(path).ok());
        sizes.fold(Removed::default(), |all, metadata| Removed {
            files: all.files + 1,
            bytes: all.bytes + metadata.len(),
        })
    }

    /// Removes raw files, and records that before; one that is gone already is not counted.
    ///
    /// # Errors
    /// The record cannot be written, or a file not be removed; those before it are gone.
    pub fn remove_raw(&self, files: &[(String, PathBuf)]) -> Result<Removed, LakeError> {
        let size = |path: &PathBuf| fs::metadata(path).ok().map(|metadata| metadata.len());
        let there: Vec<(&Path, u64)> = files
            .iter()
            .filter_map(|(_, path)| Some((path.as_path(), size(path)?)))
            .collect();
        if there.is_empty() {
            return Ok(Removed::default());
        }
        self.record_removal(&there)?;
        let mut removed = Removed::default();
        for (path, bytes) in there {
            remove_if_there(path)?;
            sync_parent(path)?;
            removed.files += 1;
            removed.bytes += bytes;
        }
        Ok(removed)
    }
}
