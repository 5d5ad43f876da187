//! Retransform: rebuilds the tables of finished runs from their raw files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Serialize;
use uuid::Uuid;

use crate::extract::error::with_causes;
use crate::extract::journal::{self, Entry};
use crate::load::Lake;
use crate::load::evolution::Purpose;
use crate::load::held::CheckResult;
use crate::load::record::{CommitKind, CommitSource};
use crate::plan::Plan;
use crate::query::runs;
use crate::raw::RawReader;
use crate::raw::page::{PageHeader, RawError};
use crate::run::catalog;
use crate::run::commit::checks::{Audit, Checks, Subject};
use crate::run::commit::rewrite::{forget_old_columns, take_rows_out};
use crate::run::commit::{ledger, rows, stage, supersede};
use crate::run::error::RunError;
use crate::run::finish::refused;
use crate::run::flattening::{flatten, warn_of_raw};
use crate::run::marts::{NOT_UP_TO_DATE, follow};
use crate::run::retain::retain;
use crate::run_meta::RunMeta;
use crate::transform::contracts::Transform;
use crate::transform::tables::spill::Scratch;
use crate::transform::workers::{RawRead, Resources, WorkerInput};

/// A run whose rows were replaced, or are held because of a data check.
#[derive(Clone, Debug, Serialize)]
pub struct Retransformed {
    pub run_id: String,
    /// Number of committed rows, by table.
    pub rows: BTreeMap<String, u64>,
    pub rejects: u64,
    pub drift: u64,
    pub checks: Checks,
    /// Checks that did not pass, with the failing rows.
    pub check_results: Vec<CheckResult>,
    /// True if the new rows wait for `publish` or `discard`.
    pub held: bool,
    /// Reason why they are held, if they are.
    pub reason: Option<String>,
}

/// Policy for a run whose raw files hold other pages than its ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtherPages {
    /// Fail and keep the run's rows.
    Refuse,
    /// Replace the rows with those of the readable pages.
    Accept,
}

/// Replaces the rows of the runs that the files in `raw` belong to, with one commit for each run.
/// Reads all raw files of these runs, also those that are not in `raw`. Rows that fail the data
/// checks are held instead. The ledger of a run does not change.
///
/// # Errors
/// A file is not a raw file of this pipeline, or its run is not finished. Nothing is changed then.
/// After a later error, the runs before it stay committed.
pub fn retransform(
    plan: &Plan,
    transform: &Transform,
    root: &Path,
    raw: &[PathBuf],
    other_pages: OtherPages,
    resources: Resources,
) -> Result<Vec<Retransformed>, RunError> {
    let mut runs: BTreeMap<String, (PageHeader, BTreeSet<PathBuf>)> = BTreeMap::new();
    for path in raw {
        let first = first_page(path, plan)?;
        let (_, files) = runs
            .entry(first.run_id.clone())
            .or_insert_with(|| (first, BTreeSet::new()));
        files.insert(canonical(path));
    }
    let lake = Lake::open_for(root, plan.group)?;
    let _lock = lake.lock_pipeline(&plan.pipeline, None)?;
    lake.check(&plan.contracts, Purpose::Replace)?;
    let raw_files = lake.raw_files()?;
    let mut replaced = Vec::new();
    for run_id in runs.keys() {
        require_finished(&lake, run_id)?;
    }
    for (run_id, (first, mut files)) in runs {
        // A run has one file per source. One file alone would lose the rows of the others.
        let siblings = raw_files.iter().filter(|(id, _)| *id == run_id);
        files.extend(siblings.map(|(_, path)| canonical(path)));
        let run = (&first, files);
        replaced.push(replace(
            plan,
            transform,
            &lake,
            run,
            other_pages,
            resources,
        )?);
    }
    forget_old_columns(&lake, &plan.contracts)?;
    if let Some(error) = follow(plan, &lake) {
        tracing::warn!("{NOT_UP_TO_DATE}: {}", with_causes(&error));
    }
    retain(plan, &lake);
    Ok(replaced)
}

