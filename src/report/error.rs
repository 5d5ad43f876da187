//! Errors of making a report.

use thiserror::Error;

use crate::query::duckdb::QueryError;

#[derive(Debug, Error)]
pub enum ReportError {
    #[error("the lake has no pipeline `{name}`")]
    UnknownPipeline { name: String, known: Vec<String> },
    #[error("no search of the pipelines is for the keyword `{name}`")]
    UnknownKeyword { name: String, known: Vec<String> },
    #[error(transparent)]
    Query(#[from] QueryError),
    #[error("a chart cannot be drawn: {0}")]
    Chart(String),
    #[error("the page cannot be filled in")]
    Page(#[source] minijinja::Error),
}
