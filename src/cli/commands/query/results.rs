//! Results of a query: printed, or written to a file.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use crate::cli::error::CliError;
use crate::cli::exit_code::ExitCode;
use crate::cli::output::format::Format;
use crate::cli::output::instants::InstantForm;
use crate::cli::output::print::{closed_pipe, counted, terminal_width};
use crate::cli::output::relation::{self, CsvDialect, SameName};
use crate::cli::output::replaced_file::replace_file;
use crate::cli::output::table::{FittedTable, Overflow, TextTable};
use crate::cli::output::workbook::WorkbookError;
use crate::query::duckdb::QueryError;

pub(super) type Batches<'b> = dyn Iterator<Item = Result<RecordBatch, QueryError>> + 'b;

/// Form of a result.
#[derive(Clone, Copy)]
pub(super) struct ResultForm {
    pub format: Format,
    /// True for indented JSON.
    pub is_pretty: bool,
    /// True for a table with a line for each value.
    pub is_expanded: bool,
    pub csv: CsvDialect,
    pub instants: InstantForm,
}

impl ResultForm {
    fn write(
        self,
        schema: &SchemaRef,
        batches: &mut Batches<'_>,
        mut out: impl Write + Send,
    ) -> anyhow::Result<()> {
        let shown = self.instants.schema(schema);
        let batches = batches.map(|batch| self.instants.batch(&shown, &batch?));
        match (self.format, self.csv) {
            (Format::Csv, dialect @ CsvDialect::Excel) => {
                relation::write_csv(dialect, &shown, batches, &mut out)?;
                Ok(out.flush()?)
            }
            (format, _) => relation::write(format, self.is_pretty, &shown, batches, out),
        }
    }

    /// Returns a table for people: fitted to the terminal, or expanded. `None` for other forms.
    fn for_people(
        self,
        schema: &SchemaRef,
        batches: &mut Batches<'_>,
    ) -> anyhow::Result<Option<String>> {
        let width = terminal_width().filter(|_| self.format == Format::Table);
        if width.is_none() && !self.is_expanded {
            return Ok(None);
        }
        let shown = self.instants.schema(schema);
        let batches = batches.map(|batch| self.instants.batch(&shown, &batch?));
        let table = relation::text_table(schema, batches, true)?;
        Ok(if self.is_expanded {
            Some(table.expanded())
        } else {
            width.map(|width| with_counts(&table, width))
        })
    }
}

/// Returns a table that fits the terminal, and a line with the numbers of rows and columns.
fn with_counts(table: &TextTable, width: usize) -> String {
    let FittedTable { text, columns } = table.fitted(width, Overflow::Cut);
    let rows = counted(table.rows.len() as u64, "row");
    let all = counted(table.columns.len() as u64, "column");
    if columns == table.columns.len() {
        format!("{text}{rows}, {all}\n")
    } else {
        format!("{text}{rows}, {columns} of {all} (--expanded shows all)\n")
    }
}

/// Prints a result to stdout. A table for people is returned instead, because a pager may show it for
/// long.
pub(super) fn print(
    form: ResultForm,
    schema: &SchemaRef,
    batches: &mut Batches<'_>,
) -> Result<Option<String>, Failed> {
    if let Some(text) = form.for_people(schema, batches).map_err(sql_error)? {
        return Ok(Some(text));
    }
    let out = BufWriter::new(io::stdout());
    let written = form.write(schema, batches, out);
    let written = written.map_err(sql_error).or_else(|error| match error {
        Failed::Writing(error) => closed_pipe(error).map_err(Failed::Otherwise),
        error => Err(error),
    });
    written.map(|()| None)
}

/// Replaces a file by the result, atomically.
pub(super) fn write_file(
    path: &Path,
    form: ResultForm,
    schema: &SchemaRef,
    batches: &mut Batches<'_>,
) -> Result<(), Failed> {
    let written = replace_file(path, |file| {
        let mut out = BufWriter::new(file);
        form.write(schema, batches, &mut out)?;
        Ok(out.flush()?)
    });
    written.map_err(sql_error).map_err(|error| match error {
        Failed::Writing(error) => {
            let error = error.context(format!("cannot write {}", path.display()));
            Failed::Otherwise(CliError::new(ExitCode::Internal, error, None))
        }
        error => error,
    })
}

/// Error that ended the writing of a result.
pub(super) enum Failed {
    Query(QueryError),
    Writing(anyhow::Error),
    Otherwise(CliError),
}

impl From<Failed> for CliError {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Query(error) => error.into(),
            Failed::Writing(error) => CliError::new(ExitCode::Internal, error, None),
            Failed::Otherwise(error) => error,
        }
    }
}

fn sql_error(error: anyhow::Error) -> Failed {
    let known = error
        .downcast::<QueryError>()
        .map(Failed::Query)
        .or_else(|error| Ok(Failed::Otherwise(error.downcast::<WorkbookError>()?.into())))
        .or_else(|error: anyhow::Error| {
            Ok(Failed::Otherwise(error.downcast::<SameName>()?.into()))
        });
    known.unwrap_or_else(Failed::Writing)
}
