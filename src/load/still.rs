//! Looking at a lake while nobody changes it.

use std::fs::File;

use super::apply::finish_commits;
use super::files::{failed, open_shared_lock};
use super::{Lake, LakeError, STATE};

/// While it is held, no commit changes a file: what is read together belongs together. Released when
/// dropped. Whoever holds it commits nothing.
#[derive(Debug)]
pub struct CommitsHeld(#[expect(dead_code, reason = "held, not read")] File);

impl Lake {
    /// Waits for a commit that is being made and finishes one that was cut off.
    ///
    /// # Errors
    /// A lock that cannot be taken, or a commit that cannot be finished.
    pub fn hold_commits(&self) -> Result<CommitsHeld, LakeError> {
        let guard = self.commit_lock()?;
        finish_commits(&self.root)?;
        Ok(CommitsHeld(guard))
    }

    /// Keeps commits waiting while files are listed, so that all that are found are of the same state; several
    /// readers may do that at once. Nothing where this account cannot write the lake and its lock is not there or
    /// cannot be read.
    ///
    /// # Errors
    /// A lock that cannot be taken.
    pub fn hold_still(&self) -> Result<Option<CommitsHeld>, LakeError> {
        let path = self.root.join(STATE).join("commit.lock");
        let Some(file) = open_shared_lock(&path)? else {
            return Ok(None);
        };
        file.lock_shared().map_err(failed("lock", &path))?;
        Ok(Some(CommitsHeld(file)))
    }
}
