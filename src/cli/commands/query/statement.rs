//! Runs SQL over a lake and prints or writes its result.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use chrono_tz::Tz;
use indexmap::IndexMap;
use tempfile::TempDir;

use super::results::{Failed, ResultForm, print, write_file};
use crate::cli::error::CliError;
use crate::cli::output::format::Format;
use crate::cli::output::pager::print_paged;
use crate::cli::output::print::print_as_is;
use crate::load::Lake;
use crate::query::catalog::named_in;
use crate::query::duckdb::late_views::LateViews;
use crate::query::duckdb::{Comments, Interrupter, QueryError};
use crate::run::catalog::{self, GONE_RETRIES, Opened};
use crate::spec::contracts::Contracts;
use crate::spec::mart::Mart;
use crate::spec::table::Table;
use crate::spec::words::Instant;

/// A lake and the settings of its statements.
pub(super) struct Queries {
    pub lake: Lake,
    pub contracts: Arc<Contracts>,
    pub as_of: Option<Instant>,
    /// True if the SQL may read and write files other than tables and marts.
    pub allows_files: bool,
    pub zone: Tz,
    pub form: ResultForm,
    /// True if a pager may show tables.
    pub uses_pager: bool,
    /// File of the result. Without it, results are printed.
    pub output: Option<PathBuf>,
    /// Folder of temporary files. Without it, nothing is spilled.
    pub scratch: Option<TempDir>,
    pub running: Arc<Running>,
    /// True if the process ends after one statement.
    pub is_last: bool,
}

impl Queries {
    /// Returns the tables, marts and views that statements can name.
    pub(super) fn relations(&self) -> IndexMap<String, Table> {
        match self.as_of {
            None => self.contracts.relations(),
            Some(_) => self.contracts.tables_and_views(),
        }
    }

    /// Runs SQL. It sees all commits up to now. Of several statements, the last gives the result. The
    /// lake is open only until the result is known, printed or written.
    ///
    /// # Errors
    /// The SQL is wrong or cancelled, or the lake or the result fails.
    pub(super) fn run(
        &self,
        sql: &str,
        parameters: &BTreeMap<String, String>,
    ) -> Result<(), CliError> {
        let all = self.relations();
        let named = named_in(sql, &all);
        let mut tables = &named;
        let mut gone = 0;
        loop {
            // A query that lists views has all of them.
            let comments = if tables.len() < all.len() {
                Comments::Without
            } else {
                Comments::With
            };
            match self.answer(sql, parameters, tables, comments)? {
                // The SQL may name a view in a way that was not recognized, or a wrong one. With all
                // tables, DuckDB finds it or suggests similar names.
                (Err(Failed::Query(error)), _)
                    if tables.len() < all.len() && error.is_of_names() =>
                {
                    tables = &all;
                }
                // A commit of a run or of marts has replaced the file. Commits do not wait for
                // readers.
                (Err(Failed::Query(error)), true)
                    if gone < GONE_RETRIES && error.is_of_gone_file() =>
                {
                    gone += 1;
                }
                (Err(Failed::Query(error)), _) if self.as_of.is_some() && error.is_of_names() => {
                    return Err(of_past_mart(error, &self.contracts));
                }
                (written, _) => {
                    return match written? {
                        // The lake is closed now, however long the pager shows the table.
                        Some(table) if self.uses_pager => print_paged(&table),
                        Some(table) => print_as_is(&table),
                        None => Ok(()),
                    };
                }
            }
        }
    }

