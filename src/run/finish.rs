//! How a run ends, or is closed: its tables made, committed, and told of.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::RecordBatch;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::ledger::{self, RunRow};
use super::prior::Prior;
use super::report::{RunReport, Status};
use super::{RunError, flatten};
use crate::extract::journal::{Entry, Journal};
use crate::extract::{Cut, Extracted};
use crate::load::commit::{CommitKind, CommitRecord, RunRef, Staging};
use crate::load::{Lake, encode, table_path};
use crate::plan::{Plan, Search, Shard};
use crate::query::duckdb::write_catalog;
use crate::spec::source::Billed;
use crate::transform::{RunStamp, Tables, Transform, select};

/// A run under way, or one that is closed.
pub(super) struct Run<'a> {
    pub plan: &'a Plan,
    pub transform: &'a Transform,
    pub lake: Lake,
    pub stamp: RunStamp,
    pub plan_hash: String,
    /// The part of the pipeline that it is.
    pub shard: Option<Shard>,
    /// Where its pages lie.
    pub raw: Vec<PathBuf>,
    /// Whether it observes the sandbox's world.
    pub simulated: bool,
    pub journal: Arc<Journal>,
}

/// What extraction left for the other stages.
pub(super) struct Done {
    pub started_at: DateTime<Utc>,
    pub finished_at: DateTime<Utc>,
    pub searches: Vec<Search>,
    pub planned: usize,
    pub extracted: Extracted,
    /// What made going on impossible.
    pub broken: Option<RunError>,
    /// Whether the pages are made into tables.
    pub tables: bool,
    /// How it ended, if that is not told by what was extracted.
    pub closed_as: Option<Status>,
    /// Why it was closed, if it was.
    pub reason: Option<String>,
}

