//! `redlake plan`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use crate::cli::Common;
use crate::cli::commands::run::part;
use crate::cli::environment::Environment;
use crate::cli::error::CliError;
use crate::cli::exit_code::ExitCode;
use crate::cli::output::print::{counted, grouped, priced};
use crate::maintenance::forecast::{Forecast, LeftToday, OpenPart, Outlook, outlook};
use crate::maintenance::needs::{OnSchedule, PeriodNeeds, Shortfall, on_schedule, shortfalls};
use crate::plan::parts::{Address, FollowUp};
use crate::plan::{Estimate, Plan, Search, Shard, unusable};
use crate::signing::{HalfSigner, Signer};
use crate::spec::pipeline::UnknownOutcomeAction;
use crate::transform::contracts::Transform;

#[derive(Debug, Args)]
pub struct PlanArgs {
    /// Pipeline file, such as pipelines/demo.yaml
    pipeline: PathBuf,
    /// Plan only part I of N of the searches, such as 2/4
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
}

pub fn main(args: &PlanArgs, common: &Common) -> Result<ExitCode, CliError> {
    let format = common.text_or_json()?;
    let (plan, environment) = common.plan(&args.pipeline)?;
    let plan = part(plan, args.shard)?;
    Transform::of(&plan)?;
    common.warn(&plan);
    let outlook = outlook(&plan, &common.lake_of(&plan), &|name| environment.get(name))?;
    let schedule = on_schedule(&plan, outlook.likely.as_ref());
    let report = PlanReport {
        pipeline: &plan.pipeline,
        plan_hash: &plan.hash,
        shard: plan.shard,
        estimate: plan.estimate(),
        likely: outlook.likely.as_ref(),
        left_today: outlook.left_today.as_ref(),
        open_run: outlook.open_run.as_ref(),
        shortfalls: shortfalls(&plan, schedule.as_ref()),
        schedule,
        currency: plan.price.currency.as_deref(),
        signed_sources: signed_sources(&plan, &environment),
        on_unknown_outcome: plan.limits.retries.on_unknown_outcome,
        searches: &plan.searches,
        follow_ups: &plan.follow_ups,
    };
    format.print(&report, || {
        let schedule = report.schedule.as_ref();
        table(&plan, &outlook, &environment)
            + &schedule.map_or_else(String::new, |s| scheduled(s, &plan))
    })?;
    for short in &report.shortfalls {
        tracing::warn!("{}", shortfall(short, &plan));
    }
    Ok(ExitCode::Complete)
}

#[derive(Serialize)]
struct PlanReport<'a> {
    pipeline: &'a str,
    plan_hash: &'a str,
    shard: Option<Shard>,
    /// Estimate of the worst case.
    estimate: Estimate,
    likely: Option<&'a Forecast>,
    left_today: Option<&'a LeftToday>,
    /// The interrupted run that the next run continues.
    open_run: Option<&'a OpenPart>,
    /// Calls and cost of the plan on its schedule.
    schedule: Option<OnSchedule>,
    /// Budgets that end a run, or a day of runs, before all planned calls are made.
    shortfalls: Vec<Shortfall>,
    currency: Option<&'a str>,
    /// Names of the sources whose calls are signed.
    signed_sources: Vec<&'a str>,
    /// Null if the source contracts decide.
    on_unknown_outcome: Option<UnknownOutcomeAction>,
    searches: &'a [Search],
    follow_ups: &'a [FollowUp],
}

fn signed_sources<'p>(plan: &'p Plan, environment: &Environment) -> Vec<&'p str> {
    let names = plan.sources.keys().map(String::as_str);
    let is_signed = |name: &&str| matches!(signer(plan, name, environment), Some(Ok(Some(_))));
    names.filter(is_signed).collect()
}

