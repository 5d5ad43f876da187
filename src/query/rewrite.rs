//! SQL that reads Parquet files to rewrite their rows. Pure.

use std::path::PathBuf;

use super::catalog::sql_type;
use crate::query::sql::{identifier, literal, plain_glob};
use crate::spec::table::Table;

/// Returns the query for the rows of files that have the columns `stored` together. The columns are
/// those of the contract in its order and with its types, then those that it does not know.
pub fn rows_as_declared(table: &Table, stored: &[&str], files: &[PathBuf]) -> String {
    let known = table.columns.iter().map(|(name, column)| {
        let (named, kind) = (identifier(name), sql_type(column.kind));
        let value = if stored.contains(&name.as_str()) {
            &named
        } else {
            "NULL"
        };
        format!("CAST({value} AS {kind}) AS {named}")
    });
    let unknown = stored
        .iter()
        .filter(|name| !table.columns.contains_key(**name));
    let columns: Vec<String> = known.chain(unknown.map(|name| identifier(name))).collect();
    let files = files
        .iter()
        .map(|file| literal(&plain_glob(&file.to_string_lossy())));
    // Each open file takes about 60 kB of memory.
    format!(
        "SELECT {} FROM read_parquet([{}], hive_partitioning = false, union_by_name = true)",
        columns.join(", "),
        files.collect::<Vec<_>>().join(", ")
    )
}
