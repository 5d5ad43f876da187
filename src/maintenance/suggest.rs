//! Suggests columns for unknown fields in raw files.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::load::Lake;
use crate::raw::RawReader;
use crate::run::error::RunError;
use crate::run::flattening::{flatten, warn_of_raw};
use crate::run_meta::RunMeta;
use crate::spec::contracts::Contracts;
use crate::transform::contracts::Transform;
use crate::transform::suggest::{Suggestion, Unknown};
use crate::transform::tables::spill::Scratch;
use crate::transform::workers::{MEMORY, Resources, WorkerInput};

/// Suggested columns for fields that are not in the contracts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Suggestions {
    pub files: usize,
    pub pages: usize,
    pub fields: Vec<Suggestion>,
}

/// Returns the raw files of the newest runs in a lake.
///
/// # Errors
/// A folder cannot be listed.
pub fn newest_raw(lake: &Lake, runs: usize) -> Result<Vec<PathBuf>, RunError> {
    let files = lake.raw_files()?;
    // The ids of runs sort by time.
    let ids: BTreeSet<&String> = files.iter().map(|(run_id, _)| run_id).collect();
    let newest: BTreeSet<String> = ids.into_iter().rev().take(runs).cloned().collect();
    let of_newest = files.into_iter().filter(|(id, _)| newest.contains(id));
    Ok(of_newest.map(|(_, path)| path).collect())
}

/// Suggests a column for each field in these files that counts as drift. With `examples`, the
/// suggestions contain values.
///
/// # Errors
/// A file is not a raw file, or a page belongs to an endpoint without a contract.
pub fn suggest(
    contracts: &Contracts,
    transform: &Transform,
    raw: &[PathBuf],
    examples: bool,
) -> Result<Suggestions, RunError> {
    let mut drift = Vec::new();
    let folder = tempfile::tempdir().map_err(RunError::Scratch)?;
    let scratch = Scratch::new(folder.path().to_owned());
    let work = WorkerInput {
        resources: Resources {
            threads: 1,
            memory: MEMORY,
        },
        scratch: &scratch,
    };
    for path in raw {
        if let Some(meta) = run_of(path)? {
            let (flattened, read) = flatten(transform, &meta, [path.clone()], &[], work)?;
            warn_of_raw(&read);
            drift.extend(flattened.drift);
        }
    }
    let mut unknown = Unknown::new(contracts, &drift);
    let mut pages = 0;
    for path in raw {
        for page in RawReader::open(path)? {
            unknown.look(&page?);
            pages += 1;
        }
    }
    Ok(Suggestions {
        files: raw.len(),
        pages,
        fields: unknown.suggestions(examples),
    })
}

/// Returns the identity of the run that a raw file belongs to. `None` if the file has no page.
fn run_of(path: &Path) -> Result<Option<RunMeta>, RunError> {
    let first = RawReader::open(path)?.next().transpose()?;
    Ok(first.map(|page| {
        let header = page.header;
        RunMeta::new(
            &header.run_id,
            &header.pipeline,
            header.snapshot_at,
            chrono_tz::UTC,
            header.simulated,
        )
    }))
}
