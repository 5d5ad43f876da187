//! The end of a run, finished or closed: builds its tables, commits them and reports.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::RecordBatch;
use chrono::{DateTime, Utc};

use super::catalog;
use super::ledger::{self, RunRecord};
use super::marts::follow;
use super::prior::Prior;
use super::report::{DamagedPage, RunReport, Status};
use crate::extract::Extracted;
use crate::extract::context::Cut;
use crate::extract::error::with_causes;
use crate::extract::journal::{Entry, Journal};
use crate::load::{Lake, raw_source};
use crate::plan::{Plan, Search, Shard};
use crate::raw::page::{Change, RawError};
use crate::run::error::RunError;
use crate::run::flattening::{flatten, warn_of_raw};
use crate::spec::pipeline::{OnBadValue, OnUnknownField};
use crate::spec::source::Billed;
use crate::transform::contracts::Transform;
use crate::transform::stamp::RunStamp;
use crate::transform::tables::finish::Flattened;
use crate::transform::tables::select;
use crate::transform::tables::spill::Scratch;
use crate::transform::workers::{MEMORY, RawRead, WorkerInput};

/// A run in progress, or one that is being closed.
pub(crate) struct Run<'a> {
    pub plan: &'a Plan,
    pub transform: &'a Transform,
    pub lake: Lake,
    pub stamp: RunStamp,
    pub plan_hash: String,
    /// Request ids of an earlier process whose page cannot be read any more. Their searches have
    /// failed.
    pub lost: HashSet<String>,
    /// Shard of the pipeline that this run executes; `None` if the pipeline is not sharded.
    pub shard: Option<Shard>,
    /// Paths of its raw files.
    pub raw: Vec<PathBuf>,
    /// True if it runs against the sandbox.
    pub simulated: bool,
    pub journal: Arc<Journal>,
    /// Number of threads that build tables.
    pub threads: usize,
}

/// Result of the extraction, as input of the later stages.
pub(crate) struct Done {
    pub started_at: DateTime<Utc>,
    pub finished_at: DateTime<Utc>,
    pub searches: Vec<Search>,
    pub planned: usize,
    pub extracted: Extracted,
    /// Error that ended the extraction.
    pub broken: Option<RunError>,
    /// True if tables are built from the pages.
    pub tables: bool,
    /// Status of a run that is closed. `None` derives the status from `extracted`.
    pub closed_as: Option<Status>,
    /// Reason why the run was closed, if it was.
    pub reason: Option<String>,
}

