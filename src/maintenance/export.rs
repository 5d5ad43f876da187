//! Exports: one database file with the rows of a lake, or with views over a lake that is elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use chrono::{DateTime, NaiveDate, Utc};
use indexmap::IndexMap;
use serde::Serialize;
use thiserror::Error;

use crate::clock;
use crate::lake_layout::full_path;
use crate::load::{Lake, LakeError};
use crate::query::catalog::{only, over_copies};
use crate::query::duckdb::export_file::{AboutExport, NewExport, OldFile};
use crate::query::duckdb::{Comments, QueryError};
use crate::run::catalog::{GONE_RETRIES, open_still};
use crate::run::error::RunError;
use crate::spec::contracts::Contracts;
use crate::spec::table::{RowsFrom, Table, owner};
use crate::spec::yaml::diagnostic::nearest;

/// A requested export.
#[derive(Debug)]
pub struct ExportRequest {
    pub file: PathBuf,
    pub content: ExportContent,
    /// True to replace a file that redlake did not export.
    pub is_forced: bool,
}

#[derive(Debug)]
pub enum ExportContent {
    /// The rows themselves.
    Tables {
        /// First business date of the rows. `None` for all rows.
        since: Option<NaiveDate>,
        /// Names of tables and marts. Empty for all.
        only: Vec<String>,
    },
    /// Views over the files of the lake.
    Views {
        /// Folder of the lake for readers. `None` if it is where it is here.
        root: Option<String>,
    },
}

/// Result of an export.
#[derive(Debug, Serialize)]
pub struct Exported {
    pub file: PathBuf,
    /// `tables` or `views`.
    pub form: &'static str,
    /// First business date of the rows. Null for all rows.
    pub since: Option<NaiveDate>,
    /// Folder of the lake in the paths of the views. Null if the file has the rows.
    pub root: Option<String>,
    pub bytes: u64,
    pub tables: Vec<ExportedTable>,
    /// Names of the views, but for those in place of tables.
    pub views: Vec<String>,
    pub left_out: Vec<LeftOutView>,
    /// Time of the newest commit whose rows are in the file.
    pub newest_commit_at: Option<DateTime<Utc>>,
}

/// A table or mart in an exported file.
#[derive(Debug, Serialize)]
pub struct ExportedTable {
    pub name: String,
    /// Null if the file has a view in its place.
    pub rows: Option<u64>,
}

/// A view that is not in the file.
#[derive(Debug, Serialize)]
pub struct LeftOutView {
    pub view: String,
    /// The tables and views that it reads and that are not in the file.
    pub needs: Vec<String>,
}

