//! `redlake runs`.

use std::process::ExitCode;

use super::Common;
use super::error::CliError;
use super::output::print_batches;
use crate::load::Lake;
use crate::query::duckdb::Database;

const SQL: &str = "SELECT run_id, pipeline, snapshot_at, status, searches_done, requests, \
                   billed_requests, cost, rejects FROM runs ORDER BY started_at, run_id";

pub fn main(common: &Common) -> Result<ExitCode, CliError> {
    let contracts = common.contracts()?;
    let lake = Lake::open_existing(&common.lake())?;
    let unreadable = lake.unreadable(&contracts.tables)?;
    let answer = Database::open(lake.root(), &contracts.tables, &unreadable)?.query(SQL)?;
    print_batches(common.format, &answer.schema, &answer.batches)?;
    Ok(ExitCode::SUCCESS)
}
