//! Errors of a refresh of the marts.

use thiserror::Error;

use crate::load::LakeError;
use crate::load::marts::FailedMart;
use crate::query::duckdb::QueryError;
use crate::spec::mart::Period;

#[derive(Debug, Error)]
pub enum MartsError {
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// At least one mart failed on at least one date. All others are up to date.
    #[error("{}", told(.0))]
    Failed(Vec<FailedMart>),
    #[error("the lake cannot be opened for its marts")]
    Open(#[source] QueryError),
}

fn told(failed: &[FailedMart]) -> String {
    let Some(first) = failed.first() else {
        return "no mart failed".to_owned();
    };
    let (of, reason) = (named(first), &first.reason);
    match failed.len() - 1 {
        0 => format!("{of}: {reason}"),
        more => format!("{of}: {reason} (and {more} more; `redlake marts` lists them)"),
    }
}

/// Returns the date or the week of a failure as text.
pub fn named(failed: &FailedMart) -> String {
    match failed.period {
        Period::Day => failed.date.to_string(),
        Period::Week => format!("week of {}", failed.date),
    }
}
