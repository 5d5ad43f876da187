//! DuckDB over the lake.

pub mod catalog_file;
mod confinement;
mod database_file;
pub mod export_file;
pub mod late_views;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::{fs, io, thread};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use chrono_tz::Tz;
use duckdb::{Connection, InterruptHandle, Statement};
use indexmap::IndexMap;
use thiserror::Error;

use crate::lake_layout::{is_parquet, partition_date};
use crate::query::catalog::{self, Files};
use crate::query::sql;
use crate::query::staged::{self, Staged};
use crate::spec::mart::DateSpan;
use crate::spec::table::FileColumns;
use crate::spec::table::Table;

#[derive(Debug, Error)]
pub enum QueryError {
    /// DuckDB's own message, with its caret below the position.
    #[error("{}", words(.0))]
    Sql(duckdb::Error),
    #[error("the statement was cancelled")]
    Cancelled,
    #[error("the statement has a parameter ${0}, and no value for it is given")]
    NoValue(String),
    #[error("the statement has no parameter ${0}")]
    UnusedParameter(String),
    /// The query of a data check. It has not run.
    #[error("it is not one SELECT statement: {0}")]
    NotSelect(String),
    /// The query of a view does not fit the tables.
    #[error("the view {view} cannot be created: {}", words(.error))]
    View { view: String, error: duckdb::Error },
    #[error("unexpected query result: {reason}")]
    Rows { reason: String },
    #[error("cannot {action} {}", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
}

impl QueryError {
    /// Returns true if the statement names something that does not exist. It has not run then.
    pub fn is_of_names(&self) -> bool {
        let kinds = ["Catalog Error", "Binder Error"];
        matches!(self, QueryError::Sql(error) if kinds.iter().any(|kind| words(error).starts_with(kind)))
    }

    /// Returns true if a disk is full.
    pub fn is_of_full_disk(&self) -> bool {
        matches!(self, QueryError::Sql(error) if words(error).contains("No space left on device"))
    }

    /// Returns true if a listed file is gone: a commit replaced it before it was read.
    pub fn is_of_gone_file(&self) -> bool {
        let (QueryError::Sql(error) | QueryError::View { error, .. }) = self else {
            return false;
        };
        let words = words(error);
        words.starts_with("IO Error") && GONE.iter().any(|gone| words.contains(gone))
    }
}

/// Phrases of DuckDB's errors for a missing file.
const GONE: [&str; 2] = [
    "No such file or directory",
    "No files found that match the pattern",
];

/// The lake, opened for SQL. Everything except the Parquet files is in memory, so it never blocks a
/// commit or another reader.
pub struct Database {
    connection: Connection,
}

/// Cancels the statement that runs on a database, from another thread.
pub struct Interrupter(Arc<InterruptHandle>);

impl Interrupter {
    /// Lets the running statement fail with [`QueryError::Cancelled`].
    pub fn interrupt(&self) {
        self.0.interrupt();
    }
}

/// Presence of the descriptions of views and columns in a database. Only statements that list them
/// need them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comments {
    With,
    Without,
}

/// Limits of a database.
#[derive(Clone, Copy, Debug)]
pub struct DatabaseLimits {
    /// Memory in bytes that queries may use before they spill.
    pub memory: u64,
    pub threads: usize,
}

/// A query's result.
#[derive(Debug)]
pub struct QueryAnswer {
    pub schema: SchemaRef,
    pub batches: Vec<RecordBatch>,
}

/// Returns the version of the DuckDB library that is loaded, such as `v1.5.0`.
///
/// # Errors
/// The library cannot open a database in memory.
pub fn library_version() -> Result<String, QueryError> {
    let connection = Connection::open_in_memory().map_err(QueryError::Sql)?;
    let version = connection.query_row("SELECT version()", [], |row| row.get(0));
    version.map_err(QueryError::Sql)
}

