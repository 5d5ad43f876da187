//! Queries on the runs in the lake.

use std::collections::HashSet;
use std::fmt::Write as _;

use chrono::{DateTime, NaiveDate, Utc};
use indexmap::IndexMap;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::duckdb::{Database, QueryError};
use super::history::{EXACT_COST, day_literal, rows};
use crate::query::sql::{identifier, literal};

/// A row of the table `runs`, by column.
pub type RunRow = IndexMap<String, Value>;

/// Totals of the calls of a run to an endpoint with the same class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallsOf {
    pub endpoint: String,
    pub class: String,
    pub calls: u64,
    pub billed: u64,
    /// Number of calls whose billing is unknown.
    pub unknown: u64,
    /// Sum of the known charges. Null without a price.
    pub cost: Option<f64>,
    /// Currency of the cost. Null without a price, and in ledgers of the version before.
    pub currency: Option<String>,
}

/// Totals of all calls of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Paid {
    pub calls: u64,
    pub billed: u64,
    /// Number of calls whose billing is unknown.
    pub unknown: u64,
    /// Sums of the known charges, one for each currency.
    pub costs: Vec<PaidCost>,
}

/// Sum of the known charges in one currency.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PaidCost {
    pub cost: f64,
    /// Null in ledgers of the version before.
    pub currency: Option<String>,
}

/// A run without a row in `runs`: it is under way, or was killed before its ledger was committed.
#[derive(Clone, Debug, PartialEq)]
pub struct UncommittedRun {
    pub run_id: String,
    pub pipeline: String,
    pub snapshot_at: DateTime<Utc>,
    pub started_at: DateTime<Utc>,
    /// `running`, or `open` if its process is dead.
    pub status: &'static str,
    /// Number of calls that were sent.
    pub requests: u64,
}

/// Which runs are listed. Each option that is `None` selects all.
#[derive(Clone, Copy, Debug, Default)]
pub struct RunFilter<'f> {
    pub pipeline: Option<&'f str>,
    pub status: Option<&'f str>,
    /// Number of newest runs.
    pub last: Option<u64>,
}

/// Returns the query for the list of runs, oldest first. The runs in `held` get the status `held`.
pub fn list(held: &[&str], uncommitted: &[UncommittedRun], filter: RunFilter<'_>) -> String {
    let held: Vec<String> = held.iter().map(|run_id| literal(run_id)).collect();
    let status = if held.is_empty() {
        "status".to_owned()
    } else {
        format!(
            "CASE WHEN run_id IN ({}) THEN 'held' ELSE status END AS status",
            held.join(", ")
        )
    };
    let mut runs = format!(
        "SELECT run_id, pipeline, snapshot_at, {status}, searches_done, requests, \
         billed_requests, cost, currency, rejects, started_at FROM runs"
    );
    for run in uncommitted {
        let at = |at: DateTime<Utc>| format!("make_timestamptz({})", at.timestamp_micros());
        let _ = write!(
            runs,
            " UNION ALL SELECT {}, {}, {}, {}, NULL, {}, NULL, NULL, NULL, NULL, {}",
            literal(&run.run_id),
            literal(&run.pipeline),
            at(run.snapshot_at),
            literal(run.status),
            run.requests,
            at(run.started_at),
        );
    }
    let is = |column: &str, value: Option<&str>| {
        value.map(|value| format!("{column} = {}", literal(value)))
    };
    let conditions = [is("pipeline", filter.pipeline), is("status", filter.status)];
    let conditions: Vec<String> = conditions.into_iter().flatten().collect();
    let condition = if conditions.is_empty() {
        String::new()
    } else {
        format!(" WHERE {}", conditions.join(" AND "))
    };
    let limit = filter
        .last
        .map_or_else(String::new, |last| format!(" LIMIT {last}"));
    format!(
        "SELECT * EXCLUDE (started_at) FROM (SELECT * FROM ({runs}){condition} \
         ORDER BY started_at DESC, run_id DESC{limit}) ORDER BY started_at, run_id"
    )
}

/// Returns the ids of all runs, sorted.
///
/// # Errors
/// Fails if the lake cannot be read.
pub fn ids(database: &Database) -> Result<Vec<String>, QueryError> {
    #[derive(Deserialize)]
    struct Id {
        run_id: String,
    }
    let ids: Vec<Id> = rows(database, "SELECT DISTINCT run_id FROM runs ORDER BY run_id")?;
    Ok(ids.into_iter().map(|id| id.run_id).collect())
}

/// Returns the row of a run, or `None` before its ledger is committed.
///
/// # Errors
/// Fails if the lake cannot be read.
pub fn row(database: &Database, run_id: &str) -> Result<Option<RunRow>, QueryError> {
    let sql = format!("SELECT * FROM runs WHERE run_id = {}", literal(run_id));
    Ok(rows(database, &sql)?.pop())
}

