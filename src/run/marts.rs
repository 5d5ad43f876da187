//! Incremental refresh of the marts, after each commit and by `redlake marts`.
//!
//! `_state/marts.json` stores a hash for each date. It covers the commits that changed rows of that
//! date or of an earlier one. A date is recomputed when its hash has changed, so a change of an old
//! date reaches all later dates. A refresh that a crash cut off is completed by the next refresh.
//!
//! A mart that fails or panics on a date loses its rows of that date. The other marts and dates are
//! still computed. The failure is stored in `_state/marts.json`, and every refresh reports it. The
//! mart is retried when the inputs of the date or the contracts change, and by `redlake marts`. A
//! date whose tables cannot be read is retried by every refresh.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::RecordBatch;
use chrono::{NaiveDate, NaiveTime};
use indexmap::IndexMap;
use serde::Serialize;
use thiserror::Error;
use uuid::Uuid;

use crate::extract::error::with_causes;
use crate::lake_layout::mart_path;
use crate::load::marts::FailedMart;
use crate::load::record::{CommitKind, CommitSource};
use crate::load::{Lake, LakeError, encode};
use crate::marts::{Day, Relation, VERSION, earlier};
use crate::plan::Plan;
use crate::plan::parts::Compression;
use crate::query::catalog::only;
use crate::query::days;
use crate::query::duckdb::{Database, QueryAnswer, QueryError};
use crate::run_meta::RunMeta;
use crate::spec::contracts::Contracts;
use crate::spec::mart::Mart;
use crate::spec::table::FileColumns;
use crate::spec::table::Table;

#[derive(Debug, Error)]
pub enum MartsError {
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// At least one mart failed on at least one date. All others are up to date.
    #[error("{}", told(.0))]
    Failed(Vec<FailedMart>),
    #[error("the lake cannot be opened for its marts")]
    Open(#[source] QueryError),
}

fn told(failed: &[FailedMart]) -> String {
    let Some(FailedMart { date, reason, .. }) = failed.first() else {
        return "no mart failed".to_owned();
    };
    match failed.len() - 1 {
        0 => format!("{date}: {reason}"),
        more => format!("{date}: {reason} (and {more} more; `redlake marts` lists them)"),
    }
}

/// Selection of the dates whose marts are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Dates whose inputs have changed since their marts were computed: rows of the date or of an
    /// earlier one.
    Changed,
    /// [`Which::Changed`], and dates on which a mart failed.
    Failed,
    /// [`Which::Failed`], and all dates from this one on.
    Since(NaiveDate),
    All,
}

/// Result of a refresh.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Refreshed {
    /// Dates that were computed.
    pub days: BTreeSet<NaiveDate>,
    /// Number of files written. A file whose rows are unchanged is kept and not counted.
    pub files: u64,
    /// Number of rows on these dates, by mart.
    pub rows: BTreeMap<String, u64>,
    /// Marts that failed, in this refresh or in an earlier one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<FailedMart>,
}

/// Warning for marts that are not up to date.
pub const NOT_UP_TO_DATE: &str =
    "the marts are not up to date; `redlake marts` computes what is missing";

/// Refreshes the marts after a commit of this pipeline. Does nothing if the pipeline turns marts
/// off. Returns the error as an `Option`, because the commit stands even if the refresh fails.
pub(crate) fn follow(plan: &Plan, lake: &Lake) -> Option<MartsError> {
    if !plan.marts {
        return None;
    }
    refresh_all(lake, &plan.contracts).err()
}

/// Computes the marts of changed dates.
///
/// # Errors
/// As [`refresh`], and [`MartsError::Failed`].
fn refresh_all(lake: &Lake, contracts: &Contracts) -> Result<(), MartsError> {
    let failed = refresh(lake, contracts, Which::Changed)?.failed;
    if failed.is_empty() {
        Ok(())
    } else {
        Err(MartsError::Failed(failed))
    }
}

/// Brings the marts up to date after a commit of no pipeline; a failure is told.
pub(crate) fn refresh_or_warn(lake: &Lake, contracts: &Contracts) {
    if let Err(error) = refresh_all(lake, contracts) {
        tracing::warn!("{NOT_UP_TO_DATE}: {}", with_causes(&error));
    }
}

