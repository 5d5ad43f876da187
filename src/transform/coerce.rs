//! From a JSON value to a column's value, or the reason why there is none.
//!
//! A value that does not fit is *bad*: it is never rounded, cut or guessed.

use std::borrow::Cow;
use std::sync::LazyLock;

use chrono::{DateTime, Datelike, Utc};
use html2text::render::TrivialDecorator;
use indexmap::IndexMap;
use regex::Regex;

use super::decode::Scalar;
use crate::spec::source::{Form, Mapping, Unit};
use crate::spec::table::ColumnType;

/// A captured value: how many loops deep its frame is, and its slot there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    pub depth: usize,
    pub slot: usize,
}

/// One way to get a column's value.
#[derive(Debug)]
pub struct Read {
    pub origin: Origin,
    pub convert: Convert,
}

/// Where a value comes from.
#[derive(Debug)]
pub enum Origin {
    Value(Place),
    /// The element of a list whose number stands elsewhere, and a slot in its frame.
    Pick {
        depth: usize,
        list: usize,
        index: Place,
        slot: usize,
    },
    /// BLAKE3 of these texts.
    Hash(Vec<Place>),
    Constant(String),
    Index,
    IndexEquals(Place),
    Key,
    Exploded,
}

/// A column's value.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell<'a> {
    Text(Cow<'a, str>),
    Int(i64),
    Float(f64),
    Bool(bool),
    /// Microseconds since 1970, UTC.
    Instant(i64),
    /// Days since 1970.
    Date(i32),
}

/// Why a value has no cell.
pub type Bad = &'static str;

/// What becomes of a value on its way to a column.
#[derive(Debug)]
pub struct Convert {
    kind: ColumnType,
    unit: Option<Unit>,
    form: Option<Form>,
    zero_is_null: bool,
    empty_is_null: bool,
    pattern: Option<Regex>,
    template: Option<String>,
    values: Option<IndexMap<String, String>>,
    otherwise: Option<String>,
    scale: Option<f64>,
    within_window: bool,
}

impl Convert {
    /// # Errors
    /// What makes no sense for a column of this type.
    pub fn compile(mapping: &Mapping, kind: ColumnType) -> Result<Self, String> {
        let pattern = match &mapping.pattern {
            Some(text) => {
                let pattern = Regex::new(text).map_err(|e| format!("the pattern is wrong: {e}"))?;
                if !pattern.capture_names().flatten().any(|name| name == GROUP) {
                    return Err("the pattern has no group (?<value>…)".into());
                }
                Some(pattern)
            }
            None => None,
        };
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
            pattern,
            template: mapping.template.clone(),
            values: mapping.values.clone(),
            otherwise: mapping.otherwise.clone(),
            scale: mapping.scale,
            within_window: mapping.within_window,
        })
    }

    /// The cell of a value, `None` where it has none. `window` is the beginning of the time
    /// window that the search asked for.
    ///
    /// # Errors
    /// The value does not fit the column.
    pub fn apply<'a>(
        &self,
        value: &Scalar<'a>,
        window: Option<DateTime<Utc>>,
    ) -> Result<Option<Cell<'a>>, Bad> {
        if let Some(values) = &self.values {
            return self.look_up(value, values);
        }
        if let Some(pattern) = &self.pattern {
            return match value {
                Scalar::Absent => Ok(None),
                Scalar::Text(text) => {
                    let found = pattern
                        .captures(text)
                        .and_then(|c| Some(c.name(GROUP)?.as_str().to_owned()));
                    found.map_or(Ok(None), |found| {
                        self.typed(&Scalar::Text(Cow::Owned(found)), window)
                    })
                }
                _ => Err("not a text"),
            };
        }
        self.typed(value, window)
    }

    fn look_up<'a>(
        &self,
        value: &Scalar<'a>,
        values: &IndexMap<String, String>,
    ) -> Result<Option<Cell<'a>>, Bad> {
        let word = match value {
            Scalar::Absent => None,
            other => Some(as_text(other)?),
        };
        let ours = word
            .and_then(|w| values.get(w.as_ref()))
            .or(self.otherwise.as_ref());
        ours.map_or(Ok(None), |ours| {
            self.typed(&Scalar::Text(Cow::Owned(ours.clone())), None)
        })
    }

    fn typed<'a>(
        &self,
        value: &Scalar<'a>,
        window: Option<DateTime<Utc>>,
    ) -> Result<Option<Cell<'a>>, Bad> {
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
            ColumnType::Float64 => Cell::Float(float(value)? * self.scale.unwrap_or(1.0)),
            ColumnType::Bool => Cell::Bool(boolean(value)?),
            ColumnType::Timestamp => Cell::Instant(instant(value, self.unit)?),
            ColumnType::Date => return Err("dates are not read from answers"),
        };
        Ok(Some(cell))
    }

    fn is_null(&self, value: &Scalar<'_>) -> bool {
        match value {
            Scalar::Absent => true,
            Scalar::Int(0) => self.zero_is_null,
            Scalar::Float(number) => self.zero_is_null && *number == 0.0,
            Scalar::Text(text) => {
                (self.empty_is_null && text.is_empty()) || (self.zero_is_null && text == "0")
            }
            _ => false,
        }
    }

    fn text<'a>(&self, value: &Scalar<'a>) -> Result<Cow<'a, str>, Bad> {
        let text = as_text(value)?;
        let text = match self.form {
            Some(Form::HtmlText) => Cow::Owned(html_text(&text)?),
            _ => text,
        };
        Ok(match &self.template {
            Some(template) => Cow::Owned(template.replace("{value}", &text)),
            None => text,
        })
    }
}

