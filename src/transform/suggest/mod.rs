//! Suggests columns for fields that an API sends and its contract does not know: type, name, table,
//! and the lines of YAML that add them. Pure.

mod guess;
mod lines;
mod places;

use std::collections::BTreeMap;

use indexmap::IndexMap;
use serde::Serialize;
use serde_json::Value;

use crate::raw::page::RawPage;
use crate::spec::contracts::Contracts;
use crate::spec::table::ColumnType;
use crate::transform::page::repair::without_lone_surrogates;
use crate::transform::quality::drift::{DriftKind, DriftRow};
use guess::{Guess, Seen};
use lines::{contract_line, mapping_line};
use places::{ColumnPlace, Names, places};

pub use lines::SuggestedLine;
pub use places::snake_case;

/// An unknown field, and the column suggested for it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Suggestion {
    pub source: String,
    pub endpoint: String,
    /// Paths as in `drift`. More than one if a rule reads from several objects.
    pub paths: Vec<String>,
    /// Occurrences by JSON type.
    pub seen: BTreeMap<&'static str, u64>,
    /// Distinct values. Empty unless requested, because they may be personal.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<String>,
    /// `None` if the field cannot be a column. `note` has the reason.
    pub column: Option<SuggestedColumn>,
    pub note: Option<String>,
}

/// A column, and the lines that add it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SuggestedColumn {
    pub table: String,
    pub name: String,
    #[serde(rename = "type")]
    pub kind: ColumnType,
    /// Line for the table's contract. `None` if it has the column or an earlier suggestion adds it.
    pub contract: Option<SuggestedLine>,
    /// Line for the source's contract.
    pub mapping: SuggestedLine,
}

/// Collects values of the unknown fields in `drift` from pages.
pub struct Unknown<'c> {
    contracts: &'c Contracts,
    fields: IndexMap<FieldKey, Field>,
}

/// Key of paths that one rule reads as one field, such as those of a note and of an advertisement's
/// note.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct FieldKey {
    source: String,
    endpoint: String,
    /// Index of the first rule that reads from these paths.
    rule: Option<usize>,
    /// Path relative to that rule, or the whole path if there is no rule.
    path: String,
}

#[derive(Debug, Default)]
struct Field {
    paths: Vec<String>,
    /// Key at the end of the paths.
    key: Option<String>,
    places: Vec<ColumnPlace>,
    seen: Seen,
}

impl<'c> Unknown<'c> {
    /// Selects the unknown fields of these differences.
    pub fn new(contracts: &'c Contracts, drift: &[DriftRow]) -> Self {
        let mut fields: IndexMap<FieldKey, Field> = IndexMap::new();
        for row in drift
            .iter()
            .filter(|row| row.kind == DriftKind::UnknownField)
        {
            // A merged difference (`(other paths)`) has no path.
            let known = row.path.starts_with('/');
            let source = contracts.sources.get(&row.source);
            let endpoint = source.and_then(|source| source.endpoints.get(&row.endpoint));
            let Some(endpoint) = endpoint.filter(|_| known) else {
                continue;
            };
            let places = places(endpoint, &row.path);
            let first = places.first();
            let key = FieldKey {
                source: row.source.clone(),
                endpoint: row.endpoint.clone(),
                rule: first.map(|place| place.rule),
                path: first.map_or(&row.path, |place| &place.path).clone(),
            };
            let field = fields.entry(key).or_default();
            if !field.paths.contains(&row.path) {
                field.paths.push(row.path.clone());
            }
            field.places = places;
        }
        Unknown { contracts, fields }
    }

    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Collects the values of the fields from a page.
    pub fn look(&mut self, page: &RawPage) {
        let search = &page.header.search;
        let here = |key: &FieldKey| key.source == search.source && key.endpoint == search.endpoint;
        if !page.header.accepted || !self.fields.keys().any(here) {
            return;
        }
        let Some(body) = parsed(&page.text().text) else {
            return;
        };
        for (_, field) in self.fields.iter_mut().filter(|(key, _)| here(key)) {
            let Field {
                paths, key, seen, ..
            } = field;
            for path in paths {
                find(&body, path, &mut |name, value| {
                    key.get_or_insert_with(|| name.to_owned());
                    seen.add(value);
                });
            }
        }
    }

