//! Checks of columns in contracts: names that refer to columns, and decimals.

use super::table::{ColumnType, DECIMAL_DIGITS, Table};
use crate::spec::yaml::diagnostic::{Diagnostic, SourceFile, nearest};

/// Checks that a table has every column that its contract refers to, and that `sort_by` begins with
/// `latest_by`.
pub(super) fn known_columns(table: &Table, file: &SourceFile, found: &mut Vec<Diagnostic>) {
    let sorts = table.sort_by.iter().map(|name| &name.value);
    let groups = table.latest_by.iter().map(|name| &name.value);
    let mut named = table.sort_by.iter().chain(&table.latest_by);
    if let Some(first) = table.latest_by.first()
        && named.all(|name| table.columns.contains_key(&name.value))
        && !sorts.take(table.latest_by.len()).eq(groups)
    {
        let message = "`sort_by` must begin with the columns of `latest_by`, in their order";
        let hint = "write those columns first in `sort_by`";
        found.push(Diagnostic::error(file, Some(first.span()), message).hint(hint));
    }
    let view = table.latest_view.as_ref().map(|v| &v.id);
    let columns = table.columns.values();
    let identity_by = columns.filter_map(|column| column.identity_by.as_ref());
    let named = table
        .sort_by
        .iter()
        .chain(&table.latest_by)
        .chain(&table.bloom_filter)
        .chain(view)
        .chain(identity_by);
    for name in named {
        if !table.columns.contains_key(&name.value) {
            let message = format!("the table has no column `{}`", name.value);
            let hint = near_or(
                name,
                table.columns.keys(),
                "add it to `columns`, or remove it here",
            );
            found.push(Diagnostic::error(file, Some(name.span()), message).hint(hint));
        }
    }
}

/// Checks that only numbers of type float64 have decimals, and not more than a decimal has digits.
pub(super) fn possible_decimals(table: &Table, file: &SourceFile, found: &mut Vec<Diagnostic>) {
    for (name, column) in &table.columns {
        let Some(decimals) = &column.decimals else {
            continue;
        };
        let (message, hint) = if column.kind != ColumnType::Float64 {
            let kind = column.kind.as_str();
            let message = format!("`{name}` has decimals, and is of type {kind}");
            (
                message,
                "remove `decimals`, which are for float64".to_owned(),
            )
        } else if decimals.value > DECIMAL_DIGITS {
            let message = format!("`{name}` has more than {DECIMAL_DIGITS} decimals");
            (message, format!("write a number up to {DECIMAL_DIGITS}"))
        } else {
            continue;
        };
        found.push(Diagnostic::error(file, Some(decimals.span()), message).hint(hint));
    }
}

/// Returns the hint for an unknown name: the nearest known name, else `otherwise`.
pub(super) fn near_or<'n>(
    name: &str,
    names: impl Iterator<Item = &'n String>,
    otherwise: &str,
) -> String {
    match nearest(name, names.map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => otherwise.to_owned(),
    }
}
