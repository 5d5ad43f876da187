//! The lock of commits. Order of all locks, of which a process may skip any: pipeline, rewrite,
//! marts, readers, commit.

use std::fs::File;
use std::path::Path;

use super::files::{failed, open_lock, open_shared_lock};
use super::{Lake, LakeError, STATE};

pub mod readers;

/// While it is held, no commit changes a file: what is read together belongs together. Released when
/// dropped. Whoever holds it commits nothing.
#[derive(Debug)]
pub struct CommitsHeld(#[expect(dead_code, reason = "held, not read")] pub(super) File);

impl Lake {
    pub(super) fn commit_lock(&self) -> Result<File, LakeError> {
        commit_lock(&self.root)
    }

    /// Keeps commits waiting while files are listed, so that all that are found are of the same state; several
    /// readers may do that at once. Nothing where this account cannot write the lake and its lock is not there or
    /// cannot be read.
    ///
    /// # Errors
    /// A lock that cannot be taken.
    pub fn lock_shared(&self) -> Result<Option<CommitsHeld>, LakeError> {
        let path = self.root.join(STATE).join("commit.lock");
        let Some(file) = open_shared_lock(&path)? else {
            return Ok(None);
        };
        file.lock_shared().map_err(failed("lock", &path))?;
        Ok(Some(CommitsHeld(file)))
    }
}

pub(super) fn commit_lock(root: &Path) -> Result<File, LakeError> {
    let path = root.join(STATE).join("commit.lock");
    let file = open_lock(&path)?;
    file.lock().map_err(failed("lock", &path))?;
    Ok(file)
}

/// File in a staging folder that its process keeps locked.
pub(super) const LOCK: &str = ".lock";
