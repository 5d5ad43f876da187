//! `redlake schedule`.

use std::path::PathBuf;

use chrono::{DateTime, SecondsFormat, Utc};
use clap::Args;
use serde::Serialize;

use crate::cli::Common;
use crate::cli::commands::run::within_years;
use crate::cli::error::CliError;
use crate::cli::exit_code::ExitCode;
use crate::clock;
use crate::plan::schedule::Schedule;
use crate::spec::words::Instant;

#[derive(Debug, Args)]
pub struct ScheduleArgs {
    /// Pipeline file with a `schedule`
    pipeline: PathBuf,
    /// Print the next N times instead of the newest one that is due
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    next: Option<u16>,
    /// Print the times as of this time, as RFC 3339 [default: now]
    #[arg(long, value_name = "TIME")]
    at: Option<Instant>,
}

/// Output of `--format json`. Times are in the zone of the pipeline.
#[derive(Serialize)]
struct Times<'a> {
    pipeline: &'a str,
    cron: &'a str,
    timezone: &'a str,
    /// Newest due time, which `--snapshot-at scheduled` takes.
    due: Option<String>,
    /// The times after it, as many as `--next` says.
    next: Vec<String>,
}

pub fn main(args: &ScheduleArgs, common: &Common) -> Result<ExitCode, CliError> {
    let format = common.text_or_json()?;
    let now = match &args.at {
        Some(Instant(at)) => within_years("--at", at.to_utc())?,
        None => clock::now(),
    };
    let (plan, _) = common.plan(&args.pipeline)?;
    let schedule = plan
        .schedule
        .as_ref()
        .ok_or_else(|| no_schedule(&plan.pipeline))?;
    let zone = schedule.timezone();
    let written = |at: DateTime<Utc>| {
        let at = at.with_timezone(&zone);
        at.to_rfc3339_opts(SecondsFormat::Secs, false)
    };
    let times = Times {
        pipeline: &plan.pipeline,
        cron: schedule.as_str(),
        timezone: zone.name(),
        due: schedule.newest_due(now).map(written),
        next: next(schedule, now, args.next.unwrap_or_default())
            .into_iter()
            .map(written)
            .collect(),
    };
    format.print(&times, || {
        let due = times.due.as_slice().iter();
        let lines = if args.next.is_some() {
            times.next.iter()
        } else {
            due
        };
        lines.map(|at| format!("{at}\n")).collect()
    })?;
    Ok(ExitCode::Complete)
}

/// Returns the next due times after `now`.
fn next(schedule: &Schedule, now: DateTime<Utc>, count: u16) -> Vec<DateTime<Utc>> {
    let first = schedule.next_after(now);
    let all = std::iter::successors(first, |at| schedule.next_after(*at));
    all.take(count.into()).collect()
}

/// Returns the error of a pipeline without a schedule.
pub fn no_schedule(pipeline: &str) -> CliError {
    CliError::usage(
        format!("the pipeline {pipeline} has no `schedule`"),
        "add its times to the pipeline, such as: schedule: {cron: \"0 * * * *\"}",
    )
}
