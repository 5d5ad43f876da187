//! File-system steps that survive a power cut: what they return from is on disk.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::LakeError;
use crate::durable;

/// Wraps an I/O error with what was being done, and to what.
pub fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LakeError {
    let path = path.to_owned();
    move |source| LakeError::Io {
        action,
        path,
        source,
    }
}

pub fn create_dir(path: &Path) -> Result<(), LakeError> {
    durable::create_dir_all(path).map_err(failed("create the folder", path))
}

pub fn open_lock(path: &Path) -> Result<File, LakeError> {
    let options = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path);
    options.map_err(failed("open the lock", path))
}

/// Writes JSON beside `path` and renames it into place.
pub fn replace_json<T: Serialize>(path: &Path, value: &T) -> Result<(), LakeError> {
    let beside = path.with_extension("json.tmp");
    let write = || -> io::Result<()> {
        let mut file = File::create(&beside)?;
        serde_json::to_writer_pretty(&mut file, value)?;
        file.write_all(b"\n")?;
        file.sync_all()
    };
    write().map_err(failed("write", &beside))?;
    rename(&beside, path)
}

/// Renames, and makes the new name durable.
pub fn rename(from: &Path, to: &Path) -> Result<(), LakeError> {
    fs::rename(from, to).map_err(failed("rename into place", to))?;
    sync_parent(to)
}

pub fn remove_if_there(path: &Path) -> Result<(), LakeError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(e)),
        _ => Ok(()),
    }
}

/// Makes the name `path` durable.
pub fn sync_parent(path: &Path) -> Result<(), LakeError> {
    match path.parent() {
        Some(folder) => durable::sync_dir(folder).map_err(failed("sync the folder", folder)),
        None => Ok(()),
    }
}

/// What lies in a folder, in order; nothing in what is no folder.
pub fn list(folder: &Path) -> Result<Vec<PathBuf>, LakeError> {
    if folder.is_file() {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(folder).and_then(|all| all.map(|e| Ok(e?.path())).collect());
    let mut paths: Vec<PathBuf> = entries.map_err(failed("list", folder))?;
    paths.sort();
    Ok(paths)
}
