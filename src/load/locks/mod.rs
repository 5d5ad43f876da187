//! The locks of a lake. A process takes them in this order, and may skip any: pipeline, rewrite,
//! marts, readers, commit.
//!
//! A guard releases its lock when it is dropped, or when the process dies. A function that needs a
//! lock takes the guard as an argument. [`Lake::lock_exclusive`] also finishes interrupted commits.

use std::fs::{File, TryLockError};
use std::path::Path;

use super::files::{failed, open_lock, open_shared_lock};
use super::{Lake, LakeError};
use crate::lake_layout::{STATE, pipeline_lock, shard_lock, state};
use crate::plan::Shard;

pub mod readers;

/// Lock of a running pipeline. Released when dropped, or when the process dies.
#[derive(Debug)]
pub struct PipelineLock(#[expect(dead_code, reason = "held, not read")] Vec<File>);

/// Lock for replacing or removing committed files. Only one process holds it at a time.
#[derive(Debug)]
pub struct RewriteLock(#[expect(dead_code, reason = "held, not read")] File);

/// Lock for computing and committing marts. Released when dropped, or when the process dies.
#[derive(Debug)]
pub struct MartsLock(#[expect(dead_code, reason = "held, not read")] File);

/// Guard of the commit lock. While it is held, no commit changes a file, so everything read under
/// it is consistent. The holder commits nothing. Released when dropped.
#[derive(Debug)]
pub struct CommitsHeld(#[expect(dead_code, reason = "held, not read")] pub(super) File);

impl Lake {
    /// Locks a pipeline, so that it runs only once at a time. Its shards may run concurrently on
    /// several machines, each of them once.
    ///
    /// # Errors
    /// Returns [`LakeError::Busy`] while another process holds the lock.
    pub fn lock_pipeline(
        &self,
        pipeline: &str,
        shard: Option<Shard>,
    ) -> Result<PipelineLock, LakeError> {
        let lock = |name: String, lock: fn(&File) -> Result<(), TryLockError>| {
            let path = self.root.join(STATE).join(name);
            let file = open_lock(&path)?;
            match lock(&file) {
                Ok(()) => Ok(file),
                Err(TryLockError::WouldBlock) => Err(LakeError::Busy(pipeline.to_owned())),
                Err(TryLockError::Error(source)) => Err(LakeError::Io {
                    action: "lock",
                    path,
                    source,
                }),
            }
        };
        let whole = pipeline_lock(pipeline);
        let Some(Shard { index, count }) = shard else {
            return Ok(PipelineLock(vec![lock(whole, File::try_lock)?]));
        };
        let part = shard_lock(pipeline, index, count);
        Ok(PipelineLock(vec![
            lock(whole, File::try_lock_shared)?,
            lock(part, File::try_lock)?,
        ]))
    }

    /// Waits for the rewrite lock. A process that replaces or removes committed files lists them
    /// after it has the lock, and commits before it drops the lock.
    ///
    /// # Errors
    /// Fails if the lock cannot be opened or taken.
    pub fn lock_rewrites(&self) -> Result<RewriteLock, LakeError> {
        let path = self.root.join(STATE).join(state::REWRITE_LOCK);
        let file = open_lock(&path)?;
        file.lock().map_err(failed("lock", &path))?;
        Ok(RewriteLock(file))
    }

    /// Waits until no other process computes marts. Finishes commits of processes that died.
    ///
    /// # Errors
    /// Fails if the lock cannot be taken, or a commit cannot be finished.
    pub fn lock_marts(&self) -> Result<MartsLock, LakeError> {
        let path = self.root.join(STATE).join(state::MARTS_LOCK);
        let lock = open_lock(&path)?;
        lock.lock().map_err(failed("lock", &path))?;
        self.lock_exclusive()?;
        Ok(MartsLock(lock))
    }

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
        let path = self.root.join(STATE).join(state::COMMIT_LOCK);
        let Some(file) = open_shared_lock(&path)? else {
            return Ok(None);
        };
        file.lock_shared().map_err(failed("lock", &path))?;
        Ok(Some(CommitsHeld(file)))
    }
}

pub(super) fn commit_lock(root: &Path) -> Result<File, LakeError> {
    let path = root.join(STATE).join(state::COMMIT_LOCK);
    let file = open_lock(&path)?;
    file.lock().map_err(failed("lock", &path))?;
    Ok(file)
}