    /// Returns a suggestion for each field, by source, endpoint and path.
    pub fn suggestions(self, examples: bool) -> Vec<Suggestion> {
        let mut names = Names::new(&self.contracts.tables);
        let mut suggestions = Vec::new();
        for (key, field) in &self.fields {
            let (column, note) = match self.column(key, field, &mut names) {
                Ok((column, note)) => (Some(column), note),
                Err(reason) => (None, Some(reason)),
            };
            suggestions.push(Suggestion {
                source: key.source.clone(),
                endpoint: key.endpoint.clone(),
                paths: field.paths.clone(),
                seen: field.seen.types().clone(),
                examples: if examples {
                    field.seen.examples().to_vec()
                } else {
                    Vec::new()
                },
                column,
                note,
            });
        }
        suggestions
    }

    /// Returns the column for a field. The error is the reason why there is none.
    fn column(
        &self,
        at: &FieldKey,
        field: &Field,
        names: &mut Names<'c>,
    ) -> Result<(SuggestedColumn, Option<String>), String> {
        let source = &self.contracts.sources[&at.source];
        let rules = &source.endpoints[&at.endpoint].rows;
        let key = field.key.as_deref();
        let key = key.or(at.path.rsplit('/').next()).unwrap_or_default();
        if key.is_empty() || key.contains('/') {
            return Err(format!(
                "the key {key:?} cannot be named in a path, because `/` separates keys"
            ));
        }
        let Guess { kind, note } = field.seen.guess(key, &at.path)?;
        if field.places.is_empty() {
            return Err("no rule reads from there".to_owned());
        }
        if at.path.contains("[*]") || at.path.contains("/*") {
            return Err("it is in a list, which needs its own rule".to_owned());
        }
        let fits = |kind| field.seen.read_as(kind, key).is_some();
        let choice = names.choose((&source.file, rules), &field.places, key, kind, &fits);
        let kind = choice.kind;
        let reading = field.seen.read_as(kind, key).unwrap_or_default();
        let rule = &rules[choice.rule];
        let table = rule.table.value.clone();
        let told = format!(
            "Field {key} of {}, as the answer gives it; null when it has none.",
            at.endpoint
        );
        let contract = choice
            .is_new
            .then(|| contract_line(self.contracts, &table, &choice.name, kind, &told));
        let mapping = mapping_line(&source.file, rule, &choice.name, &at.path, &reading);
        let others = field
            .places
            .iter()
            .map(|place| &rules[place.rule].table.value);
        let others: Vec<&str> = others
            .filter(|other| **other != table)
            .map(String::as_str)
            .collect();
        let other = match others.as_slice() {
            [] => None,
            [other] => Some(format!("the rule for {other} reads from the same place")),
            more => Some(format!(
                "the rules for {} read from the same place",
                more.join(" and ")
            )),
        };
        let notes: Vec<String> = note.into_iter().chain(other).collect();
        let column = SuggestedColumn {
            table,
            name: choice.name,
            kind,
            contract,
            mapping,
        };
        Ok((column, (!notes.is_empty()).then(|| notes.join("; "))))
    }
}

/// Parses a body as the walk of a page does.
fn parsed(body: &str) -> Option<Value> {
    let body = body.trim_start_matches('\u{feff}');
    let value = serde_json::from_str(body).ok();
    value.or_else(|| serde_json::from_str(&without_lone_surrogates(body)?).ok())
}

/// Calls `found` with every value at a path of `drift` and with the value's key. A key may contain
/// any character, so the path is matched against the object's keys instead of being split.
fn find(value: &Value, path: &str, found: &mut impl FnMut(&str, &Value)) {
    let ends = |rest: &str| rest.is_empty() || rest.starts_with(['/', '[']);
    match value {
        Value::Array(elements) => {
            if let Some(rest) = path.strip_prefix("[*]") {
                elements.iter().for_each(|value| find(value, rest, found));
            }
        }
        Value::Object(entries) => {
            let Some(path) = path.strip_prefix('/') else {
                return;
            };
            for (key, value) in entries {
                let over_all = path.strip_prefix('*');
                let rest = path.strip_prefix(key.as_str()).or(over_all);
                match rest.filter(|rest| ends(rest)) {
                    Some("") => found(key, value),
                    Some(rest) => find(value, rest, found),
                    None => {}
                }
            }
        }
        _ => {}
    }
}
