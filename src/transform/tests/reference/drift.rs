//! What an answer has that its contract does not know.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::places::{Place, Step, outward, steps, written};
use super::rows::fragment;
use super::values::{as_text, is_written_float, written_number};
use super::{Cell, Row, stamped};
use crate::run_meta::RunMeta;
use crate::spec::contracts::Contracts;
use crate::spec::source::{
    ColumnReads, Condition, Endpoint, Form, Mapping, RowRule, Source, Test, Unit,
};
use crate::spec::table::ColumnType;
use crate::transform::quality::drift::DriftKind;

/// The names of JSON types.
type JsonType = &'static str;
const TEXT: &[JsonType] = &["string"];
const WHOLE: &[JsonType] = &["integer"];

/// What a contract says about the places of an endpoint's answers.
#[derive(Debug, Default)]
pub struct Known {
    keys: BTreeMap<Place, BTreeSet<String>>,
    lists: BTreeSet<Place>,
    /// Objects whose values a rule goes over.
    over_values: BTreeSet<Place>,
    lengths: BTreeSet<Place>,
    left_out: BTreeSet<Place>,
    /// The JSON types that the readings of a value expect.
    types: BTreeMap<Place, BTreeSet<JsonType>>,
    /// The values that the contract names, where rules look at them.
    values: BTreeMap<Place, BTreeSet<String>>,
}

impl Known {
    pub fn of(source: &Source, endpoint: &Endpoint, contracts: &Contracts) -> Self {
        let mut known = Known::default();
        let envelope = &source.envelope;
        known.leave_out(steps(&envelope.code));
        for path in &envelope.message {
            known.leave_out(steps(path));
        }
        if let Some(path) = &envelope.request_id {
            known.leave_out(steps(path));
        }
        if let Some(path) = &endpoint.pagination.items {
            known.add(&steps(path));
        }
        for path in endpoint.about.values() {
            known.reading(steps(path), TEXT);
        }
        for left_out in &endpoint.left_out {
            for at in &left_out.at {
                for field in &left_out.fields {
                    let mut place = steps(at);
                    place.push(Step::Key(field.clone()));
                    known.leave_out(place);
                }
            }
        }
        for named in &endpoint.known_values {
            for at in &named.at {
                known.know(steps(at), &named.values);
            }
        }
        for rule in &endpoint.rows {
            let whole = vec![String::new()];
            let ats = if rule.at.is_empty() { &whole } else { &rule.at };
            for at in ats {
                known.rule(rule, at, contracts);
            }
        }
        known
    }

    /// All places that rules look at.
    pub fn places(&self) -> Vec<Place> {
        let mut places = BTreeSet::from([Place::new()]);
        for (place, keys) in &self.keys {
            places.extend(keys.iter().map(|key| then(place, Step::Key(key.clone()))));
        }
        places.extend(self.lists.iter().map(|place| then(place, Step::Each)));
        places.extend(self.over_values.iter().map(|p| then(p, Step::Values)));
        places.retain(|place| !self.left_out.contains(place));
        places.into_iter().collect()
    }

    /// Takes in a place and all around it.
    fn add(&mut self, place: &[Step]) {
        for (end, step) in place.iter().enumerate() {
            let around = place[..end].to_vec();
            match step {
                Step::Key(key) => {
                    self.keys.entry(around).or_default().insert(key.clone());
                }
                Step::Each => {
                    self.lists.insert(around);
                }
                Step::Values => {
                    self.over_values.insert(around);
                }
            }
        }
    }

    /// Returns whether rules read the elements of a list as objects.
    pub fn has_objects(&self, element: &Place) -> bool {
        self.keys.contains_key(element) || self.over_values.contains(element)
    }

