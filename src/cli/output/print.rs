//! Prints results to stdout in the requested format.

use std::io::{self, BufWriter, Write};
use std::sync::Arc;

use anyhow::Context;
use arrow::array::{ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{Schema, SchemaRef};
use arrow::util::pretty::pretty_format_batches;
use chrono::{DateTime, Local};
use serde::Serialize;

use crate::cli::error::CliError;
use crate::cli::exit_code::ExitCode;
use crate::cli::output::format::Format;
use crate::cli::output::relation;
use crate::cli::output::table::{FittedTable, Overflow, TextColumn, TextTable};
use crate::plan::Money;
use crate::spec::yaml::escape::{escaped, escaped_cell};

pub use crate::plan::money::grouped;

/// Prints a relation.
pub fn print_batches(
    format: Format,
    is_pretty: bool,
    schema: &SchemaRef,
    batches: &[RecordBatch],
) -> Result<(), CliError> {
    let batches = batches.iter().map(|batch| Ok(batch.clone()));
    if let (Format::Table, Some(width)) = (format, terminal_width()) {
        let table = relation::text_table(schema, batches, false);
        let table = table.map_err(|e| CliError::new(ExitCode::Internal, e, None))?;
        let fitted = table.fitted(width, Overflow::Cut);
        let left_out = table.columns.len() - fitted.columns;
        let note = match left_out {
            0 => String::new(),
            _ => format!(
                "{} of {} columns; --format json shows all\n",
                fitted.columns,
                table.columns.len()
            ),
        };
        return print_as_is(&(fitted.text + &note));
    }
    let out = BufWriter::new(io::stdout());
    relation::write(format, is_pretty, schema, batches, out).or_else(closed_pipe)
}

/// Returns batches with their times as texts in the time zone of this machine, for people.
pub fn with_local_times(batches: &[RecordBatch]) -> (SchemaRef, Vec<RecordBatch>) {
    let local: Vec<RecordBatch> = batches.iter().map(in_local_time).collect();
    let schema = local.first().map(RecordBatch::schema);
    (schema.unwrap_or_else(|| Arc::new(Schema::empty())), local)
}

fn in_local_time(batch: &RecordBatch) -> RecordBatch {
    let columns = batch.schema_ref().fields().iter().zip(batch.columns());
    let columns = columns.map(|(field, column)| {
        let times = column.as_any().downcast_ref::<TimestampMicrosecondArray>();
        let column = times.map_or_else(|| Arc::clone(column), |times| local_texts(times));
        (field.name().as_str(), column, true)
    });
    RecordBatch::try_from_iter_with_nullable(columns).unwrap_or_else(|_| batch.clone())
}

fn local_texts(times: &TimestampMicrosecondArray) -> ArrayRef {
    let text = |at: i64| {
        let at = DateTime::from_timestamp_micros(at)?;
        Some(at.with_timezone(&Local).format("%F %T %:z").to_string())
    };
    Arc::new(
        times
            .iter()
            .map(|at| at.and_then(text))
            .collect::<StringArray>(),
    )
}

/// Returns the width of the terminal, or `None` if stdout is none.
pub fn terminal_width() -> Option<usize> {
    let size = terminal_size::terminal_size_of(io::stdout());
    size.map(|(width, _)| usize::from(width.0))
}

/// Returns texts as a table, wrapped to fit the terminal if stdout is one. Short rows are filled up, long
/// rows are cut.
pub fn pretty(columns: &[&str], rows: &[Vec<String>]) -> String {
    if let Some(width) = terminal_width() {
        let head = |name: &&str| TextColumn {
            name: (*name).to_owned(),
            kind: None,
            is_number: false,
        };
        let row = |row: &Vec<String>| {
            let cells = (0..columns.len()).map(|at| row.get(at).cloned().unwrap_or_default());
            cells.map(Some).collect()
        };
        let table = TextTable {
            columns: columns.iter().map(head).collect(),
            rows: rows.iter().map(row).collect(),
        };
        let FittedTable { text, .. } = table.fitted(width, Overflow::Wrap);
        return text.trim_end().to_owned();
    }
    let of = |at: usize| {
        let cells = rows
            .iter()
            .map(|row| row.get(at).map(|cell| escaped_cell(cell)));
        Arc::new(cells.collect::<StringArray>()) as ArrayRef
    };
    let named = columns.iter().enumerate();
    let named = named.map(|(at, name)| (escaped_cell(name), of(at), true));
    RecordBatch::try_from_iter_with_nullable(named)
        .and_then(|batch| pretty_format_batches(&[batch]))
        .map(|table| table.to_string())
        .unwrap_or_default()
}

/// Form in which a command prints its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportFormat {
    Text,
    /// JSON on one line.
    Json,
    /// JSON on many lines, indented.
    PrettyJson,
    /// A line of JSON for each item of a list.
    Ndjson,
}

impl ReportFormat {
    /// Prints `value` as JSON, or the text about it. It is no list, so it is one line in ndjson.
    ///
    /// # Errors
    /// stdout cannot be written. A closed pipe is no error.
    pub fn print<T: Serialize>(
        self,
        value: &T,
        text: impl FnOnce() -> String,
    ) -> Result<(), CliError> {
        self.print_list(value, std::slice::from_ref(value), text)
    }

    /// Prints `value` as JSON, its `items` as lines of JSON, or the text about it.
    ///
    /// # Errors
    /// stdout cannot be written. A closed pipe is no error.
    pub fn print_list<T: Serialize, I: Serialize>(
        self,
        value: &T,
        items: &[I],
        text: impl FnOnce() -> String,
    ) -> Result<(), CliError> {
        let json = match self {
            ReportFormat::Text => return print_text(&text()),
            ReportFormat::Json => line(value),
            ReportFormat::PrettyJson => serde_json::to_string_pretty(value).map(|j| j + "\n"),
            ReportFormat::Ndjson => items.iter().map(line).collect(),
        };
        let json = json.context("the result is not JSON");
        print_as_is(&json.map_err(|e| CliError::new(ExitCode::Internal, e, None))?)
    }
}

fn line<T: Serialize>(value: &T) -> serde_json::Result<String> {
    serde_json::to_string(value).map(|json| json + "\n")
}

/// Prints a text for people, escaped.
pub fn print_text(text: &str) -> Result<(), CliError> {
    print_as_is(&escaped(text))
}

/// Prints a text for programs.
pub fn print_as_is(text: &str) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.map_err(anyhow::Error::from).or_else(closed_pipe)
}

/// Returns `Ok` for a closed pipe: a reader such as `head` has read enough.
///
/// # Errors
/// Any other error.
pub fn closed_pipe(error: anyhow::Error) -> Result<(), CliError> {
    if is_closed_pipe(error.as_ref()) {
        Ok(())
    } else {
        Err(CliError::new(ExitCode::Internal, error, None))
    }
}

pub fn is_closed_pipe(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source()).any(|cause| {
        let cause = cause.downcast_ref::<io::Error>();
        cause.is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
    })
}

/// Formats a count with its noun, in the plural unless it is 1: `1 search`, `1,200 searches`.
pub fn counted(number: u64, noun: &str) -> String {
    let ending = match (number, noun.ends_with("ch")) {
        (1, _) => "",
        (_, true) => "es",
        (_, false) => "s",
    };
    format!("{} {noun}{ending}", grouped(number))
}

/// Returns an amount with its currency: two decimals, or more if it has more.
pub fn priced(cost: f64, currency: Option<&str>) -> String {
    let cost = Money::of(cost);
    currency.map_or_else(|| cost.to_string(), |currency| format!("{cost} {currency}"))
}