impl Database {
    /// Opens the lake. Its views look for their files whenever they are read.
    ///
    /// # Errors
    /// Fails if the lake's path cannot be resolved, or the contracts do not fit its files.
    pub fn open(
        lake: &Path,
        tables: &IndexMap<String, Table>,
        columns: &FileColumns,
    ) -> Result<Self, QueryError> {
        Self::with(&catalog_statements(lake, tables, columns, any)?)
    }

    /// Opens these tables of the lake, without the views derived from them and without comments.
    ///
    /// # Errors
    /// Fails as [`Database::open`] does.
    pub fn open_tables(
        lake: &Path,
        tables: &IndexMap<String, Table>,
        columns: &FileColumns,
    ) -> Result<Self, QueryError> {
        let lake = absolute(lake)?;
        let files = |table: &Table| any(&lake, table);
        Self::with(&catalog::table_statements(&lake, tables, columns, files))
    }

    /// Replaces the views of [`Database::open_tables`] by views over the files that exist now of the dates of
    /// a span. To find them takes less time than to list those of all dates for each query.
    ///
    /// # Errors
    /// Fails as [`Database::open`] does.
    pub fn narrow_tables(
        &self,
        lake: &Path,
        tables: &IndexMap<String, Table>,
        columns: &FileColumns,
        span: DateSpan,
    ) -> Result<(), QueryError> {
        let lake = absolute(lake)?;
        let files = |table: &Table| {
            let is_within = |partition: &PathBuf| {
                let date = partition
                    .file_name()
                    .and_then(|name| partition_date(&name.to_string_lossy()));
                date.is_some_and(|date| (span.first..=span.last).contains(&date))
            };
            let partitions = partitions(&lake, table).filter(is_within);
            these_of(
                partitions
                    .flat_map(|partition| parquet_files_in(&partition))
                    .collect(),
            )
        };
        create(
            &self.connection,
            &catalog::table_statements(&lake, tables, columns, files),
        )
    }

    /// Opens the lake as it will be with a run's staged files. The schema `run` has the run's rows
    /// alone.
    ///
    /// # Errors
    /// Fails as [`Database::open`] does.
    pub fn open_staged(
        staged: &Staged<'_>,
        tables: &IndexMap<String, Table>,
        columns: &FileColumns,
    ) -> Result<Self, QueryError> {
        let (lake, folder) = (absolute(staged.lake)?, absolute(staged.folder)?);
        let staged = Staged {
            lake: &lake,
            folder: &folder,
            ..*staged
        };
        let has_files = |root: &Path, table: &Table| has_files(root, table);
        Self::without_comments(staged::statements(&staged, tables, columns, has_files))
    }

    /// Opens the views of [`Database::open_staged`] without any rows.
    ///
    /// # Errors
    /// Fails if the views of the contracts cannot be created.
    pub fn open_empty(tables: &IndexMap<String, Table>) -> Result<Self, QueryError> {
        let nowhere = Staged {
            lake: Path::new(""),
            folder: Path::new(""),
            run_id: "",
            replaces: &|_| true,
            leaving: &[],
            leaves: &|_| false,
        };
        let columns = FileColumns::default();
        Self::without_comments(staged::statements(&nowhere, tables, &columns, |_, _| false))
    }

    /// Opens the lake with the rows of these pipelines only, and with the files that exist now.
    ///
    /// # Errors
    /// Fails as [`Database::open`] does.
    pub fn open_of_pipelines(
        lake: &Path,
        tables: &IndexMap<String, Table>,
        columns: &FileColumns,
        pipelines: &[String],
    ) -> Result<Self, QueryError> {
        let lake = absolute(lake)?;
        let files = |table: &Table| these(&lake, table);
        let create = catalog::statements_of_pipelines(&lake, tables, columns, pipelines, files);
        Self::with(&create.without_comments().all())
    }

    fn without_comments(mut statements: Vec<String>) -> Result<Self, QueryError> {
        statements.retain(|statement| !catalog::is_comment(statement));
        Self::with(&statements)
    }

    /// Opens DuckDB with these views.
    fn with(statements: &[String]) -> Result<Self, QueryError> {
        let connection = Connection::open_in_memory().map_err(QueryError::Sql)?;
        connection
            .execute_batch(SETTINGS)
            .map_err(QueryError::Sql)?;
        create(&connection, statements)?;
        Ok(Database { connection })
    }

