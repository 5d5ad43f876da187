//! The commit protocol: a run's files become visible all or none, at whatever point it is cut off.
//!
//! 1. Every file is written below `_staging/<commit id>/` and synced.
//! 2. `_state/clock.json` is told of the commit's time, `_state/columns.json` of the files' columns.
//! 3. `_commits/<commit id>.json` lists the files to add and to remove. Once that record has its
//!    name, the commit has happened.
//! 4. The record is applied and marked so ([`super::apply`]), and the staging folder removed.
//!
//! A staging folder is there from before the commit until all of it is done: whoever opens the lake
//! next finishes step 4 for those that have a record. One without a record is garbage once its
//! process is dead, unless it is held (see [`super::held`]).

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use arrow::datatypes::Schema;
use uuid::Uuid;

use super::apply::{apply, drop_staging, finish_commits};
use super::columns::{self, Stored};
use super::files::{
    create_private, create_private_dir, failed, list, open_private_lock, remove_dir_if_there,
    replace_json, step, sync_parent,
};
use super::locks::{LOCK, commit_lock};
use super::record::{AddedFile, CommitKind, CommitRecord, RunRef, next_commit_time, record_path};
use super::{FORMAT, Lake, LakeError, RAW, STAGING};
use crate::durable::FileAccess;

/// Files on their way into the lake.
#[derive(Debug)]
pub struct Staging {
    root: PathBuf,
    id: String,
    folder: PathBuf,
    access: FileAccess,
    staged: Mutex<Staged>,
    /// Tells other processes that this staging is alive.
    _lock: File,
}

/// What was written so far.
#[derive(Debug, Default)]
struct Staged {
    files: Vec<AddedFile>,
    columns: Stored,
}

impl Lake {
    /// Begins a commit.
    ///
    /// # Errors
    /// The staging folder cannot be made.
    pub fn stage(&self, commit_id: &str) -> Result<Staging, LakeError> {
        // Under the commit lock, so that recovery does not see the folder without its lock.
        let _guard = self.commit_lock()?;
        let folder = self.root.join(STAGING).join(commit_id);
        create_private_dir(&folder, self.access)?;
        let path = folder.join(LOCK);
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

    /// A folder for what a process needs while it works; gone when this is dropped, or when the
    /// lake is opened after the process has died.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn scratch(&self) -> Result<ScratchFolder, LakeError> {
        let staging = self.stage(&format!("scratch-{}", Uuid::now_v7()))?;
        Ok(ScratchFolder(staging))
    }

    /// All raw files, each with the run it belongs to.
    ///
    /// # Errors
    /// A folder that cannot be read.
    pub fn raw_files(&self) -> Result<Vec<(String, PathBuf)>, LakeError> {
        // A probe that was cut off is none.
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
    /// Writes one file with these columns; `path` is relative to the lake. When this returns, it is
    /// on disk. Several threads may write files at once.
    ///
    /// # Errors
    /// Whatever `write` or the disk fail with; nothing is visible then.
    pub fn add(
        &self,
        path: String,
        table: &str,
        columns: &Schema,
        write: impl FnOnce(&mut (dyn Write + Send)) -> Result<u64, String>,
    ) -> Result<(), LakeError> {
        let staged = self.folder.join(&path);
        // Until the commit it is as private as pages are.
        create_private_dir(staged.parent().unwrap_or(&self.folder), self.access)?;
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
        sync_parent(&staged)?;
        let checksum = hasher.finalize().to_hex().to_string();
        let mut staged = self.staged();
        staged.columns.add(table, columns);
        // One that was written before is replaced.
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

    /// Says whose rows a staged file holds, where they are not those of the commit's run alone.
    pub fn holds(&self, path: &str, runs: BTreeSet<String>) {
        let mut staged = self.staged();
        if let Some(file) = staged.files.iter_mut().find(|file| file.path == path) {
            file.runs = runs;
        }
    }

    /// Where a staged file lies until the commit.
    pub fn staged_path(&self, path: &str) -> PathBuf {
        self.folder.join(path)
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    /// The paths of the staged files, relative to the lake.
    pub fn paths(&self) -> BTreeSet<String> {
        let staged = self.staged();
        staged.files.iter().map(|file| file.path.clone()).collect()
    }

    /// Where the files are staged, each at its path in the lake.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn access(&self) -> FileAccess {
        self.access
    }

    /// The staged files in order, and the lock.
    pub(super) fn into_parts(self) -> (Vec<AddedFile>, File) {
        let Staged { mut files, .. } = std::mem::take(&mut *self.staged());
        files.sort_by(|a, b| a.path.cmp(&b.path));
        (files, self._lock)
    }

    /// Gives up what was staged.
    ///
    /// # Errors
    /// The folder cannot be removed; it is garbage all the same.
    pub fn abandon(self) -> Result<(), LakeError> {
        drop_staging(&self.folder)
    }

    fn staged(&self) -> MutexGuard<'_, Staged> {
        self.staged.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Makes the staged files visible and the files in `remove` vanish, at once.
    ///
    /// # Errors
    /// Before the record has its name nothing has happened; after that, opening the lake finishes
    /// the work.
    pub fn commit(
        self,
        kind: CommitKind,
        run: &RunRef<'_>,
        remove: Vec<String>,
    ) -> Result<CommitRecord, LakeError> {
        let _guard = commit_lock(&self.root)?;
        // What another process could not finish comes before this.
        finish_commits(&self.root)?;
        let Staged {
            files: mut add,
            columns,
        } = std::mem::take(&mut *self.staged());
        // They may have been written side by side.
        add.sort_by(|a, b| a.path.cmp(&b.path));
        let record = CommitRecord {
            format: FORMAT,
            commit_id: self.id.clone(),
            kind,
            pipeline: run.pipeline.to_owned(),
            run_id: run.run_id.to_owned(),
            snapshot_at: run.snapshot_at,
            simulated: run.simulated,
            committed_at: next_commit_time(&self.root)?,
            closes_run: run.closes,
            add,
            remove,
            raw: run.raw.to_vec(),
            applied: false,
        };
        columns::remember(&self.root, &columns)?;
        replace_json(&record_path(&self.root, &self.id), &record)?;
        apply(&self.root, &record)?;
        Ok(CommitRecord {
            applied: true,
            ..record
        })
    }
}

/// A staging that nobody will commit.
#[derive(Debug)]
pub struct ScratchFolder(Staging);

impl ScratchFolder {
    pub fn path(&self) -> &Path {
        &self.0.folder
    }
}

impl Drop for ScratchFolder {
    fn drop(&mut self) {
        // What stays is garbage, and cleared when the lake is opened.
        let _ = remove_dir_if_there(&self.0.folder);
    }
}

/// Counts and hashes what passes through.
struct Hashing<W> {
    inner: W,
    hasher: blake3::Hasher,
    bytes: u64,
    /// Why the disk did not take it: encoders tell that in words of their own.
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