    /// Runs SQL once. Returns a table that is not printed yet, and whether the SQL can be repeated after
    /// an error.
    fn answer(
        &self,
        sql: &str,
        parameters: &BTreeMap<String, String>,
        tables: &IndexMap<String, Table>,
        comments: Comments,
    ) -> Result<(Result<Option<String>, Failed>, bool), CliError> {
        let mut lake = self.open(sql, tables, comments)?;
        let _interruptible = self.running.begin(lake.database().interrupter());
        if self.running.is_cancelled() {
            return Ok((Err(Failed::Query(QueryError::Cancelled)), false));
        }
        let mut is_repeatable = true;
        let written = lake.stream(sql, parameters, |schema, batches| {
            // Rows that are printed as they arrive cannot be withdrawn.
            let waits = self.output.is_some() || self.form.format == Format::Table;
            let mut batches = batches.peekable();
            if let Some(Err(error)) = batches.next_if(Result::is_err) {
                return Err(Failed::Query(error));
            }
            is_repeatable = waits;
            match &self.output {
                Some(path) => write_file(path, self.form, &schema, &mut batches).map(|()| None),
                None => print(self.form, &schema, &mut batches),
            }
        });
        // With --allow-files the SQL may already have written files.
        is_repeatable &= !self.allows_files;
        let written = written.map_err(Failed::Query).and_then(|written| written);
        if self.is_last && written.is_ok() {
            lake.leave_memory();
        }
        Ok((written, is_repeatable))
    }

    /// Opens the lake as of `--as-of`, to run this SQL. Without `--allow-files` it can read the lake's
    /// files only.
    fn open(
        &self,
        sql: &str,
        tables: &IndexMap<String, Table>,
        comments: Comments,
    ) -> Result<Opened<LateViews>, CliError> {
        let lake = match self.as_of {
            None => catalog::open_late(&self.lake, tables, comments, sql)?,
            Some(Instant(at)) => catalog::open_as_of(&self.lake, tables, at.to_utc(), sql)?,
        };
        let database = lake.database();
        database.spill_to(self.scratch.as_ref().map(TempDir::path))?;
        database.set_time_zone(self.zone)?;
        database.read_columns_at_once()?;
        if !self.allows_files {
            let views = tables.values().filter_map(|table| table.query.as_ref());
            let views = views.map(|query| query.sql.as_str());
            database.confine_for(std::iter::once(sql).chain(views), self.lake.root())?;
        }
        Ok(lake)
    }
}

/// The statement that runs now, if any, so that another thread can cancel it.
#[derive(Default)]
pub(super) struct Running {
    interrupter: Mutex<Option<Interrupter>>,
    is_cancelled: AtomicBool,
}

impl Running {
    /// Cancels the statement that runs, or the next one before [`Running::reset`].
    pub(super) fn cancel(&self) {
        self.is_cancelled.store(true, Ordering::SeqCst);
        let running = self.interrupter.lock();
        if let Some(running) = &*running.unwrap_or_else(PoisonError::into_inner) {
            running.interrupt();
        }
    }

    pub(super) fn reset(&self) {
        self.is_cancelled.store(false, Ordering::SeqCst);
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.is_cancelled.load(Ordering::SeqCst)
    }

    fn begin(&self, interrupter: Interrupter) -> Interruptible<'_> {
        self.set(Some(interrupter));
        Interruptible(self)
    }

    fn set(&self, interrupter: Option<Interrupter>) {
        let running = self.interrupter.lock();
        *running.unwrap_or_else(PoisonError::into_inner) = interrupter;
    }
}

/// While it exists, the statement can be cancelled.
struct Interruptible<'r>(&'r Running);

impl Drop for Interruptible<'_> {
    fn drop(&mut self) {
        self.0.set(None);
    }
}

/// Returns the error of a query with --as-of that names an unknown table. It has a hint if the name
/// is that of a mart.
fn of_past_mart(error: QueryError, contracts: &Contracts) -> CliError {
    let words = error.to_string();
    let is_named = |mart: &&Mart| words.contains(&format!("with name {} ", mart.table.name()));
    let Some(mart) = contracts.marts.values().find(is_named) else {
        return error.into();
    };
    let reads: Vec<&str> = mart.reads.keys().map(String::as_str).collect();
    CliError::usage(
        format!(
            "`{}` is a mart, and --as-of supports only tables and their views",
            mart.table.name()
        ),
        format!(
            "leave out --as-of, or query the tables that the mart reads: {}",
            reads.join(", ")
        ),
    )
}
