//! The command line: one file per subcommand. Data goes to stdout, everything else to stderr.

mod commands;
mod conclusion;
mod environment;
mod error;
mod exit_code;
mod output;
mod shell;
mod signals;

use std::fmt::{self, Debug};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use tracing::field::Field;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::format::{Writer, debug_fn};

use crate::cli::output::format::Format;
use crate::cli::output::print::ReportFormat;
use crate::clock;
use crate::lake_layout::{self, DEFAULT_LAKE};
use crate::plan::Plan;
use crate::spec::contracts::Contracts;
use crate::spec::load::{LoadedPipeline, load_pipeline};
use crate::spec::yaml::escape::escaped;
use commands::checks::checked_plan;
use environment::{Environment, variable};
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
    /// Format of results
    #[arg(long, global = true, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Progress display on stderr
    #[arg(long, global = true, value_enum, default_value_t = output::progress::Mode::Auto)]
    progress: output::progress::Mode,
    /// Format of log lines on stderr
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
    /// Print only errors on stderr
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Print more on stderr; give it twice for still more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
}

/// How many threads make tables.
#[derive(Clone, Copy, Debug, Args)]
struct Threads {
    /// Threads that make tables from pages [default: one per processor]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
}

impl Threads {
    fn count(self) -> usize {
        let all = || std::thread::available_parallelism().map_or(1, usize::from);
        self.threads.map_or_else(all, usize::from)
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
    /// List the runs in the lake
    Runs(commands::runs::RunsArgs),
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

/// Parses the command line and runs the command. Prints an error with its hint.
pub fn main() -> std::process::ExitCode {
    let cli = Cli::parse();
    init_logging(&cli.common);
    match dispatch(cli) {
        Ok(code) => code.into(),
        Err(error) => {
            error.print(std::io::stderr().is_terminal());
            error.code.into()
        }
    }
}

fn dispatch(cli: Cli) -> Result<ExitCode, CliError> {
    let common = &cli.common;
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
        Command::Query(args) => commands::query::main(&args, common),
        Command::Runs(args) => commands::runs::main(&args, common),
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
        let plan = checked_plan(loaded, Arc::new(contracts), self.lake.as_deref())?;
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
            tracing::warn!("{}", warning.line());
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
        let format = self.only(&[Format::Table, Format::Json])?;
        Ok(if format == Format::Json {
            ReportFormat::Json
        } else {
            ReportFormat::Text
        })
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
            format!("use --format {}", names.join(" or ")),
        ))
    }
}

/// Parses `--lake` and `REDLAKE_LAKE`.
fn lake_folder() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new()
        .try_map(|written| lake_layout::folder(Path::new(&written), variable("HOME").as_deref()))
}

/// Sets up logging. Only redlake's own events are logged: those of an HTTP library might contain a
/// URL with the token.
fn init_logging(common: &Common) {
    let level = match (common.quiet, common.verbose) {
        (true, _) => "error",
        (false, 0) => "warn",
        (false, 1) => "info",
        (false, _) => "debug",
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(format!("redlake={level}")))
        .with_writer(std::io::stderr)
        .with_target(false)
        .log_internal_errors(false);
    match common.log_format {
        LogFormat::Text => builder
            .with_ansi(std::io::stderr().is_terminal())
            .without_time()
            .fmt_fields(debug_fn(write_field).delimited(" "))
            .init(),
        LogFormat::Json => builder.json().init(),
    }
}

/// Writes a field of a log line, escaped. Further lines of a message are indented, so that none of
/// them looks like a log line of its own.
fn write_field(out: &mut Writer<'_>, field: &Field, value: &dyn Debug) -> fmt::Result {
    let text = format!("{value:?}");
    let text = escaped(&text).replace('\n', "\n  ");
    if field.name() == "message" {
        write!(out, "{text}")
    } else {
        write!(out, "{field}={text}")
    }
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
