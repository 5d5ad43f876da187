//! Writes the report of a lake.

use std::path::Path;

use tempfile::TempDir;

use crate::cli::error::CliError;
use crate::cli::exit_code::ExitCode;
use crate::cli::output::replaced_file::replace_file;
use crate::clock;
use crate::load::Lake;
use crate::plan::Plan;
use crate::query::catalog::named_in;
use crate::report::error::ReportError;
use crate::report::{ReportRequest, all_queries, render};
use crate::run::catalog::open_still;
use crate::run::outcome::{RunOutcome, Status};
use crate::spec::contracts::Contracts;
use crate::spec::words::Language;

/// Maximum number of retries because a commit replaced a mart's file.
const AGAIN: u32 = 5;

/// Writes the report that the pipeline declares. A report that cannot be written does not change the
/// result of the run, so the reason is a warning.
pub(super) fn report_run(plan: &Plan, outcome: &RunOutcome) {
    let Some(report) = &plan.report else { return };
    if matches!(outcome.status, Status::Interrupted) {
        return;
    }
    let file = report.file_of(&plan.pipeline, outcome.meta.snapshot_date);
    let request = ReportRequest {
        pipelines: vec![plan.pipeline.clone()],
        ..ReportRequest::default()
    };
    let written = Lake::open_existing(&outcome.lake)
        .map_err(CliError::from)
        .and_then(|lake| {
            if let Some(folder) = file.parent() {
                // The error of writing the file tells what is wrong.
                let _ = std::fs::create_dir_all(folder);
            }
            write_report(&lake, &plan.contracts, &request, report.language, &file)
        });
    if let Err(error) = written {
        let file = file.display();
        tracing::warn!("the report {file} is not written: {}", error.with_causes());
    }
}

/// Makes a report of a lake and replaces the file at `path` by it. The folder of the file must exist.
///
/// # Errors
/// The lake cannot be read, the request names something that is not in it, or the file cannot be
/// written.
pub(super) fn write_report(
    lake: &Lake,
    contracts: &Contracts,
    request: &ReportRequest,
    language: Option<Language>,
    path: &Path,
) -> Result<(), CliError> {
    let relations = named_in(&all_queries(), &contracts.relations());
    let scratch = TempDir::new().ok();
    let mut gone = 0;
    let page = loop {
        let database = open_still(lake, &relations)?;
        database.spill_to(scratch.as_ref().map(TempDir::path))?;
        match render(&database, request, language, clock::now()) {
            Err(ReportError::Query(error)) if gone < AGAIN && error.is_of_gone_file() => gone += 1,
            page => break page?,
        }
    };
    replace_file(path, page.as_bytes()).map_err(|error| {
        let hint = "give a file in a folder that exists and can be written to";
        let error = anyhow::Error::from(error).context(format!("cannot write {}", path.display()));
        CliError::new(ExitCode::Usage, error, Some(hint.to_owned()))
    })
}
