//! Marts: tables that are computed from the tables of the lake, one business date at a time. No
//! other module uses polars. The computation is pure: equal input rows give equal output rows, in
//! the same order.
//!
//! `schemas/marts/<mart>.yaml` defines each figure.

mod caught;
mod creators;
mod exchange;
mod growth;
mod hashtags;
mod keywords;
mod notes;
mod ranks;
mod sums;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use chrono::NaiveDate;
use polars::prelude::{LazyFrame, PolarsError, SortMultipleOptions, col};
use thiserror::Error;

use crate::spec::mart::Mart;
use caught::caught;

/// Version of the computation. It is raised when the computation of a figure changes. Marts of an
/// older version are recomputed.
pub const VERSION: u32 = 2;

/// Input rows of marts: a table on the date, or data of [`earlier`] dates. Instants are whole
/// microseconds since 1970.
#[derive(Clone, Debug)]
pub struct Relation {
    pub schema: SchemaRef,
    pub batches: Vec<RecordBatch>,
}

/// Names of the inputs with data of earlier dates. Marts read them in addition to the tables of the
/// date itself.
pub mod earlier {
    /// `pipeline`, `keyword`, `note_id`: hits of earlier dates, at least those that the date has
    /// too.
    pub const HITS: &str = "earlier hits";
    /// `pipeline`, `note_id`: notes of earlier dates, at least those that the date has too.
    pub const NOTES: &str = "earlier notes";
    /// Rows of `engagement`: for each note of the date, its last snapshot of earlier dates.
    pub const ENGAGEMENT: &str = "earlier engagement";
}

#[derive(Debug, Error)]
pub enum MartError {
    #[error("the mart {mart} cannot be computed: {reason}")]
    Compute { mart: String, reason: String },
    #[error("the mart {mart} cannot be computed: it panicked: {reason}")]
    Panicked { mart: String, reason: String },
    #[error("rows cannot be exchanged with polars: it panicked: {0}")]
    PanickedRows(String),
    #[error("rows cannot be exchanged with polars")]
    Exchange(#[source] ArrowError),
    #[error("rows cannot be exchanged with polars: {0}")]
    Polars(PolarsError),
    #[error("the mart {mart} cannot compute the column `{column}`")]
    NoColumn { mart: String, column: String },
}

/// Inputs of the marts of one business date.
pub struct Day {
    date: NaiveDate,
    frames: BTreeMap<String, LazyFrame>,
}

impl Day {
    /// # Errors
    /// polars cannot read the rows, or panics.
    pub fn new(
        date: NaiveDate,
        relations: impl IntoIterator<Item = (String, Relation)>,
    ) -> Result<Self, MartError> {
        let mut frames = BTreeMap::new();
        for (name, relation) in relations {
            let rows = caught(|| exchange::to_polars(&relation));
            frames.insert(name, rows.map_err(MartError::PanickedRows)??);
        }
        Ok(Day { date, frames })
    }

    /// Returns the rows of a mart on this date, sorted by the `sort_by` of its contract.
    ///
    /// # Errors
    /// A table does not have the columns that the mart reads, the contract declares a column that
    /// the mart does not have, or the computation panics.
    pub fn compute(&self, mart: &Mart) -> Result<RecordBatch, MartError> {
        let computed = caught(|| self.rows(mart));
        computed.map_err(|reason| MartError::Panicked {
            mart: mart.table.name().to_owned(),
            reason,
        })?
    }

    fn rows(&self, mart: &Mart) -> Result<RecordBatch, MartError> {
        // Has an effect in tests only, which let a mart panic here.
        fail::fail_point!("mart");
        let name = mart.table.name();
        let failed = |error: PolarsError| MartError::Compute {
            mart: name.to_owned(),
            reason: error.to_string(),
        };
        let rows = match name {
            "keyword_daily" => keywords::daily(self, mart),
            "note_growth" => growth::of_notes(self, mart),
            "creator_daily" => creators::daily(self, mart),
            "hashtag_daily" => hashtags::daily(self, mart),
            "rank_history" => ranks::history(self, mart),
            _ => Err(PolarsError::InvalidOperation(
                "redlake cannot compute a mart of this name".into(),
            )),
        };
        let keys = mart.table.sort_by.iter();
        let keys: Vec<_> = keys
            .map(|key| key.value.as_str())
            .filter(|key| *key != exchange::DATE)
            .map(col)
            .collect();
        let sorted = rows.map(|rows| rows.sort_by_exprs(keys, SortMultipleOptions::default()));
        let computed = sorted.and_then(LazyFrame::collect).map_err(failed)?;
        exchange::to_arrow(computed, &mart.table, self.date)
    }

    /// Returns the rows of an input: a table, or data of [`earlier`] dates.
    fn frame(&self, name: &str) -> Result<LazyFrame, PolarsError> {
        let missing = || PolarsError::InvalidOperation(format!("it does not read {name}").into());
        self.frames.get(name).cloned().ok_or_else(missing)
    }
}
