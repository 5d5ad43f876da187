//! Writes the report of a lake.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use chrono::NaiveDate;
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
use crate::run::catalog::{open_of_pipelines, open_still};
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
    let of = ReportOf {
        pipelines: vec![plan.pipeline.clone()],
        language: report.language,
        ..ReportOf::default()
    };
    let written = Lake::open_existing(&outcome.lake)
        .map_err(CliError::from)
        .and_then(|lake| {
            if let Some(folder) = file.parent() {
                // The error of writing the file tells what is wrong.
                let _ = std::fs::create_dir_all(folder);
            }
            write_report(&lake, &plan.contracts, &of, &file)
        });
    let file = file.display();
    match written {
        Ok(()) => tracing::info!("the report {file} is written"),
        Err(error) => tracing::warn!("the report {file} is not written: {}", error.with_causes()),
    }
}

/// What a report is asked for on the command line, or by a pipeline.
#[derive(Clone, Debug, Default)]
pub(super) struct ReportOf {
    /// Names of pipelines; empty for all.
    pub pipelines: Vec<String>,
    pub since: Option<NaiveDate>,
    pub brands: Vec<String>,
    pub language: Option<Language>,
}

/// Makes a report of a lake and replaces the file at `path` by it. The folder of the file must exist.
///
/// # Errors
/// The lake cannot be read, the request names something that is not in it, the file is one of the
/// lake, or it cannot be written.
pub(super) fn write_report(
    lake: &Lake,
    contracts: &Contracts,
    of: &ReportOf,
    path: &Path,
) -> Result<(), CliError> {
    let path = target(lake, path)?;
    let commits = lake.commits()?;
    let committed = || commits.iter().map(|commit| commit.pipeline.as_str());
    if let Some(name) = of
        .pipelines
        .iter()
        .find(|name| !committed().any(|one| one == *name))
    {
        let known: BTreeSet<&str> = committed().collect();
        let known = known.into_iter().map(str::to_owned).collect();
        let name = name.clone();
        return Err(ReportError::UnknownPipeline { name, known }.into());
    }
    let covers = |name: &String| of.pipelines.is_empty() || of.pipelines.contains(name);
    let request = ReportRequest {
        since: of.since,
        brands: of.brands.clone(),
        is_simulated: commits
            .iter()
            .any(|commit| commit.simulated && covers(&commit.pipeline)),
    };
    let relations = named_in(&all_queries(), &contracts.relations());
    let scratch = TempDir::new().ok();
    let mut gone = 0;
    let page = loop {
        let database = if of.pipelines.is_empty() {
            open_still(lake, &relations)?
        } else {
            open_of_pipelines(lake, &relations, &of.pipelines)?
        };
        database.spill_to(scratch.as_ref().map(TempDir::path))?;
        match render(&database, &request, of.language, clock::now()) {
            Err(ReportError::Query(error)) if gone < AGAIN && error.is_of_gone_file() => gone += 1,
            page => break page?,
        }
    };
    replace_file(&path, page.as_bytes()).map_err(|error| {
        let hint = "give a file in a folder that exists and can be written to";
        let error = anyhow::Error::from(error).context(format!("cannot write {}", path.display()));
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
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new(".")).canonicalize();
    let root = lake.root().canonicalize();
    if let (Ok(folder), Ok(root)) = (folder, root)
        && folder.starts_with(&root)
    {
        return Err(CliError::usage(
            format!("{} is in the lake {}", path.display(), root.display()),
            "give a file outside the lake",
        ));
    }
    Ok(path)
}
