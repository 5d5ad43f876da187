//! `note_growth`: counts of a note, and their change since the last snapshot before the day.

use polars::prelude::{DataType, Expr, JoinType, LazyFrame, NULL, PolarsResult, col, lit, when};

use super::notes::{COUNTS, NOTE, counts, facts, join};
use super::sums::difference;
use super::{SpanInputs, earlier, local_times};
use crate::spec::mart::{Mart, Rising};

/// Columns of `notes` that are facts of a note.
const FACTS: [&str; 4] = [
    "author_user_id",
    "published_at",
    local_times::DATE,
    local_times::HOUR,
];

pub(super) fn of_notes(inputs: &SpanInputs, mart: &Mart) -> PolarsResult<LazyFrame> {
    let now = counts(inputs.frame("engagement")?, mart);
    let before = counts(inputs.frame(earlier::ENGAGEMENT)?, mart);
    let before = before.select([
        col("pipeline"),
        col("note_id"),
        col("snapshot_at").alias("previous_snapshot_at"),
        col("liked_count").alias("previous_liked_count"),
        col("collected_count").alias("previous_collected_count"),
        col("comments_count").alias("previous_comments_count"),
        col("shared_count").alias("previous_shared_count"),
    ]);
    let facts = facts(inputs.frame("notes")?, mart, &FACTS);
    let notes = join(now, before, &NOTE, JoinType::Left);
    let notes = join(notes, facts, &NOTE, JoinType::Left).with_columns([
        hours("snapshot_at", "previous_snapshot_at").alias("hours"),
        hours("snapshot_at", "published_at").alias("hours_since_publication"),
    ]);
    let notes = notes.with_columns(COUNTS.map(delta));
    let notes = notes.with_columns(COUNTS.map(per_hour));
    Ok(notes.with_column(is_rising(mart.rising).alias("is_rising")))
}

/// Returns the hours between two instants. They are subtracted as float64, which holds the
/// microseconds of three centuries exactly and does not overflow for others.
fn hours(until: &str, since: &str) -> Expr {
    let [until, since] = [until, since].map(|at| col(at).cast(DataType::Float64));
    (until - since) / lit(3.6e9)
}

fn stem(count: &str) -> &str {
    count.trim_end_matches("_count")
}

fn delta(count: &str) -> Expr {
    let change = difference(count, &format!("previous_{count}"));
    change.alias(format!("{}_delta", stem(count)))
}

fn per_hour(count: &str) -> Expr {
    let change = col(format!("{}_delta", stem(count))).cast(DataType::Float64);
    when(col("hours").gt(lit(0.0)))
        .then(change / col("hours"))
        .otherwise(lit(NULL))
        .alias(format!("{}_per_hour", stem(count)))
}

/// Returns `is_rising` with the logic of SQL: false if a limit is not met, otherwise null if a
/// value is unknown. Null without a rule.
fn is_rising(rule: Option<Rising>) -> Expr {
    let Some(rule) = rule else {
        return lit(NULL).cast(DataType::Boolean);
    };
    let gained = col("liked_delta").gt_eq(lit(rule.min_likes_gained));
    let quick = col("liked_per_hour").gt_eq(lit(rule.min_likes_per_hour));
    let young = col("hours_since_publication").lt_eq(lit(rule.max_age_hours));
    gained.and(quick).and(young)
}
