//! The first phase of a run: opens the lake, decides whether a run that was cut short is continued,
//! and makes everything ready for the first call.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use tokio::sync::watch;
use uuid::Uuid;

use super::access::Accesses;
use super::active::ActiveRun;
use super::commit::ledger;
use super::logical_time::{LogicalTime, newest_failed};
use super::outcome::RunOutcome;
use super::prior::Prior;
use super::resume::{OpenRun, resume_or_close};
use crate::clock::{self, Clock};
use crate::extract::budget::Budget;
use crate::extract::client::Client;
use crate::extract::context::Event;
use crate::extract::daily_spend::{date_of, journals, sent_since};
use crate::extract::journal::{Entry, Journal, RunHead};
use crate::extract::ledger::{Call, Spent, counts_in};
use crate::extract::replay::Replayed;
use crate::extract::{Extracted, Extractor, Needs};
use crate::lake_layout::{full_path, is_lake};
use crate::load::Lake;
use crate::load::evolution::Purpose;
use crate::load::locks::PipelineLock;
use crate::load::record::CommitRecord;
use crate::plan::{Money, Plan, Search};
use crate::raw::{RawReader, RawWriter, check_writable};
use crate::run::error::RunError;
use crate::run::options::{OnEvent, Resume, RunOptions, SnapshotAt};
use crate::run_meta::RunMeta;
use crate::sandbox::Sandbox;
use crate::spec::source::Billed;
use crate::transform::contracts::Transform;

/// Result of the first phase: a run that can make its first call.
pub(crate) struct Prepared<'a> {
    pub run: ActiveRun<'a>,
    pub prior: Prior<'a>,
    pub clock: Clock,
    pub started_at: DateTime<Utc>,
    /// True if it continues a run that was cut short.
    pub is_continued: bool,
    /// Calls, pages and items of the earlier process.
    pub replayed: Extracted,
    /// Follow-up searches that the earlier process chose.
    pub chosen: Option<Vec<Search>>,
    /// `None` once the extraction is over.
    pub extractor: Option<Extractor>,
    sandboxes: Vec<Sandbox>,
    /// Held until the run is over.
    _lock: PipelineLock,
}

/// Result of [`prepare`].
pub(crate) enum Preparation<'a> {
    Ready(Box<Prepared<'a>>),
    /// The logical time has a run with nothing left to do.
    Done(Box<RunOutcome>),
}

