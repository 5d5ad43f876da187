//! Something that is wrong, and the limits beyond which it is.

use std::path::PathBuf;

use serde::Serialize;

use crate::notify::message::KnownProblem;
use crate::plan::Shard;
use crate::spec::words::TimeSpan;

/// Limits that the user gives. A value beyond one is a problem; `None` is without limit.
#[derive(Clone, Copy, Debug, Default)]
pub struct Thresholds {
    pub max_age: Option<TimeSpan>,
    pub max_cost_today: Option<f64>,
    pub max_cost_month: Option<f64>,
    pub max_rejects: Option<u64>,
    pub max_drift: Option<u64>,
    pub max_failed_searches: Option<u64>,
    pub min_free: Option<u64>,
    pub max_uncompacted_days: Option<u64>,
    pub max_verify_age: Option<TimeSpan>,
}

/// Something that is wrong, and what to do about it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HealthProblem {
    pub kind: HealthKind,
    /// Null for a problem of the lake.
    pub pipeline: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shard: Option<Shard>,
    /// The run that is wrong, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    pub lake: PathBuf,
    pub message: String,
    pub hint: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthKind {
    /// The newest run failed, was stopped or was interrupted.
    LastRun,
    /// The newest start failed before it had a run.
    FailedStart,
    KilledRun,
    HeldRun,
    MissedSchedule,
    MissingShard,
    FailingSearches,
    Age,
    CostToday,
    CostMonth,
    Rejects,
    Drift,
    FailedSearches,
    Disk,
    Verify,
    VerifyAge,
    Uncompacted,
}

impl HealthProblem {
    /// Returns the problem for a message. Its key stays the same while its numbers change.
    pub fn known(&self) -> KnownProblem {
        let shard = self.shard.map(|shard| shard.to_string());
        let parts = [
            Some(self.kind.as_str()),
            shard.as_deref(),
            self.run_id.as_deref(),
        ];
        let parts: Vec<&str> = parts.into_iter().flatten().collect();
        KnownProblem {
            key: parts.join(" "),
            message: self.message.clone(),
            hint: self.hint.clone(),
        }
    }
}

impl HealthKind {
    pub fn as_str(self) -> &'static str {
        match self {
            HealthKind::LastRun => "last_run",
            HealthKind::FailedStart => "failed_start",
            HealthKind::KilledRun => "killed_run",
            HealthKind::HeldRun => "held_run",
            HealthKind::MissedSchedule => "missed_schedule",
            HealthKind::MissingShard => "missing_shard",
            HealthKind::FailingSearches => "failing_searches",
            HealthKind::Age => "age",
            HealthKind::CostToday => "cost_today",
            HealthKind::CostMonth => "cost_month",
            HealthKind::Rejects => "rejects",
            HealthKind::Drift => "drift",
            HealthKind::FailedSearches => "failed_searches",
            HealthKind::Disk => "disk",
            HealthKind::Verify => "verify",
            HealthKind::VerifyAge => "verify_age",
            HealthKind::Uncompacted => "uncompacted",
        }
    }
}

/// Returns a length of time for people: the two largest units.
pub(super) fn spelled(seconds: i64) -> String {
    let units = [("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)];
    let Some(at) = units.iter().position(|(_, length)| seconds >= *length) else {
        return "0 s".to_owned();
    };
    let (unit, length) = units[at];
    let rest = seconds % length;
    let more = units.get(at + 1).filter(|(_, smaller)| rest >= *smaller);
    let more = more.map_or_else(String::new, |(unit, smaller)| {
        format!(" {} {unit}", rest / smaller)
    });
    format!("{} {unit}{more}", seconds / length)
}

#[cfg(test)]
mod tests {
    use super::spelled;

    #[test]
    fn a_length_of_time_has_its_two_largest_units() {
        let of = [
            0,
            59,
            60,
            3_599,
            3_600,
            5_460,
            86_400,
            90_000,
            9 * 86_400 + 60,
        ];
        let expected = [
            "0 s",
            "59 s",
            "1 min",
            "59 min 59 s",
            "1 h",
            "1 h 31 min",
            "1 d",
            "1 d 1 h",
            "9 d",
        ];
        assert_eq!(of.map(spelled), expected);
    }
}
