//! Held commits: their files stay staged because a data check failed, until they are published or
//! discarded.
//!
//! `_staging/<commit id>/held.json` describes the commit. If the run's ledger is committed with it,
//! that commit decides: until its record is in place, nothing is held, and the staging is garbage
//! like any other.

use std::fs::File;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::apply::{Attempt, apply, drop_staging, finish_commits};
use super::commit::Staging;
use super::files::{list, rename, replace_json, replace_private_json};
use super::record::next_commit_time;
use super::{FORMAT, Lake, LakeError, columns};
use crate::lake_layout::{HELD, STAGING};
use crate::load::files::checksum;
use crate::load::locks::commit_lock;
use crate::load::record::{
    AddedFile, CommitKind, CommitRecord, CommitSource, Formatted, read, record_path,
};
use crate::spec::checks::Severity;

/// A held commit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Held {
    pub format: u32,
    /// Id of the commit once it is published.
    pub commit_id: String,
    pub pipeline: String,
    pub run_id: String,
    /// Logical time of the run's observations.
    pub snapshot_at: DateTime<Utc>,
    pub simulated: bool,
    pub held_at: DateTime<Utc>,
    /// Commit of the run's ledger. The commit is held only once this one has happened.
    pub ledger_commit: Option<String>,
    pub add: Vec<AddedFile>,
    /// Paths relative to the lake.
    pub remove: Vec<String>,
    /// Results of all checks, including those that passed.
    pub checks: Vec<CheckResult>,
}

impl Formatted for Held {
    fn format(&self) -> u32 {
        self.format
    }
}

/// Result of a data check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckResult {
    pub name: String,
    pub severity: Severity,
    pub outcome: HeldOutcome,
    /// The finding, or the reason why the check could not run.
    pub message: String,
    /// Number of rows that its query returned.
    pub failing_rows: u64,
    /// The first of these rows, as values by column.
    pub rows: Vec<IndexMap<String, Value>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeldOutcome {
    Passed,
    /// The check failed and has severity `warn`.
    Warned,
    Failed,
}

impl HeldOutcome {
    pub fn as_str(self) -> &'static str {
        match self {
            HeldOutcome::Passed => "passed",
            HeldOutcome::Warned => "warned",
            HeldOutcome::Failed => "failed",
        }
    }
}

/// A staging that has just been held. It counts as in use until this is dropped.
#[derive(Debug)]
pub struct Holding {
    pub held: Held,
    _lock: File,
}

impl Staging {
    /// Holds the staged files. With `ledger_commit` they are held once that commit has happened,
    /// otherwise at once.
    ///
    /// # Errors
    /// Fails if the staging cannot be written. It is garbage then.
    pub fn hold(
        self,
        run: CommitSource<'_>,
        remove: Vec<String>,
        ledger_commit: Option<String>,
        checks: Vec<CheckResult>,
    ) -> Result<Holding, LakeError> {
        let _guard = commit_lock(self.root())?;
        let (root, folder) = (self.root().to_owned(), self.folder().to_owned());
        let access = self.access();
        let (add, lock) = self.into_parts()?;
        // The staging may have the id of the ledger's commit, so the held commit gets a new one.
        let commit_id = Uuid::now_v7().to_string();
        let target = root.join(STAGING).join(&commit_id);
        rename(&folder, &target)?;
        let held = Held {
            format: FORMAT,
            commit_id,
            pipeline: run.meta.pipeline.clone(),
            run_id: run.meta.run_id.clone(),
            snapshot_at: run.meta.snapshot_at,
            simulated: run.meta.simulated,
            held_at: next_commit_time(&root)?,
            ledger_commit,
            add,
            remove,
            checks,
        };
        replace_private_json(&target.join(HELD), &held, access)?;
        Ok(Holding { held, _lock: lock })
    }
}

impl Lake {
    /// Returns the held commits, oldest first. Of each run, only the newest is included.
    ///
    /// # Errors
    /// Fails if a folder or a file cannot be read.
    pub fn held(&self) -> Result<Vec<Held>, LakeError> {
        let mut all: Vec<Held> = Vec::new();
        for (_, held) in self.stagings_held()? {
            let commit = held.ledger_commit.as_ref();
            if commit.is_none_or(|id| record_path(self.root(), id).exists()) {
                all.push(held);
            }
        }
        all.sort_by(|a, b| (a.held_at, &a.commit_id).cmp(&(b.held_at, &b.commit_id)));
        let newer = |at: usize| all[at + 1..].iter().any(|h| h.run_id == all[at].run_id);
        let outdated: Vec<bool> = (0..all.len()).map(newer).collect();
        let mut outdated = outdated.into_iter();
        all.retain(|_| !outdated.next().expect("one flag for each held run"));
        Ok(all)
    }

    /// Returns the same as [`Lake::held`], or `None` if this account may not read stagings.
    ///
    /// # Errors
    /// Fails as [`Lake::held`] does.
    pub fn held_if_readable(&self) -> Result<Option<Vec<Held>>, LakeError> {
        match self.held() {
            Err(error) if error.is_forbidden() => Ok(None),
            held => held.map(Some),
        }
    }

