//! Facts and counts of each note on a date.

use polars::prelude::{
    DataType, Expr, JoinArgs, JoinType, LazyFrame, SortMultipleOptions, UniqueKeepStrategy, col,
    lit, when,
};

use crate::spec::mart::Mart;

/// Columns of the counts of a note. Their sum is its engagement.
pub(super) const COUNTS: [&str; 4] = [
    "liked_count",
    "collected_count",
    "comments_count",
    "shared_count",
];

/// Key columns of a note.
pub(super) const NOTE: [&str; 2] = ["pipeline", "note_id"];

/// Returns one row per note with the counts of its last snapshot. Each count comes from the first
/// endpoint of that snapshot that has it.
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

/// Returns one row per note with these columns. Each value comes from the newest snapshot that has
/// one.
pub(super) fn facts(notes: LazyFrame, mart: &Mart, columns: &[&str]) -> LazyFrame {
    let known = columns.iter().map(|name| col(*name).first_non_null());
    let known: Vec<Expr> = known.collect();
    newest_first(notes, endpoint_rank(mart, "notes"))
        .group_by(NOTE)
        .agg(known)
}

/// Sorts rows by snapshot, newest first, then by endpoint rank, lowest first, then by run, newest
/// first.
pub(super) fn newest_first(rows: LazyFrame, endpoint_rank: Expr) -> LazyFrame {
    let order = SortMultipleOptions::default().with_order_descending_multi([true, false, true]);
    rows.with_column(endpoint_rank.alias("endpoint_rank"))
        .sort(["snapshot_at", "endpoint_rank", "run_id"], order)
}

/// Returns the position of a row's endpoint in the mart's list of endpoints for `table`. Endpoints
/// that are not in the list come last.
fn endpoint_rank(mart: &Mart, table: &str) -> Expr {
    let endpoints = mart.endpoints.get(table).map_or(&[][..], Vec::as_slice);
    let last = lit(endpoints.len() as i64);
    let ranked = endpoints.iter().enumerate().rev();
    ranked.fold(last, |others, (rank, endpoint)| {
        let is_it = col("endpoint").eq(lit(endpoint.as_str()));
        when(is_it).then(lit(rank as i64)).otherwise(others)
    })
}

/// Removes duplicate rows.
pub(super) fn distinct(rows: LazyFrame) -> LazyFrame {
    rows.unique(None, UniqueKeepStrategy::Any)
}

/// Adds `is_new`: true if `earlier` does not have the keys of the row.
pub(super) fn told_new(rows: LazyFrame, earlier: LazyFrame, keys: &[&str]) -> LazyFrame {
    let known = earlier.with_column(lit(true).alias("is_known"));
    join(rows, known, keys, JoinType::Left).with_column(col("is_known").is_null().alias("is_new"))
}

/// Joins on columns that both sides have. Null is equal to null.
pub(super) fn join(left: LazyFrame, right: LazyFrame, on: &[&str], kind: JoinType) -> LazyFrame {
    let keys: Vec<Expr> = on.iter().copied().map(col).collect();
    let mut args = JoinArgs::new(kind);
    args.nulls_equal = true;
    left.join(right, &keys, &keys, args)
}

/// Returns the median of a group's values as float64, because the mean of the middle two may not
/// fit int64.
pub(super) fn median(count: &str) -> Expr {
    col(count).cast(DataType::Float64).median()
}

/// Returns the number of rows of a group in which the column `yes` is true.
pub(super) fn how_many(yes: &str) -> Expr {
    col(yes).sum()
}
