//! Queries on the newest runs, for the health of a pipeline.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use serde::Deserialize;

use super::duckdb::{Database, QueryError};
use super::history::{EXACT_COST, day_literal, rows};
use crate::query::sql::literal;

/// The tables that these queries read.
pub const TABLES: [&str; 4] = ["drift", "requests", "runs", "searches"];

/// A run with its totals, from the table `runs`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct RunTotals {
    pub run_id: String,
    pub pipeline: String,
    pub shard: Option<String>,
    pub snapshot_at: DateTime<Utc>,
    pub started_at: DateTime<Utc>,
    pub finished_at: Option<DateTime<Utc>>,
    pub status: String,
    pub reason: Option<String>,
    pub searches_planned: u64,
    pub searches_done: u64,
    pub requests: u64,
    pub billed_requests: u64,
    pub cost: Option<f64>,
    pub currency: Option<String>,
    pub rejects: u64,
}

/// A search of a run that failed, with its id.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct FailedSearchRow {
    pub run_id: String,
    pub search_id: String,
    pub endpoint: String,
    pub keyword: Option<String>,
    pub note_id: Option<String>,
    pub error: Option<String>,
}

/// Calls of a pipeline to an endpoint in a currency, today or earlier.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct SpentPart {
    pub pipeline: String,
    pub endpoint: String,
    pub currency: Option<String>,
    pub is_today: bool,
    pub calls: u64,
    /// Sum of the known charges.
    pub cost: f64,
    /// Number of calls whose billing is unknown.
    pub unknown: u64,
}

/// Runs and the business dates that their rows may have. Files of other dates are not opened.
#[derive(Clone, Debug, Default)]
pub struct RunsOfDates<'r> {
    pub run_ids: BTreeSet<&'r str>,
    pub dates: BTreeSet<NaiveDate>,
}

impl RunsOfDates<'_> {
    fn condition(&self) -> String {
        if self.run_ids.is_empty() || self.dates.is_empty() {
            return "false".to_owned();
        }
        let ids: Vec<String> = self.run_ids.iter().map(|id| literal(id)).collect();
        format!(
            "run_id IN ({}) AND dt IN ({})",
            ids.join(", "),
            days(&self.dates)
        )
    }
}

fn days(dates: &BTreeSet<NaiveDate>) -> String {
    let days: Vec<String> = dates.iter().map(|date| day_literal(*date)).collect();
    days.join(", ")
}

/// Returns the totals of these runs, oldest snapshot first.
///
/// # Errors
/// Fails if the lake cannot be read.
pub fn totals(database: &Database, of: &RunsOfDates<'_>) -> Result<Vec<RunTotals>, QueryError> {
    let sql = format!(
        "SELECT run_id, pipeline, shard, snapshot_at, started_at, finished_at, status, reason, \
         searches_planned, searches_done, requests, billed_requests, cost, currency, rejects \
         FROM runs WHERE {} ORDER BY snapshot_at, run_id",
        of.condition()
    );
    rows(database, &sql)
}

/// Returns the ids of the calls of these runs that the ledger has.
///
/// # Errors
/// Fails if the lake cannot be read.
pub fn request_ids(
    database: &Database,
    of: &RunsOfDates<'_>,
) -> Result<BTreeSet<String>, QueryError> {
    #[derive(Deserialize)]
    struct Request {
        request_id: String,
    }
    let sql = format!("SELECT request_id FROM requests WHERE {}", of.condition());
    let requests: Vec<Request> = rows(database, &sql)?;
    Ok(requests.into_iter().map(|r| r.request_id).collect())
}

/// Returns the failed searches of these runs.
///
/// # Errors
/// Fails if the lake cannot be read.
pub fn failed_searches(
    database: &Database,
    of: &RunsOfDates<'_>,
) -> Result<Vec<FailedSearchRow>, QueryError> {
    let sql = format!(
        "SELECT run_id, search_id, endpoint, keyword, note_id, error FROM searches \
         WHERE status = 'failed' AND {} ORDER BY run_id, endpoint, keyword, note_id, search_id",
        of.condition()
    );
    rows(database, &sql)
}

/// Returns the number of drift occurrences of these runs, by run. Runs without any are left out.
///
/// # Errors
/// Fails if the lake cannot be read.
pub fn drift(
    database: &Database,
    of: &RunsOfDates<'_>,
) -> Result<BTreeMap<String, u64>, QueryError> {
    #[derive(Deserialize)]
    struct Drift {
        run_id: String,
        count: u64,
    }
    let sql = format!(
        "SELECT run_id, sum(count)::UBIGINT AS count FROM drift WHERE {} GROUP BY run_id",
        of.condition()
    );
    let drift: Vec<Drift> = rows(database, &sql)?;
    Ok(drift.into_iter().map(|d| (d.run_id, d.count)).collect())
}

/// Returns the calls of these pipelines since the first day of the month of `today`, a day in
/// `timezone`. `dates` are the business dates whose ledgers may hold them.
///
/// # Errors
/// Fails if the lake cannot be read.
pub fn spent_in_month(
    database: &Database,
    pipelines: &BTreeSet<&str>,
    dates: &BTreeSet<NaiveDate>,
    (first, today): (NaiveDate, NaiveDate),
    timezone: Tz,
) -> Result<Vec<SpentPart>, QueryError> {
    if pipelines.is_empty() || dates.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<String> = pipelines.iter().map(|name| literal(name)).collect();
    let sql = format!(
        "SELECT pipeline, endpoint, currency, date = {} AS is_today, count(*) AS calls, \
         coalesce(sum({EXACT_COST}), 0)::DOUBLE AS cost, \
         count(*) FILTER (WHERE billed = 'unknown') AS unknown FROM \
         (SELECT pipeline, endpoint, currency, cost, billed, \
         CAST(started_at AT TIME ZONE {} AS DATE) AS date FROM requests \
         WHERE pipeline IN ({}) AND dt IN ({})) WHERE date >= {} GROUP BY ALL ORDER BY ALL",
        day_literal(today),
        literal(timezone.name()),
        names.join(", "),
        days(dates),
        day_literal(first)
    );
    rows(database, &sql)
}
