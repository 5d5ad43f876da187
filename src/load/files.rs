//! File-system steps that survive a power cut: what they return from is on disk.
//!
//! Each begins with [`step`], where tests cut the program off or make the disk fail.

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

/// The place before a step that changes the disk. Nothing but in tests, where the failpoint `disk`
/// says what happens here: `return(full)` and `return(read-only)` are errors, `return` ends the
/// process as a power cut would.
///
/// # Errors
/// What the failpoint says.
pub fn step() -> io::Result<()> {
    fail::fail_point!("disk", |how: Option<String>| match how.as_deref() {
        Some("full") => Err(io::ErrorKind::StorageFull.into()),
        Some("read-only") => Err(io::ErrorKind::ReadOnlyFilesystem.into()),
        _ => std::process::abort(),
    });
    Ok(())
}

pub fn create_dir(path: &Path) -> Result<(), LakeError> {
    // Where it is there already, nothing changes.
    let made = match path.is_dir() {
        true => Ok(()),
        false => step().and_then(|()| durable::create_dir_all(path)),
    };
    made.map_err(failed("create the folder", path))
}

pub fn open_lock(path: &Path) -> Result<File, LakeError> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true);
    let opened = step().and_then(|()| options.open(path));
    opened.map_err(failed("open the lock", path))
}

/// Writes JSON beside `path` and renames it into place.
pub fn replace_json<T: Serialize>(path: &Path, value: &T) -> Result<(), LakeError> {
    let beside = path.with_extension("json.tmp");
    let write = || -> io::Result<()> {
        step()?;
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
    let renamed = step().and_then(|()| fs::rename(from, to));
    renamed.map_err(failed("rename into place", to))?;
    sync_parent(to)
}

/// Gives a file a second name; it may have it already.
pub fn link(from: &Path, to: &Path) -> io::Result<()> {
    step()?;
    match fs::hard_link(from, to) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    }
}

/// Gives each of two folders the other's name, in one step, and makes that durable; false where the
/// file system cannot.
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

/// Bytes that are free for this user where `path` lies; none where nobody can tell.
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

/// Removes a folder in which nothing lies; that it is gone need not outlive a power cut.
pub fn remove_if_empty(folder: &Path) -> Result<(), LakeError> {
    let is_empty = fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none());
    match is_empty {
        true => match step().and_then(|()| fs::remove_dir(folder)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed("remove", folder)(e)),
            _ => Ok(()),
        },
        false => Ok(()),
    }
}

/// Removes a folder with all that lies in it.
pub fn remove_dir_if_there(path: &Path) -> Result<(), LakeError> {
    match step().and_then(|()| fs::remove_dir_all(path)) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed("clear", path)(e)),
        _ => Ok(()),
    }
}

/// Makes the name `path` durable.
pub fn sync_parent(path: &Path) -> Result<(), LakeError> {
    path.parent().map_or(Ok(()), sync_dir)
}

/// Makes the names in a folder durable.
pub fn sync_dir(folder: &Path) -> Result<(), LakeError> {
    let synced = step().and_then(|()| durable::sync_dir(folder));
    synced.map_err(failed("sync the folder", folder))
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