    /// Returns whether an element has a value at one of the places that rules look at, or an element of a
    /// list that they go over.
    pub fn has_value(&self, element: &Place, value: &Value) -> bool {
        let looked_at = self.types.keys().chain(&self.lengths).chain(&self.lists);
        let below = looked_at.filter_map(|place| {
            place
                .strip_prefix(element.as_slice())
                .map(|rest| (place, rest))
        });
        let mut below =
            below.filter(|(_, rest)| rest.iter().all(|step| matches!(step, Step::Key(_))));
        below.any(|(place, rest)| {
            let found = rest.iter().try_fold(value, |value, step| match step {
                Step::Key(key) => value.get(key),
                _ => None,
            });
            match found {
                None | Some(Value::Null) => false,
                Some(Value::Array(elements)) if self.lists.contains(place) => {
                    !elements.is_empty()
                        || self.types.contains_key(place)
                        || self.lengths.contains(place)
                }
                Some(_) => self.types.contains_key(place) || self.lengths.contains(place),
            }
        })
    }

    fn know<'v>(&mut self, place: Place, values: impl IntoIterator<Item = &'v String>) {
        let known = self.values.entry(place).or_default();
        known.extend(values.into_iter().cloned());
    }

    fn leave_out(&mut self, place: Place) {
        self.add(&place);
        self.left_out.insert(place);
    }

    /// A rule, its columns read from `at`.
    fn rule(&mut self, rule: &RowRule, at: &str, contracts: &Contracts) {
        let mut levels = vec![Place::new()];
        into_elements(&mut levels, rule.each.as_deref());
        self.conditions(rule.when.iter(), &levels);
        if !rule.at.is_empty() {
            let object = at_path(&levels, at);
            self.add(&object);
            levels.insert(0, object);
        }
        into_elements(&mut levels, rule.then_each.as_deref());
        self.add(&levels[0]);
        self.conditions(rule.then_when.iter(), &levels);
        for path in rule.explode.iter().flat_map(|e| &e.hashtags) {
            self.reading(at_path(&levels, path), TEXT);
        }
        let table = &contracts.tables[&rule.table.value];
        for (name, ColumnReads(mappings)) in &rule.columns {
            for mapping in mappings {
                self.mapping(mapping, table.columns[&name.value].kind, &levels);
            }
        }
    }

    fn conditions<'a>(
        &mut self,
        conditions: impl IntoIterator<Item = (&'a String, &'a Condition)>,
        levels: &[Place],
    ) {
        for (path, condition) in conditions {
            let place = at_path(levels, path);
            let expected: &[JsonType] = match condition {
                Condition::Test(Test {
                    exists: Some(_), ..
                }) => &[],
                Condition::Test(Test {
                    is_set: Some(_), ..
                }) => &[],
                Condition::Test(Test {
                    filled: Some(_), ..
                }) => TEXT,
                Condition::Test(Test { none_of, .. }) => {
                    self.know(place.clone(), none_of.iter().flatten());
                    TEXT
                }
                Condition::Is(word) => {
                    self.know(place.clone(), [word]);
                    TEXT
                }
                Condition::OneOf(words) => {
                    self.know(place.clone(), words);
                    TEXT
                }
            };
            self.reading(place, expected);
        }
    }

    fn mapping(&mut self, mapping: &Mapping, kind: ColumnType, levels: &[Place]) {
        let expected = expected(mapping, kind);
        self.conditions(mapping.when.iter(), levels);
        if let Some(path) = &mapping.path {
            let place = at_path(levels, path);
            if let Some(values) = &mapping.values {
                self.know(place.clone(), values.keys());
            }
            self.reading(place, expected);
        }
        if let Some(path) = &mapping.has_in {
            let element = then(&at_path(levels, path), Step::Each);
            self.know(element.clone(), &mapping.has);
            self.reading(element, TEXT);
        }
        if let Some(path) = &mapping.length {
            let place = at_path(levels, path);
            self.add(&place);
            self.lengths.insert(place);
        }
        for path in mapping.hash.iter().flatten() {
            self.reading(at_path(levels, path), TEXT);
        }
        for path in mapping.index_at.iter().chain(&mapping.index_equals) {
            self.reading(at_path(levels, path), WHOLE);
        }
        if let Some(list) = &mapping.list {
            let element = then(&at_path(levels, list), Step::Each);
            self.conditions(mapping.item_when.iter(), std::slice::from_ref(&element));
            let mut item = element;
            item.extend(steps(mapping.item.as_deref().unwrap_or_default()));
            self.reading(item, expected);
        }
    }

    fn reading(&mut self, place: Place, expected: &[JsonType]) {
        self.add(&place);
        self.types.entry(place).or_default().extend(expected);
    }

    /// Counts all that is different in an answer.
    pub fn walk(&self, answer: &Value, leaf_types: bool, counted: &mut Differences) {
        self.value(answer, &Place::new(), leaf_types, counted);
    }

    /// Counts the texts with U+FFFD at places that the contract knows.
    pub fn replaced(&self, value: &Value, place: &Place, counted: &mut Differences) {
        if self.left_out.contains(place) {
            return;
        }
        match value {
            Value::String(text) if text.contains('\u{fffd}') => {
                counted.count(written(place), DriftKind::ReplacedCharacter, "string");
            }
            Value::Array(elements) if self.lists.contains(place) => {
                for element in elements {
                    self.replaced(element, &then(place, Step::Each), counted);
                }
            }
            Value::Object(entries) => {
                for (key, inner) in entries {
                    let keys = self.keys.get(place);
                    let step = if keys.is_some_and(|keys| keys.contains(key)) {
                        Step::Key(key.clone())
                    } else if self.over_values.contains(place) {
                        Step::Values
                    } else {
                        continue;
                    };
                    self.replaced(inner, &then(place, step), counted);
                }
            }
            _ => {}
        }
    }

    fn value(&self, value: &Value, place: &Place, leaf_types: bool, counted: &mut Differences) {
        let no_keys = BTreeSet::new();
        let keys = self.keys.get(place).unwrap_or(&no_keys);
        let list = self.lists.contains(place);
        let over_values = self.over_values.contains(place);
        if let Some(known) = self.values.get(place)
            && !self.left_out.contains(place)
            && let Ok(text) = as_text(value)
            && !known.contains(&text)
        {
            counted.count_value(written(place), json_type(value), fragment(&text));
        }
        let mut changed =
            || counted.count(written(place), DriftKind::TypeChanged, json_type(value));
        match value {
            _ if self.left_out.contains(place) => {}
            Value::Null => {}
            Value::Array(elements) if list => {
                for element in elements {
                    self.value(element, &then(place, Step::Each), leaf_types, counted);
                }
            }
            Value::Array(_) if self.lengths.contains(place) => {}
            Value::Array(_) => changed(),
            Value::Object(entries) => {
                if keys.is_empty() && !over_values {
                    changed();
                }
                for (key, inner) in entries {
                    let step = match keys.contains(key) {
                        true => Step::Key(key.clone()),
                        false if over_values => Step::Values,
                        false => {
                            let path = format!("{}/{key}", written(place));
                            counted.count(path, DriftKind::UnknownField, json_type(inner));
                            continue;
                        }
                    };
                    self.value(inner, &then(place, step), leaf_types, counted);
                }
            }
            _ if !keys.is_empty() || list || over_values => changed(),
            _ => {
                let expected = self.types.get(place).filter(|types| !types.is_empty());
                let fits = expected.is_none_or(|types| types.contains(json_type(value)));
                if leaf_types && !fits {
                    changed();
                }
            }
        }
    }
}

