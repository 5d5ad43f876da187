//! Queries of a new run on what earlier runs found, requested and spent.

use std::collections::{BTreeSet, HashSet};

use arrow::array::{AsArray, RecordBatch};
use arrow::json::WriterBuilder;
use arrow::json::writer::JsonArray;
use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::duckdb::{Database, QueryError};
use crate::query::sql::{identifier, literal};

/// The tables that these queries read.
pub const TABLES: [&str; 5] = [
    "engagement",
    "requests",
    "runs",
    "search_pages",
    "search_results",
];

/// The cost of a call, in the decimals in which sums are exact.
pub(super) const EXACT_COST: &str = "cost::DECIMAL(18, 6)";

/// Filter for earlier runs: those of these pipelines, except one run.
#[derive(Clone, Debug)]
pub struct Earlier {
    pub pipelines: Vec<String>,
    pub but_run_id: String,
}

/// Calls and cost of a run at an endpoint on a day.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct SpentRow {
    pub run_id: String,
    pub shard: Option<String>,
    pub date: NaiveDate,
    pub endpoint: String,
    pub calls: u64,
    /// Sum of the known charges in the currency asked for.
    pub cost: f64,
    /// Number of calls in that currency whose billing is unknown.
    pub unknown: u64,
}

/// Depth of a search in an earlier run.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct EarlierLook {
    pub search_id: String,
    pub snapshot_at: DateTime<Utc>,
    /// Number of the last page.
    pub pages: u32,
    /// Stop reason; null if the search failed or was interrupted.
    pub stop: Option<String>,
}

/// A note that an earlier run found.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct FoundNote {
    pub note_id: String,
    /// The latest value of the count that ranks it.
    pub count: Option<i64>,
    pub seen_at: DateTime<Utc>,
}

/// The last answer to a search.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct AnsweredSearch {
    pub search_id: String,
    pub at: DateTime<Utc>,
    /// True if the answer was that the note is gone.
    pub gone: bool,
}

/// Average calls of a search per run.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct UsualCalls {
    pub search_id: String,
    pub endpoint: String,
    pub runs: u64,
    pub calls: f64,
    pub billed: f64,
    pub seconds_a_call: f64,
}

/// A run of a logical time.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct RunAt {
    pub run_id: String,
    pub shard: Option<String>,
    pub status: String,
    pub plan_hash: String,
}

impl Earlier {
    fn condition(&self) -> String {
        let pipelines: Vec<String> = self.pipelines.iter().map(|p| literal(p)).collect();
        if pipelines.is_empty() {
            "false".to_owned()
        } else {
            format!(
                "pipeline IN ({}) AND run_id <> {}",
                pipelines.join(", "),
                literal(&self.but_run_id)
            )
        }
    }
}

/// Returns the runs of a pipeline with this logical time, oldest first.
///
/// # Errors
/// Fails if the lake cannot be read.
pub fn runs_at(
    database: &Database,
    pipeline: &str,
    at: DateTime<Utc>,
) -> Result<Vec<RunAt>, QueryError> {
    rows(
        database,
        &format!(
            "SELECT run_id, shard, status, plan_hash FROM runs WHERE pipeline = {} \
             AND epoch_us(snapshot_at) = {} ORDER BY run_id",
            literal(pipeline),
            at.timestamp_micros()
        ),
    )
}

/// Returns the ids of the runs of a pipeline with failed searches.
///
/// # Errors
/// Fails if the lake cannot be read.
pub fn failed_runs(database: &Database, pipeline: &str) -> Result<BTreeSet<String>, QueryError> {
    #[derive(Deserialize)]
    struct Partial {
        run_id: String,
    }
    let sql = format!(
        "SELECT run_id FROM runs WHERE pipeline = {} AND status IN ('partial', 'failed')",
        literal(pipeline)
    );
    let rows: Vec<Partial> = rows(database, &sql)?;
    Ok(rows.into_iter().map(|row| row.run_id).collect())
}