/// Prepares a run. Makes no call.
///
/// # Errors
/// The run is impossible: a token is missing, the pipeline is running, or the lake cannot be
/// written.
pub(crate) async fn prepare<'a>(
    plan: &'a Arc<Plan>,
    transform: &'a Transform,
    options: &RunOptions,
    env: &dyn Fn(&str) -> Option<String>,
    stop: watch::Receiver<bool>,
    on_event: OnEvent,
) -> Result<Preparation<'a>, RunError> {
    ledger::check(&plan.contracts).map_err(RunError::Ledger)?;
    if options.snapshot_at == SnapshotAt::Scheduled && plan.schedule.is_none() {
        return Err(RunError::NoSchedule(plan.pipeline.clone()));
    }
    let accesses = Accesses::resolve(plan, env)?;
    let is_new = !is_lake(&options.lake);
    let lake = Lake::open_for(&options.lake, plan.group)?;
    let lock = lake.lock_pipeline(&plan.pipeline, plan.shard)?;
    lake.check(&plan.contracts, Purpose::Add)?;
    // No call is paid whose answer cannot be stored.
    lake.require_room(0)?;
    if is_new {
        let lake = &full_path(&options.lake);
        on_event(&Event::NewLake { lake });
    }
    let commits = lake.commits()?;
    let open = OpenRun::find(&lake, plan, &commits, &lock)?;
    let simulated = accesses.simulated();
    reject_mixed_lake(plan, &lake, &commits, &open, simulated)?;
    warn_of_orphans(plan, &lake, &commits)?;
    let mut replaces = Vec::new();
    let mut chosen = None;
    let options = &RunOptions {
        snapshot_at: resolved(options.snapshot_at, plan, &commits, &accesses)?,
        ..options.clone()
    };
    if let Some(at) = options.snapshot_at.time() {
        if !simulated && at > clock::now() + MOST_AHEAD {
            return Err(RunError::FutureTime(at));
        }
        match LogicalTime::decide(at, plan, &lake, &commits, options, &lock)? {
            LogicalTime::New { replaces: runs } => replaces = runs,
            LogicalTime::Continue(run) => chosen = Some(*run),
            LogicalTime::Done { run_id, is_held } => {
                let meta = RunMeta::new(&run_id, &plan.pipeline, at, plan.timezone, simulated);
                let outcome = RunOutcome::done(meta, plan, &lake, is_held);
                return Ok(Preparation::Done(Box::new(outcome)));
            }
        }
        warn_of_late(at, plan, simulated);
    } else if options.resume == Resume::Failed {
        chosen = Some(newest_failed(plan, &lake, &lock)?);
    }
    let any_open = !open.is_empty();
    let continued = resume_or_close(open, chosen, plan, transform, &lake, options, &lock)?;

    // Closing a run may commit. The records are read again only if a run may have been closed.
    let commits = if any_open { lake.commits()? } else { commits };
    let begun = Begun::new(
        continued, replaces, plan, &lake, &commits, &accesses, options,
    )?;
    let meta = begun.head.meta(plan.timezone);
    on_event(&Event::Begun(&meta));
    let prior = Prior::new(plan, &lake, commits, &meta);
    let known = prior.known()?;
    let replayed = match &begun.open {
        Some(open) => open.replay(plan, &lake, &known)?,
        None => Replayed::default(),
    };
    let budget = budget(plan, &prior, &begun, &replayed)?;
    let raw = raw_paths(plan, &lake, meta.snapshot_date, &meta.run_id);
    for path in raw.values() {
        // No page is paid that cannot be stored.
        check_writable(path, lake.access())?;
    }
    let all_raw = all_raw(&raw, begun.open.as_ref(), &lake)?;
    let (clients, sandboxes) = connect(plan, accesses, meta.snapshot_at).await?;
    let needs = Needs {
        clients,
        writers: raw
            .into_iter()
            .map(|(source, path)| (source, RawWriter::new(path).readable_by(lake.access())))
            .collect(),
        journal: Arc::clone(&begun.journal),
        budget,
        known,
        recent: recent(plan, &lake)?,
        progress: replayed.progress,
        found: replayed.found,
        stop,
    };
    let mut extractor = Extractor::new(Arc::clone(plan), meta.clone(), begun.clock, needs);
    extractor.on_event = on_event;
    Ok(Preparation::Ready(Box::new(Prepared {
        prior,
        clock: begun.clock,
        started_at: begun.head.started_at,
        is_continued: begun.open.is_some(),
        replayed: Extracted {
            calls: replayed.calls,
            pages: replayed.pages,
            items: replayed.items,
            ..Extracted::default()
        },
        chosen: replayed.chosen,
        extractor: Some(extractor),
        sandboxes,
        run: ActiveRun {
            plan,
            transform,
            raw: all_raw,
            meta,
            plan_hash: plan.hash.clone(),
            lost: replayed.lost,
            shard: plan.shard,
            replaces: begun.head.replaces.clone(),
            lake,
            journal: begun.journal,
            resources: options.resources,
        },
        _lock: lock,
    })))
}

impl Prepared<'_> {
    /// Waits until the last pages are on disk, and stops the sandboxes.
    pub(crate) async fn disconnect(&mut self) {
        self.extractor = None;
        for sandbox in self.sandboxes.drain(..) {
            sandbox.stop().await;
        }
    }
}

/// Time by which a logical time may be ahead of this machine's clock, which may be behind.
const MOST_AHEAD: TimeDelta = TimeDelta::minutes(15);

/// Logs a warning if the logical time of a real run is far from its calls.
fn warn_of_late(at: DateTime<Utc>, plan: &Plan, simulated: bool) {
    let distance = (clock::now() - at).abs().to_std().unwrap_or_default();
    if !simulated && distance > plan.resume_within {
        tracing::warn!(
            "--snapshot-at {} is further than resume_within from now: the counts are those of the \
             calls, see fetched_at",
            at.format("%+")
        );
    }
}