    /// Opens DuckDB to read files, without a lake. Data beyond the memory spills to the folder
    /// `scratch`.
    ///
    /// # Errors
    /// Fails if DuckDB cannot start.
    pub fn of_files(scratch: &Path, limits: DatabaseLimits) -> Result<Self, QueryError> {
        let database = Self::with(&[])?;
        database.limit_memory(limits.memory)?;
        database.execute(&format!("SET threads = {}", limits.threads))?;
        database.spill_to(Some(scratch))?;
        Ok(database)
    }

    /// Sets the memory in bytes that queries may use before they spill.
    ///
    /// # Errors
    /// Fails if DuckDB rejects the setting.
    pub fn limit_memory(&self, bytes: u64) -> Result<(), QueryError> {
        self.execute(&format!("SET memory_limit = '{bytes}B'"))
    }

    /// Sets the folder for data that does not fit into memory. Without a folder, such data is an
    /// error, and nothing spills below the current folder.
    ///
    /// # Errors
    /// Fails if DuckDB rejects the setting.
    pub fn spill_to(&self, scratch: Option<&Path>) -> Result<(), QueryError> {
        let scratch = scratch.map(Path::to_string_lossy).unwrap_or_default();
        let scratch = sql::literal(&scratch);
        self.execute(&format!("SET temp_directory = {scratch}"))
    }

    /// Reads each column of a row group with one system call. By default DuckDB reads the header of a
    /// page with one system call for each byte.
    ///
    /// # Errors
    /// Fails if DuckDB rejects the setting.
    pub fn read_columns_at_once(&self) -> Result<(), QueryError> {
        self.execute("SET prefetch_all_parquet_files = true")
    }

    /// Returns the means to cancel statements of this database.
    pub fn interrupter(&self) -> Interrupter {
        Interrupter(self.connection.interrupt_handle())
    }

    /// Sets the time zone of the session: of casts, of functions of dates, and of printed instants.
    ///
    /// # Errors
    /// Fails if DuckDB does not know the zone.
    pub fn set_time_zone(&self, zone: Tz) -> Result<(), QueryError> {
        self.execute(&format!("SET TimeZone = {}", sql::literal(zone.name())))
    }

    /// Runs SQL statements that have no rows.
    ///
    /// # Errors
    /// Returns the error of DuckDB.
    pub fn execute(&self, statements: &str) -> Result<(), QueryError> {
        let done = self.connection.execute_batch(statements);
        done.map_err(QueryError::Sql)
    }

    /// Runs one SQL statement and passes its rows to `read`, batch by batch, as they are produced.
    /// Parameters are texts by name: `$name` in the statement, or `$1`.
    ///
    /// # Errors
    /// Returns the error of DuckDB, or an error for a parameter without a value or a value without
    /// a parameter. Later errors of DuckDB are passed to `read`.
    pub fn stream<T>(
        &self,
        sql: &str,
        parameters: &BTreeMap<String, String>,
        read: impl FnOnce(SchemaRef, &mut dyn Iterator<Item = Result<RecordBatch, QueryError>>) -> T,
    ) -> Result<T, QueryError> {
        self.stream_after(sql, parameters, || Ok(()), read)
    }

    /// Runs one SQL statement as [`Database::stream`] does, and `before` between its preparation and its
    /// execution.
    fn stream_after<T>(
        &self,
        sql: &str,
        parameters: &BTreeMap<String, String>,
        before: impl FnOnce() -> Result<(), QueryError>,
        read: impl FnOnce(SchemaRef, &mut dyn Iterator<Item = Result<RecordBatch, QueryError>>) -> T,
    ) -> Result<T, QueryError> {
        let mut statement = self.connection.prepare(sql).map_err(failed)?;
        let values = values(&statement, parameters)?;
        before()?;
        let schema = statement
            .stream_arrow(duckdb::params_from_iter(values))
            .map_err(failed)?
            .get_schema();
        let step = || statement.step().map_err(failed).transpose();
        let mut batches =
            std::iter::from_fn(step).map(|batch| batch.map(|batch| RecordBatch::from(&batch)));
        Ok(read(schema, &mut batches))
    }

