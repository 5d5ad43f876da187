//! Quarantine: moves files that no commit added to a folder that no reader of tables reads.
//!
//! Nothing is moved through a link. The folders that lead to a file and to its new place are opened
//! one by one, each relative to the one before, and a link is refused. So files outside of the lake
//! are safe, even if another account changes folders meanwhile.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::lake_layout::{STATE, state};
use crate::load::files::{failed, step};
use crate::load::inventory::LiveFile;
use crate::load::{Lake, LakeError};

/// A file that was moved. Both paths are relative to the lake.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Moved {
    pub from: String,
    pub to: String,
}

/// The moved files, and the error that ended the move, if any.
#[derive(Debug, Default)]
pub struct Quarantined {
    pub moved: Vec<Moved>,
    pub failed: Option<LakeError>,
}

impl Lake {
    /// Moves files that no commit added to the same paths below `_state/quarantine`. The paths are
    /// relative to the lake. If a file is already there, the new one gets a number. A link is moved
    /// itself, not its target. A link that leads to committed files stays. The first file that
    /// cannot be moved ends the move.
    ///
    /// # Errors
    /// Fails if the lock cannot be taken or the commits cannot be read. Nothing is moved then.
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

    /// Moves one file. Returns its new path, relative to the lake.
    fn move_away(&self, stranger: &Path) -> Result<PathBuf, LakeError> {
        let quarantine = Path::new(STATE).join(state::QUARANTINE);
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

/// Returns true if a committed file is this path, or is reached through it.
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

    /// A folder of the lake that is reached without links.
    pub struct Folder(OwnedFd);

    impl Folder {
        /// Opens a folder by its path in the lake.
        pub fn open(root: &Path, path: &Path) -> Result<Self, LakeError> {
            walk(root, path, None)
        }

        /// Opens a folder by its path in the lake. Missing folders are created as private ones.
        pub fn make(root: &Path, path: &Path, access: FileAccess) -> Result<Self, LakeError> {
            walk(root, path, Some(access))
        }

        /// Moves a file of this folder to the folder `to`, unless `to` has an entry named `free`.
        /// Returns true if the file was moved.
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

    /// Moves a file to a free name. Where the file system supports it, the move fails if the name
    /// is taken meanwhile. Returns false if the name is taken.
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

    /// Makes a regular file private. Files with a second hard link keep their mode, which the other
    /// name may need. Files of other accounts also keep theirs.
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

    /// A folder of the lake that is reached without links.
    pub struct Folder(PathBuf);

    impl Folder {
        /// Resolves a folder by its path in the lake.
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

        /// Resolves a folder by its path in the lake. Missing folders are created as private ones.
        pub fn make(root: &Path, path: &Path, access: FileAccess) -> Result<Self, LakeError> {
            let folder = Folder::open(root, path)?;
            let made = durable::create_private_dir_all(&folder.0, access);
            made.map_err(failed("create the folder", &folder.0))?;
            Ok(folder)
        }

        /// Moves a file of this folder to the folder `to`, unless `to` has an entry named `free`.
        /// Returns true if the file was moved.
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
