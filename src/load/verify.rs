//! Whether the lake holds what its commits say, and nothing else.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::commit::AddedFile;
use super::files::{create_dir, list, rename};
use super::inventory::LiveFile;
use super::{Lake, LakeError, STATE};
use crate::spec::table::FOLDERS;

/// What was looked at, and what is wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Verified {
    pub files: u64,
    pub bytes: u64,
    pub rows: u64,
    pub raw_files: u64,
    pub raw_bytes: u64,
    pub raw_pages: u64,
    /// Raw files that commits name and that retention or `prune` removed.
    pub raw_pruned: u64,
    pub problems: Vec<Problem>,
    /// Facts to know that are no problems.
    pub remarks: Vec<String>,
}

/// A file that is not as it should be.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Problem {
    /// Relative to the lake.
    pub path: String,
    pub kind: ProblemKind,
    pub detail: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProblemKind {
    /// A commit added it, and it is not there.
    Missing,
    /// It has another length, or other bytes.
    Damaged,
    /// No commit added it, and every reader of the table reads it.
    Stranger,
}

impl ProblemKind {
    pub fn as_str(self) -> &'static str {
        match self {
            ProblemKind::Missing => "missing",
            ProblemKind::Damaged => "damaged",
            ProblemKind::Stranger => "stranger",
        }
    }
}

impl Lake {
    /// Reads every committed file and compares it with its record.
    ///
    /// # Errors
    /// A record or a folder that cannot be read. What is wrong with files is part of the answer.
    pub fn verify(&self) -> Result<Verified, LakeError> {
        let (live, there) = self.snapshot()?;
        let mut found = Verified::default();
        for path in there.iter().filter(|path| !live.contains_key(*path)) {
            found.problems.push(Problem {
                path: path.clone(),
                kind: ProblemKind::Stranger,
                detail: "no commit added it".to_owned(),
            });
        }
        for LiveFile { file, .. } in live.values() {
            found.files += 1;
            found.bytes += file.bytes;
            found.rows += file.rows;
            if let Some((kind, detail)) = problem(&self.root.join(&file.path), file) {
                let path = file.path.clone();
                found.problems.push(Problem { path, kind, detail });
            }
        }
        // A commit may have removed or replaced files while they were read.
        if !found.problems.is_empty() {
            let (now, _) = self.snapshot()?;
            found.problems.retain(|problem| {
                let then = live.get(&problem.path);
                then.map(|l| &l.file) == now.get(&problem.path).map(|l| &l.file)
            });
        }
        found.problems.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }

    /// Checks that a committed file is as its record says.
    ///
    /// # Errors
    /// [`LakeError::Damaged`]
    pub fn require_whole(&self, file: &AddedFile) -> Result<(), LakeError> {
        let path = self.root.join(&file.path);
        match problem(&path, file) {
            None => Ok(()),
            Some((_, reason)) => Err(LakeError::Damaged { path, reason }),
        }
    }

    /// Moves files that no commit added out of the tables, to where nobody reads them; the folder
    /// that they are in now.
    ///
    /// # Errors
    /// A file that cannot be moved.
    pub fn quarantine(&self, strangers: &[&str]) -> Result<PathBuf, LakeError> {
        let _guard = self.commit_lock()?;
        let folder = self.root.join(STATE).join("quarantine");
        for path in strangers {
            let target = folder.join(path);
            create_dir(target.parent().unwrap_or(&folder))?;
            rename(&self.root.join(path), &target)?;
        }
        Ok(folder)
    }

    /// The files that commits added, and those that are there, at one moment.
    fn snapshot(&self) -> Result<(BTreeMap<String, LiveFile>, Vec<String>), LakeError> {
        let _still = self.hold_still()?;
        let mut there = Vec::new();
        for folder in FOLDERS {
            files_below(&self.root, &self.root.join(folder), &mut there)?;
        }
        Ok((self.live_files()?, there))
    }
}

fn files_below(root: &Path, folder: &Path, files: &mut Vec<String>) -> Result<(), LakeError> {
    if !folder.exists() {
        return Ok(());
    }
    for path in list(folder)? {
        if path.is_dir() {
            files_below(root, &path, files)?;
        } else if let Ok(path) = path.strip_prefix(root) {
            files.push(path.to_string_lossy().replace('\\', "/"));
        }
    }
    Ok(())
}

/// What is wrong with the file at `path`, which should be this one.
fn problem(path: &Path, file: &AddedFile) -> Option<(ProblemKind, String)> {
    let length = match fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Some((ProblemKind::Missing, "it is not there".to_owned()));
        }
        Err(error) => return Some((ProblemKind::Damaged, error.to_string())),
    };
    if length != file.bytes {
        let detail = format!("{length} bytes instead of {}", file.bytes);
        return Some((ProblemKind::Damaged, detail));
    }
    match checksum(path) {
        Ok(checksum) if checksum == file.checksum => None,
        Ok(_) => Some((
            ProblemKind::Damaged,
            "other bytes than committed".to_owned(),
        )),
        Err(error) => Some((ProblemKind::Damaged, error.to_string())),
    }
}

/// BLAKE3 of a file, hex.
pub(super) fn checksum(path: &Path) -> io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(File::open(path)?)?;
    Ok(hasher.finalize().to_hex().to_string())
}
