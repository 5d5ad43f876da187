//! `redlake report`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use chrono::NaiveDate;
use clap::{Args, ValueEnum};

use crate::cli::Common;
use crate::cli::error::CliError;
use crate::cli::exit_code::ExitCode;
use crate::cli::reporting::write_report;
use crate::load::Lake;
use crate::report::ReportRequest;
use crate::report::error::ReportError;
use crate::spec::words::Language;

#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Write the report to this file, such as report.html
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Cover only this pipeline; can be repeated [default: all]
    #[arg(long, value_name = "NAME")]
    pipeline: Vec<String>,
    /// Begin with the week of this business date [default: the eight weeks up to the newest date]
    #[arg(long, value_name = "DATE")]
    since: Option<NaiveDate>,
    /// Keyword of your own brand; can be repeated [default: those with the label `own`]
    #[arg(long, value_name = "KEYWORD")]
    brand: Vec<String>,
    /// Language [default: zh if the pipelines' time zones are in China, or en]
    #[arg(long, value_enum)]
    lang: Option<LanguageArg>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LanguageArg {
    En,
    Zh,
}

impl From<LanguageArg> for Language {
    fn from(language: LanguageArg) -> Self {
        match language {
            LanguageArg::En => Language::En,
            LanguageArg::Zh => Language::Zh,
        }
    }
}

pub fn main(args: &ReportArgs, common: &Common) -> Result<ExitCode, CliError> {
    let contracts = common.contracts()?;
    let lake = Lake::open_existing(&common.lake())?;
    let request = ReportRequest {
        since: args.since,
        brands: args.brand.clone(),
        language: args.lang.map(Language::from),
        is_simulated: has_simulated(&lake, &args.pipeline)?,
        pipelines: args.pipeline.clone(),
    };
    write_report(&lake, &contracts, &request, &args.output)?;
    tracing::info!("{} is written", args.output.display());
    Ok(ExitCode::Complete)
}

/// Returns true if any of these pipelines, or of all for none, has simulated data.
///
/// # Errors
/// The lake does not have a pipeline, or it cannot be read.
fn has_simulated(lake: &Lake, pipelines: &[String]) -> Result<bool, CliError> {
    let commits = lake.commits()?;
    let committed: BTreeSet<&String> = commits.iter().map(|commit| &commit.pipeline).collect();
    if let Some(name) = pipelines.iter().find(|name| !committed.contains(name)) {
        let (name, known) = (name.clone(), committed.into_iter().cloned().collect());
        return Err(ReportError::UnknownPipeline { name, known }.into());
    }
    let covers = |name: &String| pipelines.is_empty() || pipelines.contains(name);
    let mut covered = commits.iter().filter(|commit| covers(&commit.pipeline));
    Ok(covered.any(|commit| commit.simulated))
}
