//! `redlake doctor`: checks everything that a run needs, without a call that could be billed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use chrono::TimeDelta;
use clap::Args;
use serde::Serialize;

use crate::cli::Common;
use crate::cli::environment::Environment;
use crate::cli::error::CliError;
use crate::cli::error::explain::Explain;
use crate::cli::exit_code::ExitCode;
use crate::cli::output::print::pretty;
use crate::clock;
use crate::extract::client::reach::reach;
use crate::lake_layout::full_path;
use crate::load::files::{LITTLE_SPACE, free_bytes};
use crate::load::{Lake, LakeError};
use crate::plan::Plan;
use crate::plan::parts::Address;
use crate::query::duckdb::library_version;
use crate::raw::check_writable;
use crate::run::access::{AccessError, Accesses};
use crate::signing::Signer;
use crate::spec::source::Source;

#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Pipelines whose sources and lakes are checked
    pipelines: Vec<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Ok,
    /// A run works, and something deserves attention.
    Warning,
    /// A run fails.
    Problem,
}

/// Result of one check.
#[derive(Debug, Serialize)]
struct Finding {
    check: String,
    state: State,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

impl Finding {
    fn new(check: impl Into<String>, state: State, detail: impl Into<String>) -> Self {
        Finding {
            check: check.into(),
            state,
            detail: detail.into(),
            hint: None,
        }
    }

    fn hint(self, hint: impl Into<String>) -> Self {
        Finding {
            hint: Some(hint.into()),
            ..self
        }
    }
}

#[derive(Serialize)]
struct DoctorReport {
    healthy: bool,
    checks: Vec<Finding>,
}

pub fn main(args: &DoctorArgs, common: &Common) -> Result<ExitCode, CliError> {
    let format = common.text_or_json()?;
    let mut checks = vec![version(), duckdb_library(), machine_clock()];
    let mut lakes = BTreeSet::new();
    if args.pipelines.is_empty() {
        lakes.insert(common.lake());
        checks.extend(contracts(common));
    }
    for pipeline in &args.pipelines {
        match common.plan(pipeline) {
            Ok((plan, environment)) => {
                let calls = plan.estimate().calls;
                let detail = format!("{}: valid, at most {calls} calls a run", pipeline.display());
                checks.push(Finding::new("pipeline", State::Ok, detail));
                checks.extend(sources(&plan, &environment)?);
                checks.extend(unresolved(&plan, &environment));
                lakes.insert(common.lake_of(&plan));
            }
            Err(_) => checks.push(
                Finding::new(
                    "pipeline",
                    State::Problem,
                    format!("{}: not valid", pipeline.display()),
                )
                .hint(format!("run `redlake validate {}`", pipeline.display())),
            ),
        }
    }
    for lake in &lakes {
        checks.extend(lake_checks(lake));
    }
    let worst = checks.iter().map(|check| check.state).max();
    let healthy = worst != Some(State::Problem);
    let report = DoctorReport { healthy, checks };
    format.print_list(&report, &report.checks, || table(&report))?;
    Ok(if healthy {
        ExitCode::Complete
    } else {
        ExitCode::Usage
    })
}

fn table(report: &DoctorReport) -> String {
    let word = |state| match state {
        State::Ok => "ok",
        State::Warning => "warning",
        State::Problem => "problem",
    };
    let row = |finding: &Finding| {
        vec![
            word(finding.state).to_owned(),
            finding.check.clone(),
            finding.detail.clone(),
        ]
    };
    let rows: Vec<_> = report.checks.iter().map(row).collect();
    let mut text = format!("{}\n", pretty(&["state", "check", "detail"], &rows));
    for finding in &report.checks {
        if let Some(hint) = &finding.hint {
            text.push_str(&format!(
                "\n{}: {}\n  hint: {hint}\n",
                finding.check, finding.detail
            ));
        }
    }
    text
}

fn version() -> Finding {
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    let detail = format!("redlake {} for {arch} {os}", env!("CARGO_PKG_VERSION"));
    Finding::new("version", State::Ok, detail)
}

fn duckdb_library() -> Finding {
    match library_version() {
        Ok(version) => Finding::new("duckdb", State::Ok, version),
        Err(error) => Finding::new("duckdb", State::Problem, error.to_string())
            .hint("keep the library of DuckDB beside the binary, or in ../lib"),
    }
}

fn machine_clock() -> Finding {
    let now = clock::now();
    let detail = now.format("%F %T UTC").to_string();
    match clock::out_of_years(now) {
        None => Finding::new("clock", State::Ok, detail),
        Some(limit) => Finding::new(
            "clock",
            State::Problem,
            format!("{detail}, which is {limit}"),
        )
        .hint("set the clock of this machine"),
    }
}

/// Returns a finding for each built-in source whose token is in the environment or missing there.
fn contracts(common: &Common) -> Vec<Finding> {
    let contracts = match common.contracts() {
        Ok(contracts) => contracts,
        Err(_) => {
            let detail = "the contracts that --schemas or REDLAKE_SCHEMAS names have mistakes";
            let finding = Finding::new("contracts", State::Problem, detail);
            return vec![finding.hint("run `redlake schema list` to see them")];
        }
    };
    let environment = Environment::default();
    let sources = contracts.sources.iter();
    let tokens = sources.map(|(name, source)| match token(source, &environment) {
        // Without a pipeline nothing says that the source is used.
        Err(env) => Finding::new("token", State::Ok, format!("{name}: {env} is not set")),
        Ok(env) => Finding::new("token", State::Ok, format!("{name}: {env} is set")),
    });
    tokens.collect()
}

/// Returns the name of the variable of a source's token.
///
/// # Errors
/// The variable is not set; returns its name, too.
fn token<'s>(source: &'s Source, environment: &Environment) -> Result<&'s str, &'s str> {
    let env = source.auth.env.as_str();
    match environment.get(env) {
        Some(value) if !value.trim().is_empty() => Ok(env),
        _ => Err(env),
    }
}