    /// Checks that a text is one SELECT statement by itself. Then it is also one statement within
    /// brackets, and cannot close them to add another statement.
    ///
    /// # Errors
    /// Returns [`QueryError::NotSelect`] if it is not.
    pub fn require_select(&self, text: &str) -> Result<(), QueryError> {
        // The function `query` accepts only a SELECT. Other mistakes get better messages when the
        // text is run.
        let explained = format!("EXPLAIN SELECT 1 FROM query({})", sql::literal(text));
        match self.query(&explained) {
            Err(QueryError::Sql(error)) if words(&error).starts_with("Parser Error") => {
                let words = words(&error);
                let first = words.split("\n\nLINE").next().unwrap_or_default();
                Err(QueryError::NotSelect(first.to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// Runs one SQL statement.
    ///
    /// # Errors
    /// Returns the error of DuckDB.
    pub fn query(&self, sql: &str) -> Result<QueryAnswer, QueryError> {
        query(&self.connection, sql)
    }

    /// Runs SELECT statements side by side, on a connection for each processor, but at most
    /// [`MAX_CONNECTIONS`]: they share the memory. Returns their results in the order of the statements.
    /// The connections have the settings of a new database, so the database must not be confined.
    /// Queries of small tables take longer to plan than to run, and DuckDB plans on one thread.
    ///
    /// # Errors
    /// Returns the error of the first statement that has one.
    pub fn query_all(&self, statements: &[String]) -> Result<Vec<QueryAnswer>, QueryError> {
        let connections = processors().min(statements.len()).min(MAX_CONNECTIONS);
        let connections = (0..connections).map(|_| {
            let connection = self.connection.try_clone()?;
            connection.execute_batch(SETTINGS)?;
            Ok(connection)
        });
        let connections: Result<Vec<Connection>, duckdb::Error> = connections.collect();
        let next = AtomicUsize::new(0);
        let (send, receive) = mpsc::channel();
        thread::scope(|scope| {
            for connection in connections.map_err(QueryError::Sql)? {
                let (send, next) = (send.clone(), &next);
                scope.spawn(move || {
                    loop {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        let Some(sql) = statements.get(at) else {
                            return;
                        };
                        // The receiver is there until all threads have ended.
                        let _ = send.send((at, query(&connection, sql)));
                    }
                });
            }
            Ok(())
        })?;
        drop(send);
        let answers: BTreeMap<usize, _> = receive.into_iter().collect();
        answers.into_values().collect()
    }
}

/// Returns the number of processors, or 1 if it is unknown.
pub fn processors() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Maximum number of connections of [`Database::query_all`].
const MAX_CONNECTIONS: usize = 4;

/// Settings of each connection. The cache of read files would hold every file that was read, up to
/// the limit of memory, and the operating system caches them already. The footers of Parquet files
/// are cached, since a view reads the files of a table several times.
const SETTINGS: &str = "SET TimeZone = 'UTC';\n\
                        SET enable_external_file_cache = false;\n\
                        SET parquet_metadata_cache = true";

fn query(connection: &Connection, sql: &str) -> Result<QueryAnswer, QueryError> {
    let mut statement = connection.prepare(sql).map_err(QueryError::Sql)?;
    let result = statement.query_arrow([]).map_err(QueryError::Sql)?;
    let schema = result.get_schema();
    Ok(QueryAnswer {
        schema,
        batches: result.collect(),
    })
}

fn catalog_statements(
    lake: &Path,
    tables: &IndexMap<String, Table>,
    columns: &FileColumns,
    files: impl Fn(&Path, &Table) -> Option<Files>,
) -> Result<Vec<String>, QueryError> {
    let lake = absolute(lake)?;
    let files = |table: &Table| files(&lake, table);
    Ok(catalog::statements(&lake, tables, columns, files).all())
}

/// Executes the statements that create views, in one transaction, since every transaction of a file is
/// synced to disk. Without statements it begins none: SQL that has run may have left one open.
fn create(connection: &Connection, statements: &[String]) -> Result<(), QueryError> {
    if statements.is_empty() {
        return Ok(());
    }
    let all = statements.join(";\n");
    let created = connection.execute_batch(&format!("BEGIN TRANSACTION;\n{all};\nCOMMIT"));
    created.map_err(|error| {
        let _ = connection.execute_batch("ROLLBACK");
        match failed(error) {
            QueryError::Sql(error) => {
                failing_view(connection, statements).unwrap_or(QueryError::Sql(error))
            }
            cancelled => cancelled,
        }
    })
}

/// Returns the error of the first statement that fails, if it creates a view.
fn failing_view(connection: &Connection, statements: &[String]) -> Option<QueryError> {
    statements.iter().find_map(|statement| {
        let error = connection.execute_batch(statement).err()?;
        let name = statement.strip_prefix("CREATE OR REPLACE VIEW \"")?;
        let (view, _) = name.split_once('"')?;
        let view = view.to_owned();
        Some(QueryError::View { view, error })
    })
}

/// Returns the values of a statement's parameters, in order.
fn values<'p>(
    statement: &Statement<'_>,
    parameters: &'p BTreeMap<String, String>,
) -> Result<Vec<&'p String>, QueryError> {
    let names = (1..=statement.parameter_count()).map(|at| statement.parameter_name(at));
    let names: Vec<String> = names.collect::<Result<_, _>>().map_err(QueryError::Sql)?;
    if let Some(unused) = parameters.keys().find(|name| !names.contains(name)) {
        return Err(QueryError::UnusedParameter(unused.clone()));
    }
    let value = |name: &String| {
        let value = parameters.get(name);
        value.ok_or_else(|| QueryError::NoValue(name.clone()))
    };
    names.iter().map(value).collect()
}

fn absolute(path: &Path) -> Result<PathBuf, QueryError> {
    std::path::absolute(path).map_err(|source| QueryError::Io {
        action: "find",
        path: path.to_owned(),
        source,
    })
}

/// Returns true if a table has any file below this folder.
fn has_files(root: &Path, table: &Table) -> bool {
    parquet_files(root, table).next().is_some()
}

/// Returns all current and future files of a table below this folder, or `None` if there is none
/// yet.
fn any(root: &Path, table: &Table) -> Option<Files> {
    has_files(root, table).then_some(Files::Any)
}

/// Returns the files that a table has now below this folder, or `None` if there is none.
fn these(root: &Path, table: &Table) -> Option<Files> {
    these_of(parquet_files(root, table).collect())
}

/// Returns these files in a fixed order, or `None` if there is none.
fn these_of(mut files: Vec<PathBuf>) -> Option<Files> {
    files.sort();
    (!files.is_empty()).then_some(Files::These(files))
}

fn parquet_files(root: &Path, table: &Table) -> impl Iterator<Item = PathBuf> {
    partitions(root, table).flat_map(|partition| parquet_files_in(&partition))
}

fn parquet_files_in(partition: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    entries(partition).filter(|file| is_parquet(file))
}

/// Returns the folders with the files of each date of a table below this folder.
fn partitions(root: &Path, table: &Table) -> impl Iterator<Item = PathBuf> + use<> {
    let folder = table.rows_from.folder().map(|folder| root.join(folder));
    let folder = folder.map(|folder| folder.join(table.name()));
    folder.into_iter().flat_map(|folder| entries(&folder))
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path())
}

/// Returns the error of a statement.
fn failed(error: duckdb::Error) -> QueryError {
    if words(&error).starts_with("INTERRUPT Error") {
        QueryError::Cancelled
    } else {
        QueryError::Sql(error)
    }
}

fn words(error: &duckdb::Error) -> String {
    match error {
        duckdb::Error::DuckDBFailure(_, Some(message)) => message.clone(),
        other => other.to_string(),
    }
}
