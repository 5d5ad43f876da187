//! `lake.duckdb`, the views for other tools.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::mpsc;
use std::thread;

use duckdb::Connection;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::database_file::{Workshop, log_of, names, open_read_only, remove_if_there};
use super::{QueryError, any, catalog_statements, create};
use crate::clock;
use crate::lake_layout::state::{CATALOG_NOTE, REPLACED_CATALOGS};
use crate::lake_layout::{CATALOG, STATE};
use crate::query::catalog::is_comment;
use crate::query::sql::literal;
use crate::spec::table::{FileColumns, Table};

/// Writes `lake.duckdb` to a temporary file and renames it into place. A reader that has the old file
/// open keeps it.
///
/// An old file with exactly these views stays. Views find new files by themselves, and creating
/// them takes longer with more files. Views have the full paths of the lake's files, so a lake that was
/// moved or copied gets a new file.
///
/// If the old file has anything that redlake did not make, it is kept in the state of the lake, and a
/// warning tells where.
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
    let mut statements = catalog_statements(lake, tables, &columns, any)?;
    statements.extend(about());
    // Another version of redlake may use another DuckDB.
    let version = env!("CARGO_PKG_VERSION");
    let made_of = format!("redlake {version}\n{}", statements.join(";\n"));
    let made_of = blake3::hash(made_of.as_bytes()).to_hex().to_string();
    let note = state.join(CATALOG_NOTE);
    // The write-ahead log of a client that was killed. DuckDB would apply it to the new file, too.
    let log = log_of(&target);
    let written = CatalogNote::read(&note);
    let is_as_written = !log.exists()
        && written
            .as_ref()
            .is_some_and(|note| file_hash(&target).is_ok_and(|file| file == note.file));
    if is_as_written && written.is_some_and(|note| note.made_of == made_of) {
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
    let file = build(&statements, workshop.path()).and_then(|()| {
        workshop
            .deliver(&beside)
            .map_err(failed("write", &beside))?;
        let file = file_hash(&beside).map_err(failed("read", &beside))?;
        if !is_as_written {
            keep_foreign(&target, &log, &state)?;
        }
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

/// Makes a database file with these views and comments. They are made in memory, the comments beside
/// the views that follow, since DuckDB takes a statement for the comment on each column.
fn build(statements: &[String], path: &Path) -> Result<(), QueryError> {
    let views = Connection::open_in_memory().map_err(QueryError::Sql)?;
    // Views are bound on the thread of their statement. Other threads would use a processor to wait.
    let alone = views.execute_batch("SET threads = 1");
    alone.map_err(QueryError::Sql)?;
    let comments = views.try_clone().map_err(QueryError::Sql)?;
    let (send, receive) = mpsc::channel::<&[String]>();
    thread::scope(|scope| {
        let commenter = scope.spawn(move || {
            let mut received = receive.iter();
            received.try_for_each(|statements| create(&comments, statements))
        });
        let mut relations = statements.chunk_by(|_, next| is_comment(next));
        let created = relations.try_for_each(|relation| {
            let (view, comments) = relation.split_at(1);
            create(&views, view)?;
            // After an error of the other thread, nothing is received any more.
            let _ = send.send(comments);
            Ok(())
        });
        drop(send);
        let commented = commenter.join();
        created.and(commented.unwrap_or_else(|panic| resume_unwind(panic)))
    })?;
    let copied = views.execute_batch(&format!(
        "ATTACH {} AS file (STORAGE_VERSION 'v1.0.0'); COPY FROM DATABASE memory TO file; \
         CHECKPOINT file; DETACH file",
        literal(&path.to_string_lossy())
    ));
    copied.map_err(QueryError::Sql)
}

/// Name of the view that tells what the file is.
const ABOUT: &str = "about";

/// Returns the statements of the view [`ABOUT`].
fn about() -> [String; 2] {
    let told = "redlake made this file. It rewrites the file when the views change, and when the lake \
                is somewhere else. Views and tables of your own would be lost: keep them in a database of \
                your own, and attach this one: ATTACH 'lake.duckdb' AS lake (READ_ONLY).";
    [
        format!(
            "CREATE OR REPLACE VIEW {ABOUT} AS SELECT {} AS note, {} AS made_by",
            literal(told),
            literal(concat!("redlake ", env!("CARGO_PKG_VERSION")))
        ),
        format!("COMMENT ON VIEW {ABOUT} IS {}", literal(told)),
    ]
}

/// Copies an old catalog to the state of the lake if it has anything that redlake did not make, or if
/// that cannot be found out.
fn keep_foreign(target: &Path, log: &Path, state: &Path) -> Result<(), QueryError> {
    if !target.exists() {
        return Ok(());
    }
    let found = match foreign(target) {
        Ok(names) if names.is_empty() => return Ok(()),
        Ok(names) => format!("has what redlake did not make: {}", names.join(", ")),
        Err(error) => format!("was changed, and cannot be read: {error}"),
    };
    let time = clock::now().format("%Y%m%dT%H%M%SZ");
    let folder = state.join(REPLACED_CATALOGS);
    let kept = folder.join(format!("{time}.duckdb"));
    let copied = fs::create_dir_all(&folder).and_then(|()| {
        if log.exists() {
            fs::copy(log, folder.join(format!("{time}.duckdb.wal")))?;
        }
        fs::copy(target, &kept)
    });
    copied.map_err(|source| QueryError::Io {
        action: "write",
        path: kept.clone(),
        source,
    })?;
    tracing::warn!(
        "{} {found}; it is rewritten, and the old file is {}. Keep views of your own in a database of \
         your own that attaches lake.duckdb",
        target.display(),
        kept.display()
    );
    Ok(())
}

/// Returns the names of the views, tables and macros of a database that redlake did not make. A view
/// without a comment is one of them, since redlake comments on all its views.
fn foreign(path: &Path) -> Result<Vec<String>, duckdb::Error> {
    let connection = open_read_only(path)?;
    names(
        &connection,
        "SELECT view_name FROM duckdb_views() WHERE NOT internal AND comment IS NULL \
         UNION SELECT table_name FROM duckdb_tables() \
         UNION SELECT function_name FROM duckdb_functions() WHERE NOT internal ORDER BY 1",
    )
}

fn file_hash(path: &Path) -> io::Result<String> {
    fs::read(path).map(|bytes| blake3::hash(&bytes).to_hex().to_string())
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
