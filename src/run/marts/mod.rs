//! Incremental refresh of the marts, after each commit and by `redlake marts`.
//!
//! `_state/marts.json` stores a hash for each date and each week. It covers the commits that changed
//! rows of these dates or of an earlier one. A date is recomputed when its hash has changed, so a
//! change of an old date reaches all later dates. The first commit of a pipeline on a later date
//! changes the hash of the date before, which is then over. A refresh that a crash cut off is
//! completed by the next refresh.
//!
//! A mart that fails or panics on a date loses its rows of that date. The other marts and dates are
//! still computed. The failure is stored in `_state/marts.json`, and every refresh reports it. The
//! mart is retried when the inputs of the date or the contracts change, and by `redlake marts`. A
//! date whose tables cannot be read is retried by every refresh.

pub mod error;
mod source;

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::RecordBatch;
use chrono::{NaiveDate, NaiveTime};
use serde::Serialize;
use uuid::Uuid;

use crate::extract::error::with_causes;
use crate::lake_layout::mart_path;
use crate::load::marts::{Computed, FailedMart, Inputs};
use crate::load::record::{CommitKind, CommitSource};
use crate::load::{Lake, LakeError, encode};
use crate::marts::{SpanInputs, VERSION};
use crate::plan::Plan;
use crate::plan::parts::Compression;
use crate::run_meta::RunMeta;
use crate::spec::contracts::Contracts;
use crate::spec::mart::{ByPeriod, DateSpan, Mart, Period};
use crate::spec::table::Table;
use error::MartsError;
use source::{MartTables, all_reads, tables_of};

/// Selection of the dates whose marts are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Dates and weeks whose inputs have changed since their marts were computed: rows of the date or of an
    /// earlier one.
    Changed,
    /// [`Which::Changed`], and dates on which a mart failed.
    Failed,
    /// [`Which::Failed`], all dates from this one on, and their weeks.
    Since(NaiveDate),
    All,
}

/// Result of a refresh.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Refreshed {
    /// Dates that were computed.
    pub days: BTreeSet<NaiveDate>,
    /// Mondays of the weeks that were computed.
    pub weeks: BTreeSet<NaiveDate>,
    /// Number of files written. A file whose rows are unchanged is kept and not counted.
    pub files: u64,
    /// Number of rows on these dates and in these weeks, by mart.
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

/// Computes the marts of the dates and weeks that `which` selects, newest first, with one commit for
/// each date. The commit of the newest date of a week has the week, too. Must be called after every
/// commit that changes rows of tables; the changed dates are detected here. Marts that fail are
/// listed in [`Refreshed::failed`].
///
/// # Errors
/// The lake cannot be read or written. Dates that were computed before the error stay committed.
pub fn refresh(lake: &Lake, contracts: &Contracts, which: Which) -> Result<Refreshed, MartsError> {
    let mut refreshed = Refreshed::default();
    if contracts.marts.is_empty() {
        return Ok(refreshed);
    }
    let _lock = lake.lock_marts()?;
    let reads = all_reads(contracts);
    // Hashed before the tables are read, so the next refresh detects a commit in between.
    let inputs = lake.mart_inputs(&tables_of(&reads), &definition(contracts))?;
    let mut computed = lake.computed_marts();
    computed
        .failed
        .retain(|f| inputs.of(f.period).contains_key(&f.date));
    let due = due(&inputs, &computed, contracts, which);
    if due.is_empty() {
        refreshed.failed = computed.failed;
        return Ok(refreshed);
    }
    let spans = due.iter().map(Vec::len).sum();
    let mut source = MartTables::open(lake, contracts, reads, spans)?;
    for spans in due {
        let mut together = Vec::new();
        for (span, hash) in spans {
            let DateSpan { period, first, .. } = span;
            computed.failed.retain(|f| !f.is_of(period, first));
            match source.inputs(lake, span)? {
                Ok(read) => together.push((span, hash, read)),
                Err(reason) => {
                    computed.failed.push(FailedMart {
                        date: first,
                        period,
                        mart: None,
                        reason,
                    });
                    computed.inputs.of_mut(period).remove(&first);
                }
            }
        }
        let failed = commit(lake, contracts, &together, &mut refreshed)?;
        computed.failed.extend(failed);
        for (DateSpan { period, first, .. }, hash, _) in together {
            computed.inputs.of_mut(period).insert(first, hash);
            match period {
                Period::Day => refreshed.days.insert(first),
                Period::Week => refreshed.weeks.insert(first),
            };
        }
        lake.remember_marts(&computed)?;
    }
    refreshed.failed = computed.failed;
    // All files with other columns may have been replaced.
    lake.recount_mixed(contracts.marts.keys().map(String::as_str))?;
    Ok(refreshed)
}

