//! `redlake marts`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use chrono::NaiveDate;
use clap::Args;

use crate::cli::Common;
use crate::cli::error::CliError;
use crate::cli::exit_code::ExitCode;
use crate::cli::output::print::grouped;
use crate::load::Lake;
use crate::load::marts::FailedMart;
use crate::run::catalog;
use crate::run::marts::{MartsError, Refreshed, Which, refresh};

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
    let Refreshed {
        days,
        files,
        rows,
        failed,
    } = refreshed;
    let mut out = computed(days, *files, rows, failed.is_empty());
    for FailedMart { date, reason, .. } in failed {
        let _ = writeln!(out, "  failed on {date}: {reason}");
    }
    out
}

fn computed(
    days: &BTreeSet<NaiveDate>,
    files: u64,
    rows: &BTreeMap<String, u64>,
    is_complete: bool,
) -> String {
    let (Some(first), Some(last)) = (days.first(), days.last()) else {
        let told = if is_complete {
            "marts: up to date\n"
        } else {
            "marts: no date computed\n"
        };
        return told.to_owned();
    };
    let plural = |n: usize| if n == 1 { "" } else { "s" };
    let mut out = format!(
        "marts: {} date{} computed ({first} to {last}), {} file{} written\n\n",
        grouped(days.len() as u64),
        plural(days.len()),
        grouped(files),
        plural(files as usize),
    );
    let _ = writeln!(out, "  {:<16}{:>9}", "mart", "rows");
    for (mart, rows) in rows {
        let _ = writeln!(out, "  {mart:<16}{:>9}", grouped(*rows));
    }
    out
}
