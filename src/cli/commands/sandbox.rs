//! `redlake sandbox`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use chrono::Utc;
use clap::Args;

use crate::cli::Common;
use crate::cli::commands::run::within_years;
use crate::cli::environment::variable;
use crate::cli::error::CliError;
use crate::cli::exit_code::ExitCode;
use crate::cli::output::print::print_text;
use crate::run::access::SANDBOX_TOKEN;
use crate::sandbox::{NOTES_A_DAY, Options, PERCENT, Sandbox, SandboxClock, faults};
use crate::signing::Signer;
use crate::spec::contracts::Contracts;
use crate::spec::words::Instant;
use crate::spec::yaml::diagnostic::{Diagnostic, Diagnostics, SourceFile};
use crate::spec::yaml::document;
use crate::spec::yaml::text_file::read_text;

#[derive(Debug, Args)]
#[command(after_long_help = faults_help())]
pub struct SandboxArgs {
    /// Port on 127.0.0.1; 0 for any free one
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// Seed of the simulated data; equal seeds give equal data
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Simulated start time, as RFC 3339 [default: now; the sandbox inside a run has its own
    /// clock]
    #[arg(long, value_name = "RFC3339")]
    clock: Option<Instant>,
    /// Token that callers must send
    #[arg(long, default_value = SANDBOX_TOKEN)]
    token: String,
    /// Faults to inject: a YAML or JSON file, or inline JSON; --help shows its form
    #[arg(long, value_name = "FILE|JSON")]
    faults: Option<String>,
    /// Time that every answer takes, in milliseconds; overrides --faults
    #[arg(long, value_name = "MS")]
    latency: Option<u64>,
    /// Stop the simulated clock. Advance it with POST /_sandbox/clock {"advance_seconds": n}
    #[arg(long)]
    frozen: bool,
    /// New notes per keyword and day, 1 to 2000 [default: 2 to 12, depending on the keyword]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(NOTES_A_DAY))]
    notes_a_day: Option<u64>,
    /// Notes that become visible one to three hours after their publication, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 0,
        value_parser = clap::value_parser!(u64).range(PERCENT))]
    late_notes: u64,
    /// Notes that are deleted two to ten days after their publication, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 0,
        value_parser = clap::value_parser!(u64).range(PERCENT))]
    removed_notes: u64,
    /// Notes that get another title one to eight days after their publication, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 0,
        value_parser = clap::value_parser!(u64).range(PERCENT))]
    retitled_notes: u64,
}

pub fn main(args: &SandboxArgs, common: &Common) -> Result<ExitCode, CliError> {
    let contracts = common.contracts()?;
    let start = args
        .clock
        .map(|Instant(at)| within_years("--clock", at.to_utc()));
    let start = start.transpose()?.unwrap_or_else(Utc::now);
    let clock = if args.frozen {
        SandboxClock::frozen(start)
    } else {
        SandboxClock::running_from(start)
    };
    let signers = signers(&contracts)?;
    let options = Options {
        port: args.port,
        seed: args.seed,
        clock,
        token: args.token.clone().into(),
        signers: signers.clone(),
        faults: fault_plan(args)?,
        notes_a_day: args.notes_a_day,
        late_percent: args.late_notes,
        removed_percent: args.removed_notes,
        retitled_percent: args.retitled_notes,
        keywords: Vec::new(),
    };
    let sources = Arc::clone(&contracts);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let sandbox = Sandbox::start(options, contracts).await.map_err(|e| {
            let message = format!("cannot start the sandbox on port {}: {e}", args.port);
            CliError::new(
                ExitCode::Usage,
                anyhow::anyhow!(message),
                Some("choose another --port".into()),
            )
        })?;
        let url = sandbox.base_url();
        print_text(&banner(&url, &args.token, &sources, &signers))?;
        tokio::select! {
            () = sandbox.wait() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        Ok(ExitCode::Complete)
    })
}

/// Returns the signers that calls must have, by source. They come from the same environment
/// variables as those of a run.
fn signers(contracts: &Contracts) -> Result<BTreeMap<String, Signer>, CliError> {
    let mut signers = BTreeMap::new();
    for (name, source) in &contracts.sources {
        let Some(signing) = &source.signing else {
            continue;
        };
        let signer = Signer::from_env(signing, &variable).map_err(|half| {
            CliError::usage(half, "set both, or neither to accept unsigned calls")
        })?;
        signers.extend(signer.map(|signer| (name.clone(), signer)));
    }
    Ok(signers)
}

/// Returns the fault plan of --faults and --latency.
fn fault_plan(args: &SandboxArgs) -> Result<faults::FaultPlan, CliError> {
    let mut plan = match &args.faults {
        Some(given) => read_faults(given)?,
        None => faults::FaultPlan::default(),
    };
    plan.latency_ms = args.latency.unwrap_or(plan.latency_ms);
    Ok(plan)
}

/// Reads a fault plan from a file or from the argument itself. JSON is parsed as YAML, so mistakes
/// are shown in the same way for both.
fn read_faults(given: &str) -> Result<faults::FaultPlan, CliError> {
    let file = if given.trim_start().starts_with('{') {
        SourceFile::new("--faults", given)
    } else {
        let text = read_text(Path::new(given)).map_err(|e| {
            let hint = "give the path of a fault plan, or JSON that begins with {";
            CliError::usage(format_args!("cannot read the faults in {given}: {e}"), hint)
        })?;
        SourceFile::new(given, text)
    };
    let tree = document::parse(&file).map_err(|mistake| Diagnostics(vec![*mistake]))?;
    let mut found = Vec::new();
    let plan = document::decode::<faults::FaultPlan>(tree, &file, &mut found);
    // A plan with mistakes is decoded without its wrong items, so the indexes in its lists are
    // shifted.
    if found.is_empty()
        && let Some(Err(problem)) = plan.as_ref().map(faults::FaultPlan::check)
    {
        found.push(Diagnostic::error(&file, None, problem));
    }
    match plan {
        Some(plan) if found.is_empty() => Ok(plan),
        _ => Err(Diagnostics(found).into()),
    }
}

fn faults_help() -> String {
    let (example, kinds) = (indented(faults::EXAMPLE), indented(faults::KINDS));
    format!(
        "The form of --faults, and of the JSON for POST /_sandbox/faults:\n\n{example}\n\
         The kinds of faults:\n\n{kinds}\n\
         GET /_sandbox/calls lists the calls and their outcomes."
    )
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

/// Returns the address and the environment variables to set for it. The address is alone on the
/// first line.
fn banner(
    url: &str,
    token: &str,
    contracts: &Contracts,
    signers: &BTreeMap<String, Signer>,
) -> String {
    let mut banner = format!("{url}\n\n");
    for source in contracts.sources.values() {
        let (address, secret) = (&source.base_url_env, &source.auth.env);
        let _ = writeln!(banner, "  export {address}={url} {secret}={token}");
    }
    for source in signers.keys() {
        let _ = writeln!(banner, "\nCalls of {source} must be signed.");
    }
    banner.push_str("\nCtrl-C stops it.\n");
    banner
}