fn replace(
    plan: &Plan,
    transform: &Transform,
    lake: &Lake,
    (first, files): (&PageHeader, BTreeSet<PathBuf>),
    other_pages: OtherPages,
    resources: Resources,
) -> Result<Retransformed, RunError> {
    let (pipeline, timezone) = (&first.pipeline, plan.timezone);
    let meta = &RunMeta::new(
        &first.run_id,
        pipeline,
        first.snapshot_at,
        timezone,
        first.simulated,
    );
    let folder = lake.scratch()?;
    let scratch = Scratch::new(folder.path().to_owned());
    let work = WorkerInput {
        resources,
        scratch: &scratch,
    };
    let (tables, read) = flatten(transform, meta, files, &[], work)?;
    warn_of_raw(&read);
    compare_with_ledger(plan, lake, &first.run_id, &read, other_pages)?;
    if let Some(reason) = refused(plan.on_unknown_field, plan.on_bad_value, &tables) {
        return Err(RunError::Refused(reason));
    }
    let rewriting = lake.lock_rewrites()?;
    let staging = lake.stage(&Uuid::now_v7().to_string())?;
    let outcome = stage(&staging, plan, meta, tables, resources.threads)?;
    let made = |table: &str| transform.makes(table);
    let tables = &plan.contracts.tables;
    let runs = [meta.run_id.as_str()];
    let leaving = |table: &str| if made(table) { &runs[..] } else { &[] };
    let remove = take_rows_out(lake, tables, &staging, leaving, &rewriting)?;
    let source = CommitSource::of(meta);
    let audit = Audit::of(
        plan,
        &Subject {
            lake,
            staging: &staging,
            meta,
            replaces: &made,
            leaving: &[],
            leaves: &|_| false,
            tallies: &outcome.tallies,
        },
    )?;
    let mut done = Retransformed {
        run_id: meta.run_id.clone(),
        rows: BTreeMap::new(),
        rejects: outcome.rejects,
        drift: outcome.drift.iter().map(|d| d.count).sum(),
        checks: audit.counts(),
        check_results: audit.not_passed(),
        held: false,
        reason: audit.blocks(),
    };
    if done.reason.is_some() {
        done.held = true;
        let holding = staging.hold(source, remove, None, audit.results)?;
        supersede(lake, &meta.run_id, Some(&holding.held.commit_id));
    } else {
        done.rows = rows(&staging.commit(CommitKind::Replace, source, remove)?);
        supersede(lake, &meta.run_id, None);
    }
    Ok(done)
}

/// Checks that the raw files of a run hold the pages in its ledger. Otherwise the rows of lost
/// pages would be removed without replacement.
fn compare_with_ledger(
    plan: &Plan,
    lake: &Lake,
    run_id: &str,
    read: &RawRead,
    other_pages: OtherPages,
) -> Result<(), RunError> {
    let database = catalog::open_some(lake, &plan.contracts.tables, &ledger::TABLES)?;
    let in_ledger = runs::pages(&database, run_id)?;
    // The ledger was pruned, or the run is not in the lake. There is nothing to compare.
    if in_ledger.is_empty() && read.damaged.is_empty() {
        return Ok(());
    }
    let missing = in_ledger.difference(&read.accepted).count();
    let unknown = if in_ledger.is_empty() {
        0
    } else {
        read.accepted.difference(&in_ledger).count()
    };
    let has_rows = !lake.files_of(run_id)?.is_empty();
    let differs = missing > 0 || unknown > 0 || in_ledger.is_empty() && has_rows;
    let error = RunError::OtherPages {
        run_id: run_id.to_owned(),
        in_ledger: in_ledger.len(),
        missing,
        unknown,
    };
    match other_pages {
        _ if !differs => Ok(()),
        OtherPages::Refuse => Err(error),
        OtherPages::Accept => {
            tracing::warn!("{error}; the rows are replaced anyway");
            Ok(())
        }
    }
}

/// Checks that the run will not be continued: a continued run takes its files for those of its own commits.
/// A run that the lake knows nothing of, but for its pages, is as finished as it can be.
fn require_finished(lake: &Lake, run_id: &str) -> Result<(), RunError> {
    let entries = match journal::read(&lake.journal(run_id)) {
        Err(error) if error.is_not_found() => return Ok(()),
        entries => entries?,
    };
    let is_closed = entries.last() == Some(&Entry::Closed);
    if is_closed || lake.commits()?.iter().any(|c| c.closes(run_id)) {
        Ok(())
    } else {
        Err(RunError::OpenRun(run_id.to_owned()))
    }
}

/// Reads the header of the first page of a raw file, which names its run.
///
/// # Errors
/// The file has no page, no readable page, is not a raw file, or belongs to another pipeline.
fn first_page(path: &Path, plan: &Plan) -> Result<PageHeader, RunError> {
    let mut reader = RawReader::open(path)?;
    let first = reader.next().transpose()?;
    let path_of = || path.to_owned();
    let header = match (first, reader.damaged().first()) {
        (Some(page), _) => page.header,
        (None, None) => return Err(RunError::EmptyRaw(path_of())),
        (None, Some(damage)) if !damage.is_of_raw_file() => {
            return Err(RunError::Raw(RawError::Format {
                path: path_of(),
                page: 1,
                reason: damage.reason.clone(),
            }));
        }
        (None, Some(damage)) => {
            return Err(RunError::UnreadableRaw {
                path: path_of(),
                reason: damage.reason.clone(),
            });
        }
    };
    if header.pipeline != plan.pipeline {
        return Err(RunError::ForeignRaw {
            path: path.to_owned(),
            found: header.pipeline,
            wanted: plan.pipeline.clone(),
        });
    }
    Ok(header)
}

fn canonical(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}
