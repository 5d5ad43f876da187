//! Step 4 of the commit protocol, and what opening a lake finishes. Doing any of it again does no
//! harm.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::files::{
    create_dir, exchange, failed, link, list, remove_dir_if_there, remove_if_empty,
    remove_if_there, rename, replace_json, sync_parent,
};
use super::{LakeError, STAGING};
use crate::durable::{mode_of, set_mode};
use crate::load::record::{CommitRecord, read, record_path};

/// Applies the records whose staging folders are still there. The commit lock is held.
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
            apply(root, &record)?
        }
    }
    Ok(())
}

/// The staging folders, each with the id of its commit.
pub(super) fn stagings(root: &Path) -> Result<Vec<(String, PathBuf)>, LakeError> {
    let folders = list(&root.join(STAGING))?.into_iter();
    let with_id = |path: PathBuf| {
        let id = path.file_name().unwrap_or_default().to_string_lossy();
        (id.into_owned(), path)
    };
    Ok(folders.filter(|p| p.is_dir()).map(with_id).collect())
}

/// Makes what a record adds visible and what it removes vanish. The commit lock is held.
pub(super) fn apply(root: &Path, record: &CommitRecord) -> Result<(), LakeError> {
    let staging = root.join(STAGING).join(&record.commit_id);
    make_readable(root, &staging, record)?;
    for partition in partitions(record) {
        replace_partition(root, &staging, partition, record)?;
    }
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
        if path.exists() {
            remove_if_there(&path)?;
            sync_parent(&path)?;
        }
        if let Some(partition) = path.parent() {
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

/// Gives staged files the mode that the commit's record has: it was made as any other file, while they were
/// private.
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

/// The folders in which a record replaces files by others.
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

/// Replaces all files of a partition in one step: the staged folder gets the files that stay, too,
/// and then the name of the partition's. A reader of the whole table sees the files before or those
/// after, never both and never none. Where the file system cannot, or a file is replaced by one of
/// the same name, nothing is done: [`apply`] then moves file by file.
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
                // A disk without hard links.
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

pub(super) const HELD: &str = "held.json";

/// Removes a staging; from the first step on it is garbage.
pub(super) fn drop_staging(folder: &Path) -> Result<(), LakeError> {
    let path = folder.join(HELD);
    remove_if_there(&path)?;
    sync_parent(&path)?;
    remove_dir_if_there(folder)
}