/// Computes the marts of the dates that `which` selects, newest first, with one commit for each
/// date. Must be called after every commit that changes rows of tables; the changed dates are
/// detected here. Marts that fail are listed in [`Refreshed::failed`].
///
/// # Errors
/// The lake cannot be read or written. Dates that were computed before the error stay committed.
pub fn refresh(lake: &Lake, contracts: &Contracts, which: Which) -> Result<Refreshed, MartsError> {
    let mut refreshed = Refreshed::default();
    if contracts.marts.is_empty() {
        return Ok(refreshed);
    }
    let _lock = lake.lock_marts()?;
    let reads = reads(contracts);
    let tables = reads.keys().cloned().collect();
    // Hashed before the tables are read, so the next refresh detects a commit in between.
    let inputs = lake.mart_inputs(&tables, &definition(contracts))?;
    let mut computed = lake.computed_marts();
    computed.failed.retain(|f| inputs.contains_key(&f.date));
    let is_due = |date: &NaiveDate, hash: &String| {
        let is_changed = computed.days.get(date) != Some(hash);
        let has_failed = || computed.failed.iter().any(|failed| failed.date == *date);
        match which {
            Which::All => true,
            Which::Since(since) => *date >= since || is_changed || has_failed(),
            Which::Failed => is_changed || has_failed(),
            Which::Changed => is_changed,
        }
    };
    let due = inputs
        .iter()
        .rev()
        .filter(|(date, hash)| is_due(date, hash));
    let due: Vec<(NaiveDate, String)> = due.map(|(date, hash)| (*date, hash.clone())).collect();
    if due.is_empty() {
        refreshed.failed = computed.failed;
        return Ok(refreshed);
    }
    let mut source = Source::open(lake, contracts, reads)?;
    for (date, hash) in due {
        computed.failed.retain(|failed| failed.date != date);
        match source.day(lake, date)? {
            Ok(day) => {
                let failed = commit(lake, contracts, &day, date, &mut refreshed)?;
                computed.failed.extend(failed);
                computed.days.insert(date, hash);
                refreshed.days.insert(date);
            }
            Err(reason) => {
                let mart = None;
                computed.failed.push(FailedMart { date, mart, reason });
                computed.days.remove(&date);
            }
        }
        lake.remember_marts(&computed)?;
    }
    refreshed.failed = computed.failed;
    // All files with other columns may have been replaced.
    lake.recount_mixed(contracts.marts.keys().map(String::as_str))?;
    Ok(refreshed)
}

/// Names of the columns that marts read, by table.
type Reads = BTreeMap<String, Vec<String>>;

