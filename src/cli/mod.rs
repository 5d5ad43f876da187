//! The command line: one file per subcommand. Data goes to stdout, everything else to stderr.

mod commands;
mod conclusion;
mod environment;
mod error;
mod exit_code;
mod metrics;
mod notifying;
mod output;
mod reporting;
mod shell;
mod signals;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use tracing_subscriber::filter::LevelFilter;

use crate::cli::output::format::Format;
use crate::cli::output::print::ReportFormat;
use crate::cli::output::stderr::{LogFormat, LogLevel, Notice};
use crate::cli::output::{log, progress, stderr};
use crate::clock;
use crate::lake_layout::{self, DEFAULT_LAKE};
use crate::plan::Plan;
use crate::query::duckdb::processors;
use crate::spec::contracts::Contracts;
use crate::spec::load::{LoadedPipeline, load_pipeline};
use crate::transform::workers::{MEMORY, Resources};
use commands::checks::{OnBrokenFinding, checked_plan};
use environment::{Environment, variable};
use error::command_line::{is_json_requested, misuse};
use error::{CliError, ENVIRONMENT};
use exit_code::ExitCode;

/// Turn Xiaohongshu (RED) search APIs into a Parquet lake that DuckDB and BI tools read.
#[derive(Debug, Parser)]
#[command(name = "redlake", version, max_term_width = 100, after_help = ENVIRONMENT)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    common: Common,
}

/// Flags that every command takes.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Common options")]
struct Common {
    /// Folder of the lake [default: the pipeline's `load.lake`, or lake]
    #[arg(long, global = true, env = "REDLAKE_LAKE", value_name = "DIR", value_parser = lake_folder())]
    lake: Option<PathBuf>,
    /// Folder of source and table contracts that replace the built-in ones [default: the pipeline's
    /// `schemas`]
    #[arg(long, global = true, env = "REDLAKE_SCHEMAS", value_name = "DIR")]
    schemas: Option<PathBuf>,
    /// Format of results. json prints a result on one line, ndjson each item of a list
    #[arg(long, global = true, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// With --format json, print the result on many lines, indented
    #[arg(long, global = true)]
    pretty: bool,
    /// Progress display on stderr
    #[arg(long, global = true, value_enum, default_value_t = progress::Mode::Auto)]
    progress: progress::Mode,
    /// Format of everything on stderr
    #[arg(long, global = true, env = "REDLAKE_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
    /// Print only errors on stderr
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Print more on stderr; give it twice for still more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
}

/// Resources for making tables.
#[derive(Clone, Copy, Debug, Args)]
struct ResourceArgs {
    /// Threads that make tables from pages [default: one per processor]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
    /// MiB of rows in memory before they are spilled to disk; the process needs more
    #[arg(long, value_name = "MIB", default_value_t = (MEMORY >> 20) as u32,
          value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    memory: u32,
}

impl ResourceArgs {
    fn resources(self) -> Resources {
        let mib = usize::try_from(self.memory).unwrap_or(usize::MAX);
        Resources {
            threads: self.threads.map_or_else(processors, usize::from),
            memory: mib.saturating_mul(1 << 20),
        }
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a commented pipeline to start from
    Init(commands::init::InitArgs),
    /// Check the installation: version, lake, tokens, hosts, clock, disk and permissions
    Doctor(commands::doctor::DoctorArgs),
    /// Check pipelines; report every mistake with its place and a hint
    Validate(commands::validate::ValidateArgs),
    /// Show the calls and the maximum cost of a run, without any call
    Plan(commands::plan::PlanArgs),
    /// Print the newest due time of a pipeline's schedule, or the next ones
    Schedule(commands::schedule::ScheduleArgs),
    /// Print or write the files that let a scheduler run a pipeline
    Deploy(commands::deploy::DeployArgs),
    /// Extract, transform and commit
    Run(commands::run::RunArgs),
    /// Extract only: keep the pages and the ledger, but make no tables
    Extract(commands::run::RunArgs),
    /// Flatten raw files of finished runs again, offline; replaces the runs' rows
    Transform(commands::transform::TransformArgs),
    /// Update the marts from the tables, or recompute them
    Marts(commands::marts::MartsArgs),
    /// Run SQL over the lake with DuckDB
    Query(commands::query::QueryArgs),
    /// Write the lake, or views of it, to one file for other programs
    Export(commands::export::LakeExportArgs),
    /// Write a report of the lake for people: one HTML file
    Report(commands::report::ReportArgs),
    /// Show or test what the webhooks of a pipeline are told
    Notify(commands::notify::NotifyArgs),
    /// List the runs in the lake
    Runs(commands::runs::RunsArgs),
    /// Tell what is wrong: the state of pipelines and of their lake, as a health check
    Status(commands::status::StatusArgs),
    /// Show a run: its calls, its files, and the rows that failed data checks
    Show(commands::show::RunIdArgs),
    /// Commit the tables of a run that data checks held back
    Publish(commands::show::RunIdArgs),
    /// Drop the tables of a run that data checks held back
    Discard(commands::show::RunIdArgs),
    /// Merge the small files of past days
    Compact(commands::upkeep::CompactArgs),
    /// Remove raw pages, old days or a run
    Prune(commands::upkeep::PruneArgs),
    /// Compare every file with its commit
    Verify(commands::upkeep::VerifyArgs),
    /// Show the tables and their columns
    Schema(commands::schema::SchemaArgs),
    /// Serve the API simulator on loopback
    Sandbox(commands::sandbox::SandboxArgs),
    /// Print a completion script
    Completions(commands::completions::CompletionsArgs),
    /// Write the man pages
    Man(commands::man::ManArgs),
}

/// Maximum number of warnings of a pipeline on stderr.
const MOST_WARNINGS: usize = 20;

/// Parses the command line and runs the command. Prints an error with its hint.
pub fn main() -> std::process::ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(wrong) => {
            if is_json_requested(std::env::args_os().skip(1)) {
                stderr::set_up(LogFormat::Json, false);
            }
            return misuse(&wrong).into();
        }
    };
    let common = &cli.common;
    stderr::set_up(common.log_format, common.quiet);
    log::set_up(match (common.quiet, common.verbose) {
        (true, _) => LevelFilter::ERROR,
        (false, 0) => LevelFilter::WARN,
        (false, 1) => LevelFilter::INFO,
        (false, _) => LevelFilter::DEBUG,
    });
    match dispatch(cli) {
        Ok(code) => {
            stderr::print_code(code);
            code.into()
        }
        Err(error) => {
            error.print();
            error.code.into()
        }
    }
}

