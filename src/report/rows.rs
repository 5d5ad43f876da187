//! The queries in `sql/` and the rows that they select.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::csv::WriterBuilder;
use arrow::error::ArrowError;
use arrow::json::ArrayWriter;
use chrono::NaiveDate;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::error::ReportError;
use crate::query::duckdb::{Database, QueryAnswer, QueryError};

/// The query of a section. Its text stands in a file of `sql/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    Pipelines,
    Keywords,
    Weeks,
    Voice,
    Rising,
    Growth,
    Creators,
    Hashtags,
    Ranks,
    Paid,
    Hours,
    Costs,
    Health,
}

impl Section {
    const ALL: [Section; 13] = [
        Section::Pipelines,
        Section::Keywords,
        Section::Weeks,
        Section::Voice,
        Section::Rising,
        Section::Growth,
        Section::Creators,
        Section::Hashtags,
        Section::Ranks,
        Section::Paid,
        Section::Hours,
        Section::Costs,
        Section::Health,
    ];

    fn text(self) -> &'static str {
        match self {
            Section::Pipelines => include_str!("sql/pipelines.sql"),
            Section::Keywords => include_str!("sql/keywords.sql"),
            Section::Weeks => include_str!("sql/weeks.sql"),
            Section::Voice => include_str!("sql/voice.sql"),
            Section::Rising => include_str!("sql/rising.sql"),
            Section::Growth => include_str!("sql/growth.sql"),
            Section::Creators => include_str!("sql/creators.sql"),
            Section::Hashtags => include_str!("sql/hashtags.sql"),
            Section::Ranks => include_str!("sql/ranks.sql"),
            Section::Paid => include_str!("sql/paid.sql"),
            Section::Hours => include_str!("sql/hours.sql"),
            Section::Costs => include_str!("sql/costs.sql"),
            Section::Health => include_str!("sql/health.sql"),
        }
    }

    /// Returns the query without its comments.
    fn sql(self) -> String {
        let lines = self.text().lines();
        let lines: Vec<&str> = lines.filter(|line| !line.starts_with("--")).collect();
        lines.join("\n")
    }
}

/// Returns all queries of a report, as one statement to find the relations in that they read.
pub fn all_queries() -> String {
    let queries: Vec<String> = Section::ALL.map(Section::sql).into();
    format!("SELECT {}", queries.join(" "))
}

/// SectionRows of a query, and the same rows as CSV.
#[derive(Clone, Debug, Default)]
pub(super) struct SectionRows<T> {
    pub rows: Vec<T>,
    pub csv: String,
}

/// Runs the query of a section, which reads the relation `scope` of one row. `scope` declares it for a
/// `WITH` clause.
///
/// # Errors
/// DuckDB fails, or a row is not a `T`.
pub(super) fn read<T: DeserializeOwned>(
    database: &Database,
    section: Section,
    scope: &str,
) -> Result<SectionRows<T>, ReportError> {
    let query = section.sql();
    let answer = database.query(&match query.strip_prefix("WITH ") {
        Some(rest) => format!("WITH {scope},\n{rest}"),
        None => format!("WITH {scope}\n{query}"),
    })?;
    let wrong = |reason: String| {
        let reason = format!("the rows of {section:?}: {reason}");
        ReportError::Query(QueryError::Rows { reason })
    };
    Ok(SectionRows {
        rows: rows(&answer).map_err(wrong)?,
        csv: csv(&answer).map_err(|error| wrong(error.to_string()))?,
    })
}

fn rows<T: DeserializeOwned>(answer: &QueryAnswer) -> Result<Vec<T>, String> {
    let mut json = ArrayWriter::new(Vec::new());
    for batch in &answer.batches {
        json.write(batch).map_err(|error| error.to_string())?;
    }
    json.finish().map_err(|error| error.to_string())?;
    let json = json.into_inner();
    // The writer writes nothing at all for no rows.
    if json.is_empty() {
        return Ok(Vec::new());
    }
    serde_json::from_slice(&json).map_err(|error| error.to_string())
}

