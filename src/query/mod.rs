//! SQL over the lake: the catalog of views, and DuckDB to run it.

pub mod catalog;
pub mod checks;
pub mod days;
pub mod duckdb;
pub mod history;
pub mod rewrite;
pub mod runs;
pub(crate) mod sql;
pub mod staged;
pub mod status;
pub mod views;

#[cfg(test)]
mod tests;