fn dispatch(cli: Cli) -> Result<ExitCode, CliError> {
    let common = &cli.common;
    // The file that a query writes has the format of its name.
    if !matches!(cli.command, Command::Query(_)) {
        common.check_pretty(common.format)?;
        common.check_printable()?;
    }
    if let Some(wrong) = wrong_clock(clock::now()) {
        if let Command::Run(_) | Command::Extract(_) = cli.command {
            let hint = "set the clock: every row and call of a run carries its time";
            return Err(CliError::usage(wrong, hint));
        }
        tracing::warn!("{wrong}");
    }
    match cli.command {
        Command::Init(args) => commands::init::main(&args),
        Command::Doctor(args) => commands::doctor::main(&args, common),
        Command::Validate(args) => commands::validate::main(&args, common),
        Command::Plan(args) => commands::plan::main(&args, common),
        Command::Schedule(args) => commands::schedule::main(&args, common),
        Command::Deploy(args) => commands::deploy::main(&args, common),
        Command::Run(args) => commands::run::main(&args, common, commands::run::Extent::Whole),
        Command::Extract(args) => {
            commands::run::main(&args, common, commands::run::Extent::ExtractOnly)
        }
        Command::Transform(args) => commands::transform::main(&args, common),
        Command::Marts(args) => commands::marts::main(&args, common),
        Command::Report(args) => commands::report::main(&args, common),
        Command::Query(args) => commands::query::main(&args, common),
        Command::Export(args) => commands::export::main(&args, common),
        Command::Notify(args) => commands::notify::main(&args, common),
        Command::Runs(args) => commands::runs::main(&args, common),
        Command::Status(args) => commands::status::main(&args, common),
        Command::Show(args) => commands::show::main(&args, common),
        Command::Publish(args) => commands::show::publish_main(&args, common),
        Command::Discard(args) => commands::show::discard_main(&args, common),
        Command::Compact(args) => commands::upkeep::compact_main(&args, common),
        Command::Prune(args) => commands::upkeep::prune_main(&args, common),
        Command::Verify(args) => commands::upkeep::verify_main(&args, common),
        Command::Schema(args) => commands::schema::main(&args, common),
        Command::Sandbox(args) => commands::sandbox::main(&args, common),
        Command::Completions(args) => commands::completions::main(&args),
        Command::Man(args) => commands::man::main(&args),
    }
}

/// Returns a message if `now`, the time of this machine's clock, cannot be right.
fn wrong_clock(now: DateTime<Utc>) -> Option<String> {
    let limit = clock::out_of_years(now)?;
    Some(format!(
        "this machine's clock says {}, which is {limit}",
        now.format("%F %T UTC")
    ))
}

impl Common {
    /// Returns the contracts of a command without a pipeline.
    fn contracts(&self) -> Result<Arc<Contracts>, CliError> {
        Ok(Arc::new(Contracts::load(self.schemas.as_deref())?))
    }

