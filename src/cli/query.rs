//! `redlake query`.

use std::io::{IsTerminal, Read};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::Common;
use super::error::CliError;
use super::output::print_batches;
use crate::load::Lake;
use crate::query::duckdb::Database;

#[derive(Debug, Args)]
pub struct QueryArgs {
    /// One SQL statement; from stdin without it
    #[arg(conflicts_with = "file")]
    sql: Option<String>,
    /// Read the statement from a file
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
}

pub fn main(args: &QueryArgs, common: &Common) -> Result<ExitCode, CliError> {
    let sql = statement(args)?;
    let contracts = common.contracts()?;
    let lake = Lake::open_existing(&common.lake())?;
    let unreadable = lake.unreadable(&contracts.tables)?;
    let database = Database::open(lake.root(), &contracts.relations(), &unreadable)?;
    let answer = database.query(&sql)?;
    print_batches(common.format, &answer.schema, &answer.batches)?;
    Ok(ExitCode::SUCCESS)
}

fn statement(args: &QueryArgs) -> Result<String, CliError> {
    let from_file = |path: &PathBuf| {
        std::fs::read_to_string(path).map_err(|e| {
            CliError::usage(
                format!("cannot read {}: {e}", path.display()),
                "give a file with SQL",
            )
        })
    };
    let sql = match (&args.sql, &args.file) {
        (Some(sql), _) => sql.clone(),
        (None, Some(path)) => from_file(path)?,
        (None, None) if std::io::stdin().is_terminal() => String::new(),
        (None, None) => {
            let mut sql = String::new();
            std::io::stdin().read_to_string(&mut sql)?;
            sql
        }
    };
    if sql.trim().is_empty() {
        let hint = "for example: redlake query \"select count(*) from notes\"";
        return Err(CliError::usage("there is no SQL to run", hint));
    }
    Ok(sql)
}
