//! The state of a lake, of its pipelines and of their shards.

use std::path::PathBuf;

use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;

use super::spending::{DayBudgets, Spending};
use crate::load::verify::last::LastVerification;
use crate::maintenance::status::starts::FailedStart;
use crate::plan::Shard;

/// Number of newest runs in each of which a search must fail to count as failing.
pub const FAILING_RUNS: usize = 3;

/// State of a pipeline or of a shard: that of its newest run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PipelineState {
    Complete,
    /// Some searches failed, or the run was closed. The rest is committed.
    Partial,
    /// A run is under way.
    Running,
    /// The lake has no run of it.
    NeverRun,
    Interrupted,
    /// Stopped by a budget, the quota or the balance.
    Stopped,
    /// Its tables wait for `publish` or `discard`.
    Held,
    Failed,
    /// Its process died before it committed what it had fetched.
    Killed,
}

impl PipelineState {
    pub const ALL: [PipelineState; 9] = [
        PipelineState::Complete,
        PipelineState::Partial,
        PipelineState::Running,
        PipelineState::NeverRun,
        PipelineState::Interrupted,
        PipelineState::Stopped,
        PipelineState::Held,
        PipelineState::Failed,
        PipelineState::Killed,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            PipelineState::Complete => "complete",
            PipelineState::Partial => "partial",
            PipelineState::Running => "running",
            PipelineState::NeverRun => "never_run",
            PipelineState::Interrupted => "interrupted",
            PipelineState::Stopped => "stopped",
            PipelineState::Held => "held",
            PipelineState::Failed => "failed",
            PipelineState::Killed => "killed",
        }
    }

    /// Returns the state of a run, from the column `status` of `runs`.
    pub(super) fn of_status(status: &str) -> Self {
        match status {
            "complete" => PipelineState::Complete,
            "partial" => PipelineState::Partial,
            "stopped" => PipelineState::Stopped,
            "interrupted" => PipelineState::Interrupted,
            // A word of a newer version is not good news either.
            _ => PipelineState::Failed,
        }
    }
}

/// State of a pipeline.
#[derive(Clone, Debug, Serialize)]
pub struct PipelineStatus {
    pub pipeline: String,
    /// Null if it is known from its runs alone.
    pub file: Option<PathBuf>,
    pub lake: PathBuf,
    /// The worst state of its shards.
    pub state: PipelineState,
    /// True if its runs observe the sandbox, whose time is simulated.
    pub simulated: bool,
    /// Time that ages are measured to: the newest snapshot of a simulated pipeline, else the clock.
    pub now: DateTime<Utc>,
    /// Snapshot time of the newest complete or partial run. Of several shards, the oldest of these.
    pub data_at: Option<DateTime<Utc>>,
    pub age_seconds: Option<i64>,
    pub schedule: Option<DueTimes>,
    /// One part without a number if the pipeline is not sharded.
    pub shards: Vec<ShardStatus>,
    pub timezone: &'static str,
    /// Calls and cost on the day of `now`, in the time zone of the pipeline.
    pub today: Spending,
    pub month: Spending,
    /// The budgets of a day, and what the runs of the lake spent of them. Null without any.
    pub budgets: Option<DayBudgets>,
    /// Searches that failed in each of the last [`FAILING_RUNS`] runs.
    pub failing_searches: Vec<FailingSearch>,
    pub held_runs: Vec<HeldRun>,
    pub killed_runs: Vec<KilledRun>,
    #[serde(skip)]
    pub changed_at: Option<DateTime<Utc>>,
}

/// The due times of a schedule around now.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DueTimes {
    pub cron: String,
    /// The newest due time.
    pub due_at: DateTime<Utc>,
    /// The due time before `due_at`.
    pub previous_at: Option<DateTime<Utc>>,
    pub next_at: Option<DateTime<Utc>>,
}

impl PipelineStatus {
    /// Returns the killed runs that no later run made up for, or whose pages are in no table.
    pub fn lost_runs(&self) -> impl Iterator<Item = &KilledRun> {
        let lost = |run: &&KilledRun| !run.is_followed || run.pages_without_rows > 0;
        self.killed_runs.iter().filter(lost)
    }
}

/// State of a pipeline, or of one of its shards.
#[derive(Clone, Debug, Serialize)]
pub struct ShardStatus {
    pub shard: Option<Shard>,
    pub state: PipelineState,
    /// Snapshot time of its newest run, also if that is under way or was killed.
    pub snapshot_at: Option<DateTime<Utc>>,
    /// Start of its newest run.
    pub started_at: Option<DateTime<Utc>>,
    /// Snapshot time of its newest complete or partial run.
    pub data_at: Option<DateTime<Utc>>,
    /// The newest run that has committed its ledger.
    pub last_run: Option<LastRun>,
    /// The run that is under way.
    pub running: Option<String>,
    /// The newest start, if it failed before it had a run.
    pub failed_start: Option<FailedStart>,
}

/// A run that has committed its ledger.
#[derive(Clone, Debug, Serialize)]
pub struct LastRun {
    pub run_id: String,
    pub snapshot_at: DateTime<Utc>,
    pub started_at: DateTime<Utc>,
    pub finished_at: Option<DateTime<Utc>>,
    pub status: String,
    pub reason: Option<String>,
    pub searches_planned: u64,
    pub searches_done: u64,
    pub searches_failed: u64,
    pub requests: u64,
    pub billed_requests: u64,
    pub cost: Option<f64>,
    pub currency: Option<String>,
    pub rejects: u64,
    pub drift: u64,
}

/// A search that failed in each of the last runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FailingSearch {
    pub shard: Option<Shard>,
    pub search_id: String,
    pub endpoint: String,
    pub keyword: Option<String>,
    pub note_id: Option<String>,
    /// Its error in the newest run.
    pub error: Option<String>,
}

/// A run whose tables wait for a decision.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HeldRun {
    pub run_id: String,
    pub snapshot_at: DateTime<Utc>,
    pub held_at: DateTime<Utc>,
}

/// A run whose process died before it committed what it had fetched.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KilledRun {
    pub run_id: String,
    pub shard: Option<Shard>,
    pub snapshot_at: DateTime<Utc>,
    pub started_at: DateTime<Utc>,
    pub calls: u64,
    /// Number of its pages whose items are in no table.
    pub pages_without_rows: u64,
    /// True if a complete run of the same or of a newer logical time followed.
    pub is_followed: bool,
}

/// State of a lake.
#[derive(Clone, Debug, Serialize)]
pub struct LakeStatus {
    pub lake: PathBuf,
    /// False if the folder holds no lake yet.
    pub exists: bool,
    /// Null if unknown.
    pub free_bytes: Option<u64>,
    /// Bytes of tables and marts.
    pub table_bytes: u64,
    pub raw_bytes: u64,
    pub files: u64,
    /// Number of days that have ended and have something to compact.
    pub uncompacted_days: u64,
    pub oldest_uncompacted: Option<NaiveDate>,
    /// The last `redlake verify`. Null if there was none.
    pub verified: Option<LastVerification>,
    pub verify_age_seconds: Option<i64>,
    /// Parts that this account may not read: `held runs`, `journals`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<&'static str>,
    #[serde(skip)]
    pub pipelines: Vec<PipelineStatus>,
}
