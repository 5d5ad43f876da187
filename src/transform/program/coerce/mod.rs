//! Converts a JSON value to a column's value, or returns the reason why it does not fit.
//!
//! A value that does not fit is *bad*. It is never rounded, truncated or guessed.

pub mod html;
pub mod instants;
pub mod numbers;
pub mod texts;

use std::borrow::Cow;
use std::collections::HashMap;

use chrono::{DateTime, Utc};
use indexmap::IndexMap;
use regex::Regex;
use serde_json::value::RawValue;

use crate::spec::blank::is_blank;
use crate::spec::source::{Form, Mapping, Unit};
use crate::spec::table::ColumnType;
use crate::transform::page::captures::{Scalar, SlotPlace, number_type};
use crate::transform::page::repair::is_exact_integer;
use crate::transform::program::coerce::html::html_text;
use crate::transform::program::coerce::instants::instant;
use crate::transform::program::coerce::numbers::{boolean, count, finite, float, integer, is_zero};
use crate::transform::program::coerce::texts::url;
use crate::transform::program::conditions::Alternatives;
use crate::transform::program::value::{BadReason, Cell};

pub use crate::transform::program::coerce::texts::hashtags;

/// One way to get a column's value.
#[derive(Debug)]
pub struct Read {
    pub origin: Origin,
    pub convert: Convert,
    /// Conditions of the mapping. If they do not hold, there is no value.
    pub when: Alternatives,
    /// Path of the value in the answer, as in drift. Empty if there is none.
    pub path: String,
    /// Fields that the value is derived from. A search that does not ask for all of them gives no
    /// value.
    pub all_of_fields: Vec<String>,
}

impl Read {
    /// Returns the slot of the value and its conversion, if it depends on nothing else, and a value of
    /// the column's type is not changed.
    pub fn direct(&self) -> Option<(SlotPlace, &Convert)> {
        match self.origin {
            Origin::Value(place)
                if self.convert.is_plain
                    && self.when.is_empty()
                    && self.all_of_fields.is_empty() =>
            {
                Some((place, &self.convert))
            }
            _ => None,
        }
    }
}

/// Origin of a value.
#[derive(Debug)]
pub enum Origin {
    Value(SlotPlace),
    /// A slot in the frame of one list element. The element's index is a captured value.
    Pick {
        depth: usize,
        list: usize,
        index: SlotPlace,
        slot: usize,
    },
    Last(LastItem),
    /// BLAKE3 of these texts.
    Hash(Vec<SlotPlace>),
    Constant(String),
    Index,
    IndexEquals(SlotPlace),
    Key,
    Exploded,
    /// True if an element of a list is this text.
    Has {
        depth: usize,
        list: usize,
        slot: usize,
        /// True if there is a list.
        present: SlotPlace,
        text: String,
    },
}

/// A slot in the frame of the last list element with a valid value that matches.
#[derive(Debug)]
pub struct LastItem {
    pub depth: usize,
    pub list: usize,
    pub slot: usize,
    pub item_when: Alternatives,
}

/// Conversion of a value to a column.
#[derive(Debug)]
pub struct Convert {
    kind: ColumnType,
    unit: Option<Unit>,
    form: Option<Form>,
    zero_is_null: bool,
    empty_is_null: bool,
    /// JSON pointer into a text that contains JSON.
    json: Option<String>,
    pattern: Option<Pattern>,
    template: Option<Template>,
    values: Option<IndexMap<String, String>>,
    otherwise: Option<String>,
    scale: Option<f64>,
    within_window: bool,
    /// True if the column holds ids. A blank text is not an id.
    is_id: bool,
    /// True if a text, an integer or a boolean of the column's type is the value as it is, unless
    /// [`Convert::is_null`] says that it is null.
    is_plain: bool,
}

/// A pattern and the number of the group whose text is the value.
#[derive(Debug)]
struct Pattern {
    regex: Regex,
    group: usize,
}

/// The literal texts around and between the placeholders of the value.
#[derive(Debug)]
struct Template(Vec<String>);

