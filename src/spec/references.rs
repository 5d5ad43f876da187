//! Checks of names in contracts that refer to other names.

use super::table::Table;
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
