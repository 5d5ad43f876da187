//! The report of a run, for people and for programs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::checks::{Audit, Checks};
use crate::extract::Extracted;
use crate::extract::context::Cut;
use crate::extract::ledger::Totals;
use crate::extract::pager::StopReason;
use crate::load::held::CheckResult;
use crate::plan::{Plan, Search};
use crate::run::error::RunError;
use crate::transform::quality::drift::DriftRow;
use crate::transform::quality::tally::Tallies;
use crate::transform::stamp::RunStamp;

/// The result of a run, as `run --format json` prints it.
#[derive(Debug, Serialize)]
pub struct RunReport {
    pub run_id: String,
    pub pipeline: String,
    pub snapshot_at: DateTime<Utc>,
    pub status: Status,
    pub searches: Searches,
    pub requests: Totals,
    /// Sum of the known charges. Null if no called endpoint has a price.
    pub cost: Option<f64>,
    pub currency: Option<String>,
    pub pages: u64,
    pub items: u64,
    pub rows: BTreeMap<String, u64>,
    pub rejects: u64,
    /// Number of values that are not in the contract.
    pub drift: u64,
    pub stops: BTreeMap<StopReason, u64>,
    pub checks: Checks,
    /// Checks that did not pass, with the failing rows.
    pub check_results: Vec<CheckResult>,
    /// Remarks on checks that passed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub check_remarks: Vec<String>,
    /// True if its tables wait for `publish` or `discard`.
    pub held: bool,
    pub lake: PathBuf,
    pub seconds: f64,
    /// Reasons for an early end, for damaged pages and for refused or held tables. Null without
    /// any.
    pub reason: Option<String>,
    /// True if it continued a run that had been cut short.
    pub continued: bool,
    /// Remaining work of a run that was cut short.
    pub left: Left,
    /// True if the next run can continue it.
    #[serde(skip)]
    pub open: bool,
    /// Reason why the run was cut short, if it was.
    #[serde(skip)]
    pub cut: Option<Cut>,
    /// Reason why a `fail` rule of the pipeline refused the tables, if one did.
    #[serde(skip)]
    pub refused: Option<String>,
    /// Reason why the tables were not committed: failed data checks or damaged pages.
    #[serde(skip)]
    pub blocked: Option<String>,
    /// True if tables of its pages were committed.
    #[serde(skip)]
    pub committed: bool,
    /// Counts of written, rejected and skipped items, by table.
    pub tally: Tallies,
    pub failures: Vec<FailedSearch>,
    /// Pages that were paid and are no longer readable in the raw files. Their rows are missing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub damaged_pages: Vec<DamagedPage>,
    #[serde(skip)]
    pub drift_rows: Vec<DriftRow>,
    /// Called endpoints without a price.
    pub unpriced: BTreeSet<String>,
    /// The run's files in the raw zone.
    #[serde(skip)]
    pub raw: Vec<PathBuf>,
    /// Number of raw files that the pipeline's retention removed.
    #[serde(skip_serializing_if = "is_zero")]
    pub raw_removed: u64,
    /// Error of the marts refresh, if it failed. The next commit retries it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub marts_error: Option<String>,
    /// Error of writing `lake.duckdb`, if it failed. The data is committed.
    #[serde(skip)]
    pub catalog_error: Option<RunError>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Complete,
    /// Some searches failed or pages are damaged, or the run was closed. The rest is committed.
    Partial,
    /// A budget, the quota or the balance is used up. The fetched pages are committed.
    Stopped,
    /// No further call could have succeeded, or the tables could not be committed.
    Failed,
    Interrupted,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Searches {
    pub planned: u64,
    pub done: u64,
    pub failed: u64,
}

/// A search that failed, and the reason.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FailedSearch {
    pub search: String,
    pub reason: String,
}

/// A page that was paid and cannot be read from the raw zone.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DamagedPage {
    pub search: String,
    pub page: u32,
    pub request_id: String,
}

/// Remaining work of a run that was cut short. `pages` and `cost` are upper bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Left {
    pub searches: u64,
    pub pages: u64,
    /// Null if an endpoint has no price.
    pub cost: Option<f64>,
}

impl Status {
    pub(crate) fn of(extracted: &Extracted) -> Self {
        match &extracted.cut {
            Some(Cut::Aborted { .. } | Cut::Broken) => Status::Failed,
            Some(Cut::Stopped { .. } | Cut::Budget(_)) => Status::Stopped,
            Some(Cut::Interrupted) => Status::Interrupted,
            None if extracted.ended.iter().any(|e| e.stop == StopReason::Failed) => Status::Partial,
            None => Status::Complete,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Status::Complete => "complete",
            Status::Partial => "partial",
            Status::Stopped => "stopped",
            Status::Failed => "failed",
            Status::Interrupted => "interrupted",
        }
    }
}

