//! `redlake runs`.

use crate::cli::Common;
use crate::cli::error::CliError;
use crate::cli::exit_code::ExitCode;
use crate::cli::output::print::print_batches;
use crate::load::Lake;
use crate::query::runs::list;
use crate::run::catalog;

pub fn main(common: &Common) -> Result<ExitCode, CliError> {
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
    let answer = database.query(&list(&held))?;
    print_batches(common.format, &answer.schema, &answer.batches)?;
    Ok(ExitCode::Complete)
}
