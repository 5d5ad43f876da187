//! `redlake show`, `publish` and `discard`: shows a run, and commits or drops the tables that a
//! data check held back.

use std::fmt::Write as _;
use std::path::Path;

use clap::Args;
use serde_json::Value;

use crate::cli::Common;
use crate::cli::error::CliError;
use crate::cli::exit_code::ExitCode;
use crate::cli::output::print::{counted, grouped, pretty, priced};
use crate::cli::shell::{lake_flag, program, shell_word};
use crate::load::held::{CheckResult, Held, HeldOutcome};
use crate::load::record::AddedFile;
use crate::maintenance::show::{Discarded, Shown, discard, publish, show};
use crate::query::runs::{CallsOf, FailedRow};

#[derive(Debug, Args)]
pub struct RunIdArgs {
    /// Id of the run from `redlake runs`, or its first characters
    #[arg(value_name = "RUN_ID")]
    run_id: String,
}

/// `redlake show`.
pub fn main(args: &RunIdArgs, common: &Common) -> Result<ExitCode, CliError> {
    let format = common.text_or_json()?;
    let contracts = common.contracts()?;
    let lake = common.lake();
    let shown = show(&lake, &contracts, &args.run_id)?;
    format.print(&shown, || text(&shown, &lake))?;
    Ok(ExitCode::Complete)
}

/// `redlake publish`.
pub fn publish_main(args: &RunIdArgs, common: &Common) -> Result<ExitCode, CliError> {
    let format = common.text_or_json()?;
    let contracts = common.contracts()?;
    let mut published = publish(&common.lake(), &contracts, &args.run_id)?;
    format.print(&published, || {
        format!(
            "run {}: published, {} in {}\n",
            published.run_id,
            counted(published.rows.values().sum(), "row"),
            counted(published.rows.len() as u64, "table")
        )
    })?;
    match published.catalog_error.take() {
        None => Ok(ExitCode::Complete),
        Some(error) => Err(CliError::no_catalog(error)),
    }
}

/// `redlake discard`.
pub fn discard_main(args: &RunIdArgs, common: &Common) -> Result<ExitCode, CliError> {
    let format = common.text_or_json()?;
    let contracts = common.contracts()?;
    let lake = common.lake();
    let discarded = discard(&lake, &contracts, &args.run_id)?;
    format.print(&discarded, || gone(&discarded, &lake))?;
    Ok(ExitCode::Complete)
}

fn gone(discarded: &Discarded, lake: &Path) -> String {
    let mut out = format!(
        "run {}: discarded; its pages and its ledger are kept\n",
        discarded.run_id
    );
    let raw = discarded.raw.iter().filter_map(|path| path.to_str());
    let raw: Vec<String> = raw.map(shell_word).collect();
    if !raw.is_empty() {
        let _ = writeln!(
            out,
            "\nTo make its tables anyway, with the pipeline {}:\n  {} transform PIPELINE{} --raw {}",
            discarded.pipeline,
            program(),
            lake_flag(lake),
            raw.join(" ")
        );
    }
    out
}

fn text(shown: &Shown, lake: &Path) -> String {
    let state = match (&shown.held, &shown.run) {
        (Some(_), _) => "held",
        (None, Some(run)) => run
            .get("status")
            .and_then(Value::as_str)
            .unwrap_or("unknown"),
        (None, None) => "unknown",
    };
    let mut out = format!("run {}: {state}\n", shown.run_id);
    for (name, value) in shown.run.iter().flatten() {
        let known = ["run_id", "dt"].contains(&name.as_str()) || value.is_null();
        if !known {
            let _ = writeln!(out, "  {name:<18}{}", cell(value));
        }
    }
    if !shown.calls.is_empty() {
        let columns = [
            "endpoint",
            "class",
            "calls",
            "billed",
            "perhaps billed",
            "cost",
        ];
        let row = |c: &CallsOf| {
            let cost = c.cost.map(|cost| priced(cost, c.currency.as_deref()));
            let (calls, billed, unknown) = (c.calls, c.billed, c.unknown);
            let counts = [calls, billed, unknown].map(grouped);
            let [calls, billed, unknown] = counts;
            vec![
                c.endpoint.clone(),
                c.class.clone(),
                calls,
                billed,
                unknown,
                cost.unwrap_or_default(),
            ]
        };
        let rows: Vec<_> = shown.calls.iter().map(row).collect();
        let _ = writeln!(out, "\nCalls:\n{}", pretty(&columns, &rows));
    }
    if !shown.failed.is_empty() {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let row = |f: &FailedRow| {
            let asked = f.keyword.as_ref().or(f.note_id.as_ref());
            vec![f.endpoint.clone(), text(&asked.cloned()), text(&f.error)]
        };
        let rows: Vec<_> = shown.failed.iter().map(row).collect();
        let table = pretty(&["endpoint", "search", "error"], &rows);
        let _ = writeln!(out, "\nFailed searches:\n{table}");
    }
    if !shown.files.is_empty() {
        let _ = writeln!(out, "\nCommitted files:\n{}", files(&shown.files));
    }
    if let Some(held) = &shown.held {
        out.push_str(&waiting(held, lake));
    }
    if !shown.unreadable.is_empty() {
        let folders = shown.unreadable.join(", ");
        let _ = writeln!(out, "\nNot readable by this account: {folders}");
    }
    out
}

fn files(files: &[AddedFile]) -> String {
    let row = |file: &AddedFile| {
        vec![
            file.table.clone(),
            grouped(file.rows),
            grouped(file.bytes),
            file.path.clone(),
        ]
    };
    let rows: Vec<_> = files.iter().map(row).collect();
    pretty(&["table", "rows", "bytes", "file"], &rows)
}

/// Returns the text about held tables: the files, the checks that held them, and the next commands.
fn waiting(held: &Held, lake: &Path) -> String {
    let since = held.held_at.format("%Y-%m-%d %H:%M:%S");
    let mut out = format!(
        "\nHeld since {since} UTC, and committed by `publish`:\n{}\n",
        files(&held.add)
    );
    for check in held
        .checks
        .iter()
        .filter(|c| c.outcome != HeldOutcome::Passed)
    {
        out.push_str(&evidence(check));
    }
    let (program, lake) = (program(), lake_flag(lake));
    let id = &held.run_id;
    let _ = writeln!(
        out,
        "\nNext:\n  {program} publish {id}{lake}    # commits these files anyway\n  \
         {program} discard {id}{lake}    # drops them; keeps pages and ledger"
    );
    out
}

/// Returns the text about a check that did not pass, with the wrong rows.
pub fn evidence(check: &CheckResult) -> String {
    let (outcome, name) = (check.outcome.as_str(), &check.name);
    let mut out = format!("\n{outcome}: {name}\n  {}\n", check.message);
    let Some(first) = check.rows.first() else {
        return out;
    };
    let columns: Vec<&str> = first.keys().map(String::as_str).collect();
    let row = |row: &indexmap::IndexMap<String, Value>| row.values().map(cell).collect();
    let rows: Vec<Vec<String>> = check.rows.iter().map(row).collect();
    let _ = writeln!(out, "{}", pretty(&columns, &rows));
    if check.failing_rows > rows.len() as u64 {
        let _ = writeln!(
            out,
            "  the first {} of {} rows",
            rows.len(),
            grouped(check.failing_rows)
        );
    }
    out
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.replace(['\n', '\r'], " "),
        other => other.to_string(),
    }
}
