//! Rows and rejects of one page after the other.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use indexmap::IndexMap;
use regex::Regex;
use serde_json::Value;

use super::drift::{Known, json_type};
use super::places::{Spot, steps};
use super::values::{NUMBER, Reading, as_text, hash, hashtags, is_blank, is_set, written_number};
use super::{Cell, Observed, Row, Settings, snapshot_at, snapshot_date, stamped};
use crate::raw::page::{PageHeader, RawPage};
use crate::run_meta::RunMeta;
use crate::spec::contracts::Contracts;
use crate::spec::source::{ColumnReads, Condition, Conditions, Endpoint, Mapping, RowRule, Test};
use crate::spec::table::{Column, Fill, Table};
use crate::spec::words::{Filter, TimeSpan};

pub struct Interpreter<'c> {
    contracts: &'c Contracts,
    settings: Settings,
    meta: &'c RunMeta,
    patterns: &'c BTreeMap<String, Regex>,
    tables: BTreeMap<String, Vec<(Row, Observed)>>,
    pub rejects: Vec<Row>,
    pub nulled: BTreeMap<(String, String), u64>,
}

/// One row to be made: its rule, its page and where it stands.
struct Making<'p> {
    known: &'p Known,
    rule: &'p RowRule,
    table: &'p Table,
    header: &'p PageHeader,
    /// Whether the outermost list is the page's items.
    over_items: bool,
    spot: Spot<'p>,
    /// The part that `explode` found, and its place among them.
    part: Option<(usize, String)>,
}

/// Why a row cannot be made.
struct Broken {
    column: String,
    reason: &'static str,
    value: Option<String>,
}

impl<'c> Interpreter<'c> {
    pub fn new(
        contracts: &'c Contracts,
        settings: Settings,
        meta: &'c RunMeta,
        patterns: &'c BTreeMap<String, Regex>,
    ) -> Self {
        Interpreter {
            contracts,
            settings,
            meta,
            patterns,
            tables: BTreeMap::new(),
            rejects: Vec::new(),
            nulled: BTreeMap::new(),
        }
    }

    /// The rows of a table so far.
    pub fn of(&self, table: &str) -> &[(Row, Observed)] {
        self.tables.get(table).map_or(&[], Vec::as_slice)
    }

    pub fn page(&mut self, endpoint: &Endpoint, known: &Known, page: &RawPage, answer: &Value) {
        let asked = &page.header.search.fields;
        for rule in &endpoint.rows {
            let fields: Vec<_> = rule.any_of_fields.iter().map(|f| &f.value).collect();
            if !asked.is_empty() && !fields.is_empty() && !fields.iter().any(|f| asked.contains(f))
            {
                continue;
            }
            let each = rule.each.as_deref().unwrap_or_default();
            let items = endpoint.pagination.items.as_ref();
            for spot in Spot::page(answer).elements(each) {
                if !some_hold(&rule.when, &spot) {
                    continue;
                }
                self.element(Making {
                    known,
                    rule,
                    table: &self.contracts.tables[&rule.table.value],
                    header: &page.header,
                    over_items: items.is_some_and(|i| each.starts_with(&format!("{i}[*]"))),
                    spot,
                    part: None,
                });
            }
        }
    }

    fn element(&mut self, element: Making<'_>) {
        let rule = element.rule;
        let object = if rule.at.is_empty() {
            Some((element.spot.clone(), ""))
        } else {
            rule.at.iter().find_map(|path| {
                let object = element.spot.at(path)?;
                Some((element.spot.inside(object), path.as_str()))
            })
        };
        let Some((object, at)) = object else {
            let broken = Broken {
                column: rule.at.join(" or "),
                reason: "missing",
                value: None,
            };
            return self.reject(&element, broken);
        };
        for spot in object.elements(rule.then_each.as_deref().unwrap_or_default()) {
            if let Some(broken) = element.misfit(&spot, at) {
                let part = None;
                self.reject(
                    &Making {
                        spot,
                        part,
                        ..element
                    },
                    broken,
                );
                continue;
            }
            if !some_hold(&rule.then_when, &spot) {
                continue;
            }
            let parts: Vec<Option<(usize, String)>> = match &rule.explode {
                None => vec![None],
                Some(explode) => tags(&explode.hashtags, &spot)
                    .into_iter()
                    .enumerate()
                    .map(Some)
                    .collect(),
            };
            for part in parts {
                self.row(&Making {
                    spot: spot.clone(),
                    part,
                    ..element
                });
            }
        }
    }

