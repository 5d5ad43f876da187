//! Errors of a run.

use std::path::PathBuf;

use arrow::error::ArrowError;
use chrono::{DateTime, Utc};
use thiserror::Error;

use crate::extract::client::error::ClientError;
use crate::extract::error::ExtractError;
use crate::extract::journal::JournalError;
use crate::load::LakeError;
use crate::query::duckdb::QueryError;
use crate::raw::page::RawError;
use crate::run::access::AccessError;
use crate::transform::error::TransformError;

#[derive(Debug, Error)]
pub enum RunError {
    #[error(transparent)]
    Access(#[from] AccessError),
    #[error(transparent)]
    Lake(#[from] LakeError),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Raw(#[from] RawError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Extract(#[from] ExtractError),
    #[error(transparent)]
    Transform(TransformError),
    /// Reading the lake, or writing its catalog.
    #[error(transparent)]
    Query(#[from] QueryError),
    #[error("the raw file {} belongs to the pipeline `{found}`, not to `{wanted}`", path.display())]
    ForeignRaw {
        path: PathBuf,
        found: String,
        wanted: String,
    },
    #[error("the contracts cannot hold the ledger of a run")]
    Ledger(#[source] ArrowError),
    #[error("raw files of the run {0} are given twice, or not one after the other")]
    Scattered(String),
    #[error("no table `{0}` is made from pages")]
    NoSuchTable(String),
    #[error("the files of a table cannot be rewritten")]
    Rewrite(#[source] ArrowError),
    #[error("cannot make a folder for temporary files")]
    Scratch(#[source] std::io::Error),
    /// A rule `fail` of the pipeline's `contract:` refused the tables.
    #[error("{0}")]
    Refused(String),
    #[error("there is no run `{asked}` in this lake")]
    UnknownRun { asked: String, near: Vec<String> },
    #[error("several runs begin with `{asked}`")]
    AmbiguousRun { asked: String, ids: Vec<String> },
    #[error("the run {0} is not finished")]
    OpenRun(String),
    /// Raised before the commit. Nothing was changed.
    #[error("rewrite verification failed for {}: {before} rows before, {after} after, or contents differ", partition.display())]
    Rewritten {
        partition: PathBuf,
        before: u64,
        after: u64,
    },
    #[error("the raw file {} holds no page", .0.display())]
    EmptyRaw(PathBuf),
    #[error("no page of the raw file {} can be read: {reason}", path.display())]
    UnreadableRaw { path: PathBuf, reason: String },
    /// Raised before rows are replaced. Nothing was changed.
    #[error(
        "the raw files of the run {run_id} do not hold the pages that its ledger has: {missing} of \
         {in_ledger} are missing or damaged, {unknown} are not in the ledger"
    )]
    OtherPages {
        run_id: String,
        in_ledger: usize,
        missing: usize,
        unknown: usize,
    },
    #[error("the logical time {} has the run {run_id}, which cannot be continued: {reason}", at.format("%+"))]
    LogicalTime {
        at: DateTime<Utc>,
        run_id: String,
        reason: &'static str,
    },
    #[error("--snapshot-at {} is in the future", .0.format("%+"))]
    FutureTime(DateTime<Utc>),
    #[error("the pipeline `{0}` has no schedule with a due time")]
    NoSchedule(String),
    #[error("no run of the pipeline `{0}` with failed searches can be continued")]
    NothingFailed(String),
    #[error("the lake {} holds {held} runs of the pipeline `{pipeline}`, and this one would be {new}", lake.display())]
    MixedLake {
        lake: PathBuf,
        pipeline: String,
        held: &'static str,
        new: &'static str,
    },
}

impl From<TransformError> for RunError {
    fn from(error: TransformError) -> Self {
        match error {
            TransformError::Raw(error) => RunError::Raw(error),
            error => RunError::Transform(error),
        }
    }
}
