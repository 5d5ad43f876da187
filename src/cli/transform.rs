//! `redlake transform`.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::error::CliError;
use super::output::{grouped, print_json, print_text};
use super::{Common, Format, Threads};
use crate::run::{Retransformed, retransform};
use crate::transform::Transform;

#[derive(Debug, Args)]
pub struct TransformArgs {
    /// The pipeline that made the raw files
    pipeline: PathBuf,
    /// Raw files, from the lake's folder raw/
    #[arg(long, required = true, num_args = 1.., value_name = "PATH")]
    raw: Vec<PathBuf>,
    #[command(flatten)]
    threads: Threads,
}

pub fn main(args: &TransformArgs, common: &Common) -> Result<ExitCode, CliError> {
    let format = common.only(&[Format::Table, Format::Json])?;
    let contracts = common.contracts()?;
    let plan = common.plan(&args.pipeline, &contracts)?;
    let transform = Transform::of(&plan)?;
    let (lake, threads) = (common.lake_of(&plan), args.threads.count());
    let replaced = retransform(&plan, &transform, &lake, &args.raw, threads)?;
    match format {
        Format::Json => print_json(&replaced)?,
        _ => print_text(&summary(&replaced))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn summary(replaced: &[Retransformed]) -> String {
    let mut out = String::new();
    for run in replaced {
        let rows = grouped(run.rows.values().sum());
        let _ = writeln!(
            out,
            "run {}: {rows} rows in {} tables, {} rejects, {} drift",
            run.run_id,
            run.rows.len(),
            run.rejects,
            run.drift
        );
    }
    out
}