/// Returns the ids of the calls of a run whose answer was accepted as a page and kept.
///
/// # Errors
/// Fails if the lake cannot be read.
pub fn pages(database: &Database, run_id: &str) -> Result<HashSet<String>, QueryError> {
    #[derive(Deserialize)]
    struct Page {
        request_id: String,
    }
    let sql = format!(
        "SELECT request_id FROM requests WHERE {IS_PAGE} AND run_id = {}",
        literal(run_id)
    );
    let pages: Vec<Page> = rows(database, &sql)?;
    Ok(pages.into_iter().map(|page| page.request_id).collect())
}

/// A search of a run that failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FailedRow {
    pub endpoint: String,
    pub keyword: Option<String>,
    pub note_id: Option<String>,
    pub error: Option<String>,
}

/// Returns the searches of a run that failed. Empty for runs of versions without the table
/// `searches`.
///
/// # Errors
/// Fails if the lake cannot be read.
pub fn failed(database: &Database, run_id: &str) -> Result<Vec<FailedRow>, QueryError> {
    let sql = format!(
        "SELECT endpoint, keyword, note_id, error FROM searches \
         WHERE status = 'failed' AND run_id = {} ORDER BY ALL",
        literal(run_id)
    );
    rows(database, &sql)
}

/// The pages of a run and a source in the ledger.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct PagesOf {
    pub run_id: String,
    pub source: String,
    pub request_ids: Vec<String>,
}

/// Returns the ids of all calls whose answer was accepted as a page and kept, by run and source.
///
/// # Errors
/// Fails if the lake cannot be read.
pub fn all_pages(database: &Database) -> Result<Vec<PagesOf>, QueryError> {
    let sql = format!(
        "SELECT run_id, source, list(request_id) AS request_ids FROM requests WHERE {IS_PAGE} \
         GROUP BY ALL ORDER BY ALL"
    );
    rows(database, &sql)
}

/// Condition for rows of `requests` whose page is in the raw zone.
const IS_PAGE: &str = "item_count IS NOT NULL AND error IS NULL";

/// Returns the totals of all calls of a run.
///
/// # Errors
/// Fails if the lake cannot be read.
pub fn paid(database: &Database, run_id: &str) -> Result<Paid, QueryError> {
    #[derive(Deserialize)]
    struct Calls {
        calls: u64,
        billed: u64,
        unknown: u64,
    }
    let run = literal(run_id);
    let calls = format!(
        "SELECT count(*) AS calls, count(*) FILTER (WHERE billed = 'yes') AS billed, \
         count(*) FILTER (WHERE billed = 'unknown') AS unknown FROM requests WHERE run_id = {run}"
    );
    let costs = format!(
        "SELECT currency, sum({EXACT_COST}) AS cost FROM requests \
         WHERE run_id = {run} AND cost IS NOT NULL GROUP BY currency ORDER BY currency"
    );
    let Calls {
        calls,
        billed,
        unknown,
    } = one(database, &calls)?;
    Ok(Paid {
        calls,
        billed,
        unknown,
        costs: rows(database, &costs)?,
    })
}

/// Returns the number of rows that a run has in a table.
///
/// # Errors
/// Fails if the lake cannot be read.
pub fn rows_of(database: &Database, table: &str, run_id: &str) -> Result<u64, QueryError> {
    #[derive(Deserialize)]
    struct Count {
        count: u64,
    }
    let sql = format!(
        "SELECT count(*) AS count FROM {} WHERE run_id = {}",
        identifier(table),
        literal(run_id)
    );
    one(database, &sql).map(|Count { count }| count)
}

/// Returns the number of notes of a run that no other run of the lake has. `date` is the business
/// date of the run.
///
/// # Errors
/// Fails if the lake cannot be read.
pub fn new_notes(database: &Database, run_id: &str, date: NaiveDate) -> Result<u64, QueryError> {
    #[derive(Deserialize)]
    struct Count {
        count: u64,
    }
    let (run, day) = (literal(run_id), day_literal(date));
    let sql = format!(
        "SELECT count(*) AS count FROM \
         (SELECT DISTINCT note_id FROM notes WHERE dt = {day} AND run_id = {run}) \
         ANTI JOIN (SELECT note_id FROM notes WHERE run_id <> {run}) USING (note_id)"
    );
    one(database, &sql).map(|Count { count }| count)
}

/// Runs a query whose answer is one row.
fn one<T: DeserializeOwned>(database: &Database, sql: &str) -> Result<T, QueryError> {
    rows(database, sql)?.pop().ok_or_else(|| QueryError::Rows {
        reason: "an aggregate without a row".to_owned(),
    })
}

/// Returns the calls of a run, by endpoint, class and currency.
///
/// # Errors
/// Fails if the lake cannot be read.
pub fn calls(database: &Database, run_id: &str) -> Result<Vec<CallsOf>, QueryError> {
    let sql = format!(
        "SELECT endpoint, class, count(*) AS calls, \
         count(*) FILTER (WHERE billed = 'yes') AS billed, \
         count(*) FILTER (WHERE billed = 'unknown') AS unknown, \
         sum({EXACT_COST}) AS cost, currency FROM requests WHERE run_id = {} \
         GROUP BY endpoint, class, currency ORDER BY endpoint, class, currency",
        literal(run_id)
    );
    rows(database, &sql)
}
