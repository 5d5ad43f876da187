//! `redlake export`: a lake for people and programs that do not have its folder.

mod charts;
mod database;
mod superset;

use clap::{Args, Subcommand};

use crate::cli::Common;
use crate::cli::error::CliError;
use crate::cli::exit_code::ExitCode;
use crate::cli::output::format::Format;

#[derive(Debug, Args)]
pub struct LakeExportArgs {
    #[command(subcommand)]
    command: LakeExportCommand,
}

#[derive(Debug, Subcommand)]
enum LakeExportCommand {
    /// Write one DuckDB file with the tables, marts and views of the lake
    ///
    /// The file has the rows of one moment, whatever runs commit meanwhile. An earlier export at the same
    /// place is replaced at once; programs that have it open keep the old one.
    #[command(name = "duckdb")]
    Database(database::DatabaseArgs),
    /// Write a dashboard that Superset imports, with its connection, datasets and charts
    Superset(superset::SupersetArgs),
}

pub fn main(args: &LakeExportArgs, common: &Common) -> Result<ExitCode, CliError> {
    match &args.command {
        LakeExportCommand::Database(args) => database::main(args, common),
        LakeExportCommand::Superset(args) => {
            common.only(&[Format::Table])?;
            superset::main(args, common)
        }
    }
}
