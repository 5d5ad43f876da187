//! The commit lock. Order of all locks, of which a process may skip any: pipeline, rewrite, marts,
//! readers, commit.

use std::fs::File;
use std::path::Path;

use super::files::{failed, open_lock, open_shared_lock};
use super::{Lake, LakeError, STATE};

pub mod readers;

/// Guard of the commit lock. While it is held, no commit changes a file, so everything read under
/// it is consistent. The holder commits nothing. Released when dropped.
#[derive(Debug)]
pub struct CommitsHeld(#[expect(dead_code, reason = "held, not read")] pub(super) File);

impl Lake {
    pub(super) fn commit_lock(&self) -> Result<File, LakeError> {
        commit_lock(&self.root)
    }

    /// Takes the commit lock shared, so that commits wait while files are listed and the listing is
    /// consistent. Several readers may hold it at once. Returns `None` if this account cannot write
    /// the lake and the lock file is missing or unreadable.
    ///
    /// # Errors
    /// Fails if the lock cannot be taken.
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

/// Lock file in a staging folder. The process that stages holds it.
pub(super) const LOCK: &str = ".lock";
