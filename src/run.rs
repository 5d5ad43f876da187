//! One execution of a pipeline, and of its parts: the stages tied together.
//!
//! A run that made a call always commits its ledger, whatever became of its data.

pub mod access;
mod ledger;
pub mod report;
mod retransform;

#[cfg(test)]
mod tests;

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
use crate::extract::client::{Client, ClientError};
use crate::extract::{Event, ExtractError, Extracted, Extractor, RunIdentity};
use crate::load::commit::{CommitKind, CommitRecord, RunRef, Staging};
use crate::load::{Lake, LakeError, encode, table_path};
use crate::plan::{Plan, Search};
use crate::query::duckdb::{QueryError, write_catalog};
use crate::raw::{RawError, RawReader, RawWriter};
use crate::sandbox::Sandbox;
use crate::transform::{RunStamp, Tables, Transform, TransformError, select};
use access::{AccessError, Accesses};
use ledger::RunRow;
use report::{RunReport, Status};

/// What a user may say about one run.
#[derive(Clone, Debug)]
pub struct RunOptions {
    pub lake: PathBuf,
    /// The logical time of what is observed; now, if not given.
    pub snapshot_at: Option<DateTime<Utc>>,
    /// Commit the ledger only; `transform --raw` makes the tables later.
    pub extract_only: bool,
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
    Extract(#[from] ExtractError),
    #[error(transparent)]
    Transform(#[from] TransformError),
    #[error(transparent)]
    Catalog(#[from] QueryError),
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

/// Runs a pipeline: extract, transform, commit, catalog. `stop` becomes true to end it early.
///
/// # Errors
/// What makes a run impossible. Failed searches, a wrong token and an interruption are part of
/// the report: what was fetched before them is committed.
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
    let _lock = lake.lock_pipeline(&plan.pipeline)?;
    let commits = lake.commits()?;
    keep_worlds_apart(&plan, &lake, &commits, &accesses)?;
    warn_of_orphans(&plan, &lake, &commits)?;
    let simulated = accesses.simulated();
    let (snapshot_at, clock) = times(&plan, &commits, &accesses, options);
    let run_id = Uuid::now_v7().to_string();
    let stamp = RunStamp::new(&run_id, &plan.pipeline, snapshot_at, plan.timezone);
    let identity = RunIdentity {
        run_id,
        snapshot_at,
        simulated,
        clock,
    };
    let started_at = clock.now();

    let (clients, sandboxes) = connect(&plan, accesses, snapshot_at).await?;
    let run = Run {
        plan: &plan,
        transform,
        raw: raw_paths(&plan, &lake, &stamp),
        stamp,
        lake,
        simulated,
    };
    let writers = run
        .raw
        .iter()
        .map(|(source, path)| (source.clone(), RawWriter::new(path.clone())));
    let mut extractor = Extractor::new(
        Arc::clone(&plan),
        identity,
        clients,
        writers.collect(),
        stop,
    );
    extractor.on_event = on_event;
    let mut searches = plan.searches.clone();
    let mut extracted = Extracted::default();
    let extraction = async {
        extractor.extract(searches.clone(), &mut extracted).await?;
        if extracted.cut.is_none() && !plan.follow_ups.is_empty() {
            let more = run.follow_ups()?;
            searches.extend(more.iter().cloned());
            extractor.extract(more, &mut extracted).await?;
        }
        Ok::<(), RunError>(())
    };
    let broken = extraction.await.err();
    drop(extractor);
    for sandbox in sandboxes {
        sandbox.stop().await;
    }

    let done = Done {
        started_at,
        finished_at: clock.now(),
        searches,
        extracted,
        broken,
    };
    let mut report = run.finish(done, options.extract_only)?;
    report.seconds = started.elapsed().as_secs_f64();
    Ok(report)
}

/// A run under way.
struct Run<'a> {
    plan: &'a Plan,
    transform: &'a Transform,
    lake: Lake,
    stamp: RunStamp,
    /// Where the pages of each source lie.
    raw: BTreeMap<String, PathBuf>,
    /// Whether it observes the sandbox's world.
    simulated: bool,
}

/// What extraction left for the other stages.
struct Done {
    started_at: DateTime<Utc>,
    finished_at: DateTime<Utc>,
    searches: Vec<Search>,
    extracted: Extracted,
    /// What made going on impossible.
    broken: Option<RunError>,
}

impl Run<'_> {
    /// The searches for the notes that this run found, each once.
    fn follow_ups(&self) -> Result<Vec<Search>, RunError> {
        let tables = flatten(self.transform, &self.stamp, self.raw.values())?;
        let Some(engagement) = tables.batches.get("engagement") else {
            return Ok(Vec::new());
        };
        let mut searches: Vec<Search> = Vec::new();
        for follow_up in &self.plan.follow_ups {
            let top = follow_up.top as usize;
            let ids = select::top_notes(engagement, &follow_up.found_by, &follow_up.by, top);
            let asked: HashSet<String> = searches.iter().map(|s| s.search_id.clone()).collect();
            let more = self.plan.follow_up_searches(follow_up, &ids).into_iter();
            searches.extend(more.filter(|s| !asked.contains(&s.search_id)));
        }
        Ok(searches)
    }

    /// Transforms, commits, rebuilds the catalog. Whatever went wrong, the money is spent: the
    /// ledger is committed, then the error told.
    fn finish(&self, mut done: Done, extract_only: bool) -> Result<RunReport, RunError> {
        let mut broken = done.broken.take();
        let mut tables = Tables::default();
        if !extract_only && broken.is_none() {
            match flatten(self.transform, &self.stamp, self.raw.values()) {
                Ok(flattened) => tables = flattened,
                Err(error) => broken = Some(error),
            }
        }
        let status = match &broken {
            Some(_) => Status::Failed,
            None => Status::of(&done.extracted),
        };
        let (searches, extracted) = (&done.searches, &done.extracted);
        let root = self.lake.root();
        let mut report = RunReport::new(self.plan, &self.stamp, root, status, searches, extracted);
        report.rejects = tables.rejects.len() as u64;
        report.drift = tables.drift.iter().map(|d| d.count).sum();
        report.drift_rows = tables.drift;
        report.raw = self
            .raw
            .values()
            .filter(|path| path.exists())
            .cloned()
            .collect();
        if !extracted.calls.is_empty() {
            let mut batches = tables.batches;
            batches.extend(self.ledger(&done, &report)?);
            report.rows = self.commit(&batches)?;
        }
        // The data is committed: a catalog that cannot be written must not look like a failed run.
        report.catalog_error = write_catalog(root, &self.plan.contracts.tables).err();
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
            plan_hash: &self.plan.hash,
            version: env!("CARGO_PKG_VERSION"),
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

    /// Makes the tables visible, all or none; their rows.
    fn commit(
        &self,
        batches: &BTreeMap<String, RecordBatch>,
    ) -> Result<BTreeMap<String, u64>, RunError> {
        let mut staging = self.lake.stage(&self.stamp.run_id)?;
        stage(&mut staging, self.plan, &self.stamp, batches)?;
        let run = run_ref(&self.stamp, self.simulated);
        let record = staging.commit(CommitKind::Run, &run, Vec::new())?;
        Ok(rows(&record))
    }
}

/// A rehearsal's invented notes must never stand among real ones.
fn keep_worlds_apart(
    plan: &Plan,
    lake: &Lake,
    commits: &[CommitRecord],
    accesses: &Accesses,
) -> Result<(), RunError> {
    let simulated = accesses.simulated();
    let other = commits
        .iter()
        .any(|c| c.pipeline == plan.pipeline && c.simulated != simulated);
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

/// Says which runs died with paid pages that no commit knows.
fn warn_of_orphans(plan: &Plan, lake: &Lake, commits: &[CommitRecord]) -> Result<(), RunError> {
    let committed: HashSet<&str> = commits.iter().map(|c| c.run_id.as_str()).collect();
    for (run_id, path) in lake.raw_files()? {
        if committed.contains(run_id.as_str()) {
            continue;
        }
        let first = RawReader::open(&path)?.next().and_then(Result::ok);
        if first.is_some_and(|page| page.header.pipeline == plan.pipeline) {
            tracing::warn!(
                "{0} holds paid pages of a run that died; to make its tables: \
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
        clients.insert(name.clone(), Client::new(plan.source(&name), access)?);
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
    }
}
