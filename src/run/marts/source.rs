//! The rows of tables that the marts of a date or a week are computed from.

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;

use super::error::MartsError;
use crate::extract::error::with_causes;
use crate::load::Lake;
use crate::load::commit::ScratchFolder;
use crate::load::time_zones::TimeZones;
use crate::marts::{CALLS, Relation, STATE, SpanInputs, earlier};
use crate::query::catalog::only;
use crate::query::days::{self, HISTORIES, OtherDates};
use crate::query::duckdb::{Database, QueryAnswer, QueryError};
use crate::spec::contracts::Contracts;
use crate::spec::mart::{ByPeriod, DateSpan, Period};
use crate::spec::table::{FileColumns, Table};

/// Names of the columns that marts read, by table.
pub(super) type Reads = BTreeMap<String, Vec<String>>;

/// Returns the columns that the marts of a period read.
fn reads(contracts: &Contracts, period: Period) -> Reads {
    let mut reads: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let marts = contracts.marts.values();
    for mart in marts.filter(|mart| mart.period == period) {
        for (table, columns) in &mart.reads {
            let all = reads.entry(table.clone()).or_default();
            all.extend(columns.iter().cloned());
        }
    }
    let listed = reads.into_iter();
    listed
        .map(|(table, columns)| (table, columns.into_iter().collect()))
        .collect()
}

/// Returns the columns that marts read.
pub(super) fn all_reads(contracts: &Contracts) -> ByPeriod<Reads> {
    ByPeriod {
        days: reads(contracts, Period::Day),
        weeks: reads(contracts, Period::Week),
    }
}

/// Returns the names of the tables that marts read.
pub(super) fn tables_of(reads: &ByPeriod<Reads>) -> BTreeSet<String> {
    let all = reads.days.keys().chain(reads.weeks.keys());
    all.cloned().collect()
}

/// The tables of a lake that marts read.
pub(super) struct MartTables {
    tables: IndexMap<String, Table>,
    reads: ByPeriod<Reads>,
    zones: TimeZones,
    database: Database,
    /// File columns with which the database was opened.
    columns: FileColumns,
    others: OtherDates,
    /// Tables whose history is summarized.
    summarized: &'static [&'static str],
    /// Folder for a summary that does not fit into memory. `None` if none is made.
    scratch: Option<ScratchFolder>,
}

/// Returns the tables to summarize for this number of spans: to read their history for each span would take
/// longer. A summary of notes and hits takes as long as one span's read of their history. Most runs compute
/// two spans, a date and its week.
fn worth_summarizing(spans: usize) -> &'static [&'static str] {
    match spans {
        0 | 1 => &[],
        2..=4 => &["notes", "search_results"],
        5.. => &HISTORIES,
    }
}

/// Memory in bytes that the database with a summary may use before it spills.
const MEMORY: u64 = 1 << 30;

impl MartTables {
    /// Opens the tables to read the inputs of this number of spans.
    ///
    /// # Errors
    /// The lake cannot be opened, or the scratch folder cannot be created.
    pub(super) fn open(
        lake: &Lake,
        contracts: &Contracts,
        reads: ByPeriod<Reads>,
        spans: usize,
    ) -> Result<Self, MartsError> {
        let read = tables_of(&reads);
        let tables = only(&contracts.tables, |name| read.contains(name));
        let columns = lake.file_columns(&tables)?;
        let database = Database::open_tables(lake.root(), &tables, &columns);
        let summarized = worth_summarizing(spans);
        Ok(MartTables {
            tables,
            reads,
            zones: lake.time_zones(),
            database: database.map_err(MartsError::Open)?,
            columns,
            others: OtherDates::default(),
            summarized,
            scratch: (!summarized.is_empty())
                .then(|| lake.scratch())
                .transpose()?,
        })
    }

