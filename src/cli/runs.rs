//! `redlake runs`.

use std::process::ExitCode;

use super::Common;
use super::error::CliError;
use super::output::print_batches;
use crate::load::Lake;
use crate::query::duckdb::Database;
use crate::query::runs::list;

pub fn main(common: &Common) -> Result<ExitCode, CliError> {
    let contracts = common.contracts()?;
    let lake = Lake::open_existing(&common.lake())?;
    let unreadable = lake.unreadable(&contracts.tables)?;
    let held = lake.held()?;
    let held: Vec<&str> = held.iter().map(|held| held.run_id.as_str()).collect();
    let database = Database::open(lake.root(), &contracts.tables, &unreadable)?;
    let answer = database.query(&list(&held))?;
    print_batches(common.format, &answer.schema, &answer.batches)?;
    Ok(ExitCode::SUCCESS)
}
