//! Options of a run.

use chrono::DateTime;
use chrono::Utc;
use std::path::PathBuf;

use crate::extract::context::Event;

/// What a user may say about one run.
#[derive(Clone, Debug)]
pub struct RunOptions {
    pub lake: PathBuf,
    /// The logical time of what is observed; now, if not given.
    pub snapshot_at: Option<DateTime<Utc>>,
    /// Commit the ledger only; `transform --raw` makes the tables later.
    pub extract_only: bool,
    /// Whether a run that was cut short is continued.
    pub resume: Resume,
    /// How many threads make tables.
    pub threads: usize,
}

/// Told of every page, and of the end of every search.
pub type OnEvent = Box<dyn Fn(&Event<'_>) + Send>;

/// Whether a run that was cut short is continued.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Resume {
    /// If it asks the same and is not too old.
    #[default]
    Auto,
    /// It is closed as it is.
    Never,
}
