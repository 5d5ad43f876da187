//! `redlake validate`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::error::CliError;
use super::output::print_text;
use super::{Common, Format};
use crate::plan::Privacy;
use crate::spec::diagnostic::Diagnostics;
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
    for path in &args.pipelines {
        let planned = load_pipeline(path, &super::env)
            .and_then(|loaded| crate::plan::plan(loaded, contracts.clone()));
        match planned {
            Ok(plan) => {
                common.warn(&plan);
                let calls = plan.estimate().calls;
                valid.push_str(&format!(
                    "{}: valid, at most {calls} calls a run\n",
                    path.display()
                ));
            }
            Err(Diagnostics(more)) => found.extend(more),
        }
    }
    print_text(&valid)?;
    if found.is_empty() {
        Ok(ExitCode::SUCCESS)
    } else {
        Err(Diagnostics(found).into())
    }
}
