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
use crate::extract::Extracted;
use crate::extract::journal::{Entry, Journal};
use crate::load::commit::{CommitKind, CommitRecord, RunRef, Staging};
use crate::load::{Lake, encode, table_path};
use crate::plan::{Plan, Search};
use crate::query::duckdb::write_catalog;
use crate::transform::{RunStamp, Tables, Transform, select};

/// A run under way, or one that is closed.
pub(super) struct Run<'a> {
    pub plan: &'a Plan,
    pub transform: &'a Transform,
    pub lake: Lake,
    pub stamp: RunStamp,
    pub plan_hash: String,
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
        let raw = self.raw.iter().filter(|path| path.exists());
        report.raw = raw.cloned().collect();
        // A run without a page has nothing that could be continued.
        let closes = match status {
            Status::Complete | Status::Partial => true,
            Status::Stopped | Status::Failed | Status::Interrupted => report.pages == 0,
        };
        report.open = !closes;
        if !extracted.calls.is_empty() {
            let mut batches = tables.batches;
            batches.extend(self.ledger(&done, &report)?);
            report.rows = self.commit(&batches, has_tables, closes)?;
            self.journal
                .append(&Entry::Committed { tables: has_tables })?;
        }
        if closes {
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
            plan_hash: &self.plan_hash,
            version: env!("CARGO_PKG_VERSION"),
            shard: self.plan.shard,
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