/// Returns the rows as CSV for spreadsheets. A text that a spreadsheet would take for a formula begins
/// with an apostrophe.
fn csv(answer: &QueryAnswer) -> Result<String, ArrowError> {
    let mut csv = Vec::new();
    {
        let mut writer = WriterBuilder::new().with_header(true).build(&mut csv);
        for batch in &answer.batches {
            writer.write(&without_formulas(batch)?)?;
        }
    }
    Ok(String::from_utf8_lossy(&csv).into_owned())
}

fn without_formulas(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let columns = batch.columns().iter().map(|column| {
        let Some(texts) = column.as_string_opt::<i32>() else {
            return Arc::clone(column);
        };
        let plain = texts.iter().map(|text| {
            text.map(|text| {
                if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
                    format!("'{text}")
                } else {
                    text.to_owned()
                }
            })
        });
        Arc::new(plain.collect::<StringArray>()) as ArrayRef
    });
    RecordBatch::try_new(batch.schema(), columns.collect())
}

/// A pipeline of the lake.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct PipelineRow {
    pub pipeline: String,
    pub timezone: Option<String>,
    pub first_date: NaiveDate,
    pub last_date: NaiveDate,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct KeywordRow {
    pub pipeline: String,
    pub keyword: String,
    pub is_own: bool,
}

/// The week of a pipeline that is compared with the one before. `week` is a Monday.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct WeekRow {
    pub pipeline: String,
    pub week: NaiveDate,
    pub days: i64,
    pub is_over: bool,
    /// Days of the week before; `None` if the lake does not have it.
    pub days_before: Option<i64>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct VoiceRow {
    pub pipeline: String,
    pub keyword_set: Option<String>,
    pub keyword: String,
    pub is_own: bool,
    pub week_start: NaiveDate,
    pub share_of_voice: Option<f64>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct RisingRow {
    pub note_id: String,
    pub title: Option<String>,
    pub nickname: Option<String>,
    pub profile_url: Option<String>,
    pub note_url: Option<String>,
    pub published_date: Option<NaiveDate>,
    pub keywords: Option<String>,
    pub best_place: Option<i64>,
    pub is_paid: Option<bool>,
    pub engagement: Option<i64>,
    pub engagement_delta_7d: i64,
    pub hours_7d: Option<f64>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct GrowthRow {
    pub note_id: String,
    /// Seconds since 1970.
    pub seconds: f64,
    pub engagement: f64,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct CreatorRow {
    pub nickname: Option<String>,
    pub red_id: Option<String>,
    pub profile_url: Option<String>,
    pub follower_count: Option<i64>,
    pub notes: i64,
    pub engagement_per_note: Option<f64>,
    pub engagement_rate: Option<f64>,
    pub best_place: Option<i64>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct HashtagRow {
    pub pipeline: String,
    pub tag: String,
    pub notes: i64,
    pub change: i64,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct RankRow {
    pub pipeline: String,
    pub keyword: String,
    pub snapshot_date: NaiveDate,
    pub best_place: i64,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct PaidRow {
    pub pipeline: String,
    pub keyword_set: Option<String>,
    pub week_start: NaiveDate,
    pub ad_share: Option<f64>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct HourRow {
    pub weekday: usize,
    pub hour: usize,
    pub notes: i64,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct CostRow {
    pub week_start: NaiveDate,
    pub currency: Option<String>,
    pub calls: i64,
    pub unknown_calls: i64,
    pub cost: Option<f64>,
    pub new_notes: i64,
    pub cost_per_new_note: Option<f64>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct HealthRow {
    pub pipeline: String,
    pub last_run: NaiveDate,
    pub runs: i64,
    pub runs_not_complete: i64,
    pub days_without_run: i64,
    pub searches_failed: i64,
    pub rejects: i64,
    pub drift: i64,
    pub days_not_over: i64,
    /// True if the marts lack the date of the last run.
    pub is_behind: bool,
}
