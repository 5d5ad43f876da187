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
    /// Whether the column holds ids.
    pub is_id: bool,
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
            (Some(value), Some(_)) if written_number(value).is_some() => Err("not a text"),
            (Some(Value::String(text)), Some(pattern)) => match pattern.captures(text) {
                Some(found) => self.typed(&Value::from(&found["value"])),
                None => Ok(Cell::Null),
            },
            (Some(_), Some(_)) => Err("not a text"),
        }
    }

    fn typed(&self, value: &Value) -> Result<Cell, Bad> {
        let zero = value.as_f64() == Some(0.0) || value == "0" || is_zero(value);
        if self.is_id && is_blank(value) {
            return Ok(Cell::Null);
        }
        if (self.mapping.zero_is_null && zero) || (self.mapping.empty_is_null && is_blank(value)) {
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

/// Whether a text has nothing but blanks and characters that show nothing.
pub fn is_blank(value: &Value) -> bool {
    let shows = |c: char| {
        let code = u32::from(c);
        let alone = [
            0xad, 0x34f, 0x61c, 0x115f, 0x1160, 0x180e, 0x2800, 0x3164, 0xfeff, 0xffa0,
        ];
        let ranges = [
            (0x200b, 0x200f),
            (0x202a, 0x202e),
            (0x2060, 0x206f),
            (0xfe00, 0xfe0f),
        ];
        let in_range = ranges
            .iter()
            .any(|(from, to)| (*from..=*to).contains(&code));
        !(c.is_whitespace() || c.is_control() || alone.contains(&code) || in_range)
    };
    value.as_str().is_some_and(|text| !text.contains(shows))
}

/// Whether a mark is set: something other than false, 0, nothing, and the words for these.
pub fn is_set(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(truth) => *truth,
        _ if written_number(value).is_some() => !is_zero(value),
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => {
            let word = text.trim().to_lowercase();
            !is_blank(value) && !["0", "false", "no"].contains(&word.as_str())
        }
        Value::Array(elements) => !elements.is_empty(),
        Value::Object(entries) => !entries.is_empty(),
    }
}

/// Whether a number is 0, however it is written.
fn is_zero(value: &Value) -> bool {
    let is_zero = |number: &str| !significant(number).contains(|c: char| ('1'..='9').contains(&c));
    written_number(value).is_some_and(is_zero)
}

/// A text, or the digits of an integer.
pub fn as_text(value: &Value) -> Result<String, Bad> {
    match value {
        _ if is_written_float(value) => Err("not a text"),
        Value::String(text) => Ok(text.trim_start_matches(NUMBER).to_owned()),
        Value::Number(number) if !number.is_f64() => Ok(number.to_string()),
        _ => Err("not a text"),
    }
}

/// Stands before the digits of a number that [`Value`] would round or refuse.
pub const NUMBER: char = '\u{E003}';

/// The number as it is written in the answer, if it is one that [`Value`] does not hold.
pub fn written_number(value: &Value) -> Option<&str> {
    value.as_str()?.strip_prefix(NUMBER)
}

/// Whether a number has a point or an exponent, or is `-0`.
pub fn is_written_float(value: &Value) -> bool {
    written_number(value).is_some_and(|number| number == "-0" || number.contains(['.', 'e', 'E']))
}

/// The number without its exponent.
fn significant(number: &str) -> &str {
    &number[..number.find(['e', 'E']).unwrap_or(number.len())]
}

const LARGER: Bad = "larger than int64";
const SMALLER: Bad = "smaller than int64";

fn whole(value: &Value) -> Result<i64, Bad> {
    const BAD: Bad = "not a whole number";
    if let Some(number) = written_number(value) {
        return moved_point(number)
            .ok_or(BAD)
            .and_then(|digits| in_int64(&digits));
    }
    match value {
        Value::String(text) => {
            let text = text.trim();
            let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
            let is_whole = !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit());
            is_whole.then_some(()).ok_or(BAD)?;
            in_int64(text)
        }
        Value::Number(number) => number.as_i64().ok_or(LARGER),
        _ => Err(BAD),
    }
}

/// The digits of a number once its point is moved as its exponent says; nothing if there is a
/// fraction. More than 1000 places are as good as 1000.
fn moved_point(number: &str) -> Option<String> {
    let significant = significant(number);
    let exponent = number[significant.len()..].trim_start_matches(['e', 'E']);
    let places: i64 = match exponent.parse() {
        Ok(places) => places,
        Err(_) if exponent.starts_with('-') => -1000,
        Err(_) if exponent.is_empty() => 0,
        Err(_) => 1000,
    };
    let places = places.clamp(-1000, 1000);
    let (sign, digits) = significant.split_at(usize::from(significant.starts_with('-')));
    let (before, behind) = digits.split_once('.').unwrap_or((digits, ""));
    let mut before: Vec<char> = before.chars().collect();
    let mut behind: Vec<char> = behind.chars().collect();
    for _ in 0..places {
        before.push(if behind.is_empty() {
            '0'
        } else {
            behind.remove(0)
        });
    }
    for _ in places..0 {
        behind.insert(0, before.pop().unwrap_or('0'));
    }
    let before: String = before.into_iter().collect();
    behind
        .iter()
        .all(|c| *c == '0')
        .then(|| format!("{sign}{before}"))
}

