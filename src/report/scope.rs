//! The part of the lake that a report covers.

use chrono::{Days, NaiveDate, Weekday};

use super::error::ReportError;
use super::rows::{KeywordRow, PipelineRow, Rows, Section, Span, read};
use crate::query::duckdb::Database;
use crate::query::sql::literal;

/// Weeks of a report without `--since`. The last one has the newest date of the lake.
const WEEKS: u64 = 8;

/// What a report is asked for.
#[derive(Clone, Debug, Default)]
pub struct ReportRequest {
    /// Names of pipelines; empty for all.
    pub pipelines: Vec<String>,
    /// First date. `None` for eight weeks.
    pub since: Option<NaiveDate>,
    /// The keywords of one's own brand. Empty for those with the label `own`.
    pub brands: Vec<String>,
}

/// Names and dates that every query of a report can use, as the relation `scope` of one row.
#[derive(Clone, Debug)]
pub(super) struct Scope {
    pub pipelines: Vec<PipelineRow>,
    has_all_pipelines: bool,
    pub own: Vec<String>,
    pub since: NaiveDate,
    pub week: Option<NaiveDate>,
    pub rising_notes: Vec<String>,
}

impl Scope {
    /// Resolves a request.
    ///
    /// # Errors
    /// A pipeline or a keyword is not in the lake, or the lake cannot be read.
    pub(super) fn resolve(
        database: &Database,
        request: &ReportRequest,
    ) -> Result<Self, ReportError> {
        let mut scope = Scope {
            pipelines: Vec::new(),
            has_all_pipelines: request.pipelines.is_empty(),
            own: Vec::new(),
            since: request.since.unwrap_or(NaiveDate::MIN),
            week: None,
            rising_notes: Vec::new(),
        };
        let all: Rows<PipelineRow> = read(database, Section::Pipelines, &scope.relation())?;
        let known: Vec<String> = all.rows.iter().map(|row| row.pipeline.clone()).collect();
        if let Some(name) = request.pipelines.iter().find(|name| !known.contains(name)) {
            return Err(ReportError::UnknownPipeline {
                name: name.clone(),
                known,
            });
        }
        let is_asked = |row: &PipelineRow| {
            scope.has_all_pipelines || request.pipelines.contains(&row.pipeline)
        };
        scope.pipelines = all.rows.into_iter().filter(is_asked).collect();
        let keywords: Rows<KeywordRow> = read(database, Section::OwnKeywords, &scope.relation())?;
        let known = |name: &&String| !keywords.rows.iter().any(|row| row.keyword == **name);
        if let Some(name) = request.brands.iter().find(known) {
            let mut known: Vec<String> = keywords.rows.into_iter().map(|row| row.keyword).collect();
            known.dedup();
            return Err(ReportError::UnknownKeyword {
                name: name.clone(),
                known,
            });
        }
        scope.own = if request.brands.is_empty() {
            let own = keywords.rows.into_iter().filter(|row| row.is_own);
            own.map(|row| row.keyword).collect()
        } else {
            request.brands.clone()
        };
        if request.since.is_none() {
            let span: Rows<Span> = read(database, Section::Span, &scope.relation())?;
            let newest = span.rows.first().and_then(|span| span.last_date);
            let monday = newest.map(|date| date.week(Weekday::Mon).first_day());
            let since = monday.and_then(|date| date.checked_sub_days(Days::new(7 * (WEEKS - 1))));
            scope.since = since.unwrap_or_default();
        }
        Ok(scope)
    }

    /// Declares the relation `scope` for a `WITH` clause.
    pub(super) fn relation(&self) -> String {
        let words = |words: &mut dyn Iterator<Item = &str>| {
            let words: Vec<String> = words.map(literal).collect();
            format!("[{}]::VARCHAR[]", words.join(", "))
        };
        let date = |date: Option<NaiveDate>| match date {
            Some(date) => format!("DATE {}", literal(&date.to_string())),
            None => "NULL::DATE".to_owned(),
        };
        // Dates before the year 1 have no usual text.
        let since = self.since.max(NaiveDate::default());
        format!(
            "scope AS (SELECT {} AS pipelines, {} AS has_all_pipelines, {} AS own, {} AS since, \
             {} AS week, {} AS rising_notes)",
            words(&mut self.pipelines.iter().map(|row| row.pipeline.as_str())),
            self.has_all_pipelines,
            words(&mut self.own.iter().map(String::as_str)),
            date(Some(since)),
            date(self.week),
            words(&mut self.rising_notes.iter().map(String::as_str)),
        )
    }
}
