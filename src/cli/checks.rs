//! Queries of data checks that cannot run, told with their places.

use super::error::CliError;
use crate::plan::Plan;
use crate::run::checks::unable;
use crate::spec::diagnostic::{Diagnostic, Diagnostics};
use crate::spec::load::LoadedPipeline;

/// # Errors
/// Every query of a check that DuckDB cannot run.
pub fn try_queries(plan: &Plan, declared: &LoadedPipeline) -> Result<(), CliError> {
    let unable = unable(plan)?;
    if unable.is_empty() {
        return Ok(());
    }
    // A plan has all checks that are declared, in their order.
    let told = unable.into_iter().map(|(at, error)| {
        let check = declared.pipeline.checks.get(at);
        let span = check.map(|check| check.sql.as_ref().map_or(check.span(), |sql| sql.span()));
        let words = error.to_string();
        let message = words.split("\n\n").next().unwrap_or_default();
        let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
        let message = format!("this query cannot run: {message}");
        Diagnostic::error(&declared.file, span, message).hint(HINT)
    });
    let mut told: Vec<Diagnostic> = told.collect();
    declared.variables.hide(&mut told);
    Err(Diagnostics(told).into())
}

const HINT: &str = "`redlake schema list` names tables and views, `run.<table>` is a table with this \
                    run's rows alone";
