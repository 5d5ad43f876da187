//! A call of `run` or `extract` that ended.

use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};

use crate::plan::Plan;
use crate::run::outcome::RunOutcome;
use crate::run::report::RunReport;
use crate::spec::notify::NotifyEvent;

/// A call of `run` or `extract` that ended.
pub struct EndedRun<'a> {
    pub plan: &'a Arc<Plan>,
    pub lake: &'a Path,
    pub exit_code: u8,
    /// `None` if the run is complete.
    pub event: Option<NotifyEvent>,
    /// `None` if the call failed before it had an outcome.
    pub outcome: Option<&'a RunOutcome>,
    /// Logical time of the run.
    pub snapshot_at: DateTime<Utc>,
    /// True if the caller tries again after exit codes 1, 3 and 8.
    pub will_retry: bool,
    /// Error of the call.
    pub problem: Option<String>,
    /// Remedy.
    pub hint: Option<String>,
}

/// Exit codes after which a scheduler tries again.
const RETRIED: [u8; 3] = [1, 3, 8];

impl<'a> EndedRun<'a> {
    /// Returns true if another attempt follows. Its end is told instead.
    pub fn is_retried(&self) -> bool {
        self.will_retry && RETRIED.contains(&self.exit_code)
    }

    /// Returns the name of the shard; empty for a whole pipeline.
    pub fn shard(&self) -> String {
        let shard = self.plan.shard.map(|shard| shard.to_string());
        shard.unwrap_or_default()
    }

    /// Returns the identity of the run: its logical time and its shard.
    pub fn key(&self) -> String {
        let at = self
            .snapshot_at
            .to_rfc3339_opts(SecondsFormat::AutoSi, true);
        format!("{at} {}", self.shard()).trim_end().to_owned()
    }

    /// Returns the report of the run. `None` if it has no outcome.
    pub fn report(&self) -> Option<RunReport<'a>> {
        Some(RunReport::new(self.outcome?, self.plan))
    }

    pub fn is_simulated(&self) -> bool {
        match self.outcome {
            Some(outcome) => outcome.meta.simulated,
            None => self.plan.is_simulated(),
        }
    }

    /// Returns true if the call made nothing, since its run was complete or held.
    pub fn is_repeated(&self) -> bool {
        self.outcome.is_some_and(|outcome| outcome.is_repeated)
    }

    /// Returns true if tables of the run are in the lake.
    pub fn has_new_rows(&self) -> bool {
        self.outcome.is_some_and(|outcome| {
            let has_pages = outcome.extraction.extracted.pages > 0;
            let is_repeated = outcome.is_repeated && !outcome.is_held;
            is_repeated || outcome.has_committed_tables && has_pages
        })
    }
}
