//! Exported database files: the rows of a lake, or views over a lake that is elsewhere.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use duckdb::Connection;
use indexmap::IndexMap;
use tempfile::TempDir;

use super::database_file::{Workshop, names, open_read_only, put_in_place};
use super::{Database, QueryError, absolute, catalog_statements, create, has_files};
use crate::query::catalog::{Files, LAKE_ROOT, over_copies};
use crate::query::sql::{identifier, literal, plain_glob};
use crate::spec::table::{FileColumns, RowsFrom, Table};

/// Memory in bytes that a copy may use before it spills.
const MEMORY: u64 = 1 << 30;

/// Oldest version of DuckDB that reads the file.
const STORAGE: &str = "v1.0.0";

/// Name of the new file while tables are copied into it.
const COPY: &str = "redlake_export";

/// Name of the view that tells what the file is.
const ABOUT: &str = "about";

/// First words of the comment on [`ABOUT`], which tell an export from other files.
const MARK: &str = "redlake exported this file";

/// A new file beside its target. It is removed unless it is published.
pub struct NewExport {
    target: PathBuf,
    folder: TempDir,
    workshop: Workshop,
}

/// Facts about an export, which the view [`ABOUT`] of the file shows.
#[derive(Clone, Debug)]
pub struct AboutExport {
    pub made_at: DateTime<Utc>,
    pub lake: PathBuf,
    /// `tables` or `views`.
    pub form: &'static str,
    pub since: Option<NaiveDate>,
    /// Names of the tables, if not all were exported.
    pub tables_only: Option<String>,
    pub root: Option<String>,
    /// Id and time of the newest commit of the lake.
    pub newest_commit: Option<(String, DateTime<Utc>)>,
}

/// An existing file at the target.
#[derive(Debug, PartialEq)]
pub enum OldFile {
    /// An export, with the quoted names of what redlake did not make in it.
    Export(Vec<String>),
    /// A database that redlake did not export.
    Database,
    /// A file that DuckDB cannot open, with its reason.
    Unreadable(String),
}

impl OldFile {
    pub fn read(path: &Path) -> Self {
        let read = || {
            let connection = open_read_only(path)?;
            let is_export: bool = connection.query_row(
                &format!(
                    "SELECT count(*) > 0 FROM duckdb_views() WHERE view_name = {} \
                     AND starts_with(comment, {})",
                    literal(ABOUT),
                    literal(MARK)
                ),
                [],
                |row| row.get(0),
            )?;
            if !is_export {
                return Ok(OldFile::Database);
            }
            let foreign = names(
                &connection,
                "SELECT view_name FROM duckdb_views() WHERE NOT internal AND comment IS NULL \
                 UNION SELECT table_name FROM duckdb_tables() WHERE comment IS NULL \
                 UNION SELECT function_name FROM duckdb_functions() \
                 WHERE NOT internal AND comment IS NULL ORDER BY 1",
            )?;
            Ok(OldFile::Export(foreign))
        };
        read().unwrap_or_else(|error: duckdb::Error| {
            let error = super::words(&error);
            let first = error.lines().next().unwrap_or_default();
            OldFile::Unreadable(first.to_owned())
        })
    }
}