/// Name of the group that a pattern's value stands in.
const GROUP: &str = "value";

/// Text, or an integer's digits: providers have sent the same id as a number and as text.
pub fn as_text<'a>(value: &Scalar<'a>) -> Result<Cow<'a, str>, Bad> {
    match value {
        Scalar::Text(text) => Ok(text.clone()),
        Scalar::Int(number) => Ok(Cow::Owned(number.to_string())),
        Scalar::Uint(number) => Ok(Cow::Owned(number.to_string())),
        _ => Err("not a text"),
    }
}

/// A whole number, also as digits in a text, also as `5.0`.
fn integer(value: &Scalar<'_>) -> Result<i64, Bad> {
    match value {
        Scalar::Int(number) => Ok(*number),
        // Up to 2^53 a float that is whole is exact.
        Scalar::Float(number)
            if number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_992.0 =>
        {
            Ok(*number as i64)
        }
        Scalar::Text(text) => text.trim().parse().map_err(|_| "not a whole number"),
        Scalar::Uint(_) => Err("too large"),
        _ => Err("not a whole number"),
    }
}

fn float(value: &Scalar<'_>) -> Result<f64, Bad> {
    match value {
        Scalar::Int(number) => Ok(*number as f64),
        Scalar::Uint(number) => Ok(*number as f64),
        Scalar::Float(number) => Ok(*number),
        Scalar::Text(text) => {
            let number = text.trim().parse::<f64>().map_err(|_| "not a number")?;
            if number.is_finite() {
                Ok(number)
            } else {
                Err("not a number")
            }
        }
        _ => Err("not a number"),
    }
}

fn boolean(value: &Scalar<'_>) -> Result<bool, Bad> {
    match value {
        Scalar::Bool(value) => Ok(*value),
        Scalar::Int(0) => Ok(false),
        Scalar::Int(1) => Ok(true),
        Scalar::Text(text) => text.parse().map_err(|_| "not a truth value"),
        _ => Err("not a truth value"),
    }
}

/// A count, possibly shortened: `1.2万` is 12,000, `10万+` at least 100,000, `1,234` is 1,234.
fn count(value: &Scalar<'_>) -> Result<i64, Bad> {
    match value {
        Scalar::Text(text) => parse_count(text).ok_or("not a count"),
        other => integer(other),
    }
}

