//! `redlake schema`.

mod docs;
mod export;
mod suggest;

use std::fmt::Write as _;

use clap::{Args, Subcommand};
use indexmap::IndexMap;

use crate::cli::Common;
use crate::cli::error::CliError;
use crate::cli::exit_code::ExitCode;
use crate::cli::output::format::Format;
use crate::cli::output::print::print_text;
use crate::query::views::{View, derived};
use crate::spec::pipeline::Pipeline;
use crate::spec::table::{Column, Table};
use crate::spec::yaml::diagnostic::nearest;

#[derive(Debug, Args)]
pub struct SchemaArgs {
    #[command(subcommand)]
    command: SchemaCommand,
}

#[derive(Debug, Subcommand)]
enum SchemaCommand {
    /// List the tables and views, one per line
    List,
    /// Show the columns of a table or view
    Show {
        /// Name of a table or view, such as notes or notes_latest
        table: String,
    },
    /// Print all tables as one Markdown document, with a list of the columns that hold personal data
    Docs,
    /// Print YAML lines that add unknown fields to the contracts as columns
    Suggest(suggest::SuggestArgs),
    /// Write the built-in contracts to a folder, to change them
    Export(export::ExportArgs),
    /// Print the JSON Schema of pipeline files, for editors
    JsonSchema,
}

pub fn main(args: &SchemaArgs, common: &Common) -> Result<ExitCode, CliError> {
    let tables = || common.contracts().map(|contracts| contracts.relations());
    let text = match &args.command {
        SchemaCommand::Suggest(args) => return suggest::main(args, common),
        SchemaCommand::Export(args) => return export::main(args),
        SchemaCommand::List => list(&tables()?),
        SchemaCommand::Show { table } => show(table, &tables()?)?,
        SchemaCommand::Docs => docs::document(&tables()?),
        SchemaCommand::JsonSchema => pipeline_json_schema(),
    };
    common.only(&[Format::Table])?;
    print_text(&text)?;
    Ok(ExitCode::Complete)
}

/// Returns the JSON Schema of pipeline files, as in `schemas/pipeline.schema.json`.
pub fn pipeline_json_schema() -> String {
    let schema = schemars::schema_for!(Pipeline);
    format!("{:#}\n", schema.as_value())
}

/// Returns a line for each table, followed by one for each view that is derived from it.
fn list(tables: &IndexMap<String, Table>) -> String {
    let mut text = String::new();
    for table in tables.values() {
        let about = first_sentence(&table.description);
        let _ = writeln!(text, "{:<21}{about}", table.name());
        for view in derived(table) {
            let _ = writeln!(text, "  {:<19}{}", view.name, view.description);
        }
    }
    text
}

fn show(name: &str, tables: &IndexMap<String, Table>) -> Result<String, CliError> {
    if let Some(table) = tables.get(name) {
        return Ok(columns(name, &table.description, &table.columns));
    }
    let views: Vec<View> = tables.values().flat_map(derived).collect();
    if let Some(view) = views.iter().find(|view| view.name == name) {
        return Ok(columns(name, &view.description, &view.columns));
    }
    let views = views.iter().map(|view| view.name.as_str());
    let near = nearest(name, tables.keys().map(String::as_str).chain(views));
    let hint = near.map_or("see `redlake schema list`".into(), |near| {
        format!("did you mean `{near}`?")
    });
    let message = format!("there is no table or view `{name}`");
    Err(CliError::usage(message, hint))
}

fn columns(name: &str, description: &str, columns: &IndexMap<String, Column>) -> String {
    let mut text = format!("{name}: {description}\n\n");
    for (name, column) in columns {
        let unit = column
            .unit
            .as_ref()
            .map_or(String::new(), |u| format!(" [{u}]"));
        let required = if column.required { "" } else { ", may be null" };
        let personal = if column.personal { ", personal" } else { "" };
        let free_text = if column.free_text { ", free text" } else { "" };
        let kind = column.type_in_words();
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
