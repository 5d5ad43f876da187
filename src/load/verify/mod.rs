//! Verification: compares the files of the lake with its commits.

pub mod last;
pub mod modes;
pub mod quarantine;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::Serialize;

use super::files::{checksum, failed, list};
use super::inventory::LiveFile;
use super::{Lake, LakeError};
use crate::load::record::AddedFile;
use crate::load::verify::modes::Remark;
use crate::load::verify::quarantine::Moved;
use crate::spec::table::FOLDERS;

/// Result of a verification: totals and problems.
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
    /// Remarks that are no problems of files.
    pub remarks: Vec<Remark>,
    /// The files that were moved to quarantine.
    pub moved: Vec<Moved>,
    /// Paths of the strangers in the lake, exactly as in the file system.
    #[serde(skip)]
    pub strangers: Vec<PathBuf>,
}

/// A file that differs from its commit.
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
    /// A commit added the file, and it does not exist.
    Missing,
    /// The file has another length, or other bytes.
    Damaged,
    /// No commit added it, and every reader of the table reads it; or a link, of which no commit makes any.
    #[serde(rename = "stranger")]
    Uncommitted,
}

impl ProblemKind {
    pub fn as_str(self) -> &'static str {
        match self {
            ProblemKind::Missing => "missing",
            ProblemKind::Damaged => "damaged",
            ProblemKind::Uncommitted => "stranger",
        }
    }
}

impl Lake {
    /// Reads every committed file and compares it with its record.
    ///
    /// # Errors
    /// Fails if a record or a folder cannot be read. Problems of files are part of the result.
    pub fn verify(&self) -> Result<Verified, LakeError> {
        let (live, there) = self.snapshot()?;
        let mut found = Verified {
            remarks: self.open_folders(),
            ..Verified::default()
        };
        let strangers: Vec<&Found> = there
            .iter()
            .filter(|file| file.is_link || !live.contains_key(&file.name()))
            .collect();
        for file in &strangers {
            let detail = if file.is_link {
                "a symbolic link; its target was not checked"
            } else {
                "no commit added it"
            };
            found.problems.push(Problem {
                path: file.name(),
                kind: ProblemKind::Uncommitted,
                detail: detail.to_owned(),
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
        // A commit may have removed or replaced files during the verification.
        if !found.problems.is_empty() {
            let (now, _) = self.snapshot()?;
            found.problems.retain(|problem| {
                let then = live.get(&problem.path);
                then.map(|l| &l.file) == now.get(&problem.path).map(|l| &l.file)
            });
        }
        found.problems.sort_by(|a, b| a.path.cmp(&b.path));
        let is_stranger = |file: &&&Found| {
            let mut problems = found.problems.iter();
            problems.any(|p| p.kind == ProblemKind::Uncommitted && p.path == file.name())
        };
        let strangers = strangers.iter().filter(is_stranger);
        found.strangers = strangers.map(|file| file.path.clone()).collect();
        found.strangers.sort();
        Ok(found)
    }

    /// Checks that a committed file matches its record.
    ///
    /// # Errors
    /// Returns [`LakeError::Damaged`] if it does not.
    pub fn require_whole(&self, file: &AddedFile) -> Result<(), LakeError> {
        let path = self.root.join(&file.path);
        match problem(&path, file) {
            None => Ok(()),
            Some((_, reason)) => Err(LakeError::Damaged { path, reason }),
        }
    }

    /// Returns the committed files and the existing files, consistently at one moment.
    fn snapshot(&self) -> Result<(BTreeMap<String, LiveFile>, Vec<Found>), LakeError> {
        let _still = self.lock_shared()?;
        let mut there = Vec::new();
        for folder in FOLDERS {
            files_below(&self.root, &self.root.join(folder), &mut there)?;
        }
        Ok((self.live_files()?, there))
    }
}

/// A file or a link in the folders of tables and marts.
struct Found {
    /// Relative to the lake.
    path: PathBuf,
    is_link: bool,
}

impl Found {
    /// Returns the path as commit records write it, with `/`.
    fn name(&self) -> String {
        self.path.to_string_lossy().replace('\\', "/")
    }
}

/// Lists the files at and below a path. Links are listed and not followed.
fn files_below(root: &Path, path: &Path, files: &mut Vec<Found>) -> Result<(), LakeError> {
    let is_link = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => {
            return list(path)?
                .iter()
                .try_for_each(|path| files_below(root, path, files));
        }
        Ok(found) => found.is_symlink(),
        // A commit removed the file after it was listed.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed("look at", path)(error)),
    };
    if let Ok(path) = path.strip_prefix(root) {
        files.push(Found {
            path: path.to_owned(),
            is_link,
        });
    }
    Ok(())
}

/// Returns the problem of the file at `path`, compared with its record.
fn problem(path: &Path, file: &AddedFile) -> Option<(ProblemKind, String)> {
    let length = match fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Some((ProblemKind::Missing, "it is missing".to_owned()));
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
            "its contents differ from what was committed".to_owned(),
        )),
        Err(error) => Some((ProblemKind::Damaged, error.to_string())),
    }
}
