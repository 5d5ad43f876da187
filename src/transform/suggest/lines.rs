//! Lines of YAML that add a column.

use std::path::PathBuf;

use serde::Serialize;

use crate::spec::contracts::Contracts;
use crate::spec::source::{Form, Mapping, RowRule, Unit};
use crate::spec::table::ColumnType;
use crate::spec::yaml::diagnostic::{ByteSpan, SourceFile};
use crate::spec::yaml::document::Spanned;

/// A line to add to a contract.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SuggestedLine {
    pub file: PathBuf,
    /// Number of the line, from 1, to insert it before. `None` if there is no line to insert it
    /// before, such as when the columns are in braces and it must be written into them.
    pub before_line: Option<usize>,
    /// Text of the line with its indent, without a line break.
    pub text: String,
}

/// Returns the line that declares a column. A text column is declared personal by default, because
/// it may hold personal data.
pub fn contract_line(
    contracts: &Contracts,
    table: &str,
    name: &str,
    kind: ColumnType,
    description: &str,
) -> SuggestedLine {
    let own = contracts.place_of_table(table);
    let first = contracts
        .tables
        .get(table)
        .and_then(|t| t.columns.keys().next());
    let first = first.and_then(|first| contracts.place_of_column(table, first));
    // The first column may be a common column, declared in another file.
    let first = first.filter(|(file, _)| {
        own.as_ref()
            .is_some_and(|(own, _)| own.path() == file.path())
    });
    let personal = match kind {
        ColumnType::String => ", personal: true",
        _ => "",
    };
    let text = format!(
        "{}: {{type: {}{personal}, description: {}}}",
        key(name),
        kind.as_str(),
        quoted(description)
    );
    match (first, own) {
        (Some((file, span)), _) => line(&file, Some(span), &text, "  "),
        (None, Some((file, _))) => line(&file, None, &text, "  "),
        (None, None) => SuggestedLine {
            file: PathBuf::new(),
            before_line: None,
            text,
        },
    }
}

/// Returns the line that reads a column in a rule.
pub fn mapping_line(
    file: &SourceFile,
    rule: &Spanned<RowRule>,
    name: &str,
    path: &str,
    reading: &Mapping,
) -> SuggestedLine {
    let mut keys = Vec::new();
    keys.extend(reading.unit.map(|unit| {
        let word = match unit {
            Unit::S => "s",
            Unit::Ms => "ms",
            Unit::Iso8601 => "iso8601",
        };
        format!("unit: {word}")
    }));
    keys.extend(reading.form.map(|form| {
        let word = match form {
            Form::Count => "count",
            Form::Text => "text",
            Form::HtmlText => "html_text",
            Form::Url => "url",
        };
        format!("as: {word}")
    }));
    keys.extend(
        reading
            .zero_is_null
            .then(|| "zero_is_null: true".to_owned()),
    );
    keys.extend(
        reading
            .empty_is_null
            .then(|| "empty_is_null: true".to_owned()),
    );
    let (name, path) = (key(name), plain_or_quoted(path));
    let text = if keys.is_empty() {
        format!("{name}: {path}")
    } else {
        format!("{name}: {{path: {path}, {}}}", keys.join(", "))
    };
    let first = rule.columns.keys().next().map(Spanned::span);
    line(file, first, &text, "          ")
}

/// Returns a line to insert before the line that begins at `first`, with the same indent. If no
/// line begins there, the indent is `usual`.
fn line(file: &SourceFile, first: Option<ByteSpan>, text: &str, usual: &str) -> SuggestedLine {
    let block = first.and_then(|span| {
        let before = &file.text()[..span.start];
        let indent = &before[before.rfind('\n').map_or(0, |at| at + 1)..];
        let begins_line = indent.chars().all(|c| c == ' ');
        begins_line.then(|| (file.position(span.start).0, indent))
    });
    let (before, indent) = match block {
        Some((number, indent)) => (Some(number), indent),
        None => (None, usual),
    };
    SuggestedLine {
        file: file.path().to_owned(),
        before_line: before,
        text: format!("{indent}{text}"),
    }
}

/// Returns a column's name as a YAML key.
fn key(name: &str) -> String {
    let is_plain = name
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    // Words that YAML does not parse as text.
    let words = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    if is_plain && !words.contains(&name) {
        name.to_owned()
    } else {
        quoted(name)
    }
}

fn plain_or_quoted(path: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/_-.".contains(c);
    if path.chars().all(is_plain) {
        path.to_owned()
    } else {
        quoted(path)
    }
}

/// Returns a quoted text. A quoted JSON string is also valid YAML.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
