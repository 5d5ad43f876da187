//! The files of a pipeline as a ConfigMap of Kubernetes holds them.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::quote::utf8;
use crate::cli::error::CliError;
use crate::spec::yaml::text_file::read_text;

/// Most bytes of the files in a ConfigMap, which holds at most 1 MiB with its names.
const MOST_BYTES: usize = 900 * 1024;

/// A file in a ConfigMap.
#[derive(Clone, Debug, Serialize)]
pub struct BundledFile {
    /// Name in the ConfigMap, which takes no other characters than a-z, 0-9, `-` and `.`.
    pub key: String,
    /// Path below the folder where the ConfigMap is mounted.
    pub path: String,
    pub text: String,
}

/// The files that a pipeline reads.
#[derive(Debug)]
pub struct Bundle {
    pub files: Vec<BundledFile>,
    /// Path of the pipeline below the folder where the ConfigMap is mounted.
    pub pipeline: String,
}

impl Bundle {
    /// Reads a pipeline, its lists, and the files of its contracts. Paths are absolute. The files keep
    /// their places relative to each other, below `folder`.
    ///
    /// # Errors
    /// A file cannot be read, or the files are too large.
    pub fn read(
        pipeline: &Path,
        lists: &[PathBuf],
        schemas: Option<&Path>,
        folder: &str,
    ) -> Result<Self, CliError> {
        let mut paths = vec![pipeline.to_owned()];
        paths.extend(lists.iter().map(|path| plain(path)));
        if let Some(schemas) = schemas {
            collect(&plain(schemas), &mut paths)?;
        }
        paths[1..].sort();
        paths.dedup();
        let top = common_folder(&paths);
        let mut files = Vec::new();
        for (at, path) in paths.iter().enumerate() {
            let below = path.strip_prefix(&top).unwrap_or(path);
            files.push(BundledFile {
                key: if at == 0 {
                    "pipeline.yaml".to_owned()
                } else {
                    format!("file-{at}")
                },
                path: format!("{folder}/{}", utf8(below)?),
                text: read_text(path).map_err(|error| cannot_read(path, &error))?,
            });
        }
        let bytes: usize = files.iter().map(|file| file.text.len()).sum();
        if bytes > MOST_BYTES {
            return Err(CliError::usage(
                format!("the files of the pipeline have {bytes} bytes, which no ConfigMap holds"),
                "use shorter keyword files, or run it with `redlake deploy systemd` or `cron`",
            ));
        }
        let pipeline = files[0].path.clone();
        Ok(Bundle { files, pipeline })
    }
}

fn cannot_read(path: &Path, error: &std::io::Error) -> CliError {
    CliError::usage(
        format!("cannot read {}: {error}", path.display()),
        "make the file readable for this account",
    )
}

/// Returns a path without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) -> Result<(), CliError> {
    let entries = std::fs::read_dir(folder).map_err(|error| cannot_read(folder, &error))?;
    for entry in entries {
        let path = entry.map_err(|error| cannot_read(folder, &error))?.path();
        if path.is_dir() {
            collect(&path, paths)?;
        } else if path.extension().is_some_and(|e| e == "yaml" || e == "yml") {
            paths.push(path);
        }
    }
    Ok(())
}

/// Returns the deepest folder that holds all files.
fn common_folder(paths: &[PathBuf]) -> PathBuf {
    let folders = paths.iter().filter_map(|path| path.parent());
    let common = folders.map(Path::to_owned).reduce(|a, b| {
        let same = a.components().zip(b.components());
        same.take_while(|(a, b)| a == b).map(|(a, _)| a).collect()
    });
    common.unwrap_or_default()
}
