//! The SQL of the catalog: a view a table, the `*_latest` views, the delta views. Pure.

use std::collections::BTreeMap;
use std::path::Path;

use indexmap::IndexMap;

use crate::spec::table::{Column, ColumnType, LatestView, Table};

/// Columns, as (table, column), whose old values cannot be read, and why.
pub type Unreadable = BTreeMap<(String, String), String>;

/// The statements that make the catalog of the lake at `lake`, an absolute path. `has_files` says
/// whether a table has any file yet; a view over none is empty, with its columns.
pub fn statements(
    lake: &Path,
    tables: &IndexMap<String, Table>,
    unreadable: &Unreadable,
    has_files: impl Fn(&str) -> bool,
) -> Vec<String> {
    let mut statements = Vec::new();
    for table in tables.values() {
        let name = table.name();
        statements.push(table_view(lake, table, unreadable, has_files(name)));
        statements.push(comment_on_view(name, &table.description));
        for (column, declared) in &table.columns {
            let text = match &declared.unit {
                Some(unit) => format!("{} [{unit}]", declared.description),
                None => declared.description.clone(),
            };
            let column = format!("{}.{}", identifier(name), identifier(column));
            statements.push(format!("COMMENT ON COLUMN {column} IS {}", literal(&text)));
        }
        if let Some(view) = &table.latest_view {
            statements.push(latest_view(table, view));
            let text = format!(
                "The newest observation of each {} in {name}, endpoints merged.",
                &*view.id
            );
            statements.push(comment_on_view(&format!("{name}_latest"), &text));
        }
        if !table.delta_by.is_empty() {
            statements.push(delta_view(table));
            let text = format!(
                "Change of each row of {name} since the snapshot before it, also per hour."
            );
            statements.push(comment_on_view(&format!("{name}_delta"), &text));
        }
    }
    statements
}

/// All files of a table as one relation with the contract's columns. The empty first part gives
/// the columns their order and types: a file that has no such column reads as null, one that has it
/// with a type that the contract's can read is cast. What cannot be read fails whoever asks for it.
fn table_view(lake: &Path, table: &Table, unreadable: &Unreadable, has_files: bool) -> String {
    let typed = |(name, column): (&String, &Column)| {
        let kind = sql_type(column.kind);
        format!("CAST(NULL AS {kind}) AS {}", identifier(name))
    };
    let empty: Vec<String> = table.columns.iter().map(typed).collect();
    let mut relation = format!(
        "SELECT {}, CAST(NULL AS DATE) AS dt WHERE false",
        empty.join(", ")
    );
    if has_files {
        let folder = lake.join("tables").join(table.name());
        let glob = Path::new(&plain_glob(&folder.to_string_lossy()))
            .join("*")
            .join("*.parquet");
        relation.push_str(&format!(
            " UNION ALL BY NAME SELECT * FROM read_parquet({}, hive_partitioning = true, \
             hive_types = {{'dt': DATE}}, union_by_name = true)",
            literal(&glob.to_string_lossy())
        ));
    }
    // Named, since a folder above the lake may look like a partition too.
    let read = |(name, column): (&String, &Column)| {
        let place = (table.name().to_owned(), name.clone());
        match unreadable.get(&place) {
            None => identifier(name),
            Some(reason) => format!(
                "CAST(error({}) AS {}) AS {}",
                literal(reason),
                sql_type(column.kind),
                identifier(name)
            ),
        }
    };
    let columns: Vec<String> = table.columns.iter().map(read).collect();
    format!(
        "CREATE OR REPLACE VIEW {} AS SELECT {}, dt FROM ({relation})",
        identifier(table.name()),
        columns.join(", ")
    )
}

