//! DuckDB over the lake.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fs, io};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use duckdb::{Connection, Statement};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use thiserror::Error;

use super::catalog::{self, Files};
use crate::lake_layout::state::CATALOG_NOTE;
use crate::lake_layout::{CATALOG, STATE, is_parquet};
use crate::query::sql;
use crate::query::staged::{self, Staged};
use crate::spec::table::FileColumns;
use crate::spec::table::{FOLDERS, Table};

#[derive(Debug, Error)]
pub enum QueryError {
    /// DuckDB's own message, with its caret below the position.
    #[error("{}", words(.0))]
    Sql(duckdb::Error),
    #[error("the statement has a parameter ${0}, and no value for it is given")]
    NoValue(String),
    #[error("the statement has no parameter ${0}")]
    UnusedParameter(String),
    /// The query of a data check. It has not run.
    #[error("it is not one SELECT statement: {0}")]
    NotSelect(String),
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

    /// Returns true if a listed file is gone: a commit replaced it before it was read.
    pub fn is_of_gone_file(&self) -> bool {
        let QueryError::Sql(error) = self else {
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

    /// Opens the lake with the files that exist now, whatever is committed while it is open. The
    /// views of [`Database::open`] look for their files when they are read, so two views may see
    /// different states.
    ///
    /// # Errors
    /// Fails as [`Database::open`] does.
    pub fn open_still(
        lake: &Path,
        tables: &IndexMap<String, Table>,
        columns: &FileColumns,
    ) -> Result<Self, QueryError> {
        Self::with(&catalog_statements(lake, tables, columns, these)?)
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
        Self::with(&staged::statements(&staged, tables, columns, has_files).join(";\n"))
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
        let statements = staged::statements(&nowhere, tables, &columns, |_, _| false);
        Self::with(&statements.join(";\n"))
    }

    /// Opens the lake with the rows of these runs only. The files are fixed as in
    /// [`Database::open_still`].
    ///
    /// # Errors
    /// Fails as [`Database::open`] does.
    pub fn open_as_of(
        lake: &Path,
        tables: &IndexMap<String, Table>,
        columns: &FileColumns,
        runs: &BTreeSet<String>,
    ) -> Result<Self, QueryError> {
        let lake = absolute(lake)?;
        let files = |table: &Table| these(&lake, table);
        let statements = catalog::statements_as_of(&lake, tables, columns, runs, files);
        Self::with(&statements.join(";\n"))
    }

    /// Opens DuckDB without its cache of read files. The cache would hold every file that was read,
    /// up to the limit of memory, and the operating system caches them already.
    fn with(statements: &str) -> Result<Self, QueryError> {
        let connection = Connection::open_in_memory().map_err(QueryError::Sql)?;
        connection
            .execute_batch(&format!(
                "SET TimeZone = 'UTC';\nSET enable_external_file_cache = false;\nBEGIN TRANSACTION;\n{statements};\nCOMMIT"
            ))
            .map_err(QueryError::Sql)?;
        Ok(Database { connection })
    }

    /// Opens DuckDB to read files, without a lake. Data beyond `memory` bytes spills to the folder
    /// `scratch`.
    ///
    /// # Errors
    /// Fails if DuckDB cannot start.
    pub fn of_files(scratch: &Path, memory: u64) -> Result<Self, QueryError> {
        let database = Self::with(&format!("SET memory_limit = '{memory}B'"))?;
        database.spill_to(Some(scratch))?;
        Ok(database)
    }

    /// Sets the folder for data that does not fit into memory. Without a folder, such data is an
    /// error, and nothing spills below the current folder.
    ///
    /// # Errors
    /// Fails if DuckDB rejects the setting.
    pub fn spill_to(&self, scratch: Option<&Path>) -> Result<(), QueryError> {
        let scratch = scratch.map(Path::to_string_lossy).unwrap_or_default();
        let scratch = sql::literal(&scratch);
        self.set(&format!("SET temp_directory = {scratch}"))
    }

    /// Permanently restricts statements to the files of tables and marts. They cannot reach raw
    /// pages, which would have to be paid for again if they were lost, nor commit records. Spilling
    /// still works.
    ///
    /// # Errors
    /// Fails if a path cannot be resolved, or DuckDB rejects a setting.
    pub fn confine(&self, lake: &Path) -> Result<(), QueryError> {
        self.confine_to(&[lake])
    }

    /// Restricts statements as [`Database::confine`] does, to the folders of tables and marts below
    /// each of `roots`: a lake, or a staging, which has the folders of a lake.
    ///
    /// # Errors
    /// Fails if a path cannot be resolved, or DuckDB rejects a setting.
    pub fn confine_to(&self, roots: &[&Path]) -> Result<(), QueryError> {
        let roots = roots.iter().map(|root| absolute(root));
        let roots: Vec<PathBuf> = roots.collect::<Result<_, _>>()?;
        let folders = roots
            .iter()
            .flat_map(|root| FOLDERS.map(|folder| root.join(folder)));
        let folders = folders.map(|folder| {
            let folder = folder.to_string_lossy();
            // The views name the folder in the second form.
            let names = [
                sql::literal(&folder),
                sql::literal(&sql::plain_glob(&folder)),
            ];
            names.join(", ")
        });
        let folders: Vec<String> = folders.collect();
        self.set(&format!(
            "SET allow_persistent_secrets = false; SET allowed_directories = [{}]; \
             SET enable_external_access = false; SET lock_configuration = true",
            folders.join(", ")
        ))
    }

    fn set(&self, settings: &str) -> Result<(), QueryError> {
        let set = self.connection.execute_batch(settings);
        set.map_err(QueryError::Sql)
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
        let mut statement = self.connection.prepare(sql).map_err(QueryError::Sql)?;
        let values = values(&statement, parameters)?;
        let schema = statement
            .stream_arrow(duckdb::params_from_iter(values))
            .map_err(QueryError::Sql)?
            .get_schema();
        let step = || statement.step().map_err(QueryError::Sql).transpose();
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
        let mut statement = self.connection.prepare(sql).map_err(QueryError::Sql)?;
        let result = statement.query_arrow([]).map_err(QueryError::Sql)?;
        let schema = result.get_schema();
        Ok(QueryAnswer {
            schema,
            batches: result.collect(),
        })
    }
}

/// Writes `lake.duckdb`, the views for other tools, to a temporary file and renames it into place.
/// A reader that has the old file open keeps it.
///
/// An old file with exactly these views stays. Views find new files by themselves, and creating
/// them takes longer with more files.
///
/// # Errors
/// Fails if the lake's path cannot be resolved, the contracts do not fit its files, or the file
/// cannot be written.
pub fn write_catalog(
    lake: &Path,
    tables: &IndexMap<String, Table>,
    columns: &FileColumns,
) -> Result<(), QueryError> {
    let target = lake.join(CATALOG);
    let state = lake.join(STATE);
    let beside = state.join(format!("{CATALOG}.{}", std::process::id()));
    let workshop = Workshop::for_file(&beside)?;
    // Files that are added later may have other columns.
    let columns = FileColumns {
        uniform: BTreeSet::new(),
        ..columns.clone()
    };
    let statements = catalog_statements(lake, tables, &columns, any)?;
    // Another version of redlake may use another DuckDB.
    let version = env!("CARGO_PKG_VERSION");
    let made_of = format!("redlake {version}\n{statements}");
    let made_of = blake3::hash(made_of.as_bytes()).to_hex().to_string();
    let note = state.join(CATALOG_NOTE);
    // The write-ahead log of a client that was killed. DuckDB would apply it to the new file, too.
    let log = lake.join(format!("{CATALOG}.wal"));
    let there = CatalogNote::read(&note).filter(|note| note.made_of == made_of && !log.exists());
    if there.is_some_and(|note| file_hash(&target).is_ok_and(|file| file == note.file)) {
        return Ok(());
    }
    let failed = |action, path: &Path| {
        let path = path.to_owned();
        move |source| QueryError::Io {
            action,
            path,
            source,
        }
    };
    // A killed process with the same process id may have left its file.
    remove_if_there(&beside)?;
    let connection = Connection::open(workshop.path()).map_err(QueryError::Sql)?;
    // One transaction, since every transaction is synced to disk.
    let built = connection.execute_batch(&format!(
        "BEGIN TRANSACTION;\n{statements};\nCOMMIT;\nCHECKPOINT"
    ));
    drop(connection);
    let file = built.map_err(QueryError::Sql).and_then(|()| {
        workshop
            .deliver(&beside)
            .map_err(failed("write", &beside))?;
        let file = file_hash(&beside).map_err(failed("read", &beside))?;
        remove_if_there(&log)?;
        fs::rename(&beside, &target).map_err(failed("write", &target))?;
        Ok(file)
    });
    if file.is_err() {
        let _ = fs::remove_file(&beside);
    }
    let text = serde_json::to_vec(&CatalogNote {
        made_of,
        file: file?,
    })
    .unwrap_or_default();
    if let Err(error) = fs::write(&note, text) {
        tracing::debug!("{} is not written: {error}", note.display());
    }
    Ok(())
}

/// Place where DuckDB writes a new database file.
///
/// DuckDB takes a question mark in the path of a database for the beginning of options, and then puts
/// the write-ahead log elsewhere. Such a file is written in the folder for temporary files.
enum Workshop {
    InPlace(PathBuf),
    Elsewhere { folder: TempDir, file: PathBuf },
}

impl Workshop {
    fn for_file(path: &Path) -> Result<Self, QueryError> {
        if !path.to_string_lossy().contains('?') {
            return Ok(Workshop::InPlace(path.to_owned()));
        }
        let folder = TempDir::new().map_err(|source| QueryError::Io {
            action: "create a folder in",
            path: std::env::temp_dir(),
            source,
        })?;
        let file = folder.path().join(CATALOG);
        Ok(Workshop::Elsewhere { folder, file })
    }

    fn path(&self) -> &Path {
        match self {
            Workshop::InPlace(path) => path,
            Workshop::Elsewhere { file, .. } => file,
        }
    }

    /// Copies the file to `target` if it was written elsewhere.
    fn deliver(self, target: &Path) -> io::Result<()> {
        match self {
            Workshop::InPlace(_) => Ok(()),
            Workshop::Elsewhere { folder, file } => {
                fs::copy(file, target)?;
                folder.close()
            }
        }
    }
}

fn file_hash(path: &Path) -> io::Result<String> {
    fs::read(path).map(|bytes| blake3::hash(&bytes).to_hex().to_string())
}

fn remove_if_there(path: &Path) -> Result<(), QueryError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(QueryError::Io {
            action: "remove",
            path: path.to_owned(),
            source,
        }),
        _ => Ok(()),
    }
}

