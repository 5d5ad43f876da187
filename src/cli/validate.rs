//! `redlake validate`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::checks::checked_plan;
use super::error::CliError;
use super::output::print_text;
use super::{Common, Format};
use crate::load::evolution::{self, Purpose};
use crate::load::{Lake, LakeError};
use crate::plan::Privacy;
use crate::spec::contracts::Contracts;
use crate::spec::diagnostic::{Diagnostic, Diagnostics};
use crate::spec::load::load_pipeline;
use crate::transform::Transform;

#[derive(Debug, Args)]
pub struct ValidateArgs {
    /// Pipelines to check
    #[arg(required = true)]
    pipelines: Vec<PathBuf>,
}

pub fn main(args: &ValidateArgs, common: &Common) -> Result<ExitCode, CliError> {
    common.only(&[Format::Table])?;
    let contracts = common.contracts()?;
    let mut found = Vec::new();
    if let Err(Diagnostics(more)) = Transform::new(contracts.clone(), &Privacy::default()) {
        found.extend(more);
    }
    let mut valid = String::new();
    let mut lakes = BTreeSet::new();
    for path in &args.pipelines {
        let planned = load_pipeline(path, &super::env)
            .and_then(|loaded| checked_plan(loaded, contracts.clone(), common.lake.as_deref()));
        match planned {
            Ok(plan) => {
                common.warn(&plan);
                lakes.insert(common.lake_of(&plan));
                let calls = plan.estimate().calls;
                valid.push_str(&format!(
                    "{}: valid, at most {calls} calls a run\n",
                    path.display()
                ));
            }
            Err(Diagnostics(more)) => found.extend(more),
        }
    }
    for lake in lakes {
        found.extend(differences(&lake, &contracts)?);
    }
    print_text(&valid)?;
    if found.is_empty() {
        Ok(ExitCode::SUCCESS)
    } else {
        Err(Diagnostics(found).into())
    }
}

/// What a lake holds, where there is one, and the contracts do not account for.
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
