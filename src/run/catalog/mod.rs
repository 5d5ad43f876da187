//! SQL access to a lake: opens it for queries, and writes the catalog that other tools open.

pub mod as_of;
pub mod zones;

use std::ops::{Deref, DerefMut};

use chrono::{DateTime, Utc};
use indexmap::IndexMap;

use crate::load::Lake;
use crate::load::locks::readers::Reading;
use crate::query::catalog::only;
use crate::query::duckdb::catalog_file::write_catalog;
use crate::query::duckdb::late_views::LateViews;
use crate::query::duckdb::{Comments, Database};
use crate::run::catalog::as_of::runs_as_of;
use crate::run::error::RunError;
use crate::spec::contracts::Contracts;
use crate::spec::table::Table;

/// Tables of a lake, opened for SQL. Shares the lock of readers until it is dropped. Before they
/// remove files, `compact` and `prune` wait for this lock, up to a time limit.
pub struct Opened<D = Database> {
    database: D,
    _reading: Option<Reading>,
}

impl<D> Opened<D> {
    /// Releases the lock of readers, and keeps the memory of the database until the process ends. To free
    /// the cached footers of many files takes time. No statement may be running.
    pub fn leave_memory(self) {
        std::mem::forget(self.database);
    }
}

impl<D> Deref for Opened<D> {
    type Target = D;

    fn deref(&self) -> &D {
        &self.database
    }
}

impl<D> DerefMut for Opened<D> {
    fn deref_mut(&mut self) -> &mut D {
        &mut self.database
    }
}

/// Opens these tables of a lake as a snapshot of now. A statement that reads several tables sees
/// all of a commit or nothing of it.
///
/// # Errors
/// The lake cannot be read.
pub fn open_still(
    lake: &Lake,
    tables: &IndexMap<String, Table>,
    comments: Comments,
) -> Result<Opened, RunError> {
    while_still(lake, || Ok(late(lake, tables, comments)?.create()?))
}

/// Opens these tables of a lake as [`open_still`] does, to run this SQL.
///
/// # Errors
/// The lake cannot be read.
pub fn open_late(
    lake: &Lake,
    tables: &IndexMap<String, Table>,
    comments: Comments,
    sql: &str,
) -> Result<Opened<LateViews>, RunError> {
    while_still(lake, || {
        let mut views = late(lake, tables, comments)?;
        views.create_for(sql)?;
        Ok(views)
    })
}

fn late(
    lake: &Lake,
    tables: &IndexMap<String, Table>,
    comments: Comments,
) -> Result<LateViews, RunError> {
    let columns = lake.file_columns(tables)?;
    Ok(LateViews::open_still(
        lake.root(),
        tables,
        &columns,
        comments,
    )?)
}

/// Opens a database while no commit changes the lake.
fn while_still<D>(
    lake: &Lake,
    open: impl FnOnce() -> Result<D, RunError>,
) -> Result<Opened<D>, RunError> {
    let reading = lake.begin_reading()?;
    let _still = lake.lock_shared()?;
    Ok(Opened {
        database: open()?,
        _reading: reading,
    })
}

/// Opens only the tables with these names, without the views derived from them. Fewer tables open
/// faster: each view lists the folders of its table.
///
/// # Errors
/// The lake cannot be read.
pub fn open_some(
    lake: &Lake,
    tables: &IndexMap<String, Table>,
    names: &[&str],
) -> Result<Opened, RunError> {
    let reading = lake.begin_reading()?;
    let tables = only(tables, |name| names.contains(&name));
    let columns = lake.file_columns(&tables)?;
    Ok(Opened {
        database: Database::open_tables(lake.root(), &tables, &columns)?,
        _reading: reading,
    })
}

/// Opens these tables of a lake with only the rows of runs that were committed by `at`, to run this SQL.
///
/// # Errors
/// The lake cannot be read.
pub fn open_as_of(
    lake: &Lake,
    tables: &IndexMap<String, Table>,
    at: DateTime<Utc>,
    sql: &str,
) -> Result<Opened<LateViews>, RunError> {
    while_still(lake, || {
        let runs = runs_as_of(lake, at)?;
        let columns = lake.file_columns(tables)?;
        let mut views = LateViews::open_as_of(lake.root(), tables, &columns, &runs)?;
        views.create_for(sql)?;
        Ok(views)
    })
}

/// Opens these relations of a lake as a snapshot of now, with the rows of these pipelines only.
///
/// # Errors
/// The lake cannot be read.
pub fn open_of_pipelines(
    lake: &Lake,
    relations: &IndexMap<String, Table>,
    pipelines: &[String],
) -> Result<Opened, RunError> {
    while_still(lake, || {
        let (root, columns) = (lake.root(), lake.file_columns(relations)?);
        let database = Database::open_of_pipelines(root, relations, &columns, pipelines);
        Ok(database?)
    })
}

/// Maximum number of retries because a commit has replaced a file that was to be read.
pub const GONE_RETRIES: u32 = 5;

/// Rewrites `lake.duckdb` if its views differ from those of the lake. The views change with the
/// first files of a table and with the contracts.
///
/// # Errors
/// The lake cannot be read, or the file cannot be written.
pub fn write(lake: &Lake, contracts: &Contracts) -> Result<(), RunError> {
    let columns = lake.file_columns(&contracts.tables)?;
    write_catalog(lake.root(), &contracts.relations(), &columns)?;
    Ok(())
}
