//! The rules of the contracts, read once more: a plain and slow interpreter over whole JSON values,
//! to hold the fast path against. It shares the contracts with it, and no code that reads an answer.

mod checks;
mod drift;
mod order;
mod places;
mod rendered;
mod rows;
mod values;

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::{Captures, Regex};
use serde_json::Value;

use crate::plan::Search;
use crate::raw::page::RawPage;
use crate::run_meta::RunMeta;
use crate::spec::contracts::Contracts;
use crate::spec::source::{ColumnReads, Endpoint, ParamFrom};
use crate::spec::table::RowsFrom;
use drift::{Differences, Known};
use places::Spot;
use rows::Interpreter;

pub use places::{Place, Step};
pub use rendered::difference;

/// What may be chosen.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings {
    /// A value of a JSON type that none of its readings expects is drift.
    pub leaf_types: bool,
    /// A bad value becomes null, where its column is not required.
    pub bad_value_is_null: bool,
}

impl Settings {
    /// What the fast path does unless a pipeline says otherwise.
    pub const NOW: Settings = Settings {
        leaf_types: true,
        bad_value_is_null: false,
    };
}

/// One value of a row.
#[derive(Clone, Debug)]
pub enum Cell {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    /// Microseconds since 1970, UTC.
    Instant(i64),
    /// Days since 1970.
    Date(i32),
}

/// A row by column; a column that is not there is null.
pub type Row = BTreeMap<String, Cell>;

/// Time of the fetch in microseconds, page, place on the page, the search's id as a number.
pub type Observed = (i64, u32, u64, u64);

/// The tables of some pages.
#[derive(Debug, Default)]
pub struct Outcome {
    pub tables: BTreeMap<String, Vec<Row>>,
    /// Bad values that became null, by table and column.
    pub nulled: BTreeMap<(String, String), u64>,
}

/// The interpreter of some contracts.
pub struct Reference<'c> {
    contracts: &'c Contracts,
    settings: Settings,
    patterns: BTreeMap<String, Regex>,
}

impl<'c> Reference<'c> {
    pub fn new(contracts: &'c Contracts, settings: Settings) -> Self {
        let endpoints = contracts
            .sources
            .values()
            .flat_map(|s| s.endpoints.values());
        let columns = endpoints
            .flat_map(|e| &e.rows)
            .flat_map(|rule| rule.columns.values());
        let written = columns.flat_map(|ColumnReads(mappings)| mappings.iter());
        let patterns = written
            .filter_map(|mapping| mapping.pattern.clone())
            .map(|p| (p.clone(), Regex::new(&p).expect("a pattern")));
        Reference {
            contracts,
            settings,
            patterns: patterns.collect(),
        }
    }

    /// All places of an endpoint's answers that its rules look at.
    pub fn places(&self, source: &str, endpoint: &str) -> Vec<Place> {
        let source = &self.contracts.sources[source];
        Known::of(source, &source.endpoints[endpoint], self.contracts).places()
    }

    pub fn tables(&self, meta: &RunMeta, pages: &[RawPage]) -> Outcome {
        let mut rows = Interpreter::new(self.contracts, self.settings, meta, &self.patterns);
        let mut differences = BTreeMap::new();
        for page in pages {
            let search = &page.header.search;
            let source = &self.contracts.sources[&search.source];
            let endpoint = &source.endpoints[&search.endpoint];
            if !page.header.accepted {
                let reason = format!("the answer is not a page: {}", page.header.class);
                rows.reject_page(page, &reason);
                continue;
            }
            let body = page.text();
            let Some(answer) = parsed(&body.text) else {
                rows.reject_page(page, "the answer is not JSON");
                continue;
            };
            let (known, counted) = differences
                .entry((search.source.clone(), search.endpoint.clone()))
                .or_insert_with(|| {
                    let known = Known::of(source, endpoint, self.contracts);
                    (known, Differences::default())
                });
            known.walk(&answer, self.settings.leaf_types, counted);
            if body.is_replaced || whole_characters(&body.text) != body.text {
                known.replaced(&answer, &Vec::new(), counted);
            }
            if !has_items(endpoint, &answer) {
                rows.reject_page(page, "the answer has no list of items");
            } else if let Some(reason) = other_subject(endpoint, search, &answer) {
                rows.reject_page(page, reason);
            } else {
                rows.page(endpoint, known, page, &answer);
            }
        }
        let mut drift = Vec::new();
        for ((source, endpoint), (_, counted)) in differences {
            drift.extend(counted.rows(meta, &source, &endpoint));
        }
        self.finished(rows, drift)
    }

    /// The rows that count, sorted.
    fn finished(&self, made: Interpreter<'_>, drift: Vec<Row>) -> Outcome {
        let mut tables = BTreeMap::new();
        for (name, table) in &self.contracts.tables {
            let kept = match (table.rows_from, name.as_str()) {
                (RowsFrom::Pages, _) => {
                    let parent = table.latest_with.as_ref().map(|p| p.value.as_str());
                    let parent = parent.map(|parent| {
                        order::newest(&self.contracts.tables[parent], made.of(parent))
                    });
                    order::latest(table, made.of(name), parent.as_ref())
                }
                (_, "rejects") => made.rejects.clone(),
                (_, "drift") => drift.clone(),
                _ => continue,
            };
            tables.insert(name.clone(), order::sorted(table, kept));
        }
        Outcome {
            tables,
            nulled: made.nulled,
        }
    }
}

/// The answer as a whole; nothing for what is no JSON.
fn parsed(body: &str) -> Option<Value> {
    let body = body.trim_start_matches('\u{feff}');
    serde_json::from_str(&kept_numbers(&whole_characters(body))).ok()
}