impl NewExport {
    /// Creates a folder for the new file beside `target`. What does not fit into memory spills there,
    /// too.
    ///
    /// # Errors
    /// The folder cannot be created.
    pub fn beside(target: &Path) -> Result<Self, QueryError> {
        let parent = target.parent().filter(|path| !path.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        let mut folder = tempfile::Builder::new();
        let folder = folder.prefix(".redlake-").tempdir_in(parent);
        let folder = folder.map_err(|source| QueryError::Io {
            action: "create a folder in",
            path: parent.to_owned(),
            source,
        })?;
        // DuckDB names the database in an error after the file.
        let file = folder.path().join("export.duckdb");
        Ok(NewExport {
            target: target.to_owned(),
            workshop: Workshop::for_file(&file)?,
            folder,
        })
    }

    /// Copies the rows of tables and marts from an opened lake, and creates the other views over the
    /// copies. Returns the number of rows of each table. With `since`, only rows of that business date
    /// and later are copied.
    ///
    /// Marts are copied first: each run replaces some of their files, and the copy fails if a file that
    /// the lake had when it was opened is gone.
    ///
    /// # Errors
    /// A file is gone or cannot be read, or the disk is full.
    pub fn copy(
        &self,
        lake: &Database,
        relations: &IndexMap<String, Table>,
        since: Option<NaiveDate>,
        about: &AboutExport,
    ) -> Result<BTreeMap<String, u64>, QueryError> {
        let path = literal(&self.workshop.path().to_string_lossy());
        lake.limit_memory(MEMORY)?;
        lake.spill_to(Some(self.folder.path()))?;
        lake.execute(&format!(
            "ATTACH {path} AS {COPY} (STORAGE_VERSION '{STORAGE}')"
        ))?;
        let stored = relations.values().filter(|table| table.query.is_none());
        let (marts, tables): (Vec<_>, Vec<_>) =
            stored.partition(|table| table.rows_from == RowsFrom::Tables);
        let copied = marts.into_iter().chain(tables).map(|table| {
            let rows = copy_table(lake, table.name(), since)?;
            Ok((table.name().to_owned(), rows))
        });
        let copied = copied.collect::<Result<_, QueryError>>();
        let detached = lake.execute(&format!("DETACH {COPY}"));
        let copied = copied?;
        detached?;
        let mut statements = over_copies(relations).statements;
        statements.extend(about.statements());
        self.complete(&statements)?;
        Ok(copied)
    }

    /// Creates the views of a lake whose folder is `root` for readers. `root` need not exist here.
    ///
    /// DuckDB looks for the files of a view when it creates it. So the views ask a macro for the folder
    /// of the lake, and the macro is replaced at the end.
    ///
    /// # Errors
    /// Fails if the lake's path cannot be resolved, the contracts do not fit its files, or the file
    /// cannot be written.
    pub fn create_views(
        &self,
        lake: &Path,
        relations: &IndexMap<String, Table>,
        columns: &FileColumns,
        root: &str,
        about: &AboutExport,
    ) -> Result<(), QueryError> {
        let here = absolute(lake)?;
        let mut statements = vec![root_macro(&here.to_string_lossy())];
        // Files that are added later may have other columns.
        let columns = FileColumns {
            uniform: Default::default(),
            ..columns.clone()
        };
        statements.extend(catalog_statements(
            lake,
            relations,
            &columns,
            |root, table| has_files(root, table).then_some(Files::BelowMacro),
        )?);
        statements.extend(about.statements());
        statements.push(root_macro(root));
        statements.push(format!(
            "COMMENT ON MACRO {LAKE_ROOT} IS 'Folder of the lake. If it is elsewhere for you, replace \
             the macro: CREATE OR REPLACE MACRO {LAKE_ROOT}() AS ''/path/to/lake''.'"
        ));
        self.complete(&statements)
    }

    fn complete(&self, statements: &[String]) -> Result<(), QueryError> {
        let connection = Connection::open(self.workshop.path()).map_err(QueryError::Sql)?;
        create(&connection, statements)?;
        let written = connection.execute_batch("CHECKPOINT");
        written.map_err(QueryError::Sql)?;
        connection
            .close()
            .map_err(|(_, error)| QueryError::Sql(error))
    }

    /// Puts the file in the place of its target, and returns its size in bytes.
    ///
    /// # Errors
    /// The disk is full, or the target cannot be replaced.
    pub fn publish(self) -> Result<u64, QueryError> {
        let delivered = self.folder.path().join("export.duckdb");
        let failed = |source| QueryError::Io {
            action: "write",
            path: self.target.clone(),
            source,
        };
        self.workshop.deliver(&delivered).map_err(failed)?;
        let size = fs::metadata(&delivered).map_err(failed)?.len();
        put_in_place(&delivered, &self.target)?;
        Ok(size)
    }
}

/// Copies a table into the attached file, and returns the number of its rows.
fn copy_table(lake: &Database, name: &str, since: Option<NaiveDate>) -> Result<u64, QueryError> {
    let name = identifier(name);
    let condition = since.map_or(String::new(), |since| {
        format!(" WHERE dt >= DATE '{since}'")
    });
    lake.execute(&format!(
        "CREATE TABLE {COPY}.main.{name} AS SELECT * FROM memory.main.{name}{condition}"
    ))?;
    let count = format!("SELECT count(*) FROM {COPY}.main.{name}");
    let rows = lake.connection.query_row(&count, [], |row| row.get(0));
    rows.map_err(QueryError::Sql)
}

fn root_macro(root: &str) -> String {
    let root = literal(&plain_glob(root));
    format!("CREATE OR REPLACE MACRO {LAKE_ROOT}() AS {root}")
}

impl AboutExport {
    fn statements(&self) -> [String; 2] {
        let text = |text: &Option<String>| text.as_ref().map_or("NULL".to_owned(), |t| literal(t));
        let instant = |at: DateTime<Utc>| {
            let at = at.to_rfc3339_opts(SecondsFormat::Micros, true);
            format!("TIMESTAMPTZ '{at}'")
        };
        let note = if self.form == "tables" {
            "Its tables have the rows that the lake had then. It does not change with the lake: export \
             again for newer rows."
        } else {
            "Its views read the files of the lake, so they show new rows. Export again after the lake \
             gets its first rows in a table, and after contracts change."
        };
        let note = format!("{MARK}. {note}");
        let (commit, commit_at) = self.newest_commit.clone().unzip();
        let since = self.since.map(|since| format!("DATE '{since}'"));
        let columns = [
            ("note", literal(&note)),
            (
                "made_by",
                literal(concat!("redlake ", env!("CARGO_PKG_VERSION"))),
            ),
            ("made_at", instant(self.made_at)),
            ("lake", literal(&self.lake.to_string_lossy())),
            ("form", literal(self.form)),
            (
                "since",
                format!("CAST({} AS DATE)", since.as_deref().unwrap_or("NULL")),
            ),
            (
                "tables_only",
                format!("CAST({} AS VARCHAR)", text(&self.tables_only)),
            ),
            ("root", format!("CAST({} AS VARCHAR)", text(&self.root))),
            (
                "newest_commit",
                format!("CAST({} AS VARCHAR)", text(&commit)),
            ),
            (
                "newest_commit_at",
                format!(
                    "CAST({} AS TIMESTAMPTZ)",
                    commit_at.map_or("NULL".to_owned(), instant)
                ),
            ),
        ];
        let columns = columns.map(|(name, value)| format!("{value} AS {name}"));
        [
            format!(
                "CREATE OR REPLACE VIEW {ABOUT} AS SELECT {}",
                columns.join(", ")
            ),
            format!("COMMENT ON VIEW {ABOUT} IS {}", literal(&note)),
        ]
    }
}
