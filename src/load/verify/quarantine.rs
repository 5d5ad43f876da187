//! Files that no commit added, moved to where no reader of tables finds them.
//!
//! Nothing is moved through a link: the folders that lead to a file and to its new place are opened one after the
//! other, each in the one before it, and one that is a link is refused. So a file that lies elsewhere stays there,
//! also where another account changes folders meanwhile.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::load::QUARANTINE;
use crate::load::files::{failed, step};
use crate::load::inventory::LiveFile;
use crate::load::{Lake, LakeError, STATE};

/// A file that was moved. Both paths are relative to the lake.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Moved {
    pub from: String,
    pub to: String,
}

/// What was moved, and why not all of it was.
#[derive(Debug, Default)]
pub struct Quarantined {
    pub moved: Vec<Moved>,
    pub failed: Option<LakeError>,
}

impl Lake {
    /// Moves files that no commit added, by their paths in the lake, to the same paths below
    /// `_state/quarantine`. A file that was moved there before stays as it is: the new one gets a number. Links are
    /// moved, not what they lead to, but for links that lead to committed files: these stay. The first file that
    /// cannot be moved ends it.
    ///
    /// # Errors
    /// The lock cannot be taken, or the commits cannot be read: nothing was moved.
    pub fn quarantine(&self, strangers: &[PathBuf]) -> Result<Quarantined, LakeError> {
        let _guard = self.commit_lock()?;
        let live = self.live_files()?;
        let is_needed = |stranger: &Path| live.values().any(|file| is_below(file, stranger));
        let mut done = Quarantined::default();
        for stranger in strangers.iter().filter(|stranger| !is_needed(stranger)) {
            match self.move_away(stranger) {
                Ok(to) => done.moved.push(Moved {
                    from: shown(stranger),
                    to: shown(&to),
                }),
                Err(error) => {
                    done.failed = Some(error);
                    break;
                }
            }
        }
        Ok(done)
    }

    /// Moves one file; where it is now.
    fn move_away(&self, stranger: &Path) -> Result<PathBuf, LakeError> {
        let quarantine = Path::new(STATE).join(QUARANTINE);
        let folder = stranger.parent().unwrap_or(Path::new(""));
        let name = stranger.file_name().unwrap_or_default();
        let from = Folder::open(self.root(), folder)?;
        let target = quarantine.join(folder);
        let to = Folder::make(self.root(), &target, self.access())?;
        for copy in 0_u32.. {
            let mut free = name.to_owned();
            if copy > 0 {
                free.push(format!(".{copy}"));
            }
            let path = self.root().join(&target).join(&free);
            step().map_err(failed("move to quarantine", &path))?;
            if from
                .rename(name, &to, &free, self.access())
                .map_err(failed("move to quarantine", &path))?
            {
                return Ok(target.join(free));
            }
        }
        unreachable!("some number is free")
    }
}

/// Whether a committed file is this one, or is reached through it.
fn is_below(file: &LiveFile, stranger: &Path) -> bool {
    Path::new(&file.file.path).starts_with(stranger)
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().replace('\\', "/")
}

#[cfg(unix)]
use unix::Folder;

#[cfg(unix)]
mod unix {
    use std::ffi::OsStr;
    use std::io;
    use std::os::fd::OwnedFd;
    use std::path::{Path, PathBuf};

    use rustix::fs::{AtFlags, FileType, Mode, OFlags};
    use rustix::io::Errno;

    use crate::durable::FileAccess;
    use crate::load::LakeError;
    use crate::load::files::failed;

    /// A folder of the lake that no link leads to.
    pub struct Folder(OwnedFd);

    impl Folder {
        /// Opens a folder, by its path in the lake.
        pub fn open(root: &Path, path: &Path) -> Result<Self, LakeError> {
            walk(root, path, None)
        }

        /// Opens a folder, by its path in the lake, and makes what is missing of it private.
        pub fn make(root: &Path, path: &Path, access: FileAccess) -> Result<Self, LakeError> {
            walk(root, path, Some(access))
        }

        /// Moves a file of this folder to that one, unless that has one of this name; whether it was moved.
        pub fn rename(
            &self,
            name: &OsStr,
            to: &Folder,
            free: &OsStr,
            access: FileAccess,
        ) -> io::Result<bool> {
            match rustix::fs::statat(&to.0, free, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => {}
                found => {
                    found?;
                    return Ok(false);
                }
            }
            if !rename_to_free(&self.0, name, &to.0, free)? {
                return Ok(false);
            }
            make_private(&to.0, free, access)?;
            rustix::fs::fsync(&self.0)?;
            rustix::fs::fsync(&to.0)?;
            Ok(true)
        }
    }