/// The answer with a text in the place of each number that [`Value`] would round or refuse.
fn kept_numbers(answer: &str) -> String {
    static TOKEN: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r#"(?s)"(?:[^"\\]|\\.)*"|[-0-9][-+.0-9eE]*"#).expect("a pattern")
    });
    static NUMBER: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$").expect("a pattern")
    });
    let kept = TOKEN.replace_all(answer, |found: &Captures<'_>| {
        let token = &found[0];
        let is_held = token.parse::<i128>().is_ok_and(|number| {
            token != "-0" && i128::from(i64::MIN) <= number && number <= i128::from(u64::MAX)
        });
        if NUMBER.is_match(token) && !is_held {
            format!("\"{}{token}\"", values::NUMBER)
        } else {
            token.to_owned()
        }
    });
    kept.into_owned()
}

/// The text with U+FFFD for every `\u` escape of one half of a surrogate pair.
fn whole_characters(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let unit = |at: usize| {
        let escape = chars.get(at..at + 6)?;
        let hex: String = escape[2..].iter().collect();
        let unit = u32::from_str_radix(&hex, 16).ok()?;
        (escape[0] == '\\' && escape[1] == 'u').then_some(unit)
    };
    let high = |unit: u32| (0xD800..0xDC00).contains(&unit);
    let low = |unit: u32| (0xDC00..0xE000).contains(&unit);
    let mut whole = String::new();
    let mut at = 0;
    while at < chars.len() {
        let taken = match unit(at) {
            Some(first) if high(first) && unit(at + 6).is_some_and(low) => 12,
            Some(alone) if high(alone) || low(alone) => {
                whole.push_str("\\ufffd");
                at += 6;
                continue;
            }
            // The backslash and what it escapes.
            _ if chars[at] == '\\' => 2,
            _ => 1,
        };
        let end = (at + taken).min(chars.len());
        whole.extend(&chars[at..end]);
        at = end;
    }
    whole
}

/// Whether an answer is a page: it has the list of items, or null in its place or around it.
fn has_items(endpoint: &Endpoint, answer: &Value) -> bool {
    let Some(path) = &endpoint.pagination.items else {
        return true;
    };
    let mut value = answer;
    for key in path.split('/').skip(1) {
        match value.get(key) {
            None => return false,
            Some(Value::Null) => return true,
            Some(inner) => value = inner,
        }
    }
    value.is_array()
}

/// Returns the reason why an answer is not about what was asked.
fn other_subject(endpoint: &Endpoint, search: &Search, answer: &Value) -> Option<&'static str> {
    for (name, path) in &endpoint.about {
        let from = endpoint.params[&name.value].from;
        let (asked, reason) = match from {
            Some(ParamFrom::NoteId) => (search.note_id.clone(), "the answer is about another note"),
            Some(ParamFrom::Keyword) => {
                (search.keyword.clone(), "the answer is about something else")
            }
            _ => (
                search.params.get(&name.value).cloned(),
                "the answer is about something else",
            ),
        };
        let (Some(asked), Some(value)) = (asked, Spot::page(answer).at(path)) else {
            continue;
        };
        let told = match value {
            _ if values::is_written_float(value) => continue,
            Value::String(text) if text.trim().is_empty() => {
                return Some("the answer does not name its subject");
            }
            Value::String(text) => values::written_number(value).unwrap_or(text).to_owned(),
            Value::Number(number) if number.is_i64() || number.is_u64() => number.to_string(),
            _ => continue,
        };
        if told != asked {
            return Some(reason);
        }
    }
    None
}

/// The columns of every table that redlake writes itself.
fn stamped(meta: &RunMeta, source: &str) -> Row {
    Row::from([
        ("run_id".to_owned(), Cell::from(&meta.run_id)),
        ("pipeline".to_owned(), Cell::from(&meta.pipeline)),
        ("source".to_owned(), Cell::from(source)),
        ("snapshot_at".to_owned(), snapshot_at(meta)),
        ("snapshot_date".to_owned(), snapshot_date(meta)),
    ])
}

fn snapshot_at(meta: &RunMeta) -> Cell {
    Cell::Instant(meta.snapshot_at.timestamp_micros())
}

fn snapshot_date(meta: &RunMeta) -> Cell {
    let since_1970 = meta.snapshot_date - chrono::NaiveDate::default();
    Cell::Date(i32::try_from(since_1970.num_days()).expect("a date of our time"))
}

impl<T: AsRef<str> + ?Sized> From<&T> for Cell {
    fn from(text: &T) -> Self {
        Cell::Text(text.as_ref().to_owned())
    }
}

/// Null first; numbers by size, `-0.0` before `0.0`; texts by their bytes.
impl Ord for Cell {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Cell::Null, Cell::Null) => Ordering::Equal,
            (Cell::Null, _) => Ordering::Less,
            (_, Cell::Null) => Ordering::Greater,
            (Cell::Bool(a), Cell::Bool(b)) => a.cmp(b),
            (Cell::Int(a) | Cell::Instant(a), Cell::Int(b) | Cell::Instant(b)) => a.cmp(b),
            (Cell::Float(a), Cell::Float(b)) => a.total_cmp(b),
            (Cell::Text(a), Cell::Text(b)) => a.cmp(b),
            (Cell::Date(a), Cell::Date(b)) => a.cmp(b),
            _ => panic!("{self:?} and {other:?} in one column"),
        }
    }
}

impl PartialOrd for Cell {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Cell {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Cell {}
