//! Commits that wait for a decision: their files stay staged because a data check failed.
//!
//! `_staging/<commit id>/held.json` says what would be committed. Where the run's ledger is
//! committed beside it, that commit decides: until its record has its name, nothing is held, and
//! the staging is garbage like any other.

use std::fs::File;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::apply::{HELD, drop_staging};
use super::apply::{apply, finish_commits};
use super::columns;
use super::commit::Staging;
use super::files::{list, rename, replace_json, replace_private_json};
use super::record::next_commit_time;
use super::{FORMAT, Lake, LakeError, STAGING};
use crate::load::files::checksum;
use crate::load::locks::commit_lock;
use crate::load::record::{AddedFile, CommitKind, CommitRecord, RunRef};
use crate::load::record::{read, record_path};
use crate::spec::checks::Severity;

/// A commit that waits for a decision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Held {
    pub format: u32,
    /// The commit's id once it is published.
    pub commit_id: String,
    pub pipeline: String,
    pub run_id: String,
    /// The logical time of what the run observed.
    pub snapshot_at: DateTime<Utc>,
    pub simulated: bool,
    pub held_at: DateTime<Utc>,
    /// The commit of the run's ledger, without which nothing is held.
    pub ledger_commit: Option<String>,
    pub add: Vec<AddedFile>,
    /// Paths relative to the lake.
    pub remove: Vec<String>,
    /// Of every check, those that passed included.
    pub checks: Vec<CheckResult>,
}

/// What became of a data check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckResult {
    pub name: String,
    pub severity: Severity,
    pub outcome: HeldOutcome,
    /// What was found, or why the check could not be made.
    pub message: String,
    /// How many rows its query gave.
    pub failing_rows: u64,
    /// The first of them, by column.
    pub rows: Vec<IndexMap<String, Value>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeldOutcome {
    Passed,
    /// It failed and is of severity `warn`.
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

/// A staging that is being held; it counts as alive until this is dropped.
#[derive(Debug)]
pub struct Holding {
    pub held: Held,
    _lock: File,
}

impl Staging {
    /// Keeps the staged files back. With `ledger_commit` they are held once that commit has
    /// happened, without it at once.
    ///
    /// # Errors
    /// The staging cannot be written; it is garbage then.
    pub fn hold(
        self,
        run: &RunRef<'_>,
        remove: Vec<String>,
        ledger_commit: Option<String>,
        checks: Vec<CheckResult>,
    ) -> Result<Holding, LakeError> {
        let _guard = commit_lock(self.root())?;
        let (root, folder) = (self.root().to_owned(), self.folder().to_owned());
        let access = self.access();
        let (add, lock) = self.into_parts();
        // Its own id may be that of the ledger's commit.
        let commit_id = Uuid::now_v7().to_string();
        let target = root.join(STAGING).join(&commit_id);
        rename(&folder, &target)?;
        let held = Held {
            format: FORMAT,
            commit_id,
            pipeline: run.pipeline.to_owned(),
            run_id: run.run_id.to_owned(),
            snapshot_at: run.snapshot_at,
            simulated: run.simulated,
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
    /// The commits that wait for a decision, the oldest first; of a run only the newest.
    ///
    /// # Errors
    /// A folder or a file that cannot be read.
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
        all.retain(|_| !outdated.next().unwrap_or_default());
        Ok(all)
    }

    /// As [`Lake::held`]; none where this account may not read stagings.
    ///
    /// # Errors
    /// As [`Lake::held`].
    pub fn held_if_readable(&self) -> Result<Option<Vec<Held>>, LakeError> {
        match self.held() {
            Err(error) if error.is_forbidden() => Ok(None),
            held => held.map(Some),
        }
    }

    /// What is held of a run.
    ///
    /// # Errors
    /// As [`Lake::held`]; [`LakeError::NotHeld`].
    pub fn held_of(&self, run_id: &str) -> Result<Held, LakeError> {
        let all = self.held()?;
        let found = all.into_iter().find(|held| held.run_id == run_id);
        found.ok_or_else(|| LakeError::NotHeld(run_id.to_owned()))
    }

    /// Commits what is held of a run, as it was staged.
    ///
    /// # Errors
    /// Nothing is held; a held file is not as it was staged; the run's files have changed since.
    /// Nothing has happened then.
    pub fn publish(&self, run_id: &str) -> Result<CommitRecord, LakeError> {
        let held = self.held_of(run_id)?;
        let folder = self.root().join(STAGING).join(&held.commit_id);
        for file in &held.add {
            is_whole(&folder, file)?;
        }
        let _guard = self.commit_lock()?;
        finish_commits(&self.root)?;
        // Another process may have decided since.
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
        apply(self.root(), &record)?;
        Ok(CommitRecord {
            applied: true,
            ..record
        })
    }

    /// Drops what is held of a run. Its pages and its ledger stay.
    ///
    /// # Errors
    /// Nothing is held, or its files cannot be removed.
    pub fn discard(&self, run_id: &str) -> Result<Held, LakeError> {
        let held = self.held_of(run_id)?;
        self.supersede(run_id, None)?;
        Ok(held)
    }

    /// Drops all that is held of a run but the commit `but`: the run's tables were made anew.
    ///
    /// # Errors
    /// Files that cannot be removed.
    pub fn supersede(&self, run_id: &str, but: Option<&str>) -> Result<(), LakeError> {
        let _guard = self.commit_lock()?;
        for (folder, held) in self.stagings_held()? {
            // One with a record is published, and its files are moved when the lake is opened.
            let published = record_path(self.root(), &held.commit_id).exists();
            if held.run_id == run_id && but != Some(held.commit_id.as_str()) && !published {
                drop_staging(&folder)?;
            }
        }
        Ok(())
    }

    /// Every staging with a `held.json`.
    fn stagings_held(&self) -> Result<Vec<(PathBuf, Held)>, LakeError> {
        let mut all = Vec::new();
        let stagings = self.root().join(STAGING);
        // A copy that can only be read may lack empty folders.
        if !stagings.exists() {
            return Ok(all);
        }
        for folder in list(&stagings)? {
            let path = folder.join(HELD);
            match read::<Held>(&path) {
                Ok(held) => all.push((folder, held)),
                // No staging that is held, or one that was decided on since it was listed.
                Err(LakeError::Io { .. }) if !path.exists() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }

    /// Whether the run's files are those of the moment when the staging was held back.
    fn is_current(&self, held: &Held) -> Result<(), LakeError> {
        let of_run = |c: &CommitRecord| {
            c.run_id == held.run_id
                && c.committed_at > held.held_at
                && held.ledger_commit.as_ref() != Some(&c.commit_id)
        };
        let changed = self.commits()?.iter().any(of_run);
        let live = self.live_files()?;
        let gone = held.remove.iter().any(|path| !live.contains_key(path));
        // Rows of a table that is to be added must go, or the added file takes their place.
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

/// Whether a staging without a commit record is held, and so no garbage.
pub(super) fn is_held(root: &Path, folder: &Path) -> bool {
    let path = folder.join(HELD);
    match read::<Held>(&path) {
        Ok(held) => held
            .ledger_commit
            .is_none_or(|id| record_path(root, &id).exists()),
        // What cannot be read is kept: it may be all there is of the tables.
        Err(_) => path.exists(),
    }
}

/// Whether a held file is as it was staged.
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
        Err(damaged("its checksum is another".to_owned()))
    }
}