/// A span that is computed, with the hash of its inputs.
type DueSpan = (DateSpan, String);

/// Returns the spans that `which` selects, newest first. Those in one list are committed together:
/// a week is with its newest date.
fn due(
    inputs: &ByPeriod<Inputs>,
    computed: &Computed,
    contracts: &Contracts,
    which: Which,
) -> Vec<Vec<DueSpan>> {
    let is_due = |span: DateSpan, hash: &String| {
        let DateSpan { period, first, .. } = span;
        let is_changed = computed.inputs.of(period).get(&first) != Some(hash);
        let has_failed = || computed.failed.iter().any(|f| f.is_of(period, first));
        match which {
            Which::All => true,
            Which::Since(since) => span.last >= since || is_changed || has_failed(),
            Which::Failed => is_changed || has_failed(),
            Which::Changed => is_changed,
        }
    };
    let of_period = |period: Period| {
        let has_marts = contracts.marts.values().any(|mart| mart.period == period);
        let all = inputs.of(period).iter().rev();
        let spans = all.map(move |(date, hash)| (period.span_of(*date), hash.clone()));
        spans.filter(move |(span, hash)| has_marts && is_due(*span, hash))
    };
    let mut due: Vec<Vec<DueSpan>> = of_period(Period::Day).map(|day| vec![day]).collect();
    for week in of_period(Period::Week) {
        let monday = week.0.first;
        let is_within = |spans: &&mut Vec<DueSpan>| {
            let date = spans.first().map(|(day, _)| day.first);
            date.is_some_and(|date| Period::Week.span_of(date).first == monday)
        };
        match due.iter_mut().find(is_within) {
            Some(day) => day.push(week),
            None => due.push(vec![week]),
        }
    }
    due
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
            period,
            reads,
            rising,
            endpoints,
            ..
        } = mart;
        let name = mart.table.name();
        format!("{name} {period:?} {columns:?} {sort_by:?} {reads:?} {rising:?} {endpoints:?}")
    };
    let marts: Vec<String> = contracts.marts.values().map(mart).collect();
    format!("{VERSION}\n{}", marts.join("\n"))
}

/// Computes the marts of these spans and commits those whose rows differ from the lake. Returns the
/// marts that failed. Their files of the span are removed, because they no longer match the tables.
fn commit(
    lake: &Lake,
    contracts: &Contracts,
    spans: &[(DateSpan, String, SpanInputs)],
    refreshed: &mut Refreshed,
) -> Result<Vec<FailedMart>, MartsError> {
    let mut failed = Vec::new();
    let mut staged = Vec::new();
    let mut remove = Vec::new();
    for (span, _, inputs) in spans {
        let date = span.first;
        let marts = contracts.marts.iter();
        for (name, mart) in marts.filter(|(_, mart)| mart.period == span.period) {
            let rows = match inputs.compute(mart) {
                Ok(rows) => rows,
                Err(error) => {
                    failed.push(FailedMart {
                        date,
                        period: span.period,
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
                staged.extend(bytes.map(|bytes| (name, date, bytes, count, schema)));
            }
        }
    }
    let Some((newest, ..)) = spans.first() else {
        return Ok(failed);
    };
    if staged.is_empty() && remove.is_empty() {
        return Ok(failed);
    }
    let commit_id = Uuid::now_v7().to_string();
    let staging = lake.stage(&commit_id)?;
    for (name, date, bytes, rows, schema) in staged {
        let path = mart_path(name, date, &commit_id);
        staging.add(path, name, &schema, |out| {
            out.write_all(&bytes).map_err(|e| e.to_string())?;
            Ok(rows)
        })?;
        refreshed.files += 1;
    }
    let at = newest.first.and_time(NaiveTime::MIN).and_utc();
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
