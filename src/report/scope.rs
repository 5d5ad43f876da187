//! The part of the lake that a report covers.

use chrono::{Days, NaiveDate, Weekday};

use super::error::ReportError;
use super::rows::{KeywordRow, PipelineRow, Section, SectionRows, WeekRow, read};
use crate::query::duckdb::Database;
use crate::query::sql::literal;
use crate::spec::words::Language;

/// Weeks of a report without `--since`. The last one has the newest date.
const WEEKS: u64 = 8;

/// A requested report.
#[derive(Clone, Debug, Default)]
pub struct ReportRequest {
    /// Names of the pipelines whose rows the database has; empty for all.
    pub pipelines: Vec<String>,
    /// The first week is that of this date. `None` for eight weeks.
    pub since: Option<NaiveDate>,
    /// The keywords of one's own brand. Empty for those with the label `own`.
    pub brands: Vec<String>,
    /// The language of the pipelines' time zones if it is `None`.
    pub language: Option<Language>,
    /// True if the data is that of the built-in simulator.
    pub is_simulated: bool,
}

/// Names and dates that every query of a report can use.
#[derive(Clone, Debug)]
pub(super) struct ReportScope {
    pub pipelines: Vec<PipelineRow>,
    pub own: Vec<KeywordRow>,
    /// A Monday.
    pub since: NaiveDate,
    pub last_date: Option<NaiveDate>,
    pub weeks: Vec<WeekRow>,
    pub rising_notes: Vec<String>,
    pub is_simulated: bool,
}

impl ReportScope {
    /// Resolves a request.
    ///
    /// # Errors
    /// A keyword is not in the lake, or the lake cannot be read.
    pub(super) fn resolve(
        database: &Database,
        request: &ReportRequest,
    ) -> Result<Self, ReportError> {
        let mut scope = ReportScope {
            pipelines: Vec::new(),
            own: Vec::new(),
            since: NaiveDate::default(),
            last_date: None,
            weeks: Vec::new(),
            rising_notes: Vec::new(),
            is_simulated: request.is_simulated,
        };
        let pipelines: SectionRows<PipelineRow> =
            read(database, Section::Pipelines, &scope.relation())?;
        scope.pipelines = pipelines.rows;
        let keywords: SectionRows<KeywordRow> =
            read(database, Section::Keywords, &scope.relation())?;
        scope.own = own(keywords.rows, &request.brands)?;
        scope.last_date = scope.pipelines.iter().map(|row| row.last_date).max();
        let newest = scope.last_date.map(monday);
        let eight_weeks =
            newest.and_then(|monday| monday.checked_sub_days(Days::new(7 * (WEEKS - 1))));
        let since = request.since.map(monday).or(eight_weeks);
        scope.since = since.unwrap_or_default();
        Ok(scope)
    }

    /// Returns the own keywords, each once.
    pub(super) fn brands(&self) -> Vec<&str> {
        let mut brands: Vec<&str> = self.own.iter().map(|row| row.keyword.as_str()).collect();
        brands.sort_unstable();
        brands.dedup();
        brands
    }

    /// Declares the relations `scope`, which has one row, `own_keywords` and `compared`, which has the
    /// week of each pipeline, for a `WITH` clause.
    pub(super) fn relation(&self) -> String {
        let notes: Vec<String> = self.rising_notes.iter().map(|note| literal(note)).collect();
        let own = self
            .own
            .iter()
            .map(|row| format!("({}, {})", literal(&row.pipeline), literal(&row.keyword)));
        let weeks = self.weeks.iter().map(|row| {
            let (pipeline, week) = (literal(&row.pipeline), literal(&row.week.to_string()));
            format!("({pipeline}, DATE {week}, {})", row.days_before.is_some())
        });
        format!(
            "scope AS (SELECT DATE {} AS since, [{}]::VARCHAR[] AS rising_notes), \
             own_keywords(pipeline, keyword) AS ({}), \
             compared(pipeline, week, has_before) AS ({})",
            literal(&self.since.to_string()),
            notes.join(", "),
            values(own, "''::VARCHAR, ''::VARCHAR"),
            values(weeks, "''::VARCHAR, NULL::DATE, false"),
        )
    }
}

/// Returns a relation of these rows. Without any it has no row, and the types of `empty`.
fn values(rows: impl Iterator<Item = String>, empty: &str) -> String {
    let rows: Vec<String> = rows.collect();
    if rows.is_empty() {
        format!("SELECT {empty} WHERE false")
    } else {
        format!("VALUES {}", rows.join(", "))
    }
}

/// Returns the keywords of the brands that are asked for, or those with the label `own`.
fn own(keywords: Vec<KeywordRow>, brands: &[String]) -> Result<Vec<KeywordRow>, ReportError> {
    let is_missing = |brand: &&String| !keywords.iter().any(|row| row.keyword == **brand);
    if let Some(name) = brands.iter().find(is_missing) {
        let mut known: Vec<String> = keywords.into_iter().map(|row| row.keyword).collect();
        known.sort_unstable();
        known.dedup();
        return Err(ReportError::UnknownKeyword {
            name: name.clone(),
            known,
        });
    }
    let is_own = |row: &KeywordRow| {
        if brands.is_empty() {
            row.is_own
        } else {
            brands.contains(&row.keyword)
        }
    };
    Ok(keywords.into_iter().filter(is_own).collect())
}

fn monday(date: NaiveDate) -> NaiveDate {
    date.week(Weekday::Mon).first_day()
}