impl Run<'_> {
    /// The searches for the notes that were found, each once. What was chosen stays chosen, also
    /// when the run is continued.
    pub(super) fn follow_ups(
        &self,
        prior: &Prior<'_>,
        chosen: Option<Vec<Search>>,
    ) -> Result<Vec<Search>, RunError> {
        if let Some(chosen) = chosen {
            return Ok(chosen);
        }
        let tables = flatten(self.transform, &self.stamp, &self.raw)?;
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

    /// Transforms, commits, rebuilds the catalog. Whatever went wrong, the money is spent: the
    /// ledger is committed, then the error told.
    pub(super) fn finish(&self, mut done: Done) -> Result<RunReport, RunError> {
        let mut broken = done.broken.take();
        let mut tables = Tables::default();
        let mut has_tables = done.tables && broken.is_none();
        if has_tables {
            match flatten(self.transform, &self.stamp, &self.raw) {
                Ok(flattened) => tables = flattened,
                Err(error) => {
                    has_tables = false;
                    broken = Some(error);
                }
            }
        }
        let status = match (&broken, done.closed_as) {
            (Some(_), _) => Status::Failed,
            (None, Some(status)) => status,
            (None, None) => Status::of(&done.extracted),
        };
        let root = self.lake.root();
        let (searches, extracted) = (&done.searches, &done.extracted);
        let mut report = RunReport::new(self.plan, &self.stamp, root, status, searches, extracted);
        report.searches.planned = done.planned as u64;
        report.rejects = tables.rejects.len() as u64;
        report.drift = tables.drift.iter().map(|d| d.count).sum();
        report.drift_rows = tables.drift;
        report.reason = done.reason.clone().or_else(|| reason(&done.extracted));
        let raw = self.raw.iter().filter(|path| path.exists());
        report.raw = raw.cloned().collect();
        let closes = match status {
            Status::Complete | Status::Partial => broken.is_none(),
            // Without a page, or a call that may have been paid, nothing can be continued.
            Status::Stopped | Status::Failed | Status::Interrupted => {
                let paid = extracted.calls.iter().any(|c| c.billed != Billed::No);
                report.raw.is_empty() && !paid
            }
        };
        report.open = !closes;
        // A run that could not make its first call is on record, too.
        let recorded = !extracted.calls.is_empty() || extracted.cut.is_some();
        if recorded {
            let mut batches = tables.batches;
            batches.extend(self.ledger(&done, &report)?);
            match self.commit(&batches, has_tables, closes) {
                Ok(rows) => {
                    report.rows = rows;
                    let committed = Entry::Committed { tables: has_tables };
                    self.journal.append(&committed)?;
                }
                // What went wrong first says more.
                Err(error) => broken = broken.or(Some(error)),
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
            // The data is committed: a catalog that cannot be written must not look like a failed
            // run.
            report.catalog_error = write_catalog(root, &self.plan.contracts.tables).err();
        }
        broken.map_or(Ok(report), Err)
    }

    fn ledger(
        &self,
        done: &Done,
        report: &RunReport,
    ) -> Result<BTreeMap<String, RecordBatch>, RunError> {
        let run = RunRow {
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
        let calls = &done.extracted.calls;
        ledger::tables(contracts, &self.stamp, &self.plan.source, calls, &run)
            .map_err(RunError::Ledger)
    }

    /// Makes the tables visible, all or none; their rows. What the run committed before is
    /// replaced.
    fn commit(
        &self,
        batches: &BTreeMap<String, RecordBatch>,
        has_tables: bool,
        closes: bool,
    ) -> Result<BTreeMap<String, u64>, RunError> {
        let run_id = &self.stamp.run_id;
        let old = self.lake.files_of(run_id)?;
        let (kind, commit_id) = match old.is_empty() {
            true => (CommitKind::Run, run_id.clone()),
            false => (CommitKind::Replace, Uuid::now_v7().to_string()),
        };
        let mut staging = self.lake.stage(&commit_id)?;
        let added = stage(&mut staging, self.plan, &self.stamp, batches)?;
        let gone = old
            .into_iter()
            .filter(|file| has_tables && !added.contains(&file.path));
        let gone = gone.map(|file| file.path).collect();
        let run = RunRef {
            closes,
            ..run_ref(&self.stamp, self.simulated)
        };
        let record = staging.commit(kind, &run, gone)?;
        Ok(rows(&record))
    }
}

/// Why a run ended before all searches did.
fn reason(extracted: &Extracted) -> Option<String> {
    Some(match extracted.cut.as_ref()? {
        Cut::Budget(budget) => format!(
            "the budget {} of {} is used up: {} spent",
            budget.limit, budget.value, budget.spent
        ),
        Cut::Stopped { message, .. } | Cut::Aborted { message, .. } => message.clone(),
        Cut::Interrupted => "told to stop by a signal".to_owned(),
        Cut::Broken => "pages could not be kept".to_owned(),
    })
}

/// Writes the tables that have rows into the staging folder; their paths in the lake.
pub(super) fn stage(
    staging: &mut Staging,
    plan: &Plan,
    stamp: &RunStamp,
    batches: &BTreeMap<String, RecordBatch>,
) -> Result<BTreeSet<String>, RunError> {
    let mut paths = BTreeSet::new();
    for (name, batch) in batches.iter().filter(|(_, b)| b.num_rows() > 0) {
        let Some(table) = plan.contracts.tables.get(name) else {
            continue;
        };
        let path = table_path(name, stamp.snapshot_date, &stamp.run_id);
        staging.add(path.clone(), name, |out| {
            encode::write_parquet(batch, table, plan.compression, out)
        })?;
        paths.insert(path);
    }
    Ok(paths)
}

pub(super) fn rows(record: &CommitRecord) -> BTreeMap<String, u64> {
    let mut rows = BTreeMap::new();
    for file in &record.add {
        *rows.entry(file.table.clone()).or_default() += file.rows;
    }
    rows
}

pub(super) fn run_ref(stamp: &RunStamp, simulated: bool) -> RunRef<'_> {
    RunRef {
        run_id: &stamp.run_id,
        pipeline: &stamp.pipeline,
        snapshot_at: stamp.snapshot_at,
        simulated,
        closes: false,
    }
}
