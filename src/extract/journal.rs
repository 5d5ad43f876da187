//! What a run under way has done, on disk: every call before it is sent and after it has ended.
//! A run that dies can be continued from here and the raw zone, and no call is forgotten.
//!
//! A journal is a file of JSON lines. A page is acknowledged when its frame in the raw zone is on
//! disk; the journal is written before that, and synced with it. So a process that is killed
//! loses nothing, and a power cut at most the lines of calls that were under way.

use crate::extract::ledger::Sent;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::ledger::Call;
use crate::durable::{self, FileAccess};
use crate::plan::{Search, Shard};

/// A line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// The first line.
    Run(RunHead),
    /// A call is about to be sent.
    Sent(Sent),
    /// A call has ended.
    Done(Call),
    /// A search has failed for good.
    Failed { search_id: String, error: String },
    /// The notes to ask for were chosen, and these searches ask for them.
    Chosen { searches: Vec<Search> },
    /// The calls above are in the lake, and with `tables` what their pages hold, too.
    Committed { tables: bool },
    /// The run's own budget is used up: whoever goes on with it has it anew.
    BudgetSpent,
    /// Nothing is left to do.
    Closed,
}

/// What a run is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunHead {
    pub run_id: String,
    pub pipeline: String,
    pub plan_hash: String,
    pub shard: Option<Shard>,
    pub snapshot_at: DateTime<Utc>,
    /// By the run's clock, which is simulated in the sandbox.
    pub started_at: DateTime<Utc>,
    /// By the real clock.
    pub opened_at: DateTime<Utc>,
    pub simulated: bool,
}

#[derive(Debug, Error)]
pub enum JournalError {
    #[error("cannot {action} the run's journal {}", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("{}, line {line}, is no journal of this redlake: {reason}", path.display())]
    Format {
        path: PathBuf,
        line: usize,
        reason: String,
    },
}

impl JournalError {
    /// Whether the journal is not there any more.
    pub fn is_not_found(&self) -> bool {
        match self {
            JournalError::Io { source, .. } => source.kind() == io::ErrorKind::NotFound,
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
    /// Begins a journal that these accounts may read; its first line is on disk when this returns.
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

    /// Goes on with a journal. A line that was torn when its process died is cut off.
    ///
    /// # Errors
    /// The file cannot be written.
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

    /// Writes a line: it survives the death of this process, though not yet a power cut.
    ///
    /// # Errors
    /// The disk refuses it.
    pub fn append(&self, entry: &Entry) -> Result<(), JournalError> {
        self.append_all(std::slice::from_ref(entry))
    }

    /// Writes lines of which none may be there without the others, unless the power is cut.
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
            // One write: lines are torn by a power cut only.
            let mut file = self.lock();
            let before = file.metadata()?.len();
            let written = file.write_all(&lines);
            if written.is_err() {
                // More may be written when there is room again, and must not follow half a line.
                file.set_len(before)?;
            }
            written
        };
        write().map_err(failed("write", &self.path))
    }

    /// What was written survives a power cut, too, when this returns.
    ///
    /// # Errors
    /// The disk refuses it.
    pub fn sync(&self) -> Result<(), JournalError> {
        // Beside the lock, so that nobody waits for the disk who only wants to write a line.
        let file = self.lock().try_clone();
        let synced = file.and_then(|file| file.sync_data());
        synced.map_err(failed("write", &self.path))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, File> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes the lock that says that the run is under way; it dies with the process.
fn claim(file: &File) -> io::Result<()> {
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => io::Error::other("its run is under way in another process"),
        TryLockError::Error(error) => error,
    })
}

/// Whether the process that writes a journal is alive; it holds a lock on it.
pub fn is_under_way(path: &Path) -> bool {
    let lock = File::open(path).map(|file| file.try_lock());
    matches!(lock, Ok(Err(TryLockError::WouldBlock)))
}

/// The first line of a journal; nothing, if its process died before it.
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

/// The lines of a journal; one that was torn is left out.
///
/// # Errors
/// A file that cannot be read, or that holds something else.
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

/// Up to the last line's end.
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
