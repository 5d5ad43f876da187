//! `redlake status`: the state of pipelines and of their lake, as a health check.

mod lake_checks;
mod pipeline_checks;
mod problem;
mod table;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use serde::Serialize;

use crate::cli::Common;
use crate::cli::error::CliError;
use crate::cli::exit_code::ExitCode;
use crate::cli::metrics::{MetricsFile, of_status};
use crate::maintenance::status::asked::AskedPipeline;
use crate::maintenance::status::collect::collect;
use crate::maintenance::status::state::{LakeStatus, PipelineStatus};
use crate::notify::health::Health;
use crate::notify::tell_health;
use crate::plan::{Money, Plan};
use crate::spec::contracts::Contracts;
use crate::spec::words::TimeSpan;
use lake_checks::lake_problems;
use pipeline_checks::PipelineCheck;
use problem::{HealthProblem, Thresholds};
use table::table;

#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Pipelines whose state is shown, with their schedules and budgets [default: all in the lake]
    pipelines: Vec<PathBuf>,
    /// Longest age of the newest data of a pipeline, such as 2h
    #[arg(long, value_name = "AGE", help_heading = "Limits")]
    max_age: Option<TimeSpan>,
    /// Most that a pipeline may cost on a day, in its currency
    #[arg(long, value_name = "AMOUNT", help_heading = "Limits", value_parser = amount)]
    max_cost_today: Option<f64>,
    /// Most that a pipeline may cost in a calendar month, in its currency
    #[arg(long, value_name = "AMOUNT", help_heading = "Limits", value_parser = amount)]
    max_cost_month: Option<f64>,
    /// Most rejects in the last run
    #[arg(long, value_name = "N", help_heading = "Limits")]
    max_rejects: Option<u64>,
    /// Most values outside the contract in the last run
    #[arg(long, value_name = "N", help_heading = "Limits")]
    max_drift: Option<u64>,
    /// Most failed searches in the last run
    #[arg(long, value_name = "N", help_heading = "Limits")]
    max_failed_searches: Option<u64>,
    /// Least free space on the disk of the lake, such as 5GB [default: 1GB]
    #[arg(long, value_name = "SIZE", help_heading = "Limits", value_parser = size)]
    min_free: Option<u64>,
    /// Most days that have ended and are not compacted
    #[arg(long, value_name = "N", help_heading = "Limits")]
    max_uncompacted_days: Option<u64>,
    /// Longest time since the last `redlake verify`, such as 8d
    #[arg(long, value_name = "AGE", help_heading = "Limits")]
    max_verify_age: Option<TimeSpan>,
    /// Tell problems to the webhooks of the pipelines that list `unhealthy`, each once
    #[arg(long, requires = "pipelines")]
    notify: bool,
    #[command(flatten)]
    metrics: MetricsFile,
}

impl StatusArgs {
    fn thresholds(&self) -> Thresholds {
        Thresholds {
            max_age: self.max_age,
            max_cost_today: self.max_cost_today,
            max_cost_month: self.max_cost_month,
            max_rejects: self.max_rejects,
            max_drift: self.max_drift,
            max_failed_searches: self.max_failed_searches,
            min_free: self.min_free,
            max_uncompacted_days: self.max_uncompacted_days,
            max_verify_age: self.max_verify_age,
        }
    }
}

/// The state of pipelines and lakes. Its fields are the keys of the printed JSON.
#[derive(Serialize)]
pub struct StatusReport<'s> {
    pub healthy: bool,
    pub problems: Vec<HealthProblem>,
    pub pipelines: Vec<&'s PipelineStatus>,
    pub lakes: &'s [LakeStatus],
}