/// Returns the ids that searches at an endpoint found from the first snapshot time until before the
/// second. Searches that failed or were cut short do not count: they say nothing about the pages
/// below, which were not fetched.
///
/// # Errors
/// Fails if the lake cannot be read.
pub fn known_ids(
    database: &Database,
    earlier: &Earlier,
    (source, endpoint): (&str, &str),
    (since, until): (DateTime<Utc>, DateTime<Utc>),
) -> Result<HashSet<String>, QueryError> {
    let sql = format!(
        "SELECT DISTINCT entity_id FROM search_results SEMI JOIN \
         (SELECT run_id, search_id FROM search_pages WHERE stop IS NOT NULL) \
         USING (run_id, search_id) WHERE {} AND source = {} AND endpoint = {} \
         AND entity_id IS NOT NULL AND {}",
        earlier.condition(),
        literal(source),
        literal(endpoint),
        between(since, until)
    );
    let answer = database.query(&sql)?;
    let mut ids = HashSet::new();
    for batch in &answer.batches {
        let column = batch.column(0).as_string_opt::<i32>();
        let column = column
            .into_iter()
            .flat_map(|column| column.iter().flatten());
        ids.extend(column.map(str::to_owned));
    }
    Ok(ids)
}

/// Returns how deep the searches of a pipeline went, in each run from the first snapshot time until
/// before the second.
///
/// # Errors
/// Fails if the lake cannot be read.
pub fn looks(
    database: &Database,
    earlier: &Earlier,
    (since, until): (DateTime<Utc>, DateTime<Utc>),
) -> Result<Vec<EarlierLook>, QueryError> {
    let sql = format!(
        "SELECT search_id, snapshot_at, max(page)::UINTEGER AS pages, any_value(stop) AS stop \
         FROM search_pages WHERE {} AND {} GROUP BY run_id, search_id, snapshot_at",
        earlier.condition(),
        between(since, until)
    );
    rows(database, &sql)
}

/// Returns what each run spent since the start of a day, according to the ledgers of these business
/// dates. Costs in another currency than `currency` do not count. Calls without a recorded currency
/// are of the version before, and count.
///
/// # Errors
/// Fails if the lake cannot be read.
pub fn spent_since(
    database: &Database,
    earlier: &Earlier,
    dates: &BTreeSet<NaiveDate>,
    (since, timezone): (NaiveDate, Tz),
    currency: Option<&str>,
) -> Result<Vec<SpentRow>, QueryError> {
    let dates: Vec<String> = dates.iter().map(|date| day_literal(*date)).collect();
    if dates.is_empty() {
        return Ok(Vec::new());
    }
    let counts = currency.map_or_else(
        || "true".to_owned(),
        |currency| format!("coalesce(currency = {}, true)", literal(currency)),
    );
    let sql = format!(
        "SELECT c.run_id, r.shard, c.date, c.endpoint, c.calls, c.cost, c.unknown FROM \
         (SELECT run_id, CAST(started_at AT TIME ZONE {} AS DATE) AS date, endpoint, \
         count(*) AS calls, coalesce(sum({cost}) FILTER (WHERE {counts}), 0) AS cost, \
         count(*) FILTER (WHERE billed = 'unknown' AND {counts}) AS unknown \
         FROM requests WHERE {} AND dt IN ({dates}) AND started_at >= {day} - INTERVAL 1 DAY \
         GROUP BY ALL) c \
         LEFT JOIN (SELECT run_id, any_value(shard) AS shard FROM runs WHERE dt IN ({dates}) \
         GROUP BY run_id) r USING (run_id) WHERE c.date >= {day}",
        literal(timezone.name()),
        earlier.condition(),
        cost = EXACT_COST,
        dates = dates.join(", "),
        day = day_literal(since)
    );
    rows(database, &sql)
}

/// Returns the notes that an endpoint found between two snapshot times, each with its latest
/// observation.
///
/// # Errors
/// Fails if the lake cannot be read.
pub fn found_notes(
    database: &Database,
    earlier: &Earlier,
    endpoint: &str,
    by: &str,
    (since, until): (DateTime<Utc>, DateTime<Utc>),
) -> Result<Vec<FoundNote>, QueryError> {
    let sql = format!(
        "SELECT note_id, arg_max({by}, snapshot_at) AS count, max(snapshot_at) AS seen_at \
         FROM engagement WHERE {} AND endpoint = {} AND {} GROUP BY note_id",
        earlier.condition(),
        literal(endpoint),
        between(since, until),
        by = identifier(by),
    );
    rows(database, &sql)
}

