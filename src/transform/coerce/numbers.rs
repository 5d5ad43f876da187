//! Whole numbers, fractions, truth values and shortened counts.

use super::Bad;
use crate::transform::captures::Scalar;

/// A whole number, also as digits in a text, also as `5.0`.
pub fn integer(value: Scalar<'_>) -> Result<i64, Bad> {
    match value {
        Scalar::Int(number) => Ok(number),
        // Below 2^53 a float that is whole is exact; 2^53 may have been 2^53 + 1.
        Scalar::Float(number)
            if number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0 =>
        {
            Ok(number as i64)
        }
        Scalar::Text(text) => text.trim().parse().map_err(|_| "not a whole number"),
        Scalar::Uint(_) => Err("too large"),
        _ => Err("not a whole number"),
    }
}

pub fn float(value: Scalar<'_>) -> Result<f64, Bad> {
    match value {
        Scalar::Int(number) if number.unsigned_abs() <= 1 << 53 => Ok(number as f64),
        Scalar::Int(_) | Scalar::Uint(_) => Err("too large"),
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

pub fn boolean(value: Scalar<'_>) -> Result<bool, Bad> {
    match value {
        Scalar::Bool(value) => Ok(value),
        Scalar::Int(0) => Ok(false),
        Scalar::Int(1) => Ok(true),
        Scalar::Text(text) => text.parse().map_err(|_| "not a truth value"),
        _ => Err("not a truth value"),
    }
}

/// A count, possibly shortened: `1.2万` is 12,000, `10万+` at least 100,000, `1,234` is 1,234.
pub fn count(value: Scalar<'_>) -> Result<i64, Bad> {
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
