//! Rows in the formats that people and programs read, written as they come.

use std::io::Write;

use arrow::array::RecordBatch;
use arrow::csv::WriterBuilder as CsvBuilder;
use arrow::datatypes::SchemaRef;
use arrow::json::WriterBuilder as JsonBuilder;
use arrow::json::writer::{JsonArray, JsonFormat, LineDelimited};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use arrow::util::pretty::pretty_format_batches_with_schema;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::Format;

/// Writes rows. Only a table, whose columns are as wide as their widest value, waits for all rows.
pub fn write(
    format: Format,
    schema: &SchemaRef,
    batches: impl Iterator<Item = anyhow::Result<RecordBatch>>,
    mut out: impl Write + Send,
) -> anyhow::Result<()> {
    match format {
        Format::Table => {
            let batches: Vec<RecordBatch> = batches.collect::<anyhow::Result<_>>()?;
            let table = pretty_format_batches_with_schema(schema.clone(), &batches)?;
            writeln!(out, "{table}")?;
        }
        Format::Markdown => write_markdown(schema, batches, &mut out)?,
        Format::Csv => write_csv(schema, batches, &mut out)?,
        Format::Ndjson => write_json::<LineDelimited>(batches, &mut out)?,
        Format::Json => {
            write_json::<JsonArray>(batches, &mut out)?;
            writeln!(out)?;
        }
        Format::Parquet => write_parquet(schema, batches, &mut out)?,
    }
    out.flush()?;
    Ok(())
}

fn write_csv(
    schema: &SchemaRef,
    batches: impl Iterator<Item = anyhow::Result<RecordBatch>>,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    // Written through memory: the CSV writer's errors no longer say what kind they are.
    let mut lines = Vec::new();
    let empty = Ok(RecordBatch::new_empty(schema.clone()));
    for (i, batch) in std::iter::once(empty).chain(batches).enumerate() {
        let builder = CsvBuilder::new().with_header(i == 0);
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
    let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
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
            let cells = columns.iter().map(|c| c.value(row).to_string());
            let cells: Vec<String> = cells
                .map(|c| c.replace('|', "\\|").replace(['\n', '\r'], " "))
                .collect();
            writeln!(out, "| {} |", cells.join(" | "))?;
        }
    }
    Ok(())
}
