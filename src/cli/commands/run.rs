//! `redlake run` and `redlake extract`.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use chrono::{DateTime, FixedOffset, Utc};
use clap::{Args, ValueEnum};
use tokio::sync::watch;

use crate::cli::error::{
    CliError, DENIED, INTERNAL, MEND, PARTIAL, REFUSED, STOPPED, USAGE, decide,
};
use crate::cli::output::format::Format;
use crate::cli::output::print::{grouped, print_json, print_text};
use crate::cli::output::progress;
use crate::cli::output::stderr::note;
use crate::cli::output::summary::summary;
use crate::cli::{Common, Threads, env};
use crate::clock;
use crate::extract::budget::Exhausted;
use crate::extract::context::Cut;
use crate::plan::{Plan, Shard};
use crate::run::marts::NOT_UP_TO_DATE;
use crate::run::options::RunOptions;
use crate::run::report::{Left, RunReport, Status};
use crate::run::{Resume, run};
use crate::spec::words::Instant;
use crate::spec::yaml::escape::escaped_line;
use crate::transform::contracts::Transform;

#[derive(Debug, Args)]
pub struct RunArgs {
    /// Pipeline file, such as pipelines/demo.yaml
    pipeline: PathBuf,
    /// Logical time of the snapshot, as RFC 3339 [default: now]
    #[arg(long, value_name = "RFC3339")]
    snapshot_at: Option<Instant>,
    /// What to do with an interrupted run
    #[arg(long, value_enum, default_value_t = ResumeArg::Auto)]
    resume: ResumeArg,
    /// Run only part I of N of the searches, with that part of the limits and budgets, such as 2/4
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    #[command(flatten)]
    threads: Threads,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ResumeArg {
    /// Continue it if its plan is the same and it is not older than `resume_within`
    Auto,
    /// Close it: make tables from its pages, and start a new run
    Never,
}

/// Extent of a run: all steps, or extraction only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    Whole,
    ExtractOnly,
}

pub fn main(args: &RunArgs, common: &Common, extent: Extent) -> Result<ExitCode, CliError> {
    let format = common.only(&[Format::Table, Format::Json])?;
    let snapshot_at = args
        .snapshot_at
        .map(|Instant(at)| within_years("--snapshot-at", at));
    let snapshot_at = snapshot_at.transpose()?;
    let contracts = common.contracts()?;
    let plan = common.plan(&args.pipeline, &contracts)?;
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
        },
        threads: args.threads.count(),
    };
    let observer = progress::observer(common.progress, common.quiet, plan.estimate().calls);

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let signal = Arc::new(AtomicU8::new(0));
    let mut report = runtime.block_on(async {
        let stop = stop_on_signal(Arc::clone(&signal))?;
        let report = run(
            Arc::clone(&plan),
            &transform,
            &options,
            &env,
            stop,
            observer,
        )
        .await;
        report.map_err(CliError::from)
    })?;

    match format {
        Format::Json => print_json(&report)?,
        _ => print_text(&summary(&report, &plan, &args.pipeline))?,
    }
    if let Some(reason) = &report.marts_error {
        tracing::warn!("{NOT_UP_TO_DATE}: {reason}");
    }
    if let Some(error) = report.catalog_error.take() {
        return Err(CliError::no_catalog(error));
    }
    conclude(&report, &plan, signal.load(Ordering::Relaxed))
}

