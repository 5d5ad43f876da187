//! Outcome of a run: the state behind its commit, its report and its exit code.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::commit::checks::Audit;
use crate::clock;
use crate::extract::Extracted;
use crate::extract::context::{Cut, SearchEnd};
use crate::extract::ledger::{Call, Totals, charged};
use crate::extract::pager::StopReason;
use crate::load::Lake;
use crate::plan::{Money, Plan, Search};
use crate::run::error::RunError;
use crate::run_meta::RunMeta;
use crate::transform::quality::drift::DriftRow;
use crate::transform::quality::tally::Tallies;

/// Result of the extraction: calls, pages and searches.
#[derive(Debug)]
pub(crate) struct Extraction {
    pub started_at: DateTime<Utc>,
    pub finished_at: DateTime<Utc>,
    /// The searches of the plan, then their follow-ups.
    pub searches: Vec<Search>,
    /// Number of searches that the run was to make.
    pub planned: u64,
    pub extracted: Extracted,
    /// Number of `extracted.calls` that earlier processes made: the first ones.
    pub earlier_calls: usize,
}

/// Result of a run.
#[derive(Debug)]
pub struct RunOutcome {
    pub meta: RunMeta,
    pub lake: PathBuf,
    pub status: Status,
    /// Reasons for an early end, for damaged pages, and for refused or held tables.
    pub reasons: Vec<String>,
    pub(crate) extraction: Extraction,
    /// Reason why a `fail` rule of the pipeline refused the tables, if one did.
    pub refused: Option<String>,
    /// Reason why the tables were not committed: failed data checks or damaged pages.
    pub blocked: Option<String>,
    /// True if its tables wait for `publish` or `discard`.
    pub is_held: bool,
    /// True if the next run can continue it.
    pub is_open: bool,
    /// True if it continued a run that had been cut short.
    pub is_continued: bool,
    /// True if the logical time had a run with nothing left to do, so no call was made.
    pub is_repeated: bool,
    /// True if tables of its pages were committed.
    pub has_committed_tables: bool,
    /// Number of committed rows, by table.
    pub rows: BTreeMap<String, u64>,
    pub rejects: u64,
    pub drift: Vec<DriftRow>,
    /// Counts of written, rejected and skipped items, by table.
    pub tally: Tallies,
    pub audit: Audit,
    /// Pages that were paid and are no longer readable in the raw files. Their rows are missing.
    pub damaged_pages: Vec<DamagedPage>,
    /// The run's files in the raw zone, when the run ended.
    pub raw: Vec<PathBuf>,
    /// Number of raw files that the pipeline's retention removed.
    pub raw_removed: u64,
    /// Error of the marts refresh, if it failed. The next commit retries it.
    pub marts_error: Option<String>,
    /// Error of writing `lake.duckdb`, if it failed. The data is committed.
    pub catalog_error: Option<RunError>,
    /// Duration of the run, in seconds.
    pub seconds: f64,
    pub stages: StageSeconds,
}

/// Durations of the stages of a run, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct StageSeconds {
    /// Opening the lake, and closing or reading runs that were cut short.
    pub prepare: f64,
    /// Calls, with the choice of follow-up notes.
    pub extract: f64,
    /// Pages to table files.
    pub transform: f64,
    pub checks: f64,
    pub commit: f64,
    /// Marts and the catalog.
    pub marts: f64,
}

