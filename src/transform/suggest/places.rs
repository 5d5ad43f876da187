//! Chooses the table and the column name of a field.

use std::collections::HashMap;
use std::path::PathBuf;

use indexmap::IndexMap;

use crate::spec::source::{Endpoint, RowRule};
use crate::spec::table::{ColumnType, Table};
use crate::spec::yaml::diagnostic::SourceFile;
use crate::spec::yaml::document::Spanned;

/// A rule that could read a field.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnPlace {
    /// Index of the rule among the endpoint's rules.
    pub rule: usize,
    /// Path of the field relative to the rule.
    pub path: String,
}

/// Returns the rules that read nearest to a path, in the contract's order. At the same distance,
/// rules that make a row of each element exclude rules that explode a text or filter elements.
pub fn places(endpoint: &Endpoint, path: &str) -> Vec<ColumnPlace> {
    let mut nearest = (0, false);
    let mut places = Vec::new();
    for (number, rule) in endpoint.rows.iter().enumerate() {
        let is_whole = rule.explode.is_none() && rule.then_when.is_empty();
        let below = stands(rule).into_iter().filter_map(|stand| {
            let rest = path.strip_prefix(&stand)?;
            rest.starts_with('/')
                .then(|| (stand.len(), rest.to_owned()))
        });
        let Some((length, path)) = below.max_by_key(|(length, _)| *length) else {
            continue;
        };
        let near = (length, is_whole);
        if near > nearest {
            places.clear();
        }
        if near >= nearest {
            nearest = near;
            places.push(ColumnPlace { rule: number, path });
        }
    }
    places
}

/// Returns the paths that a rule reads from, one for each of its objects.
fn stands(rule: &RowRule) -> Vec<String> {
    let each = rule.each.as_deref().unwrap_or_default();
    let then = rule.then_each.as_deref().unwrap_or_default();
    if rule.at.is_empty() {
        vec![format!("{each}{then}")]
    } else {
        rule.at
            .iter()
            .map(|at| format!("{each}{at}{then}"))
            .collect()
    }
}

/// The declared columns and the suggested columns.
pub struct Names<'c> {
    tables: &'c IndexMap<String, Table>,
    /// Keyed by table and name.
    suggested: HashMap<(String, String), Suggested>,
}

struct Suggested {
    kind: ColumnType,
    /// Rules that will read the column.
    rules: Vec<RuleId>,
}

/// Identifies a rule of any source: its file and its byte offset there.
type RuleId = (PathBuf, usize);

/// Column for a field.
pub struct Choice {
    pub rule: usize,
    pub name: String,
    pub kind: ColumnType,
    /// True if the table has no such column yet.
    pub is_new: bool,
}

/// Names that views use for their own columns.
const TAKEN: [&str; 4] = ["dt", "endpoints", "nth", "hours"];

impl<'c> Names<'c> {
    pub fn new(tables: &'c IndexMap<String, Table>) -> Self {
        Names {
            tables,
            suggested: HashMap::new(),
        }
    }

    /// Returns the rule and the column for a field whose best type is `kind`. `fits` tells which
    /// other types are possible. `places` must not be empty.
    pub fn choose(
        &mut self,
        (file, rules): (&SourceFile, &[Spanned<RowRule>]),
        places: &[ColumnPlace],
        key: &str,
        kind: ColumnType,
        fits: &dyn Fn(ColumnType) -> bool,
    ) -> Choice {
        let name = snake_case(key);
        let id = |place: &ColumnPlace| (file.path().to_owned(), rules[place.rule].span().start);
        let unread = places.iter().find_map(|place| {
            let unread = self.unread(&rules[place.rule], &id(place), &name);
            Some((place, unread.filter(|kind| fits(*kind))?))
        });
        let likeness = |place: &&ColumnPlace| self.likeness(&rules[place.rule], &name, kind);
        // The first of equally likely places: `max_by_key` returns the last maximum.
        let likest = places.iter().rev().max_by_key(likeness);
        let (place, name, kind) = match unread {
            Some((place, kind)) => (place, name, kind),
            None => {
                let place = likest.unwrap_or(&places[0]);
                let name = self.free_name(&rules[place.rule].table, &name, &place.path);
                (place, name, kind)
            }
        };
        let table = rules[place.rule].table.value.clone();
        let suggested = self.suggested.entry((table, name.clone()));
        let suggested = suggested.or_insert(Suggested {
            kind,
            rules: Vec::new(),
        });
        suggested.rules.push(id(place));
        Choice {
            rule: place.rule,
            name,
            kind,
            is_new: unread.is_none(),
        }
    }

