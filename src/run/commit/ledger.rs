//! The ledger of a run: the tables `requests` (a row per call), `searches` (a row per search) and
//! `runs` (a row per run).

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use chrono::{DateTime, Utc};
use serde::Serialize;

use super::searches::SearchRecord;
use crate::extract::ledger::Call;
use crate::plan::Shard;
use crate::run::outcome::Status;
use crate::run_meta::RunMeta;
use crate::spec::class::CallClass;
use crate::spec::contracts::Contracts;
use crate::spec::source::Billed;
use crate::transform::common_columns::common_cells;
use crate::transform::quality::privacy::Redaction;
use crate::transform::tables::builder::{TableBuilder, push_record};
use crate::transform::tables::shape::Shape;

/// Names of the ledger tables.
pub const TABLES: [&str; 3] = ["requests", "runs", "searches"];

/// Returns true for a table of the ledger, false for one that is made from pages.
pub fn is_ledger(table: &str) -> bool {
    TABLES.contains(&table)
}

/// A row of the table `runs`. Its fields are the columns.
#[derive(Debug, Serialize)]
pub struct RunRecord<'a> {
    pub started_at: DateTime<Utc>,
    pub finished_at: DateTime<Utc>,
    pub status: Status,
    pub reason: Option<String>,
    pub plan_hash: &'a str,
    pub version: &'a str,
    pub shard: Option<Shard>,
    /// Name of the pipeline's time zone.
    pub timezone: &'a str,
    pub searches_planned: u64,
    pub searches_done: u64,
    pub requests: u64,
    pub billed_requests: u64,
    pub cost: Option<f64>,
    /// Currency of the cost, an ISO 4217 code.
    pub currency: Option<&'a str>,
    pub rejects: u64,
}

/// Rows of the ledger of a run.
pub struct LedgerRows<'a> {
    pub calls: &'a [Call],
    pub searches: &'a [SearchRecord<'a>],
    pub run: &'a RunRecord<'a>,
    /// The pipeline's main source.
    pub source: &'a str,
}

/// Returns the rows of the ledger as tables, by name.
///
/// # Errors
/// The contracts cannot hold the rows; see [`check`].
pub fn tables(
    contracts: &Contracts,
    redaction: Option<&Redaction>,
    meta: &RunMeta,
    rows: &LedgerRows<'_>,
) -> Result<BTreeMap<String, RecordBatch>, ArrowError> {
    let table = |name: &str| {
        let missing = || ArrowError::SchemaError(format!("the table {name} has no contract"));
        contracts
            .tables
            .get(name)
            .map(Shape::new)
            .ok_or_else(missing)
    };
    let rules = |name: &str| redaction.and_then(|redaction| redaction.of(name));
    let (requests, runs, searches) = (table("requests")?, table("runs")?, table("searches")?);
    let mut builder = TableBuilder::new(&requests);
    for call in rows.calls {
        let common = common_cells(meta, &call.source);
        push_record(&mut builder, &requests, rules("requests"), &common, call)?;
    }
    let requests = ("requests".to_owned(), builder.finish(&requests, meta)?);
    let mut builder = TableBuilder::new(&runs);
    push_record(
        &mut builder,
        &runs,
        rules("runs"),
        &common_cells(meta, rows.source),
        rows.run,
    )?;
    let runs = ("runs".to_owned(), builder.finish(&runs, meta)?);
    let mut builder = TableBuilder::new(&searches);
    for search in rows.searches {
        let common = common_cells(meta, search.source);
        push_record(&mut builder, &searches, rules("searches"), &common, search)?;
    }
    let searches = ("searches".to_owned(), builder.finish(&searches, meta)?);
    Ok(BTreeMap::from([requests, runs, searches]))
}

/// Checks that the contracts can hold the ledger. Builds the tables from a call, a search and
/// a run with every field set. Called before a run, so that no call is paid that cannot be recorded.
///
/// # Errors
/// A value that the contracts cannot hold.
pub fn check(contracts: &Contracts) -> Result<(), ArrowError> {
    let at = DateTime::<Utc>::UNIX_EPOCH;
    let meta = RunMeta::new("", "", at, chrono_tz::UTC, false);
    let call = Call {
        source: String::new(),
        request_id: String::new(),
        search_id: String::new(),
        endpoint: String::new(),
        keyword: Some(String::new()),
        note_id: Some(String::new()),
        page: 1,
        attempt: 1,
        started_at: at,
        duration_ms: 0,
        http_status: Some(200),
        code: Some(String::new()),
        class: CallClass::Ok,
        billed: Billed::Yes,
        cost: Some(0.5),
        currency: Some(String::new()),
        bytes: Some(0),
        item_count: Some(0),
        provider_request_id: Some(String::new()),
        error: Some(String::new()),
    };
    let run = RunRecord {
        started_at: at,
        finished_at: at,
        status: Status::Complete,
        reason: Some(String::new()),
        plan_hash: "",
        version: "",
        shard: Some(Shard { index: 1, count: 1 }),
        timezone: "",
        searches_planned: 0,
        searches_done: 0,
        requests: 0,
        billed_requests: 0,
        cost: Some(0.5),
        currency: Some(""),
        rejects: 0,
    };
    let search = SearchRecord::full();
    let rows = LedgerRows {
        calls: &[call],
        searches: &[search],
        run: &run,
        source: "",
    };
    tables(contracts, None, &meta, &rows).map(drop)
}