impl StageSeconds {
    /// Returns each stage with its name, in order.
    pub fn each(&self) -> [(&'static str, f64); 6] {
        [
            ("prepare", self.prepare),
            ("extract", self.extract),
            ("transform", self.transform),
            ("checks", self.checks),
            ("commit", self.commit),
            ("marts", self.marts),
        ]
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Complete,
    /// Some searches failed or pages are damaged, or the run was closed. The rest is committed.
    Partial,
    /// A budget, the quota or the balance is used up. The fetched pages are committed.
    Stopped,
    /// No search delivered, no further call could have succeeded, or the tables could not be
    /// committed.
    Failed,
    Interrupted,
}

/// The one reason that decides the exit code of a run.
#[derive(Debug)]
pub enum RunEnd<'o> {
    /// Every search was done, and the tables are committed.
    Complete,
    /// Some searches failed, or pages are damaged.
    Partial,
    /// All searches failed, and none has a page.
    Undelivered,
    /// The run ended before all of its searches did.
    Cut(&'o Cut),
    /// A `fail` rule of the pipeline refused the tables.
    Refused(&'o str),
    /// Data checks failed, or damaged pages would replace committed rows.
    Blocked(&'o str),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct SearchCounts {
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

/// Calls of the process that continued a run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct OwnCalls {
    #[serde(flatten)]
    pub requests: Totals,
    /// Sum of the known charges. Null without a price.
    pub cost: Option<f64>,
}

/// Cost of the calls of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Charges {
    /// Sum of the known charges. `None` if no called endpoint has a price, or if the calls were
    /// charged in several currencies.
    pub cost: Option<f64>,
    /// Currency of the cost.
    pub currency: Option<String>,
    /// Called endpoints without a price.
    pub unpriced: BTreeSet<String>,
}

/// Remaining work of a run that was cut short. `pages` and `cost` are upper bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Left {
    pub searches: u64,
    pub pages: u64,
    /// Null if an endpoint has no price.
    pub cost: Option<f64>,
}

/// Returns the currency that the calls were charged in: that of the plan for calls without one.
/// `None` if there are several, or none.
fn currency_of<'c>(calls: &'c [Call], plan: &'c Plan) -> Option<&'c str> {
    let own = plan.price.currency.as_deref();
    let mut all: BTreeSet<&str> = calls.iter().filter_map(|c| c.currency.as_deref()).collect();
    if all.is_empty() {
        all.extend(own);
    }
    all.pop_first().filter(|_| all.is_empty())
}

impl Status {
    pub(crate) fn of(extracted: &Extracted) -> Self {
        match &extracted.cut {
            Some(Cut::Aborted { .. } | Cut::Broken) => Status::Failed,
            Some(Cut::Stopped { .. } | Cut::Budget(_)) => Status::Stopped,
            Some(Cut::Interrupted) => Status::Interrupted,
            None => {
                let has_failed = |end: &SearchEnd| end.stop == StopReason::Failed;
                if !extracted.ended.iter().any(has_failed) {
                    Status::Complete
                } else if extracted.pages == 0 && extracted.ended.iter().all(has_failed) {
                    Status::Failed
                } else {
                    Status::Partial
                }
            }
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

impl RunOutcome {
    pub(crate) fn new(meta: RunMeta, lake: PathBuf, extraction: Extraction) -> Self {
        RunOutcome {
            meta,
            lake,
            status: Status::of(&extraction.extracted),
            reasons: Vec::new(),
            extraction,
            refused: None,
            blocked: None,
            is_held: false,
            is_open: false,
            is_continued: false,
            is_repeated: false,
            has_committed_tables: false,
            rows: BTreeMap::new(),
            rejects: 0,
            drift: Vec::new(),
            tally: Tallies::new(),
            audit: Audit::default(),
            damaged_pages: Vec::new(),
            raw: Vec::new(),
            raw_removed: 0,
            marts_error: None,
            catalog_error: None,
            seconds: 0.0,
            stages: StageSeconds::default(),
        }
    }

    /// Returns the outcome of a call for a logical time whose run has nothing left to do.
    pub(crate) fn done(meta: RunMeta, plan: &Plan, lake: &Lake, is_held: bool) -> Self {
        let now = clock::now();
        let extraction = Extraction {
            started_at: now,
            finished_at: now,
            searches: plan.searches.clone(),
            planned: plan.searches.len() as u64,
            extracted: Extracted::default(),
            earlier_calls: 0,
        };
        let run_id = meta.run_id.clone();
        let mut outcome = RunOutcome::new(meta, lake.root().to_owned(), extraction);
        outcome.is_repeated = true;
        if is_held {
            let reason = format!("the tables of the run {run_id} are held; no call was made");
            outcome.status = Status::Failed;
            outcome.is_held = true;
            outcome.blocked = Some(reason.clone());
            outcome.reasons.push(reason);
        } else {
            let reason = format!("the run {run_id} is complete; no call was made");
            outcome.reasons.push(reason);
        }
        outcome
    }

    /// Returns what decides the exit code. A run that was cut short takes precedence over its
    /// tables: the next run builds them again.
    pub fn end(&self) -> RunEnd<'_> {
        if let Some(cut) = &self.extraction.extracted.cut {
            RunEnd::Cut(cut)
        } else if let Some(reason) = &self.refused {
            RunEnd::Refused(reason)
        } else if let Some(reason) = &self.blocked {
            RunEnd::Blocked(reason)
        } else {
            match self.status {
                Status::Complete => RunEnd::Complete,
                Status::Partial => RunEnd::Partial,
                Status::Failed => RunEnd::Undelivered,
                Status::Stopped | Status::Interrupted => {
                    unreachable!("a run is {:?} only if it was cut short", self.status)
                }
            }
        }
    }

    /// Returns all reasons in one line. `None` without any.
    pub fn reason(&self) -> Option<String> {
        (!self.reasons.is_empty()).then(|| self.reasons.join("; "))
    }

    pub(crate) fn totals(&self) -> Totals {
        Totals::of(&self.extraction.extracted.calls)
    }

    /// Returns the calls that this process made. `None` if it made all of them.
    pub(crate) fn own_calls(&self, plan: &Plan) -> Option<OwnCalls> {
        let calls = &self.extraction.extracted.calls;
        let own = calls.get(self.extraction.earlier_calls..)?;
        let currency = plan.price.currency.as_deref();
        let has_price = !plan.price.per_call.is_empty();
        (own.len() < calls.len()).then(|| OwnCalls {
            requests: Totals::of(own),
            cost: has_price.then(|| charged(own, currency).amount()),
        })
    }

    pub(crate) fn searches(&self) -> SearchCounts {
        let ended = &self.extraction.extracted.ended;
        let failed = ended.iter().filter(|e| e.stop == StopReason::Failed);
        let failed = failed.count() as u64;
        SearchCounts {
            planned: self.extraction.planned,
            done: ended.len() as u64 - failed,
            failed,
        }
    }

    pub(crate) fn failures(&self) -> Vec<FailedSearch> {
        let Extraction {
            searches,
            extracted,
            ..
        } = &self.extraction;
        let ended = extracted.ended.iter();
        let failed = ended.filter(|e| e.stop == StopReason::Failed);
        failed
            .map(|end| FailedSearch {
                search: name_of(searches, &end.search_id),
                reason: end.error.clone().unwrap_or_default(),
            })
            .collect()
    }

    /// Returns the number of searches by stop reason, without failed ones.
    pub(crate) fn stops(&self) -> BTreeMap<StopReason, u64> {
        let mut stops = BTreeMap::new();
        let ended = self.extraction.extracted.ended.iter();
        for end in ended.filter(|e| e.stop != StopReason::Failed) {
            *stops.entry(end.stop).or_default() += 1;
        }
        stops
    }

    pub(crate) fn charges(&self, plan: &Plan) -> Charges {
        let calls = &self.extraction.extracted.calls;
        let called: BTreeSet<&String> = calls.iter().map(|c| &c.endpoint).collect();
        let (priced, unpriced): (BTreeSet<&String>, BTreeSet<&String>) =
            called.into_iter().partition(|e| plan.price.of(e).is_some());
        let is_free = calls.is_empty() && !plan.price.per_call.is_empty();
        let has_price = is_free || !priced.is_empty();
        let currency = currency_of(calls, plan);
        Charges {
            cost: currency
                .filter(|_| has_price)
                .map(|currency| charged(calls, Some(currency)).amount()),
            currency: currency.filter(|_| has_price).map(str::to_owned),
            unpriced: unpriced.into_iter().cloned().collect(),
        }
    }

    /// Returns the remaining work. Follow-ups that have not begun count with their maximum number
    /// of notes.
    pub(crate) fn left(&self, plan: &Plan) -> Left {
        let extracted = &self.extraction.extracted;
        if extracted.cut.is_none() {
            return Left::default();
        }
        let searches = extracted.left.iter();
        let price = |(endpoint, pages): &(String, u64)| plan.price.of_calls(endpoint, *pages);
        let mut cost = searches
            .clone()
            .map(price)
            .try_fold(Money::default(), |sum, cost| Some(sum.plus(cost?)));
        let mut left = Left {
            searches: extracted.left.len() as u64,
            pages: searches.clone().map(|(_, pages)| pages).sum(),
            cost: None,
        };
        let asked: BTreeSet<&String> = extracted.calls.iter().map(|c| &c.endpoint).collect();
        let begun = |endpoint: &String| {
            asked.contains(endpoint) || extracted.left.iter().any(|(e, _)| e == endpoint)
        };
        for follow_up in plan.follow_ups.iter().filter(|f| !begun(&f.endpoint)) {
            let top = u64::from(follow_up.top);
            let more = plan.price.of_calls(&follow_up.endpoint, top);
            left.searches += top;
            left.pages += top;
            cost = cost.zip(more).map(|(a, b)| a.plus(b));
        }
        left.cost = cost.map(Money::amount);
        left
    }
}

/// Returns the name of a search for people: its id if the plan does not have it any more.
pub(crate) fn name_of(searches: &[Search], search_id: &str) -> String {
    let search = searches.iter().find(|s| s.search_id == search_id);
    search.map_or_else(|| search_id.to_owned(), Search::to_string)
}
