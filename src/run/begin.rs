//! The start of a run: separates sandbox and real runs, selects the run to continue, and computes
//! the remaining budget.

use std::collections::HashSet;
use std::sync::Arc;

use chrono::{DateTime, Duration, Utc};
use uuid::Uuid;

use super::access::Accesses;
use super::prior::Prior;
use super::resume::OpenRun;
use crate::clock::Clock;
use crate::extract::budget::Budget;
use crate::extract::context::RunIdentity;
use crate::extract::daily_spend::{date_of, journals};
use crate::extract::error::with_causes;
use crate::extract::journal::{Journal, RunHead};
use crate::extract::ledger::{Call, Spent};
use crate::extract::replay::Replayed;
use crate::load::Lake;
use crate::load::record::CommitRecord;
use crate::plan::{Money, Plan};
use crate::raw::RawReader;
use crate::run::error::RunError;
use crate::run::options::RunOptions;
use crate::spec::source::Billed;
use crate::transform::contracts::Transform;

/// A rehearsal's invented notes must never stand among real ones.
pub(crate) fn reject_mixed_lake(
    plan: &Plan,
    lake: &Lake,
    commits: &[CommitRecord],
    open: &[OpenRun],
    simulated: bool,
) -> Result<(), RunError> {
    let committed = commits.iter().map(|c| (&c.pipeline, c.simulated));
    let open = open.iter().map(|o| (&o.head.pipeline, o.head.simulated));
    let other = committed
        .chain(open)
        .any(|(pipeline, world)| *pipeline == plan.pipeline && world != simulated);
    let word = |simulated| if simulated { "simulated" } else { "real" };
    if other {
        Err(RunError::MixedLake {
            lake: lake.root().to_owned(),
            pipeline: plan.pipeline.clone(),
            held: word(!simulated),
            new: word(simulated),
        })
    } else {
        Ok(())
    }
}

/// Logs a warning for each raw file of the pipeline whose run has neither a commit nor a journal.
/// Only lost files lead to this state.
pub(crate) fn warn_of_orphans(
    plan: &Plan,
    lake: &Lake,
    commits: &[CommitRecord],
) -> Result<(), RunError> {
    let committed = commits.iter().map(|c| c.run_id.clone());
    // Includes the journals of other shards, which may be running now.
    let journals = journals(&lake.journals())?;
    let open = journals
        .iter()
        .filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned()));
    let accounted: HashSet<String> = committed.chain(open).collect();
    for (run_id, path) in lake.raw_files()? {
        if accounted.contains(&run_id) {
            continue;
        }
        let first = match RawReader::open(&path) {
            // Another pipeline has removed it since it was listed.
            Err(_) if !path.exists() => continue,
            opened => opened?.next().and_then(Result::ok),
        };
        if first.is_some_and(|page| page.header.pipeline == plan.pipeline) {
            tracing::warn!(
                "{0} holds paid pages that are in no commit; to make their tables: \
                 redlake transform PIPELINE --raw {0}",
                path.display()
            );
        }
    }
    Ok(())
}

/// A run that was started, by this process or by an earlier one.
pub(crate) struct Begun {
    pub identity: RunIdentity,
    pub journal: Arc<Journal>,
    pub head: RunHead,
    /// State that the earlier process left. `None` for a new run.
    pub open: Option<OpenRun>,
}

impl Begun {
    pub(crate) fn new(
        open: Option<OpenRun>,
        plan: &Plan,
        lake: &Lake,
        commits: &[CommitRecord],
        accesses: &Accesses,
        options: &RunOptions,
    ) -> Result<Self, RunError> {
        if let Some(open) = open {
            let clock = if accesses.simulated() {
                Clock::simulated(open.head.snapshot_at)
            } else {
                Clock::Real
            };
            let journal = Journal::reopen(open.path.clone())?;
            return Ok(Begun {
                identity: identity(&open.head, clock),
                journal: Arc::new(journal),
                head: open.head.clone(),
                open: Some(open),
            });
        }
        let (snapshot_at, clock) = times(plan, commits, accesses, options);
        let head = RunHead {
            run_id: Uuid::now_v7().to_string(),
            pipeline: plan.pipeline.clone(),
            plan_hash: plan.hash.clone(),
            shard: plan.shard,
            snapshot_at,
            started_at: clock.now(),
            opened_at: Utc::now(),
            simulated: accesses.simulated(),
        };
        let path = lake.journal(&head.run_id);
        let journal = Journal::create(path, head.clone(), lake.access())?;
        Ok(Begun {
            identity: identity(&head, clock),
            journal: Arc::new(journal),
            head,
            open: None,
        })
    }
}

