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
use error::ReportError;
use figures::Figures;
use page::page;
use scope::ReportScope;
use texts::{Texts, language_of};

/// Returns a report as HTML. `now` is the time that the report names.
///
/// # Errors
/// The request names something that is not in the lake, or the lake cannot be read.
pub fn render(
    database: &Database,
    request: &ReportRequest,
    now: DateTime<Utc>,
) -> Result<String, ReportError> {
    let mut scope = ReportScope::resolve(database, request)?;
    let language = request.language.unwrap_or_else(|| {
        let zones = scope.pipelines.iter();
        language_of(zones.filter_map(|row| row.timezone.as_ref()?.parse().ok()))
    });
    let figures = Figures::read(database, &mut scope)?;
    page(&figures, &scope, &Texts::of(language), now)
}
