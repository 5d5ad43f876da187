//! The lake as SQL sees it: opened for queries, and as the catalog that other tools open.

pub mod as_of;

use std::ops::Deref;

use chrono::{DateTime, Utc};
use indexmap::IndexMap;

use crate::load::Lake;
use crate::load::locks::readers::Reading;
use crate::query::catalog::only;
use crate::query::duckdb::{Database, write_catalog};
use crate::run::catalog::as_of::runs_as_of;
use crate::run::error::RunError;
use crate::spec::contracts::Contracts;
use crate::spec::table::Table;

/// Tables of a lake, opened for SQL. As long as it is open, `compact` and `prune` take no file away.
pub struct Opened {
    database: Database,
    _reading: Option<Reading>,
}

impl Deref for Opened {
    type Target = Database;

    fn deref(&self) -> &Database {
        &self.database
    }
}

/// Opens these tables of a lake.
///
/// # Errors
/// The lake cannot be read.
pub fn open(lake: &Lake, tables: &IndexMap<String, Table>) -> Result<Opened, RunError> {
    let reading = lake.begin_reading()?;
    let columns = lake.file_columns(tables)?;
    Ok(Opened {
        database: Database::open(lake.root(), tables, &columns)?,
        _reading: reading,
    })
}

/// Opens these tables of a lake as they are now: a statement that reads several of them finds all of a
/// commit or nothing of it.
///
/// # Errors
/// The lake cannot be read.
pub fn open_still(lake: &Lake, tables: &IndexMap<String, Table>) -> Result<Opened, RunError> {
    let reading = lake.begin_reading()?;
    let _still = lake.lock_shared()?;
    let columns = lake.file_columns(tables)?;
    Ok(Opened {
        database: Database::open_still(lake.root(), tables, &columns)?,
        _reading: reading,
    })
}

/// Opens only the tables of a lake that have these names: to make a view, the folders of its table are
/// listed.
///
/// # Errors
/// The lake cannot be read.
pub fn open_some(
    lake: &Lake,
    tables: &IndexMap<String, Table>,
    names: &[&str],
) -> Result<Opened, RunError> {
    open(lake, &only(tables, |name| names.contains(&name)))
}

/// Opens these tables of a lake with the rows of those runs that were committed by then.
///
/// # Errors
/// The lake cannot be read.
pub fn open_as_of(
    lake: &Lake,
    tables: &IndexMap<String, Table>,
    at: DateTime<Utc>,
) -> Result<Opened, RunError> {
    let reading = lake.begin_reading()?;
    let _still = lake.lock_shared()?;
    let runs = runs_as_of(lake, at)?;
    let columns = lake.file_columns(tables)?;
    Ok(Opened {
        database: Database::open_as_of(lake.root(), tables, &columns, &runs)?,
        _reading: reading,
    })
}

/// Writes `lake.duckdb` anew where its views are not those of the lake: the first files of a table, and
/// contracts that have changed, give it others.
///
/// # Errors
/// The lake cannot be read, or the file not be written.
pub fn write(lake: &Lake, contracts: &Contracts) -> Result<(), RunError> {
    let columns = lake.file_columns(&contracts.tables)?;
    write_catalog(lake.root(), &contracts.relations(), &columns)?;
    Ok(())
}
