//! Flattening finished runs anew, from their raw files alone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Serialize;
use uuid::Uuid;

use super::{RunError, flatten, rows, run_ref, stage};
use crate::load::Lake;
use crate::load::commit::CommitKind;
use crate::plan::Plan;
use crate::query::duckdb::write_catalog;
use crate::raw::RawReader;
use crate::transform::{RunStamp, Transform};

/// A run whose rows were replaced.
#[derive(Clone, Debug, Serialize)]
pub struct Retransformed {
    pub run_id: String,
    pub rows: BTreeMap<String, u64>,
    pub rejects: u64,
    pub drift: u64,
}

/// Replaces the rows of the runs that `raw` belongs to; one commit a run. The ledger of a run is
/// left as it is: what was called and paid does not change.
///
/// # Errors
/// A file that is no raw file of this pipeline. Runs before it are committed.
pub fn retransform(
    plan: &Plan,
    transform: &Transform,
    root: &Path,
    raw: &[PathBuf],
) -> Result<Vec<Retransformed>, RunError> {
    let mut runs: BTreeMap<String, (RunStamp, BTreeSet<PathBuf>)> = BTreeMap::new();
    for path in raw {
        let stamp = stamp_of(path, plan)?;
        let (_, files) = runs
            .entry(stamp.run_id.clone())
            .or_insert_with(|| (stamp, BTreeSet::new()));
        files.insert(canonical(path));
    }
    let lake = Lake::open(root)?;
    let _lock = lake.lock_pipeline(&plan.pipeline)?;
    let mut replaced = Vec::new();
    for (run_id, (stamp, mut files)) in runs {
        // A run has a file for each source: one of them alone would lose the others' rows.
        files.extend(siblings(root, &run_id));
        replaced.push(replace(plan, transform, &lake, &stamp, &files)?);
    }
    write_catalog(root, &plan.contracts.tables)?;
    Ok(replaced)
}

fn replace(
    plan: &Plan,
    transform: &Transform,
    lake: &Lake,
    stamp: &RunStamp,
    files: &BTreeSet<PathBuf>,
) -> Result<Retransformed, RunError> {
    let tables = flatten(transform, stamp, files)?;
    let old = lake.files_of(&stamp.run_id)?;
    let mut staging = lake.stage(&Uuid::now_v7().to_string())?;
    let added = stage(&mut staging, plan, stamp, &tables.batches)?;
    let remove = old
        .into_iter()
        .filter(|file| tables.batches.contains_key(&file.table) && !added.contains(&file.path))
        .map(|file| file.path)
        .collect();
    let commits = lake.commits()?;
    let simulated = commits
        .iter()
        .any(|c| c.run_id == stamp.run_id && c.simulated);
    let run = run_ref(stamp, simulated);
    let record = staging.commit(CommitKind::Replace, &run, remove)?;
    Ok(Retransformed {
        run_id: stamp.run_id.clone(),
        rows: rows(&record),
        rejects: tables.rejects.len() as u64,
        drift: tables.drift.iter().map(|d| d.count).sum(),
    })
}

/// Whose pages a raw file holds, from its first page.
fn stamp_of(path: &Path, plan: &Plan) -> Result<RunStamp, RunError> {
    let first = RawReader::open(path)?.next().transpose()?;
    let header = first
        .ok_or_else(|| RunError::EmptyRaw(path.to_owned()))?
        .header;
    if header.pipeline != plan.pipeline {
        return Err(RunError::ForeignRaw {
            path: path.to_owned(),
            found: header.pipeline,
            wanted: plan.pipeline.clone(),
        });
    }
    Ok(RunStamp::new(
        &header.run_id,
        &header.pipeline,
        header.snapshot_at,
        plan.timezone,
    ))
}

/// The raw files of a run in the lake.
fn siblings(root: &Path, run_id: &str) -> Vec<PathBuf> {
    let folders = |path: &Path| {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        entries
            .map(|e| e.path())
            .filter(|p| p.is_dir())
            .collect::<Vec<_>>()
    };
    let name = format!("{run_id}.ndjson.zst");
    let dates = folders(&root.join("raw"))
        .into_iter()
        .flat_map(|source| folders(&source));
    dates
        .map(|date| date.join(&name))
        .filter(|p| p.is_file())
        .map(|p| canonical(&p))
        .collect()
}

fn canonical(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}
