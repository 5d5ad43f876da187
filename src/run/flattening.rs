//! Flattens the raw files of a run into tables.

use std::path::PathBuf;
use std::sync::Once;

use crate::run::error::RunError;
use crate::run_meta::RunMeta;
use crate::transform::contracts::Transform;
use crate::transform::tables::finish::Flattened;
use crate::transform::workers::{RawRead, WorkerInput};

/// Flattens all pages of a run. Builds the tables in `only`, or all tables if it is empty. Also
/// returns what was read from the raw files.
pub(crate) fn flatten<'t>(
    transform: &'t Transform,
    meta: &RunMeta,
    raw: impl IntoIterator<Item = PathBuf>,
    only: &[&str],
    work: WorkerInput<'t>,
) -> Result<(Flattened<'t>, RawRead), RunError> {
    // A source without an answer has no file.
    let files = raw.into_iter().filter(|path| path.exists());
    Ok(transform.flatten(meta, files, only, work)?)
}

/// Logs warnings about the raw files that were read: torn pages, damaged pages, and pages without
/// checksums (once per process).
pub(crate) fn warn_of_raw(read: &RawRead) {
    for path in &read.torn {
        tracing::warn!("{}: the last page is torn and was left out", path.display());
    }
    for damage in &read.damaged {
        tracing::warn!("{damage}");
    }
    if let Some(path) = read.unsealed.first() {
        static TOLD: Once = Once::new();
        TOLD.call_once(|| {
            tracing::warn!(
                "{} has pages without checksums, written by an older version: damage in such pages \
                 may go unnoticed",
                path.display()
            );
        });
    }
}
