//! Durable file-system steps: their effect is on disk when they return.
//!
//! Each begins with [`step`], where tests abort the process or make the disk fail.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{LakeError, is_read_only};
use crate::durable::{self, FileAccess};

/// Wraps an I/O error with the failed action and its path.
pub fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LakeError {
    let path = path.to_owned();
    move |source| LakeError::Io {
        action,
        path,
        source,
    }
}

/// Failpoint before every step that changes the disk. Does nothing outside of tests. In tests the
/// failpoint `disk` decides: `return(full)` and `return(read-only)` give errors, `return` aborts
/// the process as a power cut would.
///
/// # Errors
/// Returns the error that the failpoint requests.
pub fn step() -> io::Result<()> {
    fail::fail_point!("disk", |how: Option<String>| match how.as_deref() {
        Some("full") => Err(io::ErrorKind::StorageFull.into()),
        Some("read-only") => Err(io::ErrorKind::ReadOnlyFilesystem.into()),
        _ => std::process::abort(),
    });
    Ok(())
}

pub fn create_dir(path: &Path) -> Result<(), LakeError> {
    // An existing folder is no change of the disk, and so no step.
    let made = if path.is_dir() {
        Ok(())
    } else {
        step().and_then(|()| durable::create_dir_all(path))
    };
    made.map_err(failed("create the folder", path))
}

/// Creates a folder that other accounts may not enter. An existing folder keeps its mode.
pub fn create_private_dir(path: &Path, access: FileAccess) -> Result<(), LakeError> {
    let made = if path.is_dir() {
        Ok(())
    } else {
        step().and_then(|()| durable::create_private_dir_all(path, access))
    };
    made.map_err(failed("create the folder", path))
}

/// Folders whose names have changed. A commit syncs each of them once, however many of its files are
/// in it.
#[derive(Debug, Default)]
pub struct ChangedFolders(BTreeSet<PathBuf>);

impl ChangedFolders {
    /// Creates a folder and its missing parents. With `access`, other accounts may not enter them.
    pub fn create_dir(&mut self, path: &Path, access: Option<FileAccess>) -> Result<(), LakeError> {
        // An existing folder is no change of the disk, and so no step.
        if path.is_dir() {
            return Ok(());
        }
        let made = step().and_then(|()| durable::make_dir_all(path, access));
        self.0
            .extend(made.map_err(failed("create the folder", path))?);
        Ok(())
    }

    /// Renames a file.
    pub fn rename(&mut self, from: &Path, to: &Path) -> Result<(), LakeError> {
        move_file(from, to)?;
        self.add_parent(to);
        Ok(())
    }

    /// Adds the folder that contains `path`.
    pub fn add_parent(&mut self, path: &Path) {
        self.0.extend(path.parent().map(Path::to_owned));
    }

    /// Adds all folders between `root` and `path`, and `root`.
    pub fn add_ancestors(&mut self, path: &Path, root: &Path) {
        let above = path.ancestors().skip(1);
        let inside = above.take_while(|folder| folder.starts_with(root));
        self.0.extend(inside.map(Path::to_owned));
    }

    /// Makes all changes of names durable.
    pub fn sync(&mut self) -> Result<(), LakeError> {
        std::mem::take(&mut self.0)
            .iter()
            .try_for_each(|folder| sync_dir(folder))
    }
}

/// Creates a file that other accounts may not read, or truncates an existing file.
///
/// # Errors
/// Fails if the file cannot be created.
pub fn create_private(path: &Path, access: FileAccess) -> io::Result<File> {
    step()?;
    let mut options = OpenOptions::new();
    options.create(true).truncate(true).write(true);
    durable::open_private(&mut options, path, access)
}

pub fn open_lock(path: &Path) -> Result<File, LakeError> {
    let opened = step().and_then(|()| lock_options().open(path));
    opened.map_err(failed("open the lock", path))
}

/// Opens a lock file that other accounts may not read.
pub fn open_private_lock(path: &Path, access: FileAccess) -> Result<File, LakeError> {
    let opened = step().and_then(|()| durable::open_private(&mut lock_options(), path, access));
    opened.map_err(failed("open the lock", path))
}

/// Opens a lock file to lock it shared, which needs no write permission. Returns `None` if this
/// account cannot write the lake and the file does not exist or cannot be read.
///
/// # Errors
/// Fails if the file cannot be opened for another reason.
pub fn open_shared_lock(path: &Path) -> Result<Option<File>, LakeError> {
    match open_lock(path) {
        Err(LakeError::Io { source, .. }) if is_read_only(&source) => Ok(File::open(path).ok()),
        opened => opened.map(Some),
    }
}

fn lock_options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true);
    options
}