impl Convert {
    /// # Errors
    /// The mapping is invalid, or invalid for a column of this type.
    pub fn compile(mapping: &Mapping, kind: ColumnType) -> Result<Self, String> {
        let group = mapping.group.as_deref().unwrap_or(GROUP);
        let pattern = match &mapping.pattern {
            Some(text) => Some(Pattern::new(text, group)?),
            None if mapping.group.is_some() => return Err("`group` needs a `pattern`".into()),
            None => None,
        };
        let template = mapping.template.as_deref().map(Template::new).transpose()?;
        if mapping.form == Some(Form::Url) && kind != ColumnType::String {
            return Err("`as: url` is for string columns".into());
        }
        if let Some(pointer) = &mapping.json
            && !(pointer.is_empty() || pointer.starts_with('/'))
        {
            return Err(format!(
                "`{pointer}` is not a path into the JSON of a text; begin it with /"
            ));
        }
        if kind == ColumnType::Timestamp && mapping.unit.is_none() {
            return Err("an instant needs `unit: s`, `ms` or `iso8601`".into());
        }
        if mapping.within_window && (kind != ColumnType::Bool || mapping.unit.is_none()) {
            return Err("`within_window` makes a bool of an instant with a `unit`".into());
        }
        Ok(Convert {
            kind,
            unit: mapping.unit,
            form: mapping.form,
            zero_is_null: mapping.zero_is_null,
            empty_is_null: mapping.empty_is_null,
            json: mapping.json.clone(),
            pattern,
            template,
            values: mapping.values.clone(),
            otherwise: mapping.otherwise.clone(),
            scale: mapping.scale,
            within_window: mapping.within_window,
            is_id: false,
            is_plain: mapping.json.is_none()
                && mapping.pattern.is_none()
                && mapping.template.is_none()
                && mapping.values.is_none()
                && mapping.form.is_none()
                && !mapping.within_window,
        })
    }

    /// Returns the same conversion with `is_id` set.
    pub fn of_ids(self, is_id: bool) -> Self {
        Convert { is_id, ..self }
    }

    pub fn is_id(&self) -> bool {
        self.is_id
    }

    /// Returns the JSON types that the mapping expects. A value of another type may still be read,
    /// but is drift.
    pub fn expects(&self) -> Types {
        if self.pattern.is_some() || self.values.is_some() || self.json.is_some() {
            return Types::STRING;
        }
        if self.within_window || self.kind == ColumnType::Timestamp {
            return match self.unit {
                Some(Unit::Iso8601) => Types::STRING,
                _ => Types::INTEGER,
            };
        }
        match (self.kind, self.form) {
            (ColumnType::String, Some(Form::Text)) | (ColumnType::Int64, Some(Form::Count)) => {
                Types::INTEGER.or(Types::STRING)
            }
            (ColumnType::Int64, _) => Types::INTEGER,
            (ColumnType::Float64, _) => Types::INTEGER.or(Types::NUMBER),
            (ColumnType::Bool, _) => Types::BOOLEAN,
            _ => Types::STRING,
        }
    }

