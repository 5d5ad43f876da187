//! Retention of a pipeline's raw files.

use super::commit::ledger;
use crate::clock;
use crate::extract::error::with_causes;
use crate::load::{Lake, LakeError};
use crate::plan::{Plan, RawRetention};

/// Removes the raw files whose retention has expired. Returns their number. An error is only
/// logged, because the tables are committed. The next run retries.
pub(crate) fn retain(plan: &Plan, lake: &Lake) -> u64 {
    remove_expired(plan, lake).unwrap_or_else(|error| {
        tracing::warn!(
            "cannot remove answers whose `raw` retention is over: {}",
            with_causes(&error)
        );
        0
    })
}

fn remove_expired(plan: &Plan, lake: &Lake) -> Result<u64, LakeError> {
    if plan.raw == RawRetention::Forever {
        return Ok(0);
    }
    let is_of_pages = |table: &str| !ledger::is_ledger(table);
    let expired = lake.expired_raw(&plan.pipeline, plan.raw, clock::now(), is_of_pages)?;
    let removed = lake.remove_raw(&expired)?;
    if removed.files > 0 {
        tracing::info!(
            "raw files of the pipeline {} removed: {}, bytes: {}",
            plan.pipeline,
            removed.files,
            removed.bytes
        );
    }
    Ok(removed.files)
}
