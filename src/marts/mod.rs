//! Marts: tables that are computed from the tables of the lake, one business date at a time. The only
//! place that uses polars. Pure: rows in, rows out; the same rows give the same rows, in the same order.
//!
//! What each figure means stands in `schemas/marts/<mart>.yaml`.

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

/// Raised whenever a figure is computed in another way: marts of an older one are computed anew.
pub const VERSION: u32 = 2;

/// Rows of a table, or of an earlier day's table, that marts are computed from. Instants are whole
/// microseconds since 1970.
#[derive(Clone, Debug)]
pub struct Relation {
    pub schema: SchemaRef,
    pub batches: Vec<RecordBatch>,
}

/// What is known of earlier dates, beside the rows of the tables on the date itself.
pub mod earlier {
    /// `pipeline`, `keyword`, `note_id`: what was found before; at least what the date has, too.
    pub const HITS: &str = "earlier hits";
    /// `pipeline`, `note_id`: notes seen before; at least those that the date has, too.
    pub const NOTES: &str = "earlier notes";
    /// Rows of `engagement`: the last snapshot of earlier dates of each note that the date has.
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
    #[error("the mart {mart} has no column `{column}` to offer")]
    NoColumn { mart: String, column: String },
}

/// All that marts of one business date are computed from.
pub struct Day {
    date: NaiveDate,
    frames: BTreeMap<String, LazyFrame>,
}

impl Day {
    /// # Errors
    /// Rows that polars cannot take, or panics on.
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

    /// The rows of a mart on this date, sorted as its contract says.
    ///
    /// # Errors
    /// Tables whose columns are not what the mart is made for, and contracts that declare what it
    /// does not have. A panic is an error, too.
    pub fn compute(&self, mart: &Mart) -> Result<RecordBatch, MartError> {
        let computed = caught(|| self.rows(mart));
        computed.map_err(|reason| MartError::Panicked {
            mart: mart.table.name().to_owned(),
            reason,
        })?
    }

    fn rows(&self, mart: &Mart) -> Result<RecordBatch, MartError> {
        // Nothing but in tests, which let a mart panic here.
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
            _ => Err(PolarsError::InvalidOperation("nobody knows how".into())),
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

    /// The rows of a table, or what is known of earlier dates.
    fn frame(&self, name: &str) -> Result<LazyFrame, PolarsError> {
        let missing = || PolarsError::InvalidOperation(format!("it does not read {name}").into());
        self.frames.get(name).cloned().ok_or_else(missing)
    }
}
