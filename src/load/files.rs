//! File-system steps that survive a power cut: what they return from is on disk.
//!
//! Each begins with [`step`], where tests cut the program off or make the disk fail.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{LakeError, is_read_only};
use crate::durable::{self, FileAccess};

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
    let made = if path.is_dir() {
        Ok(())
    } else {
        step().and_then(|()| durable::create_dir_all(path))
    };
    made.map_err(failed("create the folder", path))
}

/// Makes a folder that other accounts may not enter.
pub fn create_private_dir(path: &Path, access: FileAccess) -> Result<(), LakeError> {
    let made = if path.is_dir() {
        Ok(())
    } else {
        step().and_then(|()| durable::create_private_dir_all(path, access))
    };
    made.map_err(failed("create the folder", path))
}

/// Makes a file, or empties one that exists; other accounts may not read a new one.
///
/// # Errors
/// The file cannot be made.
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

/// Opens a lock that other accounts may not see.
pub fn open_private_lock(path: &Path, access: FileAccess) -> Result<File, LakeError> {
    let opened = step().and_then(|()| durable::open_private(&mut lock_options(), path, access));
    opened.map_err(failed("open the lock", path))
}

/// Opens a lock to share it, which needs no permission to write. None where there is no such file and none can
/// be made: in a lake that this account cannot write.
///
/// # Errors
/// Whatever else keeps the file from being opened.
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

/// As [`replace_json`], as a file that other accounts may not read.
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
        let mut file = create(&beside)?;
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
    if is_empty {
        match step().and_then(|()| fs::remove_dir(folder)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed("remove", folder)(e)),
            _ => Ok(()),
        }
    } else {
        Ok(())
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

/// BLAKE3 of a file, hex.
pub(super) fn checksum(path: &Path) -> io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(File::open(path)?)?;
    Ok(hasher.finalize().to_hex().to_string())
}
