//! `hashtag_daily` and `hashtag_weekly`: counts and engagement of the notes with a tag.

use polars::prelude::{DataType, JoinType, LazyFrame, PolarsResult, col, len};

use super::notes::{COUNTS, NOTE, counts, distinct, facts, how_many, join, told_new};
use super::sums::sum_if_any;
use super::{SpanInputs, earlier};
use crate::spec::mart::Mart;

pub(super) fn figures(inputs: &SpanInputs, mart: &Mart) -> PolarsResult<LazyFrame> {
    let tagged = inputs.frame("note_tags")?;
    let tagged = distinct(tagged.select(["pipeline", "note_id", "tag"].map(col)));
    let tagged = told_new(tagged, inputs.frame(earlier::NOTES)?, &NOTE);
    let counts = counts(inputs.frame("engagement")?, mart);
    let facts = facts(inputs.frame("notes")?, mart, &["author_user_id"]);
    let notes = join(tagged, counts, &NOTE, JoinType::Left);
    Ok(join(notes, facts, &NOTE, JoinType::Left)
        .group_by(["pipeline", "tag"])
        .agg([
            len().cast(DataType::Int64).alias("notes"),
            col("author_user_id")
                .drop_nulls()
                .n_unique()
                .cast(DataType::Int64)
                .alias("authors"),
            how_many("is_new").cast(DataType::Int64).alias("new_notes"),
            sum_if_any(&COUNTS).alias("engagement_sum"),
        ]))
}
