//! Writes rows in all output formats as the rows arrive.
//!
//! In a table and in Markdown, characters that control a terminal are escaped. This also applies to
//! files and pipes, because their content can reach a terminal later. The other formats contain
//! every character unchanged.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, RecordBatch, RecordBatchOptions, StringArray};
use arrow::csv::WriterBuilder as CsvBuilder;
use arrow::csv::writer::Terminator;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::json::WriterBuilder as JsonBuilder;
use arrow::json::writer::{JsonArray, JsonFormat, LineDelimited};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use arrow::util::pretty::pretty_format_batches_with_schema;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use thiserror::Error;

use crate::cli::output::format::Format;
use crate::cli::output::pretty::Pretty;
use crate::cli::output::table::{TextColumn, TextTable};
use crate::cli::output::workbook::write_workbook;
use crate::spec::yaml::escape::{escaped, escaped_cell};

/// Writes rows. Only [`Format::Table`] buffers all rows, because its columns are as wide as their
/// widest value. `is_pretty` indents JSON.
pub fn write(
    format: Format,
    is_pretty: bool,
    schema: &SchemaRef,
    batches: impl Iterator<Item = anyhow::Result<RecordBatch>>,
    mut out: impl Write + Send,
) -> anyhow::Result<()> {
    match format {
        Format::Json | Format::Ndjson | Format::Parquet => require_different_names(schema)?,
        Format::Table | Format::Markdown | Format::Csv | Format::Xlsx => {}
    }
    match format {
        Format::Table => {
            let schema = shown_schema(schema);
            let shown = batches.map(|batch| Ok(shown(&schema, &batch?)?));
            let batches: Vec<RecordBatch> = shown.collect::<anyhow::Result<_>>()?;
            let table = pretty_format_batches_with_schema(schema, &batches)?;
            writeln!(out, "{table}")?;
        }
        Format::Markdown => write_markdown(schema, batches, &mut out)?,
        Format::Csv => write_csv(CsvDialect::Plain, schema, batches, &mut out)?,
        Format::Ndjson => write_json::<LineDelimited>(batches, &mut out)?,
        Format::Json => {
            if is_pretty {
                write_json::<JsonArray>(batches, &mut Pretty::new(&mut out))?;
            } else {
                write_json::<JsonArray>(batches, &mut out)?;
            }
            writeln!(out)?;
        }
        Format::Parquet => write_parquet(schema, batches, &mut out)?,
        Format::Xlsx => write_workbook(schema, batches, &mut out)?,
    }
    out.flush()?;
    Ok(())
}

/// Two columns of a result have the same name. Readers of JSON keep one value of them.
#[derive(Debug, Error)]
#[error("two columns have the name `{0}`, and this format has one value for a name")]
pub struct SameName(String);

fn require_different_names(schema: &SchemaRef) -> Result<(), SameName> {
    let mut names = BTreeSet::new();
    let mut fields = schema.fields().iter();
    let same = fields.find(|field| !names.insert(field.name()));
    same.map_or(Ok(()), |field| Err(SameName(field.name().clone())))
}

/// Returns the schema of a printed table: text columns with escaped names.
fn shown_schema(schema: &SchemaRef) -> SchemaRef {
    let fields = schema.fields().iter();
    let text = |name: &String| Field::new(escaped_cell(name), DataType::Utf8, true);
    Arc::new(Schema::new(
        fields.map(|field| text(field.name())).collect::<Vec<_>>(),
    ))
}

/// Returns the rows of a printed table as escaped texts, so that column widths are those of the
/// escaped texts.
fn shown(schema: &SchemaRef, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let options = FormatOptions::default();
    let column = |column: &ArrayRef| {
        let cells = ArrayFormatter::try_new(column, &options)?;
        let cell = |row| cells.value(row).try_to_string();
        let cells: Vec<String> = (0..batch.num_rows()).map(cell).collect::<Result<_, _>>()?;
        let cells = cells.iter().map(|cell| Some(escaped_cell(cell)));
        Ok::<_, ArrowError>(Arc::new(cells.collect::<StringArray>()) as ArrayRef)
    };
    let columns = batch.columns().iter().map(column);
    let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema.clone(), columns.collect::<Result<_, _>>()?, &rows)
}

