//! Columns of derived views.

use indexmap::IndexMap;

use crate::spec::table::{Column, ColumnType, Table};

/// Returns these columns of a table, as its contract declares them.
pub(super) fn named<'n>(
    table: &Table,
    names: impl IntoIterator<Item = &'n str>,
) -> IndexMap<String, Column> {
    let column = |name: &str| Some((name.to_owned(), table.columns.get(name)?.clone()));
    names.into_iter().filter_map(column).collect()
}

pub(super) fn required(kind: ColumnType, unit: Option<&str>, description: &str) -> Column {
    Column {
        required: true,
        ..optional(kind, unit, description)
    }
}

pub(super) fn optional(kind: ColumnType, unit: Option<&str>, description: &str) -> Column {
    Column {
        kind,
        was: Vec::new(),
        required: false,
        unit: unit.map(str::to_owned),
        decimals: None,
        personal: false,
        free_text: false,
        identity: None,
        identity_by: None,
        fill: None,
        sql: None,
        description: description.to_owned(),
    }
}