/// Writes JSON beside `path` and renames it into place.
pub fn replace_json<T: Serialize>(path: &Path, value: &T) -> Result<(), LakeError> {
    replace_json_with(path, value, |beside| {
        step()?;
        File::create(beside)
    })
}

/// Does the same as [`replace_json`] with a file that other accounts may not read.
pub fn replace_private_json<T: Serialize>(
    path: &Path,
    value: &T,
    access: FileAccess,
) -> Result<(), LakeError> {
    replace_json_with(path, value, |beside| create_private(beside, access))
}

fn replace_json_with<T: Serialize>(
    path: &Path,
    value: &T,
    create: impl FnOnce(&Path) -> io::Result<File>,
) -> Result<(), LakeError> {
    let beside = path.with_extension("json.tmp");
    let write = || -> io::Result<()> {
        let mut json = serde_json::to_vec_pretty(value)?;
        json.push(b'\n');
        let mut file = create(&beside)?;
        file.write_all(&json)?;
        file.sync_all()
    };
    write().map_err(failed("write", &beside))?;
    rename(&beside, path)
}

/// Renames a file and syncs the folder of the new name.
pub fn rename(from: &Path, to: &Path) -> Result<(), LakeError> {
    move_file(from, to)?;
    sync_parent(to)
}

fn move_file(from: &Path, to: &Path) -> Result<(), LakeError> {
    let renamed = step().and_then(|()| fs::rename(from, to));
    renamed.map_err(failed("rename into place", to))
}

/// Creates a hard link. An existing `to` is no error.
pub fn link(from: &Path, to: &Path) -> io::Result<()> {
    step()?;
    match fs::hard_link(from, to) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    }
}

/// Exchanges the names of two folders atomically and durably. Returns false if the file system does
/// not support it.
#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
pub fn exchange(a: &Path, b: &Path) -> Result<bool, LakeError> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    use rustix::io::Errno;

    step().map_err(failed("exchange", b))?;
    match renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE) {
        Ok(()) => {
            sync_parent(a)?;
            sync_parent(b)?;
            Ok(true)
        }
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP | Errno::PERM) => Ok(false),
        Err(error) => Err(failed("exchange", b)(error.into())),
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
pub fn exchange(_: &Path, _: &Path) -> Result<bool, LakeError> {
    Ok(false)
}

/// Free space below which a run may not end, in bytes.
pub const LITTLE_SPACE: u64 = 1_000_000_000;

/// Returns the bytes available to this user on the disk of `path`, or `None` if unknown.
#[cfg(unix)]
pub fn free_bytes(path: &Path) -> Option<u64> {
    fail::fail_point!("free", |bytes: Option<String>| bytes?.parse().ok());
    let disk = rustix::fs::statvfs(path).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(not(unix))]
pub fn free_bytes(_: &Path) -> Option<u64> {
    None
}

pub fn remove_if_there(path: &Path) -> Result<(), LakeError> {
    match step().and_then(|()| fs::remove_file(path)) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(e)),
        _ => Ok(()),
    }
}

/// Removes a folder if it is empty. The removal is not synced.
pub fn remove_if_empty(folder: &Path) -> Result<(), LakeError> {
    let is_empty = fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none());
    if is_empty {
        match step().and_then(|()| fs::remove_dir(folder)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed("remove", folder)(e)),
            _ => Ok(()),
        }
    } else {
        Ok(())
    }
}

/// Removes a folder with its contents, if it exists.
pub fn remove_dir_if_there(path: &Path) -> Result<(), LakeError> {
    match step().and_then(|()| fs::remove_dir_all(path)) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed("clear", path)(e)),
        _ => Ok(()),
    }
}

/// Syncs the folder that contains `path`, which makes the name `path` durable.
pub fn sync_parent(path: &Path) -> Result<(), LakeError> {
    path.parent().map_or(Ok(()), sync_dir)
}

/// Syncs a folder, which makes the names in it durable.
pub fn sync_dir(folder: &Path) -> Result<(), LakeError> {
    let synced = step().and_then(|()| durable::sync_dir(folder));
    synced.map_err(failed("sync the folder", folder))
}

/// Returns the sorted paths of the entries of a folder. For a file, returns none.
pub fn list(folder: &Path) -> Result<Vec<PathBuf>, LakeError> {
    if folder.is_file() {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(folder).and_then(|all| all.map(|e| Ok(e?.path())).collect());
    let mut paths: Vec<PathBuf> = entries.map_err(failed("list", folder))?;
    paths.sort();
    Ok(paths)
}

/// Returns the BLAKE3 checksum of a file, in hex.
pub(super) fn checksum(path: &Path) -> io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(File::open(path)?)?;
    Ok(hasher.finalize().to_hex().to_string())
}
