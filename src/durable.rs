//! Folders and names that survive a power cut, and files that other accounts may not read.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::path::Path;

/// Accounts that may read private files, besides their owner. Has no effect where there are no Unix modes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FileAccess {
    /// None: folders are made with mode 0700, files with 0600.
    #[default]
    Owner,
    /// Those in the file's group: 0750 and 0640.
    Group,
}

impl FileAccess {
    /// The mode of a private folder.
    pub fn folder_mode(self) -> u32 {
        match self {
            FileAccess::Owner => 0o700,
            FileAccess::Group => 0o750,
        }
    }

    /// The mode of a private file.
    pub fn file_mode(self) -> u32 {
        match self {
            FileAccess::Owner => 0o600,
            FileAccess::Group => 0o640,
        }
    }

    /// The access that a folder gives: [`FileAccess::Group`] if its mode is that of a folder shared with a group.
    pub fn of_folder(folder: &Path) -> Self {
        if mode_of(folder).is_some_and(|mode| mode == FileAccess::Group.folder_mode()) {
            FileAccess::Group
        } else {
            FileAccess::Owner
        }
    }
}

/// Makes a folder and those around it; every new name is on disk when this returns.
pub fn create_dir_all(path: &Path) -> io::Result<()> {
    make_dir_all(path, None)
}

/// Makes a folder and those around it that are missing, none of which other accounts may enter, whatever the
/// umask; every new name is on disk when this returns. Folders that exist keep their modes.
pub fn create_private_dir_all(path: &Path, access: FileAccess) -> io::Result<()> {
    make_dir_all(path, Some(access))
}

fn make_dir_all(path: &Path, access: Option<FileAccess>) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    make_dir_all(parent, access)?;
    let mut builder = DirBuilder::new();
    if let Some(access) = access {
        with_folder_mode(&mut builder, access.folder_mode());
    }
    match builder.create(path) {
        // Another process may have been faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
        made => {
            made?;
            if let Some(access) = access {
                set_mode(path, access.folder_mode())?;
            }
        }
    }
    sync_dir(parent)
}

/// Opens a file with these options, and makes it, where they say so, as one that other accounts may not read,
/// whatever the umask. A file that exists keeps its mode.
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

/// The permission bits of a file or folder; none where there are no Unix modes, or no such file.
#[cfg(unix)]
pub fn mode_of(path: &Path) -> Option<u32> {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(path).ok().map(|found| found.mode() & 0o777)
}

#[cfg(not(unix))]
pub fn mode_of(_: &Path) -> Option<u32> {
    None
}

/// Sets the permission bits of a file or folder, unless they are these already: the umask may have taken some.
/// Where the file system has no modes, nothing is done.
#[cfg(unix)]
pub fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let found = fs::metadata(path)?.mode();
    if found & 0o777 == mode {
        return Ok(());
    }
    // The bits above, such as that which hands down a folder's group, stay.
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

/// Makes the names in a folder durable.
#[cfg(unix)]
pub fn sync_dir(folder: &Path) -> io::Result<()> {
    fs::File::open(folder)?.sync_all()
}

/// Only Unix can (and must) make names durable.
#[cfg(not(unix))]
pub fn sync_dir(_: &Path) -> io::Result<()> {
    Ok(())
}
