//! `keyword_daily` and `keyword_weekly`: hits and notes of a keyword, and its share within its keyword set.

use polars::prelude::{
    DataType, Expr, JoinType, LazyFrame, NULL, PolarsResult, col, cols, len, lit, when,
};

use super::notes::{COUNTS, NOTE, counts, distinct, how_many, join, median, told_new};
use super::sums::{Wide, sum_if_any, wide_sum};
use super::{SpanInputs, earlier};
use crate::spec::mart::{Mart, Period};

pub(super) const KEYWORD: [&str; 3] = ["pipeline", "keyword_set", "keyword"];

/// Each count with the columns of its sum and its median.
const FIGURES: [(&str, &str, &str); 4] = [
    ("liked_count", "liked_sum", "liked_median"),
    ("collected_count", "collected_sum", "collected_median"),
    ("comments_count", "comments_sum", "comments_median"),
    ("shared_count", "shared_sum", "shared_median"),
];

/// Columns of the high and the low half of a keyword's engagement, which may exceed int64.
const VOICE_HIGH: &str = "voice_high";
const VOICE_LOW: &str = "voice_low";

pub(super) fn figures(inputs: &SpanInputs, mart: &Mart) -> PolarsResult<LazyFrame> {
    // The rows of a date are single hits, those of a week have their number.
    let number = match inputs.span.period {
        Period::Day => lit(1_i64),
        Period::Week => col("hits"),
    };
    let places = hits(inputs)?
        .with_column(number.alias("hits"))
        .group_by(KEYWORD)
        .agg([
            col("hits").sum(),
            col("hits").filter(col("is_ad")).sum().alias("ad_hits"),
        ]);
    let counts = counts(inputs.frame("engagement")?, mart);
    let notes = join(found(inputs)?, counts, &NOTE, JoinType::Left)
        .group_by(KEYWORD)
        .agg(of_notes());
    let of_set = |figure: &str| col(figure).sum().over(["pipeline", "keyword_set"]);
    // Shares are computed from the wide sums, which may exceed int64.
    let voice = Wide {
        high: col(VOICE_HIGH),
        low: col(VOICE_LOW),
    };
    let voices = Wide {
        high: of_set(VOICE_HIGH)?,
        low: of_set(VOICE_LOW)?,
    };
    let rows = join(places, notes, &KEYWORD, JoinType::Inner);
    Ok(rows.with_columns([
        share(col("ad_hits"), col("hits")).alias("ad_share"),
        share(voice.approximate(), voices.approximate()).alias("share_of_voice"),
        share(col("notes"), of_set("notes")?).alias("share_of_notes"),
    ]))
}

/// Returns the hits of notes in searches for a keyword.
fn hits(inputs: &SpanInputs) -> PolarsResult<LazyFrame> {
    let is_note = col("entity").eq(lit("note"));
    let is_named = col("entity_id").is_not_null();
    let is_asked = col("keyword").is_not_null();
    let hits = inputs.frame("search_results")?;
    Ok(hits
        .filter(is_note.and(is_named).and(is_asked))
        .with_columns([
            col("entity_id").alias("note_id"),
            col("is_ad").fill_null(lit(false)),
        ]))
}

/// Returns the notes that searches for each keyword found, once for a keyword, with `is_new`.
pub(super) fn found(inputs: &SpanInputs) -> PolarsResult<LazyFrame> {
    let found = hits(inputs)?.select([cols(KEYWORD).as_expr(), col("note_id")]);
    let on = ["pipeline", "keyword", "note_id"];
    Ok(told_new(distinct(found), inputs.frame(earlier::HITS)?, &on))
}

/// Returns the aggregates over the notes of a keyword. Each note is one row.
fn of_notes() -> Vec<Expr> {
    let mut figures = vec![
        len().cast(DataType::Int64).alias("notes"),
        how_many("is_new").cast(DataType::Int64).alias("new_notes"),
    ];
    for (count, sum, median_name) in FIGURES {
        figures.push(sum_if_any(&[count]).alias(sum));
        figures.push(median(count).alias(median_name));
    }
    let Wide { high, low } = wide_sum(&COUNTS);
    figures.extend([
        sum_if_any(&COUNTS).alias("engagement_sum"),
        high.alias(VOICE_HIGH),
        low.alias(VOICE_LOW),
    ]);
    figures
}

/// Returns `part / whole` as float64. Null if the part is unknown or the whole is not positive.
fn share(part: Expr, whole: Expr) -> Expr {
    let (part, whole) = (part.cast(DataType::Float64), whole.cast(DataType::Float64));
    when(whole.clone().gt(lit(0.0)))
        .then(part / whole)
        .otherwise(lit(NULL))
}
