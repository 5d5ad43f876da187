//! One execution of a pipeline or of a shard of it: extract, transform, commit, catalog.
//!
//! A run that made a call always commits its ledger, even if its data cannot be committed.

pub mod access;
pub mod error;
pub mod flattening;
pub mod options;

pub mod begin;
pub mod catalog;
pub mod checks;
pub mod commit;
pub mod finish;
pub mod ledger;
pub mod marts;
pub mod prior;
pub mod report;
pub mod resume;
pub mod retain;
pub mod rewrite;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio::sync::watch;

use crate::extract::client::Client;
use crate::extract::context::Cut;
use crate::extract::daily_spend::sent_since;
use crate::extract::replay::Replayed;
use crate::extract::{Extracted, Extractor, Needs};
use crate::load::Lake;
use crate::load::evolution::Purpose;
use crate::plan::Plan;
use crate::raw::{RawWriter, check_writable};
use crate::sandbox::Sandbox;
use crate::transform::contracts::Transform;
use crate::transform::stamp::RunStamp;
use access::Accesses;
use begin::{Begun, budget, reject_mixed_lake, resume_or_close, warn_of_orphans};
use finish::{Done, Run};
use prior::Prior;
use report::{RunReport, Status};
use resume::OpenRun;
use retain::retain;

pub use crate::run::options::Resume;
pub use error::RunError;
pub use options::{OnEvent, RunOptions};

/// Runs a pipeline: extract, transform, commit, catalog. Ends early when `stop` becomes true.
/// Continues a run of the same plan that was cut short, subject to [`RunOptions::resume`].
///
/// # Errors
/// The run is impossible. Failed searches, a wrong token, a budget that is used up and an
/// interruption are not errors: the report has them, and the pages fetched before are kept.
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
    let lake = Lake::open_for(&options.lake, plan.group)?;
    let _lock = lake.lock_pipeline(&plan.pipeline, plan.shard)?;
    lake.check(&plan.contracts, Purpose::Add)?;
    // No call is paid whose answer cannot be stored.
    lake.require_room(0)?;
    let commits = lake.commits()?;
    let simulated = accesses.simulated();
    let open = OpenRun::find(&lake, &plan, &commits)?;
    reject_mixed_lake(&plan, &lake, &commits, &open, simulated)?;
    warn_of_orphans(&plan, &lake, &commits)?;
    let any_open = !open.is_empty();
    let continued = resume_or_close(open, &plan, transform, &lake, options)?;

    // Closing a run may commit. The records are read again only if a run may have been closed.
    let commits = if any_open { lake.commits()? } else { commits };
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
    for path in raw.values() {
        // No page is paid that cannot be stored.
        check_writable(path, lake.access())?;
    }
    let (clients, sandboxes) = connect(&plan, accesses, head.snapshot_at).await?;
    let run = Run {
        plan: &plan,
        transform,
        raw: all_raw(&raw, open.as_ref(), &lake)?,
        stamp,
        plan_hash: plan.hash.clone(),
        lost: replayed.lost,
        shard: plan.shard,
        lake: lake.clone(),
        simulated,
        journal: Arc::clone(&journal),
        threads: options.threads,
    };
    let needs = Needs {
        clients,
        writers: raw
            .into_iter()
            .map(|(source, path)| (source, RawWriter::new(path).readable_by(lake.access())))
            .collect(),
        journal,
        budget,
        known,
        recent: recent(&plan, &lake)?,
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
    // Waits until the last pages are on disk.
    drop(extractor);
    for sandbox in sandboxes {
        sandbox.stop().await;
    }

    // An interrupted run ends at once: its tables are made when it is continued.
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
        reason: None,
    })?;
    // An interrupted run ends at once.
    if report.status != Status::Interrupted {
        report.raw_removed = retain(&plan, &lake);
        report.raw.retain(|path| path.exists());
    }
    report.continued = begun.open.is_some();
    report.seconds = started.elapsed().as_secs_f64();
    Ok(report)
}

/// Returns a client for each source, and the sandboxes that were started for them.
async fn connect(
    plan: &Plan,
    accesses: Accesses,
    snapshot_at: DateTime<Utc>,
) -> Result<(BTreeMap<String, Client>, Vec<Sandbox>), RunError> {
    let (accesses, sandboxes) = accesses.start(&plan.contracts, snapshot_at).await?;
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
fn raw_paths(plan: &Plan, lake: &Lake, stamp: &RunStamp) -> BTreeMap<String, PathBuf> {
    let path = |source: &String| lake.raw_path(source, stamp.snapshot_date, &stamp.run_id);
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
    let now = Utc::now();
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
