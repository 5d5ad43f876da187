//! Formats of output.

use std::fmt::Debug;

use clap::ValueEnum;

/// Format of printed results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Table,
    Json,
    Csv,
    Ndjson,
    Markdown,
    /// Binary: to a file or a pipe, not to a terminal
    Parquet,
    /// An Excel workbook: only to the file of a query
    #[value(hide = true)]
    Xlsx,
}
