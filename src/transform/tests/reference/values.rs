//! From a JSON value to a cell, or the reason why it has none.

use std::sync::LazyLock;

use chrono::{DateTime, Datelike, Utc};
use html2text::render::TrivialDecorator;
use regex::Regex;
use serde_json::Value;

use super::Cell;
use crate::spec::source::{Form, Mapping, Unit};
use crate::spec::table::ColumnType;

type Bad = &'static str;

/// A mapping that is applied to a value.
pub struct Reading<'m> {
    pub mapping: &'m Mapping,
    pub kind: ColumnType,
    pub pattern: Option<&'m Regex>,
    /// Where the time window that the search asked for begins.
    pub window: Option<DateTime<Utc>>,
}

impl Reading<'_> {
    pub fn cell(&self, value: Option<&Value>) -> Result<Cell, Bad> {
        if let Some(words) = &self.mapping.values {
            let word = value.map(as_text).transpose()?;
            let ours = word.and_then(|word| words.get(&word));
            let ours = ours.or(self.mapping.otherwise.as_ref());
            return ours.map_or(Ok(Cell::Null), |ours| {
                self.typed(&Value::from(ours.as_str()))
            });
        }
        match (value, self.pattern) {
            (None, _) => Ok(Cell::Null),
            (Some(value), None) => self.typed(value),
            (Some(Value::String(text)), Some(pattern)) => match pattern.captures(text) {
                Some(found) => self.typed(&Value::from(&found["value"])),
                None => Ok(Cell::Null),
            },
            (Some(_), Some(_)) => Err("not a text"),
        }
    }

    fn typed(&self, value: &Value) -> Result<Cell, Bad> {
        let zero = value.as_f64() == Some(0.0) || value == "0";
        if (self.mapping.zero_is_null && zero) || (self.mapping.empty_is_null && value == "") {
            return Ok(Cell::Null);
        }
        if self.mapping.within_window {
            return match self.window {
                Some(begin) => {
                    let at = instant(value, self.mapping.unit)?;
                    Ok(Cell::Bool(at >= begin.timestamp_micros()))
                }
                None => Ok(Cell::Null),
            };
        }
        match (self.kind, self.mapping.form) {
            (ColumnType::String, form) => self.text(value, form).map(Cell::Text),
            (ColumnType::Int64, Some(Form::Count)) => count(value).map(Cell::Int),
            (ColumnType::Int64, _) => whole(value).map(Cell::Int),
            (ColumnType::Float64, _) => {
                let scale = self.mapping.scale.unwrap_or(1.0);
                Ok(Cell::Float(number(value)? * scale))
            }
            (ColumnType::Bool, _) => truth(value).map(Cell::Bool),
            (ColumnType::Timestamp, _) => instant(value, self.mapping.unit).map(Cell::Instant),
            (ColumnType::Date, _) => Err("dates are not read from answers"),
        }
    }

    fn text(&self, value: &Value, form: Option<Form>) -> Result<String, Bad> {
        let mut text = as_text(value)?;
        if form == Some(Form::HtmlText) {
            text = html_text(&text)?;
        }
        Ok(match &self.mapping.template {
            Some(template) => template.replace("{value}", &text),
            None => text,
        })
    }
}

/// A text, or the digits of an integer.
pub fn as_text(value: &Value) -> Result<String, Bad> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) if !number.is_f64() => Ok(number.to_string()),
        _ => Err("not a text"),
    }
}

fn whole(value: &Value) -> Result<i64, Bad> {
    const BAD: Bad = "not a whole number";
    const LARGEST: f64 = 9_007_199_254_740_991.0; // 2^53 - 1
    match value {
        Value::String(text) => text.trim().parse().map_err(|_| BAD),
        Value::Number(number) if number.is_f64() => {
            let float = number.as_f64().ok_or(BAD)?;
            let exact = float.trunc() == float && (-LARGEST..=LARGEST).contains(&float);
            exact.then_some(float as i64).ok_or(BAD)
        }
        Value::Number(number) => number.as_i64().ok_or("too large"),
        _ => Err(BAD),
    }
}

