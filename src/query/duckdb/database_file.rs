//! Database files: where DuckDB writes a new one, how it gets its final name, and what others made in an
//! old one.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use duckdb::{AccessMode, Config, Connection};
use tempfile::TempDir;

use super::QueryError;
use crate::durable::sync_dir;
use crate::lake_layout::CATALOG;
use crate::query::sql::identifier;

/// Place where DuckDB writes a new database file.
///
/// DuckDB takes a question mark in the path of a database for the beginning of options, and then puts
/// the write-ahead log elsewhere. Such a file is written in the folder for temporary files.
pub(super) enum Workshop {
    InPlace(PathBuf),
    Elsewhere { folder: TempDir, file: PathBuf },
}

impl Workshop {
    pub(super) fn for_file(path: &Path) -> Result<Self, QueryError> {
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

    pub(super) fn path(&self) -> &Path {
        match self {
            Workshop::InPlace(path) => path,
            Workshop::Elsewhere { file, .. } => file,
        }
    }

    /// Copies the file to `target` if it was written elsewhere.
    pub(super) fn deliver(self, target: &Path) -> io::Result<()> {
        match self {
            Workshop::InPlace(_) => Ok(()),
            Workshop::Elsewhere { folder, file } => {
                fs::copy(file, target)?;
                folder.close()
            }
        }
    }
}

/// Syncs a new database file and renames it to `target`. The replacement is atomic. A program that has
/// the old file open keeps it.
///
/// The write-ahead log of the old file is removed before: DuckDB would apply it to the new file.
pub(super) fn put_in_place(new: &Path, target: &Path) -> Result<(), QueryError> {
    let failed = |source| QueryError::Io {
        action: "write",
        path: target.to_owned(),
        source,
    };
    let synced = File::open(new).and_then(|file| file.sync_all());
    synced.map_err(failed)?;
    remove_if_there(&log_of(target))?;
    fs::rename(new, target).map_err(failed)?;
    let folder = target.parent().filter(|path| !path.as_os_str().is_empty());
    sync_dir(folder.unwrap_or(Path::new("."))).map_err(failed)
}

/// Returns the path of the write-ahead log of a database file. A client that was killed leaves it.
pub(super) fn log_of(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(".wal");
    PathBuf::from(name)
}

pub(super) fn remove_if_there(path: &Path) -> Result<(), QueryError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(QueryError::Io {
            action: "remove",
            path: path.to_owned(),
            source,
        }),
        _ => Ok(()),
    }
}

/// Opens a database file that is not changed.
pub(super) fn open_read_only(path: &Path) -> Result<Connection, duckdb::Error> {
    let config = Config::default().access_mode(AccessMode::ReadOnly)?;
    Connection::open_with_flags(path, config)
}

/// Returns the quoted names in the first column of a query.
pub(super) fn names(connection: &Connection, sql: &str) -> Result<Vec<String>, duckdb::Error> {
    let mut statement = connection.prepare(sql)?;
    let names = statement.query_map([], |row| row.get::<_, String>(0))?;
    names.map(|name| Ok(identifier(&name?))).collect()
}