fn identity(head: &RunHead, clock: Clock) -> RunIdentity {
    RunIdentity {
        run_id: head.run_id.clone(),
        snapshot_at: head.snapshot_at,
        simulated: head.simulated,
        clock,
    }
}

/// Closes the runs that are not continued; the one that is.
pub(crate) fn resume_or_close(
    open: Vec<OpenRun>,
    plan: &Plan,
    transform: &Transform,
    lake: &Lake,
    options: &RunOptions,
) -> Result<Option<OpenRun>, RunError> {
    let (mut ours, others): (Vec<_>, Vec<_>) =
        open.into_iter().partition(|o| o.head.shard == plan.shard);
    for other in others {
        let reason = "the shards of the pipeline have changed";
        close(other, plan, transform, lake, options.threads, reason);
    }
    // Only the newest run can be continued. Usually it is the only one.
    let newest = ours.pop();
    for old in ours {
        close(
            old,
            plan,
            transform,
            lake,
            options.threads,
            "there is a newer one",
        );
    }
    let Some(newest) = newest else {
        return Ok(None);
    };
    match newest.obstacle(plan, options, Utc::now()) {
        None => {
            let run_id = &newest.head.run_id;
            tracing::info!("the run {run_id} was cut short and is continued");
            Ok(Some(newest))
        }
        Some(reason) => {
            close(newest, plan, transform, lake, options.threads, reason);
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
    threads: usize,
    reason: &str,
) {
    let run_id = run.head.run_id.clone();
    match run.close(plan, transform, lake, threads, reason) {
        Ok(report) => {
            tracing::warn!("the run {run_id} was cut short and is closed as it is: {reason}");
            if let Some(blocked) = report.blocked {
                tracing::error!("its tables are held, see redlake show {run_id}: {blocked}");
            }
        }
        Err(error) => tracing::error!(
            "the run {run_id} was cut short and cannot be closed; its pages are kept: {}",
            with_causes(&error)
        ),
    }
}

/// Returns the budget that is left for the run and for the day.
pub(crate) fn budget(
    plan: &Plan,
    prior: &Prior<'_>,
    journal: &Journal,
    now: DateTime<Utc>,
    open: Option<&OpenRun>,
    replayed: &Replayed,
) -> Result<Budget, RunError> {
    // A billed call counts with its recorded cost. The plan's prices may have changed since.
    let price = |call: &Call| {
        let known = call.cost.filter(|_| call.billed == Billed::Yes);
        Money::of(known.or(plan.price.of(&call.endpoint)).unwrap_or_default())
    };
    let sum = |spent: Spent, call: &Call| spent.plus(Spent::on(call, price(call)));
    let leg = open.map(|open| open.calls_of_this_leg(&replayed.calls));
    let run = leg.into_iter().flatten().fold(Spent::default(), sum);
    let timezone = plan.timezone;
    let date = date_of(now, timezone);
    let is_today = |call: &&Call| date_of(call.started_at, timezone) == date;
    let today = replayed.calls.iter().filter(is_today);
    let today = today.fold(Spent::default(), sum);
    let others = prior.day(now, journal.path().to_owned())?;
    Ok(Budget::new(
        plan.limits.budgets,
        timezone,
        now,
        run,
        today,
        others,
    ))
}

/// Returns the logical time of the run, and the clock for its timestamps. In the sandbox both are
/// simulated, and runs of a pipeline into the same lake are one hour apart.
fn times(
    plan: &Plan,
    commits: &[CommitRecord],
    accesses: &Accesses,
    options: &RunOptions,
) -> (DateTime<Utc>, Clock) {
    let Some(first) = accesses.simulated_clock() else {
        let now = Clock::Real.now();
        return (options.snapshot_at.unwrap_or(now), Clock::Real);
    };
    let last = commits
        .iter()
        .filter(|c| c.pipeline == plan.pipeline)
        .map(|c| c.snapshot_at)
        .max();
    let hour = Duration::hours(1);
    let next = last.and_then(|last| Some(first.max(last.checked_add_signed(hour)?)));
    let next = next.unwrap_or(first);
    let snapshot_at = options.snapshot_at.unwrap_or(next);
    (snapshot_at, Clock::simulated(snapshot_at))
}
