//! The raw files named by commits, and those removed on purpose. This tells a pruned raw file from
//! a lost one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::files::{failed, step, sync_parent};
use super::{Lake, LakeError};
use crate::clock;
use crate::lake_layout::{STATE, state};

/// A raw file as it was when its run was committed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RawFile {
    /// Relative to the lake.
    pub path: String,
    /// Its length at that commit. The file of a continued run grows beyond it.
    pub bytes: u64,
    /// BLAKE3 checksum of these bytes, in hex.
    pub checksum: String,
}

/// A raw file that commits name.
#[derive(Clone, Debug, PartialEq)]
pub struct CommittedRaw {
    pub file: RawFile,
    /// True if its run is closed, so nothing is appended any more.
    pub is_closed: bool,
}

/// One line of `_state/raw_removed.ndjson`.
#[derive(Serialize, Deserialize)]
struct Removal {
    path: String,
    bytes: u64,
    removed_at: DateTime<Utc>,
}

impl Lake {
    /// Measures raw files for the record of a commit. Missing files are left out.
    ///
    /// # Errors
    /// Fails if a file cannot be read.
    pub fn measure_raw(&self, paths: &[PathBuf]) -> Result<Vec<RawFile>, LakeError> {
        let there = paths.iter().filter(|path| path.exists());
        let measured = there.map(|path| {
            let bytes = fs::metadata(path).map_err(failed("read", path))?.len();
            Ok(RawFile {
                path: self.relative(path),
                bytes,
                checksum: checksum_of_beginning(path, bytes).map_err(failed("read", path))?,
            })
        });
        measured.collect()
    }

    /// Returns the raw files that commits name, by path. Each has the state of its newest commit.
    ///
    /// # Errors
    /// Fails if a record cannot be read.
    pub fn committed_raw(&self) -> Result<BTreeMap<String, CommittedRaw>, LakeError> {
        let commits = self.commits()?;
        let closed: BTreeSet<&str> = commits
            .iter()
            .filter(|commit| commit.closes_run)
            .map(|commit| commit.run_id.as_str())
            .collect();
        let files = commits.iter().flat_map(|commit| {
            let is_closed = closed.contains(commit.run_id.as_str());
            commit.raw.iter().map(move |file| {
                let file = file.clone();
                (file.path.clone(), CommittedRaw { file, is_closed })
            })
        });
        Ok(files.collect())
    }

    /// Returns the raw files that retention and `prune` removed, relative to the lake.
    ///
    /// # Errors
    /// Fails if the record cannot be read.
    pub fn removed_raw(&self) -> Result<BTreeSet<String>, LakeError> {
        let path = self.removals();
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
            text => text.map_err(failed("read", &path))?,
        };
        // The files of a line torn by a crash were not removed yet.
        let lines = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        Ok(lines.map(|Removal { path, .. }| path).collect())
    }

    /// Records that raw files are about to be removed; the record is on disk when this returns.
    ///
    /// # Errors
    /// Fails if the record cannot be written.
    pub(super) fn record_removal(&self, files: &[(&Path, u64)]) -> Result<(), LakeError> {
        let path = self.removals();
        let mut lines = Vec::new();
        for (file, bytes) in files {
            let removal = Removal {
                path: self.relative(file),
                bytes: *bytes,
                removed_at: clock::now(),
            };
            serde_json::to_writer(&mut lines, &removal)
                .map_err(|error| failed("write", &path)(error.into()))?;
            lines.push(b'\n');
        }
        let is_new = !path.exists();
        let append = || {
            step()?;
            let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
            file.write_all(&lines)?;
            file.sync_all()
        };
        append().map_err(failed("write", &path))?;
        if is_new {
            sync_parent(&path)?;
        }
        Ok(())
    }

    /// Returns a path below the lake with `/` between its parts, relative to the lake.
    pub fn relative(&self, path: &Path) -> String {
        let inside = path.strip_prefix(&self.root).unwrap_or(path);
        inside.to_string_lossy().replace('\\', "/")
    }

    fn removals(&self) -> PathBuf {
        self.root.join(STATE).join(state::RAW_REMOVED)
    }
}

/// Returns BLAKE3 (hex) of the first `bytes` of a file.
///
/// # Errors
/// Fails if a file cannot be read.
pub fn checksum_of_beginning(path: &Path, bytes: u64) -> io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(File::open(path)?.take(bytes))?;
    Ok(hasher.finalize().to_hex().to_string())
}