pub fn main(args: &StatusArgs, common: &Common) -> Result<ExitCode, CliError> {
    let format = common.text_or_json()?;
    let (lakes, plans) =
        lakes(args, common).inspect_err(|_| of_status::write(&args.metrics, &[], None))?;
    for lake in lakes.iter().filter(|lake| !lake.unreadable.is_empty()) {
        tracing::warn!(
            "this account may not read all of {}; left out: {}",
            lake.lake.display(),
            lake.unreadable.join(", ")
        );
    }
    let limits = args.thresholds();
    let is_named = common.lake.is_some();
    let mut problems: Vec<HealthProblem> = Vec::new();
    for lake in &lakes {
        for status in &lake.pipelines {
            problems.extend(PipelineCheck::new(status, is_named).problems(&limits));
        }
        problems.extend(lake_problems(lake, &limits));
    }
    let kinds: Vec<(String, String)> = problems.iter().map(kind_and_pipeline).collect();
    of_status::write(&args.metrics, &lakes, Some(&kinds));
    let report = StatusReport {
        healthy: problems.is_empty(),
        problems,
        pipelines: lakes.iter().flat_map(|lake| &lake.pipelines).collect(),
        lakes: &lakes,
    };
    format.print(&report, || {
        table(&report.pipelines, &lakes, &report.problems)
    })?;
    if args.notify {
        tell(&plans, common, &report.problems)?;
    }
    Ok(if report.healthy {
        ExitCode::Complete
    } else {
        ExitCode::Unhealthy
    })
}

fn kind_and_pipeline(problem: &HealthProblem) -> (String, String) {
    let pipeline = problem.pipeline.clone().unwrap_or_default();
    (problem.kind.as_str().to_owned(), pipeline)
}

/// Tells the problems of each pipeline and of its lake to its webhooks.
fn tell(plans: &[Plan], common: &Common, problems: &[HealthProblem]) -> Result<(), CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    for plan in plans {
        let lake = common.lake_of(plan);
        let is_of = |problem: &&HealthProblem| {
            let pipeline = problem.pipeline.as_ref();
            problem.lake == lake && pipeline.is_none_or(|name| *name == plan.pipeline)
        };
        let problems = problems.iter().filter(is_of);
        let health = Health {
            plan,
            lake: &lake,
            problems: problems.map(HealthProblem::known).collect(),
            is_simulated: plan.is_simulated(),
        };
        runtime.block_on(tell_health(&health));
    }
    // Does not wait for a name server that does not answer.
    runtime.shutdown_background();
    Ok(())
}

/// Collects the state of the lakes that the pipelines name, or of the lake of the command.
fn lakes(args: &StatusArgs, common: &Common) -> Result<(Vec<LakeStatus>, Vec<Plan>), CliError> {
    let mut plans = Vec::new();
    let mut asked: BTreeMap<PathBuf, (Arc<Contracts>, Vec<AskedPipeline>)> = BTreeMap::new();
    for file in &args.pipelines {
        let (plan, _) = common.plan(file)?;
        let lake = common.lake_of(&plan);
        let of_lake = asked.entry(lake);
        let (_, pipelines) = of_lake.or_insert_with(|| (Arc::clone(&plan.contracts), Vec::new()));
        pipelines.push(AskedPipeline::of(&plan, file.clone()));
        plans.push(plan);
    }
    if asked.is_empty() {
        asked.insert(common.lake(), (common.contracts()?, Vec::new()));
    }
    let collected = asked
        .into_iter()
        .map(|(lake, (contracts, pipelines))| collect(&lake, &contracts, pipelines));
    Ok((collected.collect::<Result<_, _>>()?, plans))
}

/// Parses an amount of money.
fn amount(text: &str) -> Result<f64, String> {
    let amount: Result<f64, _> = text.parse();
    match amount {
        Ok(amount) if amount.is_finite() && amount >= 0.0 => Ok(Money::of(amount).amount()),
        _ => Err(format!("`{text}` is not an amount; write 400 or 0.50")),
    }
}

/// Parses a size in bytes, such as `500MB` or `5GB`.
fn size(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not a size; write 500MB, 5GB or 1TB");
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let number: u64 = text[..digits].parse().map_err(|_| wrong())?;
    let unit: u64 = match text[digits..].trim() {
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        _ => return Err(wrong()),
    };
    number.checked_mul(unit).ok_or_else(wrong)
}
