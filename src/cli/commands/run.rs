//! `redlake run` and `redlake extract`.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use chrono::{DateTime, Utc};
use clap::{Args, ValueEnum};

use crate::cli::conclusion::conclude;
use crate::cli::environment::Environment;
use crate::cli::error::CliError;
use crate::cli::exit_code::ExitCode;
use crate::cli::metrics::MetricsFile;
use crate::cli::metrics::of_run::RunMetrics;
use crate::cli::notifying::{ended_run, record_start};
use crate::cli::output::print::ReportFormat;
use crate::cli::output::progress;
use crate::cli::output::summary::summary;
use crate::cli::reporting::report_run;
use crate::cli::signals::stop_on_signal;
use crate::cli::{Common, ResourceArgs};
use crate::clock;
use crate::notify::tell;
use crate::plan::{Plan, Shard};
use crate::run::marts::NOT_UP_TO_DATE;
use crate::run::options::{RunOptions, SnapshotAt};
use crate::run::outcome::RunOutcome;
use crate::run::report::RunReport;
use crate::run::{Resume, run};
use crate::spec::words::Instant;
use crate::transform::contracts::Transform;

#[derive(Debug, Args)]
pub struct RunArgs {
    /// Pipeline file, such as pipelines/demo.yaml
    pipeline: PathBuf,
    /// Logical time of the snapshot, as RFC 3339, or `scheduled`: the newest due time of the
    /// pipeline's `schedule`. The same time again is the same run [default: now]
    #[arg(long, value_name = "TIME", value_parser = snapshot_at)]
    snapshot_at: Option<SnapshotAt>,
    /// Policy for an interrupted run
    #[arg(long, value_enum, default_value_t = ResumeArg::Auto)]
    resume: ResumeArg,
    /// Run only part I of N of the searches, with that part of the limits and budgets, such as 2/4
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// Send no message to the webhooks of `notify`
    #[arg(long)]
    no_notify: bool,
    /// The caller tries again after exit codes 1, 3 and 8: they are not told to webhooks
    #[arg(long)]
    will_retry: bool,
    #[command(flatten)]
    resources: ResourceArgs,
    #[command(flatten)]
    metrics: MetricsFile,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ResumeArg {
    /// Continue it if its plan is the same and it is not older than `resume_within`
    Auto,
    /// Close it: make tables from its pages, and start a new run. With --snapshot-at, the new run
    /// replaces the rows of that time
    Never,
    /// Continue the newest run with failed searches, also if it is finished: ask again for what failed
    Failed,
}

/// Extent of a run: all steps, or extraction only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    Whole,
    ExtractOnly,
}

pub fn main(args: &RunArgs, common: &Common, extent: Extent) -> Result<ExitCode, CliError> {
    let mut metrics = RunMetrics::new(&args.metrics, &args.pipeline, args.shard);
    let ended = execute(args, common, extent, &mut metrics);
    metrics.write(&ended);
    ended
}

fn execute(
    args: &RunArgs,
    common: &Common,
    extent: Extent,
    metrics: &mut RunMetrics,
) -> Result<ExitCode, CliError> {
    let format = common.text_or_json()?;
    let snapshot_at = args.snapshot_at.unwrap_or_default();
    if let SnapshotAt::At(at) = snapshot_at {
        within_years("--snapshot-at", at)?;
    }
    let (plan, environment) = common.plan(&args.pipeline)?;
    metrics.of_plan(&plan);
    let plan = Arc::new(part(plan, args.shard)?);
    let transform = Transform::of(&plan)?;
    common.warn(&plan);
    let options = RunOptions {
        lake: common.lake_of(&plan),
        snapshot_at,
        extract_only: extent == Extent::ExtractOnly,
        resume: match args.resume {
            ResumeArg::Auto => Resume::Auto,
            ResumeArg::Never => Resume::Never,
            ResumeArg::Failed => Resume::Failed,
        },
        resources: args.resources.resources(),
    };
    let observer = progress::observer(common.progress, common.verbose > 0, &plan);

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let lookup = |name: &str| environment.get(name);
    let signal = Arc::new(AtomicU8::new(0));
    let stop = runtime.block_on(async { stop_on_signal(Arc::clone(&signal)) })?;
    let ran = runtime.block_on(async {
        let run = run(
            Arc::clone(&plan),
            &transform,
            &options,
            &lookup,
            stop.clone(),
            observer,
        );
        run.await.map_err(CliError::from)
    });
    let (outcome, ended) = match ran {
        Ok(mut outcome) => {
            let signal = signal.load(Ordering::Relaxed);
            let ended = print_end(
                &mut outcome,
                &plan,
                args,
                format,
                &environment,
                metrics,
                signal,
            );
            if extent == Extent::Whole {
                report_run(&plan, &outcome);
            }
            (Some(outcome), ended)
        }
        Err(error) => (None, Err(error)),
    };
    record_start(&plan, &options, outcome.is_some(), &ended);
    // Before the messages, which may take some seconds.
    metrics.write(&ended);
    if !args.no_notify {
        let ended = ended_run(&plan, &options, outcome.as_ref(), args.will_retry, &ended);
        if let Some(ended) = ended {
            runtime.block_on(tell(&ended, stop));
        }
    }
    // Does not wait for a name server that does not answer.
    runtime.shutdown_background();
    ended
}

/// Prints the result of a run, and returns its end.
fn print_end(
    outcome: &mut RunOutcome,
    plan: &Plan,
    args: &RunArgs,
    format: ReportFormat,
    environment: &Environment,
    metrics: &mut RunMetrics,
    signal: u8,
) -> Result<ExitCode, CliError> {
    let catalog_error = outcome.catalog_error.take();
    let report = RunReport::new(outcome, plan);
    metrics.of_run(outcome, &report, plan);
    format.print(&report, || summary(outcome, &report, plan, &args.pipeline))?;
    if let Some(reason) = &outcome.marts_error {
        tracing::warn!("{NOT_UP_TO_DATE}: {reason}");
    }
    if let Some(error) = catalog_error {
        return Err(CliError::no_catalog(error));
    }
    conclude(outcome, plan, environment, signal)
}

/// Parses `--snapshot-at`.
fn snapshot_at(text: &str) -> Result<SnapshotAt, String> {
    if text == "scheduled" {
        return Ok(SnapshotAt::Scheduled);
    }
    let Instant(at) = text.parse()?;
    Ok(SnapshotAt::At(at.to_utc()))
}

/// Returns the time of an argument.
///
/// # Errors
/// The time is outside [`clock::YEARS`].
pub fn within_years(argument: &str, at: DateTime<Utc>) -> Result<DateTime<Utc>, CliError> {
    let Some(limit) = clock::out_of_years(at) else {
        return Ok(at);
    };
    let (first, last) = (clock::YEARS.start(), clock::YEARS.end());
    Err(CliError::usage(
        format!("{argument} {} is {limit}", at.format("%+")),
        format!("give a time of the years {first} to {last}, such as 2026-03-09T04:00:00Z"),
    ))
}

/// Returns the part of a plan for a shard, or the whole plan without one.
pub fn part(plan: Plan, shard: Option<Shard>) -> Result<Plan, CliError> {
    let Some(shard) = shard else { return Ok(plan) };
    plan.shard(shard).map_err(|error| {
        let hint = "use fewer shards, or a larger limit";
        CliError::usage(error, hint)
    })
}
