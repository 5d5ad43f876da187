//! A lake whose views are created after its statement is prepared.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::resume_unwind;
use std::path::Path;
use std::{mem, thread};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use indexmap::IndexMap;

use super::{Comments, Database, QueryError, absolute, create, these};
use crate::query::catalog::{self, CreateViews};
use crate::spec::table::{FileColumns, Table};

/// A lake with an empty table in the place of each view, until [`LateViews::stream`] or
/// [`LateViews::create`] creates the views.
///
/// DuckDB binds a statement when it is prepared. If it reads Parquet files, or relations have changed since,
/// DuckDB binds it again when it runs. To bind a view, DuckDB looks for each of its files. Prepared over empty
/// tables, a statement is bound to files once.
pub struct LateViews {
    database: Database,
    /// Statements that replace the empty tables by views. Empty once they have run.
    views: Vec<String>,
}

impl LateViews {
    /// Opens the lake with the files that exist now. Commits that follow do not change its rows. The views of
    /// [`Database::open`] list their files at each read.
    ///
    /// # Errors
    /// Fails if the lake's path cannot be resolved.
    pub fn open_still(
        lake: &Path,
        tables: &IndexMap<String, Table>,
        columns: &FileColumns,
        comments: Comments,
    ) -> Result<Self, QueryError> {
        let lake = absolute(lake)?;
        Self::with(|| {
            let create = catalog::statements(&lake, tables, columns, |table| these(&lake, table));
            match comments {
                Comments::With => create,
                Comments::Without => create.without_comments(),
            }
        })
    }

    /// Opens the lake with the rows of these runs only. The files are fixed as in
    /// [`LateViews::open_still`].
    ///
    /// # Errors
    /// Fails as [`LateViews::open_still`] does.
    pub fn open_as_of(
        lake: &Path,
        tables: &IndexMap<String, Table>,
        columns: &FileColumns,
        runs: &BTreeSet<String>,
    ) -> Result<Self, QueryError> {
        let lake = absolute(lake)?;
        let files = |table: &Table| these(&lake, table);
        Self::with(|| catalog::statements_as_of(&lake, tables, columns, runs, files))
    }

    /// Starts DuckDB while `make` lists the files: one takes about as long as the other.
    fn with(make: impl FnOnce() -> CreateViews + Send) -> Result<Self, QueryError> {
        let (database, made) = thread::scope(|scope| {
            let making = scope.spawn(make);
            (Database::with(&[]), making.join())
        });
        let (database, made) = (database?, made.unwrap_or_else(|panic| resume_unwind(panic)));
        create(&database.connection, &made.stand_ins)?;
        Ok(LateViews {
            database,
            views: made.views,
        })
    }

    /// Returns the database, for its settings. Queries of it may see empty tables.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Creates the views.
    ///
    /// # Errors
    /// Fails if the contracts do not fit the lake's files.
    pub fn create(mut self) -> Result<Database, QueryError> {
        self.create_views()?;
        Ok(self.database)
    }

    /// Creates the views unless this SQL can be prepared without them: if it is one SELECT of relations.
    ///
    /// # Errors
    /// Fails as [`LateViews::create`] does.
    pub fn create_for(&mut self, sql: &str) -> Result<(), QueryError> {
        // To prepare several statements, DuckDB runs all but the last. A table function may keep what it
        // found out about a relation when it was bound.
        if !self.views.is_empty() && self.database.selects_of_relations(sql) != Some(1) {
            self.create_views()?;
        }
        Ok(())
    }

    fn create_views(&mut self) -> Result<(), QueryError> {
        create(&self.database.connection, &mem::take(&mut self.views))
    }

    /// Creates the views and runs SQL, as [`Database::stream`] does. Of several statements, the last gives
    /// the rows.
    ///
    /// # Errors
    /// Fails as [`LateViews::create`] and [`Database::stream`] do.
    pub fn stream<T>(
        &mut self,
        sql: &str,
        parameters: &BTreeMap<String, String>,
        read: impl FnOnce(SchemaRef, &mut dyn Iterator<Item = Result<RecordBatch, QueryError>>) -> T,
    ) -> Result<T, QueryError> {
        self.create_for(sql)?;
        let views = mem::take(&mut self.views);
        let database = &self.database;
        let create = || create(&database.connection, &views);
        database.stream_after(sql, parameters, create, read)
    }
}
