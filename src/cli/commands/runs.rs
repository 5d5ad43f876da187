//! `redlake runs`.

use clap::Args;

use crate::cli::Common;
use crate::cli::error::CliError;
use crate::cli::exit_code::ExitCode;
use crate::cli::output::format::Format;
use crate::cli::output::print::{print_batches, with_local_times};
use crate::load::Lake;
use crate::maintenance::show::uncommitted_runs;
use crate::query::runs::{RunFilter, list};
use crate::run::catalog;
use crate::run::error::RunError;

#[derive(Debug, Args)]
pub struct RunsArgs {
    /// The N newest runs only
    #[arg(long, value_name = "N")]
    last: Option<u64>,
    /// Runs of one pipeline only
    #[arg(long, value_name = "NAME")]
    pipeline: Option<String>,
    /// Runs in one state only: complete, partial, stopped, failed, interrupted, held, running, or
    /// open (killed before its ledger was committed)
    #[arg(long, value_name = "STATE")]
    status: Option<String>,
}

pub fn main(args: &RunsArgs, common: &Common) -> Result<ExitCode, CliError> {
    let contracts = common.contracts()?;
    let lake = Lake::open_existing(&common.lake())?;
    let held = lake.held_if_readable()?;
    if held.is_none() {
        tracing::warn!(
            "held runs are not marked as held: _staging is not readable by this account"
        );
    }
    let held = held.unwrap_or_default();
    let held: Vec<&str> = held.iter().map(|held| held.run_id.as_str()).collect();
    let database = catalog::open_some(&lake, &contracts.tables, &["runs"])?;
    let uncommitted = match uncommitted_runs(&lake, &database) {
        Err(RunError::Journal(error)) if error.is_forbidden() => {
            tracing::warn!(
                "runs under way are not listed: their journals are not readable by this account"
            );
            Vec::new()
        }
        uncommitted => uncommitted?,
    };
    let filter = RunFilter {
        pipeline: args.pipeline.as_deref(),
        status: args.status.as_deref(),
        last: args.last,
    };
    let answer = database.query(&list(&held, &uncommitted, filter))?;
    // Programs get UTC, people the time of their machine.
    let is_for_people = matches!(common.format, Format::Table | Format::Markdown);
    if is_for_people && !answer.batches.is_empty() {
        let (schema, batches) = with_local_times(&answer.batches);
        print_batches(common.format, common.pretty, &schema, &batches)?;
    } else {
        print_batches(
            common.format,
            common.pretty,
            &answer.schema,
            &answer.batches,
        )?;
    }
    Ok(ExitCode::Complete)
}
