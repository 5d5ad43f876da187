//! The readers' lock: keeps listed files in place while queries read them.
//!
//! A query lists the files of its tables once and opens them while it reads. It holds
//! `_state/readers.lock` shared until it has read everything. Operations that wait for readers
//! remove no files meanwhile. Commits of runs and of marts do not wait: a reader that meets one
//! finds a file missing and has to start again.
//!
//! File locks are not fair: overlapping readers could keep the lock shared forever. So a reader
//! first passes a gate, `_state/readers.gate`. While a process waits for readers, the gate is
//! alternately closed for [`TURN`] and open for [`TURN`]. Short queries let the waiting process
//! through within a turn. A query waits no longer than a turn, even if a long query holds the lock.
//!
//! Order of locks, of which a process may skip any: pipeline, rewrite, marts, readers, commit. A
//! process that holds the readers' lock shared takes only the commit lock.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::lake_layout::STATE;
use crate::lake_layout::state::{READERS_GATE, READERS_LOCK};
use crate::load::files::{failed, open_lock, open_shared_lock};
use crate::load::{Lake, LakeError};

/// Shared guard of the readers' lock. While it is held, existing files stay in place, unless a run
/// or a mart is committed. Released when dropped.
#[derive(Debug)]
pub struct Reading(#[expect(dead_code, reason = "held, not read")] File);

/// Exclusive guard of the readers' lock and its gate. While it is held, there are no readers, and
/// none can start. Released when dropped.
#[derive(Debug)]
pub struct NoReaders(#[expect(dead_code, reason = "held, not read")] (File, File));

impl Lake {
    /// Takes the readers' lock shared. Call this before files are listed, and hold it until they
    /// are read. Returns `None` if this account cannot write the lake and the lock file is missing
    /// or unreadable.
    ///
    /// # Errors
    /// Fails if a lock cannot be taken.
    pub fn begin_reading(&self) -> Result<Option<Reading>, LakeError> {
        let gate = self.shared(READERS_GATE)?;
        let lock = self.shared(READERS_LOCK)?;
        drop(gate);
        Ok(lock.map(Reading))
    }

    /// Waits until there are no readers, for at most [`patience`]. Returns `None` if there still
    /// are readers then.
    ///
    /// # Errors
    /// Fails if a lock cannot be taken.
    pub fn wait_for_readers(&self) -> Result<Option<NoReaders>, LakeError> {
        let until = Instant::now() + patience();
        let gate_path = self.lock_path(READERS_GATE);
        let path = self.lock_path(READERS_LOCK);
        let (gate, lock) = (open_lock(&gate_path)?, open_lock(&path)?);
        loop {
            // Readers hold the gate only briefly, and other waiting processes for one turn.
            gate.lock().map_err(failed("lock", &gate_path))?;
            let end = until.min(Instant::now() + TURN);
            if lock_until(&lock, &path, end)? {
                return Ok(Some(NoReaders((gate, lock))));
            }
            gate.unlock().map_err(failed("unlock", &gate_path))?;
            if Instant::now() >= until {
                return Ok(None);
            }
            // While the gate is open, a gap between readers is enough.
            if lock_until(&lock, &path, until.min(Instant::now() + TURN))? {
                return Ok(Some(NoReaders((gate, lock))));
            }
        }
    }

    /// Creates missing lock files, so that accounts that cannot write the lake can lock them
    /// shared.
    pub(in crate::load) fn make_reader_locks(&self) -> Result<(), LakeError> {
        for path in [READERS_GATE, READERS_LOCK].map(|name| self.lock_path(name)) {
            if !path.exists() {
                open_lock(&path)?;
            }
        }
        Ok(())
    }

    fn shared(&self, name: &str) -> Result<Option<File>, LakeError> {
        let path = self.lock_path(name);
        let Some(file) = open_shared_lock(&path)? else {
            return Ok(None);
        };
        file.lock_shared().map_err(failed("lock", &path))?;
        Ok(Some(file))
    }

    fn lock_path(&self, name: &str) -> PathBuf {
        self.root.join(STATE).join(name)
    }
}

/// Tries to take a lock until a deadline, at least once. Returns true if it was taken.
fn lock_until(lock: &File, path: &Path, until: Instant) -> Result<bool, LakeError> {
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(failed("lock", path)(error)),
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        std::thread::sleep(left.min(PAUSE));
    }
}

/// Returns the maximum time to wait for readers: 60 s. In tests, the failpoint `patience` sets it
/// in milliseconds.
pub fn patience() -> Duration {
    fail::fail_point!("patience", |milliseconds: Option<String>| {
        let milliseconds = milliseconds.and_then(|text| text.parse().ok());
        Duration::from_millis(milliseconds.unwrap_or_default())
    });
    Duration::from_secs(60)
}

/// Time for which the gate is closed, and then open again.
const TURN: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(5);
