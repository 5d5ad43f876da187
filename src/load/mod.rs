//! The lake on disk: its layout, and the commits that change it atomically.

mod apply;
pub mod columns;
pub mod commit;
pub mod encode;
pub mod evolution;
pub(crate) mod files;
pub mod held;
pub mod inventory;
pub mod locks;
pub mod marts;
pub mod raw_zone;
pub mod record;
mod recover;
pub mod retain;
pub mod shared_state;
pub mod time_zones;
pub mod verify;

#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::durable::FileAccess;
use crate::lake_layout::{self, COMMITS, MARTS, RAW, STAGING, STATE, TABLES, full_path, state};
use crate::spec::table::FileColumns;
use crate::spec::table::Table;
use crate::spec::yaml::diagnostic::Diagnostics;

/// Version of the folder layout and of commit records.
const FORMAT: u32 = 1;

/// An opened lake. Its folders exist, and interrupted commits are finished.
#[derive(Clone, Debug)]
pub struct Lake {
    root: PathBuf,
    /// Accounts that may read private files: pages, stagings, journals, files in quarantine.
    access: FileAccess,
}

#[derive(Debug, Error)]
pub enum LakeError {
    #[error("cannot {action} {}", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("there is no lake at {}", .0.display())]
    Missing(PathBuf),
    #[error("the lake at {} lacks {STATE}/{}", .0.display(), state::FORMAT)]
    StateLost(PathBuf),
    #[error("{} has format {found}; this redlake reads format {FORMAT}", path.display())]
    Newer { path: PathBuf, found: u32 },
    #[error("the record {} is damaged: {reason}", path.display())]
    Record { path: PathBuf, reason: String },
    #[error("the commit {commit} names {}, which is neither staged nor in place", path.display())]
    Lost { commit: String, path: PathBuf },
    #[error(
        "{} has {} MB free, and about {} MB are needed",
        path.display(),
        free / 1_000_000,
        needed / 1_000_000
    )]
    NoRoom {
        path: PathBuf,
        free: u64,
        needed: u64,
    },
    #[error("cannot read the Parquet file {}: {reason}", path.display())]
    Unreadable { path: PathBuf, reason: String },
    #[error("cannot encode the table {table}: {reason}")]
    Encode { table: String, reason: String },
    #[error("the commit {0} was interrupted, and the lake is not writable to finish it")]
    Unfinished(String),
    #[error("the contracts do not match the files of the lake")]
    Contracts(#[source] Diagnostics),
    #[error("another run of the pipeline {0} is under way")]
    Busy(String),
    #[error("the run {0} has no held tables")]
    NotHeld(String),
    #[error("the held file {} cannot be published: {reason}", path.display())]
    HeldFile { path: PathBuf, reason: String },
    #[error("the files of the run {0} have changed since its tables were held back")]
    Outdated(String),
    #[error(
        "the lake {} is below the folder `{folder}`, which readers would parse as the column `{column}` of \
         every row",
        root.display()
    )]
    BelowPartition {
        root: PathBuf,
        folder: String,
        column: String,
    },
    #[error("the file {} differs from what was committed: {reason}", path.display())]
    Damaged { path: PathBuf, reason: String },
    #[error("{} is a symbolic link or not a folder, so no file is moved through it", .0.display())]
    Link(PathBuf),
}

impl LakeError {
    /// Returns true if this account lacks the permission.
    pub fn is_forbidden(&self) -> bool {
        matches!(self, LakeError::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied)
    }
}

#[derive(Serialize, Deserialize)]
struct LakeFormat {
    format: u32,
}

impl Lake {
    /// Returns true if a file lies in the folder of the lake, or is a symbolic link to such a file. The
    /// file need not exist.
    pub fn has_place_of(&self, file: &Path) -> bool {
        let root = fs::canonicalize(&self.root).unwrap_or_else(|_| full_path(&self.root));
        let folder = full_path(file).parent().map(fs::canonicalize);
        let places = folder.into_iter().chain([fs::canonicalize(file)]);
        places.flatten().any(|place| place.starts_with(&root))
    }

