//! A report for people who do not write SQL: one HTML file with the figures of the lake's views and
//! marts, without any network access.

mod charts;
mod figures;
mod format;
mod headline;
mod page;
mod scope;
mod texts;

use chrono::{DateTime, Utc};
use thiserror::Error;

pub use figures::all_queries;
pub use scope::ReportRequest;

use crate::query::duckdb::{Database, QueryError};
use crate::spec::words::Language;
use figures::Figures;
use page::page;
use scope::Scope;
use texts::{Texts, language_of};

#[derive(Debug, Error)]
pub enum ReportError {
    #[error("the lake has no pipeline `{name}`")]
    UnknownPipeline { name: String, known: Vec<String> },
    #[error("no search of the lake is for the keyword `{name}`")]
    UnknownKeyword { name: String, known: Vec<String> },
    #[error(transparent)]
    Query(#[from] QueryError),
    #[error("a chart cannot be drawn: {0}")]
    Chart(String),
    #[error("the page cannot be filled in")]
    Page(#[source] minijinja::Error),
}

/// Returns a report as HTML. The language is that of the pipelines' time zones if it is `None`.
/// `now` is the time that the report names.
///
/// # Errors
/// The request names something that is not in the lake, or the lake cannot be read.
pub fn render(
    database: &Database,
    request: &ReportRequest,
    language: Option<Language>,
    now: DateTime<Utc>,
) -> Result<String, ReportError> {
    let mut scope = Scope::resolve(database, request)?;
    let language = language.unwrap_or_else(|| {
        let zones = scope.pipelines.iter();
        language_of(zones.filter_map(|row| row.timezone.as_ref()?.parse().ok()))
    });
    let figures = Figures::read(database, &mut scope)?;
    page(&figures, &scope, &Texts::of(language), now)
}