    fn row(&mut self, making: &Making<'_>) {
        let mut row = Row::new();
        for (name, column) in &making.table.columns {
            let cell = match column.fill {
                Some(fill) => Ok(self.filled(fill, making)),
                None => self.read(name, column, making),
            };
            let broken = match cell {
                Ok(Cell::Null) if column.required => making.no_value(name, column),
                Ok(cell) => {
                    row.insert(name.clone(), cell);
                    continue;
                }
                Err(_) if self.settings.bad_value_is_null && !column.required => {
                    let place = (making.table.name().to_owned(), name.clone());
                    *self.nulled.entry(place).or_default() += 1;
                    row.insert(name.clone(), Cell::Null);
                    continue;
                }
                Err(bad) => bad,
            };
            let (reason, value) = broken;
            let column = name.clone();
            return self.reject(
                making,
                Broken {
                    column,
                    reason,
                    value,
                },
            );
        }
        let search_id = &making.header.search.search_id;
        let observed = (
            making.header.fetched_at.timestamp_micros(),
            making.header.page,
            making.position().unwrap_or(0),
            u64::from_str_radix(search_id, 16).unwrap_or(0),
        );
        let rows = self.tables.entry(making.table.name().to_owned());
        rows.or_default().push((row, observed));
    }

    /// A column's value by the first mapping that has one; otherwise what is wrong with it.
    fn read(
        &self,
        name: &str,
        column: &Column,
        making: &Making<'_>,
    ) -> Result<Cell, (&'static str, Option<String>)> {
        let declared = making.rule.columns.iter().find(|(n, _)| n.value == name);
        for mapping in declared
            .iter()
            .flat_map(|(_, ColumnReads(mappings))| mappings)
        {
            let asked = &making.header.search.fields;
            let mut fields = mapping.all_of_fields.iter().map(|field| &field.value);
            let is_whole = asked.is_empty() || fields.all(|field| asked.contains(field));
            if !is_whole || !some_hold(&mapping.when, &making.spot) {
                continue;
            }
            let value = making.value(mapping);
            let reading = Reading {
                mapping,
                kind: column.kind,
                pattern: mapping.pattern.as_ref().map(|p| &self.patterns[p]),
                window: making.window(),
                is_id: is_id(column),
            };
            let cell = match (&mapping.list, mapping.last) {
                (Some(list), true) => Ok(making.last(list, &reading)),
                _ => reading.cell(value.as_ref()),
            };
            match cell {
                Ok(Cell::Null) => {}
                Ok(cell) => return Ok(cell),
                Err(reason) => return Err((reason, value.as_ref().map(shown))),
            }
        }
        Ok(Cell::Null)
    }

    fn filled(&self, fill: Fill, making: &Making<'_>) -> Cell {
        let header = making.header;
        let search = &header.search;
        let maybe = |text: Option<&String>| text.map_or(Cell::Null, Cell::from);
        let int = |number: u64| i64::try_from(number).map_or(Cell::Null, Cell::Int);
        match fill {
            Fill::RunId => Cell::from(&self.meta.run_id),
            Fill::Pipeline => Cell::from(&self.meta.pipeline),
            Fill::Source => Cell::from(&search.source),
            Fill::SnapshotAt => snapshot_at(self.meta),
            Fill::SnapshotDate => snapshot_date(self.meta),
            Fill::FetchedAt => Cell::Instant(header.fetched_at.timestamp_micros()),
            Fill::Endpoint => Cell::from(&search.endpoint),
            Fill::SearchId => Cell::from(&search.search_id),
            Fill::Keyword => maybe(search.keyword.as_ref()),
            Fill::KeywordSet => maybe(search.keyword_set.as_ref()),
            Fill::Page => int(u64::from(header.page)),
            Fill::Position => making.position().map_or(Cell::Null, int),
            Fill::Rank => {
                let rank = making.position().map(|p| header.items_before + p);
                rank.map_or(Cell::Null, int)
            }
            Fill::ItemCount => int(header.item_count),
            Fill::NewItemCount => int(header.new_item_count),
            Fill::Sort => maybe(search.filters.get(&Filter::Sort)),
            Fill::NoteTypeFilter => maybe(search.filters.get(&Filter::NoteType)),
            Fill::PublishedWithin => maybe(search.filters.get(&Filter::PublishedWithin)),
            Fill::NoteId => maybe(search.note_id.as_ref()),
            Fill::Stop => maybe(header.stop.as_ref()),
        }
    }

