//! What the files of a lake hold: a summary of their footers, so that contracts can be compared
//! with the lake before anything is written or paid.
//!
//! The summary may name what no file holds any more, never the other way round: a commit adds its
//! columns before its record gets its name. Deleted or damaged, it is made anew from the footers.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use arrow::datatypes::{DataType, Schema, TimeUnit};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use serde::{Deserialize, Serialize};

use super::apply::finish_commits;
use super::files::{list, replace_json};
use super::{Lake, LakeError, STATE};
use crate::spec::table::ColumnType;

/// The columns of every table, by name, each with the types that files hold it with.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Stored(pub BTreeMap<String, Columns>);

/// The columns of one table.
pub type Columns = BTreeMap<String, BTreeSet<ColumnType>>;

impl Stored {
    /// Adds the columns of a file. A type that no contract can name was not written by redlake, and
    /// is no concern of the contracts.
    pub(super) fn add(&mut self, table: &str, schema: &Schema) {
        let columns = self.0.entry(table.to_owned()).or_default();
        for field in schema.fields() {
            if let Some(kind) = column_type(field.data_type()) {
                columns
                    .entry(field.name().clone())
                    .or_default()
                    .insert(kind);
            }
        }
    }

    fn merge(&mut self, other: &Stored) {
        for (table, columns) in &other.0 {
            let ours = self.0.entry(table.clone()).or_default();
            for (name, kinds) in columns {
                ours.entry(name.clone()).or_default().extend(kinds);
            }
        }
    }
}

impl Lake {
    /// What the files of the lake hold.
    ///
    /// # Errors
    /// A folder that cannot be listed.
    pub fn columns(&self) -> Result<Stored, LakeError> {
        read(&self.root).map_or_else(|| of_lake(&self.root), Ok)
    }

    /// Looks anew at the files of these tables, whose old files were replaced.
    ///
    /// # Errors
    /// A folder that cannot be listed, or a summary that cannot be written.
    pub fn recount_columns(&self, tables: &[String]) -> Result<(), LakeError> {
        let _guard = self.commit_lock()?;
        // What a cut-off commit added may still be staged.
        finish_commits(&self.root)?;
        let mut stored = self.columns()?;
        for table in tables {
            let columns = of_table(&self.root.join("tables").join(table))?;
            stored.0.insert(table.clone(), columns);
        }
        replace_json(&path(&self.root), &stored)
    }
}

/// Makes the summary of a lake that has none. The commit lock is held, and no commit is cut off.
pub(super) fn make(root: &Path) -> Result<(), LakeError> {
    match read(root) {
        Some(_) => Ok(()),
        None => replace_json(&path(root), &of_lake(root)?),
    }
}

/// Adds what a commit is about to add. The commit lock is held.
pub(super) fn remember(root: &Path, new: &Stored) -> Result<(), LakeError> {
    let known = read(root);
    let mut stored = match &known {
        Some(known) => known.clone(),
        None => of_lake(root)?,
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
fn of_lake(root: &Path) -> Result<Stored, LakeError> {
    let mut stored = Stored::default();
    for folder in list(&root.join("tables"))? {
        let table = folder.file_name().unwrap_or_default().to_string_lossy();
        let columns = of_table(&folder)?;
        stored.0.insert(table.into_owned(), columns);
    }
    Ok(stored)
}

/// The columns of the files below a table's folder.
fn of_table(folder: &Path) -> Result<Columns, LakeError> {
    let mut stored = Stored::default();
    let partitions = match folder.exists() {
        true => list(folder)?,
        false => Vec::new(),
    };
    for partition in partitions {
        for file in list(&partition)? {
            if file.extension().is_some_and(|e| e == "parquet") {
                match schema(&file) {
                    Ok(schema) => stored.add("", &schema),
                    // Nobody can read it, so it hinders nobody.
                    Err(reason) => tracing::warn!("{}: {reason}", file.display()),
                }
            }
        }
    }
    Ok(stored.0.remove("").unwrap_or_default())
}

/// The columns of a Parquet file, from its footer.
fn schema(file: &Path) -> Result<Schema, String> {
    let file = File::open(file).map_err(|e| e.to_string())?;
    let metadata = ArrowReaderMetadata::load(&file, ArrowReaderOptions::default());
    let metadata = metadata.map_err(|e| e.to_string())?;
    Ok(metadata.schema().as_ref().clone())
}

fn column_type(kind: &DataType) -> Option<ColumnType> {
    Some(match kind {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => ColumnType::String,
        DataType::Int64 => ColumnType::Int64,
        DataType::Float64 => ColumnType::Float64,
        DataType::Boolean => ColumnType::Bool,
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => ColumnType::Timestamp,
        DataType::Date32 => ColumnType::Date,
        _ => return None,
    })
}
