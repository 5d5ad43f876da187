//! Options of a run.

use std::path::PathBuf;

use chrono::{DateTime, Utc};

use crate::extract::context::Event;
use crate::transform::workers::Resources;

/// Options of one run.
#[derive(Clone, Debug)]
pub struct RunOptions {
    pub lake: PathBuf,
    pub snapshot_at: SnapshotAt,
    /// True to commit only the ledger. `transform --raw` builds the tables later.
    pub extract_only: bool,
    /// Policy for a run that was cut short.
    pub resume: Resume,
    /// Resources for building tables.
    pub resources: Resources,
}

/// Logical time of the observations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SnapshotAt {
    /// The time of the call, in the sandbox the simulated time. Each call is a run of its own.
    #[default]
    Now,
    At(DateTime<Utc>),
    /// The newest due instant of the pipeline's schedule.
    Scheduled,
}

impl SnapshotAt {
    /// Returns the time if one is given.
    pub fn time(self) -> Option<DateTime<Utc>> {
        match self {
            SnapshotAt::At(at) => Some(at),
            SnapshotAt::Now | SnapshotAt::Scheduled => None,
        }
    }
}

/// Callback for the events of a run.
pub type OnEvent = Box<dyn Fn(&Event<'_>) + Send>;

/// Policy for a run that was cut short.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Resume {
    /// Continue a run with the same plan, unless it is too old.
    #[default]
    Auto,
    /// Close it with the pages that it has.
    Never,
    /// Continue the newest run with failed searches: ask again for what failed.
    Failed,
}
