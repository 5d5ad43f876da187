//! Raw files of a run to tables.

use crate::run::error::RunError;
use crate::transform::contracts::Transform;
use crate::transform::stamp::RunStamp;
use crate::transform::tables::finish::Flattened;
use crate::transform::workers::RawRead;
use crate::transform::workers::WorkerInput;
use std::path::PathBuf;
use std::sync::Once;

/// Flattens all pages of a run, and tells what its raw files hold; only the tables in `only`, or
/// all.
pub(crate) fn flatten<'t>(
    transform: &'t Transform,
    stamp: &RunStamp,
    raw: impl IntoIterator<Item = PathBuf>,
    only: &[&str],
    work: WorkerInput<'t>,
) -> Result<(Flattened<'t>, RawRead), RunError> {
    // A source that answered nothing has no file.
    let files = raw.into_iter().filter(|path| path.exists());
    Ok(transform.flatten(stamp, files, only, work)?)
}

/// Warns of what a raw file holds beside whole pages.
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
                "{} has pages without checksums, as the version before wrote them: damage in such pages \
                 may go unnoticed",
                path.display()
            );
        });
    }
}
