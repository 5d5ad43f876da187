//! Removes old data from a lake: raw pages, tables of old days, or a run.

use std::collections::BTreeSet;
use std::path::PathBuf;

use chrono::{DateTime, NaiveDate, Utc};
use indexmap::IndexMap;
use serde::Serialize;
use uuid::Uuid;

use crate::load::Lake;
use crate::load::commit::Staging;
use crate::load::inventory::LiveFile;
use crate::load::locks::RewriteLock;
use crate::load::locks::readers::patience;
use crate::load::record::{CommitKind, CommitRecord, CommitSource};
use crate::maintenance::run_contents::RunContents;
use crate::maintenance::show::find;
use crate::run::commit::ledger;
use crate::run::commit::rewrite::{forget_old_columns, take_rows_out};
use crate::run::error::RunError;
use crate::run::marts::refresh_or_warn;
use crate::run_meta::RunMeta;
use crate::spec::contracts::Contracts;
use crate::spec::table::Table;

/// Selection of the data to remove.
#[derive(Clone, Debug, Default)]
pub struct PruneRequest {
    /// Raw pages of finished runs whose last commit came before.
    pub raw_before: Option<DateTime<Utc>>,
    /// Removes tables and marts of days before this one.
    pub tables_before: Option<NaiveDate>,
    /// Removes rows and raw pages of this run: its id, or a unique prefix of it.
    pub run_id: Option<String>,
    /// True if a prefix of the run's id is enough. Otherwise a prefix removes nothing.
    pub confirmed: bool,
    /// True to remove the ledger, too, with the tables of old days.
    pub ledger: bool,
}

/// Counts of what was removed, or would be removed in a dry run.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Pruned {
    /// The run that was removed, as it was before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<RunContents>,
    /// True if nothing was removed because the run's id was shortened and not confirmed.
    #[serde(skip)]
    pub is_unconfirmed: bool,
    pub raw_files: u64,
    pub raw_bytes: u64,
    /// Number of removed files of tables and marts. Files that the run shares with others are not
    /// counted here.
    pub files: u64,
    pub rewritten: u64,
    /// Bytes saved: those of removed files, and the difference of rewritten ones.
    pub bytes: u64,
    pub rows: u64,
    /// Days that lost rows.
    pub days: BTreeSet<NaiveDate>,
}

/// Removes the selected data. Keeps the ledger unless [`PruneRequest::ledger`] is set. Removes
/// nothing if [`PruneRequest::run_id`] is a prefix of a run's id, unless it is confirmed.
///
/// # Errors
/// The run is unknown or not finished, or the disk fails. What was removed before the error stays
/// removed.
pub fn prune(
    lake: &Lake,
    contracts: &Contracts,
    unwanted: &PruneRequest,
    dry_run: bool,
) -> Result<Pruned, RunError> {
    let mut pruned = Pruned::default();
    let mut dry_run = dry_run;
    let lock = lake.lock_rewrites()?;
    if let Some(asked) = &unwanted.run_id {
        let run_id = find(lake, contracts, asked)?;
        pruned.is_unconfirmed = !dry_run && !unwanted.confirmed && run_id != *asked;
        dry_run |= pruned.is_unconfirmed;
        prune_run(
            lake,
            &contracts.tables,
            &run_id,
            dry_run,
            &lock,
            &mut pruned,
        )?;
    }
    if let Some(before) = unwanted.tables_before {
        prune_days(lake, before, unwanted.ledger, dry_run, &mut pruned)?;
    }
    if let Some(before) = unwanted.raw_before {
        prune_raw(lake, &lake.old_raw(before)?, dry_run, &mut pruned)?;
    }
    drop(lock);
    if !dry_run {
        forget_old_columns(lake, contracts)?;
        refresh_or_warn(lake, contracts);
    }
    Ok(pruned)
}

