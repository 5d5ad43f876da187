//! `rank_history`: ranks of notes, of their authors and of searched users for a keyword.

use polars::prelude::{
    DataType, JoinType, LazyFrame, PolarsResult, UnionArgs, col, concat, len, lit,
};

use super::SpanInputs;
use super::notes::{NOTE, facts, how_many, join};
use crate::spec::mart::Mart;

const ENTITY: [&str; 5] = ["pipeline", "keyword", "sort", "entity", "entity_id"];

pub(super) fn history(inputs: &SpanInputs, mart: &Mart) -> PolarsResult<LazyFrame> {
    let hits = inputs
        .frame("search_results")?
        .filter(
            col("keyword")
                .is_not_null()
                .and(col("entity_id").is_not_null()),
        )
        .select([
            col("pipeline"),
            col("keyword"),
            col("sort"),
            col("entity"),
            col("entity_id"),
            col("rank"),
            col("is_ad").fill_null(lit(false)),
        ]);
    let is_known = ["note", "user"].map(|entity| col("entity").eq(lit(entity)));
    let [is_note, is_user] = is_known;
    let entities = hits.clone().filter(is_note.clone().or(is_user));
    let creators = of_creators(
        hits.filter(is_note),
        facts(inputs.frame("notes")?, mart, &["author_user_id"]),
    );
    let all = concat([entities, creators], UnionArgs::default())?;
    let organic_rank = col("rank").filter(col("is_ad").not());
    Ok(all.group_by(ENTITY).agg([
        len().cast(DataType::Int64).alias("hits"),
        how_many("is_ad").cast(DataType::Int64).alias("ad_hits"),
        col("rank").min().alias("best_rank"),
        organic_rank.min().alias("best_organic_rank"),
        col("rank").median().alias("median_rank"),
    ]))
}

/// Returns the hits of notes as hits of their authors. Notes without a known author are left out.
fn of_creators(hits: LazyFrame, facts: LazyFrame) -> LazyFrame {
    let hits = hits.with_column(col("entity_id").alias("note_id"));
    let columns = ENTITY.into_iter().chain(["rank", "is_ad"]);
    let columns: Vec<_> = columns.map(col).collect();
    join(hits, facts, &NOTE, JoinType::Inner)
        .filter(col("author_user_id").is_not_null())
        .with_columns([
            lit("creator").alias("entity"),
            col("author_user_id").alias("entity_id"),
        ])
        .select(columns)
}