impl Run<'_> {
    /// Returns the follow-up searches for the notes that were found, without duplicates. The choice
    /// is written to the journal, so a continued run passes it in `chosen` and keeps it.
    pub(crate) fn follow_ups(
        &self,
        prior: &Prior<'_>,
        chosen: Option<Vec<Search>>,
    ) -> Result<Vec<Search>, RunError> {
        if let Some(chosen) = chosen {
            return Ok(chosen);
        }
        let folder = self.lake.scratch()?;
        let scratch = Scratch::new(folder.path().to_owned());
        let (tables, _) = self.flatten(&["engagement"], &scratch)?;
        let tables = tables.collect()?;
        let engagement = tables.batches.get("engagement");
        let asked = self.plan.searches.iter().map(|s| s.search_id.clone());
        let mut asked: HashSet<String> = asked.collect();
        let mut searches: Vec<Search> = Vec::new();
        for follow_up in &self.plan.follow_ups {
            let (found_by, by) = (&follow_up.found_by, &follow_up.by);
            let found = engagement.map(|e| select::found_notes(e, found_by, by));
            let more = prior.choose(follow_up, found.unwrap_or_default(), &asked)?;
            asked.extend(more.iter().map(|s| s.search_id.clone()));
            searches.extend(more);
        }
        self.journal.append(&Entry::Chosen {
            searches: searches.clone(),
        })?;
        self.journal.sync()?;
        Ok(searches)
    }

    /// Transforms, commits, refreshes marts and catalog. Commits the ledger even after an error,
    /// because the calls may be billed; the error is returned after that.
    pub(crate) fn finish(&self, mut done: Done) -> Result<RunReport, RunError> {
        let mut broken = done.broken.take().or_else(|| self.missing_file(&done));
        let folder = self.lake.scratch()?;
        let scratch = Scratch::new(folder.path().to_owned());
        let mut flattened = None;
        let mut damaged = Vec::new();
        if done.tables && broken.is_none() {
            match self.flatten(&[], &scratch) {
                Ok((tables, read)) => {
                    warn_of_raw(&read);
                    damaged = damaged_pages(&done, &read);
                    flattened = Some(tables);
                }
                Err(error) => broken = Some(error),
            }
        }
        let (unknown, bad) = (self.plan.on_unknown_field, self.plan.on_bad_value);
        let refused = flattened
            .as_ref()
            .and_then(|flattened| refused(unknown, bad, flattened));
        let status = match (&broken, done.closed_as) {
            (Some(_), _) => Status::Failed,
            (None, Some(status)) => status,
            (None, None) if refused.is_some() && done.extracted.cut.is_none() => Status::Failed,
            (None, None) => Status::of(&done.extracted),
        };
        let status = if status == Status::Complete && !damaged.is_empty() {
            Status::Partial
        } else {
            status
        };
        let root = self.lake.root();
        let (searches, extracted) = (&done.searches, &done.extracted);
        let mut report = RunReport::new(self.plan, &self.stamp, root, status, searches, extracted);
        report.searches.planned = done.planned as u64;
        if let Some(flattened) = &flattened {
            report.rejects = flattened.rejects;
            report.drift = flattened.drift.iter().map(|d| d.count).sum();
            report.drift_rows = flattened.drift.clone();
        }
        let why = done.reason.clone().or_else(|| reason(&done.extracted));
        let left_out = left_out(&damaged, done.extracted.pages);
        let why: Vec<String> = why
            .into_iter()
            .chain(left_out)
            .chain(refused.clone())
            .collect();
        report.damaged_pages = damaged;
        report.reason = (!why.is_empty()).then(|| why.join("; "));
        let raw = self.raw.iter().filter(|path| path.exists());
        report.raw = raw.cloned().collect();
        let closes = match status {
            Status::Complete | Status::Partial => broken.is_none(),
            // All pages are fetched. Fix the contract, and `transform --raw` builds the tables.
            Status::Failed if refused.is_some() && broken.is_none() => true,
            // Without a page or a call that may be billed, there is nothing to continue.
            Status::Stopped | Status::Failed | Status::Interrupted => {
                let paid = extracted.calls.iter().any(|c| c.billed != Billed::No);
                report.raw.is_empty() && !paid
            }
        };
        report.open = !closes;
        let flattened = flattened.filter(|_| refused.is_none());
        let has_tables = flattened.is_some();
        report.refused = refused;
        // A run that was cut short before its first call is recorded, too.
        let recorded = !extracted.calls.is_empty() || extracted.cut.is_some();
        if recorded {
            match self.commit(flattened, &done, &mut report, closes) {
                Ok(()) => {
                    let tables = report.committed;
                    self.journal.append(&Entry::Committed { tables })?;
                }
                Err(error) => {
                    let alone = |report| self.commit(None, &done, report, false);
                    if has_tables && let Err(error) = alone(&mut report) {
                        tracing::error!("the ledger cannot be committed: {}", with_causes(&error));
                    }
                    // The first error is the more useful one.
                    broken = broken.or(Some(error));
                }
            }
        }
        if let Some(Cut::Budget(budget)) = &extracted.cut
            && budget.is_of_run()
        {
            self.journal.append(&Entry::BudgetSpent)?;
        }
        if closes && broken.is_none() {
            self.journal.append(&Entry::Closed)?;
        }
        if status != Status::Interrupted {
            // The data is committed, so a failure of marts or catalog does not fail the run.
            let marts = follow(self.plan, &self.lake);
            report.marts_error = marts.map(|error| with_causes(&error));
            report.catalog_error = catalog::write(&self.lake, &self.plan.contracts).err();
        }
        broken.map_or(Ok(report), Err)
    }

    /// Returns an error if all raw files of a source are gone although its pages were acknowledged.
    /// Pages in `lost` do not count.
    fn missing_file(&self, done: &Done) -> Option<RunError> {
        let pages = done.extracted.calls.iter().filter(|call| call.is_page());
        let sources: BTreeSet<&str> = pages
            .filter(|call| !self.lost.contains(&call.request_id))
            .map(|call| call.source.as_str())
            .collect();
        let is_of = |path: &PathBuf, source: &str| raw_source(path).as_deref() == Some(source);
        let missing = sources.into_iter().find_map(|source| {
            let mut files = self
                .raw
                .iter()
                .filter(|path| is_of(path, source))
                .peekable();
            let first = files.peek().map(|path| (*path).clone())?;
            files.all(|path| !path.exists()).then_some(first)
        })?;
        Some(RunError::Raw(RawError::Changed {
            path: missing,
            change: Change::Removed,
        }))
    }

    pub(crate) fn ledger(
        &self,
        done: &Done,
        report: &RunReport,
    ) -> Result<BTreeMap<String, RecordBatch>, RunError> {
        let run = RunRecord {
            started_at: done.started_at,
            finished_at: done.finished_at,
            status: report.status,
            reason: report.reason.clone(),
            plan_hash: &self.plan_hash,
            version: env!("CARGO_PKG_VERSION"),
            shard: self.shard,
            searches_planned: report.searches.planned,
            searches_done: report.searches.done,
            requests: report.requests.sent,
            billed_requests: report.requests.billed,
            cost: report.cost,
            rejects: report.rejects,
        };
        let contracts = &self.plan.contracts;
        let redaction = Some(self.transform.redaction());
        let (stamp, source) = (&self.stamp, &self.plan.source);
        let calls = &done.extracted.calls;
        ledger::tables(contracts, redaction, stamp, source, calls, &run).map_err(RunError::Ledger)
    }

    fn flatten<'s>(
        &'s self,
        only: &[&str],
        scratch: &'s Scratch,
    ) -> Result<(Flattened<'s>, RawRead), RunError> {
        let work = WorkerInput {
            threads: self.threads,
            scratch,
            memory: MEMORY,
        };
        flatten(self.transform, &self.stamp, self.raw.clone(), only, work)
    }
}

