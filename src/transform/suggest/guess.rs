//! The type of a field, from its values. A reading counts only if the transform would take every
//! value that was seen.

use std::collections::BTreeMap;

use serde_json::Value;

use super::places::snake_case;
use crate::spec::source::{Form, Mapping, Unit};
use crate::spec::table::ColumnType;
use crate::transform::page::captures::Scalar;
use crate::transform::program::coerce::Convert;
use crate::transform::quality::reject::fragment;

/// Values that were seen of a field.
#[derive(Debug)]
pub struct Seen {
    types: BTreeMap<&'static str, u64>,
    /// The ways to read it that every value allows.
    readings: Vec<(Reading, Convert)>,
    zeros: bool,
    ones: bool,
    /// Anything but 0, 1 and an empty text.
    others: bool,
    empty: bool,
    filled: bool,
    /// Digits that a number would not keep.
    leading_zeros: bool,
    /// `4.5`, which is no count.
    decimals: bool,
    /// `1.2万`, `1,234`.
    shortened: bool,
    examples: Vec<String>,
    /// The keys of objects and the elements of lists, with their JSON types.
    inside: BTreeMap<String, &'static str>,
}

/// A way to read a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    Truth,
    Whole,
    Number,
    Seconds,
    Milliseconds,
    Iso8601,
    Count,
    Text,
}

const READINGS: [Reading; 8] = [
    Reading::Truth,
    Reading::Whole,
    Reading::Number,
    Reading::Seconds,
    Reading::Milliseconds,
    Reading::Iso8601,
    Reading::Count,
    Reading::Text,
];

/// The type that fits a field best.
#[derive(Debug)]
pub struct Guess {
    pub kind: ColumnType,
    /// Note for the reader.
    pub note: Option<String>,
}

const MOST_EXAMPLES: usize = 3;
/// Fields of an object that are told.
const MOST_INSIDE: usize = 20;

impl Default for Seen {
    fn default() -> Self {
        let compiled = |reading: Reading| {
            let convert = Convert::compile(&reading.mapping(true, true), reading.kind());
            convert.ok().map(|convert| (reading, convert))
        };
        Seen {
            types: BTreeMap::new(),
            readings: READINGS.into_iter().filter_map(compiled).collect(),
            zeros: false,
            ones: false,
            others: false,
            empty: false,
            filled: false,
            leading_zeros: false,
            decimals: false,
            shortened: false,
            examples: Vec::new(),
            inside: BTreeMap::new(),
        }
    }
}

