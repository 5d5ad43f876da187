//! `redlake plan`.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::error::CliError;
use super::output::{grouped, print_json, print_text};
use super::{Common, Format};
use crate::plan::{Address, Estimate, FollowUp, Plan, Search};
use crate::transform::Transform;

#[derive(Debug, Args)]
pub struct PlanArgs {
    /// The pipeline, such as pipelines/demo.yaml
    pipeline: PathBuf,
}

pub fn main(args: &PlanArgs, common: &Common) -> Result<ExitCode, CliError> {
    let format = common.only(&[Format::Table, Format::Json])?;
    let contracts = common.contracts()?;
    let plan = common.plan(&args.pipeline, &contracts)?;
    Transform::new(contracts)?;
    common.warn(&plan);
    match format {
        Format::Json => print_json(&PlanReport {
            pipeline: &plan.pipeline,
            plan_hash: &plan.hash,
            estimate: plan.estimate(),
            currency: plan.price.currency.as_deref(),
            searches: &plan.searches,
            follow_ups: &plan.follow_ups,
        })?,
        _ => print_text(&table(&plan))?,
    }
    Ok(ExitCode::SUCCESS)
}

#[derive(Serialize)]
struct PlanReport<'a> {
    pipeline: &'a str,
    plan_hash: &'a str,
    estimate: Estimate,
    currency: Option<&'a str>,
    searches: &'a [Search],
    follow_ups: &'a [FollowUp],
}

fn table(plan: &Plan) -> String {
    let estimate = plan.estimate();
    let money = |cost: Option<f64>| match (cost, &plan.price.currency) {
        (Some(cost), Some(currency)) => format!("{cost:.2} {currency}"),
        _ => "no price".into(),
    };
    let mut out = format!("{} (plan {})\n\n", plan.pipeline, plan.hash);
    for (name, source) in &plan.sources {
        let address = match &source.address {
            Address::Url(url) => url.clone(),
            Address::Sandbox { seed, .. } => {
                format!("built-in sandbox, seed {seed}: costs nothing")
            }
        };
        let _ = writeln!(out, "  {name}: {address}");
    }
    let _ = writeln!(
        out,
        "\n  {:<14}{:>10}{:>12}{:>16}",
        "endpoint", "searches", "calls", "cost"
    );
    for e in &estimate.by_endpoint {
        let (searches, calls) = (grouped(e.searches), grouped(e.calls));
        let _ = writeln!(
            out,
            "  {:<14}{searches:>10}{calls:>12}{:>16}",
            e.endpoint,
            money(e.cost)
        );
    }
    let (searches, calls) = (grouped(estimate.searches), grouped(estimate.calls));
    let _ = writeln!(
        out,
        "  {:<14}{searches:>10}{calls:>12}{:>16}",
        "at most",
        money(estimate.cost)
    );
    let _ = writeln!(
        out,
        "\n  takes at least {:.0} s at these limits",
        estimate.seconds.ceil()
    );
    out
}
