//! One execution of a pipeline, and of its parts: the stages tied together.
//!
//! A run that made a call always commits its ledger, whatever became of its data.

pub mod access;
pub mod forecast;
mod ledger;
mod prior;
pub mod report;
mod resume;
mod retransform;

#[cfg(test)]
mod tests;

pub use resume::Resume;
pub use retransform::{Retransformed, retransform};

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use chrono::{DateTime, Duration, Utc};
use thiserror::Error;
use tokio::sync::watch;
use uuid::Uuid;

use crate::clock::Clock;
use crate::extract::budget::{Budget, Spent};
use crate::extract::client::{Client, ClientError};
use crate::extract::day::date_of;
use crate::extract::journal::{Entry, Journal, JournalError, RunHead};
use crate::extract::ledger::Call;
use crate::extract::replay::Replayed;
use crate::extract::{Cut, Event, ExtractError, Extracted, Extractor, Needs, RunIdentity};
use crate::load::commit::{CommitKind, CommitRecord, RunRef, Staging};
use crate::load::{Lake, LakeError, encode, table_path};
use crate::plan::{Money, Plan, Search};
use crate::query::duckdb::{QueryError, write_catalog};
use crate::raw::{RawError, RawReader, RawWriter};
use crate::sandbox::Sandbox;
use crate::spec::source::Billed;
use crate::transform::{RunStamp, Tables, Transform, TransformError, select};
use access::{AccessError, Accesses};
use ledger::RunRow;
use prior::Prior;
use report::{RunReport, Status};
use resume::OpenRun;

/// What a user may say about one run.
#[derive(Clone, Debug)]
pub struct RunOptions {
    pub lake: PathBuf,
    /// The logical time of what is observed; now, if not given.
    pub snapshot_at: Option<DateTime<Utc>>,
    /// Commit the ledger only; `transform --raw` makes the tables later.
    pub extract_only: bool,
    /// Whether a run that was cut short is continued.
    pub resume: Resume,
}

