//! The report of a run, as `run --format json` prints it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::commit::checks::Checks;
use super::outcome::{
    DamagedPage, FailedSearch, Left, OwnCalls, RunOutcome, SearchCounts, StageSeconds, Status,
};
use crate::extract::ledger::Totals;
use crate::extract::pager::StopReason;
use crate::load::held::CheckResult;
use crate::plan::Plan;
use crate::transform::quality::tally::Tallies;

/// The report of a run. Its fields are the keys of the printed JSON.
#[derive(Debug, Serialize)]
pub struct RunReport<'o> {
    pub run_id: &'o str,
    pub pipeline: &'o str,
    pub snapshot_at: DateTime<Utc>,
    pub status: Status,
    pub searches: SearchCounts,
    pub requests: Totals,
    /// Calls of this process. Left out unless it continued a run that had made calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub this_call: Option<OwnCalls>,
    /// Sum of the known charges. Null if no called endpoint has a price.
    pub cost: Option<f64>,
    pub currency: Option<String>,
    pub pages: u64,
    pub items: u64,
    pub rows: &'o BTreeMap<String, u64>,
    pub rejects: u64,
    /// Number of values that are not in the contract.
    pub drift: u64,
    pub stops: BTreeMap<StopReason, u64>,
    pub checks: Checks,
    /// Checks that did not pass, with the failing rows.
    pub check_results: Vec<CheckResult>,
    /// Remarks on checks that passed.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub check_remarks: &'o [String],
    /// True if its tables wait for `publish` or `discard`.
    pub held: bool,
    pub lake: &'o PathBuf,
    pub seconds: f64,
    /// Durations of its stages, in seconds.
    pub stages: StageSeconds,
    /// Reasons for an early end, for damaged pages and for refused or held tables. Null without
    /// any.
    pub reason: Option<String>,
    /// True if it continued a run that had been cut short.
    pub continued: bool,
    /// True if its logical time had a run with nothing left to do, so no call was made.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub repeated: bool,
    /// Remaining work of a run that was cut short.
    pub left: Left,
    /// Counts of written, rejected and skipped items, by table.
    pub tally: &'o Tallies,
    pub failures: Vec<FailedSearch>,
    /// Pages that were paid and are no longer readable in the raw files. Their rows are missing.
    #[serde(skip_serializing_if = "<[DamagedPage]>::is_empty")]
    pub damaged_pages: &'o [DamagedPage],
    /// Called endpoints without a price.
    pub unpriced: BTreeSet<String>,
    /// Number of raw files that the pipeline's retention removed.
    #[serde(skip_serializing_if = "is_zero")]
    pub raw_removed: u64,
    /// Error of the marts refresh, if it failed. The next commit retries it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub marts_error: Option<&'o str>,
}

impl<'o> RunReport<'o> {
    pub fn new(outcome: &'o RunOutcome, plan: &'o Plan) -> Self {
        let extracted = &outcome.extraction.extracted;
        let charges = outcome.charges(plan);
        RunReport {
            run_id: &outcome.meta.run_id,
            pipeline: &outcome.meta.pipeline,
            snapshot_at: outcome.meta.snapshot_at,
            status: outcome.status,
            searches: outcome.searches(),
            requests: outcome.totals(),
            this_call: outcome.own_calls(plan),
            cost: charges.cost,
            currency: charges.currency.or_else(|| plan.price.currency.clone()),
            pages: extracted.pages,
            items: extracted.items,
            rows: &outcome.rows,
            rejects: outcome.rejects,
            drift: outcome.drift.iter().map(|d| d.count).sum(),
            stops: outcome.stops(),
            checks: outcome.audit.counts(),
            check_results: outcome.audit.not_passed(),
            check_remarks: &outcome.audit.remarks,
            held: outcome.is_held,
            lake: &outcome.lake,
            seconds: outcome.seconds,
            stages: outcome.stages,
            reason: outcome.reason(),
            continued: outcome.is_continued,
            repeated: outcome.is_repeated,
            left: outcome.left(plan),
            tally: &outcome.tally,
            failures: outcome.failures(),
            damaged_pages: &outcome.damaged_pages,
            unpriced: charges.unpriced,
            raw_removed: outcome.raw_removed,
            marts_error: outcome.marts_error.as_deref(),
        }
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}