/// The JSON types that a mapping can make a column of this type of, without being lenient.
fn expected(mapping: &Mapping, kind: ColumnType) -> &'static [JsonType] {
    if mapping.values.is_some() || mapping.pattern.is_some() {
        return TEXT;
    }
    match (kind, mapping.unit, mapping.form) {
        (ColumnType::Timestamp, Some(Unit::Iso8601), _) => TEXT,
        (ColumnType::Timestamp, _, _) => WHOLE,
        (ColumnType::Bool, Some(Unit::Iso8601), _) if mapping.within_window => TEXT,
        (ColumnType::Bool, _, _) if mapping.within_window => WHOLE,
        (ColumnType::Bool, _, _) => &["boolean"],
        (ColumnType::String, _, Some(Form::Text)) => &["string", "integer"],
        (ColumnType::String, _, _) => TEXT,
        (ColumnType::Int64, _, Some(Form::Count)) => &["integer", "string"],
        (ColumnType::Int64, _, _) => WHOLE,
        (ColumnType::Float64, _, _) => &["integer", "number"],
        (ColumnType::Date, _, _) => &[],
    }
}

/// Stands in each element that a path goes over; `levels` are the places from the innermost out.
fn into_elements(levels: &mut Vec<Place>, path: Option<&str>) {
    let mut place = levels[0].clone();
    for step in steps(path.unwrap_or_default()) {
        place.push(step);
        if place.last().is_some_and(|s| !matches!(s, Step::Key(_))) {
            levels.insert(0, place.clone());
        }
    }
}