    fn reject(&mut self, making: &Making<'_>, broken: Broken) {
        let int = |number: usize| Cell::Int(i64::try_from(number).expect("a place in a list"));
        let mut row = self.rejected(making.header, broken.reason);
        row.insert("table".to_owned(), Cell::from(making.table.name()));
        if let Some(index) = making.spot.indexes.first() {
            row.insert("item_index".to_owned(), int(*index));
        }
        row.insert("column".to_owned(), Cell::Text(broken.column));
        row.insert(
            "value".to_owned(),
            broken.value.map_or(Cell::Null, Cell::Text),
        );
        self.rejects.push(row);
    }

    pub fn reject_page(&mut self, page: &RawPage, reason: &str) {
        let mut row = self.rejected(&page.header, reason);
        row.insert("value".to_owned(), Cell::Text(fragment(&page.text().text)));
        self.rejects.push(row);
    }

    fn rejected(&self, header: &PageHeader, reason: &str) -> Row {
        let mut row = stamped(self.meta, &header.search.source);
        row.insert("endpoint".to_owned(), Cell::from(&header.search.endpoint));
        row.insert("search_id".to_owned(), Cell::from(&header.search.search_id));
        row.insert("page".to_owned(), Cell::Int(header.page.into()));
        row.insert("reason".to_owned(), Cell::from(reason));
        row
    }
}

impl Making<'_> {
    /// Returns the fault of a list element that cannot make a row.
    fn misfit(&self, spot: &Spot<'_>, at: &str) -> Option<Broken> {
        let each = self.rule.each.as_deref().unwrap_or_default();
        let (place, column) = match (&self.rule.then_each, &self.rule.each) {
            (Some(then_each), _) => (format!("{each}{at}{then_each}"), then_each),
            (None, Some(each)) if self.rule.at.is_empty() => (each.clone(), each),
            _ => return None,
        };
        let element = spot.value();
        let reason = match element {
            Value::Null => "null in a list",
            Value::Object(_) if self.rule.then_each.is_some() || !self.over_items => {
                if self.known.has_value(&steps(&place), element) {
                    return None;
                }
                "an object without a known value"
            }
            Value::Object(_) => return None,
            _ if self.known.has_objects(&steps(&place)) => "not an object",
            _ => return None,
        };
        Some(Broken {
            column: column.clone(),
            reason,
            value: Some(format!("<{}>", json_type(element))),
        })
    }

    /// Returns the reason why a required column is null.
    fn no_value(&self, name: &str, column: &Column) -> (&'static str, Option<String>) {
        let declared = self.rule.columns.iter().find(|(n, _)| n.value == name);
        let mut values = declared
            .iter()
            .flat_map(|(_, ColumnReads(mappings))| mappings)
            .filter_map(|mapping| self.value(mapping));
        match values.find(is_blank).filter(|_| is_id(column)) {
            Some(blank) => ("a blank id", Some(shown(&blank))),
            None => ("missing", None),
        }
    }

    /// Place of the item on its page, from 1.
    fn position(&self) -> Option<u64> {
        let first = self.spot.indexes.first().filter(|_| self.over_items)?;
        Some(*first as u64 + 1)
    }

    /// Place in the innermost list, from 0.
    fn index(&self) -> usize {
        let innermost = self.spot.indexes.last().copied().unwrap_or(0);
        self.part.as_ref().map_or(innermost, |(index, _)| *index)
    }

    /// Where the time window that the search asked for begins.
    fn window(&self) -> Option<DateTime<Utc>> {
        let word = self.header.search.filters.get(&Filter::PublishedWithin)?;
        TimeSpan::window(word)?.before(self.header.fetched_at)
    }

    /// The last valid value in the elements of a list.
    fn last(&self, list: &str, reading: &Reading<'_>) -> Cell {
        let item = reading.mapping.item.as_deref().unwrap_or_default();
        let elements = self.spot.at(list).and_then(Value::as_array);
        let mut cells = elements.into_iter().flatten().filter_map(|element| {
            let spot = Spot::page(element);
            let matches = some_hold(&reading.mapping.item_when, &spot);
            let cell = reading.cell(matches.then(|| spot.at(item)).flatten());
            cell.ok().filter(|cell| !matches!(cell, Cell::Null))
        });
        cells.next_back().unwrap_or(Cell::Null)
    }

    /// What a mapping reads.
    fn value(&self, mapping: &Mapping) -> Option<Value> {
        let whole = |value: &Value| usize::try_from(value.as_i64()?).ok();
        if let Some(path) = &mapping.path {
            return self.spot.at(path).cloned();
        }
        if let Some(path) = &mapping.list {
            let index = self.spot.at(mapping.index_at.as_deref()?)?;
            let element = self.spot.at(path)?.as_array()?.get(whole(index)?)?;
            return Spot::page(element).at(mapping.item.as_deref()?).cloned();
        }
        if let Some(path) = &mapping.length {
            return Some(Value::from(self.spot.at(path)?.as_array()?.len()));
        }
        if let Some(paths) = &mapping.hash {
            let texts: Vec<Option<String>> = paths
                .iter()
                .map(|path| as_text(self.spot.at(path)?).ok())
                .collect();
            return hash(&texts).map(Value::from);
        }
        if let Some(text) = &mapping.constant {
            return Some(Value::from(text.as_str()));
        }
        if mapping.index == Some(true) {
            return Some(Value::from(self.index()));
        }
        if let Some(path) = &mapping.index_equals {
            let index = self.spot.at(path)?.as_i64()?;
            return Some(Value::from(usize::try_from(index) == Ok(self.index())));
        }
        if mapping.key == Some(true) {
            return self.spot.key.map(Value::from);
        }
        if let Some(path) = &mapping.has_in {
            let elements = self.spot.at(path)?.as_array()?;
            let text = mapping.has.as_ref().expect("a text to look for");
            let is_it = |element: &Value| as_text(element).is_ok_and(|found| found == *text);
            return Some(Value::from(elements.iter().any(is_it)));
        }
        assert_eq!(mapping.exploded, Some(true), "{mapping:?} reads nothing");
        self.part
            .as_ref()
            .map(|(_, text)| Value::from(text.as_str()))
    }
}

