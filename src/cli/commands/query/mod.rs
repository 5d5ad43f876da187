//! `redlake query`.

mod results;
mod zone;

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Read};
use std::path::PathBuf;

use anyhow::Context;
use chrono_tz::Tz;
use clap::{Args, ValueEnum};
use indexmap::IndexMap;
use tempfile::TempDir;

use crate::cli::Common;
use crate::cli::error::CliError;
use crate::cli::exit_code::ExitCode;
use crate::cli::output::format::Format;
use crate::cli::output::instants::InstantForm;
use crate::cli::output::relation::CsvDialect;
use crate::load::Lake;
use crate::query::catalog::named_in;
use crate::query::duckdb::QueryError;
use crate::run::catalog::{self, Opened};
use crate::spec::contracts::Contracts;
use crate::spec::mart::Mart;
use crate::spec::table::Table;
use crate::spec::words::Instant;
use crate::spec::yaml::text_file::read_text;
use results::{Failed, ResultForm, print, write_file};

#[derive(Debug, Args)]
pub struct QueryArgs {
    /// SQL [default: read stdin]. With several statements, the last gives the result
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
    let all = match args.as_of {
        None => contracts.relations(),
        Some(_) => contracts.tables_and_views(),
    };
    let zone = args.timezone.unwrap_or_else(|| zone::of_lake(&lake));
    let form = ResultForm {
        format,
        is_pretty: common.pretty,
        is_expanded: args.expanded,
        csv: if args.excel {
            CsvDialect::Excel
        } else {
            CsvDialect::Plain
        },
        instants: instant_form(format, args),
    };
    // Without a folder for temporary files, nothing is spilled.
    let scratch = TempDir::new().ok();
    let answer = |tables: &IndexMap<String, Table>| {
        let database = open(&lake, tables, args, zone, scratch.as_ref())?;
        let parameters: BTreeMap<String, String> = args.params.iter().cloned().collect();
        let mut is_repeatable = true;
        let written = database.stream(&sql, &parameters, |schema, batches| {
            // Rows that are printed as they arrive cannot be withdrawn.
            let waits = args.output.is_some() || format == Format::Table;
            let mut batches = batches.peekable();
            if let Some(Err(error)) = batches.next_if(Result::is_err) {
                return Err(Failed::Query(error));
            }
            is_repeatable = waits;
            match &args.output {
                Some(path) => write_file(path, form, &schema, &mut batches),
                None => print(form, &schema, &mut batches),
            }
        });
        // With --allow-files the SQL may already have written files.
        is_repeatable &= !args.allow_files;
        let written = written.map_err(Failed::Query).and_then(|written| written);
        Ok::<_, CliError>((written, is_repeatable))
    };
    let named = named_in(&sql, &all);
    let mut tables = &named;
    let mut gone = 0;
    loop {
        match answer(tables)? {
            // The SQL may name a view in a way that was not recognized, or a wrong one. With all
            // tables, DuckDB finds it or suggests similar names.
            (Err(Failed::Query(error)), _) if tables.len() < all.len() && error.is_of_names() => {
                tables = &all;
            }
            // A commit of a run or of marts has replaced the file. Commits do not wait for readers.
            (Err(Failed::Query(error)), true) if gone < AGAIN && error.is_of_gone_file() => {
                gone += 1;
            }
            (Err(Failed::Query(error)), _) if args.as_of.is_some() && error.is_of_names() => {
                return Err(of_past_mart(error, &contracts));
            }
            (written, _) => {
                written?;
                return Ok(ExitCode::Complete);
            }
        }
    }
}

/// Maximum number of retries of a query because a file is gone.
const AGAIN: u32 = 5;

/// Returns the error of a query with --as-of that names an unknown table. It has a hint if the name
/// is that of a mart.
fn of_past_mart(error: QueryError, contracts: &Contracts) -> CliError {
    let words = error.to_string();
    let is_named = |mart: &&Mart| words.contains(&format!("with name {} ", mart.table.name()));
    let Some(mart) = contracts.marts.values().find(is_named) else {
        return error.into();
    };
    let reads: Vec<&str> = mart.reads.keys().map(String::as_str).collect();
    CliError::usage(
        format!(
            "`{}` is a mart, and --as-of supports only tables and their views",
            mart.table.name()
        ),
        format!(
            "leave out --as-of, or query the tables that the mart reads: {}",
            reads.join(", ")
        ),
    )
}

/// Opens the lake as of `--as-of`. Without `--allow-files` the queries can read the lake's files
/// only.
fn open(
    lake: &Lake,
    tables: &IndexMap<String, Table>,
    args: &QueryArgs,
    zone: Tz,
    scratch: Option<&TempDir>,
) -> Result<Opened, CliError> {
    let database = match args.as_of {
        None => catalog::open_still(lake, tables)?,
        Some(Instant(at)) => catalog::open_as_of(lake, tables, at.to_utc())?,
    };
    database.spill_to(scratch.map(TempDir::path))?;
    database.set_time_zone(zone)?;
    if !args.allow_files {
        database.confine(lake.root())?;
    }
    Ok(database)
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
        .unwrap_or_default();
    match ending {
        "md" => Ok(Format::Markdown),
        ending => Format::from_str(ending, false).map_err(|_| {
            CliError::usage(
                format!("unknown file type: {}", path.display()),
                "use a name that ends with .parquet, .csv, .xlsx, .ndjson, .json or .md",
            )
        }),
    }
}

fn statement(args: &QueryArgs) -> Result<String, CliError> {
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
        (None, None) if io::stdin().is_terminal() => String::new(),
        (None, None) => {
            let mut sql = String::new();
            io::stdin()
                .read_to_string(&mut sql)
                .context("cannot read the SQL from stdin")
                .map_err(|error| CliError::new(ExitCode::Internal, error, None))?;
            sql
        }
    };
    if sql.trim().is_empty() {
        let hint = "for example: redlake query \"select count(*) from notes\"";
        return Err(CliError::usage("there is no SQL to run", hint));
    }
    Ok(sql)
}
