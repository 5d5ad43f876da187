//! Runs that were cut short: selects the run to continue, and closes the others.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, TimeDelta, Utc};

use super::active::ActiveRun;
use super::finish::{Ending, finish};
use super::outcome::{Extraction, RunOutcome};
use crate::clock;
use crate::extract::Extracted;
use crate::extract::context::{Known, SearchEnd};
use crate::extract::daily_spend::journals;
use crate::extract::error::with_causes;
use crate::extract::journal::{self, Entry, Journal, RunHead};
use crate::extract::ledger::Call;
use crate::extract::replay::{Progress, Replayed, replay};
use crate::load::Lake;
use crate::load::locks::PipelineLock;
use crate::load::record::CommitRecord;
use crate::plan::{Plan, Search, Shard};
use crate::run::error::RunError;
use crate::run::options::{Resume, RunOptions};
use crate::transform::contracts::Transform;
use crate::transform::workers::Resources;

/// A run that was cut short.
#[derive(Debug)]
pub struct OpenRun {
    pub path: PathBuf,
    pub head: RunHead,
    pub entries: Vec<Entry>,
}

/// Retention of the journal of a closed run. The daily budgets of its day and of the day before
/// still read it.
const KEPT: Duration = Duration::from_secs(48 * 3_600);

impl OpenRun {
    /// Returns the runs of a pipeline that were cut short, oldest first. Closes runs that made no
    /// call and runs whose final commit exists. Deletes journals of closed runs after 48 hours.
    ///
    /// # Errors
    /// A journal cannot be read.
    pub fn find(
        lake: &Lake,
        plan: &Plan,
        commits: &[CommitRecord],
        lock: &PipelineLock,
    ) -> Result<Vec<Self>, RunError> {
        let mut open = Vec::new();
        for run in OpenRun::with_journal(lake, plan, lock)? {
            if run.is_open(commits) {
                open.push(run);
            } else if run.entries.last() != Some(&Entry::Closed) {
                Journal::reopen(run.path)?.append(&Entry::Closed)?;
            } else if is_old(&run.path) {
                clear(&run.path);
            }
        }
        Ok(open)
    }

    /// Returns the runs of a pipeline that have a journal, open or closed, oldest first.
    ///
    /// # Errors
    /// A journal cannot be read.
    pub fn with_journal(
        lake: &Lake,
        plan: &Plan,
        _lock: &PipelineLock,
    ) -> Result<Vec<Self>, RunError> {
        OpenRun::read_all(lake, plan, |path| {
            if is_old(path) {
                clear(path);
            }
        })
    }

    /// Returns the run that the next run of the plan continues. `None` if there is none, or if it is
    /// under way. Takes no lock and changes nothing.
    ///
    /// # Errors
    /// A journal cannot be read.
    pub fn to_continue(
        lake: &Lake,
        plan: &Plan,
        commits: &[CommitRecord],
    ) -> Result<Option<Self>, RunError> {
        let newest = OpenRun::read_all(lake, plan, |_| {})?
            .into_iter()
            .rfind(|run| run.head.shard == plan.shard && run.is_open(commits));
        Ok(newest.filter(|run| run.fits(plan) && !journal::is_under_way(&run.path)))
    }

    /// Returns true if the run has the plan's searches and currency, and is not too old to be
    /// continued.
    pub fn fits(&self, plan: &Plan) -> bool {
        self.head.plan_hash == plan.hash
            && !self.has_other_currency(plan)
            && !self.is_older_than(plan.resume_within, clock::now())
    }

    /// Reads the journals of a pipeline. Calls `on_empty` for each journal without a first line: its
    /// process died before its first call.
    fn read_all(
        lake: &Lake,
        plan: &Plan,
        on_empty: impl Fn(&std::path::Path),
    ) -> Result<Vec<Self>, RunError> {
        let mut runs = Vec::new();
        for path in journals(&lake.journals())? {
            let head = match journal::head(&path) {
                // Its pipeline has deleted it since it was listed.
                Err(error) if error.is_not_found() => continue,
                head => head?,
            };
            let Some(head) = head else {
                on_empty(&path);
                continue;
            };
            if head.pipeline == plan.pipeline && may_settle(&head, plan, &path) {
                let entries = journal::read(&path)?;
                runs.push(OpenRun {
                    path,
                    head,
                    entries,
                });
            }
        }
        Ok(runs)
    }

