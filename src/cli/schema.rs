//! `redlake schema`.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::docs;
use super::error::CliError;
use super::output::print_text;
use super::{Common, Format};
use crate::spec::diagnostic::nearest;
use crate::spec::pipeline::Pipeline;
use crate::spec::table::Table;

#[derive(Debug, Args)]
pub struct SchemaArgs {
    #[command(subcommand)]
    command: SchemaCommand,
}

#[derive(Debug, Subcommand)]
enum SchemaCommand {
    /// The tables, a line each
    List,
    /// A table's columns
    Show {
        /// Name of a table, such as notes
        table: String,
    },
    /// All tables in one Markdown document, with a list of the columns that hold personal data
    Docs,
    /// The JSON Schema of pipeline files, for editors
    JsonSchema,
}

pub fn main(args: &SchemaArgs, common: &Common) -> Result<ExitCode, CliError> {
    common.only(&[Format::Table])?;
    let tables = &common.contracts()?.tables;
    let text = match &args.command {
        SchemaCommand::List => tables.values().fold(String::new(), |mut text, table| {
            let _ = writeln!(
                text,
                "{:<16}{}",
                table.name(),
                first_sentence(&table.description)
            );
            text
        }),
        SchemaCommand::Show { table } => match tables.get(table) {
            Some(table) => show(table),
            None => {
                let near = nearest(table, tables.keys().map(String::as_str));
                let hint = near.map_or("see `redlake schema list`".into(), |n| {
                    format!("did you mean `{n}`?")
                });
                return Err(CliError::usage(
                    format!("there is no table `{table}`"),
                    hint,
                ));
            }
        },
        SchemaCommand::Docs => docs::document(tables),
        SchemaCommand::JsonSchema => pipeline_json_schema(),
    };
    print_text(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// The JSON Schema of pipeline files, as `schemas/pipeline.schema.json` holds it.
pub fn pipeline_json_schema() -> String {
    let schema = schemars::schema_for!(Pipeline);
    format!("{:#}\n", schema.as_value())
}

fn show(table: &Table) -> String {
    let mut text = format!("{}: {}\n\n", table.name(), table.description);
    for (name, column) in &table.columns {
        let unit = column
            .unit
            .as_ref()
            .map_or(String::new(), |u| format!(" [{u}]"));
        let required = if column.required { "" } else { ", may be null" };
        let personal = if column.personal { ", personal" } else { "" };
        let free_text = if column.free_text { ", free text" } else { "" };
        let kind = column.kind.as_str();
        let _ = writeln!(
            text,
            "  {name}: {kind}{unit}{required}{personal}{free_text}\n      {}",
            column.description
        );
    }
    text
}

fn first_sentence(text: &str) -> &str {
    text.find(". ").map_or(text, |end| &text[..=end])
}
