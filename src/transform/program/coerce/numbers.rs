//! Parses integers, floats, booleans and shortened counts.

use crate::transform::page::captures::{Scalar, number_type};
use crate::transform::program::value::BadReason;

const LARGER_THAN_INT64: BadReason = "larger than int64";
const SMALLER_THAN_INT64: BadReason = "smaller than int64";
const NOT_WHOLE: BadReason = "not a whole number";
const NO_COUNT: BadReason = "not a count";
const NOT_EXACT: BadReason = "an integer beyond 2^53, which float64 does not hold exactly";

/// Below 2^53 a whole float is exact. 2^53 may be a rounded 2^53 + 1.
const TWO_TO_53: f64 = 9_007_199_254_740_992.0;

/// Returns a whole number. Digits in a text, `5.0` and `5e0` are accepted.
pub fn integer(value: Scalar<'_>) -> Result<i64, BadReason> {
    match value {
        Scalar::Int(number) => Ok(number),
        Scalar::Uint(_) => Err(LARGER_THAN_INT64),
        Scalar::Float(number) if number.fract() != 0.0 => Err(NOT_WHOLE),
        Scalar::Float(number) if number.abs() < TWO_TO_53 => Ok(number as i64),
        Scalar::Float(number) if number >= 9_223_372_036_854_775_808.0 => Err(LARGER_THAN_INT64),
        Scalar::Float(number) if number < -9_223_372_036_854_775_808.0 => Err(SMALLER_THAN_INT64),
        Scalar::Float(_) => Err(NOT_EXACT),
        Scalar::Number(text) => Decimal::new(text).integer(),
        Scalar::Text(text) => parse_digits(text.trim(), NOT_WHOLE),
        Scalar::Absent | Scalar::Bool(_) | Scalar::Nested(_) => Err(NOT_WHOLE),
    }
}

/// Parses the digits of an `i64`. `otherwise` is the error if there are other characters.
fn parse_digits(text: &str, otherwise: BadReason) -> Result<i64, BadReason> {
    text.parse().map_err(|_| {
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            otherwise
        } else if text.starts_with('-') {
            SMALLER_THAN_INT64
        } else {
            LARGER_THAN_INT64
        }
    })
}

pub fn float(value: Scalar<'_>) -> Result<f64, BadReason> {
    match value {
        Scalar::Int(number) if number.unsigned_abs() <= 1 << 53 => Ok(number as f64),
        Scalar::Int(_) | Scalar::Uint(_) => Err(NOT_EXACT),
        Scalar::Float(number) => Ok(number),
        Scalar::Number(text) => {
            let number = finite(text.parse().map_err(|_| "not a number")?)?;
            if number_type(text) == "integer" {
                Err(NOT_EXACT)
            } else {
                Ok(number)
            }
        }
        Scalar::Text(text) => {
            let text = text.trim();
            let number = text.parse::<f64>().map_err(|_| "not a number")?;
            // Rust also parses `inf` and `nan`.
            if number.is_finite() || text.bytes().any(|byte| byte.is_ascii_digit()) {
                finite(number)
            } else {
                Err("not a number")
            }
        }
        Scalar::Absent | Scalar::Bool(_) | Scalar::Nested(_) => Err("not a number"),
    }
}

/// Returns the number, or an error if it exceeds the range of float64.
pub fn finite(number: f64) -> Result<f64, BadReason> {
    if number.is_finite() {
        Ok(number)
    } else if number > 0.0 {
        Err("larger than float64")
    } else {
        Err("smaller than float64")
    }
}

/// Returns whether a JSON number is 0, however it is written.
pub fn is_zero(number: &str) -> bool {
    Decimal::new(number).digits.is_empty()
}

/// A JSON number: its significant digits times a power of ten.
struct Decimal {
    is_negative: bool,
    /// Without leading and trailing zeros. Empty for 0.
    digits: String,
    /// Only the sign if the exponent does not fit an `i64`.
    exponent: Result<i64, Sign>,
}

#[derive(Clone, Copy)]
enum Sign {
    Minus,
    Plus,
}

