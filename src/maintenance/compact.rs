//! Many small files of closed days become few sorted ones.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use serde::Serialize;
use uuid::Uuid;

use crate::load::inventory::LiveFile;
use crate::load::locks::readers::patience;
use crate::load::record::{CommitKind, RunRef};
use crate::load::{Lake, LakeError};
use crate::run::error::RunError;
use crate::run::rewrite::{FILE_BYTES, Rewriter};
use crate::spec::contracts::Contracts;

/// What became of one day of one table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CompactedDay {
    pub dt: NaiveDate,
    pub table: String,
    pub rows: u64,
    pub files_before: u64,
    pub files_after: u64,
    pub bytes_before: u64,
    /// Null in a dry run and for a skipped day, since it is known only after writing.
    pub bytes_after: Option<u64>,
    /// Whether the files stay as they are, because somebody was reading for too long. The next compaction
    /// takes them.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub skipped: bool,
}

/// What was compacted, or would be.
#[derive(Debug, Default)]
pub struct Compacted {
    pub days: Vec<CompactedDay>,
    /// Files that are not as they were committed; those beside them stay as they are, too.
    pub damaged: Vec<LakeError>,
}

/// Compacts the days before `before`; a commit for each.
///
/// # Errors
/// A disk that is full, or rows that were not written as they were. The days before it are committed.
pub fn compact(
    lake: &Lake,
    contracts: &Contracts,
    before: NaiveDate,
    dry_run: bool,
) -> Result<Compacted, RunError> {
    let _lock = lake.rewrite_lock()?;
    let files = lake.live_files()?;
    let rewriter = Rewriter::new(lake, &contracts.tables)?;
    let mut days: BTreeMap<NaiveDate, BTreeMap<PathBuf, Vec<&LiveFile>>> = BTreeMap::new();
    // What is held of a run takes the place of its files when it is published.
    let held: BTreeSet<String> = lake.held()?.into_iter().map(|held| held.run_id).collect();
    let free = |live: &&LiveFile| live.is_of_table() && live.runs.is_disjoint(&held);
    for live in files.values().filter(free) {
        if let Some(date) = live.date().filter(|date| *date < before) {
            let partitions = days.entry(date).or_default();
            let partition = partitions.entry(live.partition().to_owned());
            partition.or_default().push(live);
        }
    }
    let mut compacted = Compacted::default();
    for (dt, mut partitions) in days {
        partitions.retain(|_, files| {
            worthwhile(files) && rewriter.contract(&files[0].file.table).is_some()
        });
        if partitions.is_empty() {
            continue;
        }
        if dry_run {
            let forecast = partitions.values().map(|files| forecast(dt, files));
            compacted.days.extend(forecast);
        } else {
            compact_day(lake, &rewriter, dt, &partitions, &mut compacted)?
        }
    }
    if !dry_run {
        // Files that had other columns may all be replaced now.
        lake.recount_mixed(compacted.days.iter().map(|day| day.table.as_str()))?;
    }
    Ok(compacted)
}

/// The first day that is not over everywhere on earth: the pipelines of a lake may count their days
/// in different time zones.
pub fn first_open_day(now: DateTime<Utc>) -> NaiveDate {
    let then = now.checked_sub_signed(TimeDelta::hours(12));
    then.unwrap_or(now).date_naive()
}

/// Whether there are more files than their size asks for.
fn worthwhile(files: &[&LiveFile]) -> bool {
    let wanted = bytes(files).div_ceil(FILE_BYTES).max(1);
    files.len() as u64 > wanted
}

fn compact_day(
    lake: &Lake,
    rewriter: &Rewriter<'_>,
    dt: NaiveDate,
    partitions: &BTreeMap<PathBuf, Vec<&LiveFile>>,
    compacted: &mut Compacted,
) -> Result<(), RunError> {
    lake.require_room(partitions.values().map(|files| bytes(files)).sum())?;
    let commit_id = Uuid::now_v7().to_string();
    let staging = lake.stage(&commit_id)?;
    let mut days = Vec::new();
    let mut remove = Vec::new();
    for files in partitions.values() {
        let Some(table) = rewriter.contract(&files[0].file.table) else {
            continue;
        };
        let name = format!("compact-{commit_id}");
        let written = match rewriter.rewrite(&staging, table, files, None, &name) {
            Err(RunError::Lake(damaged @ LakeError::Damaged { .. })) => {
                compacted.damaged.push(damaged);
                continue;
            }
            written => written?,
        };
        remove.extend(files.iter().map(|live| live.file.path.clone()));
        days.push(CompactedDay {
            rows: written.rows,
            files_after: written.files,
            ..forecast(dt, files)
        });
    }
    if days.is_empty() {
        return Ok(staging.abandon()?);
    }
    let Some(_no_readers) = lake.wait_for_readers()? else {
        tracing::warn!(
            "the files of {dt} stay as they are: somebody has been reading the lake for {} s; the next \
             `redlake compact` takes them",
            patience().as_secs_f64()
        );
        compacted
            .days
            .extend(days.into_iter().map(|day| CompactedDay {
                files_after: day.files_before,
                skipped: true,
                ..day
            }));
        return Ok(staging.abandon()?);
    };
    let simulated = partitions.values().flatten().any(|live| live.simulated);
    let run = RunRef::of_no_run(&commit_id, end_of(dt), simulated);
    let record = staging.commit(CommitKind::Compact, &run, remove)?;
    for day in &mut days {
        let written = record.add.iter().filter(|file| file.table == day.table);
        day.bytes_after = Some(written.map(|file| file.bytes).sum());
    }
    compacted.days.extend(days);
    Ok(())
}

fn forecast(dt: NaiveDate, files: &[&LiveFile]) -> CompactedDay {
    CompactedDay {
        dt,
        table: files[0].file.table.clone(),
        rows: files.iter().map(|live| live.file.rows).sum(),
        files_before: files.len() as u64,
        files_after: bytes(files).div_ceil(FILE_BYTES).max(1),
        bytes_before: bytes(files),
        bytes_after: None,
        skipped: false,
    }
}

fn bytes(files: &[&LiveFile]) -> u64 {
    files.iter().map(|live| live.file.bytes).sum()
}

fn end_of(dt: NaiveDate) -> DateTime<Utc> {
    let next = dt.checked_add_days(Days::new(1)).unwrap_or(dt);
    next.and_time(chrono::NaiveTime::MIN).and_utc()
}
