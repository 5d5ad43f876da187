//! Step 4 of the commit protocol. Opening a lake finishes it for commits that were interrupted.
//! Every step is idempotent.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::LakeError;
use super::files::{
    ChangedFolders, exchange, failed, link, list, remove_dir_if_there, remove_if_empty,
    remove_if_there, replace_json, sync_parent,
};
use crate::durable::{mode_of, set_mode};
use crate::lake_layout::{HELD, STAGING};
use crate::load::record::{CommitRecord, read, record_path};

/// Applies the commit records whose staging folders still exist. The caller holds the commit lock.
pub(super) fn finish_commits(root: &Path) -> Result<(), LakeError> {
    for (commit_id, staging) in stagings(root)? {
        let record = record_path(root, &commit_id);
        if !record.is_file() {
            continue;
        }
        let record: CommitRecord = read(&record)?;
        if record.applied {
            remove_dir_if_there(&staging)?
        } else {
            apply(root, &record, Attempt::Repeated)?
        }
    }
    Ok(())
}

/// Returns the staging folders, each with the id of its commit.
pub(super) fn stagings(root: &Path) -> Result<Vec<(String, PathBuf)>, LakeError> {
    let folders = list(&root.join(STAGING))?.into_iter();
    let with_id = |path: PathBuf| {
        let id = path.file_name().unwrap_or_default().to_string_lossy();
        (id.into_owned(), path)
    };
    Ok(folders.filter(|p| p.is_dir()).map(with_id).collect())
}

/// The first application of a record, or one after an interruption.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Attempt {
    First,
    /// Folders may exist whose names are not durable yet.
    Repeated,
}

/// Makes the added files of a record visible and deletes its removed files. The caller holds the
/// commit lock.
pub(super) fn apply(root: &Path, record: &CommitRecord, attempt: Attempt) -> Result<(), LakeError> {
    let mut changed = ChangedFolders::default();
    let staging = root.join(STAGING).join(&record.commit_id);
    make_readable(root, &staging, record)?;
    for partition in partitions(record) {
        replace_partition(root, &staging, partition, record)?;
    }
    for file in &record.add {
        let (staged, target) = (staging.join(&file.path), root.join(&file.path));
        if staged.exists() {
            changed.create_dir(target.parent().unwrap_or(root), None)?;
            changed.rename(&staged, &target)?;
        } else if !target.exists() {
            return Err(LakeError::Lost {
                commit: record.commit_id.clone(),
                path: target,
            });
        }
        if attempt == Attempt::Repeated {
            changed.add_ancestors(&target, root);
        }
    }
    for path in &record.remove {
        let path = root.join(path);
        let is_there = path.exists();
        if is_there {
            remove_if_there(&path)?;
        }
        let was_there = attempt == Attempt::Repeated && path.parent().is_some_and(Path::is_dir);
        if is_there || was_there {
            changed.add_parent(&path);
        }
    }
    changed.sync()?;
    for path in &record.remove {
        if let Some(partition) = root.join(path).parent() {
            remove_if_empty(partition)?;
        }
    }
    let path = record_path(root, &record.commit_id);
    let applied = CommitRecord {
        applied: true,
        ..record.clone()
    };
    replace_json(&path, &applied)?;
    remove_dir_if_there(&staging)
}

/// Sets the mode of the staged files to that of the commit record. Staged files are private; the
/// record is created with the default mode.
fn make_readable(root: &Path, staging: &Path, record: &CommitRecord) -> Result<(), LakeError> {
    let Some(mode) = mode_of(&record_path(root, &record.commit_id)) else {
        return Ok(());
    };
    for file in &record.add {
        let staged = staging.join(&file.path);
        if staged.exists() {
            set_mode(&staged, mode).map_err(failed("set the mode of", &staged))?;
        }
    }
    Ok(())
}

/// Returns the folders in which a record both adds and removes files.
fn partitions(record: &CommitRecord) -> BTreeSet<&Path> {
    let added = record
        .add
        .iter()
        .filter_map(|f| Path::new(&f.path).parent());
    let removed: BTreeSet<&Path> = record
        .remove
        .iter()
        .filter_map(|path| Path::new(path).parent())
        .collect();
    added.filter(|folder| removed.contains(folder)).collect()
}

/// Replaces all files of a partition in one atomic step.
///
/// Links the remaining files of the partition into the staged folder, then exchanges the names of
/// the two folders. A reader of the whole table sees either the old or the new files. If the file
/// system does not support this, or an added file has the name of an existing one, this changes
/// nothing and [`apply`] moves the files one by one.
fn replace_partition(
    root: &Path,
    staging: &Path,
    partition: &Path,
    record: &CommitRecord,
) -> Result<(), LakeError> {
    let (staged, target) = (staging.join(partition), root.join(partition));
    let inside = |path: &str| Path::new(path).parent() == Some(partition);
    let mut added = record.add.iter().filter(|file| inside(&file.path));
    let is_new = added.all(|f| staging.join(&f.path).exists() && !root.join(&f.path).exists());
    if !is_new || !target.is_dir() {
        return Ok(());
    }
    let gone: BTreeSet<PathBuf> = record.remove.iter().map(|path| root.join(path)).collect();
    for file in list(&target)? {
        let beside = staged.join(file.file_name().unwrap_or_default());
        if gone.contains(&file) {
            continue;
        }
        if let Err(error) = link(&file, &beside) {
            return match error.kind() {
                // The file system has no hard links.
                std::io::ErrorKind::Unsupported | std::io::ErrorKind::PermissionDenied => Ok(()),
                _ => Err(failed("link", &beside)(error)),
            };
        }
    }
    if let Some(mode) = mode_of(&target) {
        set_mode(&staged, mode).map_err(failed("set the mode of", &staged))?;
    }
    super::files::sync_dir(&staged)?;
    exchange(&staged, &target)?;
    Ok(())
}

/// Removes a staging folder. It is garbage once `held.json` is removed, which is the first step.
pub(super) fn drop_staging(folder: &Path) -> Result<(), LakeError> {
    let path = folder.join(HELD);
    remove_if_there(&path)?;
    sync_parent(&path)?;
    remove_dir_if_there(folder)
}