fn some_hold(Conditions(alternatives): &Conditions, spot: &Spot<'_>) -> bool {
    let all_hold = |conditions: &IndexMap<String, Condition>| {
        let mut conditions = conditions.iter();
        conditions.all(|(path, condition)| holds(condition, spot.at(path)))
    };
    alternatives.is_empty() || alternatives.iter().any(all_hold)
}

fn is_id(column: &Column) -> bool {
    column.identity.is_some() || column.identity_by.is_some()
}

fn holds(condition: &Condition, value: Option<&Value>) -> bool {
    let text = value.and_then(|value| as_text(value).ok());
    let is_one_of = |words: &[String]| text.as_ref().is_some_and(|text| words.contains(text));
    match condition {
        Condition::Is(word) => text.as_ref() == Some(word),
        Condition::OneOf(words) => is_one_of(words),
        Condition::Test(Test {
            none_of: Some(words),
            ..
        }) => !is_one_of(words),
        Condition::Test(Test {
            exists: Some(wanted),
            ..
        }) => value.is_some() == *wanted,
        Condition::Test(Test {
            is_set: Some(wanted),
            ..
        }) => value.is_some_and(is_set) == *wanted,
        Condition::Test(Test { filled, .. }) => {
            let is_filled = text.is_some_and(|text| !is_blank(&Value::from(text)));
            Some(is_filled) == *filled
        }
    }
}

/// The hashtags of these texts, each once.
fn tags(paths: &[String], spot: &Spot<'_>) -> Vec<String> {
    let mut tags: Vec<String> = Vec::new();
    let texts = paths.iter().filter_map(|path| spot.at(path));
    let texts = texts.filter(|text| written_number(text).is_none());
    let texts = texts.filter_map(Value::as_str);
    for tag in texts.flat_map(hashtags) {
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    tags
}

/// A bad value as `rejects` shows it.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => fragment(text.trim_start_matches(NUMBER)),
        Value::Array(_) => "<array>".to_owned(),
        Value::Object(_) => "<object>".to_owned(),
        other => other.to_string(),
    }
}

/// The first 200 characters.
pub fn fragment(text: &str) -> String {
    let mut start: String = text.chars().take(200).collect();
    if start.len() < text.len() {
        start.push('…');
    }
    start
}