    /// Plans a pipeline, with its own contracts and with the variables of the file `.env` beside it.
    fn plan(&self, pipeline: &Path) -> Result<(Plan, Environment), CliError> {
        let environment = Environment::beside(pipeline)?;
        let loaded = load_pipeline(pipeline, &|name| environment.get(name))?;
        let contracts = Contracts::load(self.schemas_of(&loaded))?;
        let plan = checked_plan(
            loaded,
            Arc::new(contracts),
            self.lake.as_deref(),
            OnBrokenFinding::Warn,
        )?;
        Ok((plan, environment))
    }

    /// Returns the folder of the contracts of a pipeline; `None` for the built-in ones.
    fn schemas_of<'a>(&'a self, loaded: &'a LoadedPipeline) -> Option<&'a Path> {
        self.schemas.as_deref().or(loaded.schemas.as_deref())
    }

    /// Returns the lake of a command with a pipeline.
    fn lake_of(&self, plan: &Plan) -> PathBuf {
        self.lake.clone().unwrap_or_else(|| plan.lake.clone())
    }

    /// Returns the lake of a command without a pipeline.
    fn lake(&self) -> PathBuf {
        self.lake
            .clone()
            .unwrap_or_else(|| PathBuf::from(DEFAULT_LAKE))
    }

    /// Logs the warnings of a plan, at most [`MOST_WARNINGS`].
    fn warn(&self, plan: &Plan) {
        for warning in plan.warnings.iter().take(MOST_WARNINGS) {
            let line = |_: &str| LogLevel::Warn.log_line(&warning.line());
            Notice::about(warning).print_as(line);
        }
        let more = plan.warnings.len().saturating_sub(MOST_WARNINGS);
        if more > 0 {
            tracing::warn!(
                "warnings not shown: {more}; run `redlake validate --format json` to list all"
            );
        }
    }

    /// Returns how the result is printed: as text or as JSON.
    ///
    /// # Errors
    /// Another format is requested.
    fn text_or_json(&self) -> Result<ReportFormat, CliError> {
        Ok(
            match self.only(&[Format::Table, Format::Json, Format::Ndjson])? {
                Format::Json if self.pretty => ReportFormat::PrettyJson,
                Format::Json => ReportFormat::Json,
                Format::Ndjson => ReportFormat::Ndjson,
                Format::Table | Format::Csv | Format::Markdown | Format::Parquet | Format::Xlsx => {
                    ReportFormat::Text
                }
            },
        )
    }

    /// Checks that `--pretty` is given for JSON only.
    ///
    /// # Errors
    /// The result has another format.
    fn check_pretty(&self, format: Format) -> Result<(), CliError> {
        if !self.pretty || format == Format::Json {
            return Ok(());
        }
        let hint = "add --format json, or leave out --pretty";
        Err(CliError::usage("--pretty prints JSON only", hint))
    }

    /// Checks that the requested format can be printed.
    ///
    /// # Errors
    /// It is that of a workbook.
    fn check_printable(&self) -> Result<(), CliError> {
        if self.format != Format::Xlsx {
            return Ok(());
        }
        let hint = "write the result of a query to a file with `redlake query SQL -o FILE.xlsx`";
        Err(CliError::usage("cannot print an Excel workbook", hint))
    }

    /// Returns the requested format if `allowed` contains it.
    ///
    /// # Errors
    /// The command prints no result in this format.
    fn only(&self, allowed: &[Format]) -> Result<Format, CliError> {
        if allowed.contains(&self.format) {
            return Ok(self.format);
        }
        let name = |f: &Format| {
            f.to_possible_value()
                .map(|v| v.get_name().to_owned())
                .unwrap_or_default()
        };
        let names: Vec<String> = allowed.iter().map(name).collect();
        let message = format!("this command does not print {}", name(&self.format));
        Err(CliError::usage(
            message,
            format!("use --format {}", listed(&names)),
        ))
    }
}

/// Returns names as in `a, b or c`.
fn listed(names: &[String]) -> String {
    match names.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}

/// Parses `--lake` and `REDLAKE_LAKE`.
fn lake_folder() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new()
        .try_map(|written| lake_layout::folder(Path::new(&written), variable("HOME").as_deref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_of_another_century_is_refused() {
        let told = |at: &str| wrong_clock(at.parse().expect("a time"));
        assert_eq!(
            told("1970-01-01T00:00:07Z").as_deref(),
            Some("this machine's clock says 1970-01-01 00:00:07 UTC, which is before 1990")
        );
        assert_eq!(
            told("2106-02-07T06:28:15Z").as_deref(),
            Some("this machine's clock says 2106-02-07 06:28:15 UTC, which is after 2100")
        );
        assert_eq!(told("2026-03-09T04:00:00Z"), None);
    }
}
