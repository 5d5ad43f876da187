//! Summary of the Parquet footers of a lake. It lets contracts be compared with the lake before
//! anything is written or paid.
//!
//! The summary may contain columns that no file has any more, but never lacks a column of a file: a
//! commit adds its columns before its record is written. A missing or damaged summary is rebuilt
//! from the footers.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::{Field, Schema};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use serde::{Deserialize, Serialize};

use super::apply::finish_commits;
use super::files::{list, replace_json};
use super::{Lake, LakeError};
use crate::lake_layout::{self, STATE, state};
use crate::spec::table::{ColumnType, FOLDERS};

/// The distinct column sets of the files of each table and mart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Stored(pub BTreeMap<String, BTreeSet<Columns>>);

/// The columns of a file. The type is `None` if no contract can name it: redlake did not write such
/// a column, and contracts do not apply to it.
pub type Columns = BTreeMap<String, Option<ColumnType>>;

impl Stored {
    /// Adds the columns of a file.
    pub(super) fn add(&mut self, table: &str, schema: &Schema) {
        let all = self.0.entry(table.to_owned()).or_default();
        all.insert(columns_of(schema));
    }

    /// Returns the columns of a table, each with its types in the files.
    pub fn kinds(&self, table: &str) -> BTreeMap<&str, BTreeSet<ColumnType>> {
        let mut kinds: BTreeMap<&str, BTreeSet<ColumnType>> = BTreeMap::new();
        for (name, kind) in self.0.get(table).into_iter().flatten().flatten() {
            if let Some(kind) = kind {
                kinds.entry(name).or_default().insert(*kind);
            }
        }
        kinds
    }

    /// Returns the tables whose files all have the same columns.
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
    /// Returns the summary of the lake, rebuilt from the footers if it is missing or damaged.
    ///
    /// # Errors
    /// Fails if a folder cannot be listed.
    pub fn columns(&self) -> Result<Stored, LakeError> {
        read(&self.root).map_or_else(|| of_folder(&self.root), Ok)
    }

    /// Rebuilds the summary of these tables from their footers, after old files were replaced.
    ///
    /// # Errors
    /// Fails if a folder cannot be listed or the summary cannot be written.
    pub fn recount_columns<'t>(
        &self,
        tables: impl IntoIterator<Item = &'t str>,
    ) -> Result<(), LakeError> {
        let _guard = self.commit_lock()?;
        // Files of an interrupted commit may still be staged.
        finish_commits(&self.root)?;
        let mut stored = self.columns()?;
        for table in tables {
            let mut files = BTreeSet::new();
            for folder in FOLDERS {
                files.extend(of_table(&self.root.join(folder).join(table))?);
            }
            let before = stored.0.insert(table.to_owned(), files.clone());
            if files.contains(&unread()) {
                // Keeps the earlier column sets: an unreadable file may be restored with the
                // columns it had.
                let all = stored.0.entry(table.to_owned()).or_default();
                all.extend(before.unwrap_or_default());
            }
        }
        replace_json(&path(&self.root), &stored)
    }

    /// Rebuilds the summary of those of these tables whose files had different columns. Their files
    /// may all have the same columns now.
    ///
    /// # Errors
    /// Fails as [`Lake::recount_columns`] does.
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

/// Creates the summary of a lake if it is missing or damaged. The caller holds the commit lock, and
/// all commits are applied.
pub(super) fn make(root: &Path) -> Result<(), LakeError> {
    match read(root) {
        Some(_) => Ok(()),
        None => replace_json(&path(root), &of_folder(root)?),
    }
}

/// Adds the columns of a commit to the summary, before its record is written. The caller holds the
/// commit lock.
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
    root.join(STATE).join(state::COLUMNS)
}

fn read(root: &Path) -> Option<Stored> {
    let text = fs::read_to_string(path(root)).ok()?;
    serde_json::from_str(&text).ok()
}

/// Builds a summary from the tables and marts below `root`. Reads every footer, since any file may
/// be the only one with a certain column.
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

/// Returns the placeholder for the columns of an unreadable file. It differs from every real column
/// set, so the table does not count as uniform.
fn unread() -> Columns {
    Columns::from([(String::new(), None)])
}

/// Returns the distinct column sets of the files below a table's folder.
fn of_table(folder: &Path) -> Result<BTreeSet<Columns>, LakeError> {
    let mut files = BTreeSet::new();
    for partition in listed(folder)? {
        for file in list(&partition)? {
            if lake_layout::is_parquet(&file) {
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

/// Returns options to read a file with the types of its Parquet schema. An embedded Arrow schema is
/// ignored.
pub fn options() -> ArrowReaderOptions {
    ArrowReaderOptions::new().with_skip_arrow_metadata(true)
}

/// Reads the columns of a Parquet file from its footer.
///
/// # Errors
/// Returns the reason why the footer cannot be read.
pub fn schema(file: &Path) -> Result<Schema, String> {
    let file = File::open(file).map_err(|e| e.to_string())?;
    let metadata = ArrowReaderMetadata::load(&file, options());
    let metadata = metadata.map_err(|e| e.to_string())?;
    Ok(metadata.schema().as_ref().clone())
}