fn at_path(levels: &[Place], path: &str) -> Place {
    let (level, rest) = outward(path);
    let mut place = levels[level].clone();
    place.extend(steps(rest));
    place
}

fn then(place: &Place, step: Step) -> Place {
    let mut longer = place.clone();
    longer.push(step);
    longer
}

pub fn json_type(value: &Value) -> JsonType {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        _ if is_written_float(value) => "number",
        _ if written_number(value).is_some() => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Differences that are told apart at most; the others are summed up.
const MOST: usize = 1_000;

/// Values of a field that are told apart at most.
const MOST_VALUES: usize = 20;

/// How often each difference of an endpoint was seen.
#[derive(Debug, Default)]
pub struct Differences(BTreeMap<(String, DriftKind, JsonType, Option<String>), u64>);

impl Differences {
    pub fn count(&mut self, path: String, kind: DriftKind, json_type: JsonType) {
        *self.0.entry((path, kind, json_type, None)).or_default() += 1;
    }

    fn count_value(&mut self, path: String, json_type: JsonType, value: String) {
        let difference = (path, DriftKind::UnknownValue, json_type, Some(value));
        *self.0.entry(difference).or_default() += 1;
    }

    pub fn rows(self, meta: &RunMeta, source: &str, endpoint: &str) -> Vec<Row> {
        let mut kept = BTreeMap::new();
        let mut told = 0;
        let mut values: BTreeMap<(String, DriftKind, JsonType), usize> = BTreeMap::new();
        for ((path, kind, json_type, value), count) in self.0 {
            let of_field = values.entry((path.clone(), kind, json_type)).or_default();
            *of_field += usize::from(value.is_some());
            let is_told = told < MOST && *of_field <= MOST_VALUES;
            told += usize::from(is_told);
            let (path, value) = if is_told {
                (path, value)
            } else {
                ("(other paths)".to_owned(), None)
            };
            *kept.entry((path, kind, json_type, value)).or_default() += count;
        }
        type Kept = (String, DriftKind, JsonType, Option<String>);
        let row = |((path, kind, json_type, value), count): (Kept, u64)| {
            let mut row = stamped(meta, source);
            row.insert("endpoint".to_owned(), Cell::from(endpoint));
            row.insert("path".to_owned(), Cell::Text(path));
            row.insert("kind".to_owned(), Cell::from(kind.as_str()));
            row.insert("json_type".to_owned(), Cell::from(json_type));
            row.insert("value".to_owned(), value.map_or(Cell::Null, Cell::Text));
            row.insert(
                "count".to_owned(),
                Cell::Int(i64::try_from(count).expect("a count")),
            );
            row
        };
        kept.into_iter().map(row).collect()
    }
}
