//! Parses instants in seconds, milliseconds and ISO 8601.

use chrono::DateTime;

use crate::spec::source::Unit;
use crate::transform::page::captures::Scalar;
use crate::transform::program::coerce::numbers::integer;
use crate::transform::program::value::BadReason;

/// Returns an instant in microseconds since 1970. The years 1990 to 2099 are accepted.
pub fn instant(value: Scalar<'_>, unit: Option<Unit>) -> Result<i64, BadReason> {
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
const OUT_OF_RANGE: BadReason = "not a time from 1990 to 2099";
const NO_ISO8601: BadReason = "not an ISO 8601 time with offset";

/// Parses RFC 3339 and two ISO 8601 variants: an offset without colon (`+0800`), and no seconds.
/// Returns microseconds since 1970. A time without an offset is ambiguous, and is an error.
fn iso8601(text: &str) -> Result<i64, BadReason> {
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
            // The caller replaces the error, so any form's error serves.
            DateTime::parse_from_rfc3339(text)
        })
    });
    Ok(at.map_err(|_| NO_ISO8601)?.timestamp_micros())
}
