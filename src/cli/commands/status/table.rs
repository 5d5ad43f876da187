//! The table of `redlake status`, for people.

use std::fmt::Write as _;

use chrono::{DateTime, Local, Utc};

use super::lake_checks::gigabytes;
use super::problem::{HealthProblem, spelled};
use crate::cli::output::print::{counted, grouped, pretty, priced};
use crate::lake_layout::full_path;
use crate::maintenance::status::spending::{CostIn, Spending};
use crate::maintenance::status::state::{LakeStatus, PipelineStatus, ShardStatus};
use crate::spec::yaml::escape::escaped_line;

const COLUMNS: [&str; 10] = [
    "pipeline", "state", "last run", "age", "searches", "failed", "rejects", "drift", "today",
    "month",
];

pub(super) fn table(
    pipelines: &[&PipelineStatus],
    lakes: &[LakeStatus],
    problems: &[HealthProblem],
) -> String {
    let mut text = String::new();
    if pipelines.is_empty() {
        text.push_str("the lake has no run yet\n");
    } else {
        let rows = pipelines.iter().flat_map(|status| pipeline_rows(status));
        let rows: Vec<Vec<String>> = rows.collect();
        let _ = writeln!(text, "{}", pretty(&COLUMNS, &rows));
    }
    for status in pipelines {
        text.push_str(&remarks(status));
    }
    for lake in lakes {
        text.push_str(&lake_lines(lake));
    }
    for problem in problems {
        let subject = match (&problem.pipeline, problem.shard) {
            (Some(pipeline), Some(shard)) => format!("{pipeline} {shard}: "),
            (Some(pipeline), None) => format!("{pipeline}: "),
            (None, _) => String::new(),
        };
        let HealthProblem { message, hint, .. } = problem;
        let _ = writeln!(text, "problem: {subject}{message}; {hint}");
    }
    if problems.is_empty() {
        text.push_str("no problem found\n");
    }
    text
}

/// Returns a row for each shard. Age and spending are of the whole pipeline, in the first row.
fn pipeline_rows(status: &PipelineStatus) -> Vec<Vec<String>> {
    let rows = status.shards.iter().enumerate().map(|(at, shard)| {
        let name = match shard.shard {
            Some(part) => format!("{} {part}", status.pipeline),
            None => status.pipeline.clone(),
        };
        let whole = |text: String| if at == 0 { text } else { String::new() };
        let age = shard.data_at.map(|at| (status.now - at).num_seconds());
        let mut row = vec![
            name,
            shard.state.as_str().replace('_', " "),
            shard.snapshot_at.map_or_else(String::new, local),
            age.map_or_else(String::new, |age| spelled(age.max(0))),
        ];
        row.extend(counts(shard));
        row.push(whole(spent(&status.today)));
        row.push(whole(spent(&status.month)));
        row
    });
    rows.collect()
}

fn counts(shard: &ShardStatus) -> [String; 4] {
    let Some(last) = &shard.last_run else {
        return Default::default();
    };
    [
        format!("{}/{}", last.searches_done, last.searches_planned),
        grouped(last.searches_failed),
        grouped(last.rejects),
        grouped(last.drift),
    ]
}

fn spent(spending: &Spending) -> String {
    let costs = spending.costs.iter();
    let mut parts: Vec<String> = costs
        .map(|CostIn { cost, currency }| priced(*cost, currency.as_deref()))
        .collect();
    parts.push(counted(spending.calls, "call"));
    parts.join(", ")
}

/// Returns the lines below the table about the time, the schedule and the budgets of a pipeline.
fn remarks(status: &PipelineStatus) -> String {
    let mut text = String::new();
    let name = escaped_line(&status.pipeline);
    if status.simulated {
        let now = status.now.format("%Y-%m-%d %H:%M UTC");
        let _ = writeln!(
            text,
            "{name}: simulated, so ages are measured to its newest snapshot, {now}"
        );
    }
    if let Some(due) = &status.schedule
        && !status.simulated
    {
        let next = due
            .next_at
            .map_or_else(String::new, |at| format!(", next {}", local(at)));
        let _ = writeln!(
            text,
            "{name}: schedule `{}`, due {}{next}",
            due.cron,
            local(due.due_at)
        );
    }
    if let Some(budgets) = &status.budgets {
        let mut parts = Vec::new();
        if let Some(most) = budgets.cost_per_day {
            let currency = budgets.currency.as_deref();
            let (spent, most) = (priced(budgets.cost_spent, None), priced(most, currency));
            parts.push(format!("{spent} of {most}"));
        }
        if let Some(most) = budgets.requests_per_day {
            let spent = grouped(budgets.requests_spent);
            parts.push(format!("{spent} of {}", counted(most, "call")));
        }
        let _ = writeln!(
            text,
            "{name}: budget of the day: {} spent by the runs of this lake",
            parts.join(", ")
        );
    }
    text
}

fn lake_lines(lake: &LakeStatus) -> String {
    let path = full_path(&lake.lake);
    let path = escaped_line(&path.to_string_lossy()).to_string();
    let free = lake
        .free_bytes
        .map_or_else(String::new, |free| format!(", {} free", gigabytes(free)));
    if !lake.exists {
        return format!("lake {path}: does not exist yet{free}\n");
    }
    let days = match lake.uncompacted_days {
        0 => "all past days compacted".to_owned(),
        days => format!("{} not compacted", counted(days, "day")),
    };
    let verified = match (&lake.verified, lake.verify_age_seconds) {
        (Some(last), Some(age)) => format!(
            "verified {} ago with {}",
            spelled(age),
            counted(last.problems, "problem")
        ),
        (None, _) | (_, None) => "never verified".to_owned(),
    };
    format!(
        "lake {path}: tables {}, raw {}{free}, {days}, {verified}\n",
        gigabytes(lake.table_bytes),
        gigabytes(lake.raw_bytes),
    )
}

fn local(at: DateTime<Utc>) -> String {
    at.with_timezone(&Local).format("%F %H:%M %:z").to_string()
}
