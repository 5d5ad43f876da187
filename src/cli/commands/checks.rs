//! Plans a pipeline and checks its queries with DuckDB, which planning alone does not use.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use crate::cli::shell::shell_word;
use crate::lake_layout::{full_path, is_lake};
use crate::load::Lake;
use crate::notify::findings;
use crate::plan::{Plan, plan};
use crate::run::commit::checks::unable;
use crate::spec::contracts::Contracts;
use crate::spec::load::LoadedPipeline;
use crate::spec::yaml::diagnostic::{Diagnostic, Diagnostics};

/// Effect of a finding whose query cannot run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnBrokenFinding {
    /// The plan is refused.
    Refuse,
    /// A warning: a run does not depend on its messages.
    Warn,
}

/// Plans a pipeline and checks that DuckDB can run the queries of its checks and findings. `lake` overrides the
/// lake folder that the pipeline names.
///
/// # Errors
/// As [`plan`]. Also every query that DuckDB cannot run, with its place.
pub fn checked_plan(
    loaded: LoadedPipeline,
    contracts: Arc<Contracts>,
    lake: Option<&Path>,
    on_broken_finding: OnBrokenFinding,
) -> Result<Plan, Diagnostics> {
    let declared = loaded.clone();
    let mut plan = plan(loaded, contracts)?;
    if let (None, Some(moved)) = (lake, moved_lake(&declared)) {
        return Err(Diagnostics(vec![moved]));
    }
    let folder = lake.unwrap_or(&plan.lake);
    let checks = unable(&plan, folder).unwrap_or_else(|error| vec![(0, error)]);
    let checks = checks.iter().map(|(at, error)| {
        let check = declared.pipeline.checks.get(*at);
        let span = check.map(|check| check.sql.as_ref().map_or(check.span(), |sql| sql.span()));
        told(&declared, span, &error.to_string(), HINT)
    });
    let findings = findings::unable(&plan, folder).unwrap_or_default();
    let findings = findings.iter().map(|(at, error)| {
        let when = declared
            .pipeline
            .notify
            .get(*at)
            .and_then(|one| one.when.as_ref());
        told(
            &declared,
            when.map(|when| when.sql.span()),
            &error.to_string(),
            NAMES,
        )
    });
    let mut told: Vec<Diagnostic> = checks.collect();
    let mut of_findings: Vec<Diagnostic> = findings.collect();
    declared.variables.hide(&mut of_findings);
    match on_broken_finding {
        OnBrokenFinding::Refuse => told.extend(of_findings),
        OnBrokenFinding::Warn => {
            plan.warnings
                .extend(of_findings.into_iter().map(|found| Diagnostic {
                    is_warning: true,
                    ..found
                }))
        }
    }
    declared.variables.hide(&mut told);
    if told.is_empty() {
        Ok(plan)
    } else {
        told.extend(plan.warnings);
        Err(Diagnostics(told))
    }
}

/// Returns a diagnostic if `load.lake` names no lake relative to the pipeline's file, but names one
/// relative to the working directory, where earlier versions looked.
fn moved_lake(declared: &LoadedPipeline) -> Option<Diagnostic> {
    let written = declared.pipeline.load.lake.as_ref()?;
    let (old, new) = (&written.value, &declared.lake);
    if is_lake(new) || !holds_pipeline(old, &declared.pipeline.pipeline) {
        return None;
    }
    let message = format!(
        "`load.lake` is relative to this file: there is no lake at {}, but one at {}",
        full_path(new).display(),
        full_path(old).display()
    );
    let hint = format!(
        "correct `load.lake`, move the lake, or give `--lake {}`",
        shell_word(&old.to_string_lossy())
    );
    Some(Diagnostic::error(&declared.file, Some(written.span()), message).hint(hint))
}

/// Returns true if a folder is a lake with runs of the pipeline, or one that cannot be read.
fn holds_pipeline(folder: &Path, pipeline: &str) -> bool {
    let commits = || Lake::open_existing(folder)?.commits();
    is_lake(folder) && commits().map_or(true, |all| all.iter().any(|c| c.pipeline == pipeline))
}

/// Returns the diagnostic of a query that cannot run. `error` is the reason, and `hint` what to do
/// unless it is about files.
fn told(
    declared: &LoadedPipeline,
    span: Option<Range<usize>>,
    error: &str,
    hint: &'static str,
) -> Diagnostic {
    // The rest is the query with a caret, which the diagnostic shows itself.
    let words = error.split("\n\nLINE").next().unwrap_or_default();
    let words: Vec<&str> = words.split_whitespace().collect();
    let message = format!("this query cannot run: {}", words.join(" "));
    let is_of_files = words.first() == Some(&"Permission");
    let hint = if is_of_files { FILES } else { hint };
    Diagnostic::error(&declared.file, span, message).hint(hint)
}

const FILES: &str = "a query of a pipeline can read only the tables and marts of the lake";

const HINT: &str = "`redlake schema list` names tables and views; `run.<table>` holds only this \
                    run's rows";

const NAMES: &str = "`redlake schema list` names tables, views and marts";
