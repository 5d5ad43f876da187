//! Starts of a pipeline that failed before they had a run, such as one without a token. The ledger does
//! not have them.

use std::path::Path;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::extract::error::with_causes;
use crate::lake_layout::{start_state, state};
use crate::load::shared_state::SharedState;
use crate::plan::Shard;

/// A start that failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FailedStart {
    pub at: DateTime<Utc>,
    pub exit_code: u8,
    pub message: String,
    pub hint: Option<String>,
}

/// Records that a start failed, or with `None` that one succeeded. Failures to write are only logged at
/// the level debug: a start may fail because the lake cannot be written.
pub fn record(lake: &Path, pipeline: &str, shard: Option<Shard>, failed: Option<&FailedStart>) {
    let Some(starts) = SharedState::of(lake, state::STARTS) else {
        return;
    };
    let name = start_state(pipeline, shard.map(|shard| (shard.index, shard.count)));
    let done = match failed {
        Some(failed) => starts.write(&name, failed),
        None => starts.remove(&name),
    };
    if let Err(error) = done {
        tracing::debug!("a start is not recorded: {}", with_causes(&error));
    }
}

/// Returns the newest start of a shard if it failed.
pub fn failed_start(lake: &Path, pipeline: &str, shard: Option<Shard>) -> Option<FailedStart> {
    let starts = SharedState::of(lake, state::STARTS)?;
    let name = start_state(pipeline, shard.map(|shard| (shard.index, shard.count)));
    starts.read(&name).unwrap_or_else(|error| {
        tracing::debug!("the last start is not known: {}", with_causes(&error));
        None
    })
}