    /// Returns true if the run has something left to do: it made a call, and each of its final
    /// commits was followed by a continuation.
    pub fn is_open(&self, commits: &[CommitRecord]) -> bool {
        let has_called = self.entries.iter().any(|e| matches!(e, Entry::Sent(_)));
        let reopened = self.entries.iter().filter(|e| **e == Entry::Reopened);
        let closed = commits.iter().filter(|c| c.closes(&self.head.run_id));
        self.entries.last() != Some(&Entry::Closed)
            && has_called
            && closed.count() <= reopened.count()
    }

    /// Returns true if the run was begun longer ago.
    pub fn is_older_than(&self, limit: Duration, now: DateTime<Utc>) -> bool {
        let age = now.signed_duration_since(self.head.opened_at);
        age.to_std().is_ok_and(|age| age > limit)
    }

    /// Returns true if a call was sent at a price in another currency than that of the plan.
    pub fn has_other_currency(&self, plan: &Plan) -> bool {
        let sent = self.entries.iter().filter_map(Entry::sent);
        let mut all = sent.filter_map(|sent| sent.currency.as_deref());
        all.any(|currency| Some(currency) != plan.price.currency.as_deref())
    }

    /// Returns the reason why this run cannot be continued. `None` if it can.
    pub fn obstacle(
        &self,
        plan: &Plan,
        options: &RunOptions,
        now: DateTime<Utc>,
    ) -> Option<&'static str> {
        let too_old = self.is_older_than(plan.resume_within, now);
        let other_time = options
            .snapshot_at
            .time()
            .is_some_and(|at| at != self.head.snapshot_at);
        let reasons = [
            (options.resume == Resume::Never, "--resume never"),
            (self.head.plan_hash != plan.hash, "the plan has changed"),
            (self.has_other_currency(plan), "the currency has changed"),
            (other_time, "--snapshot-at is different"),
            (too_old, "it is older than resume_within"),
        ];
        let holds = reasons.into_iter().find(|(holds, _)| *holds);
        holds.map(|(_, reason)| reason)
    }

    /// Restores the state of the run from its journal and raw files.
    ///
    /// # Errors
    /// A raw file cannot be read.
    pub fn replay(&self, plan: &Plan, lake: &Lake, known: &Known) -> Result<Replayed, RunError> {
        let raw = self.raw(lake)?;
        let snapshot_at = self.head.snapshot_at;
        Ok(replay(plan, snapshot_at, known, &self.entries, &raw)?)
    }

    /// Returns the calls that count for the per-run budget: those since it was last used up. A run
    /// that was killed or interrupted does not get a new budget.
    pub fn calls_of_this_leg<'c>(&self, calls: &'c [Call]) -> impl Iterator<Item = &'c Call> {
        let last = self.entries.iter().rposition(|e| *e == Entry::BudgetSpent);
        let before = self.entries[..last.unwrap_or(0)]
            .iter()
            .filter(|e| matches!(e, Entry::Sent(_)))
            .count();
        calls.iter().skip(before)
    }

    /// Builds the tables from the pages that were fetched, and closes the run as partial.
    ///
    /// # Errors
    /// The pages cannot be read, or the lake cannot be written.
    pub fn close(
        self,
        plan: &Plan,
        transform: &Transform,
        lake: &Lake,
        resources: Resources,
        reason: &str,
        _lock: &PipelineLock,
    ) -> Result<RunOutcome, RunError> {
        let journal = Arc::new(Journal::reopen(self.path.clone())?);
        let replayed = self.replay(plan, lake, &Known::default())?;
        let head = &self.head;
        let ended = replayed
            .progress
            .into_values()
            .filter_map(|progress| match progress {
                Progress::Ended(end) => Some(end),
                Progress::UnderWay(_) => None,
            });
        let ended: Vec<SearchEnd> = ended.collect();
        let asked = replayed.calls.iter().map(|call| &call.search_id);
        let asked = asked.collect::<std::collections::HashSet<_>>().len();
        let planned = if head.plan_hash == plan.hash {
            plan.searches.len().max(asked)
        } else {
            asked
        };
        // The searches of an earlier plan are those that made calls.
        let searches = if head.plan_hash == plan.hash {
            plan.searches.clone()
        } else {
            let called = |search: &&Search| {
                replayed
                    .calls
                    .iter()
                    .any(|c| c.search_id == search.search_id)
            };
            plan.searches.iter().filter(called).cloned().collect()
        };
        let finished_at = replayed.calls.last().map_or(head.started_at, |call| {
            let took = TimeDelta::from_std(Duration::from_millis(call.duration_ms)).ok();
            let end = took.and_then(|took| call.started_at.checked_add_signed(took));
            end.unwrap_or(call.started_at)
        });
        let run = ActiveRun {
            plan,
            transform,
            raw: self.raw(lake)?,
            meta: head.meta(plan.timezone),
            plan_hash: head.plan_hash.clone(),
            lost: replayed.lost,
            shard: head.shard,
            replaces: head.replaces.clone(),
            lake: lake.clone(),
            journal,
            resources,
        };
        let extraction = Extraction {
            started_at: head.started_at,
            finished_at,
            searches,
            planned: planned as u64,
            extracted: Extracted {
                calls: replayed.calls,
                ended,
                pages: replayed.pages,
                items: replayed.items,
                ..Extracted::default()
            },
            earlier_calls: 0,
        };
        let reason = reason.to_owned();
        finish(&run, extraction, None, Ending::Closed { reason })
    }

    pub fn raw(&self, lake: &Lake) -> Result<Vec<PathBuf>, RunError> {
        let of_run =
            |(run_id, path): (String, PathBuf)| (run_id == self.head.run_id).then_some(path);
        Ok(lake.raw_files()?.into_iter().filter_map(of_run).collect())
    }
}