/// Returns the pages that were paid and acknowledged, but are not readable in the raw files.
fn damaged_pages(done: &Done, read: &RawRead) -> Vec<DamagedPage> {
    let pages = done.extracted.calls.iter().filter(|call| call.is_page());
    let missing = pages.filter(|call| !read.accepted.contains(&call.request_id));
    let named = missing.map(|call| {
        let mut searches = done.searches.iter();
        let search = searches.find(|search| search.search_id == call.search_id);
        DamagedPage {
            search: search.map_or_else(|| call.search_id.clone(), Search::to_string),
            page: call.page,
            request_id: call.request_id.clone(),
        }
    });
    named.collect()
}

fn left_out(damaged: &[DamagedPage], pages: u64) -> Option<String> {
    match damaged.len() {
        0 => None,
        1 => Some(format!("1 of {pages} pages is damaged and left out")),
        n => Some(format!("{n} of {pages} pages are damaged and left out")),
    }
}

/// Returns the reason why a run was cut short. `None` if all searches ended.
fn reason(extracted: &Extracted) -> Option<String> {
    Some(match extracted.cut.as_ref()? {
        Cut::Budget(budget) => format!(
            "the budget {} of {} is used up: {} spent",
            budget.limit, budget.value, budget.spent
        ),
        Cut::Stopped { message, .. } | Cut::Aborted { message, .. } => message.clone(),
        Cut::Interrupted => "stopped by a signal".to_owned(),
        Cut::Broken => "pages could not be stored".to_owned(),
    })
}

/// Returns the reason why a `fail` rule of the pipeline refuses these tables. `None` if none does.
/// A bad value takes precedence over an unknown field.
pub(crate) fn refused(
    on_unknown_field: OnUnknownField,
    on_bad_value: OnBadValue,
    flattened: &Flattened<'_>,
) -> Option<String> {
    let unknown = (on_unknown_field == OnUnknownField::Fail)
        .then(|| flattened.unknown_field())
        .flatten()
        .map(|field| {
            format!(
                "{} sends {} ({}), which the contract does not declare (on_unknown_field: fail)",
                field.endpoint, field.path, field.json_type
            )
        });
    let bad = (on_bad_value == OnBadValue::Fail)
        .then_some(flattened.first_bad.as_ref())
        .flatten()
        .map(|reject| format!("{reject} (on_bad_value: fail)"));
    bad.or(unknown)
}