    fn walk(root: &Path, path: &Path, access: Option<FileAccess>) -> Result<Folder, LakeError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut folder = rustix::fs::open(root, flags, Mode::empty())
            .map_err(|error| failed("open", root)(error.into()))?;
        let mut at: PathBuf = root.to_owned();
        for name in path {
            at.push(name);
            let error = |errno: Errno| match errno {
                Errno::LOOP | Errno::NOTDIR => LakeError::Link(at.clone()),
                errno => failed("open", &at)(errno.into()),
            };
            if let Some(access) = access {
                let mode = Mode::from_raw_mode(access.folder_mode() as _);
                match rustix::fs::mkdirat(&folder, name, mode) {
                    Ok(()) => rustix::fs::fsync(&folder).map_err(error)?,
                    Err(Errno::EXIST) => {}
                    Err(errno) => return Err(error(errno)),
                }
            }
            let flags = flags | OFlags::NOFOLLOW;
            folder = rustix::fs::openat(&folder, name, flags, Mode::empty()).map_err(error)?;
        }
        Ok(Folder(folder))
    }

    /// Moves a file to a name that is free, and stays so until the move where the file system can promise that.
    #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
    fn rename_to_free(
        from: &OwnedFd,
        name: &OsStr,
        to: &OwnedFd,
        free: &OsStr,
    ) -> io::Result<bool> {
        use rustix::fs::{RenameFlags, renameat, renameat_with};
        match renameat_with(from, name, to, free, RenameFlags::NOREPLACE) {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => Ok(false),
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
                renameat(from, name, to, free)?;
                Ok(true)
            }
            Err(errno) => Err(errno.into()),
        }
    }

    #[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
    fn rename_to_free(
        from: &OwnedFd,
        name: &OsStr,
        to: &OwnedFd,
        free: &OsStr,
    ) -> io::Result<bool> {
        rustix::fs::renameat(from, name, to, free)?;
        Ok(true)
    }

    /// Lets no other account read a file, unless it has a second name, where its mode is of use, or is another's.
    fn make_private(folder: &OwnedFd, name: &OsStr, access: FileAccess) -> io::Result<()> {
        let found = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let is_file = FileType::from_raw_mode(found.st_mode) == FileType::RegularFile;
        if !is_file || found.st_nlink > 1 {
            return Ok(());
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(access.file_mode() as _);
        let opened = rustix::fs::openat(folder, name, flags, Mode::empty());
        match opened.and_then(|file| rustix::fs::fchmod(file, mode)) {
            Ok(()) | Err(Errno::PERM | Errno::ACCESS | Errno::NOTSUP) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

#[cfg(not(unix))]
use portable::Folder;

#[cfg(not(unix))]
mod portable {
    use std::ffi::OsStr;
    use std::fs;
    use std::io;
    use std::path::{Path, PathBuf};

    use crate::durable::{self, FileAccess};
    use crate::load::LakeError;
    use crate::load::files::failed;

    /// A folder of the lake that no link leads to.
    pub struct Folder(PathBuf);

    impl Folder {
        /// Finds a folder, by its path in the lake.
        pub fn open(root: &Path, path: &Path) -> Result<Self, LakeError> {
            let mut at = root.to_owned();
            for name in path {
                at.push(name);
                if fs::symlink_metadata(&at).is_ok_and(|found| found.is_symlink()) {
                    return Err(LakeError::Link(at));
                }
            }
            Ok(Folder(at))
        }

        /// Finds a folder, by its path in the lake, and makes what is missing of it.
        pub fn make(root: &Path, path: &Path, access: FileAccess) -> Result<Self, LakeError> {
            let folder = Folder::open(root, path)?;
            let made = durable::create_private_dir_all(&folder.0, access);
            made.map_err(failed("create the folder", &folder.0))?;
            Ok(folder)
        }

        /// Moves a file of this folder to that one, unless that has one of this name; whether it was moved.
        pub fn rename(
            &self,
            name: &OsStr,
            to: &Folder,
            free: &OsStr,
            _: FileAccess,
        ) -> io::Result<bool> {
            let target = to.0.join(free);
            if fs::symlink_metadata(&target).is_ok() {
                return Ok(false);
            }
            fs::rename(self.0.join(name), target)?;
            Ok(true)
        }
    }
}