fn reads(contracts: &Contracts) -> Reads {
    let mut reads: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for mart in contracts.marts.values() {
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

/// Returns the definition of all marts as text: columns, order and inputs, without descriptions. A
/// change of it changes the hash of every date.
fn definition(contracts: &Contracts) -> String {
    let mart = |mart: &Mart| {
        let columns = mart.table.columns.iter();
        let columns: Vec<_> = columns
            .map(|(name, c)| (name, c.kind, c.required))
            .collect();
        let names = mart.table.sort_by.iter().map(|name| &name.value);
        let sort_by: Vec<_> = names.collect();
        let Mart {
            reads,
            rising,
            endpoints,
            ..
        } = mart;
        let name = mart.table.name();
        format!("{name} {columns:?} {sort_by:?} {reads:?} {rising:?} {endpoints:?}")
    };
    let marts: Vec<String> = contracts.marts.values().map(mart).collect();
    format!("{VERSION}\n{}", marts.join("\n"))
}

/// The tables of a lake that marts read.
struct Source {
    tables: IndexMap<String, Table>,
    reads: Reads,
    database: Database,
    /// File columns with which the database was opened.
    columns: FileColumns,
}

impl Source {
    fn open(lake: &Lake, contracts: &Contracts, reads: Reads) -> Result<Self, MartsError> {
        let tables = only(&contracts.tables, |name| reads.contains_key(name));
        let columns = lake.file_columns(&tables)?;
        let database = Database::open(lake.root(), &tables, &columns);
        Ok(Source {
            tables,
            reads,
            database: database.map_err(MartsError::Open)?,
            columns,
        })
    }

    /// Reads the inputs of a date's marts. The inner error is the reason why the tables cannot be
    /// read.
    ///
    /// # Errors
    /// The lake cannot be opened.
    fn day(&mut self, lake: &Lake, date: NaiveDate) -> Result<Result<Day, String>, MartsError> {
        let read = {
            // No commit adds or removes files between the queries.
            let _held = lake.lock_exclusive()?;
            let columns = lake.file_columns(&self.tables)?;
            if columns != self.columns {
                let database = Database::open(lake.root(), &self.tables, &columns);
                self.database = database.map_err(MartsError::Open)?;
                self.columns = columns;
            }
            self.read(date)
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
        Ok(Day::new(date, relations).map_err(|error| with_causes(&error)))
    }

    fn read(&self, date: NaiveDate) -> Result<BTreeMap<String, QueryAnswer>, QueryError> {
        let database = &self.database;
        let mut read = BTreeMap::new();
        for (name, columns) in &self.reads {
            let Some(table) = self.tables.get(name) else {
                continue;
            };
            read.insert(name.clone(), days::rows(database, table, columns, date)?);
            if name == "engagement" {
                let before = days::counts_before(database, table, columns, date)?;
                read.insert(earlier::ENGAGEMENT.to_owned(), before);
            }
        }
        if self.reads.contains_key("search_results") {
            let before = days::hits_found_before(database, date)?;
            read.insert(earlier::HITS.to_owned(), before);
        }
        if self.reads.contains_key("notes") {
            let mut of_date = vec!["notes"];
            of_date.extend(self.reads.contains_key("note_tags").then_some("note_tags"));
            let before = days::notes_seen_before(database, &of_date, date)?;
            read.insert(earlier::NOTES.to_owned(), before);
        }
        Ok(read)
    }
}

/// Computes the marts of a date and commits those whose rows differ from the lake. Returns the
/// marts that failed. Their files of the date are removed, because they no longer match the
/// tables.
fn commit(
    lake: &Lake,
    contracts: &Contracts,
    day: &Day,
    date: NaiveDate,
    refreshed: &mut Refreshed,
) -> Result<Vec<FailedMart>, MartsError> {
    let mut failed = Vec::new();
    let mut staged = Vec::new();
    let mut remove = Vec::new();
    for (name, mart) in &contracts.marts {
        let rows = match day.compute(mart) {
            Ok(rows) => rows,
            Err(error) => {
                failed.push(FailedMart {
                    date,
                    mart: Some(name.clone()),
                    reason: with_causes(&error),
                });
                remove.extend(lake.mart_files(name, date)?);
                continue;
            }
        };
        let (count, schema) = (rows.num_rows() as u64, rows.schema());
        *refreshed.rows.entry(name.clone()).or_default() += count;
        let bytes = encoded(&mart.table, rows)?;
        let old = lake.mart_files(name, date)?;
        if !lake.is_in_place(&old, bytes.as_deref()) {
            remove.extend(old);
            staged.extend(bytes.map(|bytes| (name, bytes, count, schema)));
        }
    }
    if staged.is_empty() && remove.is_empty() {
        return Ok(failed);
    }
    let commit_id = Uuid::now_v7().to_string();
    let staging = lake.stage(&commit_id)?;
    for (name, bytes, rows, schema) in staged {
        let path = mart_path(name, date, &commit_id);
        staging.add(path, name, &schema, |out| {
            out.write_all(&bytes).map_err(|e| e.to_string())?;
            Ok(rows)
        })?;
        refreshed.files += 1;
    }
    let at = date.and_time(NaiveTime::MIN).and_utc();
    let meta = RunMeta::of_maintenance(&commit_id, at, false);
    staging.commit(CommitKind::Marts, CommitSource::of(&meta), remove)?;
    Ok(failed)
}

/// Encodes the rows of a mart as a Parquet file. `None` if there are no rows.
fn encoded(table: &Table, rows: RecordBatch) -> Result<Option<Vec<u8>>, LakeError> {
    if rows.num_rows() == 0 {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    let rows = encode::Rows {
        schema: rows.schema(),
        most: rows.num_rows() as u64,
        batches: &mut std::iter::once(Ok(rows)),
    };
    let written = encode::write_parquet(rows, table, COMPRESSION, &mut bytes);
    written.map_err(|reason| LakeError::Encode {
        table: table.name().to_owned(),
        reason,
    })?;
    Ok(Some(bytes))
}

/// Compression of marts. Pipelines share a mart's file, so their own setting does not apply.
const COMPRESSION: Compression = Compression::Zstd(3);