impl Seen {
    pub fn types(&self) -> &BTreeMap<&'static str, u64> {
        &self.types
    }

    pub fn examples(&self) -> &[String] {
        &self.examples
    }

    pub fn add(&mut self, value: &Value) {
        *self.types.entry(json_type(value)).or_default() += 1;
        self.readings
            .retain(|(_, convert)| convert.apply(scalar(value), None).is_ok());
        match value {
            Value::Number(number) => match number.as_i64() {
                Some(0) => self.zeros = true,
                Some(1) => self.ones = true,
                _ => self.others = true,
            },
            Value::String(text) => self.add_text(text),
            Value::Object(entries) => {
                for (key, value) in entries {
                    self.add_inside(key, value);
                }
            }
            Value::Array(elements) => {
                for element in elements {
                    match element {
                        Value::Object(entries) => {
                            entries.iter().for_each(|(k, v)| self.add_inside(k, v));
                        }
                        other => self.add_inside("", other),
                    }
                }
            }
            Value::Null | Value::Bool(_) => {}
        }
        self.add_example(value);
    }

    fn add_text(&mut self, text: &str) {
        let is_numeral = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        self.empty |= text.is_empty();
        self.zeros |= text == "0";
        self.others |= !["", "0"].contains(&text);
        self.filled |= !text.is_empty();
        self.leading_zeros |= is_numeral && text.len() > 1 && text.starts_with('0');
        self.decimals |= text.contains('.') && text.trim().parse::<f64>().is_ok();
        self.shortened |= !text.is_empty() && !is_numeral;
    }

    fn add_inside(&mut self, key: &str, value: &Value) {
        if self.inside.len() < MOST_INSIDE || self.inside.contains_key(key) {
            self.inside.insert(key.to_owned(), json_type(value));
        }
    }

    fn add_example(&mut self, value: &Value) {
        let says_nothing = value.is_null() || value == "";
        if says_nothing || self.examples.len() == MOST_EXAMPLES {
            return;
        }
        let example = fragment(&value.to_string());
        if !self.examples.contains(&example) {
            self.examples.push(example);
        }
    }

    fn reads(&self, reading: Reading) -> bool {
        self.readings.iter().any(|(other, _)| *other == reading)
    }

    /// The type that fits the field at this path best.
    ///
    /// # Errors
    /// Why it makes no column.
    pub fn guess(&self, key: &str, path: &str) -> Result<Guess, String> {
        let types: Vec<&str> = self.json_types().collect();
        let (kind, note) = match types.as_slice() {
            [] => return Err("always null so far, which says nothing of its type".to_owned()),
            ["object"] => return Err(self.object(path)),
            ["array"] => return Err(self.list(path)),
            _ if self.read_as(ColumnType::Timestamp, key).is_some() => {
                (ColumnType::Timestamp, None)
            }
            ["boolean"] => (ColumnType::Bool, None),
            ["integer"] if self.reads(Reading::Whole) => (ColumnType::Int64, self.note_on_flags()),
            ["integer"] => (ColumnType::String, Some("too large for int64".to_owned())),
            ["number"] | ["integer", "number"] => (ColumnType::Float64, None),
            ["string"] | ["integer", "string"] if self.is_count(key) => (ColumnType::Int64, None),
            ["string"] => (ColumnType::String, self.note_on_text()),
            mixed => self.mixed(mixed)?,
        };
        Ok(Guess { kind, note })
    }

    /// Returns the options of the mapping for a column of this type, if it would take every value
    /// that was seen.
    pub fn read_as(&self, kind: ColumnType, key: &str) -> Option<Mapping> {
        let is_time = self.is_time(key);
        let fits = |reading: &&Reading| {
            let makes_sense = match reading {
                Reading::Seconds | Reading::Milliseconds => is_time,
                Reading::Iso8601 => self.filled,
                // Digits as text may be shortened tomorrow.
                Reading::Whole => self.json_types().all(|kind| kind != "string"),
                _ => true,
            };
            reading.kind() == kind && makes_sense && self.reads(**reading)
        };
        let reading = READINGS.iter().find(fits)?;
        let mut mapping = reading.mapping(self.zeros, self.empty);
        if *reading == Reading::Text && self.json_types().any(|kind| kind == "integer") {
            mapping.form = Some(Form::Text);
        }
        Some(mapping)
    }

    /// The JSON types of its values, null left out.
    fn json_types(&self) -> impl Iterator<Item = &'static str> {
        self.types.keys().copied().filter(|kind| *kind != "null")
    }

    /// Instants have a key that says so, or any large number would be one.
    fn is_time(&self, key: &str) -> bool {
        let is_word = |word: &str| {
            TIME_WORDS.contains(&word) || word.ends_with("time") || word.ends_with("date")
        };
        self.others && snake_case(key).split('_').any(is_word)
    }

    /// Texts of digits are counts, unless they are the digits of an id.
    fn is_count(&self, key: &str) -> bool {
        let name = snake_case(key);
        let last = name.rsplit('_').next().unwrap_or_default();
        let is_id = ID_WORDS.contains(&last) || last.ends_with("id");
        let exact = !self.leading_zeros && !self.decimals && self.filled;
        exact && self.reads(Reading::Count) && (self.shortened || !is_id)
    }

    fn note_on_flags(&self) -> Option<String> {
        (!self.others).then(|| match (self.zeros, self.ones) {
            (true, true) => "only 0 and 1 so far: type bool would fit, too".to_owned(),
            (true, false) => "only 0 so far".to_owned(),
            _ => "only 1 so far".to_owned(),
        })
    }

    fn note_on_text(&self) -> Option<String> {
        if !self.filled {
            Some("always an empty text so far".to_owned())
        } else if self.decimals && self.reads(Reading::Number) {
            Some("numbers as text: type float64 would fit, too".to_owned())
        } else {
            None
        }
    }

    /// Values of several JSON types.
    fn mixed(&self, types: &[&str]) -> Result<(ColumnType, Option<String>), String> {
        let words = types.join(" and ");
        let readings = match types {
            // Digits that are text somewhere may be an id, which a float would round.
            ["integer", "string"] => &[Reading::Text][..],
            _ => &[Reading::Truth, Reading::Number, Reading::Text],
        };
        match readings.iter().find(|reading| self.reads(**reading)) {
            Some(reading) => Ok((reading.kind(), Some(format!("comes as {words}")))),
            None => Err(format!(
                "comes as {words}: no type of column takes them all"
            )),
        }
    }

    fn object(&self, path: &str) -> String {
        let is_value = |(key, kind): &(&String, &&str)| {
            !key.contains('/') && !["array", "object"].contains(*kind)
        };
        let first = self.inside.iter().find(is_value);
        let first = first.map_or(String::new(), |(key, _)| {
            format!("; a column reads one of them with the path {path}/{key}")
        });
        format!("an object{}{first}", self.told_inside())
    }

    fn list(&self, path: &str) -> String {
        let elements = if self.inside.contains_key("") {
            format!(" of {}", self.inside[""])
        } else {
            self.told_inside()
        };
        format!(
            "a list{elements}; `then_each: {path}[*]` in a rule of its own makes a row of each element"
        )
    }

    fn told_inside(&self) -> String {
        let fields = self.inside.iter().filter(|(key, _)| !key.is_empty());
        let fields: Vec<_> = fields
            .map(|(key, kind)| format!("{key} ({kind})"))
            .collect();
        if fields.is_empty() {
            String::new()
        } else {
            format!(" with the fields {}", fields.join(", "))
        }
    }
}

