//! `redlake compact`, `redlake prune` and `redlake verify`.

use std::fmt::Write as _;
use std::path::Path;

use chrono::NaiveDate;
use clap::{ArgGroup, Args};

use crate::cli::Common;
use crate::cli::error::CliError;
use crate::cli::exit_code::ExitCode;
use crate::cli::output::print::{counted, grouped, priced};
use crate::cli::output::progress;
use crate::cli::shell::{lake_flag, program};
use crate::clock;
use crate::load::Lake;
use crate::load::verify::modes::Remark;
use crate::load::verify::quarantine::Moved;
use crate::load::verify::{Problem, ProblemKind, Verified};
use crate::maintenance::compact::{Compacted, CompactedDay, compact, first_open_day};
use crate::maintenance::prune::{PruneRequest, Pruned, prune};
use crate::maintenance::run_contents::{RawFileSize, RunContents};
use crate::maintenance::verify::verify;
use crate::query::runs::{Paid, PaidCost};
use crate::run::catalog;
use crate::spec::words::TimeSpan;
use crate::spec::yaml::escape::escaped_line;

#[derive(Debug, Args)]
pub struct CompactArgs {
    /// Compact only days before this one [default: days that have ended in all time zones]
    #[arg(long, value_name = "YYYY-MM-DD")]
    before: Option<NaiveDate>,
    /// Print what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").required(true).multiple(true))]
pub struct PruneArgs {
    /// Remove raw pages of finished runs whose last commit is older than this, such as 90d
    #[arg(long, value_name = "AGE", group = "what")]
    raw_older_than: Option<TimeSpan>,
    /// Remove tables and marts of days that ended longer ago than this, such as 730d
    #[arg(long, value_name = "AGE", group = "what")]
    tables_older_than: Option<TimeSpan>,
    /// Remove the rows and raw pages of one run. Without its whole id or --yes, print them and
    /// remove nothing
    #[arg(long, value_name = "RUN_ID", group = "what")]
    run: Option<String>,
    /// With --run, remove the run although its id is shortened
    #[arg(long, requires = "run")]
    yes: bool,
    /// With --tables-older-than, also remove the ledger (requests, runs)
    #[arg(long, requires = "tables_older_than")]
    ledger: bool,
    /// Print what would be removed, and change nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Move files that no commit added out of the tables, so that readers do not read them
    #[arg(long)]
    quarantine: bool,
    /// With --quarantine, print what would be moved, and change nothing
    #[arg(long, requires = "quarantine")]
    dry_run: bool,
}

pub fn compact_main(args: &CompactArgs, common: &Common) -> Result<ExitCode, CliError> {
    let format = common.text_or_json()?;
    let contracts = common.contracts()?;
    let lake = Lake::open_existing(&common.lake())?;
    let before = args.before.unwrap_or_else(|| first_open_day(clock::now()));
    let on_step = progress::of_compaction(common.progress);
    let Compacted { days, damaged } =
        compact(&lake, &contracts, before, args.dry_run, on_step.as_ref())?;
    // Removes the progress line before the result is printed.
    drop(on_step);
    format.print_list(&days, &days, || compact_summary(&days, args.dry_run))?;
    if !args.dry_run {
        catalog::write(&lake, &contracts).map_err(CliError::no_catalog)?;
    }
    let mut damaged = damaged.into_iter();
    let Some(first) = damaged.next() else {
        return Ok(ExitCode::Complete);
    };
    for another in damaged {
        tracing::warn!("{another}");
    }
    Err(first.into())
}

fn compact_summary(days: &[CompactedDay], dry_run: bool) -> String {
    let mut text = String::new();
    for day in days {
        let after = match day.bytes_after {
            _ if day.skipped => "skipped: the lake was being read".to_owned(),
            Some(bytes) => counted(bytes, "byte"),
            None => "size not known yet".to_owned(),
        };
        let _ = writeln!(
            text,
            "{} {}: {}, {} ({}) to {} ({after})",
            day.dt,
            day.table,
            counted(day.rows, "row"),
            counted(day.files_before, "file"),
            counted(day.bytes_before, "byte"),
            grouped(day.files_after),
        );
    }
    let (before, after) = days.iter().fold((0, 0), |(before, after), day| {
        (before + day.files_before, after + day.files_after)
    });
    let done = if dry_run { "would become" } else { "became" };
    let _ = if days.is_empty() {
        writeln!(text, "nothing to compact")
    } else {
        writeln!(
            text,
            "{} {done} {}",
            counted(before, "file"),
            grouped(after)
        )
    };
    text
}

pub fn prune_main(args: &PruneArgs, common: &Common) -> Result<ExitCode, CliError> {
    let format = common.text_or_json()?;
    let contracts = common.contracts()?;
    let lake = Lake::open_existing(&common.lake())?;
    let now = clock::now();
    let ago = |span: &TimeSpan| {
        span.before(now)
            .ok_or_else(|| CliError::usage("the age is too large", "write an age such as 90d"))
    };
    let days = args.tables_older_than.as_ref().map(ago).transpose()?;
    let unwanted = PruneRequest {
        raw_before: args.raw_older_than.as_ref().map(ago).transpose()?,
        tables_before: days.map(first_open_day),
        run_id: args.run.clone(),
        confirmed: args.yes,
        ledger: args.ledger,
    };
    let pruned = prune(&lake, &contracts, &unwanted, args.dry_run)?;
    let is_dry = args.dry_run || pruned.is_unconfirmed;
    format.print(&pruned, || prune_summary(&pruned, is_dry))?;
    if let Some(run) = pruned.run.as_ref().filter(|_| pruned.is_unconfirmed) {
        return Err(unconfirmed(run, args, &common.lake()));
    }
    if !args.dry_run {
        catalog::write(&lake, &contracts).map_err(CliError::no_catalog)?;
    }
    Ok(ExitCode::Complete)
}

/// Returns the error for a shortened run id, with the command that removes the run.
fn unconfirmed(run: &RunContents, args: &PruneArgs, lake: &Path) -> CliError {
    let asked = args.run.as_deref().unwrap_or_default();
    let (program, lake, id) = (program(), lake_flag(lake), &run.run_id);
    let is_alone = args.raw_older_than.is_none() && args.tables_older_than.is_none();
    let hint = if is_alone {
        format!("this cannot be undone; to remove the run: {program} prune --run {id}{lake}")
    } else {
        format!("this cannot be undone; to do it, give `--run {id}` or add `--yes`")
    };
    CliError::usage(
        format!("nothing was removed: `{asked}` is not the whole id of run {id}"),
        hint,
    )
}

/// Returns the text about the contents of a run that is removed.
fn contents_summary(run: &RunContents) -> String {
    let id = &run.run_id;
    let mut text = format!("run {id}\n  pipeline          {}\n", run.pipeline);
    let at = run.snapshot_at.format("%Y-%m-%d %H:%M:%S");
    let _ = writeln!(text, "  snapshot_at       {at} UTC");
    for (table, rows) in &run.tables {
        let _ = writeln!(text, "  {table:<18}{}", counted(*rows, "row"));
    }
    for (table, rows) in &run.held {
        let _ = writeln!(text, "  {table:<18}{} (held)", counted(*rows, "row"));
    }
    for RawFileSize { path, bytes } in &run.raw {
        let path = path.to_string_lossy();
        let _ = writeln!(
            text,
            "  raw file          {path} ({})",
            counted(*bytes, "byte")
        );
    }
    let Paid {
        calls,
        billed,
        unknown,
        costs,
    } = &run.paid;
    let (calls, billed) = (counted(*calls, "call"), grouped(*billed));
    let _ = write!(text, "  paid for it       {calls}, {billed} billed");
    if *unknown > 0 {
        let _ = write!(text, ", {} perhaps billed", grouped(*unknown));
    }
    for PaidCost { cost, currency } in costs {
        let _ = write!(text, ", {}", priced(*cost, currency.as_deref()));
    }
    text.push_str("\n\n");
    text
}

fn prune_summary(pruned: &Pruned, dry_run: bool) -> String {
    let done = if dry_run {
        "would be removed"
    } else {
        "removed"
    };
    let mut text = pruned
        .run
        .as_ref()
        .map_or_else(String::new, contents_summary);
    let _ = write!(
        text,
        "tables: {} with {} and {} {done}",
        counted(pruned.files, "file"),
        counted(pruned.rows, "row"),
        counted(pruned.bytes, "byte"),
    );
    if pruned.rewritten > 0 {
        let written = if dry_run {
            "would be rewritten"
        } else {
            "rewritten"
        };
        let files = counted(pruned.rewritten, "file");
        let _ = write!(text, ", {files} shared with other runs {written}");
    }
    let _ = writeln!(
        text,
        "\nraw zone: {} with {} {done}",
        counted(pruned.raw_files, "file"),
        counted(pruned.raw_bytes, "byte"),
    );
    text
}

pub fn verify_main(args: &VerifyArgs, common: &Common) -> Result<ExitCode, CliError> {
    let format = common.text_or_json()?;
    let lake = Lake::open_existing(&common.lake())?;
    let contracts = common.contracts()?;
    let mut verified = verify(&lake, &contracts)?;
    let mut failed = None;
    if args.quarantine && !args.dry_run && !verified.strangers.is_empty() {
        let done = lake.quarantine(&verified.strangers)?;
        verified.moved = done.moved;
        failed = done.failed;
        let moved = &verified.moved;
        let is_there = |p: &Problem| moved.iter().all(|moved| moved.from != p.path);
        verified
            .problems
            .retain(|p| p.kind != ProblemKind::Uncommitted || is_there(p));
    }
    lake.record_verification(&verified);
    format.print(&verified, || {
        verify_summary(&verified, args.quarantine && args.dry_run)
    })?;
    if let Some(error) = failed {
        return Err(error.into());
    }
    if verified.problems.is_empty() || (args.quarantine && args.dry_run) {
        Ok(ExitCode::Complete)
    } else {
        Ok(ExitCode::Refused)
    }
}

fn verify_summary(verified: &Verified, would_move: bool) -> String {
    let mut text = String::new();
    for problem in &verified.problems {
        let moved = if would_move && problem.kind == ProblemKind::Uncommitted {
            "; would be moved"
        } else {
            ""
        };
        let (kind, path, detail) = (problem.kind.as_str(), &problem.path, &problem.detail);
        let path = escaped_line(path);
        let _ = writeln!(text, "{kind}: {path}: {detail}{moved}");
    }
    for Moved { from, to } in &verified.moved {
        let (from, to) = (escaped_line(from), escaped_line(to));
        let _ = writeln!(text, "moved: {from} to {to}");
    }
    for Remark { path, detail, hint } in &verified.remarks {
        let hint = escaped_line(hint);
        let _ = writeln!(text, "remark: {path}: {detail}\n  hint: {hint}");
    }
    let _ = writeln!(
        text,
        "raw zone: {} with {} and {} verified, {} pruned",
        counted(verified.raw_files, "file"),
        counted(verified.raw_pages, "page"),
        counted(verified.raw_bytes, "byte"),
        grouped(verified.raw_pruned),
    );
    let _ = writeln!(
        text,
        "{} with {} and {} verified, {}",
        counted(verified.files, "file"),
        counted(verified.rows, "row"),
        counted(verified.bytes, "byte"),
        counted(verified.problems.len() as u64, "problem"),
    );
    text
}
