//! `redlake marts`.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use chrono::NaiveDate;
use clap::Args;

use crate::cli::Common;
use crate::cli::error::CliError;
use crate::cli::exit_code::ExitCode;
use crate::cli::output::print::{counted, grouped};
use crate::load::Lake;
use crate::run::catalog;
use crate::run::marts::error::{MartsError, named};
use crate::run::marts::{Refreshed, Which, refresh};

#[derive(Debug, Args)]
pub struct MartsArgs {
    /// Compute all dates, not only those with changed tables
    #[arg(long)]
    all: bool,
    /// Compute this business date and all later ones, changed or not
    #[arg(long, value_name = "DATE", conflicts_with = "all")]
    since: Option<NaiveDate>,
}

pub fn main(args: &MartsArgs, common: &Common) -> Result<ExitCode, CliError> {
    let format = common.text_or_json()?;
    let contracts = common.contracts()?;
    let lake = Lake::open_existing(&common.lake())?;
    let which = match (args.all, args.since) {
        (true, _) => Which::All,
        (false, Some(since)) => Which::Since(since),
        (false, None) => Which::Failed,
    };
    let refreshed = refresh(&lake, &contracts, which)?;
    format.print(&refreshed, || summary(&refreshed))?;
    // The view of a mart needs files, so the catalog is written after the first ones.
    catalog::write(&lake, &contracts).map_err(CliError::no_catalog)?;
    if refreshed.failed.is_empty() {
        Ok(ExitCode::Complete)
    } else {
        Err(MartsError::Failed(refreshed.failed).into())
    }
}

fn summary(refreshed: &Refreshed) -> String {
    let mut out = computed(refreshed);
    for failed in &refreshed.failed {
        let _ = writeln!(out, "  failed on {}: {}", named(failed), failed.reason);
    }
    out
}

fn computed(refreshed: &Refreshed) -> String {
    let Refreshed {
        days,
        weeks,
        files,
        rows,
        failed,
    } = refreshed;
    let spans = |spans: &BTreeSet<NaiveDate>, name: &str| {
        let (first, last) = (spans.first()?, spans.last()?);
        Some(format!(
            "{} computed ({first} to {last})",
            counted(spans.len() as u64, name)
        ))
    };
    let told: Vec<String> = [spans(days, "date"), spans(weeks, "week")]
        .into_iter()
        .flatten()
        .collect();
    if told.is_empty() {
        let told = if failed.is_empty() {
            "marts: up to date\n"
        } else {
            "marts: no date computed\n"
        };
        return told.to_owned();
    }
    let files = counted(*files, "file");
    let mut out = format!("marts: {}, {files} written\n\n", told.join(", "));
    let _ = writeln!(out, "  {:<16}{:>9}", "mart", "rows");
    for (mart, rows) in rows {
        let _ = writeln!(out, "  {mart:<16}{:>9}", grouped(*rows));
    }
    out
}