    /// Returns the held commit of a run.
    ///
    /// # Errors
    /// Fails as [`Lake::held`] does. Returns [`LakeError::NotHeld`] if the run has no held commit.
    pub fn held_of(&self, run_id: &str) -> Result<Held, LakeError> {
        let all = self.held()?;
        let found = all.into_iter().find(|held| held.run_id == run_id);
        found.ok_or_else(|| LakeError::NotHeld(run_id.to_owned()))
    }

    /// Commits the held files of a run, as they were staged.
    ///
    /// # Errors
    /// Fails if nothing is held, a held file has changed since it was staged, or the run's files
    /// have changed since. The lake is unchanged then.
    pub fn publish(&self, run_id: &str) -> Result<CommitRecord, LakeError> {
        let held = self.held_of(run_id)?;
        let folder = self.root().join(STAGING).join(&held.commit_id);
        for file in &held.add {
            is_whole(&folder, file)?;
        }
        let _guard = self.commit_lock()?;
        finish_commits(&self.root)?;
        // Another process may have published or discarded it meanwhile.
        if self.held_of(run_id)?.commit_id != held.commit_id {
            return Err(LakeError::NotHeld(run_id.to_owned()));
        }
        self.is_current(&held)?;
        columns::remember(self.root(), &columns::of_folder(&folder)?)?;
        let record = CommitRecord {
            format: FORMAT,
            commit_id: held.commit_id,
            kind: CommitKind::Replace,
            pipeline: held.pipeline,
            run_id: held.run_id,
            snapshot_at: held.snapshot_at,
            simulated: held.simulated,
            committed_at: next_commit_time(self.root())?,
            closes_run: true,
            add: held.add,
            remove: held.remove,
            raw: Vec::new(),
            applied: false,
        };
        replace_json(&record_path(self.root(), &record.commit_id), &record)?;
        apply(self.root(), &record, Attempt::First)?;
        Ok(CommitRecord {
            applied: true,
            ..record
        })
    }

    /// Removes the held commit of a run. The run's pages and ledger stay.
    ///
    /// # Errors
    /// Fails if nothing is held, or its files cannot be removed.
    pub fn discard(&self, run_id: &str) -> Result<Held, LakeError> {
        let held = self.held_of(run_id)?;
        self.supersede(run_id, None)?;
        Ok(held)
    }

    /// Removes all held commits of a run except `but`, because the run's tables were rebuilt.
    ///
    /// # Errors
    /// Fails if files cannot be removed.
    pub fn supersede(&self, run_id: &str, but: Option<&str>) -> Result<(), LakeError> {
        let _guard = self.commit_lock()?;
        for (folder, held) in self.stagings_held()? {
            // A staging with a commit record is published. Opening the lake moves its files.
            let published = record_path(self.root(), &held.commit_id).exists();
            if held.run_id == run_id && but != Some(held.commit_id.as_str()) && !published {
                drop_staging(&folder)?;
            }
        }
        Ok(())
    }

    /// Returns every staging folder that has a `held.json`.
    fn stagings_held(&self) -> Result<Vec<(PathBuf, Held)>, LakeError> {
        let mut all = Vec::new();
        let stagings = self.root().join(STAGING);
        // A read-only copy of a lake may lack empty folders.
        if !stagings.exists() {
            return Ok(all);
        }
        for folder in list(&stagings)? {
            let path = folder.join(HELD);
            match read::<Held>(&path) {
                Ok(held) => all.push((folder, held)),
                // The staging is not held, or it was published or discarded after the listing.
                Err(LakeError::Io { .. }) if !path.exists() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }

    /// Checks that the run's files are unchanged since the staging was held.
    fn is_current(&self, held: &Held) -> Result<(), LakeError> {
        let of_run = |c: &CommitRecord| {
            c.run_id == held.run_id
                && c.committed_at > held.held_at
                && held.ledger_commit.as_ref() != Some(&c.commit_id)
        };
        let changed = self.commits()?.iter().any(of_run);
        let live = self.live_files()?;
        let gone = held.remove.iter().any(|path| !live.contains_key(path));
        // The run's live files in the added tables must be removed or replaced by this commit.
        let adds = |table: &str| held.add.iter().any(|file| file.table == table);
        let replaces = |path: &String| {
            held.remove.contains(path) || held.add.iter().any(|file| file.path == *path)
        };
        let moved = live.iter().any(|(path, live)| {
            live.runs.contains(&held.run_id) && adds(&live.file.table) && !replaces(path)
        });
        if changed || gone || moved {
            Err(LakeError::Outdated(held.run_id.clone()))
        } else {
            Ok(())
        }
    }
}

/// Returns true if a staging without a commit record is held, and so must not be cleared.
pub(super) fn is_held(root: &Path, folder: &Path) -> bool {
    let path = folder.join(HELD);
    match read::<Held>(&path) {
        Ok(held) => held
            .ledger_commit
            .is_none_or(|id| record_path(root, &id).exists()),
        // An unreadable `held.json` counts as held: the staging may be the only copy of the tables.
        Err(_) => path.exists(),
    }
}

/// Checks that a held file has the checksum it had when it was staged.
fn is_whole(folder: &Path, file: &AddedFile) -> Result<(), LakeError> {
    let path = folder.join(&file.path);
    let damaged = |reason: String| LakeError::HeldFile {
        path: path.clone(),
        reason,
    };
    let found = checksum(&path).map_err(|error| damaged(error.to_string()))?;
    if found == file.checksum {
        Ok(())
    } else {
        Err(damaged("its checksum differs".to_owned()))
    }
}
