//! `redlake schema docs`: the tables as one Markdown document.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use indexmap::IndexMap;

use crate::query::views::derived;
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
    out.push_str(&origin(table));
    if !table.latest_by.is_empty() {
        let groups = names(&table.latest_by);
        let _ = writeln!(
            out,
            "- A run keeps the latest observation of each {groups}."
        );
    }
    for view in derived(table) {
        let _ = writeln!(out, "- View `{}`: {}", view.name, view.description);
    }
    out.push_str("\n| column | type | unit | required | description |\n|---|---|---|---|---|\n");
    for (name, column) in table.shown_columns() {
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

/// Returns the lines about where the rows of a table come from.
fn origin(table: &Table) -> String {
    let key = names(&table.sort_by);
    match table.rows_from {
        RowsFrom::Pages => {
            format!("- Rows come from answers of the APIs.\n- Key of a row within a run: {key}.\n")
        }
        RowsFrom::Redlake => {
            format!("- Rows come from redlake itself.\n- Key of a row within a run: {key}.\n")
        }
        RowsFrom::Tables => format!(
            "- Rows come from other tables: this is a mart, with a file for each day.\n\
             - Key of a row within a day: {key}.\n"
        ),
        RowsFrom::Query => {
            let reads = table.query.iter().flat_map(|query| query.reads.keys());
            let reads: Vec<String> = reads.map(|name| format!("`{name}`")).collect();
            format!("- A view over {}.\n", reads.join(", "))
        }
    }
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
    let columns = table
        .shown_columns()
        .filter(|(_, column)| is_marked(column));
    let columns: Vec<String> = columns.map(|(name, _)| format!("`{name}`")).collect();
    columns.join(", ")
}

fn identities(tables: &IndexMap<String, Table>) -> BTreeMap<&str, Vec<String>> {
    let mut identities: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut of_several = Vec::new();
    for table in tables.values() {
        for (name, column) in table.shown_columns() {
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
