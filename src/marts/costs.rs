//! `keyword_costs`: calls of a keyword, their cost, and the cost of a new note.

use polars::prelude::{DataType, JoinType, LazyFrame, NULL, PolarsResult, col, lit, when};

use super::keywords::{KEYWORD, found};
use super::notes::{how_many, join};
use super::{CALLS, SpanInputs};

pub(super) fn daily(inputs: &SpanInputs) -> PolarsResult<LazyFrame> {
    let new_notes = how_many("is_new").cast(DataType::Int64).alias("new_notes");
    let found = found(inputs)?.group_by(KEYWORD).agg([new_notes]);
    let new_notes = col("new_notes").fill_null(lit(0_i64));
    let per_note = when(col("new_notes").gt(lit(0_i64)))
        .then(col("cost") / col("new_notes").cast(DataType::Float64))
        .otherwise(lit(NULL));
    Ok(join(inputs.frame(CALLS)?, found, &KEYWORD, JoinType::Left)
        .with_column(new_notes)
        .with_column(per_note.alias("cost_per_new_note")))
}
