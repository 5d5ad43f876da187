//! Compaction: merges the small files of past days into a few sorted ones.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Mutex, mpsc};
use std::thread;

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use indexmap::IndexMap;
use serde::Serialize;
use uuid::Uuid;

use crate::load::commit::Staging;
use crate::load::inventory::LiveFile;
use crate::load::locks::readers::patience;
use crate::load::record::{CommitKind, CommitSource};
use crate::load::{Lake, LakeError};
use crate::run::commit::rewrite::{FILE_BYTES, Rewritable, Rewriter, Written};
use crate::run::error::RunError;
use crate::run_meta::RunMeta;
use crate::spec::contracts::Contracts;
use crate::spec::table::Table;

/// Result of a compaction for one partition: a table on one day.
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
    /// True if the files were kept because a reader held the lake for too long. The next compaction
    /// retries them.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub skipped: bool,
}

/// Result of a compaction, or of its dry run.
#[derive(Debug, Default)]
pub struct Compacted {
    pub days: Vec<CompactedDay>,
    /// Files that differ from their commit record or cannot be read. Their whole partition is left
    /// unchanged.
    pub damaged: Vec<LakeError>,
}

/// A step of a compaction.
#[derive(Clone, Copy, Debug)]
pub enum CompactionStep<'s> {
    /// The compaction begins to rewrite this number of files.
    Begun { files: u64 },
    /// The files of a partition are rewritten. They are committed with the others of the day.
    Rewritten(&'s CompactedDay),
    /// A file of a partition is damaged or cannot be read, so the partition stays as it is.
    Damaged(&'s CompactedDay),
}

/// Compacts the days before `before`, with one commit for each day. Calls `on_step` for each
/// partition, but not in a dry run.
///
/// # Errors
/// The disk is full, or rewritten rows differ from the original ones. Earlier days stay committed.
pub fn compact(
    lake: &Lake,
    contracts: &Contracts,
    before: NaiveDate,
    dry_run: bool,
    on_step: &dyn Fn(CompactionStep<'_>),
) -> Result<Compacted, RunError> {
    let _lock = lake.lock_rewrites()?;
    let files = lake.live_files()?;
    let rewritable = Rewritable::of(lake, &contracts.tables)?;
    let mut days: BTreeMap<NaiveDate, BTreeMap<PathBuf, Vec<&LiveFile>>> = BTreeMap::new();
    // Publishing held tables replaces the run's files, so these must stay.
    let held: BTreeSet<String> = lake.held()?.into_iter().map(|held| held.run_id).collect();
    let free = |live: &&LiveFile| live.is_of_table() && live.runs.is_disjoint(&held);
    for live in files.values().filter(free) {
        if let Some(date) = live.date().filter(|date| *date < before) {
            let partitions = days.entry(date).or_default();
            let partition = partitions.entry(live.partition().to_owned());
            partition.or_default().push(live);
        }
    }
    for partitions in days.values_mut() {
        partitions.retain(|_, files| {
            worthwhile(files) && rewritable.contract(&files[0].file.table).is_some()
        });
    }
    days.retain(|_, partitions| !partitions.is_empty());
    if !dry_run {
        let files = days.values().flat_map(BTreeMap::values);
        on_step(CompactionStep::Begun {
            files: files.map(|files| files.len() as u64).sum(),
        });
    }
    let mut rewriters = match days.values().map(BTreeMap::len).max() {
        Some(most) if !dry_run => Rewriter::several(lake, most)?,
        _ => Vec::new(),
    };
    let mut compacted = Compacted::default();
    for (dt, partitions) in days {
        if dry_run {
            let forecast = partitions.values().map(|files| forecast(dt, files));
            compacted.days.extend(forecast);
        } else {
            let day = Day {
                dt,
                partitions: &partitions,
                tables: &contracts.tables,
            };
            compact_day(lake, &mut rewriters, day, &mut compacted, on_step)?
        }
    }
    if !dry_run {
        // All files with other columns may have been replaced.
        lake.recount_mixed(compacted.days.iter().map(|day| day.table.as_str()))?;
    }
    Ok(compacted)
}

/// Returns the first day that is not yet over in every time zone. Pipelines of a lake may use
/// different time zones.
pub fn first_open_day(now: DateTime<Utc>) -> NaiveDate {
    let then = now.checked_sub_signed(TimeDelta::hours(12));
    then.unwrap_or(now).date_naive()
}

/// Returns true if there are more files than their total size requires.
fn worthwhile(files: &[&LiveFile]) -> bool {
    let wanted = bytes(files).div_ceil(FILE_BYTES).max(1);
    files.len() as u64 > wanted
}

/// Returns the days before `before` that have something to compact. `held` are the runs whose tables
/// are held, and whose files stay.
pub fn uncompacted_days(
    files: &BTreeMap<String, LiveFile>,
    contracts: &Contracts,
    held: &BTreeSet<String>,
    before: NaiveDate,
) -> BTreeSet<NaiveDate> {
    let mut partitions: BTreeMap<(NaiveDate, &str), Vec<&LiveFile>> = BTreeMap::new();
    for live in files.values() {
        let table = live.file.table.as_str();
        let is_free = live.is_of_table() && live.runs.is_disjoint(held);
        if let Some(date) = live.date()
            && date < before
            && is_free
            && contracts.tables.contains_key(table)
        {
            partitions.entry((date, table)).or_default().push(live);
        }
    }
    let uncompacted = partitions
        .into_iter()
        .filter(|(_, files)| worthwhile(files));
    uncompacted.map(|((date, _), _)| date).collect()
}

/// The files of a day to compact, by partition. Each partition has a table.
#[derive(Clone, Copy)]
struct Day<'d> {
    dt: NaiveDate,
    partitions: &'d BTreeMap<PathBuf, Vec<&'d LiveFile>>,
    tables: &'d IndexMap<String, Table>,
}

fn compact_day(
    lake: &Lake,
    rewriters: &mut [Rewriter<'_>],
    day: Day<'_>,
    compacted: &mut Compacted,
    on_step: &dyn Fn(CompactionStep<'_>),
) -> Result<(), RunError> {
    let Day { dt, partitions, .. } = day;
    lake.require_room(partitions.values().map(|files| bytes(files)).sum())?;
    let commit_id = Uuid::now_v7().to_string();
    let staging = lake.stage(&commit_id)?;
    // Results come in any order.
    let (mut days, mut damaged) = (BTreeMap::new(), BTreeMap::new());
    rewrite_all(rewriters, &staging, day, |partition, written| {
        let before = forecast(dt, &partitions[partition]);
        match written {
            Ok(written) => {
                let day = CompactedDay {
                    rows: written.rows,
                    files_after: written.files,
                    ..before
                };
                on_step(CompactionStep::Rewritten(&day));
                days.insert(partition, day);
                Ok(())
            }
            Err(RunError::Lake(
                error @ (LakeError::Damaged { .. } | LakeError::Unreadable { .. }),
            )) => {
                on_step(CompactionStep::Damaged(&before));
                damaged.insert(partition, error);
                Ok(())
            }
            Err(error) => Err(error),
        }
    })?;
    compacted.damaged.extend(damaged.into_values());
    let remove = days.keys().flat_map(|partition| &partitions[*partition]);
    let remove = remove.map(|live| live.file.path.clone()).collect();
    let mut days: Vec<CompactedDay> = days.into_values().collect();
    if days.is_empty() {
        return Ok(staging.abandon()?);
    }
    let Some(_no_readers) = lake.wait_for_readers()? else {
        tracing::warn!(
            "the files of {dt} are not compacted: a reader has held the lake for {} s; run `redlake \
             compact` again later",
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
    let meta = RunMeta::of_maintenance(&commit_id, end_of(dt), simulated);
    let record = staging.commit(CommitKind::Compact, CommitSource::of(&meta), remove)?;
    for day in &mut days {
        let written = record.add.iter().filter(|file| file.table == day.table);
        day.bytes_after = Some(written.map(|file| file.bytes).sum());
    }
    compacted.days.extend(days);
    Ok(())
}

/// Stages the rewritten files of all partitions, the largest first, and passes the result of each to
/// `take`. Ends after the first error of `take`.
fn rewrite_all<'d>(
    rewriters: &mut [Rewriter<'_>],
    staging: &Staging,
    day: Day<'d>,
    mut take: impl FnMut(&'d PathBuf, Result<Written, RunError>) -> Result<(), RunError>,
) -> Result<(), RunError> {
    let with_table = |(partition, files): (&'d PathBuf, &'d Vec<&LiveFile>)| {
        let table = day.tables.get(&files[0].file.table)?;
        Some((partition, files, table))
    };
    let mut queue: Vec<_> = day.partitions.iter().filter_map(with_table).collect();
    queue.sort_by_key(|(_, files, _)| bytes(files));
    let queue = Mutex::new(queue);
    let next = || queue.lock().unwrap_or_else(|e| e.into_inner()).pop();
    let name = format!("compact-{}", staging.id());
    let (send, receive) = mpsc::channel();
    thread::scope(|scope| {
        for rewriter in rewriters {
            let (send, next, name) = (send.clone(), &next, &name);
            scope.spawn(move || {
                while let Some((partition, files, table)) = next() {
                    let written = rewriter.rewrite(staging, table, files, &[], name);
                    // The receiver is dropped after an error.
                    if send.send((partition, written)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(send);
        let mut results = receive.into_iter();
        results.try_for_each(|(partition, written)| take(partition, written))
    })
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