fn table(plan: &Plan, outlook: &Outlook, environment: &Environment) -> String {
    let estimate = plan.estimate();
    let money = |cost: Option<f64>| match (cost, &plan.price.currency) {
        (Some(cost), Some(currency)) => priced(cost, Some(currency)),
        _ => "no price".into(),
    };
    let mut out = format!("{} (plan {})\n\n", plan.pipeline, plan.hash);
    for (name, source) in &plan.sources {
        let address = match &source.address {
            Address::Url(url) => {
                let overridden = environment.get(&plan.source(name).base_url_env);
                match overridden.filter(|text| !text.trim().is_empty()).as_deref() {
                    Some("sandbox") => "built-in sandbox: costs nothing".to_owned(),
                    Some(other) => {
                        let from = &plan.source(name).base_url_env;
                        // An unusable address may contain a password, and `run` refuses it.
                        match unusable(other) {
                            Some(reason) => format!("the address in {from} {reason}"),
                            None => format!("{other} (from {from})"),
                        }
                    }
                    None => url.clone(),
                }
            }
            Address::Sandbox(world) => {
                format!("built-in sandbox, seed {}: costs nothing", world.seed)
            }
        };
        let _ = writeln!(out, "  {name}: {address}");
        out.extend(signing_line(plan, name, environment));
    }
    for (endpoint, fields) in asked_fields(plan) {
        let _ = writeln!(
            out,
            "  {endpoint} asks for the fields {}",
            fields.join(", ")
        );
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
    let likely = outlook.likely.as_ref();
    if let Some(Forecast {
        runs, calls, cost, ..
    }) = likely
    {
        let name = "likely";
        let calls = grouped(calls.round() as u64);
        let searches = grouped(estimate.searches);
        let plural = if *runs == 1 { "run" } else { "runs" };
        let _ = writeln!(
            out,
            "  {name:<14}{searches:>10}{calls:>12}{:>16}   as in the last {runs} {plural}",
            money(*cost)
        );
    }
    let at_most = estimate.seconds.ceil();
    let _ = match likely {
        Some(likely) => writeln!(
            out,
            "\n  takes about {:.0} s at these limits and recent response times; at least {at_most:.0} s \
             in the worst case",
            likely.seconds.ceil()
        ),
        None => writeln!(out, "\n  takes at least {at_most:.0} s at these limits"),
    };
    out.push_str(&budgets(plan, outlook));
    out.extend(unknown_outcomes(plan));
    out.extend(outlook.open_run.as_ref().map(|open| continued(open, plan)));
    out
}

/// Returns the line about the interrupted run that the next run continues. A run with another logical
/// time closes it instead.
fn continued(open: &OpenPart, plan: &Plan) -> String {
    let (calls, left) = (counted(open.calls, "call"), grouped(open.left));
    let id = &open.run_id;
    let how = if plan.schedule.is_some() {
        let at = open.snapshot_at.format("%FT%TZ");
        format!("with --snapshot-at {at} the next run continues {id}")
    } else {
        let at = open.snapshot_at.with_timezone(&plan.timezone);
        format!("the next run continues {id} of {}", at.format("%F %R"))
    };
    format!("  {how}: {calls} made, at most {left} left\n")
}

/// Returns the lines about the schedule.
fn scheduled(schedule: &OnSchedule, plan: &Plan) -> String {
    let money = |cost: Option<f64>| match (cost, &plan.price.currency) {
        (Some(cost), Some(currency)) => format!(", {}", priced(cost, Some(currency))),
        _ => String::new(),
    };
    let needs = |name: &str, needs: &PeriodNeeds| {
        let calls = grouped(needs.calls.round() as u64);
        let likely = needs.likely_calls.map(|calls| {
            let calls = grouped(calls.round() as u64);
            format!("; likely {calls} calls{}", money(needs.likely_cost))
        });
        let (cost, likely) = (money(needs.cost), likely.unwrap_or_default());
        format!("    {name:<9}at most {calls} calls{cost}{likely}\n")
    };
    let next = schedule.next_at.map(|at| at.with_timezone(&plan.timezone));
    let next = next.map(|at| at.format(", next at %Y-%m-%d %H:%M").to_string());
    format!(
        "\n  schedule `{}`, {}{}: {} runs in 30 days\n{}{}",
        schedule.cron,
        plan.timezone,
        next.unwrap_or_default(),
        grouped(schedule.frequency.runs_a_month),
        needs("a day", &schedule.a_day),
        needs("30 days", &schedule.a_month),
    )
}

/// Returns the warning about a budget that is too small for the plan.
fn shortfall(short: &Shortfall, plan: &Plan) -> String {
    let Shortfall {
        budget, most, of, ..
    } = short;
    let currency = plan.price.currency.as_deref();
    if short.is_cost {
        let (most, of) = (priced(*most, None), priced(*of, currency));
        format!("`{budget}` stops after {most} of at most {of}")
    } else {
        let (most, of) = (grouped(*most as u64), grouped(of.ceil() as u64));
        format!("`{budget}` stops after {most} of at most {of} calls")
    }
}

/// Returns the signer of the calls to a source, or the error that one of its variables is missing.
/// `None` if the source has no signing or the calls go to the sandbox.
fn signer(
    plan: &Plan,
    name: &str,
    environment: &Environment,
) -> Option<Result<Option<Signer>, HalfSigner>> {
    let source = plan.source(name);
    let overridden = environment.get(&source.base_url_env);
    let is_simulated = matches!(plan.sources[name].address, Address::Sandbox(_))
        || overridden.as_deref() == Some("sandbox");
    let signing = source.signing.as_ref().filter(|_| !is_simulated)?;
    Some(Signer::from_env(signing, &|name| environment.get(name)))
}

/// Returns the line that shows if calls to a source are signed.
fn signing_line(plan: &Plan, name: &str, environment: &Environment) -> Option<String> {
    let signing = plan.source(name).signing.as_ref()?;
    let (id, secret) = (&signing.app_id_env, &signing.secret_env);
    Some(match signer(plan, name, environment)? {
        Ok(Some(_)) => format!("    calls are signed, with {id} and {secret}\n"),
        Ok(None) => format!("    calls are not signed: {id} and {secret} are not set\n"),
        Err(half) => format!("    calls cannot be signed: {half}\n"),
    })
}

/// Returns the fields that calls request by name, by endpoint.
fn asked_fields(plan: &Plan) -> BTreeMap<&str, &[String]> {
    let searches = plan.searches.iter();
    let searches = searches.map(|s| (s.endpoint.as_str(), s.fields.as_slice()));
    let follow_ups = plan.follow_ups.iter();
    let follow_ups = follow_ups.map(|f| (f.endpoint.as_str(), f.fields.as_slice()));
    let asked = searches.chain(follow_ups);
    asked.filter(|(_, fields)| !fields.is_empty()).collect()
}

/// Returns the line that shows what follows a call that may have been billed, if the pipeline sets it.
fn unknown_outcomes(plan: &Plan) -> Option<String> {
    let what = match plan.limits.retries.on_unknown_outcome? {
        UnknownOutcomeAction::Fail => "its search fails",
        UnknownOutcomeAction::RetryOnce => "it is sent once more, and can be paid twice",
    };
    Some(format!(
        "  after a call that may be billed but has no usable answer: {what}\n"
    ))
}

/// Returns the lines about the budgets and what is left of them today.
fn budgets(plan: &Plan, outlook: &Outlook) -> String {
    let budgets = &plan.limits.budgets;
    let currency = plan.price.currency.as_deref().unwrap_or_default();
    let mut parts = Vec::new();
    parts.extend(
        budgets
            .requests_per_run
            .map(|n| format!("{} a run", counted(n, "call"))),
    );
    parts.extend(
        budgets
            .cost_per_run
            .map(|m| format!("{m} {currency} a run")),
    );
    parts.extend(
        budgets
            .requests_per_day
            .map(|n| format!("{} a day", counted(n, "call"))),
    );
    parts.extend(
        budgets
            .cost_per_day
            .map(|m| format!("{m} {currency} a day")),
    );
    let mut out = if parts.is_empty() {
        String::new()
    } else {
        format!("  budgets: {}\n", parts.join(", "))
    };
    if let Some(LeftToday { calls, cost }) = outlook.left_today {
        let calls = calls.map(|n| counted(n, "call"));
        let cost = cost.map(|c| priced(c, Some(currency)));
        let left: Vec<String> = calls.into_iter().chain(cost).collect();
        let _ = writeln!(out, "  left today: {}", left.join(", "));
    }
    out
}
