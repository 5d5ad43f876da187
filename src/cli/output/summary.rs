//! The summary of a run, for people.

use std::fmt::Write as _;
use std::path::Path;

use crate::cli::output::drift_summary;
use crate::cli::output::print::{counted, grouped, priced};
use crate::cli::shell::{program, shell_word};
use crate::plan::Plan;
use crate::run::commit::checks::Checks;
use crate::run::outcome::{OwnCalls, RunOutcome, Status};
use crate::run::report::RunReport;
use crate::spec::pipeline::OnUnknownField;
use crate::spec::yaml::escape::escaped_line;

/// Returns the summary of a run for people.
pub fn summary(
    outcome: &RunOutcome,
    report: &RunReport<'_>,
    plan: &Plan,
    pipeline: &Path,
) -> String {
    if outcome.is_repeated {
        return repeated(outcome, plan);
    }
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "  {name:<10}{value}");
    };
    let stops: Vec<String> = report
        .stops
        .iter()
        .map(|(stop, n)| format!("{n} {}", stop.explain()))
        .collect();
    let stops = if stops.is_empty() {
        String::new()
    } else {
        format!(" ({})", stops.join(", "))
    };
    let searches = report.searches;
    line(
        "searches",
        format!(
            "{} of {} done, {} failed{stops}",
            searches.done, searches.planned, searches.failed
        ),
    );
    line(
        "pages",
        format!(
            "{} with {}",
            grouped(report.pages),
            counted(report.items, "item")
        ),
    );
    let requests = report.requests;
    let unknown = match requests.unknown {
        0 => String::new(),
        n => format!(", {n} perhaps billed"),
    };
    let retries = if requests.retried == 1 {
        "retry"
    } else {
        "retries"
    };
    line(
        "calls",
        format!(
            "{} sent, {} {retries}, {} billed{unknown}",
            requests.sent, requests.retried, requests.billed
        ),
    );
    line(
        "cost",
        match (&report.cost, &report.currency) {
            (Some(cost), Some(currency)) if report.unpriced.is_empty() => {
                priced(*cost, Some(currency))
            }
            (Some(cost), Some(currency)) => {
                let unpriced: Vec<&str> = report.unpriced.iter().map(String::as_str).collect();
                format!(
                    "{}, without {} (no price)",
                    priced(*cost, Some(currency)),
                    unpriced.join(", ")
                )
            }
            _ => "unknown: the pipeline declares no price".into(),
        },
    );
    if let Some(OwnCalls { requests, cost }) = report.this_call {
        let cost = cost.map(|cost| format!(", {}", priced(cost, report.currency.as_deref())));
        let (sent, billed) = (requests.sent, requests.billed);
        let cost = cost.unwrap_or_default();
        line("this call", format!("{sent} sent, {billed} billed{cost}"));
    }
    line(
        "rejects",
        format!("{} that broke the contract", counted(report.rejects, "row")),
    );
    let drift = match drift_summary::fields(&outcome.drift) {
        1 => "1 field differs from its contract".to_owned(),
        fields => format!(
            "{} fields differ from their contract",
            grouped(fields as u64)
        ),
    };
    line("drift", drift);
    let checks = report.checks;
    if checks != Checks::default() {
        let remarks: String = report
            .check_remarks
            .iter()
            .map(|r| format!(" ({r})"))
            .collect();
        line(
            "checks",
            format!(
                "{} passed, {} warned, {} failed{remarks}",
                checks.passed, checks.warned, checks.failed
            ),
        );
    }
    if report.raw_removed > 0 {
        let plural = if report.raw_removed == 1 { "" } else { "s" };
        let removed = grouped(report.raw_removed);
        line("raw", format!("{removed} file{plural} of answers removed"));
    }
    let local = report.snapshot_at.with_timezone(&plan.timezone);
    line(
        "snapshot",
        local.format("%Y-%m-%d %H:%M:%S %:z").to_string(),
    );
    let continued = if report.continued { " (continued)" } else { "" };
    line("run", format!("{}{continued}", report.run_id));
    line("lake", report.lake.display().to_string());

    let status = if report.held {
        "held"
    } else {
        report.status.as_str()
    };
    let mut out = format!(
        "{}: {status} in {:.1} s\n{text}",
        report.pipeline, report.seconds
    );
    for failed in &report.failures {
        let (search, reason) = (escaped_line(&failed.search), escaped_line(&failed.reason));
        let _ = writeln!(out, "  failed    {search}: {reason}");
    }
    for damaged in report.damaged_pages {
        let (search, page) = (&damaged.search, damaged.page);
        let _ = writeln!(
            out,
            "  damaged   {search}, page {page}: paid for, and not readable in the raw zone"
        );
    }
    for check in &report.check_results {
        let (name, message) = (&check.name, &check.message);
        let _ = writeln!(out, "  {:<10}{name}: {message}", check.outcome.as_str());
    }
    if plan.on_unknown_field == OnUnknownField::Warn {
        out.push_str(&drift_summary::lines(&outcome.drift));
    }
    if !report.rows.is_empty() {
        let _ = writeln!(out, "\n  {:<16}{:>9}", "table", "rows");
        for (table, rows) in report.rows {
            let _ = writeln!(out, "  {table:<16}{:>9}", grouped(*rows));
        }
    }
    if let Some(next) = next_command(outcome, plan, pipeline) {
        let _ = writeln!(out, "\nNext, for example:\n  {next}");
    }
    out
}

