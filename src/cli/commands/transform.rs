//! `redlake transform`.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use chrono_tz::Tz;
use clap::Args;

use crate::cli::error::CliError;
use crate::cli::error::explain::decide;
use crate::cli::exit_code::ExitCode;
use crate::cli::output::format::Format;
use crate::cli::output::print::{counted, grouped, is_closed_pipe};
use crate::cli::{Common, ResourceArgs};
use crate::load::Lake;
use crate::maintenance::retransform::{OtherPages, Retransformed, retransform};
use crate::maintenance::stream::{Passed, Piped, pipe};
use crate::plan::Privacy;
use crate::run::catalog;
use crate::run::error::RunError;
use crate::spec::pipeline::{OnBadValue, OnUnknownField};
use crate::spec::yaml::diagnostic::nearest;
use crate::transform::contracts::Transform;

#[derive(Debug, Args)]
pub struct TransformArgs {
    /// Pipeline that made the raw files. Optional with --in; without it, no `timezone`, `contract`
    /// or `privacy` applies
    #[arg(required_unless_present = "input")]
    pipeline: Option<PathBuf>,
    /// Raw files from the lake's folder raw/. The rows of their runs are replaced
    #[arg(long, required_unless_present = "input", num_args = 1.., value_name = "PATH")]
    raw: Vec<PathBuf>,
    /// Read raw pages from a file without a lake: JSON lines, plain or zstd; - is stdin
    #[arg(long = "in", id = "input", value_name = "FILE", conflicts_with = "raw", requires_all = ["table", "output"])]
    input: Option<PathBuf>,
    /// Write one table to a file, as an Arrow IPC stream; - is stdout
    #[arg(long = "out", id = "output", value_name = "FILE", requires = "input")]
    output: Option<PathBuf>,
    /// Table to write to --out
    #[arg(long, value_name = "TABLE", requires = "input")]
    table: Option<String>,
    /// Time zone of the business dates, if no pipeline is given
    #[arg(
        long,
        value_name = "ZONE",
        requires = "input",
        conflicts_with = "pipeline",
        default_value = "Asia/Shanghai"
    )]
    timezone: Tz,
    /// Replace the rows of a run even if its raw files lack pages of its ledger. The rows of
    /// damaged and missing pages are lost
    #[arg(long, conflicts_with = "input")]
    without_damaged: bool,
    #[command(flatten)]
    resources: ResourceArgs,
}

pub fn main(args: &TransformArgs, common: &Common) -> Result<ExitCode, CliError> {
    if let (Some(input), Some(output), Some(table)) = (&args.input, &args.output, &args.table) {
        return through(args, common, (input, output), table);
    }
    let format = common.text_or_json()?;
    let pipeline = args.pipeline.as_deref().unwrap_or(Path::new(""));
    let (plan, _) = common.plan(pipeline)?;
    let transform = Transform::of(&plan)?;
    let (root, resources) = (common.lake_of(&plan), args.resources.resources());
    let other_pages = if args.without_damaged {
        OtherPages::Accept
    } else {
        OtherPages::Refuse
    };
    let replaced = retransform(&plan, &transform, &root, &args.raw, other_pages, resources)?;
    format.print_list(&replaced, &replaced, || summary(&replaced))?;
    catalog::write(&Lake::open_existing(&root)?, &plan.contracts).map_err(CliError::no_catalog)?;
    let held = |run: &&Retransformed| run.held;
    let held: Vec<&Retransformed> = replaced.iter().filter(held).collect();
    let Some(first) = held.first() else {
        return Ok(ExitCode::Complete);
    };
    let reason = first.reason.as_deref().unwrap_or_default();
    let error = match held.len() {
        1 => anyhow::anyhow!("run {}: {reason}; its tables are held", first.run_id),
        n => anyhow::anyhow!(
            "{n} runs are held; the first of them is {}: {reason}",
            first.run_id
        ),
    };
    Err(CliError::new(
        ExitCode::Refused,
        error,
        Some(decide(&first.run_id, &root)),
    ))
}

