//! The journal of a run: every call is recorded on disk before it is sent and after it has ended. A
//! run that dies is resumed from its journal and the raw zone, and no call is lost.
//!
//! A journal is a file of JSON lines. A page is acknowledged when its frame in the raw zone is
//! durable. The journal is written before that, and synced together with it. A killed process loses
//! nothing. A power cut loses at most the lines of calls that were under way.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::ledger::Call;
use crate::durable::{self, FileAccess};
use crate::extract::ledger::Sent;
use crate::plan::{Search, Shard};
use crate::run_meta::RunMeta;

/// A line of a journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// The first line: identity of the run.
    Run(RunHead),
    /// A call is about to be sent.
    Sent(Sent),
    /// A call has ended.
    Done(Call),
    /// A search has failed permanently.
    Failed { search_id: String, error: String },
    /// The notes to request were chosen; these searches request them.
    Chosen { searches: Vec<Search> },
    /// The calls above are in the lake. With `tables`, the items of their pages are, too.
    Committed { tables: bool },
    /// The budget of the run is used up. Resuming resets that budget.
    BudgetSpent,
    /// Nothing is left to do in this run.
    Closed,
    /// The run is continued after it was closed. Its failed searches are made again.
    Reopened,
}

impl Entry {
    /// Returns the call that is about to be sent, if the entry is one.
    pub fn sent(&self) -> Option<&Sent> {
        match self {
            Entry::Sent(sent) => Some(sent),
            Entry::Run(_)
            | Entry::Done(_)
            | Entry::Failed { .. }
            | Entry::Chosen { .. }
            | Entry::Committed { .. }
            | Entry::BudgetSpent
            | Entry::Closed
            | Entry::Reopened => None,
        }
    }

    /// Returns the call that has ended, if the entry is one.
    pub fn done(&self) -> Option<&Call> {
        match self {
            Entry::Done(call) => Some(call),
            Entry::Run(_)
            | Entry::Sent(_)
            | Entry::Failed { .. }
            | Entry::Chosen { .. }
            | Entry::Committed { .. }
            | Entry::BudgetSpent
            | Entry::Closed
            | Entry::Reopened => None,
        }
    }
}

/// Identity of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunHead {
    pub run_id: String,
    pub pipeline: String,
    pub plan_hash: String,
    pub shard: Option<Shard>,
    pub snapshot_at: DateTime<Utc>,
    /// Start by the clock of the run, which is simulated in the sandbox.
    pub started_at: DateTime<Utc>,
    /// Start by the real clock.
    pub opened_at: DateTime<Utc>,
    pub simulated: bool,
    /// Runs of the same logical time whose rows the tables of this run replace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replaces: Vec<String>,
}

impl RunHead {
    /// Returns the identity of the run; `timezone` decides its business date.
    pub fn meta(&self, timezone: Tz) -> RunMeta {
        RunMeta::new(
            &self.run_id,
            &self.pipeline,
            self.snapshot_at,
            timezone,
            self.simulated,
        )
    }
}

#[derive(Debug, Error)]
pub enum JournalError {
    #[error("cannot {action} the run's journal {}", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("{}, line {line}, is not a journal of this redlake version: {reason}", path.display())]
    Format {
        path: PathBuf,
        line: usize,
        reason: String,
    },
}

impl JournalError {
    /// True if the file of the journal does not exist any more.
    pub fn is_not_found(&self) -> bool {
        match self {
            JournalError::Io { source, .. } => source.kind() == io::ErrorKind::NotFound,
            JournalError::Format { .. } => false,
        }
    }

    /// Returns true if this account may not read it.
    pub fn is_forbidden(&self) -> bool {
        match self {
            JournalError::Io { source, .. } => source.kind() == io::ErrorKind::PermissionDenied,
            JournalError::Format { .. } => false,
        }
    }
}

/// Appends to a journal, and holds a lock on it.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: Mutex<File>,
}

