//! Which rows count, and their order.

use std::collections::BTreeMap;

use super::{Cell, Observed, Row};
use crate::spec::table::Table;
use crate::spec::yaml::document::Spanned;

/// When each group of `latest_by` was observed last.
pub fn newest(table: &Table, rows: &[(Row, Observed)]) -> BTreeMap<Vec<Cell>, Observed> {
    let mut newest = BTreeMap::new();
    for (row, observed) in rows {
        let last = newest
            .entry(key(row, &table.latest_by))
            .or_insert(*observed);
        *last = *observed.max(last);
    }
    newest
}

/// The rows of each group's last observation, of the table itself or of its parent.
pub fn latest(
    table: &Table,
    rows: &[(Row, Observed)],
    parent: Option<&BTreeMap<Vec<Cell>, Observed>>,
) -> Vec<Row> {
    let own = newest(table, rows);
    let counts = |(row, observed): &&(Row, Observed)| {
        let group = key(row, &table.latest_by);
        let outdated = |last: Option<&Observed>| last.is_some_and(|last| last > observed);
        !outdated(own.get(&group)) && !outdated(parent.and_then(|p| p.get(&group)))
    };
    let all = table.latest_by.is_empty();
    let kept = rows.iter().filter(|row| all || counts(row));
    kept.map(|(row, _)| row.clone()).collect()
}

/// By the columns of `sort_by`, then by all others.
pub fn sorted(table: &Table, mut rows: Vec<Row>) -> Vec<Row> {
    let others = table.columns.keys();
    let columns: Vec<&String> = table
        .sort_by
        .iter()
        .map(|s| &s.value)
        .chain(others)
        .collect();
    rows.sort_by_cached_key(|row| -> Vec<Cell> {
        columns.iter().map(|column| cell(row, column)).collect()
    });
    rows
}

fn key(row: &Row, columns: &[Spanned<String>]) -> Vec<Cell> {
    columns
        .iter()
        .map(|column| cell(row, &column.value))
        .collect()
}

pub fn cell(row: &Row, column: &str) -> Cell {
    row.get(column).cloned().unwrap_or(Cell::Null)
}
