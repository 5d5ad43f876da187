//! Files that a command replaces in one step.

use std::fs::File;
use std::io;
use std::path::Path;

use tempfile::NamedTempFile;

/// Replaces a file atomically: lets `write` fill a temporary file in the same folder, syncs it and
/// renames it.
///
/// # Errors
/// Returns the first error of these steps. The old file is unchanged then.
pub fn replace_file(
    path: &Path,
    write: impl FnOnce(&mut File) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut beside = beside(path)?;
    write(beside.as_file_mut())?;
    beside.as_file().sync_all()?;
    beside.persist(path)?;
    Ok(())
}

/// Creates a temporary file in the folder of `path` with the permissions of an ordinary file, unlike
/// those of other temporary files.
fn beside(path: &Path) -> io::Result<NamedTempFile> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let mut builder = tempfile::Builder::new();
    builder.prefix(".redlake-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder.unwrap_or(Path::new(".")))
}
