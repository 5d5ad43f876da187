//! Writes the report of a lake.

use std::io::Write;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::cli::error::CliError;
use crate::cli::exit_code::ExitCode;
use crate::cli::output::replaced_file::replace_file;
use crate::clock;
use crate::load::Lake;
use crate::plan::Plan;
use crate::query::catalog::named_in;
use crate::query::duckdb::Comments;
use crate::report::error::ReportError;
use crate::report::{ReportRequest, all_queries, render};
use crate::run::catalog::{GONE_RETRIES, open_of_pipelines, open_still};
use crate::run::outcome::{RunOutcome, Status};
use crate::spec::contracts::Contracts;

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
        language: report.language,
        is_simulated: outcome.meta.simulated,
        ..ReportRequest::default()
    };
    let written = Lake::open_existing(&outcome.lake)
        .map_err(CliError::from)
        .and_then(|lake| {
            if let Some(folder) = file.parent() {
                // The error of writing the file tells what is wrong.
                let _ = std::fs::create_dir_all(folder);
            }
            write_report(&lake, &plan.contracts, &request, &file)
        });
    let file = file.display();
    match written {
        Ok(()) => tracing::info!("the report {file} is written"),
        Err(error) => tracing::warn!("the report {file} is not written: {}", error.with_causes()),
    }
}

/// Makes a report of a lake and replaces the file at `path` by it. The folder of the file must exist.
///
/// # Errors
/// The lake cannot be read, the request names something that is not in it, the file is one of the
/// lake, or it cannot be written.
pub(super) fn write_report(
    lake: &Lake,
    contracts: &Contracts,
    request: &ReportRequest,
    path: &Path,
) -> Result<(), CliError> {
    let path = target(lake, path)?;
    let relations = named_in(&all_queries(), &contracts.relations());
    let scratch = TempDir::new().ok();
    let mut gone = 0;
    let page = loop {
        let database = if request.pipelines.is_empty() {
            open_still(lake, &relations, Comments::Without)?
        } else {
            open_of_pipelines(lake, &relations, &request.pipelines)?
        };
        database.spill_to(scratch.as_ref().map(TempDir::path))?;
        match render(&database, request, clock::now()) {
            Err(ReportError::Query(error)) if gone < GONE_RETRIES && error.is_of_gone_file() => {
                gone += 1;
            }
            page => break page?,
        }
    };
    replace_file(&path, |file| Ok(file.write_all(page.as_bytes())?)).map_err(|error| {
        let hint = "give a file in a folder that exists and can be written to";
        let error = error.context(format!("cannot write {}", path.display()));
        CliError::new(ExitCode::Usage, error, Some(hint.to_owned()))
    })
}

/// Returns the file to replace: the one that a symbolic link names.
///
/// # Errors
/// It is not named like an HTML file, or it is in the lake.
fn target(lake: &Lake, path: &Path) -> Result<PathBuf, CliError> {
    let ending = path.extension().and_then(|ending| ending.to_str());
    if !matches!(ending, Some("html" | "htm")) {
        return Err(CliError::usage(
            format!("{} does not end with .html", path.display()),
            "a report is an HTML file: give -o report.html",
        ));
    }
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    if lake.has_place_of(&path) {
        let root = lake.root().display();
        return Err(CliError::usage(
            format!("{} is in the lake {root}", path.display()),
            "give a file outside the lake",
        ));
    }
    Ok(path)
}
