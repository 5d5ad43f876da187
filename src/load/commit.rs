//! The commit protocol: a run's files become visible all or none, at whatever point it is cut off.
//!
//! 1. Every file is written below `_staging/<commit id>/` and synced.
//! 2. `_state/columns.json` is told of the files' columns.
//! 3. `_commits/<commit id>.json` lists the files to add and to remove. Once that record has its
//!    name, the commit has happened.
//! 4. Staged files are renamed into place, removed files unlinked, the record marked as applied.
//!
//! Whoever opens the lake first repeats step 4 for records that are not marked. A staging folder
//! without a record is garbage once its process is dead, unless it is held (see [`super::held`]).

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use arrow::datatypes::Schema;
use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::columns::{self, Stored};
use super::files::{
    create_dir, failed, list, open_lock, remove_if_there, rename, replace_json, sync_parent,
};
use super::held;
use super::{COMMITS, FORMAT, Lake, LakeError, STAGING, STATE};

/// What a commit did. For a run, the commit id is its run id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CommitRecord {
    pub format: u32,
    pub commit_id: String,
    pub kind: CommitKind,
    pub pipeline: String,
    pub run_id: String,
    /// The logical time of what the run observed.
    pub snapshot_at: DateTime<Utc>,
    /// Whether the run observed the sandbox's world, not the real one.
    pub simulated: bool,
    pub committed_at: DateTime<Utc>,
    /// Whether nothing of the run is left to be done.
    #[serde(default)]
    pub closes_run: bool,
    pub add: Vec<AddedFile>,
    /// Paths relative to the lake.
    pub remove: Vec<String>,
    pub applied: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommitKind {
    /// A run's first commit.
    Run,
    /// More of a run that was continued, or its pages flattened anew.
    Replace,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AddedFile {
    /// Relative to the lake.
    pub path: String,
    pub table: String,
    pub rows: u64,
    pub bytes: u64,
    /// BLAKE3 of the file, hex.
    pub checksum: String,
}

/// The run whose files a commit adds.
#[derive(Clone, Copy, Debug)]
pub struct RunRef<'a> {
    pub run_id: &'a str,
    pub pipeline: &'a str,
    pub snapshot_at: DateTime<Utc>,
    pub simulated: bool,
    /// Whether nothing of the run is left to be done.
    pub closes: bool,
}

