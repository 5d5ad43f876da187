//! What the files of a lake hold: a summary of their footers, so that contracts can be compared
//! with the lake before anything is written or paid.
//!
//! The summary may name what no file holds any more, never the other way round: a commit adds its
//! columns before its record gets its name. Deleted or damaged, it is made anew from the footers.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::{Field, Schema};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use serde::{Deserialize, Serialize};

use super::apply::finish_commits;
use super::files::{list, replace_json};
use super::{Lake, LakeError, STATE};
use crate::spec::table::{ColumnType, FOLDERS};

/// By table and mart, the different sets of columns that its files have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Stored(pub BTreeMap<String, BTreeSet<Columns>>);

/// The columns of a file. A type that no contract can name is none: redlake did not write it, and it
/// is no concern of the contracts.
pub type Columns = BTreeMap<String, Option<ColumnType>>;

impl Stored {
    /// Adds the columns of a file.
    pub(super) fn add(&mut self, table: &str, schema: &Schema) {
        let all = self.0.entry(table.to_owned()).or_default();
        all.insert(columns_of(schema));
    }

    /// The columns of a table, each with the types that files hold it with.
    pub fn kinds(&self, table: &str) -> BTreeMap<&str, BTreeSet<ColumnType>> {
        let mut kinds: BTreeMap<&str, BTreeSet<ColumnType>> = BTreeMap::new();
        for (name, kind) in self.0.get(table).into_iter().flatten().flatten() {
            if let Some(kind) = kind {
                kinds.entry(name).or_default().insert(*kind);
            }
        }
        kinds
    }

    /// The tables whose files all have the same columns.
    pub fn uniform(&self) -> impl Iterator<Item = &str> {
        let is_uniform = |files: &BTreeSet<Columns>| {
            let kinds = files.iter().flat_map(BTreeMap::values);
            files.len() == 1 && kinds.into_iter().all(Option::is_some)
        };
        let all = self.0.iter();
        all.filter(move |(_, files)| is_uniform(files))
            .map(|(table, _)| table.as_str())
    }

    fn merge(&mut self, other: &Stored) {
        for (table, files) in &other.0 {
            let ours = self.0.entry(table.clone()).or_default();
            ours.extend(files.iter().cloned());
        }
    }
}

impl Lake {
    /// What the files of the lake hold.
    ///
    /// # Errors
    /// A folder that cannot be listed.
    pub fn columns(&self) -> Result<Stored, LakeError> {
        read(&self.root).map_or_else(|| of_folder(&self.root), Ok)
    }

    /// Looks anew at the files of these tables, whose old files were replaced.
    ///
    /// # Errors
    /// A folder that cannot be listed, or a summary that cannot be written.
    pub fn recount_columns<'t>(
        &self,
        tables: impl IntoIterator<Item = &'t str>,
    ) -> Result<(), LakeError> {
        let _guard = self.commit_lock()?;
        // What a cut-off commit added may still be staged.
        finish_commits(&self.root)?;
        let mut stored = self.columns()?;
        for table in tables {
            let mut files = BTreeSet::new();
            for folder in FOLDERS {
                files.extend(of_table(&self.root.join(folder).join(table))?);
            }
            let before = stored.0.insert(table.to_owned(), files.clone());
            if files.contains(&unread()) {
                // Mended, a file has what it had before.
                let all = stored.0.entry(table.to_owned()).or_default();
                all.extend(before.unwrap_or_default());
            }
        }
        replace_json(&path(&self.root), &stored)
    }

    /// Looks anew at the files of those of these tables whose files did not all have the same columns:
    /// by now they may.
    ///
    /// # Errors
    /// As [`Lake::recount_columns`].
    pub fn recount_mixed<'t>(
        &self,
        tables: impl IntoIterator<Item = &'t str>,
    ) -> Result<(), LakeError> {
        let stored = self.columns()?;
        let uniform: BTreeSet<&str> = stored.uniform().collect();
        let is_mixed = |table: &&str| stored.0.contains_key(*table) && !uniform.contains(table);
        let mixed: Vec<&str> = tables.into_iter().filter(is_mixed).collect();
        if mixed.is_empty() {
            Ok(())
        } else {
            self.recount_columns(mixed)
        }
    }
}

/// Makes the summary of a lake that has none. The commit lock is held, and no commit is cut off.
pub(super) fn make(root: &Path) -> Result<(), LakeError> {
    match read(root) {
        Some(_) => Ok(()),
        None => replace_json(&path(root), &of_folder(root)?),
    }
}

/// Adds what a commit is about to add. The commit lock is held.
pub(super) fn remember(root: &Path, new: &Stored) -> Result<(), LakeError> {
    let known = read(root);
    let mut stored = match &known {
        Some(known) => known.clone(),
        None => of_folder(root)?,
    };
    stored.merge(new);
    if known.as_ref() == Some(&stored) {
        return Ok(());
    }
    replace_json(&path(root), &stored)
}

fn path(root: &Path) -> PathBuf {
    root.join(STATE).join("columns.json")
}

fn read(root: &Path) -> Option<Stored> {
    let text = fs::read_to_string(path(root)).ok()?;
    serde_json::from_str(&text).ok()
}

/// Every footer is read: any file may be the only one that still holds a column.
pub(super) fn of_folder(root: &Path) -> Result<Stored, LakeError> {
    let mut stored = Stored::default();
    for folder in FOLDERS.map(|folder| root.join(folder)) {
        for table in listed(&folder)? {
            let name = table.file_name().unwrap_or_default().to_string_lossy();
            let all = stored.0.entry(name.into_owned()).or_default();
            all.extend(of_table(&table)?);
        }
    }
    Ok(stored)
}

/// What stands for the columns of a file that cannot be read: nobody knows whether they are others.
fn unread() -> Columns {
    Columns::from([(String::new(), None)])
}

/// The different columns of the files below a table's folder.
fn of_table(folder: &Path) -> Result<BTreeSet<Columns>, LakeError> {
    let mut files = BTreeSet::new();
    for partition in listed(folder)? {
        for file in list(&partition)? {
            if file.extension().is_some_and(|e| e == "parquet") {
                files.insert(schema(&file).map_or_else(
                    |reason| {
                        tracing::warn!("{}: {reason}", file.display());
                        unread()
                    },
                    |schema| columns_of(&schema),
                ));
            }
        }
    }
    Ok(files)
}

fn listed(folder: &Path) -> Result<Vec<PathBuf>, LakeError> {
    if folder.exists() {
        list(folder)
    } else {
        Ok(Vec::new())
    }
}

fn columns_of(schema: &Schema) -> Columns {
    let fields = schema.fields().iter();
    let column = |field: &Arc<Field>| {
        let kind = ColumnType::of_arrow(field.data_type());
        (field.name().clone(), kind)
    };
    fields.map(column).collect()
}

/// The columns of a Parquet file, from its footer.
fn schema(file: &Path) -> Result<Schema, String> {
    let file = File::open(file).map_err(|e| e.to_string())?;
    let metadata = ArrowReaderMetadata::load(&file, ArrowReaderOptions::default());
    let metadata = metadata.map_err(|e| e.to_string())?;
    Ok(metadata.schema().as_ref().clone())
}
