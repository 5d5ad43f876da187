//! DuckDB over the lake.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use duckdb::Connection;
use indexmap::IndexMap;
use thiserror::Error;

use super::catalog::{self, Unreadable};
use super::checks::{self, Staged};
use crate::spec::table::Table;

#[derive(Debug, Error)]
pub enum QueryError {
    /// DuckDB's own words, with its caret under the place.
    #[error("{}", words(.0))]
    Sql(duckdb::Error),
    #[error("the lake's answer is not as expected: {reason}")]
    Rows { reason: String },
    #[error("cannot {action} {}", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
}

/// The lake, opened for SQL. Everything is in memory but the Parquet files, so nothing here ever
/// blocks a commit or another reader.
pub struct Database {
    connection: Connection,
}

/// A query's result.
#[derive(Debug)]
pub struct Answer {
    pub schema: SchemaRef,
    pub batches: Vec<RecordBatch>,
}

impl Database {
    /// # Errors
    /// The lake's path cannot be read, or the contracts do not fit its files.
    pub fn open(
        lake: &Path,
        tables: &IndexMap<String, Table>,
        unreadable: &Unreadable,
    ) -> Result<Self, QueryError> {
        let connection = Connection::open_in_memory().map_err(QueryError::Sql)?;
        connection
            .execute_batch("SET TimeZone = 'UTC'")
            .map_err(QueryError::Sql)?;
        build_catalog(&connection, lake, tables, unreadable)?;
        Ok(Database { connection })
    }

    /// The lake as it will be with a run's staged files, and these alone in the schema `run`.
    ///
    /// # Errors
    /// As [`Database::open`].
    pub fn open_staged(
        staged: &Staged<'_>,
        tables: &IndexMap<String, Table>,
        unreadable: &Unreadable,
    ) -> Result<Self, QueryError> {
        let (lake, folder) = (absolute(staged.lake)?, absolute(staged.folder)?);
        let staged = Staged {
            lake: &lake,
            folder: &folder,
            ..*staged
        };
        let has_files = |root: &Path, table: &str| has_parquet(&root.join("tables").join(table));
        Self::with(checks::statements(&staged, tables, unreadable, has_files))
    }

    fn with(statements: Vec<String>) -> Result<Self, QueryError> {
        let connection = Connection::open_in_memory().map_err(QueryError::Sql)?;
        connection
            .execute_batch(&format!(
                "SET TimeZone = 'UTC';\n{}",
                statements.join(";\n")
            ))
            .map_err(QueryError::Sql)?;
        Ok(Database { connection })
    }

    /// The views of [`Database::open_staged`] without any row.
    ///
    /// # Errors
    /// The contracts make no views.
    pub fn open_empty(tables: &IndexMap<String, Table>) -> Result<Self, QueryError> {
        let nowhere = Staged {
            lake: Path::new(""),
            folder: Path::new(""),
            run_id: "",
            replaces: &|_| true,
        };
        Self::with(checks::statements(
            &nowhere,
            tables,
            &Unreadable::new(),
            |_, _| false,
        ))
    }

    /// Runs one SQL statement.
    ///
    /// # Errors
    /// What DuckDB says of it.
    pub fn query(&self, sql: &str) -> Result<Answer, QueryError> {
        let mut statement = self.connection.prepare(sql).map_err(QueryError::Sql)?;
        let result = statement.query_arrow([]).map_err(QueryError::Sql)?;
        let schema = result.get_schema();
        Ok(Answer {
            schema,
            batches: result.collect(),
        })
    }
}

/// Writes `lake.duckdb`, the views for other tools, beside the old one and renames it into place:
/// a reader who has the old one open keeps it.
///
/// # Errors
/// The file cannot be written.
pub fn write_catalog(
    lake: &Path,
    tables: &IndexMap<String, Table>,
    unreadable: &Unreadable,
) -> Result<(), QueryError> {
    let target = lake.join("lake.duckdb");
    let beside = lake
        .join("_state")
        .join(format!("lake.duckdb.{}", std::process::id()));
    let failed = |action, path: &Path| {
        let path = path.to_owned();
        move |source| QueryError::Io {
            action,
            path,
            source,
        }
    };
    // Another process of our number may have been killed while it wrote.
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(failed("remove", &beside)(error));
        }
        _ => {}
    }
    let connection = Connection::open(&beside).map_err(QueryError::Sql)?;
    let built = build_catalog(&connection, lake, tables, unreadable).and_then(|()| {
        connection
            .execute_batch("CHECKPOINT")
            .map_err(QueryError::Sql)
    });
    drop(connection);
    built?;
    fs::rename(&beside, &target).map_err(failed("write", &target))
}

fn build_catalog(
    connection: &Connection,
    lake: &Path,
    tables: &IndexMap<String, Table>,
    unreadable: &Unreadable,
) -> Result<(), QueryError> {
    let lake = absolute(lake)?;
    let has_files = |table: &str| has_parquet(&lake.join("tables").join(table));
    let statements = catalog::statements(&lake, tables, unreadable, has_files).join(";\n");
    // In one transaction: each of its own would be synced to disk.
    connection
        .execute_batch(&format!("BEGIN TRANSACTION;\n{statements};\nCOMMIT"))
        .map_err(QueryError::Sql)
}

fn absolute(path: &Path) -> Result<PathBuf, QueryError> {
    std::path::absolute(path).map_err(|source| QueryError::Io {
        action: "find",
        path: path.to_owned(),
        source,
    })
}

/// Whether any partition of a table has a file.
fn has_parquet(table: &Path) -> bool {
    let entries = |path: &Path| {
        fs::read_dir(path)
            .into_iter()
            .flatten()
            .flatten()
            .map(|e| e.path())
    };
    entries(table).any(|partition| {
        entries(&partition).any(|file| file.extension().is_some_and(|e| e == "parquet"))
    })
}

fn words(error: &duckdb::Error) -> String {
    match error {
        duckdb::Error::DuckDBFailure(_, Some(message)) => message.clone(),
        other => other.to_string(),
    }
}