    /// Opens the lake at `root` and creates missing folders. New private files are readable for the
    /// accounts that may enter the folder `raw`. If `raw` does not exist, only the owner may read
    /// them.
    ///
    /// # Errors
    /// Fails if a folder cannot be written, the lake has a newer format or has lost its state, or a
    /// commit cannot be finished.
    pub fn open(root: &Path) -> Result<Self, LakeError> {
        Lake::open_with(root, FileAccess::of_folder(&root.join(RAW)))
    }

    /// Opens the lake at `root` as [`Lake::open`] does. New private files are readable for the
    /// owner, and with `group` also for the owner's group. Existing folders keep their modes.
    ///
    /// # Errors
    /// Fails as [`Lake::open`] does.
    pub fn open_for(root: &Path, group: bool) -> Result<Self, LakeError> {
        let access = if group {
            FileAccess::Group
        } else {
            FileAccess::Owner
        };
        Lake::open_with(root, access)
    }

    fn open_with(root: &Path, access: FileAccess) -> Result<Self, LakeError> {
        is_there(root)?;
        let lake = Lake {
            root: root.to_owned(),
            access,
        };
        for folder in [TABLES, COMMITS, STATE] {
            files::create_dir(&root.join(folder))?;
        }
        for folder in [RAW, STAGING] {
            files::create_private_dir(&root.join(folder), access)?;
        }
        lake.make_reader_locks()?;
        {
            // Two processes may open a new lake at the same time.
            let _guard = lake.commit_lock()?;
            lake.check_format()?;
        }
        lake.recover()?;
        Ok(lake)
    }

    /// Opens an existing lake for reading. A lake that this account cannot write is read as it is,
    /// if no commit was interrupted.
    ///
    /// # Errors
    /// Fails as [`Lake::open`] does, and if there is no lake.
    pub fn open_existing(root: &Path) -> Result<Self, LakeError> {
        if !is_there(root)? {
            return Err(LakeError::Missing(root.to_owned()));
        }
        match Lake::open(root) {
            Err(LakeError::Io { source, .. }) if is_read_only(&source) => {
                let lake = Lake::open_unchanged(root)?;
                // Another account may be committing, and its record is not applied yet then.
                let _still = lake.lock_shared()?;
                match lake.commits()?.into_iter().find(|commit| !commit.applied) {
                    None => Ok(lake),
                    Some(commit) => Err(LakeError::Unfinished(commit.commit_id)),
                }
            }
            opened => opened,
        }
    }

    /// Opens an existing lake and changes nothing: an interrupted commit stays as it is.
    ///
    /// # Errors
    /// Fails if there is no lake, if it has a newer format or has lost its state, or if it cannot be
    /// read.
    pub fn open_unchanged(root: &Path) -> Result<Self, LakeError> {
        if !is_there(root)? {
            return Err(LakeError::Missing(root.to_owned()));
        }
        let lake = Lake {
            root: root.to_owned(),
            access: FileAccess::of_folder(&root.join(RAW)),
        };
        lake.check_format()?;
        Ok(lake)
    }

    /// Returns the column properties of the files that readers of these tables need.
    ///
    /// # Errors
    /// Fails if a folder cannot be listed. Returns [`LakeError::BelowPartition`] if a folder above
    /// the lake is named like a partition of a column.
    pub fn file_columns(&self, tables: &IndexMap<String, Table>) -> Result<FileColumns, LakeError> {
        self.keep_clear_of_columns(tables)?;
        Ok(evolution::file_columns(&self.columns()?, tables))
    }

