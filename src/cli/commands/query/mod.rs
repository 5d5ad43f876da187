//! `redlake query`.

mod prompt;
mod results;
mod statement;
mod typing;
mod zone;

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Read};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use chrono_tz::Tz;
use clap::{Args, ValueEnum};
use tempfile::TempDir;

use crate::cli::Common;
use crate::cli::error::CliError;
use crate::cli::exit_code::ExitCode;
use crate::cli::output::format::Format;
use crate::cli::output::instants::InstantForm;
use crate::cli::output::relation::CsvDialect;
use crate::load::Lake;
use crate::spec::words::Instant;
use crate::spec::yaml::text_file::read_text;
use results::ResultForm;
use statement::Queries;

#[derive(Debug, Args)]
pub struct QueryArgs {
    /// SQL [default: read stdin, or prompt for it on a terminal]. With several statements, the last
    /// gives the result
    #[arg(conflicts_with = "file")]
    sql: Option<String>,
    /// Read the SQL from a file
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Value of the parameter `$NAME` in the SQL. It is a string: cast it for another type
    /// (`$min::bigint`)
    #[arg(short, long = "param", value_name = "NAME=VALUE", value_parser = parameter)]
    params: Vec<(String, String)>,
    /// Query only runs that were committed by this time, such as 2026-11-21T08:00:00+08:00. Marts
    /// cannot be queried
    #[arg(long, value_name = "RFC3339")]
    as_of: Option<Instant>,
    /// Write the result to a file. Its name sets the format: .parquet, .csv, .xlsx, .ndjson, .json
    /// or .md
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// CSV that Excel opens: with a mark of UTF-8, lines that end with CR LF, and instants such as
    /// 2026-02-20 08:19:40 in the time zone of the query
    #[arg(long)]
    excel: bool,
    /// Let the SQL read and write files other than tables and marts
    #[arg(long)]
    allow_files: bool,
    /// Time zone of dates, hours and printed instants, such as Asia/Shanghai [default: that of the
    /// lake's pipelines, or UTC if they differ]. With it, csv, json and ndjson have local instants,
    /// too, and not UTC
    #[arg(long, value_name = "ZONE", value_parser = zone::parse)]
    timezone: Option<Tz>,
    /// Print each value on a line of its own, for rows that are wider than the terminal
    #[arg(long)]
    expanded: bool,
    /// Print tables that are longer than the screen without a pager
    #[arg(long)]
    no_pager: bool,
}

fn parameter(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or("write NAME=VALUE, for example keyword=serum")?;
    Ok((name.to_owned(), value.to_owned()))
}

pub fn main(args: &QueryArgs, common: &Common) -> Result<ExitCode, CliError> {
    let sql = statement(args)?;
    let format = format(args, common)?;
    common.check_pretty(format)?;
    if args.expanded && (format != Format::Table || args.output.is_some()) {
        let hint = "leave out --expanded, or print a table";
        return Err(CliError::usage("--expanded is for tables on stdout", hint));
    }
    if args.excel && format != Format::Csv {
        let hint = "add --format csv or -o FILE.csv; .xlsx files do not need it";
        return Err(CliError::usage("--excel is for CSV", hint));
    }
    let contracts = common.contracts()?;
    let lake = Lake::open_existing(&common.lake())?;
    let zone = args.timezone.unwrap_or_else(|| zone::of_lake(&lake));
    let parameters: BTreeMap<String, String> = args.params.iter().cloned().collect();
    let queries = Queries {
        lake,
        contracts,
        as_of: args.as_of,
        allows_files: args.allow_files,
        zone,
        form: ResultForm {
            format,
            is_pretty: common.pretty,
            is_expanded: args.expanded,
            csv: if args.excel {
                CsvDialect::Excel
            } else {
                CsvDialect::Plain
            },
            instants: instant_form(format, args),
        },
        uses_pager: !args.no_pager,
        output: args.output.clone(),
        scratch: TempDir::new().ok(),
        running: Arc::default(),
        is_last: sql.is_some(),
    };
    match sql {
        Some(sql) => queries.run(&sql, &parameters)?,
        None => prompt::read_and_run(queries, &parameters)?,
    }
    Ok(ExitCode::Complete)
}

/// Returns the form of instants. People read local times; programs get UTC, unless a zone is asked for.
fn instant_form(format: Format, args: &QueryArgs) -> InstantForm {
    match (format, args.timezone.is_some()) {
        (Format::Csv, _) if args.excel => InstantForm::Clock,
        (Format::Xlsx, _) => InstantForm::AsIs,
        (Format::Table | Format::Markdown, _) => InstantForm::Local,
        (Format::Csv | Format::Json | Format::Ndjson, true) => InstantForm::Rfc3339,
        (Format::Parquet, true) => InstantForm::AsIs,
        (Format::Csv | Format::Json | Format::Ndjson | Format::Parquet, false) => InstantForm::Utc,
    }
}

/// Returns the requested format, which `--format` or the extension of the output file gives.
fn format(args: &QueryArgs, common: &Common) -> Result<Format, CliError> {
    let Some(path) = &args.output else {
        common.check_printable()?;
        if common.format == Format::Parquet && io::stdout().is_terminal() {
            let hint = "write it to a file with -o FILE.parquet, or redirect it with >";
            return Err(CliError::usage("cannot write Parquet to a terminal", hint));
        }
        return Ok(common.format);
    };
    let ending = path
        .extension()
        .and_then(|e| e.to_str())
        .unwrap_or_default()
        .to_lowercase();
    match ending.as_str() {
        "md" => Ok(Format::Markdown),
        ending => Format::from_str(ending, false).map_err(|_| {
            CliError::usage(
                format!("unknown file type: {}", path.display()),
                "use a name that ends with .parquet, .csv, .xlsx, .ndjson, .json or .md",
            )
        }),
    }
}

/// Returns the SQL of the arguments, of a file or of stdin. `None` if people are to type it: stdin and
/// stdout are a terminal.
fn statement(args: &QueryArgs) -> Result<Option<String>, CliError> {
    let from_file = |path: &PathBuf| {
        read_text(path).map_err(|e| {
            CliError::usage(
                format!("cannot read {}: {e}", path.display()),
                "give a file with SQL, or the SQL itself on stdin",
            )
        })
    };
    let sql = match (&args.sql, &args.file) {
        (Some(sql), _) => sql.clone(),
        (None, Some(path)) => from_file(path)?,
        (None, None) if io::stdin().is_terminal() => {
            if args.output.is_none() && io::stdout().is_terminal() {
                return Ok(None);
            }
            String::new()
        }
        (None, None) => {
            let mut sql = String::new();
            io::stdin()
                .read_to_string(&mut sql)
                .context("cannot read the SQL from stdin")
                .map_err(|error| CliError::new(ExitCode::Internal, error, None))?;
            sql
        }
    };
    if sql.trim_matches([';', ' ', '\t', '\r', '\n']).is_empty() {
        let hint = "for example: redlake query \"select count(*) from notes\"";
        return Err(CliError::usage("there is no SQL to run", hint));
    }
    Ok(Some(sql))
}