    /// Returns the cell of a value, or `None` if it has none. `window` is the beginning of the time
    /// window that the search asked for.
    ///
    /// # Errors
    /// The value does not fit the column.
    pub fn apply<'a>(
        &'a self,
        value: Scalar<'a>,
        window: Option<DateTime<Utc>>,
    ) -> Result<Option<Cell<'a>>, BadReason> {
        if let Some(pointer) = &self.json {
            return self.inside(value, pointer, window);
        }
        if let Some(values) = &self.values {
            return self.look_up(value, values);
        }
        if let Some(pattern) = &self.pattern {
            return match value {
                Scalar::Absent => Ok(None),
                Scalar::Text(text) => match pattern.find(text) {
                    Some(found) => self.typed(Scalar::Text(found), window),
                    None => Ok(None),
                },
                _ => Err("not a text"),
            };
        }
        self.typed(value, window)
    }

    /// Returns the cell of the value at `pointer` in a text that contains JSON.
    fn inside<'a>(
        &self,
        value: Scalar<'a>,
        pointer: &str,
        window: Option<DateTime<Utc>>,
    ) -> Result<Option<Cell<'a>>, BadReason> {
        let text = match value {
            Scalar::Absent | Scalar::Text("") => return Ok(None),
            Scalar::Text(text) => text,
            _ => return Err("not a text"),
        };
        let found = value_at(text, pointer).map_err(|_| "not JSON inside a text")?;
        let json = found.map_or("null", RawValue::get);
        let unescaped: String;
        let scalar = match json.as_bytes().first() {
            None | Some(b'n') => Scalar::Absent,
            Some(b't') => Scalar::Bool(true),
            Some(b'f') => Scalar::Bool(false),
            Some(b'[') => Scalar::Nested("array"),
            Some(b'{') => Scalar::Nested("object"),
            Some(b'"') => {
                unescaped = serde_json::from_str(json).map_err(|_| "not JSON inside a text")?;
                Scalar::Text(&unescaped)
            }
            Some(_) => match (json.parse(), json.parse()) {
                _ if !is_exact_integer(json) => Scalar::Number(json),
                (Ok(number), _) => Scalar::Int(number),
                (Err(_), Ok(number)) => Scalar::Uint(number),
                (Err(_), Err(_)) => Scalar::Number(json),
            },
        };
        let cell = self.typed(scalar, window)?;
        Ok(cell.map(Cell::into_owned))
    }

    fn look_up<'a>(
        &'a self,
        value: Scalar<'a>,
        values: &'a IndexMap<String, String>,
    ) -> Result<Option<Cell<'a>>, BadReason> {
        let word = match value {
            Scalar::Absent => None,
            other => Some(as_text(other)?),
        };
        let ours = word
            .and_then(|w| values.get(w.as_ref()))
            .or(self.otherwise.as_ref());
        ours.map_or(Ok(None), |ours| self.typed(Scalar::Text(ours), None))
    }

    fn typed<'a>(
        &self,
        value: Scalar<'a>,
        window: Option<DateTime<Utc>>,
    ) -> Result<Option<Cell<'a>>, BadReason> {
        if self.is_null(value) {
            return Ok(None);
        }
        if self.within_window {
            let Some(begin) = window else { return Ok(None) };
            let at = instant(value, self.unit)?;
            return Ok(Some(Cell::Bool(at >= begin.timestamp_micros())));
        }
        let cell = match self.kind {
            ColumnType::String => Cell::Text(self.text(value)?),
            ColumnType::Int64 if self.form == Some(Form::Count) => Cell::Int(count(value)?),
            ColumnType::Int64 => Cell::Int(integer(value)?),
            ColumnType::Float64 => {
                let number = float(value)? * self.scale.unwrap_or(1.0);
                Cell::Float(finite(number)?)
            }
            ColumnType::Bool => Cell::Bool(boolean(value)?),
            ColumnType::Timestamp => Cell::Instant(instant(value, self.unit)?),
            ColumnType::Date => return Err("dates are not read from answers"),
        };
        Ok(Some(cell))
    }

    /// Returns whether a value means that there is none.
    pub fn is_null(&self, value: Scalar<'_>) -> bool {
        match value {
            Scalar::Absent => true,
            Scalar::Int(0) => self.zero_is_null,
            Scalar::Float(number) => self.zero_is_null && number == 0.0,
            Scalar::Number(text) => self.zero_is_null && is_zero(text),
            Scalar::Text(text) => {
                (self.empty_is_null && is_blank(text))
                    || (self.zero_is_null && text == "0")
                    || (self.is_id && is_blank(text))
            }
            _ => false,
        }
    }

    fn text<'a>(&self, value: Scalar<'a>) -> Result<Cow<'a, str>, BadReason> {
        let text = as_text(value)?;
        let text = match self.form {
            Some(Form::HtmlText) => Cow::Owned(html_text(&text)?),
            Some(Form::Url) => url(text)?,
            _ => text,
        };
        Ok(match &self.template {
            Some(Template(parts)) => Cow::Owned(parts.join(&text)),
            None => text,
        })
    }
}

