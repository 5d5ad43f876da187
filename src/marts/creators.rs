//! `creator_daily`: engagement and best rank of an author's notes.

use polars::prelude::{DataType, JoinType, LazyFrame, PolarsResult, col, len, lit};

use super::notes::{COUNTS, NOTE, counts, facts, how_many, join, median, newest_first, told_new};
use super::sums::sum_if_any;
use super::{SpanInputs, earlier};
use crate::spec::mart::Mart;

const CREATOR: [&str; 2] = ["pipeline", "user_id"];

pub(super) fn daily(inputs: &SpanInputs, mart: &Mart) -> PolarsResult<LazyFrame> {
    let seen = facts(inputs.frame("notes")?, mart, &["author_user_id"])
        .with_column(col("author_user_id").alias("user_id"))
        .filter(col("user_id").is_not_null());
    let seen = told_new(seen, inputs.frame(earlier::NOTES)?, &NOTE);
    let counts = counts(inputs.frame("engagement")?, mart);
    let notes = join(seen, counts, &NOTE, JoinType::Left);
    let creators = join(notes, best_ranks(inputs)?, &NOTE, JoinType::Left)
        .group_by(CREATOR)
        .agg([
            len().cast(DataType::Int64).alias("notes"),
            how_many("is_new").cast(DataType::Int64).alias("new_notes"),
            sum_if_any(&COUNTS).alias("engagement_sum"),
            median("liked_count").alias("liked_median"),
            col("rank").min().alias("best_rank"),
        ]);
    Ok(join(creators, followers(inputs)?, &CREATOR, JoinType::Left))
}

/// Returns the best rank of each note in any search.
fn best_ranks(inputs: &SpanInputs) -> PolarsResult<LazyFrame> {
    let is_note = col("entity").eq(lit("note"));
    let hits = inputs.frame("search_results")?.filter(is_note);
    Ok(hits
        .with_column(col("entity_id").alias("note_id"))
        .group_by(NOTE)
        .agg([col("rank").min()]))
}

/// Returns the newest known follower count of each user.
fn followers(inputs: &SpanInputs) -> PolarsResult<LazyFrame> {
    let stats = inputs.frame("user_stats")?;
    Ok(newest_first(stats, col("endpoint"))
        .group_by(CREATOR)
        .agg([col("follower_count").first_non_null()]))
}