impl Decimal {
    fn new(text: &str) -> Self {
        let (is_negative, text) = match text.strip_prefix('-') {
            Some(text) => (true, text),
            None => (false, text),
        };
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = format!("{whole}{fraction}");
        let significant = all.trim_end_matches('0');
        let dropped = (all.len() - significant.len()) as i64;
        let exponent = match exponent.parse::<i64>() {
            Ok(exponent) => Ok(exponent
                .saturating_sub(fraction.len() as i64)
                .saturating_add(dropped)),
            Err(_) if exponent.starts_with('-') => Err(Sign::Minus),
            Err(_) => Err(Sign::Plus),
        };
        Decimal {
            is_negative,
            digits: significant.trim_start_matches('0').to_owned(),
            exponent,
        }
    }

    fn integer(&self) -> Result<i64, BadReason> {
        let beyond = if self.is_negative {
            SMALLER_THAN_INT64
        } else {
            LARGER_THAN_INT64
        };
        let zeros = match self.exponent {
            _ if self.digits.is_empty() => return Ok(0),
            Ok(..0) | Err(Sign::Minus) => return Err(NOT_WHOLE),
            Ok(zeros @ 0..=18) => zeros as usize,
            Ok(_) | Err(Sign::Plus) => return Err(beyond),
        };
        let sign = if self.is_negative { "-" } else { "" };
        parse_digits(&format!("{sign}{}{:0<zeros$}", self.digits, ""), NOT_WHOLE)
    }
}

pub fn boolean(value: Scalar<'_>) -> Result<bool, BadReason> {
    match value {
        Scalar::Bool(value) => Ok(value),
        Scalar::Int(0) => Ok(false),
        Scalar::Int(1) => Ok(true),
        Scalar::Text(text) => text.parse().map_err(|_| "not a truth value"),
        _ => Err("not a truth value"),
    }
}

/// Parses a count, possibly shortened: `1.2万` is 12,000, `10万+` is 100,000 (a lower bound), `1,234`
/// is 1,234.
pub fn count(value: Scalar<'_>) -> Result<i64, BadReason> {
    match value {
        Scalar::Text(text) => parse_count(text),
        other => match integer(other)? {
            ..0 => Err(NO_COUNT),
            count => Ok(count),
        },
    }
}

/// Removes the commas between groups of three digits. Returns `None` if a comma is elsewhere.
fn without_commas(text: &str) -> Option<String> {
    let digits = text.find(|c: char| !(c.is_ascii_digit() || c == ','));
    let (number, rest) = text.split_at(digits.unwrap_or(text.len()));
    let mut groups = number.split(',');
    let first = groups.next().unwrap_or_default();
    let is_grouped = |mut groups: std::str::Split<'_, char>| groups.all(|group| group.len() == 3);
    let is_plain = !number.contains(',');
    let fits = is_plain || (matches!(first.len(), 1..=3) && is_grouped(groups));
    (fits && !rest.contains(',')).then(|| number.replace(',', "") + rest)
}

/// Parses a count with exact decimal arithmetic: `24.2万` must not become 241,999.
fn parse_count(text: &str) -> Result<i64, BadReason> {
    // Full-width digits, comma, full stop and plus are at a fixed offset from the ASCII ones.
    let half_width = |c: char| match c {
        '\u{FF10}'..='\u{FF19}' | '\u{FF0B}' | '\u{FF0C}' | '\u{FF0E}' => {
            char::from_u32(c as u32 - 0xFEE0).unwrap_or(c)
        }
        c => c,
    };
    let text: String = text
        .chars()
        .map(half_width)
        .filter(|c| !c.is_whitespace())
        .collect();
    let text = without_commas(&text).ok_or(NO_COUNT)?;
    let text = text.strip_suffix('+').unwrap_or(&text);
    let (number, zeros) = match text.char_indices().next_back().ok_or(NO_COUNT)? {
        (at, '千' | 'k' | 'K') => (&text[..at], 3),
        (at, '万' | 'w' | 'W') => (&text[..at], 4),
        (at, '亿') => (&text[..at], 8),
        _ => (text, 0),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if number.ends_with('.') {
        return Err(NO_COUNT);
    }
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) {
        return Err(NO_COUNT);
    }
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > zeros {
        return Err(NO_COUNT);
    }
    let padding = "0".repeat(zeros - fraction.len());
    parse_digits(&format!("{whole}{fraction}{padding}"), NO_COUNT)
}
