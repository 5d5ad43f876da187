//! What a date tells of each note.

use polars::prelude::{
    DataType, Expr, JoinArgs, JoinType, LazyFrame, SortMultipleOptions, UniqueKeepStrategy, col,
    lit, when,
};

use crate::spec::mart::Mart;

/// The counts of a note; their sum is its engagement.
pub(super) const COUNTS: [&str; 4] = [
    "liked_count",
    "collected_count",
    "comments_count",
    "shared_count",
];

/// What tells notes apart.
pub(super) const NOTE: [&str; 2] = ["pipeline", "note_id"];

/// A row a note with the counts of its last snapshot. Of the endpoints in that snapshot, the first that
/// knows a count gives it.
pub(super) fn counts(engagement: LazyFrame, mart: &Mart) -> LazyFrame {
    let last = engagement
        .clone()
        .group_by(NOTE)
        .agg([col("snapshot_at").max()]);
    let on = ["pipeline", "note_id", "snapshot_at"];
    let rows = join(engagement, last, &on, JoinType::Inner);
    let known = COUNTS.map(|count| col(count).first_non_null());
    newest_first(rows, endpoint_rank(mart, "engagement"))
        .group_by(NOTE)
        .agg([[col("snapshot_at").first()].as_slice(), &known].concat())
}

/// A row a note with what its newest snapshot that knows them tells of its author and of when it was
/// published.
pub(super) fn facts(notes: LazyFrame, mart: &Mart) -> LazyFrame {
    let known = ["author_user_id", "published_at"].map(|name| col(name).first_non_null());
    newest_first(notes, endpoint_rank(mart, "notes"))
        .group_by(NOTE)
        .agg(known)
}

/// The newest snapshot first, in it the endpoint of the lowest rank, of it the newest run.
pub(super) fn newest_first(rows: LazyFrame, endpoint_rank: Expr) -> LazyFrame {
    let order = SortMultipleOptions::default().with_order_descending_multi([true, false, true]);
    rows.with_column(endpoint_rank.alias("endpoint_rank"))
        .sort(["snapshot_at", "endpoint_rank", "run_id"], order)
}

/// The place of an endpoint among those that the table's contract names.
fn endpoint_rank(mart: &Mart, table: &str) -> Expr {
    let endpoints = mart.endpoints.get(table).map_or(&[][..], Vec::as_slice);
    let last = lit(endpoints.len() as i64);
    let ranked = endpoints.iter().enumerate().rev();
    ranked.fold(last, |others, (rank, endpoint)| {
        let is_it = col("endpoint").eq(lit(endpoint.as_str()));
        when(is_it).then(lit(rank as i64)).otherwise(others)
    })
}

/// Rows that differ, each once.
pub(super) fn distinct(rows: LazyFrame) -> LazyFrame {
    rows.unique(None, UniqueKeepStrategy::Any)
}

/// Adds `is_new`: whether these keys are not among the earlier ones.
pub(super) fn told_new(rows: LazyFrame, earlier: LazyFrame, keys: &[&str]) -> LazyFrame {
    let known = earlier.with_column(lit(true).alias("is_known"));
    join(rows, known, keys, JoinType::Left).with_column(col("is_known").is_null().alias("is_new"))
}

/// Joins on columns that both sides have; null is equal to null.
pub(super) fn join(left: LazyFrame, right: LazyFrame, on: &[&str], kind: JoinType) -> LazyFrame {
    let keys: Vec<Expr> = on.iter().copied().map(col).collect();
    let mut args = JoinArgs::new(kind);
    args.nulls_equal = true;
    left.join(right, &keys, &keys, args)
}

/// The median of a group's values as float64: the mean of the middle two may not fit int64.
pub(super) fn median(count: &str) -> Expr {
    col(count).cast(DataType::Float64).median()
}

/// How many rows of a group say yes.
pub(super) fn how_many(yes: &str) -> Expr {
    col(yes).sum()
}