/// Per id and endpoint the newest row; then per column the value of the newest snapshot that has
/// one, on equal snapshots the endpoint that the contract names first.
fn latest_view(table: &Table, view: &LatestView) -> String {
    let id = identifier(&view.id);
    let priority: String = view
        .endpoints
        .iter()
        .enumerate()
        .map(|(i, endpoint)| format!(" WHEN {} THEN {i}", literal(endpoint)))
        .collect();
    let merged: Vec<String> = table
        .columns
        .keys()
        .filter(|name| **name != view.id.value && *name != "endpoint")
        .map(|name| format!("arg_min({0}, nth) AS {0}", identifier(name)))
        .collect();
    format!(
        "CREATE OR REPLACE VIEW {view_name} AS \
         WITH newest AS (SELECT * FROM {name} QUALIFY row_number() OVER \
         (PARTITION BY {id}, endpoint ORDER BY snapshot_at DESC, run_id DESC) = 1), \
         ordered AS (SELECT *, row_number() OVER (PARTITION BY {id} ORDER BY snapshot_at DESC, \
         CASE endpoint{priority} ELSE {last} END, run_id DESC) AS nth FROM newest) \
         SELECT {id}, {columns}, string_agg(endpoint, ',' ORDER BY nth) AS endpoints \
         FROM ordered GROUP BY {id}",
        view_name = identifier(&format!("{}_latest", table.name())),
        name = identifier(table.name()),
        last = view.endpoints.len(),
        columns = merged.join(", "),
    )
}

/// Every counted row beside the one of the snapshot before it.
fn delta_view(table: &Table) -> String {
    let keys: Vec<String> = table.delta_by.iter().map(|k| identifier(k)).collect();
    let counts: Vec<&String> = table
        .columns
        .iter()
        .filter(|(_, c)| c.kind == ColumnType::Int64)
        .map(|(n, _)| n)
        .collect();
    let lagged: String = counts
        .iter()
        .map(|c| {
            format!(
                ", lag({0}) OVER w AS {1}",
                identifier(c),
                identifier(&format!("previous_{c}"))
            )
        })
        .collect();
    let deltas: String = counts
        .iter()
        .map(|c| {
            let stem = c.strip_suffix("_count").unwrap_or(c);
            let change = format!(
                "({} - {})",
                identifier(c),
                identifier(&format!("previous_{c}"))
            );
            format!(
                ", {0}, {change} AS {1}, {change} / nullif(hours, 0) AS {2}",
                identifier(c),
                identifier(&format!("{stem}_delta")),
                identifier(&format!("{stem}_per_hour"))
            )
        })
        .collect();
    format!(
        "CREATE OR REPLACE VIEW {view} AS \
         WITH lagged AS (SELECT *, lag(snapshot_at) OVER w AS previous_snapshot_at{lagged} FROM {name} \
         WINDOW w AS (PARTITION BY {keys} ORDER BY snapshot_at, run_id)), \
         timed AS (SELECT *, date_diff('second', previous_snapshot_at, snapshot_at) / 3600.0 AS hours \
         FROM lagged WHERE previous_snapshot_at IS NOT NULL) \
         SELECT {keys}, previous_snapshot_at, snapshot_at, hours{deltas}, run_id, pipeline, source, dt \
         FROM timed",
        view = identifier(&format!("{}_delta", table.name())),
        name = identifier(table.name()),
        keys = keys.join(", "),
    )
}

fn comment_on_view(name: &str, text: &str) -> String {
    format!("COMMENT ON VIEW {} IS {}", identifier(name), literal(text))
}

pub fn sql_type(kind: ColumnType) -> &'static str {
    match kind {
        ColumnType::String => "VARCHAR",
        ColumnType::Int64 => "BIGINT",
        ColumnType::Float64 => "DOUBLE",
        ColumnType::Bool => "BOOLEAN",
        ColumnType::Timestamp => "TIMESTAMP WITH TIME ZONE",
        ColumnType::Date => "DATE",
    }
}

pub(super) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A glob that matches just this path, whatever characters it has.
fn plain_glob(path: &str) -> String {
    let plain = |c| match c {
        '*' | '?' | '[' => format!("[{c}]"),
        c => String::from(c),
    };
    path.chars().map(plain).collect()
}

pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
