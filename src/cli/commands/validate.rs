//! `redlake validate`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde::Serialize;

use crate::cli::Common;
use crate::cli::commands::checks::{OnBrokenFinding, checked_plan};
use crate::cli::environment::Environment;
use crate::cli::error::CliError;
use crate::cli::exit_code::ExitCode;
use crate::cli::output::print::{ReportFormat, print_text};
use crate::load::evolution::{self, Purpose};
use crate::load::{Lake, LakeError};
use crate::plan::Privacy;
use crate::spec::contracts::Contracts;
use crate::spec::load::load_pipeline;
use crate::spec::yaml::diagnostic::{Diagnostic, Diagnostics};
use crate::transform::contracts::Transform;

#[derive(Debug, Args)]
pub struct ValidateArgs {
    /// Pipelines to check
    #[arg(required = true)]
    pipelines: Vec<PathBuf>,
}

pub fn main(args: &ValidateArgs, common: &Common) -> Result<ExitCode, CliError> {
    let format = common.text_or_json()?;
    let Checked { valid, found } = check(args, common, format)?;
    let mistakes = found.mistakes();
    if format != ReportFormat::Text {
        let report = Report {
            valid: mistakes == 0,
            pipelines: &valid,
            diagnostics: found.0.iter().map(Told::of).collect(),
        };
        format.print_list(&report, &report.diagnostics, String::new)?;
        return Ok(if report.valid {
            ExitCode::Complete
        } else {
            ExitCode::Usage
        });
    }
    let lines = valid.iter().map(|pipeline| {
        let (path, calls) = (&pipeline.path, pipeline.calls);
        let plural = if calls == 1 { "" } else { "s" };
        format!("{path}: valid, at most {calls} call{plural} a run\n")
    });
    print_text(&lines.collect::<String>())?;
    if mistakes == 0 {
        Ok(ExitCode::Complete)
    } else {
        Err(found.into())
    }
}

/// Output of `--format json`.
#[derive(Serialize)]
struct Report<'a> {
    valid: bool,
    /// Pipelines without a mistake of their own.
    pipelines: &'a [Valid],
    diagnostics: Vec<Told<'a>>,
}

#[derive(Serialize)]
struct Valid {
    path: String,
    /// Maximum number of calls of a run.
    calls: u64,
}

/// A diagnostic for programs.
#[derive(Serialize)]
struct Told<'a> {
    path: String,
    /// Line number from 1. `None` for a diagnostic of the whole file.
    line: Option<usize>,
    /// Column in characters, from 1.
    column: Option<usize>,
    severity: &'static str,
    message: &'a str,
    hint: Option<&'a str>,
}

impl<'a> Told<'a> {
    fn of(diagnostic: &'a Diagnostic) -> Self {
        let (line, column) = diagnostic.position().unzip();
        Told {
            path: diagnostic.file.path().display().to_string(),
            line,
            column,
            severity: if diagnostic.is_warning {
                "warning"
            } else {
                "error"
            },
            message: &diagnostic.message,
            hint: diagnostic.hint.as_deref(),
        }
    }
}

struct Checked {
    valid: Vec<Valid>,
    found: Diagnostics,
}

/// Checks the contracts, the pipelines, and the lakes that they write to. Warnings of valid
/// pipelines are returned for JSON and logged otherwise.
fn check(args: &ValidateArgs, common: &Common, format: ReportFormat) -> Result<Checked, CliError> {
    let mut valid = Vec::new();
    let mut found = Vec::new();
    let mut all_contracts = LoadedContracts::default();
    let mut lakes = BTreeMap::new();
    // Contracts that the command names are checked even if no pipeline can be read.
    if common.schemas.is_some()
        && all_contracts
            .of(common.schemas.clone(), &mut found)
            .is_none()
    {
        let found = Diagnostics(found);
        return Ok(Checked { valid, found });
    }
    for path in &args.pipelines {
        let environment = Environment::beside(path)?;
        let planned = load_pipeline(path, &|name| environment.get(name)).and_then(|loaded| {
            let folder = common.schemas_of(&loaded).map(Path::to_owned);
            // Mistakes in contracts are reported once, for the first pipeline that uses them.
            let Some(contracts) = all_contracts.of(folder, &mut found) else {
                return Ok(None);
            };
            checked_plan(
                loaded,
                contracts,
                common.lake.as_deref(),
                OnBrokenFinding::Refuse,
            )
            .map(Some)
        });
        match planned {
            Ok(None) => {}
            Ok(Some(plan)) => {
                match format {
                    ReportFormat::Json | ReportFormat::PrettyJson | ReportFormat::Ndjson => {
                        found.extend(plan.warnings.iter().cloned());
                    }
                    ReportFormat::Text => common.warn(&plan),
                }
                lakes.insert(common.lake_of(&plan), Arc::clone(&plan.contracts));
                valid.push(Valid {
                    path: path.display().to_string(),
                    calls: plan.estimate().calls,
                });
            }
            Err(Diagnostics(more)) => found.extend(more),
        }
    }
    for (lake, contracts) in lakes {
        found.extend(differences(&lake, &contracts)?);
    }
    let found = Diagnostics(found);
    Ok(Checked { valid, found })
}

/// Contracts by folder; `None` is the built-in ones.
#[derive(Default)]
struct LoadedContracts(BTreeMap<Option<PathBuf>, Option<Arc<Contracts>>>);

impl LoadedContracts {
    /// Returns the contracts in a folder, loaded and compiled once. `None` if they have mistakes, which
    /// are added to `found` by the first call.
    fn of(
        &mut self,
        folder: Option<PathBuf>,
        found: &mut Vec<Diagnostic>,
    ) -> Option<Arc<Contracts>> {
        let loaded = self.0.entry(folder).or_insert_with_key(|folder| {
            let contracts = Contracts::load(folder.as_deref()).map(Arc::new);
            let contracts = contracts
                .map_err(|Diagnostics(more)| found.extend(more))
                .ok()?;
            if let Err(Diagnostics(more)) = Transform::new(contracts.clone(), &Privacy::default()) {
                found.extend(more);
            }
            Some(contracts)
        });
        loaded.clone()
    }
}

/// Returns the differences between a lake and the contracts. Logs tables that no contract declares.
/// Empty if there is no lake.
fn differences(root: &Path, contracts: &Contracts) -> Result<Vec<Diagnostic>, CliError> {
    let lake = match Lake::open_existing(root) {
        Err(LakeError::Missing(_)) => return Ok(Vec::new()),
        lake => lake?,
    };
    for table in evolution::undeclared(&lake.columns()?, &contracts.relations()) {
        tracing::warn!(
            "the lake {} holds the table `{table}`, which no contract declares: no view shows it",
            root.display()
        );
    }
    match lake.check(contracts, Purpose::Add) {
        Err(LakeError::Contracts(Diagnostics(found))) => Ok(found),
        checked => Ok(checked.map(|()| Vec::new())?),
    }
}