/// Closes the runs that are not continued, and returns the one that is: `chosen`, or else the
/// newest one.
pub(crate) fn resume_or_close(
    open: Vec<OpenRun>,
    chosen: Option<OpenRun>,
    plan: &Plan,
    transform: &Transform,
    lake: &Lake,
    options: &RunOptions,
    lock: &PipelineLock,
) -> Result<Option<OpenRun>, RunError> {
    let close = |run, reason| close(run, plan, transform, lake, options.resources, reason, lock);
    let (mut ours, others): (Vec<_>, Vec<_>) =
        open.into_iter().partition(|o| o.head.shard == plan.shard);
    for other in others {
        let reason = "the shards of the pipeline have changed";
        close(other, reason);
    }
    if let Some(chosen) = chosen {
        let is_other = |run: &OpenRun| run.head.run_id != chosen.head.run_id;
        for other in ours.into_iter().filter(is_other) {
            close(other, "another run of the pipeline is continued");
        }
        let run_id = &chosen.head.run_id;
        tracing::info!(run_id, "the run {run_id} is continued");
        return Ok(Some(chosen));
    }
    // Only the newest run can be continued. Usually it is the only one.
    let newest = ours.pop();
    for old in ours {
        close(old, "there is a newer one");
    }
    let Some(newest) = newest else {
        return Ok(None);
    };
    match newest.obstacle(plan, options, clock::now()) {
        None => {
            let run_id = &newest.head.run_id;
            tracing::info!(run_id, "the run {run_id} was cut short and is continued");
            Ok(Some(newest))
        }
        Some(reason) => {
            close(newest, reason);
            Ok(None)
        }
    }
}

/// Closes a run that is not continued. A failure must not block new runs: the run stays open, and
/// each new run logs the error.
fn close(
    run: OpenRun,
    plan: &Plan,
    transform: &Transform,
    lake: &Lake,
    resources: Resources,
    reason: &str,
    lock: &PipelineLock,
) {
    let run_id = run.head.run_id.clone();
    match run.close(plan, transform, lake, resources, reason, lock) {
        Ok(outcome) => {
            tracing::warn!(
                run_id,
                "the run {run_id} was cut short and is closed as it is: {reason}"
            );
            if let Some(blocked) = outcome.blocked {
                tracing::error!(
                    run_id,
                    "its tables are held, see redlake show {run_id}: {blocked}"
                );
            }
        }
        Err(error) => tracing::error!(
            run_id,
            "the run {run_id} was cut short and cannot be closed; its pages are kept: {}",
            with_causes(&error)
        ),
    }
}

/// Returns true if this process may continue or close a run of its pipeline. A run of the same
/// shard qualifies, because it cannot be in progress while we hold the shard's lock. A run with
/// another shard count qualifies if its process is dead. Other shards of the same count belong to
/// other machines.
fn may_settle(head: &RunHead, plan: &Plan, path: &std::path::Path) -> bool {
    let count = |shard: Option<Shard>| shard.map(|shard| shard.count);
    head.shard == plan.shard
        || count(head.shard) != count(plan.shard) && !journal::is_under_way(path)
}

fn is_old(path: &std::path::Path) -> bool {
    let modified = std::fs::metadata(path).and_then(|m| m.modified());
    let age = modified.map(|at| SystemTime::now().duration_since(at).unwrap_or_default());
    age.is_ok_and(|age| age > KEPT)
}

/// Deletes a journal that is no longer needed. A failure is harmless and only logged.
fn clear(path: &std::path::Path) {
    if let Err(error) = std::fs::remove_file(path) {
        tracing::debug!("cannot remove {}: {error}", path.display());
    }
}
