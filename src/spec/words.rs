//! Canonical words for filters, sorts and time spans, which every provider names differently.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, FixedOffset, Months, NaiveDate, NaiveDateTime, Utc};
use schemars::JsonSchema;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// A filter or sort of a search, the same for every provider.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Filter {
    Sort,
    NoteType,
    PublishedWithin,
}

impl Filter {
    pub fn as_str(self) -> &'static str {
        match self {
            Filter::Sort => "sort",
            Filter::NoteType => "note_type",
            Filter::PublishedWithin => "published_within",
        }
    }
}

/// An instant with its time zone, in RFC 3339.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instant(pub DateTime<FixedOffset>);

/// Error of a text that is no [`Instant`].
#[derive(Debug, PartialEq, Eq)]
pub struct NoInstant {
    pub message: String,
    pub hint: String,
}

impl Instant {
    /// Parses an instant.
    ///
    /// # Errors
    /// Fails if the text is no time, or has no time zone.
    pub fn read(text: &str) -> Result<Self, NoInstant> {
        let wrong = |message: &str, example: String| NoInstant {
            message: format!("`{text}` {message}"),
            hint: format!("write it as in {example}"),
        };
        let with_zone = DateTime::parse_from_rfc3339(text).or_else(|_| text.parse());
        with_zone.map(Instant).map_err(|_| {
            let is_local = ["%FT%T%.f", "%F %T%.f", "%FT%R", "%F %R"]
                .iter()
                .any(|form| NaiveDateTime::parse_from_str(text, form).is_ok());
            if is_local {
                let time = text.trim().replacen(' ', "T", 1);
                let seconds = if time.matches(':').count() == 1 {
                    ":00"
                } else {
                    ""
                };
                return wrong("has no time zone", format!("{time}{seconds}+08:00"));
            }
            match text.parse::<NaiveDate>() {
                Ok(day) => wrong(
                    "has no time of day and no time zone",
                    format!("{day}T12:00:00+08:00"),
                ),
                Err(_) => wrong("is not a time", "2026-03-09T12:00:00+08:00".to_owned()),
            }
        })
    }
}

impl FromStr for Instant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let said = |NoInstant { message, hint }| format!("{message}; {hint}");
        Instant::read(text).map_err(said)
    }
}

/// A length of time, such as `90s`, `5min` or `7d`. A search window can be in months, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeSpan {
    Exact(Duration),
    /// Calendar months, which have no fixed length.
    Months(u32),
}

impl TimeSpan {
    /// Returns the length. A month counts as 30 days.
    pub fn as_duration(self) -> Duration {
        match self {
            TimeSpan::Exact(duration) => duration,
            TimeSpan::Months(months) => Duration::from_secs(u64::from(months) * 30 * 86_400),
        }
    }

    /// Returns the instant that lies this long before `end`.
    pub fn before(self, end: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            TimeSpan::Exact(duration) => {
                end.checked_sub_signed(chrono::Duration::from_std(duration).ok()?)
            }
            TimeSpan::Months(months) => end.checked_sub_months(Months::new(months)),
        }
    }

    /// Parses a time window such as `1d`, `1w` or `6m`, where `m` is a month.
    pub fn window(word: &str) -> Option<TimeSpan> {
        match split_number(word)? {
            (n, "m") => Some(TimeSpan::Months(n)),
            _ => word.parse().ok(),
        }
    }
}

impl FromStr for TimeSpan {
    type Err = String;

    /// Parses `500ms`, `90s`, `5min`, `2h`, `7d` or `1w`.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a duration; write 500ms, 90s, 5min, 2h, 7d or 1w");
        let (n, unit) = split_number(text).ok_or_else(wrong)?;
        let n = u64::from(n);
        Ok(TimeSpan::Exact(match unit {
            "ms" => Duration::from_millis(n),
            "s" => Duration::from_secs(n),
            "min" => Duration::from_secs(n * 60),
            "h" => Duration::from_secs(n * 3_600),
            "d" => Duration::from_secs(n * 86_400),
            "w" => Duration::from_secs(n * 7 * 86_400),
            _ => return Err(wrong()),
        }))
    }
}

fn split_number(text: &str) -> Option<(u32, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    Some((text[..digits].parse().ok()?, text[digits..].trim()))
}

impl<'de> Deserialize<'de> for TimeSpan {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SpanVisitor;
        impl Visitor<'_> for SpanVisitor {
            type Value = TimeSpan;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a duration such as 90s, 5min, 2h or 7d")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<TimeSpan, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(SpanVisitor)
    }
}

/// Language of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    En,
    Zh,
}