/// Exact decimal arithmetic: `24.2万` must not become 241,999.
fn parse_count(text: &str) -> Option<i64> {
    // Full-width digits, comma, full stop and plus lie at a fixed distance from the plain ones.
    let half_width = |c: char| match c {
        '\u{FF10}'..='\u{FF19}' | '\u{FF0B}' | '\u{FF0C}' | '\u{FF0E}' => {
            char::from_u32(c as u32 - 0xFEE0).unwrap_or(c)
        }
        c => c,
    };
    let text: String = text
        .chars()
        .map(half_width)
        .filter(|c| !c.is_whitespace() && *c != ',')
        .collect();
    let text = text.strip_suffix('+').unwrap_or(&text);
    let (number, zeros) = match text.char_indices().next_back()? {
        (at, '千' | 'k' | 'K') => (&text[..at], 3),
        (at, '万' | 'w' | 'W') => (&text[..at], 4),
        (at, '亿') => (&text[..at], 8),
        _ => (text, 0),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) {
        return None;
    }
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > zeros {
        return None;
    }
    let padding = "0".repeat(zeros - fraction.len());
    format!("{whole}{fraction}{padding}").parse().ok()
}

/// Microseconds since 1970, for instants from 1990 to 2100.
fn instant(value: &Scalar<'_>, unit: Option<Unit>) -> Result<i64, Bad> {
    let at = match (unit, value) {
        (Some(Unit::Iso8601), Scalar::Text(text)) => DateTime::parse_from_rfc3339(text)
            .map_err(|_| "not an ISO 8601 time with offset")?
            .to_utc(),
        (Some(Unit::Iso8601), _) => return Err("not an ISO 8601 time with offset"),
        (Some(Unit::S), value) => {
            DateTime::from_timestamp(integer(value)?, 0).ok_or(OUT_OF_RANGE)?
        }
        (_, value) => DateTime::from_timestamp_millis(integer(value)?).ok_or(OUT_OF_RANGE)?,
    };
    if (1990..2100).contains(&at.year()) {
        Ok(at.timestamp_micros())
    } else {
        Err(OUT_OF_RANGE)
    }
}

const OUT_OF_RANGE: Bad = "not a time from 1990 to 2099";

/// The text of an HTML fragment, a line for each block.
fn html_text(html: &str) -> Result<String, Bad> {
    // Laying deeply nested elements out takes time without bound.
    if html.len() > MOST_HTML || nesting(html) > DEEPEST_HTML {
        return Err("HTML that is too large or too deeply nested");
    }
    // Without the brackets and number signs that other decorators put around links and headings.
    let text = html2text::config::with_decorator(TrivialDecorator::new())
        .no_link_wrapping()
        .no_table_borders()
        .string_from_read(html.as_bytes(), LONG_LINE)
        .map_err(|_| "not HTML")?;
    Ok(text.trim_end().to_owned())
}

/// Bytes of HTML that are turned into text at most; a note has at most some thousand characters.
const MOST_HTML: usize = 1 << 20;
const DEEPEST_HTML: usize = 100;

/// How many elements are open at once at most. Those that need no closing tag do not count.
fn nesting(html: &str) -> usize {
    let light = ["br", "img", "hr", "p", "li"];
    let mut open = 0_usize;
    let mut deepest = 0;
    for tag in html.split('<').skip(1) {
        let closes = tag.starts_with('/');
        let name = tag.trim_start_matches('/');
        let end = name.find(|c: char| !c.is_ascii_alphanumeric());
        let name = name[..end.unwrap_or(name.len())].to_ascii_lowercase();
        match closes {
            _ if name.is_empty() || light.contains(&name.as_str()) => {}
            true => open = open.saturating_sub(1),
            false => open += 1,
        }
        deepest = deepest.max(open);
    }
    deepest
}

/// Wide enough that no line is wrapped.
const LONG_LINE: usize = 1 << 20;

/// `#tag[话题]#` as the app writes a linked tag, or `#tag` up to the first character that no tag
/// has.
static HASHTAG: LazyLock<Regex> = LazyLock::new(|| {
    let pattern =
        r"[#\x{FF03}](?:([^#\x{FF03}\s\[\]]+)\[话题\][#\x{FF03}]?|([\p{L}\p{N}\p{M}_·・&+\-]+))";
    Regex::new(pattern).expect("a constant pattern")
});

/// The hashtags of a text, without `#`, in order.
pub fn hashtags(text: &str) -> impl Iterator<Item = &str> {
    HASHTAG
        .captures_iter(text)
        .filter_map(|c| Some(c.get(1).or(c.get(2))?.as_str()))
}