/// Told of every page, and of the end of every search.
pub type OnEvent = Box<dyn Fn(&Event<'_>) + Send>;

#[derive(Debug, Error)]
pub enum RunError {
    #[error(transparent)]
    Access(#[from] AccessError),
    #[error(transparent)]
    Lake(#[from] LakeError),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Raw(#[from] RawError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Extract(#[from] ExtractError),
    #[error(transparent)]
    Transform(#[from] TransformError),
    /// Reading the lake, or writing its catalog.
    #[error(transparent)]
    Query(#[from] QueryError),
    #[error("the raw file {} belongs to the pipeline `{found}`, not to `{wanted}`", path.display())]
    ForeignRaw {
        path: PathBuf,
        found: String,
        wanted: String,
    },
    #[error("the contracts cannot hold the ledger of a run")]
    Ledger(#[source] ArrowError),
    #[error("the raw file {} holds no page", .0.display())]
    EmptyRaw(PathBuf),
    #[error("the lake {} holds {held} runs of the pipeline `{pipeline}`, and this one would be {new}", lake.display())]
    MixedLake {
        lake: PathBuf,
        pipeline: String,
        held: &'static str,
        new: &'static str,
    },
}

/// Runs a pipeline: extract, transform, commit, catalog. `stop` becomes true to end it early. A
/// run of the same plan that was cut short is continued.
///
/// # Errors
/// What makes a run impossible. Failed searches, a wrong token, a budget that is used up and an
/// interruption are part of the report: what was fetched before them is kept.
pub async fn run(
    plan: Arc<Plan>,
    transform: &Transform,
    options: &RunOptions,
    env: &dyn Fn(&str) -> Option<String>,
    stop: watch::Receiver<bool>,
    on_event: OnEvent,
) -> Result<RunReport, RunError> {
    let started = Instant::now();
    ledger::check(&plan.contracts).map_err(RunError::Ledger)?;
    let accesses = Accesses::resolve(&plan, env)?;
    let lake = Lake::open(&options.lake)?;
    let _lock = lake.lock_pipeline(&plan.pipeline, plan.shard)?;
    let commits = lake.commits()?;
    let simulated = accesses.simulated();
    let open = OpenRun::find(&lake, &plan, &commits)?;
    keep_worlds_apart(&plan, &lake, &commits, &open, simulated)?;
    warn_of_orphans(&plan, &lake, &commits, &open)?;
    let continued = settle(open, &plan, transform, &lake, options)?;

    let commits = lake.commits()?;
    let begun = Begun::new(continued, &plan, &lake, &commits, &accesses, options)?;
    let Begun {
        identity,
        journal,
        head,
        ref open,
    } = begun;
    let prior = Prior::new(
        &plan,
        &lake,
        &commits,
        &identity.run_id,
        identity.snapshot_at,
        simulated,
    );
    let known = prior.known()?;
    let replayed = match open {
        Some(open) => open.replay(&plan, &lake, &known)?,
        None => Replayed::default(),
    };
    let clock = identity.clock;
    let budget = budget(
        &plan,
        &prior,
        &journal,
        clock.now(),
        open.as_ref(),
        &replayed,
    )?;
    let stamp = RunStamp::new(
        &head.run_id,
        &plan.pipeline,
        head.snapshot_at,
        plan.timezone,
    );
    let raw = raw_paths(&plan, &lake, &stamp);
    let (clients, sandboxes) = connect(&plan, accesses, head.snapshot_at).await?;
    let run = Run {
        plan: &plan,
        transform,
        raw: all_raw(&raw, open.as_ref(), &lake)?,
        stamp,
        plan_hash: plan.hash.clone(),
        lake: lake.clone(),
        simulated,
        journal: Arc::clone(&journal),
    };
    let needs = Needs {
        clients,
        writers: raw
            .into_iter()
            .map(|(source, path)| (source, RawWriter::new(path)))
            .collect(),
        journal,
        budget,
        known,
        progress: replayed.progress,
        stop,
    };
    let mut extracted = Extracted {
        calls: replayed.calls,
        pages: replayed.pages,
        items: replayed.items,
        ..Extracted::default()
    };
    let mut searches = plan.searches.clone();
    let mut extractor = Extractor::new(Arc::clone(&plan), identity, needs);
    extractor.on_event = on_event;
    let extraction = async {
        extractor.extract(searches.clone(), &mut extracted).await?;
        if extracted.cut.is_none() && !plan.follow_ups.is_empty() {
            let more = run.follow_ups(&prior, replayed.chosen)?;
            searches.extend(more.iter().cloned());
            extractor.extract(more, &mut extracted).await?;
        }
        Ok::<(), RunError>(())
    };
    let broken = extraction.await.err();
    // Waits for the last pages on their way to disk.
    drop(extractor);
    for sandbox in sandboxes {
        sandbox.stop().await;
    }

    // Whoever interrupts a run does not want to wait: the tables are made when it is continued.
    let tables = !options.extract_only && extracted.cut != Some(Cut::Interrupted);
    let mut report = run.finish(Done {
        started_at: head.started_at,
        finished_at: clock.now(),
        planned: searches.len(),
        searches,
        extracted,
        broken,
        tables,
        closed_as: None,
    })?;
    report.continued = begun.open.is_some();
    report.seconds = started.elapsed().as_secs_f64();
    Ok(report)
}

/// A run that has begun, now or in an earlier process.
struct Begun {
    identity: RunIdentity,
    journal: Arc<Journal>,
    head: RunHead,
    /// What the earlier process left.
    open: Option<OpenRun>,
}

impl Begun {
    fn new(
        open: Option<OpenRun>,
        plan: &Plan,
        lake: &Lake,
        commits: &[CommitRecord],
        accesses: &Accesses,
        options: &RunOptions,
    ) -> Result<Self, RunError> {
        if let Some(open) = open {
            let clock = match accesses.simulated() {
                true => Clock::simulated(open.head.snapshot_at),
                false => Clock::Real,
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
        let path = lake.journals().join(format!("{}.ndjson", head.run_id));
        let journal = Journal::create(path, head.clone())?;
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
fn settle(
    mut open: Vec<OpenRun>,
    plan: &Plan,
    transform: &Transform,
    lake: &Lake,
    options: &RunOptions,
) -> Result<Option<OpenRun>, RunError> {
    // Only the newest can be continued; usually there is no other.
    let newest = open.pop();
    for old in open {
        old.close(plan, transform, lake)?;
    }
    let Some(newest) = newest else {
        return Ok(None);
    };
    let run_id = newest.head.run_id.clone();
    match newest.obstacle(plan, options, Utc::now()) {
        None => {
            tracing::warn!("the run {run_id} was cut short and is continued");
            Ok(Some(newest))
        }
        Some(reason) => {
            newest.close(plan, transform, lake)?;
            tracing::warn!("the run {run_id} was cut short and is closed as it is: {reason}");
            Ok(None)
        }
    }
}

/// What may still be spent.
fn budget(
    plan: &Plan,
    prior: &Prior<'_>,
    journal: &Journal,
    now: DateTime<Utc>,
    open: Option<&OpenRun>,
    replayed: &Replayed,
) -> Result<Budget, RunError> {
    // What was billed has its price; prices may have changed since.
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

/// A run under way, or one that is closed.
struct Run<'a> {
    plan: &'a Plan,
    transform: &'a Transform,
    lake: Lake,
    stamp: RunStamp,
    plan_hash: String,
    /// Where its pages lie.
    raw: Vec<PathBuf>,
    /// Whether it observes the sandbox's world.
    simulated: bool,
    journal: Arc<Journal>,
}

/// What extraction left for the other stages.
struct Done {
    started_at: DateTime<Utc>,
    finished_at: DateTime<Utc>,
    searches: Vec<Search>,
    planned: usize,
    extracted: Extracted,
    /// What made going on impossible.
    broken: Option<RunError>,
    /// Whether the pages are made into tables.
    tables: bool,
    /// How it ended, if that is not told by what was extracted.
    closed_as: Option<Status>,
}

impl Run<'_> {
    /// The searches for the notes that were found, each once. What was chosen stays chosen, also
    /// when the run is continued.
    fn follow_ups(
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
    fn finish(&self, mut done: Done) -> Result<RunReport, RunError> {
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

/// A rehearsal's invented notes must never stand among real ones.
fn keep_worlds_apart(
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
    match other {
        false => Ok(()),
        true => Err(RunError::MixedLake {
            lake: lake.root().to_owned(),
            pipeline: plan.pipeline.clone(),
            held: word(!simulated),
            new: word(simulated),
        }),
    }
}

/// Says which paid pages neither a commit nor a journal knows: nothing but lost files makes such.
fn warn_of_orphans(
    plan: &Plan,
    lake: &Lake,
    commits: &[CommitRecord],
    open: &[OpenRun],
) -> Result<(), RunError> {
    let committed = commits.iter().map(|c| c.run_id.as_str());
    let open = open.iter().map(|o| o.head.run_id.as_str());
    let accounted: HashSet<&str> = committed.chain(open).collect();
    for (run_id, path) in lake.raw_files()? {
        if accounted.contains(run_id.as_str()) {
            continue;
        }
        let first = RawReader::open(&path)?.next().and_then(Result::ok);
        if first.is_some_and(|page| page.header.pipeline == plan.pipeline) {
            tracing::warn!(
                "{0} holds paid pages that no commit knows; to make their tables: \
                 redlake transform PIPELINE --raw {0}",
                path.display()
            );
        }
    }
    Ok(())
}

/// The run's logical time, and the clock that its observations are stamped with. In the sandbox
/// both are simulated: an hour passes between two runs into the same lake.
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
    let next = last.map_or(first, |last| first.max(last + Duration::hours(1)));
    let snapshot_at = options.snapshot_at.unwrap_or(next);
    (snapshot_at, Clock::simulated(snapshot_at))
}

/// A client for every source; the simulators that some of them talk to.
async fn connect(
    plan: &Plan,
    accesses: Accesses,
    snapshot_at: DateTime<Utc>,
) -> Result<(BTreeMap<String, Client>, Vec<Sandbox>), RunError> {
    let (accesses, sandboxes) = accesses.start(&plan.contracts, snapshot_at).await?;
    let mut clients = BTreeMap::new();
    for (name, access) in accesses {
        let client = Client::new(plan.source(&name), access, plan.limits.max_answer)?;
        clients.insert(name, client);
    }
    Ok((clients, sandboxes))
}

/// Where the run keeps the pages of each source.
fn raw_paths(plan: &Plan, lake: &Lake, stamp: &RunStamp) -> BTreeMap<String, PathBuf> {
    let path = |source: &String| lake.raw_path(source, stamp.snapshot_date, &stamp.run_id);
    plan.sources
        .keys()
        .map(|source| (source.clone(), path(source)))
        .collect()
}

/// Where the run's pages lie or will: also those that an earlier process kept under another date,
/// before the time zone was changed.
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

/// Flattens all pages of a run.
fn flatten<'p>(
    transform: &Transform,
    stamp: &RunStamp,
    raw: impl IntoIterator<Item = &'p PathBuf>,
) -> Result<Tables, RunError> {
    let mut flattener = transform.begin(stamp.clone());
    // A page counts once, in however many files it lies.
    let mut seen = HashSet::new();
    // A source that answered nothing has no file.
    for path in raw.into_iter().filter(|path| path.exists()) {
        let mut reader = RawReader::open(path)?;
        for page in &mut reader {
            let page = page?;
            if seen.insert(page.header.request_id.clone()) {
                flattener.push(&page)?;
            }
        }
        if reader.torn() {
            tracing::warn!("{}: the last page is torn and was left out", path.display());
        }
    }
    Ok(flattener.finish()?)
}

/// Writes the tables that have rows into the staging folder; their paths in the lake.
fn stage(
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

fn rows(record: &CommitRecord) -> BTreeMap<String, u64> {
    let mut rows = BTreeMap::new();
    for file in &record.add {
        *rows.entry(file.table.clone()).or_default() += file.rows;
    }
    rows
}

fn run_ref(stamp: &RunStamp, simulated: bool) -> RunRef<'_> {
    RunRef {
        run_id: &stamp.run_id,
        pipeline: &stamp.pipeline,
        snapshot_at: stamp.snapshot_at,
        simulated,
        closes: false,
    }
}
