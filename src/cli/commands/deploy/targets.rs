//! The files of each scheduler.

use minijinja::{Value, context};

use super::arguments::{DeployArgs, Scheduler};
use super::facts::{Facts, machine_zone};
use super::quote::without_expressions;
use super::templates::{Template, value};
use crate::cli::error::CliError;
use crate::cli::shell::shell_word;

/// Seconds: nine tenths of five minutes.
const SHORTEST_ON_GITHUB: i64 = 270;

/// A file to write: its name, and its text.
pub type NewFile = (String, String);

/// Returns the files of a scheduler.
///
/// # Errors
/// The scheduler cannot run the pipeline.
pub fn files(args: &DeployArgs, facts: &Facts) -> Result<Vec<NewFile>, CliError> {
    match args.scheduler {
        Scheduler::Cron => cron(facts),
        Scheduler::Systemd => Ok(systemd(facts)),
        Scheduler::Airflow => Ok(vec![(facts.dag_name(), dag(facts))]),
        Scheduler::Kubernetes => {
            let name = format!("{}.yaml", facts.unit);
            Ok(vec![(name, manifests(facts)?)])
        }
        Scheduler::GithubActions => Ok(workflow(facts)),
    }
}

/// Returns the scripts that run the pipeline and keep its lake.
fn scripts(facts: &Facts) -> Vec<NewFile> {
    vec![
        (facts.run_name(), Template::RunScript.fill(value(facts))),
        (
            facts.upkeep_name(),
            Template::UpkeepScript.fill(value(facts)),
        ),
    ]
}

fn cron(facts: &Facts) -> Result<Vec<NewFile>, CliError> {
    let machine_zone = machine_zone()?;
    let (calendar, is_exact) = facts.in_zone(machine_zone);
    let machine_zone = machine_zone.to_string();
    let values = context! { calendar => value(&calendar), is_exact, machine_zone, ..value(facts) };
    let mut files = scripts(facts);
    let name = format!("{}.crontab", facts.unit);
    files.push((name, Template::Crontab.fill(values)));
    Ok(files)
}

fn systemd(facts: &Facts) -> Vec<NewFile> {
    let unit = &facts.unit;
    let calendar = facts.on_calendar();
    let user = owner(&facts.pipeline);
    let values = context! { calendar => value(&calendar), user, ..value(facts) };
    // The instances of a template unit are the parts.
    let at = if facts.shards > 1 { "@" } else { "" };
    let mut files = scripts(facts);
    files.push((
        format!("{unit}{at}.service"),
        Template::RunService.fill(values.clone()),
    ));
    files.push((
        format!("{unit}{at}.timer"),
        Template::RunTimer.fill(values.clone()),
    ));
    let upkeep = Template::UpkeepService.fill(values.clone());
    files.push((format!("{unit}-upkeep@.service"), upkeep));
    for (task, lines) in [("daily", &calendar.daily), ("status", &calendar.status)] {
        let values = context! { task, lines, ..values.clone() };
        let timer = Template::UpkeepTimer.fill(values);
        files.push((format!("{unit}-upkeep@{task}.timer"), timer));
    }
    files
}

/// Returns the account that owns a file: its name, or its number. `None` for root.
#[cfg(unix)]
fn owner(path: &str) -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    let owner = std::fs::metadata(path).ok()?.uid();
    if owner == 0 {
        return None;
    }
    let id = owner.to_string();
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == id).then(|| name.to_owned())
    });
    Some(name.unwrap_or(id))
}

#[cfg(not(unix))]
fn owner(_: &str) -> Option<String> {
    None
}

fn dag(facts: &Facts) -> String {
    let (calendar, _) = facts.in_zone(facts.zone);
    let unit_upkeep = format!("{}-upkeep", facts.unit);
    let unit_status = format!("{}-status", facts.unit);
    let values = value(facts);
    Template::Dag
        .fill(context! { calendar => value(&calendar), unit_upkeep, unit_status, ..values })
}

fn manifests(facts: &Facts) -> Result<String, CliError> {
    let (calendar, _) = facts.in_zone(facts.zone);
    let (facts, bundle) = facts.in_a_pod()?;
    let scripts = [
        ("run.sh", Template::RunScript.fill(value(&facts))),
        ("upkeep.sh", Template::UpkeepScript.fill(value(&facts))),
    ];
    let scripts = scripts.map(|(name, text)| context! { key => name, path => name, text });
    let files = bundle.files.iter().map(value);
    let files: Vec<Value> = scripts.into_iter().chain(files).collect();
    let values = context! { calendar => value(&calendar), files, ..value(&facts) };
    let pod = |task: Option<&str>, script: &str| {
        let pod = Template::Pod.fill(context! { task, script, ..values.clone() });
        pod.trim_end().to_owned()
    };
    let upkeep = |task: &str, ending: &str, line: &String| {
        let unit = format!("{}-{ending}", facts.unit);
        context! { unit, line, pod => pod(Some(task), &facts.upkeep_script) }
    };
    let upkeeps = [
        upkeep("daily", "upkeep", &calendar.daily[0]),
        upkeep("status", "status", &calendar.status[0]),
    ];
    let fail_action = if facts.shards > 1 {
        "FailIndex"
    } else {
        "FailJob"
    };
    let run_pod = pod(None, &facts.run_script);
    Ok(Template::Manifests.fill(context! { upkeeps, fail_action, run_pod, ..values }))
}

fn workflow(facts: &Facts) -> Vec<NewFile> {
    if facts.pace.latest_start < SHORTEST_ON_GITHUB {
        tracing::warn!("GitHub starts no workflow more often than every five minutes");
    }
    let (calendar, is_exact) = facts.in_zone(chrono_tz::UTC);
    let is_due = |lines: &[String]| {
        let lines = serde_json::to_string(lines).expect("texts are JSON");
        format!("contains(fromJSON('{lines}'), github.event.schedule)")
    };
    let command = |script: &str, argument: &str| {
        let script = without_expressions(&shell_word(script));
        format!("/bin/sh {script} {argument}").trim_end().to_owned()
    };
    let (shard, group) = if facts.shards > 1 {
        (
            "${{ matrix.shard }}",
            format!("{}-${{{{ matrix.shard }}}}", facts.unit),
        )
    } else {
        ("", facts.unit.clone())
    };
    let values = context! {
        run_condition => format!("github.event_name == 'workflow_dispatch' || {}", is_due(&calendar.run)),
        daily_condition => is_due(&calendar.daily),
        status_condition => is_due(&calendar.status),
        run_command => command(&facts.run_script, shard),
        daily_command => command(&facts.upkeep_script, "daily"),
        status_command => command(&facts.upkeep_script, "status"),
        timeout_minutes => (facts.pace.deadline / 60).max(5),
        concurrency => group,
        calendar => value(&calendar),
        is_exact,
        ..value(facts)
    };
    let mut files = scripts(facts);
    files.push((
        format!("{}.yml", facts.unit),
        Template::Workflow.fill(values),
    ));
    files
}