/// Words of a key that say that its value is an instant.
const TIME_WORDS: [&str; 14] = [
    "at",
    "ts",
    "timestamp",
    "created",
    "updated",
    "modified",
    "published",
    "expires",
    "expired",
    "expire",
    "since",
    "until",
    "start",
    "end",
];

/// Last words of a key that say that its value is no number, whatever digits it has.
const ID_WORDS: [&str; 9] = [
    "ids", "no", "code", "number", "phone", "mobile", "zip", "version", "token",
];

impl Reading {
    fn kind(self) -> ColumnType {
        match self {
            Reading::Truth => ColumnType::Bool,
            Reading::Whole | Reading::Count => ColumnType::Int64,
            Reading::Number => ColumnType::Float64,
            Reading::Seconds | Reading::Milliseconds | Reading::Iso8601 => ColumnType::Timestamp,
            Reading::Text => ColumnType::String,
        }
    }

    /// Returns the mapping of a field that is 0 or empty where it has no value.
    fn mapping(self, zeros: bool, empty: bool) -> Mapping {
        let is_time = self.kind() == ColumnType::Timestamp;
        Mapping {
            unit: match self {
                Reading::Seconds => Some(Unit::S),
                Reading::Milliseconds => Some(Unit::Ms),
                Reading::Iso8601 => Some(Unit::Iso8601),
                _ => None,
            },
            form: (self == Reading::Count).then_some(Form::Count),
            zero_is_null: zeros && is_time && self != Reading::Iso8601,
            empty_is_null: empty && (is_time || self == Reading::Count),
            ..Mapping::default()
        }
    }
}

fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// A value as the walk of a page captures it.
fn scalar(value: &Value) -> Scalar<'_> {
    match value {
        Value::Null => Scalar::Absent,
        Value::Bool(value) => Scalar::Bool(*value),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Scalar::Int(number),
            (None, Some(number)) => Scalar::Uint(number),
            (None, None) => Scalar::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => Scalar::Text(text),
        Value::Array(_) => Scalar::Nested("array"),
        Value::Object(_) => Scalar::Nested("object"),
    }
}
