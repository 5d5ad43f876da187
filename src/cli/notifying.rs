//! The end of a call of `run` or `extract`, for the webhooks of its pipeline and for `redlake status`.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::cli::error::CliError;
use crate::cli::exit_code::ExitCode;
use crate::clock;
use crate::maintenance::status::starts::{FailedStart, record};
use crate::notify::ended::EndedRun;
use crate::plan::Plan;
use crate::run::options::{RunOptions, SnapshotAt};
use crate::run::outcome::RunOutcome;
use crate::spec::notify::NotifyEvent;

/// Returns the end of a call, to be told. `None` if nothing is told: the call was interrupted, or the
/// pipeline is already running.
pub fn ended_run<'a>(
    plan: &'a Arc<Plan>,
    options: &'a RunOptions,
    outcome: Option<&'a RunOutcome>,
    will_retry: bool,
    ended: &Result<ExitCode, CliError>,
) -> Option<EndedRun<'a>> {
    let (code, error) = match ended {
        Ok(code) => (*code, None),
        Err(error) => (error.code, Some(error)),
    };
    let event = match code {
        ExitCode::Complete => None,
        ExitCode::Internal | ExitCode::Usage | ExitCode::Denied | ExitCode::Undelivered => {
            Some(NotifyEvent::Failed)
        }
        ExitCode::Partial => Some(NotifyEvent::Partial),
        ExitCode::Stopped => Some(NotifyEvent::Budget),
        ExitCode::Refused => Some(NotifyEvent::CheckFailed),
        // Only `status` is unhealthy.
        ExitCode::Busy | ExitCode::Unhealthy | ExitCode::Signal(_) => return None,
    };
    let is_partial = event == Some(NotifyEvent::Partial);
    let hint = error.and_then(CliError::hint);
    let hint = hint.or(is_partial.then_some(AGAIN));
    Some(EndedRun {
        plan,
        lake: &options.lake,
        exit_code: code.number(),
        event,
        outcome,
        snapshot_at: snapshot_at(plan, options, outcome),
        will_retry,
        problem: error.map(CliError::with_causes),
        hint: hint.map(str::to_owned),
    })
}

/// Returns the logical time of a run, also if it failed before it had an outcome.
fn snapshot_at(plan: &Plan, options: &RunOptions, outcome: Option<&RunOutcome>) -> DateTime<Utc> {
    if let Some(outcome) = outcome {
        return outcome.meta.snapshot_at;
    }
    let now = clock::now();
    match options.snapshot_at {
        SnapshotAt::Now => now,
        // A time in the future is refused.
        SnapshotAt::At(at) => at.min(now),
        SnapshotAt::Scheduled => {
            let schedule = plan.schedule.as_ref();
            let due = schedule.and_then(|schedule| schedule.newest_due(now));
            due.unwrap_or(now)
        }
    }
}

/// Records a call that failed before it had a run, for `redlake status`.
pub fn record_start(
    plan: &Plan,
    options: &RunOptions,
    has_run: bool,
    ended: &Result<ExitCode, CliError>,
) {
    let failed = match ended {
        _ if has_run => None,
        Err(error) if error.code == ExitCode::Busy => return,
        Err(error) => Some(FailedStart {
            at: clock::now(),
            exit_code: error.code.number(),
            message: error.with_causes(),
            hint: error.hint().map(str::to_owned),
        }),
        Ok(_) => None,
    };
    record(&options.lake, &plan.pipeline, plan.shard, failed.as_ref());
}

/// Remedy for failed searches.
const AGAIN: &str =
    "run again with --resume failed, or with the same --snapshot-at, to ask for what failed";