fn number(value: &Value) -> Result<f64, Bad> {
    let number = match value {
        Value::Number(number) if !number.is_f64() => {
            const EXACT: i128 = 1 << 53;
            let whole = number.as_i128().filter(|whole| whole.abs() <= EXACT);
            return whole.map(|whole| whole as f64).ok_or("too large");
        }
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    number
        .filter(|number| number.is_finite())
        .ok_or("not a number")
}

fn truth(value: &Value) -> Result<bool, Bad> {
    match value {
        Value::Bool(truth) => Ok(*truth),
        Value::Number(number) if number.as_i64() == Some(0) => Ok(false),
        Value::Number(number) if number.as_i64() == Some(1) => Ok(true),
        Value::String(text) if text == "true" => Ok(true),
        Value::String(text) if text == "false" => Ok(false),
        _ => Err("not a truth value"),
    }
}

fn count(value: &Value) -> Result<i64, Bad> {
    match value {
        Value::String(text) => count_in_words(text).ok_or("not a count"),
        other => whole(other),
    }
}

/// `1.2万+` is 12,000: the digits, as many zeros as the unit has, and as many digits less as stand
/// behind the point, which must be zeros.
fn count_in_words(text: &str) -> Option<i64> {
    let mut plain = String::new();
    for c in text.chars().filter(|c| !c.is_whitespace()) {
        match c {
            '\u{FF10}'..='\u{FF19}' => plain.push(char::from_digit(c as u32 - 0xFF10, 10)?),
            '\u{FF0B}' => plain.push('+'),
            '\u{FF0E}' => plain.push('.'),
            ',' | '\u{FF0C}' => {}
            c => plain.push(c),
        }
    }
    if plain.ends_with('+') {
        plain.pop();
    }
    let zeros = match plain.chars().last()? {
        '千' | 'k' | 'K' => 3,
        '万' | 'w' | 'W' => 4,
        '亿' => 8,
        _ => 0,
    };
    if zeros > 0 {
        plain.pop();
    }
    let (before, behind) = plain.split_once('.').unwrap_or((&plain, ""));
    let mut digits = format!("{before}{behind}");
    if before.is_empty() || !digits.chars().all(|c| c.is_ascii_digit()) {
        return None;
    }
    digits.push_str(&"0".repeat(zeros));
    for _ in behind.chars() {
        if digits.pop() != Some('0') {
            return None;
        }
    }
    digits.parse().ok()
}

/// Microseconds since 1970.
fn instant(value: &Value, unit: Option<Unit>) -> Result<i64, Bad> {
    let at = match unit {
        Some(Unit::Iso8601) => {
            let parsed = value.as_str().map(DateTime::parse_from_rfc3339);
            let parsed = parsed.and_then(Result::ok).map(|at| at.to_utc());
            Some(parsed.ok_or("not an ISO 8601 time with offset")?)
        }
        Some(Unit::S) => DateTime::from_timestamp(whole(value)?, 0),
        _ => DateTime::from_timestamp_millis(whole(value)?),
    };
    let at = at.filter(|at| at.year() >= 1990 && at.year() < 2100);
    at.map(|at| at.timestamp_micros())
        .ok_or("not a time from 1990 to 2099")
}

/// BLAKE3 of the texts, each after its length; nothing if there is none.
pub fn hash(texts: &[Option<String>]) -> Option<String> {
    let mut bytes = Vec::new();
    for text in texts {
        let text = text.as_deref().unwrap_or("");
        bytes.extend((text.len() as u64).to_le_bytes());
        bytes.extend(text.as_bytes());
    }
    let any = texts.iter().any(Option::is_some);
    any.then(|| blake3::hash(&bytes).to_hex().to_string())
}

fn html_text(html: &str) -> Result<String, Bad> {
    if html.len() > 1024 * 1024 || open_elements(html) > 100 {
        return Err("HTML that is too large or too deeply nested");
    }
    let text = html2text::config::with_decorator(TrivialDecorator::new())
        .no_link_wrapping()
        .no_table_borders()
        .string_from_read(html.as_bytes(), 1024 * 1024)
        .map_err(|_| "not HTML")?;
    Ok(text.trim_end().to_owned())
}

/// The most elements that are open at once, but for those that are often not closed.
fn open_elements(html: &str) -> i64 {
    let chars: Vec<char> = html.chars().collect();
    let (mut open, mut most) = (0_i64, 0);
    for (at, _) in chars.iter().enumerate().filter(|(_, c)| **c == '<') {
        let mut rest = &chars[at + 1..];
        let closing = rest.first() == Some(&'/');
        while rest.first() == Some(&'/') {
            rest = &rest[1..];
        }
        let name = rest.iter().take_while(|c| c.is_ascii_alphanumeric());
        let name: String = name.map(char::to_ascii_lowercase).collect();
        match name.as_str() {
            "" | "br" | "img" | "hr" | "p" | "li" => {}
            _ if closing => open = (open - 1).max(0),
            _ => open += 1,
        }
        most = most.max(open);
    }
    most
}

/// The hashtags of a text in their order: `#tag[话题]#`, otherwise `#` and the letters, digits and
/// marks behind it.
pub fn hashtags(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let linked: Vec<char> = "[话题]".chars().collect();
    let sign = |c: char| c == '#' || c == '\u{FF03}';
    let mut tags = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let start = at + 1;
        at = start;
        // A mark belongs to the sign before it, as in the keycap emoji, which is no hashtag.
        let marked = chars.get(start).is_some_and(|c| is(&MARK, *c));
        if !sign(chars[start - 1]) || marked {
            continue;
        }
        let run = |allowed: &dyn Fn(char) -> bool| {
            chars[start..].iter().take_while(|c| allowed(**c)).count()
        };
        let until_bracket = run(&|c| !sign(c) && !c.is_whitespace() && c != '[' && c != ']');
        let plain = run(&is_of_a_tag);
        let behind = start + until_bracket;
        let length = if until_bracket > 0 && chars[behind..].starts_with(&linked) {
            at = behind + linked.len();
            at += usize::from(chars.get(at).is_some_and(|c| sign(*c)));
            until_bracket
        } else {
            at += plain;
            plain
        };
        if length > 0 {
            tags.push(chars[start..start + length].iter().collect());
        }
    }
    tags
}

/// Letters, digits and combining marks, as Unicode has them.
static LETTER: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^[\p{L}\p{N}\p{M}]$").expect("a pattern"));
static MARK: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^\p{M}$").expect("a pattern"));

fn is_of_a_tag(c: char) -> bool {
    "_·・&+-".contains(c) || is(&LETTER, c)
}

fn is(class: &Regex, c: char) -> bool {
    class.is_match(c.encode_utf8(&mut [0; 4]))
}