#[derive(Debug, Error)]
pub enum ExportError {
    #[error("{} is in the lake {}", file.display(), lake.display())]
    InsideLake { file: PathBuf, lake: PathBuf },
    #[error("the folder {} does not exist", .0.display())]
    NoFolder(PathBuf),
    #[error("{} is a folder", .0.display())]
    IsFolder(PathBuf),
    #[error("{} exists, and redlake did not export it{}", file.display(), reason.as_ref().map_or(String::new(), |reason| format!(": {reason}")))]
    NoExport {
        file: PathBuf,
        reason: Option<String>,
    },
    #[error("{} has what redlake did not make: {}", file.display(), names.join(", "))]
    Foreign { file: PathBuf, names: Vec<String> },
    #[error("there is no table or mart `{name}`")]
    UnknownTable { name: String, near: Option<String> },
    #[error("`{name}` is a view")]
    IsView { name: String, reads: Vec<String> },
    #[error("the lake's folder for readers is not a full path: {0}")]
    RelativeRoot(String),
    /// A column that cannot be read while old files are there, with what to do.
    #[error("{table}.{column} cannot be exported: {reason}")]
    Unreadable {
        table: String,
        column: String,
        reason: String,
    },
    #[error(transparent)]
    Query(#[from] QueryError),
    #[error(transparent)]
    Run(#[from] RunError),
}

impl From<LakeError> for ExportError {
    fn from(error: LakeError) -> Self {
        RunError::from(error).into()
    }
}

/// Writes the file of an export. It has the rows of all commits up to one moment, whatever is
/// committed meanwhile. A file of the same name is replaced atomically.
///
/// # Errors
/// The request is wrong, the file may not be replaced, the lake cannot be read, or the disk is full.
/// Nothing is changed then.
pub fn export(
    lake: &Lake,
    contracts: &Contracts,
    request: &ExportRequest,
) -> Result<Exported, ExportError> {
    let relations = contracts.relations();
    let chosen = match &request.content {
        ExportContent::Tables { only: names, .. } if !names.is_empty() => {
            check_names(names, &relations)?;
            only(&relations, |name| {
                let is_view = relations[name].query.is_some();
                is_view || names.iter().any(|named| named == name)
            })
        }
        ExportContent::Tables { .. } | ExportContent::Views { .. } => relations.clone(),
    };
    let root = match &request.content {
        ExportContent::Tables { .. } => None,
        ExportContent::Views { root: Some(root) } => Some(checked_root(root)?),
        ExportContent::Views { root: None } => {
            let root = full_path(lake.root());
            Some(root.to_string_lossy().into_owned())
        }
    };
    check_target(lake, request)?;
    let mut gone = 0;
    let (bytes, copied, newest_commit_at) = loop {
        match write(lake, &chosen, request, root.as_deref()) {
            Err(ExportError::Query(error)) if gone < GONE_RETRIES && error.is_of_gone_file() => {
                tracing::info!("a commit replaced a file; the export begins again");
                gone += 1;
            }
            written => break written?,
        }
    };
    let there = over_copies(&chosen).relations;
    Ok(Exported {
        file: request.file.clone(),
        form: form(&request.content),
        since: since(&request.content),
        root,
        bytes,
        tables: stored(&chosen)
            .map(|table| ExportedTable {
                name: table.name().to_owned(),
                rows: copied.get(table.name()).copied(),
            })
            .collect(),
        views: there
            .iter()
            .filter(|name| chosen.get(*name).is_none_or(|table| table.query.is_some()))
            .cloned()
            .collect(),
        left_out: left_out(&chosen, &there),
        newest_commit_at,
    })
}

/// Size of a file in bytes, the rows of each table in it, and the time of the newest commit.
type WrittenExport = (u64, BTreeMap<String, u64>, Option<DateTime<Utc>>);

fn write(
    lake: &Lake,
    chosen: &IndexMap<String, Table>,
    request: &ExportRequest,
    root: Option<&str>,
) -> Result<WrittenExport, ExportError> {
    // No commit comes between the list of commits and that of files.
    let still = lake.lock_shared()?;
    let newest = lake.commits()?.pop();
    let newest = newest.map(|commit| (commit.commit_id, commit.committed_at));
    let opened = open_still(lake, chosen, Comments::Without)?;
    let columns = lake.file_columns(chosen)?;
    drop(still);
    let about = AboutExport {
        made_at: clock::now(),
        lake: full_path(lake.root()),
        form: form(&request.content),
        since: since(&request.content),
        tables_only: match &request.content {
            ExportContent::Tables { only, .. } if !only.is_empty() => Some(only.join(", ")),
            ExportContent::Tables { .. } | ExportContent::Views { .. } => None,
        },
        root: root.map(str::to_owned),
        newest_commit: newest.clone(),
    };
    let file = NewExport::beside(&request.file)?;
    let copied = match root {
        None => {
            let mut unreadable = columns.unreadable.into_iter();
            if let Some(((table, column), reason)) = unreadable.next() {
                return Err(ExportError::Unreadable {
                    table,
                    column,
                    reason,
                });
            }
            file.copy(&opened, chosen, about.since, &about)?
        }
        Some(root) => {
            file.create_views(lake.root(), chosen, &columns, root, &about)?;
            BTreeMap::new()
        }
    };
    drop(opened);
    Ok((file.publish()?, copied, newest.map(|(_, at)| at)))
}

fn form(content: &ExportContent) -> &'static str {
    match content {
        ExportContent::Tables { .. } => "tables",
        ExportContent::Views { .. } => "views",
    }
}

fn since(content: &ExportContent) -> Option<NaiveDate> {
    match content {
        ExportContent::Tables { since, .. } => *since,
        ExportContent::Views { .. } => None,
    }
}

/// Returns the relations that have files: tables and marts.
fn stored(relations: &IndexMap<String, Table>) -> impl Iterator<Item = &Table> {
    relations.values().filter(|table| table.query.is_none())
}

/// Checks that these are names of tables and marts.
fn check_names(names: &[String], relations: &IndexMap<String, Table>) -> Result<(), ExportError> {
    for name in names {
        if relations
            .get(name)
            .is_some_and(|table| table.query.is_none())
        {
            continue;
        }
        let name = name.clone();
        if owner(&name, relations).is_some() {
            let mut reads = BTreeSet::new();
            collect_tables(&name, relations, &mut reads);
            let reads = reads.into_iter().collect();
            return Err(ExportError::IsView { name, reads });
        }
        let near = nearest(&name, stored(relations).map(Table::name)).map(str::to_owned);
        return Err(ExportError::UnknownTable { name, near });
    }
    Ok(())
}

/// Adds the tables and marts that a relation reads, directly or through views.
fn collect_tables(
    relation: &str,
    relations: &IndexMap<String, Table>,
    found: &mut BTreeSet<String>,
) {
    let Some((table, _)) = owner(relation, relations) else {
        return;
    };
    match &table.query {
        None => {
            found.insert(table.name().to_owned());
        }
        Some(query) => {
            for read in query.reads.keys() {
                collect_tables(read, relations, found);
            }
        }
    }
}

/// Returns the views that read what is not there.
fn left_out(chosen: &IndexMap<String, Table>, there: &BTreeSet<String>) -> Vec<LeftOutView> {
    let views = chosen
        .values()
        .filter(|table| table.rows_from == RowsFrom::Query);
    let missing = views.filter(|view| !there.contains(view.name()));
    let missing = missing.map(|view| {
        let reads = view.query.iter().flat_map(|query| query.reads.keys());
        LeftOutView {
            view: view.name().to_owned(),
            needs: reads
                .filter(|read| !there.contains(*read))
                .cloned()
                .collect(),
        }
    });
    missing.collect()
}

/// Returns the lake's folder for readers without a slash at its end.
fn checked_root(root: &str) -> Result<String, ExportError> {
    let bytes = root.as_bytes();
    let has_drive = bytes.len() > 2 && bytes[0].is_ascii_alphabetic() && bytes[1] == b':';
    let is_full = root.starts_with(['/', '\\']) || root.contains("://") || has_drive;
    if is_full {
        Ok(root.trim_end_matches(['/', '\\']).to_owned())
    } else {
        Err(ExportError::RelativeRoot(root.to_owned()))
    }
}

/// Checks that the file may be written, and that an old file may be replaced.
fn check_target(lake: &Lake, request: &ExportRequest) -> Result<(), ExportError> {
    let file = &request.file;
    let folder = full_path(file);
    let folder = folder.parent().unwrap_or(&folder);
    if !folder.exists() {
        return Err(ExportError::NoFolder(folder.to_owned()));
    }
    if lake.has_place_of(file) {
        return Err(ExportError::InsideLake {
            file: file.clone(),
            lake: lake.root().to_owned(),
        });
    }
    if file.is_dir() {
        return Err(ExportError::IsFolder(file.clone()));
    }
    if request.is_forced || is_empty_or_missing(file) {
        return Ok(());
    }
    let file = file.clone();
    match OldFile::read(&file) {
        OldFile::Export(names) if names.is_empty() => Ok(()),
        OldFile::Export(names) => Err(ExportError::Foreign { file, names }),
        OldFile::Database => Err(ExportError::NoExport { file, reason: None }),
        OldFile::Unreadable(reason) => Err(ExportError::NoExport {
            file,
            reason: Some(reason),
        }),
    }
}

fn is_empty_or_missing(file: &Path) -> bool {
    fs::metadata(file).map_or(true, |file| file.len() == 0)
}
