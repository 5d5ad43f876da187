//! Resolves the hashed and dropped columns, and checks that they hide ids completely.

use std::collections::{BTreeMap, BTreeSet};

use super::rule::ColumnOfTable;
use crate::plan::check::{Checker, choose};
use crate::plan::privacy::rule::{Only, PrivacyRule};
use crate::spec::contracts::Contracts;
use crate::spec::privacy::PrivacyOptions;
use crate::spec::table::{Column, ColumnType, RowsFrom, Table};
use crate::spec::yaml::document::Spanned;

/// Returns the rules by column. Reports each mistake in them.
pub(super) fn rules(
    check: &mut Checker<'_>,
    spec: &PrivacyOptions,
    contracts: &Contracts,
) -> BTreeMap<ColumnOfTable, PrivacyRule> {
    let mut rules = Rules {
        check,
        contracts,
        named: BTreeMap::new(),
    };
    for name in &spec.hash {
        if let Some((table, column, declared)) = rules.column(name) {
            rules.hash(name, table, column, declared);
        }
    }
    for name in &spec.drop {
        if let Some((table, column, declared)) = rules.column(name) {
            rules.drop(name, table, column, declared);
        }
    }
    rules.whole_identities();
    let named = rules.named.into_iter();
    named.map(|(place, (_, rule))| (place, rule)).collect()
}

/// Collects the rules of columns.
struct Rules<'c, 'a> {
    check: &'c mut Checker<'a>,
    contracts: &'c Contracts,
    /// The rules so far, each with where it was named.
    named: BTreeMap<ColumnOfTable, (Spanned<String>, PrivacyRule)>,
}