impl Pattern {
    fn new(text: &str, group: &str) -> Result<Self, String> {
        let regex = Regex::new(text).map_err(|e| format!("the pattern is wrong: {e}"))?;
        let at = regex.capture_names().position(|name| name == Some(group));
        match at {
            Some(group) => Ok(Pattern { regex, group }),
            None => Err(format!("the pattern has no group (?<{group}>…)")),
        }
    }

    fn find<'t>(&self, text: &'t str) -> Option<&'t str> {
        Some(self.regex.captures(text)?.get(self.group)?.as_str())
    }
}

impl Template {
    fn new(text: &str) -> Result<Self, String> {
        let parts: Vec<String> = text.split("{value}").map(str::to_owned).collect();
        match parts.len() {
            1 => Err("a template needs {value} in the place of the value".to_owned()),
            _ => Ok(Template(parts)),
        }
    }
}

/// Returns the value at a JSON pointer, as written in `json`.
fn value_at<'j>(json: &'j str, pointer: &str) -> Result<Option<&'j RawValue>, serde_json::Error> {
    let mut value: &RawValue = serde_json::from_str(json)?;
    for token in pointer.split('/').skip(1) {
        let key = token.replace("~1", "/").replace("~0", "~");
        let found = match value.get().as_bytes().first() {
            Some(b'{') => {
                let mut members: HashMap<String, &RawValue> = serde_json::from_str(value.get())?;
                members.remove(&key)
            }
            Some(b'[') => {
                let elements: Vec<&RawValue> = serde_json::from_str(value.get())?;
                let is_index = key == "0" || !key.starts_with(['0', '+']);
                let index = key.parse::<usize>().ok().filter(|_| is_index);
                index.and_then(|index| elements.get(index).copied())
            }
            _ => None,
        };
        let Some(found) = found else { return Ok(None) };
        value = found;
    }
    Ok(Some(value))
}

/// A set of JSON types of scalars.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Types(u8);

impl Types {
    pub const STRING: Types = Types(1);
    pub const INTEGER: Types = Types(2);
    pub const NUMBER: Types = Types(4);
    pub const BOOLEAN: Types = Types(8);

    pub fn or(self, other: Types) -> Types {
        Types(self.0 | other.0)
    }

    /// Returns whether a value is of one of these types. Null matches any set.
    pub fn has(self, value: &Scalar<'_>) -> bool {
        let of = match value {
            Scalar::Absent => return true,
            Scalar::Text(_) => Types::STRING,
            Scalar::Int(_) | Scalar::Uint(_) => Types::INTEGER,
            Scalar::Float(_) => Types::NUMBER,
            Scalar::Number(text) if number_type(text) == "integer" => Types::INTEGER,
            Scalar::Number(_) => Types::NUMBER,
            Scalar::Bool(_) => Types::BOOLEAN,
            Scalar::Nested(_) => return false,
        };
        self.0 & of.0 != 0
    }
}

/// Returns whether a flag is set. False, 0, null, a blank text, and the texts `0`, `false` and `no`
/// are not set.
pub fn is_set(value: Scalar<'_>) -> bool {
    match value {
        Scalar::Absent => false,
        Scalar::Bool(truth) => truth,
        Scalar::Int(number) => number != 0,
        Scalar::Uint(_) | Scalar::Nested(_) => true,
        Scalar::Float(number) => number != 0.0,
        Scalar::Number(text) => !is_zero(text),
        Scalar::Text(text) => {
            let word = text.trim();
            let is = |unset: &&str| word.eq_ignore_ascii_case(unset);
            !is_blank(text) && !["0", "false", "no"].iter().any(is)
        }
    }
}

/// Default name of the group that holds a pattern's value.
const GROUP: &str = "value";

/// Returns a text, or the digits of an integer. Providers send the same id as a number and as text.
pub fn as_text(value: Scalar<'_>) -> Result<Cow<'_, str>, BadReason> {
    match value {
        Scalar::Text(text) => Ok(Cow::Borrowed(text)),
        Scalar::Int(number) => Ok(Cow::Owned(number.to_string())),
        Scalar::Uint(number) => Ok(Cow::Owned(number.to_string())),
        Scalar::Number(text) if number_type(text) == "integer" => Ok(Cow::Borrowed(text)),
        _ => Err("not a text"),
    }
}
