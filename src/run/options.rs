//! Options of a run.

use std::path::PathBuf;

use chrono::{DateTime, Utc};

use crate::extract::context::Event;

/// Options of one run.
#[derive(Clone, Debug)]
pub struct RunOptions {
    pub lake: PathBuf,
    /// Logical time of the observations. Defaults to now, and in the sandbox to the simulated time.
    pub snapshot_at: Option<DateTime<Utc>>,
    /// True to commit only the ledger. `transform --raw` builds the tables later.
    pub extract_only: bool,
    /// Policy for a run that was cut short.
    pub resume: Resume,
    /// Number of threads that build tables.
    pub threads: usize,
}

/// Callback for every page and for the end of every search.
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
