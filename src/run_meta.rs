//! Identity of a run: the values that all of its pages, rows and commits have in common.

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;

/// Identity of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunMeta {
    pub run_id: String,
    pub pipeline: String,
    /// Logical time of the observations.
    pub snapshot_at: DateTime<Utc>,
    /// The business date of `snapshot_at`, in the pipeline's time zone.
    pub snapshot_date: NaiveDate,
    /// True if the run observes the world of the sandbox.
    pub simulated: bool,
}

impl RunMeta {
    pub fn new(
        run_id: &str,
        pipeline: &str,
        snapshot_at: DateTime<Utc>,
        timezone: Tz,
        simulated: bool,
    ) -> Self {
        RunMeta {
            run_id: run_id.to_owned(),
            pipeline: pipeline.to_owned(),
            snapshot_at,
            snapshot_date: snapshot_at.with_timezone(&timezone).date_naive(),
            simulated,
        }
    }

    /// Returns the identity of a commit that belongs to no run: its run id is the commit id, and
    /// its pipeline is empty.
    pub fn of_maintenance(commit_id: &str, at: DateTime<Utc>, simulated: bool) -> Self {
        RunMeta::new(commit_id, "", at, Tz::UTC, simulated)
    }
}
