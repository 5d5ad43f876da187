//! What lies in the lake, as its commits say.

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
    /// The folder it lies in: its partition.
    pub fn partition(&self) -> &Path {
        self.file.partition()
    }

    /// The business date of its rows.
    pub fn date(&self) -> Option<NaiveDate> {
        self.file.date()
    }

    /// Whether it is a table's, not one that is made of tables.
    pub fn is_of_table(&self) -> bool {
        self.partition().starts_with("tables")
    }
}

impl AddedFile {
    /// The folder it lies in: its partition.
    pub fn partition(&self) -> &Path {
        Path::new(&self.path).parent().unwrap_or(Path::new(""))
    }

    /// The business date of its rows.
    pub fn date(&self) -> Option<NaiveDate> {
        let folder = self.partition().file_name()?.to_str()?;
        folder.strip_prefix("dt=")?.parse().ok()
    }
}

/// Held while files that are there are replaced or removed, so that nobody else replaces them at
/// the same time.
#[derive(Debug)]
pub struct RewriteLock(#[expect(dead_code, reason = "held, not read")] File);

impl Lake {
    /// All files of all tables, by path.
    ///
    /// # Errors
    /// A record that cannot be read.
    pub fn live_files(&self) -> Result<BTreeMap<String, LiveFile>, LakeError> {
        Ok(live(&self.commits()?))
    }

    /// Whether there is a commit of this id. A run's first commit has the run's.
    pub fn has_commit(&self, id: &str) -> bool {
        record_path(&self.root, id).exists()
    }

    /// The files that hold rows of a run now: its own, and those it shares with other runs.
    ///
    /// # Errors
    /// A record that cannot be read.
    pub fn files_of(&self, run_id: &str) -> Result<Vec<LiveFile>, LakeError> {
        let files = self.live_files()?.into_values();
        Ok(files.filter(|live| live.runs.contains(run_id)).collect())
    }

    /// Waits until nobody else rewrites files. Whoever replaces or removes committed files looks
    /// for them after that, and commits before it is dropped.
    ///
    /// # Errors
    /// A lock that cannot be opened.
    pub fn rewrite_lock(&self) -> Result<RewriteLock, LakeError> {
        let path = self.root.join(STATE).join("rewrite.lock");
        let file = open_lock(&path)?;
        file.lock().map_err(failed("lock", &path))?;
        Ok(RewriteLock(file))
    }
}

/// Commits in their order, summed up.
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