/// Hashes that identify `lake.duckdb`. If they are lost or torn, the file is rebuilt.
#[derive(Serialize, Deserialize)]
struct CatalogNote {
    /// Hash of the statements that made it.
    made_of: String,
    /// Hash of the file, which detects changes by other programs.
    file: String,
}

impl CatalogNote {
    fn read(path: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(path).ok()?).ok()
    }
}

fn catalog_statements(
    lake: &Path,
    tables: &IndexMap<String, Table>,
    columns: &FileColumns,
    files: impl Fn(&Path, &Table) -> Option<Files>,
) -> Result<String, QueryError> {
    let lake = absolute(lake)?;
    let files = |table: &Table| files(&lake, table);
    Ok(catalog::statements(&lake, tables, columns, files).join(";\n"))
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
    let mut files: Vec<PathBuf> = parquet_files(root, table).collect();
    files.sort();
    (!files.is_empty()).then_some(Files::These(files))
}

fn parquet_files(root: &Path, table: &Table) -> impl Iterator<Item = PathBuf> {
    let entries = |path: &Path| {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        entries.map(|entry| entry.path())
    };
    let partitions = entries(&root.join(table.rows_from.folder()).join(table.name()));
    let files = partitions.flat_map(move |partition| entries(&partition));
    files.filter(|file| is_parquet(file))
}

fn words(error: &duckdb::Error) -> String {
    match error {
        duckdb::Error::DuckDBFailure(_, Some(message)) => message.clone(),
        other => other.to_string(),
    }
}