/// Files on their way into the lake.
#[derive(Debug)]
pub struct Staging {
    root: PathBuf,
    id: String,
    folder: PathBuf,
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
        create_dir(&folder)?;
        let path = folder.join(LOCK);
        let lock = open_lock(&path)?;
        lock.lock().map_err(failed("lock", &path))?;
        let (root, id) = (self.root.clone(), commit_id.to_owned());
        Ok(Staging {
            root,
            id,
            folder,
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

    /// All commits, the oldest first.
    ///
    /// # Errors
    /// A record that cannot be read.
    pub fn commits(&self) -> Result<Vec<CommitRecord>, LakeError> {
        let mut records = self.records()?;
        records.sort_by(|a, b| (a.committed_at, &a.commit_id).cmp(&(b.committed_at, &b.commit_id)));
        Ok(records)
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
        for source in list(&self.root.join("raw"))? {
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

    /// The files that a run has in the lake now.
    ///
    /// # Errors
    /// A record that cannot be read.
    pub fn files_of(&self, run_id: &str) -> Result<Vec<AddedFile>, LakeError> {
        let mut files: Vec<AddedFile> = Vec::new();
        for record in self.commits()?.into_iter().filter(|r| r.run_id == run_id) {
            let gone: BTreeSet<&String> = record
                .remove
                .iter()
                .chain(record.add.iter().map(|f| &f.path))
                .collect();
            files.retain(|f| !gone.contains(&f.path));
            files.extend(record.add);
        }
        Ok(files)
    }

    /// Finishes commits that were cut off and clears stagings that nobody will commit.
    pub(super) fn recover(&self) -> Result<(), LakeError> {
        let _guard = self.commit_lock()?;
        let recorded = self.finish_commits()?;
        columns::make(&self.root)?;
        let folder = self.root.join(STAGING);
        // Only folders are stagings.
        for path in list(&folder)?.into_iter().filter(|path| path.is_dir()) {
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let garbage = !recorded.contains(&name) && !held::is_held(&path, &recorded);
            if garbage && is_abandoned(&path) {
                match fs::remove_dir_all(&path) {
                    // Its own process was quicker.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    cleared => cleared.map_err(failed("clear", &path))?,
                }
            }
        }
        Ok(())
    }

    /// Applies the records that are not; the ids of all. The commit lock is held.
    pub(super) fn finish_commits(&self) -> Result<BTreeSet<String>, LakeError> {
        let mut recorded = BTreeSet::new();
        for record in self.records()? {
            if !record.applied {
                apply(&self.root, &record)?;
            }
            recorded.insert(record.commit_id);
        }
        Ok(recorded)
    }

    fn records(&self) -> Result<Vec<CommitRecord>, LakeError> {
        let files = list(&self.root.join(COMMITS))?;
        files
            .iter()
            .filter(|p| p.extension().is_some_and(|e| e == "json"))
            .map(|p| read(p))
            .collect()
    }

    pub(super) fn commit_lock(&self) -> Result<File, LakeError> {
        commit_lock(&self.root)
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
        create_dir(staged.parent().unwrap_or(&self.folder))?;
        let file = File::create(&staged).map_err(failed("create", &staged))?;
        let mut hashed = Hashing {
            inner: BufWriter::new(file),
            hasher: blake3::Hasher::new(),
            bytes: 0,
        };
        let rows = write(&mut hashed).map_err(|reason| LakeError::Encode {
            table: table.to_owned(),
            reason,
        })?;
        let Hashing {
            inner,
            hasher,
            bytes,
        } = hashed;
        let synced = inner
            .into_inner()
            .map_err(io::IntoInnerError::into_error)
            .and_then(|f| f.sync_all());
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
        });
        Ok(())
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

    /// The staged files in order, their columns, and the lock.
    pub(super) fn into_parts(self) -> (Vec<AddedFile>, Stored, File) {
        let Staged { mut files, columns } = std::mem::take(&mut *self.staged());
        files.sort_by(|a, b| a.path.cmp(&b.path));
        (files, columns, self._lock)
    }

    /// Gives up what was staged.
    ///
    /// # Errors
    /// The folder cannot be removed; it is garbage all the same.
    pub fn abandon(self) -> Result<(), LakeError> {
        held::drop_staging(&self.folder)
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
            committed_at: Utc::now(),
            closes_run: run.closes,
            add,
            remove,
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
        let _ = fs::remove_dir_all(&self.0.folder);
    }
}

/// Step 4 of the protocol; doing it again does no harm.
pub(super) fn apply(root: &Path, record: &CommitRecord) -> Result<(), LakeError> {
    let staging = root.join(STAGING).join(&record.commit_id);
    for file in &record.add {
        let (staged, target) = (staging.join(&file.path), root.join(&file.path));
        if staged.exists() {
            create_dir(target.parent().unwrap_or(root))?;
            rename(&staged, &target)?;
        } else if !target.exists() {
            return Err(LakeError::Lost {
                commit: record.commit_id.clone(),
                path: target,
            });
        }
    }
    for path in &record.remove {
        let path = root.join(path);
        remove_if_there(&path)?;
        if path.parent().is_some_and(Path::exists) {
            sync_parent(&path)?;
        }
    }
    replace_json(
        &record_path(root, &record.commit_id),
        &CommitRecord {
            applied: true,
            ..record.clone()
        },
    )?;
    match fs::remove_dir_all(&staging) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed("clear", &staging)(e)),
        _ => Ok(()),
    }
}

pub(super) fn record_path(root: &Path, commit_id: &str) -> PathBuf {
    root.join(COMMITS).join(format!("{commit_id}.json"))
}

/// Reads a file of ours that says its format.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<T, LakeError> {
    #[derive(Deserialize)]
    struct FormatOnly {
        format: u32,
    }
    let text = fs::read_to_string(path).map_err(failed("read", path))?;
    let damaged = |e: serde_json::Error| LakeError::Record {
        path: path.to_owned(),
        reason: e.to_string(),
    };
    // A newer record may have other fields: its number is looked at first.
    let FormatOnly { format } = serde_json::from_str(&text).map_err(damaged)?;
    if format != FORMAT {
        let path = path.to_owned();
        return Err(LakeError::Newer {
            path,
            found: format,
        });
    }
    serde_json::from_str(&text).map_err(damaged)
}

/// Whether the process that staged these files is dead.
fn is_abandoned(staging: &Path) -> bool {
    match File::open(staging.join(LOCK)) {
        Ok(lock) => lock.try_lock().is_ok(),
        Err(_) => true,
    }
}

pub(super) fn commit_lock(root: &Path) -> Result<File, LakeError> {
    let path = root.join(STATE).join("commit.lock");
    let file = open_lock(&path)?;
    file.lock().map_err(failed("lock", &path))?;
    Ok(file)
}

const LOCK: &str = ".lock";

/// Counts and hashes what passes through.
struct Hashing<W> {
    inner: W,
    hasher: blake3::Hasher,
    bytes: u64,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(data)?;
        self.hasher.update(&data[..written]);
        self.bytes += written as u64;
        Ok(written)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