impl RunReport {
    pub(crate) fn new(
        plan: &Plan,
        stamp: &RunStamp,
        lake: &Path,
        status: Status,
        searches: &[Search],
        extracted: &Extracted,
    ) -> Self {
        let failed = extracted
            .ended
            .iter()
            .filter(|e| e.stop == StopReason::Failed);
        let failures: Vec<FailedSearch> = failed
            .map(|end| {
                let search = searches.iter().find(|s| s.search_id == end.search_id);
                let name = search.map_or_else(|| end.search_id.clone(), Search::to_string);
                FailedSearch {
                    search: name,
                    reason: end.error.clone().unwrap_or_default(),
                }
            })
            .collect();
        let totals = Totals::of(&extracted.calls);
        let called: BTreeSet<&String> = extracted.calls.iter().map(|c| &c.endpoint).collect();
        let (priced, unpriced): (BTreeSet<&String>, BTreeSet<&String>) =
            called.into_iter().partition(|e| plan.price.of(e).is_some());
        let free = extracted.calls.is_empty() && !plan.price.per_call.is_empty();
        let cost = (free || !priced.is_empty()).then_some(totals.cost);
        let unpriced = unpriced.into_iter().cloned().collect();
        RunReport {
            run_id: stamp.run_id.clone(),
            pipeline: plan.pipeline.clone(),
            snapshot_at: stamp.snapshot_at,
            status,
            searches: Searches {
                planned: searches.len() as u64,
                done: extracted.ended.len() as u64 - failures.len() as u64,
                failed: failures.len() as u64,
            },
            requests: totals,
            cost: cost.map(|c| (c * 1e6).round() / 1e6),
            currency: plan.price.currency.clone(),
            pages: extracted.pages,
            items: extracted.items,
            rows: BTreeMap::new(),
            rejects: 0,
            drift: 0,
            stops: stops(extracted),
            checks: Checks::default(),
            check_results: Vec::new(),
            check_remarks: Vec::new(),
            held: false,
            lake: lake.to_owned(),
            seconds: 0.0,
            reason: None,
            continued: false,
            left: left(plan, extracted),
            open: false,
            cut: extracted.cut.clone(),
            refused: None,
            blocked: None,
            committed: false,
            tally: Tallies::new(),
            failures,
            damaged_pages: Vec::new(),
            drift_rows: Vec::new(),
            unpriced,
            raw: Vec::new(),
            raw_removed: 0,
            marts_error: None,
            catalog_error: None,
        }
    }
}

impl RunReport {
    /// Adds the results of the data checks.
    pub(crate) fn add(&mut self, audit: &Audit) {
        self.checks = audit.counts();
        self.check_results = audit.not_passed();
        self.check_remarks.clone_from(&audit.remarks);
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Returns the remaining work. Follow-ups that have not begun count with their maximum number of
/// notes.
fn left(plan: &Plan, extracted: &Extracted) -> Left {
    if extracted.cut.is_none() {
        return Left::default();
    }
    let price = |endpoint: &str, pages: u64| plan.price.of(endpoint).map(|p| p * pages as f64);
    let searches = extracted.left.iter();
    let mut left = Left {
        searches: extracted.left.len() as u64,
        pages: searches.clone().map(|(_, pages)| pages).sum(),
        cost: searches.map(|(e, pages)| price(e, *pages)).sum(),
    };
    let asked: BTreeSet<&String> = extracted.calls.iter().map(|c| &c.endpoint).collect();
    let begun = |endpoint: &String| {
        asked.contains(endpoint) || extracted.left.iter().any(|(e, _)| e == endpoint)
    };
    for follow_up in plan.follow_ups.iter().filter(|f| !begun(&f.endpoint)) {
        let top = u64::from(follow_up.top);
        let cost = price(&follow_up.endpoint, top);
        left.searches += top;
        left.pages += top;
        left.cost = left.cost.zip(cost).map(|(a, b)| a + b);
    }
    left.cost = left.cost.map(|cost| (cost * 1e6).round() / 1e6);
    left
}

/// Returns the number of searches by stop reason, without failed ones.
fn stops(extracted: &Extracted) -> BTreeMap<StopReason, u64> {
    let mut stops = BTreeMap::new();
    for end in extracted
        .ended
        .iter()
        .filter(|e| e.stop != StopReason::Failed)
    {
        *stops.entry(end.stop).or_default() += 1;
    }
    stops
}
