//! What the webhooks of a pipeline are told about a call of `run` or `extract`.

use crate::cli::error::CliError;
use crate::cli::exit_code::ExitCode;
use crate::clock;
use crate::notify::ended::EndedRun;
use crate::plan::Plan;
use crate::run::options::{RunOptions, SnapshotAt};
use crate::run::outcome::RunOutcome;
use crate::spec::notify::NotifyEvent;

/// Returns the end of a call, to be told. `None` if nothing is told: the call was interrupted, or the
/// pipeline is already running.
pub fn ended_run<'a>(
    plan: &'a Plan,
    options: &'a RunOptions,
    outcome: Option<&'a RunOutcome>,
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
        ExitCode::Busy | ExitCode::Signal(_) => return None,
    };
    let failed = event == Some(NotifyEvent::Partial);
    let hint = error.and_then(CliError::hint).or(failed.then_some(AGAIN));
    Some(EndedRun {
        plan,
        lake: &options.lake,
        exit_code: code.number(),
        event,
        outcome,
        snapshot_at: match options.snapshot_at {
            SnapshotAt::Now => None,
            SnapshotAt::At(at) => Some(at),
            SnapshotAt::Scheduled => {
                let schedule = plan.schedule.as_ref();
                schedule.and_then(|schedule| schedule.newest_due(clock::now()))
            }
        },
        problem: error.map(CliError::message),
        hint: hint.map(str::to_owned),
    })
}

/// What to do after failed searches.
const AGAIN: &str =
    "run again with --resume failed, or with the same --snapshot-at, to ask for what failed";