/// Checks that the lake holds no run of the other kind: simulated and real notes are never mixed.
fn reject_mixed_lake(
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
fn warn_of_orphans(plan: &Plan, lake: &Lake, commits: &[CommitRecord]) -> Result<(), RunError> {
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
struct Begun {
    pub clock: Clock,
    pub journal: Arc<Journal>,
    pub head: RunHead,
    /// State that the earlier process left. `None` for a new run.
    pub open: Option<OpenRun>,
}

impl Begun {
    fn new(
        open: Option<OpenRun>,
        replaces: Vec<String>,
        plan: &Plan,
        lake: &Lake,
        commits: &[CommitRecord],
        accesses: &Accesses,
        options: &RunOptions,
    ) -> Result<Self, RunError> {
        if let Some(mut open) = open {
            let clock = if accesses.simulated() {
                Clock::simulated(open.head.snapshot_at)
            } else {
                Clock::Real
            };
            let journal = Journal::reopen(open.path.clone())?;
            if !open.is_open(commits) {
                journal.append(&Entry::Reopened)?;
                open.entries.push(Entry::Reopened);
            }
            return Ok(Begun {
                clock,
                journal: Arc::new(journal),
                head: open.head.clone(),
                open: Some(open),
            });
        }
        let (snapshot_at, clock) = times(plan, commits, accesses, options.snapshot_at.time());
        let head = RunHead {
            run_id: Uuid::now_v7().to_string(),
            pipeline: plan.pipeline.clone(),
            plan_hash: plan.hash.clone(),
            shard: plan.shard,
            snapshot_at,
            started_at: clock.now(),
            opened_at: clock::now(),
            simulated: accesses.simulated(),
            replaces,
        };
        let path = lake.journal(&head.run_id);
        let journal = Journal::create(path, head.clone(), lake.access())?;
        Ok(Begun {
            clock,
            journal: Arc::new(journal),
            head,
            open: None,
        })
    }
}

/// Returns the budget that is left for the run and for the day.
fn budget(
    plan: &Plan,
    prior: &Prior<'_>,
    begun: &Begun,
    replayed: &Replayed,
) -> Result<Budget, RunError> {
    // A billed call counts with its recorded cost. The plan's prices may have changed since.
    // A run that is continued may have calls in another currency.
    let currency = plan.price.currency.as_deref();
    let price = |call: &Call| {
        if !counts_in(currency, call.currency.as_deref()) {
            return Money::default();
        }
        let known = call.cost.filter(|_| call.billed == Billed::Yes);
        Money::of(known.or(plan.price.of(&call.endpoint)).unwrap_or_default())
    };
    let sum = |spent: Spent, call: &Call| spent.plus(Spent::on(call, price(call)));
    let now = begun.clock.now();
    let leg = begun
        .open
        .as_ref()
        .map(|open| open.calls_of_this_leg(&replayed.calls));
    let run = leg.into_iter().flatten().fold(Spent::default(), sum);
    let timezone = plan.timezone;
    let date = date_of(now, timezone);
    let is_today = |call: &&Call| date_of(call.started_at, timezone) == date;
    let today = replayed.calls.iter().filter(is_today);
    let today = today.fold(Spent::default(), sum);
    let others = prior.day(now, begun.journal.path().to_owned())?;
    Ok(Budget::new(
        plan.limits.budgets,
        timezone,
        now,
        run,
        today,
        others,
    ))
}

/// Replaces `Scheduled` by the time that is due.
///
/// In the sandbox, each scheduled run takes place at the first due instant after the last run.
///
/// # Errors
/// [`RunError::NoSchedule`] if the pipeline has no schedule to take it from.
fn resolved(
    snapshot_at: SnapshotAt,
    plan: &Plan,
    commits: &[CommitRecord],
    accesses: &Accesses,
) -> Result<SnapshotAt, RunError> {
    if snapshot_at != SnapshotAt::Scheduled {
        return Ok(snapshot_at);
    }
    let no_schedule = || RunError::NoSchedule(plan.pipeline.clone());
    let schedule = plan.schedule.as_ref().ok_or_else(no_schedule)?;
    let due = match accesses.simulated_clock() {
        None => schedule.newest_due(Clock::Real.now()),
        Some(clock) => {
            let first = schedule.newest_due(clock);
            let last = last_snapshot(plan, commits).filter(|last| Some(*last) >= first);
            last.map_or(first, |last| schedule.next_after(last))
        }
    };
    due.map(SnapshotAt::At).ok_or_else(no_schedule)
}

/// Returns the newest snapshot time of the pipeline in the lake.
fn last_snapshot(plan: &Plan, commits: &[CommitRecord]) -> Option<DateTime<Utc>> {
    let own = commits.iter().filter(|c| c.pipeline == plan.pipeline);
    own.map(|c| c.snapshot_at).max()
}

/// Returns the snapshot time of a new run, and the clock for its timestamps. In the sandbox both are
/// simulated, and runs of a pipeline into the same lake are one hour apart unless `logical` says
/// otherwise.
fn times(
    plan: &Plan,
    commits: &[CommitRecord],
    accesses: &Accesses,
    logical: Option<DateTime<Utc>>,
) -> (DateTime<Utc>, Clock) {
    let Some(first) = accesses.simulated_clock() else {
        let now = Clock::Real.now();
        return (logical.unwrap_or(now), Clock::Real);
    };
    let hour = TimeDelta::hours(1);
    let last = last_snapshot(plan, commits);
    let next = last.and_then(|last| Some(first.max(last.checked_add_signed(hour)?)));
    let snapshot_at = logical.or(next).unwrap_or(first);
    (snapshot_at, Clock::simulated(snapshot_at))
}

/// Returns a client for each source, and the sandboxes that were started for them.
async fn connect(
    plan: &Plan,
    accesses: Accesses,
    snapshot_at: DateTime<Utc>,
) -> Result<(BTreeMap<String, Client>, Vec<Sandbox>), RunError> {
    let (accesses, sandboxes) = accesses.start(plan, snapshot_at).await?;
    let mut clients = BTreeMap::new();
    for (name, access) in accesses {
        let client = Client::new(plan.source(&name), access, plan.limits.max_answer)?;
        if let Some(proxy) = client.seen_by_proxy() {
            tracing::warn!(
                "calls to {name} go through the proxy {proxy} in plain HTTP: it sees the token; use an \
                 https address, or name the host in NO_PROXY"
            );
        }
        clients.insert(name, client);
    }
    Ok((clients, sandboxes))
}

/// Returns the path of the run's raw file for each source.
fn raw_paths(plan: &Plan, lake: &Lake, date: NaiveDate, run_id: &str) -> BTreeMap<String, PathBuf> {
    let path = |source: &String| lake.raw_path(source, date, run_id);
    plan.sources
        .keys()
        .map(|source| (source.clone(), path(source)))
        .collect()
}

/// Returns the paths of all raw files of the run. Includes files that an earlier process wrote
/// under another date, before the time zone was changed.
fn all_raw(
    raw: &BTreeMap<String, PathBuf>,
    open: Option<&OpenRun>,
    lake: &Lake,
) -> Result<Vec<PathBuf>, RunError> {
    let mut all: BTreeSet<PathBuf> = raw.values().cloned().collect();
    if let Some(open) = open {
        all.extend(open.raw(lake)?);
    }
    Ok(all.into_iter().collect())
}

/// Returns the ages of recent calls, by source, for sources with a rate limit over a time window.
/// Consecutive runs share that limit.
fn recent(plan: &Plan, lake: &Lake) -> Result<BTreeMap<String, Vec<Duration>>, RunError> {
    let now = clock::now();
    let mut recent = BTreeMap::new();
    for name in plan.sources.keys() {
        let Some(window) = plan.window(name) else {
            continue;
        };
        let since = now - window.per;
        let sent = sent_since(&lake.journals(), name, since)?;
        let ago = sent
            .iter()
            .map(|at| (now - at).to_std().unwrap_or_default());
        recent.insert(name.clone(), ago.collect());
    }
    Ok(recent)
}