/// Returns the findings on the sources of a plan: tokens, signing, hosts and clocks.
fn sources(plan: &Plan, environment: &Environment) -> Result<Vec<Finding>, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut findings = Vec::new();
    for (name, planned) in &plan.sources {
        let source = plan.source(name);
        let overridden = environment
            .get(&source.base_url_env)
            .filter(|address| !address.trim().is_empty());
        let address = match (&planned.address, overridden) {
            (Address::Sandbox { .. }, _) => None,
            (Address::Url(_), Some(address)) if address == "sandbox" => None,
            (Address::Url(_), Some(address)) => Some(address),
            (Address::Url(url), None) => Some(url.clone()),
        };
        let Some(address) = address else {
            let detail = format!("{name}: the built-in sandbox, which needs no token");
            findings.push(Finding::new("source", State::Ok, detail));
            continue;
        };
        findings.push(match token(source, environment) {
            Ok(env) => Finding::new("token", State::Ok, format!("{name}: {env} is set")),
            Err(env) => Finding::new("token", State::Problem, format!("{name}: {env} is not set"))
                .hint(format!(
                    "export {env}=…, or write it into the file .env beside the pipeline"
                )),
        });
        if let Some(signing) = &source.signing {
            findings.push(
                match Signer::from_env(signing, &|name| environment.get(name)) {
                    Ok(Some(_)) => {
                        Finding::new("signing", State::Ok, format!("{name}: calls are signed"))
                    }
                    Ok(None) => Finding::new(
                        "signing",
                        State::Ok,
                        format!("{name}: calls are not signed"),
                    ),
                    Err(half) => Finding::new("signing", State::Problem, format!("{name}: {half}"))
                        .hint("set both, or neither to send calls unsigned"),
                },
            );
        }
        findings.extend(runtime.block_on(host(name, &address)));
    }
    Ok(findings)
}

/// Returns a finding if the addresses of the sources do not go together. [`sources`] reports missing
/// tokens.
fn unresolved(plan: &Plan, environment: &Environment) -> Option<Finding> {
    match Accesses::resolve(plan, &|name| environment.get(name)) {
        Ok(_) | Err(AccessError::NoToken { .. } | AccessError::Signing { .. }) => None,
        Err(error) => {
            let (_, hint) = error.explain();
            let finding = Finding::new("source", State::Problem, error.to_string());
            Some(Finding { hint, ..finding })
        }
    }
}