/// Returns the summary of a call for a logical time whose run has nothing left to do.
fn repeated(outcome: &RunOutcome, plan: &Plan) -> String {
    let state = if outcome.is_held { "held" } else { "complete" };
    let local = outcome.meta.snapshot_at.with_timezone(&plan.timezone);
    format!(
        "{}: {state} already, no call was made\n  snapshot  {}\n  run       {}\n  lake      {}\n",
        outcome.meta.pipeline,
        local.format("%Y-%m-%d %H:%M:%S %:z"),
        outcome.meta.run_id,
        outcome.lake.display()
    )
}

/// Returns an example of the next command, with the program and the arguments of this run. `None`
/// if there is none.
fn next_command(outcome: &RunOutcome, plan: &Plan, pipeline: &Path) -> Option<String> {
    let program = program();
    let lake = match outcome.lake.to_str()? {
        "lake" => String::new(),
        lake => format!(" --lake {}", shell_word(lake)),
    };
    if outcome.is_open {
        let pipeline = shell_word(pipeline.to_str()?);
        let shard = plan.shard.map(|shard| format!(" --shard {shard}"));
        let shard = shard.unwrap_or_default();
        return Some(format!(
            "{program} run {pipeline}{lake}{shard}    # continues this run"
        ));
    }
    let has_tables = outcome.refused.is_none() && outcome.blocked.is_none();
    let has_failed = has_tables && !outcome.is_open && !outcome.failures().is_empty();
    if has_failed && matches!(outcome.status, Status::Partial | Status::Failed) {
        let pipeline = shell_word(pipeline.to_str()?);
        let shard = plan.shard.map(|shard| format!(" --shard {shard}"));
        let shard = shard.unwrap_or_default();
        return Some(format!(
            "{program} run {pipeline}{lake}{shard} --resume failed    # asks again for what failed"
        ));
    }
    if outcome.is_held {
        return Some(format!(
            "{program} show {}{lake}    # which rows are wrong",
            outcome.meta.run_id
        ));
    }
    if outcome.rows.contains_key("notes") {
        let sql = "select title, liked_count from notes_latest join engagement_latest \
                   using (note_id) order by liked_count desc limit 10";
        return Some(format!("{program} query{lake} \"{sql}\""));
    }
    // Pages without tables, as `extract` leaves them.
    let raw: Vec<String> = outcome
        .raw
        .iter()
        .filter_map(|p| p.to_str())
        .map(shell_word)
        .collect();
    let pipeline = shell_word(pipeline.to_str()?);
    let raw = (outcome.extraction.extracted.pages > 0 && !raw.is_empty()).then(|| raw.join(" "))?;
    Some(format!("{program} transform {pipeline}{lake} --raw {raw}"))
}
