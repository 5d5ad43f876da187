//! The live files of the lake, computed from its commits.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::Path;

use chrono::NaiveDate;

use super::files::{failed, open_lock};
use super::{Lake, LakeError, STATE};
use crate::load::record::{AddedFile, CommitRecord, record_path};

/// A file that was committed and not removed since.
#[derive(Clone, Debug, PartialEq)]
pub struct LiveFile {
    pub file: AddedFile,
    /// The runs that may have rows in it.
    pub runs: BTreeSet<String>,
    pub simulated: bool,
}

impl LiveFile {
    /// Returns the partition folder of the file, relative to the lake.
    pub fn partition(&self) -> &Path {
        self.file.partition()
    }

    /// Returns the business date of its rows, from the partition folder.
    pub fn date(&self) -> Option<NaiveDate> {
        self.file.date()
    }

    /// Returns true if it is a file of a table, not of a mart.
    pub fn is_of_table(&self) -> bool {
        self.partition().starts_with("tables")
    }
}

impl AddedFile {
    /// Returns the partition folder of the file, relative to the lake.
    pub fn partition(&self) -> &Path {
        Path::new(&self.path).parent().unwrap_or(Path::new(""))
    }

    /// Returns the business date of its rows, from the partition folder.
    pub fn date(&self) -> Option<NaiveDate> {
        let folder = self.partition().file_name()?.to_str()?;
        folder.strip_prefix("dt=")?.parse().ok()
    }
}

/// Lock for replacing or removing committed files. Only one process holds it at a time.
#[derive(Debug)]
pub struct RewriteLock(#[expect(dead_code, reason = "held, not read")] File);

impl Lake {
    /// Returns all live files, by path.
    ///
    /// # Errors
    /// Fails if a record cannot be read.
    pub fn live_files(&self) -> Result<BTreeMap<String, LiveFile>, LakeError> {
        Ok(live(&self.commits()?))
    }

    /// Returns true if a commit with this id exists. The first commit of a run has the run's id.
    pub fn has_commit(&self, id: &str) -> bool {
        record_path(&self.root, id).exists()
    }

    /// Returns the live files that hold rows of a run, including those it shares with other runs.
    ///
    /// # Errors
    /// Fails if a record cannot be read.
    pub fn files_of(&self, run_id: &str) -> Result<Vec<LiveFile>, LakeError> {
        let files = self.live_files()?.into_values();
        Ok(files.filter(|live| live.runs.contains(run_id)).collect())
    }

    /// Waits for the rewrite lock. A process that replaces or removes committed files lists them
    /// after it has the lock, and commits before it drops the lock.
    ///
    /// # Errors
    /// Fails if the lock cannot be opened or taken.
    pub fn rewrite_lock(&self) -> Result<RewriteLock, LakeError> {
        let path = self.root.join(STATE).join("rewrite.lock");
        let file = open_lock(&path)?;
        file.lock().map_err(failed("lock", &path))?;
        Ok(RewriteLock(file))
    }
}

/// Applies commits in order and returns the resulting live files, by path.
fn live(commits: &[CommitRecord]) -> BTreeMap<String, LiveFile> {
    let mut files = BTreeMap::new();
    for commit in commits {
        for path in &commit.remove {
            files.remove(path);
        }
        for file in &commit.add {
            let runs = if file.runs.is_empty() {
                BTreeSet::from([commit.run_id.clone()])
            } else {
                file.runs.clone()
            };
            let live = LiveFile {
                file: file.clone(),
                runs,
                simulated: commit.simulated,
            };
            files.insert(file.path.clone(), live);
        }
    }
    files
}
