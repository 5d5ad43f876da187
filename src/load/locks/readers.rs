//! Readers that hold on to the files that they have found, and those who replace these files.
//!
//! A query lists the files of its tables once and opens them while it reads. It shares `_state/readers.lock` until it
//! has read all: meanwhile nothing takes the files away that waits for readers. Commits of runs and of marts do not
//! wait: a reader that meets one finds a file gone and has to begin anew.
//!
//! A file lock is not fair: readers that overlap would keep it shared for ever. So a reader passes a gate first,
//! `_state/readers.gate`, which is closed for [`TURN`] at a time, and open as long, while somebody waits. Short
//! queries let one through within a turn, and a query waits no longer than that beside a long one.
//!
//! Order of locks, of which a process may leave any out: pipeline, rewrite, marts, readers, commit. Whoever holds
//! the lock of readers shared takes none but that of commits.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::load::files::{failed, open_lock, open_shared_lock};
use crate::load::{Lake, LakeError, STATE};

/// While it is held, files that are there stay where they are, unless a run or a mart is committed. Released when
/// dropped.
#[derive(Debug)]
pub struct Reading(#[expect(dead_code, reason = "held, not read")] File);

/// While it is held, nobody reads, and nobody begins to. Released when dropped.
#[derive(Debug)]
pub struct NoReaders(#[expect(dead_code, reason = "held, not read")] (File, File));

impl Lake {
    /// Begins to read; to be called before files are listed, and held until they are read. Nothing where this
    /// account cannot write the lake and the lock is not there or cannot be read.
    ///
    /// # Errors
    /// A lock that cannot be taken.
    pub fn begin_reading(&self) -> Result<Option<Reading>, LakeError> {
        let gate = self.shared(GATE)?;
        let lock = self.shared(READERS)?;
        drop(gate);
        Ok(lock.map(Reading))
    }

    /// Waits until nobody reads, at most [`patience`]; none if somebody still does.
    ///
    /// # Errors
    /// A lock that cannot be taken.
    pub fn wait_for_readers(&self) -> Result<Option<NoReaders>, LakeError> {
        let until = Instant::now() + patience();
        let gate_path = self.lock_path(GATE);
        let path = self.lock_path(READERS);
        let (gate, lock) = (open_lock(&gate_path)?, open_lock(&path)?);
        loop {
            // Readers hold it for a moment only, and whoever waits, for a turn.
            gate.lock().map_err(failed("lock", &gate_path))?;
            let end = until.min(Instant::now() + TURN);
            if lock_until(&lock, &path, end)? {
                return Ok(Some(NoReaders((gate, lock))));
            }
            gate.unlock().map_err(failed("unlock", &gate_path))?;
            if Instant::now() >= until {
                return Ok(None);
            }
            // With the gate open, a gap between readers will do, too.
            if lock_until(&lock, &path, until.min(Instant::now() + TURN))? {
                return Ok(Some(NoReaders((gate, lock))));
            }
        }
    }

    /// Makes the locks that are not there: an account that cannot write the lake shares them all the same.
    pub(in crate::load) fn make_reader_locks(&self) -> Result<(), LakeError> {
        for path in [GATE, READERS].map(|name| self.lock_path(name)) {
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

/// Takes a lock by then, or not at all; tries at least once.
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

/// How long to wait for readers. In tests, the failpoint `patience` says how many milliseconds.
pub fn patience() -> Duration {
    fail::fail_point!("patience", |milliseconds: Option<String>| {
        let milliseconds = milliseconds.and_then(|text| text.parse().ok());
        Duration::from_millis(milliseconds.unwrap_or_default())
    });
    Duration::from_secs(60)
}

/// How long the gate is closed, and then open again.
const TURN: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(5);
const READERS: &str = "readers.lock";
const GATE: &str = "readers.gate";