fn prune_run(
    lake: &Lake,
    tables: &IndexMap<String, Table>,
    run_id: &str,
    dry_run: bool,
    lock: &RewriteLock,
    pruned: &mut Pruned,
) -> Result<(), RunError> {
    let commits = lake.commits()?;
    let of_run: Vec<&CommitRecord> = commits.iter().filter(|c| c.run_id == run_id).collect();
    let Some(last) = of_run.last() else {
        return Err(RunError::OpenRun(run_id.to_owned()));
    };
    if !of_run.iter().any(|commit| commit.closes_run) {
        return Err(RunError::OpenRun(run_id.to_owned()));
    }
    let is_data = |table: &str| !ledger::is_ledger(table);
    let mut files = lake.files_of(run_id)?;
    files.retain(|live| is_data(&live.file.table));
    pruned.days.extend(files.iter().filter_map(LiveFile::date));
    let (own, shared): (Vec<&LiveFile>, Vec<&LiveFile>) =
        files.iter().partition(|live| live.runs.len() == 1);
    pruned.files += own.len() as u64;
    pruned.rewritten += shared.len() as u64;
    let mut raw = lake.raw_files()?;
    raw.retain(|(of, _)| of == run_id);
    let contents = RunContents::of(lake, tables, last, &files, &raw)?;
    pruned.rows += contents.rows();
    pruned.run = Some(contents);
    let (bytes, _) = sums(files.iter());
    let mut bytes_after = 0;
    if !dry_run {
        lake.supersede(run_id, None)?;
    }
    if !dry_run && !files.is_empty() {
        let staging = lake.stage(&Uuid::now_v7().to_string())?;
        let runs = [run_id];
        let leaving = |table: &str| if is_data(table) { &runs[..] } else { &[] };
        let remove = take_rows_out(lake, tables, &staging, leaving, lock)?;
        let record = commit(lake, staging, last.simulated, last.snapshot_at, remove)?;
        bytes_after = record.add.iter().map(|file| file.bytes).sum();
    } else if !shared.is_empty() {
        // The run's share of their bytes is known only after a rewrite.
        (bytes_after, _) = sums(shared.iter().copied());
    }
    pruned.bytes += bytes - bytes_after.min(bytes);
    prune_raw(lake, &raw, dry_run, pruned)
}

fn prune_days(
    lake: &Lake,
    before: NaiveDate,
    with_ledger: bool,
    dry_run: bool,
    pruned: &mut Pruned,
) -> Result<(), RunError> {
    let mut files: Vec<LiveFile> = lake.live_files()?.into_values().collect();
    let is_ledger = |live: &LiveFile| ledger::is_ledger(&live.file.table);
    files.retain(|live| live.date().is_some_and(|date| date < before));
    files.retain(|live| with_ledger || !is_ledger(live));
    if files.is_empty() {
        return Ok(());
    }
    let (bytes, rows) = sums(&files);
    pruned.files += files.len() as u64;
    pruned.bytes += bytes;
    pruned.rows += rows;
    // The date of a weekly mart is a Monday, on which the lake may have no rows.
    let of_tables = files.iter().filter(|live| live.is_of_table());
    pruned.days.extend(of_tables.filter_map(LiveFile::date));
    if dry_run {
        return Ok(());
    }
    let staging = lake.stage(&Uuid::now_v7().to_string())?;
    let simulated = files.iter().any(|live| live.simulated);
    let at = before.and_time(chrono::NaiveTime::MIN).and_utc();
    let remove = files.into_iter().map(|live| live.file.path).collect();
    commit(lake, staging, simulated, at, remove)?;
    Ok(())
}

fn prune_raw(
    lake: &Lake,
    files: &[(String, PathBuf)],
    dry_run: bool,
    pruned: &mut Pruned,
) -> Result<(), RunError> {
    let removed = if dry_run {
        lake.size_of_raw(files)
    } else {
        lake.remove_raw(files)?
    };
    pruned.raw_files += removed.files;
    pruned.raw_bytes += removed.bytes;
    Ok(())
}

/// Commits a removal once no reader holds the lake. Warns and commits anyway after [`patience`].
fn commit(
    lake: &Lake,
    staging: Staging,
    simulated: bool,
    snapshot_at: DateTime<Utc>,
    remove: Vec<String>,
) -> Result<CommitRecord, RunError> {
    let id = staging.id().to_owned();
    let no_readers = lake.wait_for_readers()?;
    if no_readers.is_none() {
        tracing::warn!(
            "a reader has held the lake for {} s; its queries of removed files fail",
            patience().as_secs_f64()
        );
    }
    let meta = RunMeta::of_maintenance(&id, snapshot_at, simulated);
    Ok(staging.commit(CommitKind::Prune, CommitSource::of(&meta), remove)?)
}

/// Returns the total bytes and rows of files.
fn sums<'f>(files: impl IntoIterator<Item = &'f LiveFile>) -> (u64, u64) {
    files.into_iter().fold((0, 0), |(bytes, rows), live| {
        (bytes + live.file.bytes, rows + live.file.rows)
    })
}
