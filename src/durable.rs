//! Durable folders and file names, and private files that other accounts cannot read.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// Accounts that may read private files, besides their owner. Has no effect on systems without
/// Unix modes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FileAccess {
    /// No other account: folders have mode 0700, files 0600.
    #[default]
    Owner,
    /// Accounts in the file's group: folders have mode 0750, files 0640.
    Group,
}

impl FileAccess {
    /// Returns the mode of a private folder.
    pub fn folder_mode(self) -> u32 {
        match self {
            FileAccess::Owner => 0o700,
            FileAccess::Group => 0o750,
        }
    }

    /// Returns the mode of a private file.
    pub fn file_mode(self) -> u32 {
        match self {
            FileAccess::Owner => 0o600,
            FileAccess::Group => 0o640,
        }
    }

    /// Returns the access of a folder: [`FileAccess::Group`] if its mode is 0750, otherwise
    /// [`FileAccess::Owner`].
    pub fn of_folder(folder: &Path) -> Self {
        if mode_of(folder).is_some_and(|mode| mode == FileAccess::Group.folder_mode()) {
            FileAccess::Group
        } else {
            FileAccess::Owner
        }
    }
}

/// Creates a folder and its missing parents. Every new name is durable when this returns.
pub fn create_dir_all(path: &Path) -> io::Result<()> {
    sync_all(make_dir_all(path, None)?)
}

/// Creates a folder and its missing parents with the private mode of `access`, whatever the umask.
/// Every new name is durable when this returns. Existing folders keep their modes.
pub fn create_private_dir_all(path: &Path, access: FileAccess) -> io::Result<()> {
    sync_all(make_dir_all(path, Some(access))?)
}

fn sync_all(folders: Vec<PathBuf>) -> io::Result<()> {
    folders.iter().try_for_each(|folder| sync_dir(folder))
}

/// Creates a folder and its missing parents, with the private mode of `access` if it is given.
/// Returns the folders that must be synced to make the new names durable.
pub fn make_dir_all(path: &Path, access: Option<FileAccess>) -> io::Result<Vec<PathBuf>> {
    if path.is_dir() {
        return Ok(Vec::new());
    }
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    let mut changed = make_dir_all(parent, access)?;
    let mut builder = DirBuilder::new();
    if let Some(access) = access {
        with_folder_mode(&mut builder, access.folder_mode());
    }
    match builder.create(path) {
        // Another process may have created it first.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
        made => {
            made?;
            if let Some(access) = access {
                set_mode(path, access.folder_mode())?;
            }
        }
    }
    changed.push(parent.to_owned());
    Ok(changed)
}

/// Opens a file with these options. A file that they create has the private mode of `access`,
/// whatever the umask. An existing file keeps its mode.
pub fn open_private(
    options: &mut OpenOptions,
    path: &Path,
    access: FileAccess,
) -> io::Result<File> {
    let is_new = !path.exists();
    with_file_mode(options, access.file_mode());
    let file = options.open(path)?;
    if is_new {
        set_mode(path, access.file_mode())?;
    }
    Ok(file)
}

/// Returns the permission bits of a file or folder. `None` if there is no such file, or on systems
/// without Unix modes.
#[cfg(unix)]
pub fn mode_of(path: &Path) -> Option<u32> {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(path).ok().map(|found| found.mode() & 0o777)
}

#[cfg(not(unix))]
pub fn mode_of(_: &Path) -> Option<u32> {
    None
}

/// Sets the permission bits of a file or folder if they differ: the umask may have removed some.
/// Does nothing if the file system has no modes.
#[cfg(unix)]
pub fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let found = fs::metadata(path)?.mode();
    if found & 0o777 == mode {
        return Ok(());
    }
    // Keeps the higher bits, such as setgid of a folder.
    let mode = (found & 0o7000) | mode;
    match fs::set_permissions(path, fs::Permissions::from_mode(mode)) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(()),
        set => set,
    }
}

#[cfg(not(unix))]
pub fn set_mode(_: &Path, _: u32) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn with_folder_mode(builder: &mut DirBuilder, mode: u32) {
    use std::os::unix::fs::DirBuilderExt;
    builder.mode(mode);
}

#[cfg(not(unix))]
fn with_folder_mode(_: &mut DirBuilder, _: u32) {}

#[cfg(unix)]
fn with_file_mode(options: &mut OpenOptions, mode: u32) {
    use std::os::unix::fs::OpenOptionsExt;
    options.mode(mode);
}

#[cfg(not(unix))]
fn with_file_mode(_: &mut OpenOptions, _: u32) {}

/// Syncs a folder, which makes the names in it durable.
#[cfg(unix)]
pub fn sync_dir(folder: &Path) -> io::Result<()> {
    fs::File::open(folder)?.sync_all()
}

/// Does nothing: only Unix can (and must) sync a folder.
#[cfg(not(unix))]
pub fn sync_dir(_: &Path) -> io::Result<()> {
    Ok(())
}
