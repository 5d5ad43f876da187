//! SQL that reads Parquet files to rewrite their rows. Pure.

use std::path::PathBuf;

use super::catalog::sql_type;
use crate::query::sql::{identifier, literal, plain_glob};
use crate::spec::table::Table;

/// Returns the query for the rows of files that have the columns `stored` together. The columns are
/// those of the contract in its order and with its types, then those that it does not know. If all
/// files have the same columns with the same types (`is_uniform`), one file at a time is open. Else
/// all are open at once, which takes about 60 kB of memory a file.
pub fn rows_as_declared(
    table: &Table,
    stored: &[&str],
    files: &[PathBuf],
    is_uniform: bool,
) -> String {
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
    format!(
        "SELECT {} FROM read_parquet([{}], hive_partitioning = false, union_by_name = {})",
        columns.join(", "),
        files.collect::<Vec<_>>().join(", "),
        !is_uniform
    )
}