    /// Reads the inputs of the marts of a date or a week. The inner error is the reason why the
    /// tables cannot be read.
    ///
    /// # Errors
    /// The lake cannot be opened.
    pub(super) fn inputs(
        &mut self,
        lake: &Lake,
        span: DateSpan,
    ) -> Result<Result<SpanInputs, String>, MartsError> {
        let read = {
            // No commit adds or removes files between the queries.
            let _held = lake.lock_exclusive()?;
            let columns = lake.file_columns(&self.tables)?;
            if columns != self.columns {
                self.columns = columns;
                self.open_again(lake)?;
            }
            if let Err(error) = self.summarize() {
                // A file that cannot be read fails only the dates that need it.
                tracing::debug!("the tables are not summarized: {}", with_causes(&error));
                self.scratch = None;
                self.open_again(lake)?;
            }
            self.narrow(lake, span).and_then(|()| self.read(span))
        };
        let read = match read {
            Ok(read) => read,
            Err(error) => {
                let reason = with_causes(&error);
                return Ok(Err(format!("the tables cannot be read: {reason}")));
            }
        };
        let relations = read.into_iter().map(|(name, answer)| {
            let QueryAnswer { schema, batches } = answer;
            (name, Relation { schema, batches })
        });
        let inputs = SpanInputs::new(span, relations, &self.zones);
        Ok(inputs.map_err(|error| with_causes(&error)))
    }

    /// Opens the tables as they are now, without a summary.
    ///
    /// # Errors
    /// The lake cannot be opened.
    fn open_again(&mut self, lake: &Lake) -> Result<(), MartsError> {
        let database = Database::open_tables(lake.root(), &self.tables, &self.columns);
        self.database = database.map_err(MartsError::Open)?;
        self.others = OtherDates::default();
        Ok(())
    }

    /// Summarizes the history of tables if several spans are read, and if that is not done yet. A commit
    /// after it is not in the summary: the next refresh computes the dates that it changes again.
    fn summarize(&mut self) -> Result<(), QueryError> {
        let Some(scratch) = &self.scratch else {
            return Ok(());
        };
        if self.others != OtherDates::default() {
            return Ok(());
        }
        self.database.limit_memory(MEMORY)?;
        self.database.spill_to(Some(scratch.path()))?;
        let is_read = |table: &&str| self.tables.contains_key(*table);
        let tables: Vec<&'static str> = self.summarized.iter().copied().filter(is_read).collect();
        let engagement = self.reads.days.get("engagement");
        let engagement = engagement.map(Vec::as_slice).unwrap_or_default();
        self.others = OtherDates::summarize(&self.database, &tables, engagement)?;
        Ok(())
    }

    /// Limits the tables that a span reads to the files of its dates, except those from which the queries read
    /// other dates.
    fn narrow(&self, lake: &Lake, span: DateSpan) -> Result<(), QueryError> {
        let reads = self.reads.of(span.period);
        let is_of_span = |name: &str| reads.contains_key(name) && !self.others.are_in(name);
        let tables = only(&self.tables, is_of_span);
        self.database
            .narrow_tables(lake.root(), &tables, &self.columns, span)
    }

    fn read(&self, span: DateSpan) -> Result<BTreeMap<String, QueryAnswer>, QueryError> {
        let (names, queries): (Vec<_>, Vec<_>) = self.queries(span).into_iter().unzip();
        let answers = self.database.query_all(&queries)?;
        Ok(names.into_iter().zip(answers).collect())
    }

    /// Returns the queries for the inputs of a span, by name.
    fn queries(&self, span: DateSpan) -> BTreeMap<String, String> {
        let others = &self.others;
        let reads = self.reads.of(span.period);
        let has = |tables: &[&str]| tables.iter().all(|table| reads.contains_key(*table));
        let mut queries = BTreeMap::new();
        for (name, columns) in reads {
            let Some(table) = self.tables.get(name) else {
                continue;
            };
            if days::SUMMED.contains(&name.as_str()) {
                continue;
            }
            let rows = match span.period {
                Period::Day => days::rows(table, columns, span),
                Period::Week => days::rows_of_week(table, columns, span),
            };
            queries.insert(name.clone(), rows);
            // No mart of a week compares counts with those of earlier dates.
            if name == "engagement" && span.period.is_day() {
                let before = days::counts_before(others, table, columns, span);
                queries.insert(earlier::ENGAGEMENT.to_owned(), before);
            }
        }
        if has(&["search_results"]) {
            let before = days::hits_found_before(others, span);
            queries.insert(earlier::HITS.to_owned(), before);
        }
        if has(&["notes"]) {
            let mut of_span = vec!["notes"];
            of_span.extend(has(&["note_tags"]).then_some("note_tags"));
            let before = days::notes_seen_before(others, &of_span, span);
            queries.insert(earlier::NOTES.to_owned(), before);
        }
        if has(&["search_pages", "runs"]) {
            queries.insert(STATE.to_owned(), days::state(others, span));
        }
        if has(&["requests", "searches", "search_results"]) {
            queries.insert(CALLS.to_owned(), days::calls(span));
        }
        queries
    }
}