impl Journal {
    /// Creates a journal readable by the accounts of `access`. Its first line is durable on return.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn create(path: PathBuf, head: RunHead, access: FileAccess) -> Result<Self, JournalError> {
        let folder = path.parent().unwrap_or(Path::new("."));
        let open = || {
            durable::create_private_dir_all(folder, access)?;
            let mut options = OpenOptions::new();
            let options = options.create_new(true).append(true);
            let file = durable::open_private(options, &path, access)?;
            claim(&file)?;
            Ok(file)
        };
        let file = open().map_err(failed("create", &path))?;
        let journal = Journal {
            path,
            file: Mutex::new(file),
        };
        journal.append(&Entry::Run(head))?;
        journal.sync()?;
        let folder = journal.path.parent().unwrap_or(Path::new("."));
        durable::sync_dir(folder).map_err(failed("create", &journal.path))?;
        Ok(journal)
    }

    /// Opens an existing journal to append. Truncates a line that was torn when its process died.
    ///
    /// # Errors
    /// The file cannot be read, locked or written.
    pub fn reopen(path: PathBuf) -> Result<Self, JournalError> {
        let open = || {
            let whole = whole_lines(&fs::read(&path)?).len() as u64;
            let mut file = OpenOptions::new().append(true).open(&path)?;
            claim(&file)?;
            file.set_len(whole)?;
            file.seek(SeekFrom::End(0))?;
            Ok(file)
        };
        let file = open().map_err(failed("open", &path))?;
        Ok(Journal {
            path,
            file: Mutex::new(file),
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends an entry. The line survives the death of this process, but not yet a power cut.
    ///
    /// # Errors
    /// The write fails.
    pub fn append(&self, entry: &Entry) -> Result<(), JournalError> {
        self.append_all(std::slice::from_ref(entry))
    }

    /// Appends the entries in one write, so a crash cannot leave only some of them. A power cut
    /// can.
    ///
    /// # Errors
    /// As [`Journal::append`].
    pub fn append_all(&self, entries: &[Entry]) -> Result<(), JournalError> {
        let write = || {
            let mut lines = Vec::new();
            for entry in entries {
                serde_json::to_writer(&mut lines, entry)?;
                lines.push(b'\n');
            }
            // One write: only a power cut can tear lines.
            let mut file = self.lock();
            let before = file.metadata()?.len();
            let written = file.write_all(&lines);
            if written.is_err() {
                // Later lines are written when there is room again, and must not follow half a
                // line.
                file.set_len(before)?;
            }
            written
        };
        write().map_err(failed("write", &self.path))
    }

    /// Syncs the file: the lines written before survive a power cut on return.
    ///
    /// # Errors
    /// The sync fails.
    pub fn sync(&self) -> Result<(), JournalError> {
        // Syncs outside the mutex, so appenders do not wait for fsync.
        let file = self.lock().try_clone();
        let synced = file.and_then(|file| file.sync_data());
        synced.map_err(failed("write", &self.path))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, File> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Locks the file to mark the run as under way. The lock is released when the process exits.
fn claim(file: &File) -> io::Result<()> {
    // `is_under_way` holds the lock for a moment.
    for _ in 0..20 {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(25)),
            Err(TryLockError::Error(error)) => return Err(error),
            Ok(()) => return Ok(()),
        }
    }
    Err(io::Error::other("its run is active in another process"))
}

/// True if the process that writes a journal is alive, because it holds a lock on it.
pub fn is_under_way(path: &Path) -> bool {
    let lock = File::open(path).map(|file| file.try_lock());
    matches!(lock, Ok(Err(TryLockError::WouldBlock)))
}

/// Reads the first line of a journal. Returns `None` if its process died before writing it.
///
/// # Errors
/// As [`read`].
pub fn head(path: &Path) -> Result<Option<RunHead>, JournalError> {
    let file = File::open(path).map_err(failed("read", path))?;
    let mut line = Vec::new();
    let read = BufReader::new(file).read_until(b'\n', &mut line);
    read.map_err(failed("read", path))?;
    match whole_lines(&line) {
        [] => Ok(None),
        line => match parse(line, path, 1)? {
            Entry::Run(head) => Ok(Some(head)),
            _ => Ok(None),
        },
    }
}

/// Reads all entries of a journal, without a torn last line.
///
/// # Errors
/// The file cannot be read, or a line is not a journal entry.
pub fn read(path: &Path) -> Result<Vec<Entry>, JournalError> {
    let bytes = fs::read(path).map_err(failed("read", path))?;
    let lines = whole_lines(&bytes).split(|byte| *byte == b'\n');
    let lines = lines.enumerate().filter(|(_, line)| !line.is_empty());
    lines.map(|(at, line)| parse(line, path, at + 1)).collect()
}

pub(super) fn parse(line: &[u8], path: &Path, number: usize) -> Result<Entry, JournalError> {
    serde_json::from_slice(line).map_err(|error| JournalError::Format {
        path: path.to_owned(),
        line: number,
        reason: error.to_string(),
    })
}

/// Returns the bytes up to the end of the last complete line.
pub(super) fn whole_lines(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| *byte == b'\n');
    &bytes[..end.map_or(0, |at| at + 1)]
}

pub(super) fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> JournalError {
    let path = path.to_owned();
    move |source| JournalError::Io {
        action,
        path,
        source,
    }
}
