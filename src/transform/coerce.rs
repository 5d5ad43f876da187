//! From a JSON value to a column's value, or the reason why there is none.
//!
//! A value that does not fit is *bad*: it is never rounded, cut or guessed.

use std::borrow::Cow;
use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use html2text::render::TrivialDecorator;
use indexmap::IndexMap;
use memchr::memchr2;
use regex::Regex;
use serde_json::Value;

use super::captures::Scalar;
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
    /// The place of the value in the answer, as drift names it; empty where there is none.
    pub path: String,
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
    /// A pointer into the JSON that a text holds.
    json: Option<String>,
    pattern: Option<Pattern>,
    template: Option<Template>,
    values: Option<IndexMap<String, String>>,
    otherwise: Option<String>,
    scale: Option<f64>,
    within_window: bool,
}

/// A pattern and the number of the group whose text counts.
#[derive(Debug)]
struct Pattern {
    regex: Regex,
    group: usize,
}

/// The texts around and between the places where the value goes.
#[derive(Debug)]
struct Template(Vec<String>);

impl Convert {
    /// # Errors
    /// What makes no sense for a column of this type.
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
                "`{pointer}` is no path into the JSON of a text; it begins with /"
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
        })
    }

    /// The JSON types that a value of this mapping is expected to have; another one may still be
    /// read, but is drift.
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

    /// The cell of a value, `None` where it has none. `window` is the beginning of the time
    /// window that the search asked for.
    ///
    /// # Errors
    /// The value does not fit the column.
    pub fn apply<'a>(
        &'a self,
        value: Scalar<'a>,
        window: Option<DateTime<Utc>>,
    ) -> Result<Option<Cell<'a>>, Bad> {
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

    /// The value at `pointer` in the JSON that a text holds.
    fn inside<'a>(
        &self,
        value: Scalar<'a>,
        pointer: &str,
        window: Option<DateTime<Utc>>,
    ) -> Result<Option<Cell<'a>>, Bad> {
        let text = match value {
            Scalar::Absent | Scalar::Text("") => return Ok(None),
            Scalar::Text(text) => text,
            _ => return Err("not a text"),
        };
        let json: Value = serde_json::from_str(text).map_err(|_| "not JSON inside a text")?;
        let scalar = match json.pointer(pointer) {
            None | Some(Value::Null) => Scalar::Absent,
            Some(Value::Bool(value)) => Scalar::Bool(*value),
            Some(Value::String(text)) => Scalar::Text(text),
            Some(Value::Number(number)) => match (number.as_i64(), number.as_u64()) {
                (Some(number), _) => Scalar::Int(number),
                (None, Some(number)) => Scalar::Uint(number),
                (None, None) => number.as_f64().map_or(Scalar::Absent, Scalar::Float),
            },
            Some(Value::Array(_)) => Scalar::Nested("array"),
            Some(Value::Object(_)) => Scalar::Nested("object"),
        };
        let cell = self.typed(scalar, window)?;
        Ok(cell.map(Cell::into_owned))
    }

    fn look_up<'a>(
        &'a self,
        value: Scalar<'a>,
        values: &'a IndexMap<String, String>,
    ) -> Result<Option<Cell<'a>>, Bad> {
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

    fn is_null(&self, value: Scalar<'_>) -> bool {
        match value {
            Scalar::Absent => true,
            Scalar::Int(0) => self.zero_is_null,
            Scalar::Float(number) => self.zero_is_null && number == 0.0,
            Scalar::Text(text) => {
                (self.empty_is_null && text.is_empty()) || (self.zero_is_null && text == "0")
            }
            _ => false,
        }
    }

    fn text<'a>(&self, value: Scalar<'a>) -> Result<Cow<'a, str>, Bad> {
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
            1 => Err("a template says {value} where the value goes".to_owned()),
            _ => Ok(Template(parts)),
        }
    }
}

impl Cell<'_> {
    pub fn into_owned(self) -> Cell<'static> {
        match self {
            Cell::Text(text) => Cell::Text(Cow::Owned(text.into_owned())),
            Cell::Int(value) => Cell::Int(value),
            Cell::Float(value) => Cell::Float(value),
            Cell::Bool(value) => Cell::Bool(value),
            Cell::Instant(value) => Cell::Instant(value),
            Cell::Date(value) => Cell::Date(value),
        }
    }
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

    /// Whether a value is of one of these types; null is of any.
    pub fn has(self, value: &Scalar<'_>) -> bool {
        let of = match value {
            Scalar::Absent => return true,
            Scalar::Text(_) => Types::STRING,
            Scalar::Int(_) | Scalar::Uint(_) => Types::INTEGER,
            Scalar::Float(_) => Types::NUMBER,
            Scalar::Bool(_) => Types::BOOLEAN,
            Scalar::Nested(_) => return false,
        };
        self.0 & of.0 != 0
    }
}

/// Name of the group that a pattern's value stands in, if the mapping names no other.
const GROUP: &str = "value";

