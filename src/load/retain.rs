//! Retention of the raw zone.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

use super::files::{remove_if_there, sync_parent};
use super::{Lake, LakeError};
use crate::load::record::CommitRecord;
use crate::plan::RawRetention;

/// Number and size of the files removed from the raw zone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    pub files: u64,
    pub bytes: u64,
}

impl Lake {
    /// Returns the raw files that a pipeline need not keep any longer, each with the id of its run.
    ///
    /// Only files of the pipeline's own closed runs are included. The age of a run counts from its
    /// first commit. `is_of_pages` returns true for tables that are made of pages. A run without
    /// such a table in the lake has only its raw files, so only their age removes them.
    ///
    /// # Errors
    /// Fails if a record or a folder cannot be read.
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
            // The commit that closed the run, or a later one, must hold tables of its pages. Tables
            // of an earlier part of the run do not contain all pages.
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

    /// Returns the raw files of closed runs of all pipelines whose last commit is older than
    /// `before`.
    ///
    /// # Errors
    /// Fails if a record or a folder cannot be read.
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

    /// Returns the raw files, except those of runs with held tables. Once these are discarded, the
    /// raw files are all that is left of paid calls.
    fn raw_of_decided(&self) -> Result<Vec<(String, PathBuf)>, LakeError> {
        let held: BTreeSet<String> = self.held()?.into_iter().map(|held| held.run_id).collect();
        let mut files = self.raw_files()?;
        files.retain(|(run_id, _)| !held.contains(run_id));
        Ok(files)
    }

    /// Returns the number and size of the raw files that exist.
    pub fn size_of_raw(&self, files: &[(String, PathBuf)]) -> Removed {
        let sizes = files.iter().filter_map(|(_, path)| fs::metadata(path).ok());
        sizes.fold(Removed::default(), |all, metadata| Removed {
            files: all.files + 1,
            bytes: all.bytes + metadata.len(),
        })
    }

    /// Removes raw files, and records the removal first. Files that are already gone are not
    /// counted.
    ///
    /// # Errors
    /// Fails if the record cannot be written, or a file cannot be removed. Files before that one
    /// are removed.
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
