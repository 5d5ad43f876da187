//! Infers the type of a field from its values. A reading is valid only if the transform would
//! accept every value seen.

use std::collections::BTreeMap;

use serde_json::Value;

use super::places::snake_case;
use crate::spec::source::{Form, Mapping, Unit};
use crate::spec::table::ColumnType;
use crate::transform::page::captures::Scalar;
use crate::transform::program::coerce::Convert;
use crate::transform::quality::reject::fragment;

/// Statistics of the values seen in a field.
#[derive(Debug)]
pub struct Seen {
    types: BTreeMap<&'static str, u64>,
    /// Readings that accept every value.
    readings: Vec<(Reading, Convert)>,
    zeros: bool,
    ones: bool,
    /// True if there is a number other than 0 and 1, or a text other than `0` and the empty text.
    others: bool,
    empty: bool,
    filled: bool,
    /// True if a text of digits has leading zeros, which a number would lose.
    leading_zeros: bool,
    /// True if a text is a decimal such as `4.5`, which is not a count.
    decimals: bool,
    /// True if a text is not only digits, such as `1.2万` or `1,234`.
    shortened: bool,
    examples: Vec<String>,
    /// Keys of objects and elements of lists, with their JSON types.
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
    /// Note for the user.
    pub note: Option<String>,
}

const MOST_EXAMPLES: usize = 3;

/// Maximum number of fields of an object that are listed.
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

    /// Returns the type that fits the field at this path best.
    ///
    /// # Errors
    /// The reason why the field cannot be a column.
    pub fn guess(&self, key: &str, path: &str) -> Result<Guess, String> {
        let types: Vec<&str> = self.json_types().collect();
        let (kind, note) = match types.as_slice() {
            [] => return Err("always null so far, so its type is unknown".to_owned()),
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

    /// Returns the mapping for a column of this type, or `None` if it would not accept every value
    /// seen.
    pub fn read_as(&self, kind: ColumnType, key: &str) -> Option<Mapping> {
        let is_time = self.is_time(key);
        let fits = |reading: &&Reading| {
            let makes_sense = match reading {
                Reading::Seconds | Reading::Milliseconds => is_time,
                Reading::Iso8601 => self.filled,
                // Digits as text may be shortened counts in later answers.
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

    /// Returns the JSON types of the values, except null.
    fn json_types(&self) -> impl Iterator<Item = &'static str> {
        self.types.keys().copied().filter(|kind| *kind != "null")
    }

    /// Returns whether the key names an instant. Without the key, any large number could be one.
    fn is_time(&self, key: &str) -> bool {
        let is_word = |word: &str| {
            TIME_WORDS.contains(&word) || word.ends_with("time") || word.ends_with("date")
        };
        self.others && snake_case(key).split('_').any(is_word)
    }

    /// Returns whether texts of digits are counts and not the digits of an id.
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

    /// Infers the type of a field with values of several JSON types.
    fn mixed(&self, types: &[&str]) -> Result<(ColumnType, Option<String>), String> {
        let words = types.join(" and ");
        let readings = match types {
            // Digits that are sometimes text may be an id, which a float would round.
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

/// Words of a key that mark its value as an instant.
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

/// Last words of a key that mark its value as not a number, even if it has only digits.
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

    /// Returns the mapping for this reading. `zeros` is true if 0 occurs in place of a value, and
    /// `empty` if an empty text does.
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

/// Returns a value as the walk of a page captures it.
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
