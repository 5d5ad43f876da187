//! The commit protocol. The files of a run become visible atomically, also if the process is
//! interrupted at any point.
//!
//! 1. Every file is written below `_staging/<commit id>/` and synced, then each folder there.
//! 2. The commit's time is written to `_state/clock.json`, and the files' columns are added to
//!    `_state/columns.json`.
//! 3. `_commits/<commit id>.json` lists the files to add and to remove. The commit has happened
//!    once that record is renamed into place.
//! 4. The record is applied and marked as applied ([`super::apply`]), and the staging folder is
//!    removed.
//!
//! The staging folder exists from before the commit until step 4 is complete. The next process that
//! opens the lake finishes step 4 for staging folders that have a record. A staging folder without
//! a record is garbage once its process is dead, unless it is held (see [`super::held`]).

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use arrow::datatypes::Schema;
use uuid::Uuid;

use super::apply::{Attempt, apply, drop_staging, finish_commits};
use super::columns::{self, Stored};
use super::files::{
    ChangedFolders, create_private, create_private_dir, failed, list, open_private_lock,
    remove_dir_if_there, replace_json, step,
};
use super::locks::commit_lock;
use super::record::{
    AddedFile, CommitKind, CommitRecord, CommitSource, next_commit_time, record_path,
};
use super::{FORMAT, Lake, LakeError};
use crate::durable::FileAccess;
use crate::lake_layout::STAGING_LOCK;
use crate::lake_layout::{RAW, STAGING};

/// Files that are staged for one commit.
#[derive(Debug)]
pub struct Staging {
    root: PathBuf,
    id: String,
    folder: PathBuf,
    access: FileAccess,
    staged: Mutex<Staged>,
    /// Lock that shows other processes that this staging is in use.
    _lock: File,
}

/// The files written so far, and their columns.
#[derive(Debug, Default)]
struct Staged {
    files: Vec<AddedFile>,
    columns: Stored,
    /// Folders below the staging folder that are not synced yet.
    changed: ChangedFolders,
}

impl Lake {
    /// Begins a commit: creates and locks its staging folder.
    ///
    /// # Errors
    /// Fails if the staging folder cannot be created or locked.
    pub fn stage(&self, commit_id: &str) -> Result<Staging, LakeError> {
        // Holds the commit lock, so that recovery does not see the folder before it is locked.
        let _guard = self.commit_lock()?;
        let folder = self.root.join(STAGING).join(commit_id);
        create_private_dir(&folder, self.access)?;
        let path = folder.join(STAGING_LOCK);
        let lock = open_private_lock(&path, self.access)?;
        lock.lock().map_err(failed("lock", &path))?;
        let (root, id) = (self.root.clone(), commit_id.to_owned());
        Ok(Staging {
            root,
            id,
            folder,
            access: self.access,
            staged: Mutex::default(),
            _lock: lock,
        })
    }

    /// Creates a folder for temporary files of a process. It is removed when the value is dropped,
    /// or when the lake is opened after the process has died.
    ///
    /// # Errors
    /// Fails if the folder cannot be created.
    pub fn scratch(&self) -> Result<ScratchFolder, LakeError> {
        let staging = self.stage(&format!("scratch-{}", Uuid::now_v7()))?;
        Ok(ScratchFolder(staging))
    }

    /// Returns all raw files, each with the id of its run.
    ///
    /// # Errors
    /// Fails if a folder cannot be read.
    pub fn raw_files(&self) -> Result<Vec<(String, PathBuf)>, LakeError> {
        // Leftovers of an interrupted probe are no raw files.
        let is_raw =
            |path: &PathBuf| path.is_file() && path.extension().is_some_and(|e| e == "zst");
        let mut files = Vec::new();
        for source in list(&self.root.join(RAW))? {
            for date in list(&source)? {
                files.extend(list(&date)?.into_iter().filter(is_raw));
            }
        }
        let with_run = |path: PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let run_id = name.split('.').next().unwrap_or_default().to_owned();
            (run_id, path)
        };
        Ok(files.into_iter().map(with_run).collect())
    }
}

impl Staging {
    /// Writes one file with these columns. `path` is relative to the lake. The contents are durable
    /// when this returns, the name when the files are committed or held. Several threads may write
    /// files at once.
    ///
    /// # Errors
    /// Fails if `write` or the disk fails. The file is not visible then.
    pub fn add(
        &self,
        path: String,
        table: &str,
        columns: &Schema,
        write: impl FnOnce(&mut (dyn Write + Send)) -> Result<u64, String>,
    ) -> Result<(), LakeError> {
        let staged = self.folder.join(&path);
        // Staged files are private until the commit, as raw pages are.
        let parent = staged.parent().unwrap_or(&self.folder);
        self.staged()
            .changed
            .create_dir(parent, Some(self.access))?;
        let file = create_private(&staged, self.access);
        let mut hashed = Hashing {
            inner: BufWriter::new(file.map_err(failed("create", &staged))?),
            hasher: blake3::Hasher::new(),
            bytes: 0,
            failed: None,
        };
        let written = write(&mut hashed);
        if let Some(error) = hashed.failed.take() {
            return Err(failed("write", &staged)(error));
        }
        let rows = written.map_err(|reason| LakeError::Encode {
            table: table.to_owned(),
            reason,
        })?;
        let Hashing {
            inner,
            hasher,
            bytes,
            failed: _,
        } = hashed;
        let synced = inner
            .into_inner()
            .map_err(io::IntoInnerError::into_error)
            .and_then(|file| step().and_then(|()| file.sync_all()));
        synced.map_err(failed("write", &staged))?;
        let checksum = hasher.finalize().to_hex().to_string();
        let target = staged;
        let mut staged = self.staged();
        // A staging that an earlier attempt has left may have folders that are not synced.
        staged.changed.add_ancestors(&target, &self.folder);
        staged.columns.add(table, columns);
        // Replaces a file that was staged at this path before.
        staged.files.retain(|file| file.path != path);
        staged.files.push(AddedFile {
            path,
            table: table.to_owned(),
            rows,
            bytes,
            checksum,
            runs: BTreeSet::new(),
        });
        Ok(())
    }

