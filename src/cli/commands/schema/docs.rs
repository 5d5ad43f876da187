//! `redlake schema docs`: the tables as one Markdown document.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use indexmap::IndexMap;

use crate::spec::table::{Column, RowsFrom, Table};
use crate::spec::yaml::document::Spanned;

/// Returns the document: all tables, and the columns that hold personal data.
pub fn document(tables: &IndexMap<String, Table>) -> String {
    let mut out = String::from(INTRODUCTION);
    for table in tables.values() {
        let name = table.name();
        let _ = writeln!(out, "- [{name}](#{name})");
    }
    out.push_str("- [Personal data](#personal-data)\n");
    for table in tables.values() {
        out.push_str(&section(table));
    }
    out.push_str(&personal_data(tables));
    out
}

const INTRODUCTION: &str = "\
# Tables of redlake

Made from the table contracts by `redlake schema docs`. Times are in UTC. A column that is not
required may be null. Null means unknown; unknown counts are never written as 0.

";

fn section(table: &Table) -> String {
    let name = table.name();
    let mut out = format!("\n## {name}\n\n{}\n\n", table.description);
    let from = match table.rows_from {
        RowsFrom::Pages => "answers of the APIs",
        RowsFrom::Redlake => "redlake itself",
        RowsFrom::Tables => "other tables: this is a mart, with a file for each day",
    };
    let _ = writeln!(out, "- Rows come from {from}.");
    let whole = match table.rows_from {
        RowsFrom::Tables => "day",
        RowsFrom::Pages | RowsFrom::Redlake => "run",
    };
    let _ = writeln!(
        out,
        "- Key of a row within a {whole}: {}.",
        names(&table.sort_by)
    );
    if !table.latest_by.is_empty() {
        let groups = names(&table.latest_by);
        let _ = writeln!(
            out,
            "- A run keeps the latest observation of each {groups}."
        );
    }
    for view in views(table) {
        let _ = writeln!(out, "- {view}");
    }
    out.push_str("\n| column | type | unit | required | description |\n|---|---|---|---|---|\n");
    for (name, column) in &table.columns {
        let unit = column.unit.as_deref().unwrap_or_default();
        let required = if column.required { "yes" } else { "" };
        let _ = writeln!(
            out,
            "| `{name}` | {} | {unit} | {required} | {} |",
            column.type_in_words(),
            cell(&column.description)
        );
    }
    out
}

/// Returns a line for each view of a table, which says what a row of it is.
fn views(table: &Table) -> Vec<String> {
    let name = table.name();
    let latest = table.latest_view.as_ref().map(|view| {
        let id = &view.id.value;
        format!("View `{name}_latest`: the newest values of each `{id}`.")
    });
    let delta = (!table.delta_by.is_empty()).then(|| {
        let groups = names(&table.delta_by);
        format!("View `{name}_delta`: the change of each {groups} since the snapshot before.")
    });
    latest.into_iter().chain(delta).collect()
}

/// Returns the section about columns that the contracts mark as personal data or free text, and
/// about columns with the same ids.
fn personal_data(tables: &IndexMap<String, Table>) -> String {
    let mut out = String::from(PERSONAL_DATA);
    out.push_str("\n| table | personal data | personal free text |\n|---|---|---|\n");
    for table in tables.values() {
        let personal = marked(table, |column| column.personal);
        if !personal.is_empty() {
            let free = marked(table, |column| column.personal && column.free_text);
            let _ = writeln!(out, "| {} | {personal} | {free} |", table.name());
        }
    }
    out.push_str("\nFree text that is not personal data:\n\n");
    for table in tables.values() {
        let other = marked(table, |column| column.free_text && !column.personal);
        if !other.is_empty() {
            let _ = writeln!(out, "- {}: {other}", table.name());
        }
    }
    out.push_str("\nColumns that hold the same ids:\n\n");
    for (identity, columns) in identities(tables) {
        let _ = writeln!(out, "- of a {identity}: {}", columns.join(", "));
    }
    out
}

const PERSONAL_DATA: &str = "
## Personal data

These columns identify a person, or hold what a person wrote, published or where the person is. They
include account ids, which contain no name but identify one account. Views hold the same columns as
their tables. In a pipeline, `privacy` hashes or drops columns and removes telephone numbers from
free text; `raw` sets how long the answers are kept, which hold all of this data verbatim.
";

fn marked(table: &Table, is_marked: impl Fn(&Column) -> bool) -> String {
    let columns = table.columns.iter().filter(|(_, column)| is_marked(column));
    let columns: Vec<String> = columns.map(|(name, _)| format!("`{name}`")).collect();
    columns.join(", ")
}

fn identities(tables: &IndexMap<String, Table>) -> BTreeMap<&str, Vec<String>> {
    let mut identities: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut of_several = Vec::new();
    for table in tables.values() {
        for (name, column) in &table.columns {
            let place = format!("{}.{name}", table.name());
            if let Some(identity) = &column.identity {
                identities
                    .entry(identity)
                    .or_default()
                    .push(format!("`{place}`"));
            } else if let Some(by) = &column.identity_by {
                of_several.push(format!("`{place}` (as `{}` says)", by.value));
            }
        }
    }
    for columns in identities.values_mut() {
        columns.extend(of_several.iter().cloned());
    }
    identities
}

fn names(names: &[Spanned<String>]) -> String {
    let names: Vec<String> = names.iter().map(|n| format!("`{}`", n.value)).collect();
    names.join(", ")
}

/// Escapes a text for a Markdown table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;")
}