/// Returns a result as texts for a terminal. `has_types` adds the types of the columns. `types` is the
/// schema before instants became texts.
pub fn text_table(
    types: &SchemaRef,
    batches: impl Iterator<Item = anyhow::Result<RecordBatch>>,
    has_types: bool,
) -> anyhow::Result<TextTable> {
    let column = |field: &FieldRef| TextColumn {
        name: field.name().clone(),
        kind: has_types.then(|| type_name(field.data_type())),
        is_number: field.data_type().is_numeric(),
    };
    let columns = types.fields().iter().map(column).collect();
    let options = FormatOptions::default();
    let mut rows = Vec::new();
    for batch in batches {
        let batch = batch?;
        let cells = batch.columns().iter();
        let cells = cells.map(|column| ArrayFormatter::try_new(column, &options));
        let cells: Vec<ArrayFormatter<'_>> = cells.collect::<Result<_, _>>()?;
        for row in 0..batch.num_rows() {
            let values = batch.columns().iter().zip(&cells).map(|(column, cell)| {
                let text = || cell.value(row).try_to_string();
                let is_there = column.is_valid(row);
                is_there.then(text).transpose()
            });
            rows.push(values.collect::<Result<_, _>>()?);
        }
    }
    Ok(TextTable { columns, rows })
}

/// Returns the type of a column in DuckDB's words.
fn type_name(kind: &DataType) -> String {
    match kind {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "varchar".to_owned(),
        DataType::Boolean => "boolean".to_owned(),
        DataType::Float64 => "double".to_owned(),
        DataType::Float32 => "float".to_owned(),
        DataType::Date32 => "date".to_owned(),
        DataType::Timestamp(_, Some(_)) => "timestamptz".to_owned(),
        DataType::Timestamp(_, None) => "timestamp".to_owned(),
        DataType::Decimal128(38, 0) => "int128".to_owned(),
        DataType::Decimal128(digits, decimals) => format!("decimal({digits},{decimals})"),
        other => other.to_string().to_lowercase(),
    }
}

/// Without this mark, Excel reads CSV in the charset of the system.
const UTF8_MARK: &str = "\u{feff}";

/// Details of CSV that programs disagree about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CsvDialect {
    Plain,
    /// For Excel: a mark of UTF-8 at the beginning, and lines that end with CR LF.
    Excel,
}

/// Writes rows as CSV.
pub fn write_csv(
    dialect: CsvDialect,
    schema: &SchemaRef,
    batches: impl Iterator<Item = anyhow::Result<RecordBatch>>,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    // Buffers in memory, because errors of the CSV writer lose the kind of the I/O error.
    let (mut lines, terminator) = match dialect {
        CsvDialect::Plain => (Vec::new(), Terminator::Any(b'\n')),
        CsvDialect::Excel => (UTF8_MARK.as_bytes().to_vec(), Terminator::CRLF),
    };
    let empty = Ok(RecordBatch::new_empty(schema.clone()));
    for (i, batch) in std::iter::once(empty).chain(batches).enumerate() {
        let builder = CsvBuilder::new()
            .with_header(i == 0)
            .with_line_terminator(terminator.clone());
        builder.build(&mut lines).write(&batch?)?;
        out.write_all(&lines)?;
        lines.clear();
    }
    Ok(())
}

fn write_json<F: JsonFormat>(
    batches: impl Iterator<Item = anyhow::Result<RecordBatch>>,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let builder = JsonBuilder::new().with_explicit_nulls(true);
    let mut writer = builder.build::<_, F>(out);
    for batch in batches {
        writer.write(&batch?)?;
    }
    Ok(writer.finish()?)
}

fn write_parquet(
    schema: &SchemaRef,
    batches: impl Iterator<Item = anyhow::Result<RecordBatch>>,
    out: &mut (impl Write + Send),
) -> anyhow::Result<()> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .build();
    let mut writer = ArrowWriter::try_new(out, schema.clone(), Some(properties))?;
    for batch in batches {
        writer.write(&batch?)?;
    }
    writer.close()?;
    Ok(())
}

fn write_markdown(
    schema: &SchemaRef,
    batches: impl Iterator<Item = anyhow::Result<RecordBatch>>,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let cell = |text: &str| {
        let line = text.replace('|', "\\|").replace(['\n', '\r'], " ");
        escaped(&line).into_owned()
    };
    let names: Vec<String> = schema.fields().iter().map(|f| cell(f.name())).collect();
    writeln!(out, "| {} |", names.join(" | "))?;
    writeln!(out, "|{}", "---|".repeat(names.len()))?;
    let options = FormatOptions::default();
    for batch in batches {
        let batch = batch?;
        let columns = batch
            .columns()
            .iter()
            .map(|c| ArrayFormatter::try_new(c, &options));
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        for row in 0..batch.num_rows() {
            let cells = columns.iter().map(|c| cell(&c.value(row).to_string()));
            let cells: Vec<String> = cells.collect();
            writeln!(out, "| {} |", cells.join(" | "))?;
        }
    }
    Ok(())
}
