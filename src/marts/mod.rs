//! Marts: tables that are computed from the tables of the lake, one business date or week at a
//! time. No other module uses polars. The computation is pure: equal input rows give equal output
//! rows, in the same order.
//!
//! `schemas/marts/<mart>.yaml` defines each figure.

mod caught;
mod costs;
mod creators;
mod exchange;
mod growth;
mod hashtags;
mod keywords;
mod local_times;
mod notes;
mod ranks;
mod sums;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use chrono_tz::Tz;
use polars::prelude::{JoinType, LazyFrame, PolarsError, SortMultipleOptions, col, lit};
use thiserror::Error;

use crate::spec::mart::{DateSpan, Mart};
use caught::caught;

/// Version of the computation. It is raised when the computation of a figure changes. Marts of an
/// older version are recomputed.
pub const VERSION: u32 = 3;

/// Input rows of marts: a table in the span, or data of [`earlier`] dates. Instants are whole
/// microseconds since 1970.
#[derive(Clone, Debug)]
pub struct Relation {
    pub schema: SchemaRef,
    pub batches: Vec<RecordBatch>,
}

/// Names of the inputs with data of earlier dates. Marts read them in addition to the tables of the
/// span itself.
pub mod earlier {
    /// `pipeline`, `keyword`, `note_id`: hits of earlier dates, at least those that the span has
    /// too.
    pub const HITS: &str = "earlier hits";
    /// `pipeline`, `note_id`: notes of earlier dates, at least those that the span has too.
    pub const NOTES: &str = "earlier notes";
    /// Rows of `engagement`: for each note of the span, its last snapshot of earlier dates.
    pub const ENGAGEMENT: &str = "earlier engagement";
}

/// Name of the input with a row for each pipeline: `snapshots`, `days`, `searches_failed`, `is_over`.
pub const STATE: &str = "state";

/// Name of the input with the calls of each `pipeline`, `keyword_set`, `keyword` and `currency`.
pub const CALLS: &str = "calls";

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

/// Inputs of the marts of a span: one business date, or one week.
pub struct SpanInputs {
    span: DateSpan,
    frames: BTreeMap<String, LazyFrame>,
}

impl SpanInputs {
    /// Takes the relations, and the time zones of the pipelines.
    ///
    /// # Errors
    /// polars cannot read the rows, or panics.
    pub fn new(
        span: DateSpan,
        relations: impl IntoIterator<Item = (String, Relation)>,
        zones: &BTreeMap<String, Tz>,
    ) -> Result<Self, MartError> {
        let mut frames = BTreeMap::new();
        for (name, relation) in relations {
            let relation = local_times::with_local_times(relation, zones);
            let relation = relation.map_err(MartError::Exchange)?;
            let rows = caught(|| exchange::to_polars(&relation));
            frames.insert(name, rows.map_err(MartError::PanickedRows)??);
        }
        Ok(SpanInputs { span, frames })
    }

    /// Returns the rows of a mart in this span, sorted by the `sort_by` of its contract.
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
            "keyword_daily" | "keyword_weekly" => keywords::figures(self, mart),
            "keyword_costs" => costs::daily(self),
            "note_growth" => growth::of_notes(self, mart),
            "creator_daily" => creators::daily(self, mart),
            "hashtag_daily" | "hashtag_weekly" => hashtags::figures(self, mart),
            "rank_history" => ranks::history(self, mart),
            _ => Err(PolarsError::InvalidOperation(
                "redlake cannot compute a mart of this name".into(),
            )),
        };
        let rows = rows.map(|rows| self.with_state(rows));
        let keys = mart.table.sort_by.iter();
        let keys: Vec<_> = keys
            .map(|key| key.value.as_str())
            .filter(|key| !exchange::DATES.contains(key))
            .map(col)
            .collect();
        let sorted = rows.map(|rows| rows.sort_by_exprs(keys, SortMultipleOptions::default()));
        let computed = sorted.and_then(LazyFrame::collect).map_err(failed)?;
        exchange::to_arrow(computed, &mart.table, self.span.first)
    }

    /// Adds the state of the span, by pipeline, if it is an input.
    fn with_state(&self, rows: LazyFrame) -> LazyFrame {
        let Some(state) = self.frames.get(STATE) else {
            return rows;
        };
        let rows = notes::join(rows, state.clone(), &["pipeline"], JoinType::Left);
        rows.with_columns([
            col("is_over").fill_null(lit(false)),
            col("snapshots").fill_null(lit(0_i64)),
            col("days").fill_null(lit(0_i64)),
        ])
    }

    /// Returns the rows of an input: a table, or data of [`earlier`] dates.
    fn frame(&self, name: &str) -> Result<LazyFrame, PolarsError> {
        let missing = || PolarsError::InvalidOperation(format!("it does not read {name}").into());
        self.frames.get(name).cloned().ok_or_else(missing)
    }
}
