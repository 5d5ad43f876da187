//! The files of contracts: the embedded ones, or those in a folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use include_dir::{Dir, include_dir};
use serde::de::DeserializeOwned;

use crate::spec::yaml::diagnostic::{Diagnostic, SourceFile};
use crate::spec::yaml::document::{self, Spanned};
use crate::spec::yaml::text_file::{read_text, unreadable};

/// Folder in the paths of built-in files, for messages.
const BUILT_IN: &str = "(built-in)";

static EMBEDDED: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/schemas");

/// Returns the files of the built-in contracts, by their paths inside `schemas`.
pub fn embedded() -> BTreeMap<PathBuf, SourceFile> {
    let folders = ["sources", "tables", "marts", "views"];
    let mut files = embedded_in(&EMBEDDED);
    for folder in folders
        .map(|name| EMBEDDED.get_dir(name))
        .into_iter()
        .flatten()
    {
        files.extend(embedded_in(folder));
    }
    files
}

/// Returns the files of the built-in views.
pub(super) fn embedded_views() -> BTreeMap<PathBuf, SourceFile> {
    EMBEDDED
        .get_dir("views")
        .map(embedded_in)
        .unwrap_or_default()
}

fn embedded_in(folder: &Dir<'_>) -> BTreeMap<PathBuf, SourceFile> {
    let files = folder.files().filter(|file| is_yaml(file.path()));
    files
        .map(|file| {
            let text = file
                .contents_utf8()
                .expect("the built-in contracts are UTF-8");
            (
                file.path().to_owned(),
                SourceFile::new(Path::new(BUILT_IN).join(file.path()), text),
            )
        })
        .collect()
}

/// Returns the names of the built-in marts, in alphabetical order.
pub(super) fn built_in_marts() -> Vec<&'static str> {
    let files = EMBEDDED
        .get_dir("marts")
        .map(Dir::files)
        .into_iter()
        .flatten();
    let files = files.filter(|file| is_yaml(file.path()));
    let names = files.filter_map(|file| file.path().file_stem()?.to_str());
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    names
}

pub(super) fn read_folder(
    dir: &Path,
    found: &mut Vec<Diagnostic>,
) -> BTreeMap<PathBuf, SourceFile> {
    let mut files = BTreeMap::new();
    let mut fail = |path: &Path, error: std::io::Error| {
        let hint =
            "--schemas names a folder with common_columns.yaml, sources/*.yaml and tables/*.yaml";
        found.push(unreadable(path, &error, "cannot read this", hint));
    };
    if let Err(error) = std::fs::metadata(dir) {
        fail(dir, error);
        return files;
    }
    for folder in ["", "sources", "tables", "marts", "views"] {
        let path = dir.join(folder);
        // Marts and views are optional.
        if ["marts", "views"].contains(&folder) && !path.exists() {
            continue;
        }
        let entries =
            match std::fs::read_dir(&path).and_then(Iterator::collect::<Result<Vec<_>, _>>) {
                Ok(entries) => entries,
                Err(error) => {
                    fail(&path, error);
                    continue;
                }
            };
        for path in entries
            .into_iter()
            .map(|e| e.path())
            .filter(|p| is_yaml(p) && is_file(p))
        {
            match read_text(&path) {
                Ok(text) => {
                    let name = path.strip_prefix(dir).unwrap_or(&path).to_owned();
                    files.insert(name, SourceFile::new(path, text));
                }
                Err(error) => fail(&path, error),
            }
        }
    }
    files
}

/// Returns true for any path except a folder. A FIFO counts as a file, so that `read_text` reports
/// it.
fn is_file(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| !metadata.is_dir())
}

fn is_yaml(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "yaml" || e == "yml")
}

/// Reads one contract. Adds a diagnostic to `found` for each mistake.
pub(super) fn read<T: DeserializeOwned>(
    file: &SourceFile,
    found: &mut Vec<Diagnostic>,
) -> Option<T> {
    let before = found.len();
    let tree = document::read(file, found);
    for diagnostic in &mut found[before..] {
        let hint = "write the contract, or remove the file";
        diagnostic.hint.get_or_insert_with(|| hint.to_owned());
    }
    document::decode(tree?, file, found)
}

pub(super) fn same_name(name: &Spanned<String>, file: &SourceFile, found: &mut Vec<Diagnostic>) {
    let stem = file
        .path()
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy();
    if *stem != name.value {
        let message = format!(
            "this file is named {stem}.yaml but declares `{}`",
            name.value
        );
        let hint = "name the file after what it declares";
        found.push(Diagnostic::error(file, Some(name.span()), message).hint(hint));
    }
}