/// Text, or an integer's digits: providers have sent the same id as a number and as text.
pub fn as_text(value: Scalar<'_>) -> Result<Cow<'_, str>, Bad> {
    match value {
        Scalar::Text(text) => Ok(Cow::Borrowed(text)),
        Scalar::Int(number) => Ok(Cow::Owned(number.to_string())),
        Scalar::Uint(number) => Ok(Cow::Owned(number.to_string())),
        _ => Err("not a text"),
    }
}

/// A whole number, also as digits in a text, also as `5.0`.
fn integer(value: Scalar<'_>) -> Result<i64, Bad> {
    match value {
        Scalar::Int(number) => Ok(number),
        // Up to 2^53 a float that is whole is exact.
        Scalar::Float(number)
            if number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_992.0 =>
        {
            Ok(number as i64)
        }
        Scalar::Text(text) => text.trim().parse().map_err(|_| "not a whole number"),
        Scalar::Uint(_) => Err("too large"),
        _ => Err("not a whole number"),
    }
}

fn float(value: Scalar<'_>) -> Result<f64, Bad> {
    match value {
        Scalar::Int(number) => Ok(number as f64),
        Scalar::Uint(number) => Ok(number as f64),
        Scalar::Float(number) => Ok(number),
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

fn boolean(value: Scalar<'_>) -> Result<bool, Bad> {
    match value {
        Scalar::Bool(value) => Ok(value),
        Scalar::Int(0) => Ok(false),
        Scalar::Int(1) => Ok(true),
        Scalar::Text(text) => text.parse().map_err(|_| "not a truth value"),
        _ => Err("not a truth value"),
    }
}

/// A count, possibly shortened: `1.2万` is 12,000, `10万+` at least 100,000, `1,234` is 1,234.
fn count(value: Scalar<'_>) -> Result<i64, Bad> {
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
fn instant(value: Scalar<'_>, unit: Option<Unit>) -> Result<i64, Bad> {
    let at = match (unit, value) {
        (Some(Unit::Iso8601), Scalar::Text(text)) => iso8601(text)?,
        (Some(Unit::Iso8601), _) => return Err(NO_ISO8601),
        (Some(Unit::S), value) => integer(value)?.checked_mul(1_000_000).ok_or(OUT_OF_RANGE)?,
        (_, value) => integer(value)?.checked_mul(1_000).ok_or(OUT_OF_RANGE)?,
    };
    if (YEAR_1990..YEAR_2100).contains(&at) {
        Ok(at)
    } else {
        Err(OUT_OF_RANGE)
    }
}

/// 1990-01-01 and 2100-01-01, in microseconds since 1970.
const YEAR_1990: i64 = 631_152_000 * 1_000_000;
const YEAR_2100: i64 = 4_102_444_800 * 1_000_000;
const OUT_OF_RANGE: Bad = "not a time from 1990 to 2099";
const NO_ISO8601: Bad = "not an ISO 8601 time with offset";

/// RFC 3339, and what ISO 8601 allows besides: an offset without colon (`+0800`), no seconds. A
/// time without an offset could be anybody's, and is none.
fn iso8601(text: &str) -> Result<i64, Bad> {
    let text = text.trim();
    let at = DateTime::parse_from_rfc3339(text).or_else(|_| {
        let forms = [
            "%Y-%m-%dT%H:%M:%S%.f%#z",
            "%Y-%m-%d %H:%M:%S%.f%#z",
            "%Y-%m-%dT%H:%M%#z",
        ];
        let mut parsed = forms
            .iter()
            .map(|form| DateTime::parse_from_str(text, form));
        parsed.find(Result::is_ok).unwrap_or_else(|| {
            // Any form's error will do.
            DateTime::parse_from_rfc3339(text)
        })
    });
    Ok(at.map_err(|_| NO_ISO8601)?.timestamp_micros())
}

/// An address: a scheme and something after it, without spaces. One that begins with `//` is
/// https, as in a web page.
fn url(text: Cow<'_, str>) -> Result<Cow<'_, str>, Bad> {
    let rest = match text.split_once(':') {
        _ if text.starts_with("//") => &text[2..],
        Some((scheme, rest)) if is_scheme(scheme) => rest.trim_start_matches('/'),
        _ => return Err("not a URL"),
    };
    if rest.is_empty()
        || text
            .bytes()
            .any(|b| b.is_ascii_whitespace() || b.is_ascii_control())
    {
        return Err("not a URL");
    }
    match text.starts_with("//") {
        true => Ok(Cow::Owned(format!("https:{text}"))),
        false => Ok(text),
    }
}

/// RFC 3986, 3.1.
fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
}

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

/// The hashtags of a text, without `#`, in order: `#tag[话题]#` as the app writes a linked tag, or
/// `#tag` up to the first character that no tag has.
pub fn hashtags(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            // The full-width number sign begins with 0xEF.
            let at = memchr2(b'#', 0xEF, rest.as_bytes())?;
            rest = &rest[at..];
            let Some(after) = rest.strip_prefix(NUMBER_SIGNS) else {
                let mut chars = rest.chars();
                chars.next();
                rest = chars.as_str();
                continue;
            };
            let linked = after.find(|c: char| NUMBER_SIGNS.contains(&c) || ends_a_link(c));
            let linked = linked.filter(|end| *end > 0 && after[*end..].starts_with(LINKED));
            if let Some(end) = linked {
                let behind = &after[end + LINKED.len()..];
                rest = behind.strip_prefix(NUMBER_SIGNS).unwrap_or(behind);
                return Some(&after[..end]);
            }
            let end = after.find(|c| !is_of_tag(c)).unwrap_or(after.len());
            rest = &after[end..];
            if end > 0 {
                return Some(&after[..end]);
            }
        }
    })
}

const NUMBER_SIGNS: [char; 2] = ['#', '\u{FF03}'];
const LINKED: &str = "[话题]";

fn ends_a_link(c: char) -> bool {
    c.is_whitespace() || c == '[' || c == ']'
}

/// Letters, digits and marks of all scripts, and what stands in names of products.
fn is_of_tag(c: char) -> bool {
    static RARE: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"^[\p{L}\p{N}\p{M}·・]$").expect("a constant pattern"));
    match c {
        // Han, which most tags are.
        '\u{4E00}'..='\u{9FFF}' => true,
        c if c.is_ascii() => c.is_ascii_alphanumeric() || "_&+-".contains(c),
        c => RARE.is_match(c.encode_utf8(&mut [0; 4])),
    }
}
