//! Errors of the transform.

use arrow::error::ArrowError;
use thiserror::Error;

use crate::raw::page::RawError;
use crate::transform::quality::tally::Tally;

#[derive(Debug, Error)]
pub enum TransformError {
    #[error("the page asks for {endpoint} of {source_name}, which no source contract declares")]
    UnknownEndpoint {
        source_name: String,
        endpoint: String,
    },
    #[error("a table could not be built")]
    Arrow(#[from] ArrowError),
    #[error(transparent)]
    Raw(#[from] RawError),
    #[error(
        "the items of the table {table} do not add up: {} given, {} written, {} rejected, {} skipped",
        tally.given, tally.written, tally.rejected, tally.skipped
    )]
    Unaccounted { table: String, tally: Tally },
    #[error(
        "rows of the table {table} were lost: {rows} made, {given} given, {superseded} outdated"
    )]
    Lost {
        table: String,
        rows: u64,
        given: u64,
        superseded: u64,
    },
}