    /// Checks that no folder above the lake is named like a partition of a column, such as `dt=…`.
    /// Readers of hive partitions would take that value for every row.
    fn keep_clear_of_columns(&self, tables: &IndexMap<String, Table>) -> Result<(), LakeError> {
        let root = std::path::absolute(&self.root).unwrap_or_else(|_| self.root.clone());
        let is_column = |name: &str| {
            let columns = tables.values().flat_map(|table| table.columns.keys());
            // SQL identifiers are case-insensitive.
            columns
                .map(String::as_str)
                .chain(["dt"])
                .any(|column| column.eq_ignore_ascii_case(name))
        };
        for folder in root.iter().filter_map(|folder| folder.to_str()) {
            if let Some((name, _)) = folder.split_once('=')
                && is_column(name)
            {
                let (folder, column) = (folder.to_owned(), name.to_owned());
                return Err(LakeError::BelowPartition {
                    root,
                    folder,
                    column,
                });
            }
        }
        Ok(())
    }

    /// Checks that the disk has room for `bytes` more bytes and for the files that belong to every
    /// commit.
    ///
    /// # Errors
    /// Returns [`LakeError::NoRoom`] if there is too little room.
    pub fn require_room(&self, bytes: u64) -> Result<(), LakeError> {
        let needed = bytes.saturating_add(SPARE);
        match files::free_bytes(&self.root) {
            Some(free) if free < needed => Err(LakeError::NoRoom {
                path: self.root.clone(),
                free,
                needed,
            }),
            _ => Ok(()),
        }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the accounts that may read private files.
    pub fn access(&self) -> FileAccess {
        self.access
    }

    /// Returns the path of a run's raw file for a source.
    pub fn raw_path(&self, source: &str, date: NaiveDate, run_id: &str) -> PathBuf {
        self.root.join(lake_layout::raw_path(source, date, run_id))
    }

    /// Returns the folder of the journals of unfinished runs. The first journal creates it.
    pub fn journals(&self) -> PathBuf {
        self.root.join(STATE).join(state::JOURNALS)
    }

    /// Returns the path of a run's journal.
    pub fn journal(&self, run_id: &str) -> PathBuf {
        self.journals().join(lake_layout::journal_name(run_id))
    }

    fn check_format(&self) -> Result<(), LakeError> {
        let path = self.root.join(STATE).join(state::FORMAT);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return files::replace_json(&path, &LakeFormat { format: FORMAT });
            }
            Err(source) => {
                return Err(LakeError::Io {
                    action: "read",
                    path,
                    source,
                });
            }
        };
        let LakeFormat { format: found } =
            serde_json::from_str(&text).map_err(|e| LakeError::Record {
                path,
                reason: e.to_string(),
            })?;
        match found {
            FORMAT => Ok(()),
            found => Err(LakeError::Newer {
                path: self.root.clone(),
                found,
            }),
        }
    }
}

/// Returns true if there is a lake at `root`. Returns false for a missing folder, and for one
/// without a lake or with empty lake folders only.
///
/// # Errors
/// Returns [`LakeError::StateLost`] if there are files of a lake without its state: the journals
/// are lost, too. Fails if the state cannot be inspected.
fn is_there(root: &Path) -> Result<bool, LakeError> {
    let format = root.join(STATE).join(state::FORMAT);
    let has_format = || match format.metadata() {
        Ok(_) => Ok(true),
        Err(e) if is_absent(&e) => Ok(false),
        Err(e) => Err(files::failed("read", &format)(e)),
    };
    if has_format()? {
        return Ok(true);
    }
    for folder in [RAW, TABLES, MARTS, COMMITS] {
        let path = root.join(folder);
        let has_entries = match path.read_dir() {
            Ok(mut entries) => entries.next().is_some(),
            Err(e) if is_absent(&e) => false,
            Err(e) => return Err(files::failed("list", &path)(e)),
        };
        if has_entries {
            // Another process may have created the lake meanwhile.
            return if has_format()? {
                Ok(true)
            } else {
                Err(LakeError::StateLost(root.to_owned()))
            };
        }
    }
    Ok(false)
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

fn is_read_only(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
    )
}

/// Bytes to keep free for records, the catalog and folders.
const SPARE: u64 = 16 << 20;