/// Returns the time of an argument in UTC.
///
/// # Errors
/// The time is outside [`clock::YEARS`].
pub fn within_years(argument: &str, at: DateTime<FixedOffset>) -> Result<DateTime<Utc>, CliError> {
    let at = at.to_utc();
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

/// Returns the exit code, or the error that explains why the run ended early.
fn conclude(report: &RunReport, plan: &Plan, signal: u8) -> Result<ExitCode, CliError> {
    let error = |code, source: &str, message: &str, hint: String| {
        let error = anyhow::anyhow!("{source} refused: {}", escaped_line(message));
        Err(CliError::new(code, error, Some(hint)))
    };
    if let (None, Some(reason)) = (&report.cut, &report.refused) {
        let error = anyhow::anyhow!("{reason}; no new table was committed");
        return Err(CliError::new(REFUSED, error, Some(MEND.to_owned())));
    }
    if let (None, Some(reason)) = (&report.cut, &report.blocked) {
        let error = anyhow::anyhow!("{reason}; no new table was committed");
        return Err(CliError::new(REFUSED, error, Some(decide(&report.run_id))));
    }
    match &report.cut {
        Some(Cut::Aborted {
            class,
            message,
            source,
        }) => {
            let token = &plan.source(source).auth.env;
            match class.as_str() {
                "auth" => {
                    let mut hint = format!("check the token in {token}");
                    let signing = plan.source(source).signing.as_ref();
                    if let Some(signing) = signing.filter(|s| env(&s.secret_env).is_some()) {
                        let (id, secret) = (&signing.app_id_env, &signing.secret_env);
                        let _ = write!(hint, ", and the signing credentials in {id} and {secret}");
                    }
                    error(DENIED, source, message, hint)
                }
                "permission" => {
                    let hint =
                        format!("check that the token in {token} has permission for this endpoint");
                    error(DENIED, source, message, hint)
                }
                _ => {
                    let error = anyhow::anyhow!("{source}: {}", escaped_line(message));
                    let hint = "check the source's base_url";
                    Err(CliError::new(USAGE, error, Some(hint.into())))
                }
            }
        }
        Some(Cut::Stopped {
            message, source, ..
        }) => {
            let hint = format!(
                "fetched pages are kept; run again when there is quota or balance{}",
                left(report)
            );
            error(STOPPED, source, message, hint)
        }
        Some(Cut::Budget(Exhausted {
            limit,
            value,
            spent,
        })) => {
            let by = if limit.ends_with("_per_day") {
                " today by the runs of this lake"
            } else {
                ""
            };
            let message = format!("the budget `{limit}` of {value} is used up: {spent} spent{by}");
            let again = if limit.ends_with("_per_day") {
                "run again on another day, or raise the budget"
            } else {
                "run again to continue with a fresh budget, or raise it"
            };
            let hint = format!("fetched pages are kept; {again}{}", left(report));
            let error = anyhow::anyhow!(message);
            Err(CliError::new(STOPPED, error, Some(hint)))
        }
        Some(Cut::Broken) => Ok(ExitCode::from(INTERNAL)),
        Some(Cut::Interrupted) => {
            let signal = if signal == 0 { INTERRUPT } else { signal };
            Ok(ExitCode::from(128 + signal))
        }
        None if report.status == Status::Partial => Ok(ExitCode::from(PARTIAL)),
        None => Ok(ExitCode::SUCCESS),
    }
}

/// Returns the line about the searches, calls and cost that an interrupted run has left.
fn left(report: &RunReport) -> String {
    let Left {
        searches,
        pages,
        cost,
    } = report.left;
    let cost = match (cost, &report.currency) {
        (Some(cost), Some(currency)) => format!(", {cost:.2} {currency}"),
        _ => String::new(),
    };
    format!(
        "\n  left: {} searches with at most {} calls{cost}",
        grouped(searches),
        grouped(pages)
    )
}

/// Numbers of the signals that end a run. They are the same on every Unix.
const HANGUP: u8 = 1;
const INTERRUPT: u8 = 2;
const TERMINATE: u8 = 15;

/// Ends the run early on SIGINT, SIGTERM and SIGHUP. Stores the signal's number in `signal` for the
/// exit code. An ignored SIGHUP, as under `nohup`, stays ignored.
fn stop_on_signal(signal: Arc<AtomicU8>) -> std::io::Result<watch::Receiver<bool>> {
    let (sender, receiver) = watch::channel(false);
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal as listen};
        let mut interrupt = listen(SignalKind::interrupt())?;
        let mut terminate = listen(SignalKind::terminate())?;
        let mut hangup = if is_hangup_ignored() {
            None
        } else {
            Some(listen(SignalKind::hangup())?)
        };
        let mut hung_up = async move || match &mut hangup {
            Some(hangup) => {
                hangup.recv().await;
            }
            None => std::future::pending().await,
        };
        tokio::spawn(async move {
            loop {
                let number = tokio::select! {
                    _ = interrupt.recv() => INTERRUPT,
                    _ = terminate.recv() => TERMINATE,
                    () = hung_up() => HANGUP,
                };
                if signal.swap(number, Ordering::Relaxed) != 0 {
                    // A second signal exits at once: fetched pages are in the raw zone already.
                    std::process::exit(128 + i32::from(number));
                }
                let _ = sender.send(true);
                exit_late(number);
            }
        });
    }
    #[cfg(not(unix))]
    tokio::spawn(async move {
        let _ = tokio::signal::ctrl_c().await;
        signal.store(INTERRUPT, Ordering::Relaxed);
        let _ = sender.send(true);
        std::future::pending::<()>().await;
    });
    Ok(receiver)
}

/// Returns `true` if this process was started with SIGHUP ignored. Always `false` on systems other
/// than Linux.
#[cfg(unix)]
fn is_hangup_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_some_and(|mask| mask & (1 << (HANGUP - 1)) != 0)
}

/// Exits the process after [`PATIENCE`], in whatever state the run is. Pages and calls are on disk,
/// and the next run makes the missing tables from them.
#[cfg(unix)]
fn exit_late(signal: u8) {
    std::thread::spawn(move || {
        std::thread::sleep(PATIENCE);
        note("stopped; paid pages are kept, and the next run continues");
        std::process::exit(128 + i32::from(signal));
    });
}

/// Time that a run has to stop after a signal.
#[cfg(unix)]
const PATIENCE: Duration = Duration::from_millis(1_800);
