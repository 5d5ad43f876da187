//! Recovery of interrupted commits.

use std::fs::File;
use std::path::Path;

use super::apply::{finish_commits, stagings};
use super::files::remove_dir_if_there;
use super::locks::CommitsHeld;
use super::{Lake, LakeError, columns, held};
use crate::lake_layout::STAGING_LOCK;

impl Lake {
    /// Finishes interrupted commits and removes abandoned stagings.
    pub(super) fn recover(&self) -> Result<(), LakeError> {
        let _guard = self.commit_lock()?;
        finish_commits(&self.root)?;
        columns::make(&self.root)?;
        for (_, staging) in stagings(&self.root)? {
            if is_abandoned(&staging) && !held::is_held(&self.root, &staging) {
                remove_dir_if_there(&staging)?;
            }
        }
        Ok(())
    }

    /// Takes the commit lock exclusively and finishes interrupted commits.
    ///
    /// # Errors
    /// Fails if the lock cannot be taken, or a commit cannot be finished.
    pub fn lock_exclusive(&self) -> Result<CommitsHeld, LakeError> {
        let guard = self.commit_lock()?;
        finish_commits(&self.root)?;
        Ok(CommitsHeld(guard))
    }
}

/// Returns true if the process that staged these files is dead.
fn is_abandoned(staging: &Path) -> bool {
    match File::open(staging.join(STAGING_LOCK)) {
        Ok(lock) => lock.try_lock().is_ok(),
        Err(_) => true,
    }
}
