//! `redlake schema`.

mod dbt;
mod docs;
mod export;
mod suggest;

use std::fmt::Write as _;

use clap::{Args, Subcommand};
use indexmap::IndexMap;
use serde::Serialize;

use crate::cli::Common;
use crate::cli::error::CliError;
use crate::cli::exit_code::ExitCode;
use crate::cli::output::format::Format;
use crate::cli::output::print::{print_as_is, print_text};
use crate::query::views::{View, derived};
use crate::spec::pipeline::Pipeline;
use crate::spec::table::{Column, RowsFrom, Table};
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
    /// Print all tables and views as sources of dbt, with types, descriptions and tests
    Dbt(dbt::DbtArgs),
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
        SchemaCommand::List => {
            let relations = list(&tables()?);
            let format = common.text_or_json()?;
            format.print_list(&relations, &relations, || listed(&relations))?;
            return Ok(ExitCode::Complete);
        }
        SchemaCommand::Show { table } => {
            let relation = show(table, &tables()?)?;
            let format = common.text_or_json()?;
            format.print_list(&relation, &relation.columns, || columns(&relation))?;
            return Ok(ExitCode::Complete);
        }
        SchemaCommand::Docs => docs::document(&tables()?),
        SchemaCommand::Dbt(args) => {
            common.only(&[Format::Table])?;
            print_as_is(&dbt::sources(args, &common.lake(), &tables()?)?)?;
            return Ok(ExitCode::Complete);
        }
        SchemaCommand::JsonSchema => pipeline_json_schema(),
    };
    common.only(&[Format::Table])?;
    print_text(&text)?;
    Ok(ExitCode::Complete)
}

/// Returns the list of tables and views as text.
pub fn list_in_words(tables: &IndexMap<String, Table>) -> String {
    listed(&list(tables))
}

/// Returns a table or view with its columns as text.
///
/// # Errors
/// There is none with this name.
pub fn columns_in_words(name: &str, tables: &IndexMap<String, Table>) -> Result<String, CliError> {
    Ok(columns(&show(name, tables)?))
}

/// Returns the JSON Schema of pipeline files, as in `schemas/pipeline.schema.json`.
pub fn pipeline_json_schema() -> String {
    let schema = schemars::schema_for!(Pipeline);
    format!("{:#}\n", schema.as_value())
}

/// A table, mart or view in the list.
#[derive(Serialize)]
struct Listed {
    name: String,
    /// `table`, `mart` or `view`.
    kind: &'static str,
    /// The table that a view is derived from. Null for a table, a mart, and a view over several tables.
    view_of: Option<String>,
    description: String,
}

const VIEW: &str = "view";

/// Returns the tables, each followed by the views that are derived from it.
fn list(tables: &IndexMap<String, Table>) -> Vec<Listed> {
    let mut relations = Vec::new();
    for table in tables.values() {
        relations.push(Listed {
            name: table.name().to_owned(),
            kind: match table.rows_from {
                RowsFrom::Pages | RowsFrom::Redlake => "table",
                RowsFrom::Tables => "mart",
                RowsFrom::Query => VIEW,
            },
            view_of: None,
            description: table.description.clone(),
        });
        relations.extend(derived(table).into_iter().map(|view| Listed {
            name: view.name,
            kind: VIEW,
            view_of: Some(table.name().to_owned()),
            description: view.description,
        }));
    }
    relations
}

/// Returns a line for each table and view. Views of a table are indented.
fn listed(relations: &[Listed]) -> String {
    let mut text = String::new();
    let shown = |relation: &Listed| {
        let indent = if relation.view_of.is_some() { 2 } else { 0 };
        relation.name.len() + indent
    };
    let width = relations.iter().map(shown).max().unwrap_or(0) + 1;
    for Listed {
        name,
        view_of,
        description,
        ..
    } in relations
    {
        let _ = match view_of {
            None => writeln!(text, "{name:<width$}{}", first_sentence(description)),
            Some(_) => writeln!(
                text,
                "  {name:<0$}{1}",
                width - 2,
                first_sentence(description)
            ),
        };
    }
    text
}

/// A table or view with its columns.
#[derive(Serialize)]
struct Described {
    name: String,
    description: String,
    columns: Vec<DescribedColumn>,
}

#[derive(Serialize)]
struct DescribedColumn {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    unit: Option<String>,
    /// True if it is never null.
    required: bool,
    personal: bool,
    free_text: bool,
    /// False if files do not have the column, because views compute it.
    in_files: bool,
    description: String,
}

fn show(name: &str, tables: &IndexMap<String, Table>) -> Result<Described, CliError> {
    if let Some(table) = tables.get(name) {
        return Ok(described(name, &table.description, table.shown_columns()));
    }
    let views: Vec<View> = tables.values().flat_map(derived).collect();
    if let Some(view) = views.iter().find(|view| view.name == name) {
        return Ok(described(name, &view.description, view.columns.iter()));
    }
    let views = views.iter().map(|view| view.name.as_str());
    let near = nearest(name, tables.keys().map(String::as_str).chain(views));
    let hint = near.map_or("see `redlake schema list`".into(), |near| {
        format!("did you mean `{near}`?")
    });
    let message = format!("there is no table or view `{name}`");
    Err(CliError::usage(message, hint))
}

fn described<'c>(
    name: &str,
    description: &str,
    columns: impl Iterator<Item = (&'c String, &'c Column)>,
) -> Described {
    let column = |(name, column): (&String, &Column)| DescribedColumn {
        name: name.clone(),
        kind: column.type_in_words(),
        unit: column.unit.clone(),
        required: column.required,
        personal: column.personal,
        free_text: column.free_text,
        in_files: column.sql.is_none(),
        description: column.description.clone(),
    };
    Described {
        name: name.to_owned(),
        description: description.to_owned(),
        columns: columns.map(column).collect(),
    }
}

fn columns(relation: &Described) -> String {
    let mut text = format!("{}: {}\n\n", relation.name, relation.description);
    for column in &relation.columns {
        let unit = column
            .unit
            .as_ref()
            .map_or(String::new(), |u| format!(" [{u}]"));
        let required = if column.required { "" } else { ", may be null" };
        let personal = if column.personal { ", personal" } else { "" };
        let free_text = if column.free_text { ", free text" } else { "" };
        let place = if column.in_files {
            ""
        } else {
            ", in views only"
        };
        let (name, kind) = (&column.name, &column.kind);
        let _ = writeln!(
            text,
            "  {name}: {kind}{unit}{required}{personal}{free_text}{place}\n      {}",
            column.description
        );
    }
    text
}

fn first_sentence(text: &str) -> &str {
    text.find(". ").map_or(text, |end| &text[..=end])
}
