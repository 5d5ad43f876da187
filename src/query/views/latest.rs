//! `<table>_latest` and `<table>_latest_by_pipeline`: the newest observation of each id.

use indexmap::IndexMap;

use super::columns::{named, required};
use super::{Failing, endpoint_rank};
use crate::query::sql::identifier;
use crate::spec::table::{Column, ColumnType, DerivedKind, LatestView, Table};

/// Returns the description of a latest view, and its columns.
pub(super) fn document(table: &Table, kind: DerivedKind) -> (String, IndexMap<String, Column>) {
    let id = id_of(table);
    let keys = keys(id, kind);
    let mut columns = named(table, keys.iter().copied());
    for (name, column) in merged(table, &keys) {
        let name = shown_name(name, kind);
        columns.insert(name.to_owned(), column.clone());
    }
    if let Some(pipeline) = columns.get_mut(LAST_PIPELINE) {
        let told = "The pipeline that made the newest of the merged observations. Filter \
                    on `pipeline` of the view by pipeline, not on this.";
        told.clone_into(&mut pipeline.description);
    }
    let endpoints = "Endpoints whose observations were merged, separated by commas, in order of \
                     precedence.";
    columns.insert(
        "endpoints".to_owned(),
        required(ColumnType::String, None, endpoints),
    );
    let of_each = match kind {
        DerivedKind::LatestByPipeline => format!("{id} and pipeline"),
        DerivedKind::Latest | DerivedKind::Delta | DerivedKind::DeltaByKey => id.to_owned(),
    };
    let description = format!(
        "The newest observation of each {of_each} in {}, endpoints merged.",
        table.name()
    );
    (description, columns)
}

/// Returns the SELECT of a latest view. It takes the newest row per key and endpoint. Then each
/// column has the value of the newest snapshot that has one. For equal snapshots, the endpoint that
/// the contract names first wins.
///
/// The newest rows are found with few columns, and then joined to the table, so that the columns of
/// older rows are not sorted.
pub(super) fn select(table: &Table, kind: DerivedKind, failing: &Failing<'_>) -> String {
    let keys = keys(id_of(table), kind);
    let value = |name: &String| {
        let shown = identifier(shown_name(name, kind));
        match failing(name) {
            None => format!("arg_min({}, nth) AS {shown}", identifier(name)),
            Some(value) => format!("{value} AS {shown}"),
        }
    };
    let values: Vec<String> = merged(table, &keys).map(|(name, _)| value(name)).collect();
    let keys: Vec<String> = keys.into_iter().map(identifier).collect();
    let same: Vec<String> = keys
        .iter()
        .map(|key| format!("t.{key} = n.{key}"))
        .collect();
    let of_row: Vec<String> = keys.iter().map(|key| format!("t.{key}")).collect();
    let rank = table.latest_view.as_ref().map(endpoint_rank);
    format!(
        "WITH newest AS NOT MATERIALIZED (SELECT {keys}, endpoint, max(snapshot_at) AS newest_at \
         FROM {table} GROUP BY {keys}, endpoint), \
         rows AS NOT MATERIALIZED (SELECT t.* FROM {table} t JOIN newest n ON {same} \
         AND t.endpoint = n.endpoint AND t.snapshot_at IS NOT DISTINCT FROM n.newest_at QUALIFY row_number() OVER \
         (PARTITION BY {of_row}, t.endpoint ORDER BY t.fetched_at DESC, t.run_id DESC) = 1), \
         ordered AS NOT MATERIALIZED (SELECT *, row_number() OVER (PARTITION BY {keys} \
         ORDER BY snapshot_at DESC, {rank}, fetched_at DESC, run_id DESC) AS nth FROM rows) \
         SELECT {keys}, {values}, string_agg(endpoint, ',' ORDER BY nth) AS endpoints \
         FROM ordered GROUP BY {keys}",
        keys = keys.join(", "),
        table = identifier(table.name()),
        same = same.join(" AND "),
        of_row = of_row.join(", "),
        rank = rank.unwrap_or_default(),
        values = values.join(", "),
    )
}

/// Name of the column `pipeline` in a view that merges pipelines.
const LAST_PIPELINE: &str = "last_pipeline";

fn shown_name(column: &str, kind: DerivedKind) -> &str {
    if column == "pipeline" && kind == DerivedKind::Latest {
        LAST_PIPELINE
    } else {
        column
    }
}

fn id_of(table: &Table) -> &str {
    let view: Option<&LatestView> = table.latest_view.as_ref();
    view.map(|view| view.id.value.as_str())
        .expect("only a table with `latest_view` has a latest view")
}

/// Returns the columns that identify a row of the view.
fn keys(id: &str, kind: DerivedKind) -> Vec<&str> {
    match kind {
        DerivedKind::LatestByPipeline => vec![id, "pipeline"],
        DerivedKind::Latest | DerivedKind::Delta | DerivedKind::DeltaByKey => vec![id],
    }
}

/// Returns the columns that are merged.
fn merged<'t>(table: &'t Table, keys: &[&str]) -> impl Iterator<Item = (&'t String, &'t Column)> {
    let columns = table.columns.iter();
    columns.filter(move |(name, _)| *name != "endpoint" && !keys.contains(&name.as_str()))
}