/// Returns the time of the last answer to each search at an endpoint. Answers that a note is gone
/// count.
///
/// # Errors
/// Fails if the lake cannot be read.
pub fn answered(
    database: &Database,
    earlier: &Earlier,
    (source, endpoint): (&str, &str),
) -> Result<Vec<AnsweredSearch>, QueryError> {
    let sql = format!(
        "SELECT search_id, max(snapshot_at) AS at, arg_max(class, snapshot_at) = 'gone' AS gone \
         FROM requests WHERE {} AND source = {} AND endpoint = {} AND class IN ('ok', 'gone') \
         GROUP BY search_id",
        earlier.condition(),
        literal(source),
        literal(endpoint)
    );
    rows(database, &sql)
}

/// Returns the average calls of searches in the last runs of a pipeline. Runs that failed or may
/// still be continued do not count.
///
/// # Errors
/// Fails if the lake cannot be read.
pub fn usual_calls(
    database: &Database,
    pipeline: &str,
    runs: u32,
) -> Result<Vec<UsualCalls>, QueryError> {
    let sql = format!(
        "WITH last AS (SELECT run_id FROM runs WHERE pipeline = {} \
         AND status IN ('complete', 'partial') ORDER BY started_at DESC LIMIT {runs}), \
         counted AS (SELECT run_id, search_id, endpoint, count(*) AS calls, \
         count(*) FILTER (WHERE billed <> 'no') AS billed, \
         avg(duration_ms) / 1000.0 AS seconds \
         FROM requests SEMI JOIN last USING (run_id) GROUP BY ALL) \
         SELECT search_id, endpoint, count(*) AS runs, avg(calls)::DOUBLE AS calls, \
         avg(billed)::DOUBLE AS billed, avg(seconds)::DOUBLE AS seconds_a_call \
         FROM counted GROUP BY ALL",
        literal(pipeline)
    );
    rows(database, &sql)
}

/// Returns the condition for snapshots from `since` until before `until`.
///
/// A row's folder has the date of its snapshot in the time zone of its pipeline. That is at most a
/// day away, so other folders are not opened.
fn between(since: DateTime<Utc>, until: DateTime<Utc>) -> String {
    let instant = |at: DateTime<Utc>| format!("TIMESTAMPTZ {}", literal(&at.to_rfc3339()));
    let day = |at: DateTime<Utc>| day_literal(at.date_naive());
    format!(
        "snapshot_at >= {} AND snapshot_at < {} AND dt BETWEEN {} - 1 AND {} + 1",
        instant(since),
        instant(until),
        day(since),
        day(until)
    )
}

pub(super) fn day_literal(date: NaiveDate) -> String {
    format!("DATE {}", literal(&date.to_string()))
}

/// Runs a query and deserializes its rows by column name.
pub(super) fn rows<T: DeserializeOwned>(
    database: &Database,
    sql: &str,
) -> Result<Vec<T>, QueryError> {
    let answer = database.query(sql)?;
    read(&answer.batches).map_err(|reason| QueryError::Rows { reason })
}

fn read<T: DeserializeOwned>(batches: &[RecordBatch]) -> Result<Vec<T>, String> {
    let builder = WriterBuilder::new().with_explicit_nulls(true);
    let mut writer = builder.build::<_, JsonArray>(Vec::new());
    let batches: Vec<&RecordBatch> = batches.iter().filter(|b| b.num_rows() > 0).collect();
    if batches.is_empty() {
        return Ok(Vec::new());
    }
    let written = writer
        .write_batches(&batches)
        .and_then(|()| writer.finish());
    written.map_err(|e| e.to_string())?;
    serde_json::from_slice(&writer.into_inner()).map_err(|e| e.to_string())
}