fn in_int64(digits: &str) -> Result<i64, Bad> {
    let (is_negative, digits) = match digits.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, digits.trim_start_matches('+')),
    };
    let beyond = if is_negative { SMALLER } else { LARGER };
    let digits = digits.trim_start_matches('0');
    if digits.len() > 19 {
        return Err(beyond);
    }
    let size = digits.chars().fold(0_i128, |sum, digit| {
        sum * 10 + i128::from(digit.to_digit(10).expect("a digit"))
    });
    let number = if is_negative { -size } else { size };
    i64::try_from(number).map_err(|_| beyond)
}

fn number(value: &Value) -> Result<f64, Bad> {
    const INEXACT: Bad = "an integer beyond 2^53, which float64 does not hold exactly";
    let text = match value {
        Value::Number(number) => {
            const EXACT: i128 = 1 << 53;
            let whole = number.as_i128().filter(|whole| whole.abs() <= EXACT);
            return whole.map(|whole| whole as f64).ok_or(INEXACT);
        }
        Value::String(text) => text.trim_start_matches(NUMBER).trim(),
        _ => return Err("not a number"),
    };
    let number: f64 = text.parse().map_err(|_| "not a number")?;
    match number {
        f64::INFINITY if text.contains(char::is_numeric) => Err("larger than float64"),
        f64::NEG_INFINITY if text.contains(char::is_numeric) => Err("smaller than float64"),
        _ if !number.is_finite() => Err("not a number"),
        _ if written_number(value).is_some() && !is_written_float(value) => Err(INEXACT),
        _ => Ok(number),
    }
}

pub fn truth(value: &Value) -> Result<bool, Bad> {
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
        Value::String(text) if written_number(value).is_none() => {
            let digits = count_in_words(text).ok_or("not a count")?;
            in_int64(&digits)
        }
        other => whole(other).and_then(|count| {
            let is_count = count >= 0;
            is_count.then_some(count).ok_or("not a count")
        }),
    }
}

/// `1.2万+` is 12,000: the digits, as many zeros as the unit has, and as many digits less as stand
/// behind the point, which must be zeros.
fn count_in_words(text: &str) -> Option<String> {
    let mut plain = String::new();
    for c in text.chars().filter(|c| !c.is_whitespace()) {
        match c {
            '\u{FF10}'..='\u{FF19}' => plain.push(char::from_digit(c as u32 - 0xFF10, 10)?),
            '\u{FF0B}' => plain.push('+'),
            '\u{FF0E}' => plain.push('.'),
            '\u{FF0C}' => plain.push(','),
            c => plain.push(c),
        }
    }
    if plain.contains(',') {
        static GROUPED: LazyLock<Regex> =
            LazyLock::new(|| Regex::new(r"^[0-9]{1,3}(,[0-9]{3})+([^0-9,]|$)").expect("a pattern"));
        if !GROUPED.is_match(&plain) {
            return None;
        }
        plain.retain(|c| c != ',');
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
    if plain.ends_with('.') {
        return None;
    }
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
    Some(digits)
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
/// marks behind it; none where the sign stands behind a letter or digit of another script than those
/// that are written without blanks, or in an address.
pub fn hashtags(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let linked: Vec<char> = "[话题]".chars().collect();
    let sign = |c: char| c == '#' || c == '\u{FF03}';
    let mut tags = Vec::new();
    let mut at = 0;
    let mut last_end = 0;
    while at < chars.len() {
        let start = at + 1;
        at = start;
        let word: Vec<char> = chars[last_end..start - 1]
            .rsplit(|c| !c.is_ascii_graphic())
            .next()
            .unwrap_or_default()
            .to_vec();
        let word: String = word.into_iter().collect();
        let before = chars[last_end..start - 1].last();
        if sign(chars[start - 1])
            && (before.is_some_and(|c| is(&WORD, *c))
                || word.contains("://")
                || word.starts_with("www.")
                || word.ends_with('&'))
        {
            continue;
        }
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
        let tag: String = chars[start..start + length].iter().collect();
        let keycaps = |c: char| "0123456789\u{fe0f}\u{20e3}".contains(c);
        if length > 0 && !(tag.ends_with('\u{20e3}') && tag.chars().all(keycaps)) {
            tags.push(tag);
            last_end = at;
        }
    }
    tags
}

/// Letters, digits and combining marks, as Unicode has them.
static LETTER: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^[\p{L}\p{N}\p{M}]$").expect("a pattern"));
static WORD: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(_|\p{Nd}|\p{Script=Latin}|\p{Script=Greek}|\p{Script=Cyrillic}|\p{Script=Hangul}|\p{Script=Arabic}|\p{Script=Hebrew}|\p{Script=Devanagari})$")
        .expect("a pattern")
});
static MARK: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^\p{M}$").expect("a pattern"));

fn is_of_a_tag(c: char) -> bool {
    "_·・&+-".contains(c) || is(&LETTER, c)
}

fn is(class: &Regex, c: char) -> bool {
    class.is_match(c.encode_utf8(&mut [0; 4]))
}