impl<'c> Rules<'c, '_> {
    /// Returns the column that `name` stands for; `None` if no rule can apply to it.
    fn column(&mut self, name: &Spanned<String>) -> Option<(&'c Table, &'c str, &'c Column)> {
        let tables = &self.contracts.tables;
        let Some((table_name, column_name)) = name.split_once('.') else {
            let has_it = tables
                .values()
                .find(|t| t.columns.contains_key(&name.value));
            let (table, column) = match has_it {
                Some(table) => (table.name(), name.as_str()),
                None => ("users", "nickname"),
            };
            let message = format!("`{}` has no table", name.value);
            let hint = format!("write table.column, such as {table}.{column}");
            self.check.error(name, message, hint);
            return None;
        };
        let Some(table) = tables.get(table_name) else {
            let message = format!("there is no table `{table_name}`");
            let hint = choose(table_name, tables.keys().map(String::as_str));
            self.check.error(name, message, hint);
            return None;
        };
        let Some((column_name, column)) = table.columns.get_key_value(column_name) else {
            let message = format!("the table `{table_name}` has no column `{column_name}`");
            let hint = choose(column_name, table.columns.keys().map(String::as_str));
            self.check.error(name, message, hint);
            return None;
        };
        if table.rows_from != RowsFrom::Pages || column.fill.is_some() {
            let message = format!("`{}` is filled by redlake, not from answers", name.value);
            self.check.error(name, message, "remove it from this list");
            return None;
        }
        Some((table, column_name, column))
    }

    fn hash(&mut self, name: &Spanned<String>, table: &Table, column: &str, declared: &Column) {
        if declared.kind != ColumnType::String {
            let kind = declared.kind.as_str();
            let message = format!("`{}` is {kind}, not text", name.value);
            return self
                .check
                .error(name, message, "drop it, or remove it here");
        }
        let only = declared.identity_by.as_ref().map(|by| Only {
            column: by.value.clone(),
            identities: BTreeSet::new(),
        });
        self.rule(name, table, column, PrivacyRule::Hash(only));
    }

    fn drop(&mut self, name: &Spanned<String>, table: &Table, column: &str, declared: &Column) {
        let is_key = |key: &Spanned<String>| key.value == column;
        let obstacle = if declared.identity_by.is_some() {
            "it holds ids of several kinds"
        } else if declared.required {
            "it is required"
        } else if table.sort_by.iter().chain(&table.latest_by).any(is_key) {
            "it is part of the key of its rows"
        } else {
            return self.rule(name, table, column, PrivacyRule::Drop);
        };
        let hint = match declared.kind {
            ColumnType::String => "hash it instead, or remove it here",
            _ => "remove it here",
        };
        let message = format!("`{}` cannot be dropped: {obstacle}", name.value);
        self.check.error(name, message, hint);
    }

    fn rule(&mut self, name: &Spanned<String>, table: &Table, column: &str, rule: PrivacyRule) {
        let place = (table.name().to_owned(), column.to_owned());
        match self.named.get(&place) {
            Some((_, other)) if *other != rule => {
                let message = format!("`{}` is both hashed and dropped", name.value);
                self.check
                    .error(name, message, "name it in one of the lists");
            }
            _ => {
                self.named.insert(place, (name.clone(), rule));
            }
        }
    }

    /// Checks that an identity is hidden in all of its columns.
    ///
    /// An id that is hashed in one table but not in another undoes the hashing: rows of both can be
    /// matched by their other values.
    fn whole_identities(&mut self) {
        let mut hidden = BTreeSet::new();
        for (identity, columns) in identities(self.contracts) {
            let (named, missing): (Vec<&ColumnOfTable>, Vec<&ColumnOfTable>) = columns
                .keys()
                .partition(|place| self.named.contains_key(*place));
            // A column with ids of several kinds hides the kinds that other columns hide.
            let first = named.iter().find(|p| columns[*p].identity.is_some());
            let Some((name, _)) = first.and_then(|place| self.named.get(*place)) else {
                continue;
            };
            let filled = columns.iter().find(|(_, declared)| declared.fill.is_some());
            let (message, hint) = match filled {
                Some(((table, column), _)) => (
                    format!("`{}` cannot be hidden", name.value),
                    format!("remove it: {table}.{column} has the same ids, and redlake asks by it"),
                ),
                None if missing.is_empty() => {
                    hidden.insert(identity);
                    continue;
                }
                None => (
                    format!("other columns hold the ids of `{}`, too", name.value),
                    format!("add {} to `hash:`", listed(&missing)),
                ),
            };
            let name = name.clone();
            self.check.error(&name, message, hint);
        }
        self.only(&hidden);
    }

    /// Sets the kinds that columns with ids of several kinds hide: those that other columns hide.
    fn only(&mut self, hidden: &BTreeSet<&str>) {
        let mut lonely = Vec::new();
        for (name, rule) in self.named.values_mut() {
            if let PrivacyRule::Hash(Some(only)) = rule {
                only.identities = hidden.iter().map(|word| (*word).to_owned()).collect();
                lonely.extend(hidden.is_empty().then(|| name.clone()));
            }
        }
        for name in lonely {
            let others = identities(self.contracts)
                .into_values()
                .filter(|columns| columns.values().all(|declared| declared.fill.is_none()));
            let others: BTreeSet<ColumnOfTable> = others.flat_map(BTreeMap::into_keys).collect();
            let others = others
                .iter()
                .filter(|(t, c)| format!("{t}.{c}") != name.value);
            let message = format!("other columns hold the ids of `{}`, too", name.value);
            let hint = format!("add {} to `hash:`", listed(&others.collect::<Vec<_>>()));
            self.check.error(&name, message, hint);
        }
    }
}

/// All columns that hold ids of each identity, also those that hold others' ids besides.
fn identities(contracts: &Contracts) -> BTreeMap<&str, BTreeMap<ColumnOfTable, &Column>> {
    let columns = || {
        let tables = contracts.tables.values();
        tables.flat_map(|table| {
            let columns = table.columns.iter();
            columns.map(move |(name, column)| ((table.name().to_owned(), name.clone()), column))
        })
    };
    let mut identities: BTreeMap<&str, BTreeMap<ColumnOfTable, &Column>> = BTreeMap::new();
    for (place, column) in columns() {
        if let Some(identity) = &column.identity {
            identities
                .entry(identity)
                .or_default()
                .insert(place, column);
        }
    }
    for (place, column) in columns().filter(|(_, c)| c.identity_by.is_some()) {
        for columns in identities.values_mut() {
            columns.insert(place.clone(), column);
        }
    }
    identities
}

fn listed(places: &[&ColumnOfTable]) -> String {
    let names: Vec<String> = places.iter().map(|(t, c)| format!("{t}.{c}")).collect();
    names.join(", ")
}
