//! A logical time is one run. Finds the run of the same pipeline, shard and `--snapshot-at`, and
//! decides what a repeated call makes of it.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use super::catalog;
use super::commit::has_committed_rows;
use super::outcome::Status;
use super::resume::OpenRun;
use crate::clock;
use crate::load::Lake;
use crate::load::locks::PipelineLock;
use crate::load::record::CommitRecord;
use crate::plan::Plan;
use crate::query::history::{self, RunAt};
use crate::run::error::RunError;
use crate::run::options::{Resume, RunOptions};

/// Decision about a call whose logical time may have runs already.
pub(crate) enum LogicalTime {
    /// A new run. The rows of these runs of the same logical time are replaced.
    New { replaces: Vec<String> },
    /// The run is continued: it asks only for what failed or is missing.
    Continue(Box<OpenRun>),
    /// The run has nothing left to do.
    Done { run_id: String, is_held: bool },
}

impl LogicalTime {
    /// Decides for the logical time `at`.
    ///
    /// # Errors
    /// [`RunError::LogicalTime`] if its run can be neither continued nor repeated, or the lake
    /// cannot be read.
    pub(crate) fn decide(
        at: DateTime<Utc>,
        plan: &Plan,
        lake: &Lake,
        commits: &[CommitRecord],
        options: &RunOptions,
        lock: &PipelineLock,
    ) -> Result<Self, RunError> {
        let mut journals = OpenRun::with_journal(lake, plan, lock)?;
        journals.retain(|run| run.head.shard == plan.shard && run.head.snapshot_at == at);
        let committed = committed_at(at, plan, lake, commits)?;
        let of_journals = journals.iter().map(|run| run.head.run_id.clone());
        let ids: BTreeSet<String> = of_journals
            .chain(committed.iter().map(|run| run.run_id.clone()))
            .collect();
        // Run ids are UUIDs of version 7, which sort by time.
        let Some(run_id) = ids.last().cloned() else {
            return Ok(LogicalTime::New {
                replaces: Vec::new(),
            });
        };
        if options.resume == Resume::Never {
            return Ok(LogicalTime::New {
                replaces: ids.into_iter().collect(),
            });
        }
        let row = committed.iter().find(|run| run.run_id == run_id);
        let journal = journals.into_iter().find(|run| run.head.run_id == run_id);
        let taken = |reason| {
            Err(RunError::LogicalTime {
                at,
                run_id: run_id.clone(),
                reason,
            })
        };
        let journal_hash = journal.as_ref().map(|run| run.head.plan_hash.as_str());
        let hash = journal_hash.or(row.map(|row| row.plan_hash.as_str()));
        if hash != Some(plan.hash.as_str()) {
            return taken("its plan has changed");
        }
        let is_held = lake.held()?.iter().any(|held| held.run_id == run_id);
        let is_complete = row.is_some_and(|row| row.status == Status::Complete.as_str());
        let is_open = journal.as_ref().is_some_and(|run| run.is_open(commits));
        if is_held || is_complete && !is_open && has_tables(lake, &run_id, options)? {
            return Ok(LogicalTime::Done { run_id, is_held });
        }
        match journal {
            None => taken("its journal is gone"),
            Some(run) if run.has_other_currency(plan) => taken("its currency has changed"),
            Some(run) if run.is_older_than(plan.resume_within, clock::now()) => {
                taken("it is older than resume_within")
            }
            Some(run) => Ok(LogicalTime::Continue(Box::new(run))),
        }
    }
}

/// Returns the newest run of a pipeline with failed searches, for `--resume failed`.
///
/// # Errors
/// [`RunError::NothingFailed`] if none can be continued, or the lake cannot be read.
pub(crate) fn newest_failed(
    plan: &Plan,
    lake: &Lake,
    lock: &PipelineLock,
) -> Result<OpenRun, RunError> {
    let database = catalog::open_some(lake, &plan.contracts.tables, &["runs"])?;
    let failed = history::failed_runs(&database, &plan.pipeline)?;
    let can_continue = |run: &OpenRun| {
        run.head.shard == plan.shard && run.fits(plan) && failed.contains(&run.head.run_id)
    };
    let journals = OpenRun::with_journal(lake, plan, lock)?.into_iter();
    let newest = journals
        .filter(can_continue)
        .max_by(|a, b| a.head.run_id.cmp(&b.head.run_id));
    newest.ok_or_else(|| RunError::NothingFailed(plan.pipeline.clone()))
}

/// Returns the runs of a logical time whose ledger is committed, oldest first.
fn committed_at(
    at: DateTime<Utc>,
    plan: &Plan,
    lake: &Lake,
    commits: &[CommitRecord],
) -> Result<Vec<RunAt>, RunError> {
    let is_of_time = |c: &CommitRecord| c.pipeline == plan.pipeline && c.snapshot_at == at;
    if !commits.iter().any(is_of_time) {
        return Ok(Vec::new());
    }
    let database = catalog::open_some(lake, &plan.contracts.tables, &["runs"])?;
    let mut runs = history::runs_at(&database, &plan.pipeline, at)?;
    let shard = plan.shard.map(|shard| shard.to_string());
    runs.retain(|run| run.shard == shard);
    Ok(runs)
}

/// Returns true if the tables of a complete run are committed. A run by `redlake extract` has none
/// yet. A run whose pages were removed cannot make them.
fn has_tables(lake: &Lake, run_id: &str, options: &RunOptions) -> Result<bool, RunError> {
    let has_rows = has_committed_rows(lake, run_id)?;
    let has_pages = || Ok::<_, RunError>(lake.raw_files()?.iter().any(|(of, _)| of == run_id));
    Ok(options.extract_only || has_rows || !has_pages()?)
}
