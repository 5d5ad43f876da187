//! A report for people who do not write SQL: one HTML file with the figures of the lake's views and
//! marts, without any network access.

mod charts;
pub mod error;
mod figures;
mod format;
mod headline;
mod page;
mod rows;
mod scope;
mod texts;

use chrono::{DateTime, Utc};

pub use rows::all_queries;
pub use scope::ReportRequest;

use crate::query::duckdb::Database;
use crate::spec::words::Language;
use error::ReportError;
use figures::Figures;
use page::page;
use scope::Scope;
use texts::{Texts, language_of};

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
