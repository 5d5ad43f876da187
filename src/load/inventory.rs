//! The live files of the lake, computed from its commits.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use chrono::NaiveDate;

use super::{Lake, LakeError};
use crate::lake_layout::{self, TABLES};
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
        self.partition().starts_with(TABLES)
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
        lake_layout::partition_date(folder)
    }
}

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
}

/// Applies commits in order and returns the resulting live files, by path.
pub fn live(commits: &[CommitRecord]) -> BTreeMap<String, LiveFile> {
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
