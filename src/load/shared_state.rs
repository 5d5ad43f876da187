//! Private JSON files in `_state/` that several processes change.

use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::LakeError;
use super::files::{create_private_dir, failed, open_private_lock, replace_private_json};
use crate::durable::FileAccess;
use crate::lake_layout::{RAW, STATE, is_lake};

/// A folder of such files. Using it takes no lock of the lake, so it never waits for a commit.
#[derive(Clone, Debug)]
pub struct SharedState {
    folder: PathBuf,
    access: FileAccess,
}

/// Lock of a [`SharedState`]. Released when dropped, or when the process dies.
#[derive(Debug)]
pub struct StateLock(#[expect(dead_code, reason = "held, not read")] File);

/// Time between two attempts to take a lock.
const PAUSE: Duration = Duration::from_millis(10);

impl SharedState {
    /// Returns the folder `name` below `_state/`. `None` if there is no lake.
    pub fn of(root: &Path, name: &str) -> Option<Self> {
        is_lake(root).then(|| SharedState {
            folder: root.join(STATE).join(name),
            access: FileAccess::of_folder(&root.join(RAW)),
        })
    }

    /// Reads a file. `None` if it does not exist.
    ///
    /// # Errors
    /// The file cannot be read, or is not the JSON of a `T`.
    pub fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, LakeError> {
        let path = self.folder.join(name);
        let text = match fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            text => text.map_err(failed("read", &path))?,
        };
        let value = serde_json::from_slice(&text).map_err(std::io::Error::from);
        value.map(Some).map_err(failed("read", &path))
    }

    /// Writes a file, beside it and renamed into place.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write<T: Serialize>(&self, name: &str, value: &T) -> Result<(), LakeError> {
        create_private_dir(&self.folder, self.access)?;
        replace_private_json(&self.folder.join(name), value, self.access)
    }

    /// Removes a file. It may be missing.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub fn remove(&self, name: &str) -> Result<(), LakeError> {
        let path = self.folder.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(failed("remove", &path)(error))
            }
            _ => Ok(()),
        }
    }

    /// Waits until `deadline` for the lock of this name. `None` if another process still holds it.
    ///
    /// # Errors
    /// The lock cannot be opened or taken.
    pub fn lock(&self, name: &str, deadline: Instant) -> Result<Option<StateLock>, LakeError> {
        create_private_dir(&self.folder, self.access)?;
        let path = self.folder.join(name);
        let file = open_private_lock(&path, self.access)?;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Some(StateLock(file))),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                    std::thread::sleep(PAUSE);
                }
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(failed("lock", &path)(error)),
            }
        }
    }
}