/// Difference between two clocks from which signed calls are refused and daily budgets are wrong.
const MOST_AHEAD: TimeDelta = TimeDelta::minutes(2);

/// Returns the findings on the host of a source. An address with a password is unusable, and is not
/// repeated.
async fn host(name: &str, address: &str) -> Vec<Finding> {
    if let Some(reason) = crate::plan::unusable(address) {
        let detail = format!("{name}: the address {reason}");
        let finding = Finding::new("host", State::Problem, detail);
        return vec![finding.hint("give an address such as https://api.example.com")];
    }
    let reached = match reach(address, clock::now()).await {
        Ok(reached) => reached,
        Err(reason) => {
            let detail = format!("{name}: {address} cannot be reached: {reason}");
            let finding = Finding::new("host", State::Problem, detail);
            return vec![finding.hint("check the network, the proxy and the address")];
        }
    };
    let detail = format!("{name}: {address} answers; no call was made");
    let mut findings = vec![Finding::new("host", State::Ok, detail)];
    if let Some(ahead) = reached.clock_ahead.filter(|ahead| ahead.abs() > MOST_AHEAD) {
        let seconds = ahead.num_seconds().abs();
        let word = if ahead > TimeDelta::zero() {
            "behind"
        } else {
            "ahead of"
        };
        let detail = format!("this machine's clock is {seconds} s {word} that of {name}");
        let finding = Finding::new("clock", State::Warning, detail);
        findings.push(finding.hint("set the clock: times, budgets and signatures depend on it"));
    }
    findings
}

/// Returns the findings on a lake, or on the folder that it will be in.
fn lake_checks(root: &Path) -> Vec<Finding> {
    let path = full_path(root);
    let shown = path.display();
    let lake = match Lake::open_existing(root) {
        Ok(lake) => lake,
        Err(LakeError::Missing(_)) => return new_lake(&path),
        Err(error) => {
            let (_, hint) = error.explain();
            let finding = Finding::new("lake", State::Problem, format!("{shown}: {error}"));
            return vec![Finding { hint, ..finding }];
        }
    };
    let mut findings = vec![Finding::new("lake", State::Ok, format!("{shown} opens"))];
    let probe = lake.journal("doctor");
    findings.push(match check_writable(&probe, lake.access()) {
        Ok(()) => Finding::new("permissions", State::Ok, "this account can write the lake"),
        Err(_) => Finding::new(
            "permissions",
            State::Warning,
            "this account cannot write the lake: it can query, not run",
        ),
    });
    findings.extend(lake.open_folders().into_iter().map(|remark| {
        let detail = format!("{}: {}", remark.path, remark.detail);
        Finding::new("permissions", State::Warning, detail).hint(remark.hint)
    }));
    findings.push(disk(&path));
    findings
}

/// Returns the findings on the place of a lake that does not exist yet.
fn new_lake(path: &Path) -> Vec<Finding> {
    let existing = path
        .ancestors()
        .find(|folder| folder.symlink_metadata().is_ok());
    let existing = existing.unwrap_or(path);
    let shown = path.display();
    if let Err(error) = tempfile::tempfile_in(existing) {
        let detail = format!("{shown} cannot be created: {error}");
        let hint = format!(
            "make {} writable, or name another folder",
            existing.display()
        );
        return vec![Finding::new("lake", State::Problem, detail).hint(hint)];
    }
    let detail = format!("{shown} does not exist yet; the first run creates it");
    vec![Finding::new("lake", State::Ok, detail), disk(existing)]
}

fn disk(folder: &Path) -> Finding {
    let Some(free) = free_bytes(folder) else {
        return Finding::new("disk", State::Ok, "the free space is unknown here");
    };
    let detail = format!("{:.1} GB free at {}", free as f64 / 1e9, folder.display());
    if free < LITTLE_SPACE {
        Finding::new("disk", State::Warning, detail).hint("free space, or move the lake")
    } else {
        Finding::new("disk", State::Ok, detail)
    }
}