    /// Records the runs with rows in a staged file, if the file holds rows of other runs than the
    /// commit's.
    pub fn holds(&self, path: &str, runs: BTreeSet<String>) {
        let mut staged = self.staged();
        if let Some(file) = staged.files.iter_mut().find(|file| file.path == path) {
            file.runs = runs;
        }
    }

    /// Returns the path of a staged file before the commit.
    pub fn staged_path(&self, path: &str) -> PathBuf {
        self.folder.join(path)
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns the paths of the staged files, relative to the lake.
    pub fn paths(&self) -> BTreeSet<String> {
        let staged = self.staged();
        staged.files.iter().map(|file| file.path.clone()).collect()
    }

    /// Returns the staging folder. Each file has the same path below it as in the lake.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn access(&self) -> FileAccess {
        self.access
    }

    /// Returns the staged files, sorted by path, and the lock.
    ///
    /// # Errors
    /// The disk fails to make the names of the files durable.
    pub(super) fn into_parts(self) -> Result<(Vec<AddedFile>, File), LakeError> {
        let (files, _) = self.take_staged()?;
        Ok((files, self._lock))
    }

    /// Makes the names of the staged files durable. Returns the files, sorted by path, and their
    /// columns.
    fn take_staged(&self) -> Result<(Vec<AddedFile>, Stored), LakeError> {
        let Staged {
            mut files,
            columns,
            mut changed,
        } = std::mem::take(&mut *self.staged());
        changed.sync()?;
        // Several threads may have staged them in any order.
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok((files, columns))
    }

    /// Removes the staged files.
    ///
    /// # Errors
    /// Fails if the folder cannot be removed. It is garbage anyway.
    pub fn abandon(self) -> Result<(), LakeError> {
        drop_staging(&self.folder)
    }

    fn staged(&self) -> MutexGuard<'_, Staged> {
        self.staged.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Makes the staged files visible and deletes the files in `remove`, atomically.
    ///
    /// # Errors
    /// An error before the record is renamed into place leaves the lake unchanged. After an error
    /// past that point, the next process that opens the lake finishes the commit.
    pub fn commit(
        self,
        kind: CommitKind,
        run: CommitSource<'_>,
        remove: Vec<String>,
    ) -> Result<CommitRecord, LakeError> {
        let _guard = commit_lock(&self.root)?;
        // Commits that another process left unfinished are applied first.
        finish_commits(&self.root)?;
        let (add, columns) = self.take_staged()?;
        let record = CommitRecord {
            format: FORMAT,
            commit_id: self.id.clone(),
            kind,
            pipeline: run.meta.pipeline.clone(),
            run_id: run.meta.run_id.clone(),
            snapshot_at: run.meta.snapshot_at,
            simulated: run.meta.simulated,
            committed_at: next_commit_time(&self.root)?,
            closes_run: run.closes,
            add,
            remove,
            raw: run.raw.to_vec(),
            applied: false,
        };
        columns::remember(&self.root, &columns)?;
        replace_json(&record_path(&self.root, &self.id), &record)?;
        apply(&self.root, &record, Attempt::First)?;
        Ok(CommitRecord {
            applied: true,
            ..record
        })
    }
}

/// A staging folder that is never committed.
#[derive(Debug)]
pub struct ScratchFolder(Staging);

impl ScratchFolder {
    pub fn path(&self) -> &Path {
        &self.0.folder
    }
}

impl Drop for ScratchFolder {
    fn drop(&mut self) {
        // Anything left is garbage, and is removed when the lake is next opened.
        let _ = remove_dir_if_there(&self.0.folder);
    }
}

/// A writer that counts and hashes the bytes it passes on.
struct Hashing<W> {
    inner: W,
    hasher: blake3::Hasher,
    bytes: u64,
    /// The first write error. Encoders report it in their own words, so the original is kept here.
    failed: Option<io::Error>,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let written = match self.inner.write(data) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                let kind = error.kind();
                self.failed = Some(error);
                return Err(kind.into());
            }
            written => written?,
        };
        self.hasher.update(&data[..written]);
        self.bytes += written as u64;
        Ok(written)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