/// Transforms the pages of a stream into one table, without a lake.
fn through(
    args: &TransformArgs,
    common: &Common,
    (input, output): (&Path, &Path),
    table: &str,
) -> Result<ExitCode, CliError> {
    common.only(&[Format::Table])?;
    if args.resources.threads.is_some() {
        let hint = "run one process for each part of the raw zone";
        return Err(CliError::usage("--in uses one thread", hint));
    }
    let mut piped = Piped {
        table,
        memory: args.resources.resources().memory,
        pipeline: None,
        timezone: args.timezone,
        on_unknown_field: OnUnknownField::default(),
        on_bad_value: OnBadValue::default(),
    };
    let plan = match &args.pipeline {
        Some(pipeline) => Some(common.plan(pipeline)?.0),
        None => None,
    };
    let transform = match &plan {
        Some(plan) => {
            piped.pipeline = Some(&plan.pipeline);
            piped.timezone = plan.timezone;
            piped.on_unknown_field = plan.on_unknown_field;
            piped.on_bad_value = plan.on_bad_value;
            Transform::of(plan)?
        }
        None => Transform::new(common.contracts()?, &Privacy::default())?,
    };
    if transform.table(table).is_none() {
        let hint = match nearest(table, transform.tables()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "see `redlake schema list`".to_owned(),
        };
        return Err(CliError::usage(
            format!("no table `{table}` is made from pages"),
            hint,
        ));
    }
    let input: Box<dyn Read> = if is_standard(input) {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(input).map_err(|e| cannot("open", input, &e))?)
    };
    let passed = if is_standard(output) {
        pipe(&transform, piped, input, io::stdout())
    } else {
        to_file(output, |out| pipe(&transform, piped, input, out))?
    };
    match passed {
        Ok(passed) => told(table, passed),
        // The reader has read enough.
        Err(error) if is_closed_pipe(&error) => {}
        Err(RunError::Refused(reason)) => {
            let hint = "fix the source contract, or the pipeline's `contract:`; the output has no end \
                        marker";
            let error = anyhow::anyhow!(reason);
            return Err(CliError::new(
                ExitCode::Refused,
                error,
                Some(hint.to_owned()),
            ));
        }
        Err(error) => return Err(error.into()),
    }
    Ok(ExitCode::Complete)
}

/// Writes a file atomically: to a file beside it, which is renamed at the end. A path that is not a
/// regular file, such as a device, is written directly.
fn to_file<T>(
    path: &Path,
    write: impl FnOnce(&mut (dyn Write + Send)) -> Result<T, RunError>,
) -> Result<Result<T, RunError>, CliError> {
    let cannot = |error: io::Error| cannot("write", path, &error);
    let in_place = path.exists() && !path.is_file();
    let beside = if in_place {
        path.to_owned()
    } else {
        part_of(path)
    };
    let mut out = io::BufWriter::new(File::create(&beside).map_err(cannot)?);
    let written = write(&mut out);
    let flushed = out.flush();
    match (&written, &flushed) {
        _ if in_place => {}
        (Ok(_), Ok(())) => std::fs::rename(&beside, path).map_err(cannot)?,
        // The first error is more useful than one about the removal of the partial file.
        _ => drop(std::fs::remove_file(&beside)),
    }
    match written {
        Ok(_) => flushed.map_err(cannot).map(|()| written),
        error => Ok(error),
    }
}

/// Returns the path that a file is written to before it is renamed.
fn part_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

fn told(table: &str, passed: Passed) {
    if passed.torn {
        tracing::warn!("the input ends inside a page, which was left out");
    }
    if passed.rejects > 0 {
        tracing::warn!(
            "{} broke the contract; the table rejects lists each",
            counted(passed.rejects, "item")
        );
    }
    tracing::info!(
        "{} of {table} from {} of {}",
        counted(passed.rows, "row"),
        counted(passed.pages, "page"),
        counted(passed.runs, "run")
    );
}

fn is_standard(path: &Path) -> bool {
    path == Path::new("-")
}

fn cannot(what: &str, path: &Path, error: &io::Error) -> CliError {
    let message = format!("cannot {what} {}: {error}", path.display());
    CliError::usage(message, "give another path; - is stdin or stdout")
}

fn summary(replaced: &[Retransformed]) -> String {
    let mut out = String::new();
    for run in replaced {
        if let Some(reason) = &run.reason {
            let _ = writeln!(out, "run {}: held, {reason}", run.run_id);
            continue;
        }
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
