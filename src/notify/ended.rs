//! A call of `run` or `extract` that ended.

use std::path::Path;

use chrono::{DateTime, Utc};

use crate::clock;
use crate::plan::Plan;
use crate::run::outcome::RunOutcome;
use crate::run::report::RunReport;
use crate::spec::notify::NotifyEvent;

/// A call of `run` or `extract` that ended.
pub struct EndedRun<'a> {
    pub plan: &'a Plan,
    pub lake: &'a Path,
    pub exit_code: u8,
    /// `None` if the run is complete.
    pub event: Option<NotifyEvent>,
    /// `None` if the call failed before it had an outcome.
    pub outcome: Option<&'a RunOutcome>,
    /// Logical time that was asked for.
    pub snapshot_at: Option<DateTime<Utc>>,
    /// What happened, and what to do.
    pub problem: Option<String>,
    pub hint: Option<String>,
}

impl<'a> EndedRun<'a> {
    /// Returns the name of the shard; empty for a whole pipeline.
    pub fn shard(&self) -> String {
        let shard = self.plan.shard.map(|shard| shard.to_string());
        shard.unwrap_or_default()
    }

    /// Returns the identity of the run: its id, or the logical time of a call that failed before it had
    /// one. Without a logical time, each call is a run of its own.
    pub fn run_key(&self) -> String {
        match (self.outcome, self.snapshot_at) {
            (Some(outcome), _) => outcome.meta.run_id.clone(),
            (None, Some(at)) => at.to_rfc3339(),
            (None, None) => clock::now().to_rfc3339(),
        }
    }

    /// Returns the report of the run. `None` if it has no outcome.
    pub fn report(&self) -> Option<RunReport<'a>> {
        Some(RunReport::new(self.outcome?, self.plan))
    }

    pub fn is_simulated(&self) -> bool {
        self.outcome.is_some_and(|outcome| outcome.meta.simulated)
    }

    /// Returns true if tables of the run are in the lake.
    pub fn has_new_rows(&self) -> bool {
        self.outcome.is_some_and(|outcome| {
            outcome.has_committed_tables || outcome.is_repeated && !outcome.is_held
        })
    }
}
