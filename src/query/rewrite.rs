//! SQL that reads Parquet files to rewrite their rows. Pure.

use std::path::PathBuf;

use super::catalog::sql_type;
use crate::query::sql::{identifier, literal};
use crate::spec::table::Table;

/// A column of a rewritten table.
#[derive(Clone, Debug, PartialEq)]
pub struct RewrittenColumn {
    pub name: String,
    /// True if every file has the column, declared without nulls.
    pub required: bool,
}

/// A rewrite of files of one table.
#[derive(Clone, Debug)]
pub struct Rewrite<'r> {
    pub table: &'r Table,
    pub files: Vec<PathBuf>,
    /// The columns of all files together.
    pub stored: Vec<RewrittenColumn>,
    /// True if all files have the same columns with the same types. Then one file at a time is
    /// open. Otherwise all are open at once, which takes about 60 kB of memory a file.
    pub uniform: bool,
    /// Rows of this run are left out. Everything else then stays as it is, including the types of
    /// columns, which may be older than the contract.
    pub but_runs: &'r [&'r str],
}

/// Returns the query for the columns of these files. A column is required if every file has it and
/// declares it as required. It is uniform if every file has it with the same type.
pub fn stored_columns(files: &[PathBuf]) -> String {
    format!(
        "SELECT name, count(*) = {count} AND bool_and(repetition_type = 'REQUIRED') AS required, \
         count(*) = {count} AND count(DISTINCT concat_ws(' ', type, converted_type, logical_type)) \
         = 1 AS uniform \
         FROM parquet_schema({}) WHERE num_children IS NULL GROUP BY name ORDER BY name",
        list(files),
        count = files.len(),
    )
}

impl Rewrite<'_> {
    /// Returns the columns to write: the contract's columns in its order, then columns that it does
    /// not know, so that no data is lost.
    pub fn columns(&self) -> Vec<RewrittenColumn> {
        let stored = |name: &str| self.stored.iter().find(|c| c.name == name);
        let known = self
            .table
            .columns
            .iter()
            .map(|(name, column)| RewrittenColumn {
                name: name.clone(),
                required: column.required && stored(name).is_some_and(|c| c.required),
            });
        let is_unknown = |c: &&RewrittenColumn| !self.table.columns.contains_key(&c.name);
        known
            .chain(self.stored.iter().filter(is_unknown).cloned())
            .collect()
    }

    /// Returns the query for all rows in the contract's order. Ties are ordered by snapshot time
    /// and run.
    pub fn ordered(&self) -> String {
        let names = self.table.sort_by.iter().map(|name| name.value.as_str());
        let more = ["snapshot_at", "run_id"];
        let has = |name: &&str| self.table.columns.contains_key(*name);
        let order = names.chain(more.into_iter().filter(has));
        let order: Vec<String> = order
            .map(|name| format!("{} NULLS FIRST", identifier(name)))
            .collect();
        format!(
            "SELECT * FROM ({}) ORDER BY {}",
            self.rows(),
            order.join(", ")
        )
    }

    /// Returns the query for the number of rows and a checksum that does not depend on their order.
    pub fn checksum(&self) -> String {
        let names: Vec<String> = self.columns().iter().map(|c| identifier(&c.name)).collect();
        format!(
            "SELECT count(*) AS rows, coalesce(sum(hash({})::HUGEINT), 0)::VARCHAR AS checksum \
             FROM ({})",
            names.join(", "),
            self.rows()
        )
    }

    /// Returns the query for the runs that have rows.
    pub fn runs(&self) -> String {
        format!("SELECT DISTINCT run_id FROM ({}) ORDER BY 1", self.rows())
    }

    fn rows(&self) -> String {
        let stored = |name: &str| self.stored.iter().any(|c| c.name == name);
        let read = |RewrittenColumn { name, .. }: &RewrittenColumn| {
            let named = identifier(name);
            match self.table.columns.get(name) {
                Some(column) if stored(name) && self.but_runs.is_empty() => {
                    format!("CAST({named} AS {}) AS {named}", sql_type(column.kind))
                }
                Some(column) if !stored(name) => {
                    format!("CAST(NULL AS {}) AS {named}", sql_type(column.kind))
                }
                _ => named,
            }
        };
        let columns: Vec<String> = self.columns().iter().map(read).collect();
        let wanted = if self.but_runs.is_empty() {
            String::new()
        } else {
            let runs: Vec<String> = self.but_runs.iter().map(|run| literal(run)).collect();
            format!(" WHERE run_id NOT IN ({})", runs.join(", "))
        };
        format!(
            "SELECT {} FROM read_parquet({}, hive_partitioning = false, union_by_name = {}){wanted}",
            columns.join(", "),
            list(&self.files),
            !self.uniform
        )
    }
}

/// Returns the files as a list literal of DuckDB.
fn list(files: &[PathBuf]) -> String {
    let files: Vec<String> = files
        .iter()
        .map(|file| literal(&crate::query::sql::plain_glob(&file.to_string_lossy())))
        .collect();
    format!("[{}]", files.join(", "))
}