    /// Returns the name. If it is taken in the table, the parent's key or a number is added to it.
    fn free_name(&self, table: &str, name: &str, path: &str) -> String {
        let parent = path.rsplit('/').nth(1).filter(|key| !key.is_empty());
        let longer = parent.map(|parent| format!("{}_{name}", snake_case(parent)));
        let numbered = (2..).map(|n| format!("{name}_{n}"));
        let mut names = [name.to_owned()].into_iter().chain(longer).chain(numbered);
        let free = names.find(|name| self.is_free(table, name));
        free.unwrap_or_else(|| name.to_owned())
    }

    /// Returns the type of the declared or suggested column of this name in the rule's table, if
    /// the rule does not read it yet.
    fn unread(&self, rule: &RowRule, id: &RuleId, name: &str) -> Option<ColumnType> {
        let key = (rule.table.value.clone(), name.to_owned());
        let suggested = self.suggested.get(&key);
        let is_read = rule.columns.keys().any(|column| column.value == name)
            || suggested.is_some_and(|s| s.rules.contains(id));
        let column = self.tables.get(&rule.table.value)?.columns.get(name);
        let column = column.filter(|column| column.fill.is_none());
        let kind = column.map(|c| c.kind).or(suggested.map(|s| s.kind));
        kind.filter(|_| !is_read)
    }

    /// Returns how well a column fits the rule's table. First, the number of columns of this type
    /// that end in the same word, so that a count is placed with other counts. Second, whether
    /// the table has `latest_by`: its rows describe things, not positions in a list.
    fn likeness(&self, rule: &RowRule, name: &str, kind: ColumnType) -> (usize, bool) {
        let last = |name: &str| name.rsplit('_').next().unwrap_or_default().to_owned();
        let Some(table) = self.tables.get(&rule.table.value) else {
            return (0, false);
        };
        let alike = table.columns.iter();
        let alike =
            alike.filter(|(column, declared)| declared.kind == kind && last(column) == last(name));
        (alike.count(), !table.latest_by.is_empty())
    }

    fn is_free(&self, table: &str, name: &str) -> bool {
        let is_column = |table: &Table| {
            let mut names = table.columns.keys();
            names.any(|column| column.eq_ignore_ascii_case(name)) || table.has_removed(name)
        };
        let suggested = (table.to_owned(), name.to_owned());
        !TAKEN.contains(&name)
            && !self.tables.get(table).is_some_and(is_column)
            && !self.suggested.contains_key(&suggested)
    }
}

/// Converts a key to snake case: `shareCount`, `Share-Count` → `share_count`.
pub fn snake_case(key: &str) -> String {
    let mut name = String::new();
    let mut before: Option<char> = None;
    let mut rest = key.chars().peekable();
    while let Some(c) = rest.next() {
        let begins_word = c.is_uppercase()
            && before.is_some_and(|b| {
                b.is_lowercase()
                    || b.is_numeric()
                    || b.is_uppercase() && rest.peek().is_some_and(|next| next.is_lowercase())
            });
        if (begins_word || !c.is_alphanumeric()) && !name.is_empty() && !name.ends_with('_') {
            name.push('_');
        }
        if c.is_alphanumeric() {
            name.extend(c.to_lowercase());
        }
        before = Some(c);
    }
    let name = name.trim_end_matches('_');
    match name.chars().next() {
        None => "field".to_owned(),
        Some(first) if first.is_numeric() => format!("field_{name}"),
        Some(_) => name.to_owned(),
    }
}
