//! `redlake schema dbt`: the relations of the lake as sources of dbt.

use std::path::Path;

use clap::Args;
use indexmap::IndexMap;
use serde::Serialize;

use crate::cli::error::CliError;
use crate::cli::exit_code::ExitCode;
use crate::lake_layout::{CATALOG, full_path};
use crate::query::catalog::{described, shown_type};
use crate::query::views::derived;
use crate::spec::table::{Column, Table};

#[derive(Debug, Args)]
pub struct DbtArgs {
    /// Name under which the profile of dbt attaches the lake
    #[arg(long, value_name = "NAME", default_value = "lake")]
    database: String,
}

/// A file of dbt with sources.
#[derive(Serialize)]
struct DbtFile<'f> {
    version: u8,
    sources: [DbtSource<'f>; 1],
}

#[derive(Serialize)]
struct DbtSource<'f> {
    name: &'static str,
    description: &'static str,
    database: &'f str,
    schema: &'static str,
    tables: Vec<DbtTable>,
}

#[derive(Serialize)]
struct DbtTable {
    name: String,
    description: String,
    columns: Vec<DbtColumn>,
}

#[derive(Serialize)]
struct DbtColumn {
    name: String,
    description: String,
    data_type: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    data_tests: Vec<&'static str>,
}

/// Part of a profile of dbt-duckdb.
#[derive(Serialize)]
struct DbtProfile<'f> {
    attach: [DbtAttached<'f>; 1],
}

#[derive(Serialize)]
struct DbtAttached<'f> {
    path: String,
    alias: &'f str,
    read_only: bool,
}

/// Returns the sources, after comments with the lines of the profile that attach the lake.
pub fn sources(
    args: &DbtArgs,
    lake: &Path,
    tables: &IndexMap<String, Table>,
) -> Result<String, CliError> {
    let database = args.database.as_str();
    let profile = DbtProfile {
        attach: [DbtAttached {
            path: full_path(&lake.join(CATALOG))
                .to_string_lossy()
                .into_owned(),
            alias: database,
            read_only: true,
        }],
    };
    let file = DbtFile {
        version: 2,
        sources: [DbtSource {
            name: "redlake",
            description: "Xiaohongshu (RED) notes, users and searches, collected by redlake.",
            database,
            schema: "main",
            tables: tables.values().flat_map(relations).collect(),
        }],
    };
    let profile = yaml(&profile)?;
    let profile = profile.lines().map(|line| format!("#   {line}\n"));
    Ok(format!(
        "# Made by `redlake schema dbt`. The profile of dbt-duckdb attaches the lake, or a file of\n\
         # `redlake export duckdb`:\n{}{}",
        profile.collect::<String>(),
        yaml(&file)?
    ))
}

/// Returns a table, and the views that are derived from it.
fn relations(table: &Table) -> Vec<DbtTable> {
    let mut columns = columns(table.shown_columns());
    if table.query.is_none() {
        columns.push(DbtColumn {
            name: "dt".to_owned(),
            description: "Folder of the row's file. A filter on it reads fewer files.".to_owned(),
            data_type: "date".to_owned(),
            data_tests: vec![NOT_NULL],
        });
    }
    let mut relations = vec![DbtTable {
        name: table.name().to_owned(),
        description: literal(&table.description),
        columns,
    }];
    relations.extend(derived(table).into_iter().map(|view| DbtTable {
        name: view.name,
        description: literal(&view.description),
        columns: self::columns(view.columns.iter()),
    }));
    relations
}

const NOT_NULL: &str = "not_null";

fn columns<'c>(columns: impl Iterator<Item = (&'c String, &'c Column)>) -> Vec<DbtColumn> {
    let column = |(name, column): (&String, &Column)| DbtColumn {
        name: name.clone(),
        description: literal(&described(column)),
        data_type: shown_type(column).to_lowercase().replace(", ", ","),
        data_tests: if column.required {
            vec![NOT_NULL]
        } else {
            Vec::new()
        },
    };
    columns.map(column).collect()
}

/// Returns a text that Jinja leaves as it is: dbt renders descriptions.
fn literal(text: &str) -> String {
    text.replace("{{", "{ {")
        .replace("{%", "{ %")
        .replace("{#", "{ #")
}

fn yaml<T: Serialize>(value: &T) -> Result<String, CliError> {
    serde_saphyr::to_string(value).map_err(|error| CliError::new(ExitCode::Internal, error, None))
}
