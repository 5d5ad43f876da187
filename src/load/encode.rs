//! Writes Arrow tables as Parquet. The same rows give the same bytes.

use std::collections::HashSet;
use std::io::Write;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use parquet::arrow::arrow_writer::{ArrowWriter, ArrowWriterOptions};
use parquet::basic::{Compression as Codec, ZstdLevel};
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use crate::plan::parts::Compression;
use crate::spec::table::Table;

/// Most rows of a row group.
const ROW_GROUP: usize = 128 << 10;

/// Estimated bytes after which a row group ends, checked after each batch. Dictionaries and pages that
/// are not finished count uncompressed. Enough to compress well and to read by one request, few enough
/// to let readers skip most of a large file. `DuckDB` skips whole row groups only.
const ROW_GROUP_BYTES: usize = 4 << 20;

/// Rows of a table in order, batch by batch.
pub struct Rows<'r> {
    pub schema: SchemaRef,
    /// Upper bound of the number of rows.
    pub most: u64,
    pub batches: &'r mut dyn Iterator<Item = Result<RecordBatch, ArrowError>>,
}

/// Writes the rows of a table, which are sorted as its contract says. Returns the number of rows.
///
/// # Errors
/// Returns the error of the rows' source, the encoder or the disk, as text.
pub fn write_parquet(
    rows: Rows<'_>,
    table: &Table,
    compression: Compression,
    out: &mut (dyn Write + Send),
) -> Result<u64, String> {
    let Rows {
        schema,
        most,
        batches,
    } = rows;
    let batches = EqualBatches {
        schema: SchemaRef::clone(&schema),
        batches,
        pending: Vec::new(),
        rows: 0,
    };
    let mut batches = batches.peekable();
    let first = batches.peek().and_then(|first| first.as_ref().ok());
    let options = ArrowWriterOptions::new()
        .with_properties(properties(most, first, table, compression)?)
        // All types of a contract are native to Parquet. The Arrow schema would add a third to the
        // footer, which every reader has to read.
        .with_skip_arrow_metadata(true);
    let mut writer =
        ArrowWriter::try_new_with_options(out, schema, options).map_err(|e| e.to_string())?;
    let mut written = 0;
    for batch in batches {
        let batch = batch.map_err(|e| e.to_string())?;
        writer.write(&batch).map_err(|e| e.to_string())?;
        written += batch.num_rows() as u64;
        if writer.in_progress_size() >= ROW_GROUP_BYTES {
            writer.flush().map_err(|e| e.to_string())?;
        }
    }
    writer.close().map_err(|e| e.to_string())?;
    Ok(written)
}

/// Rows of a batch that is encoded. The writer ends a page only at the end of a batch or after each
/// 1,024 rows of it.
const BATCH: usize = 4 << 10;

/// Regroups rows into batches of [`BATCH`] rows. The last one may be smaller.
struct EqualBatches<'r> {
    schema: SchemaRef,
    batches: &'r mut dyn Iterator<Item = Result<RecordBatch, ArrowError>>,
    pending: Vec<RecordBatch>,
    /// Number of pending rows.
    rows: usize,
}

impl EqualBatches<'_> {
    /// Takes the first rows of the pending ones, [`BATCH`] if there are as many. Only rows of several
    /// batches are copied.
    fn next_batch(&mut self) -> Result<RecordBatch, ArrowError> {
        let mut missing = BATCH;
        let mut taken = Vec::new();
        let mut rest = Vec::new();
        for batch in self.pending.drain(..) {
            let rows = batch.num_rows().min(missing);
            taken.push(batch.slice(0, rows));
            if rows < batch.num_rows() {
                rest.push(batch.slice(rows, batch.num_rows() - rows));
            }
            missing -= rows;
        }
        self.rows = rest.iter().map(RecordBatch::num_rows).sum();
        self.pending = rest;
        match taken.as_slice() {
            [one] => Ok(one.clone()),
            several => concat_batches(&self.schema, several),
        }
    }
}

impl Iterator for EqualBatches<'_> {
    type Item = Result<RecordBatch, ArrowError>;
    fn next(&mut self) -> Option<Self::Item> {
        while self.rows < BATCH {
            match self.batches.next() {
                Some(Ok(rows)) => {
                    self.rows += rows.num_rows();
                    self.pending.push(rows);
                }
                Some(Err(error)) => return Some(Err(error)),
                None if self.rows == 0 => return None,
                None => break,
            }
        }
        Some(self.next_batch())
    }
}

fn properties(
    most: u64,
    first: Option<&RecordBatch>,
    table: &Table,
    compression: Compression,
) -> Result<WriterProperties, String> {
    let codec = match compression {
        Compression::Zstd(level) => {
            Codec::ZSTD(ZstdLevel::try_new(level).map_err(|e| e.to_string())?)
        }
        Compression::Snappy => Codec::SNAPPY,
        Compression::Uncompressed => Codec::UNCOMPRESSED,
    };
    let sorting = table
        .sort_by
        .iter()
        .filter_map(|name| table.columns.get_index_of(&name.value));
    let sorting = sorting
        .map(|column| SortingColumn {
            column_idx: column as i32,
            descending: false,
            nulls_first: true,
        })
        .collect();
    let mut properties = WriterProperties::builder()
        .set_created_by(concat!("redlake ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(codec)
        .set_max_row_group_row_count(Some(ROW_GROUP))
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_sorting_columns(Some(sorting));
    for column in first.map(without_dictionary).unwrap_or_default() {
        properties = properties.set_column_dictionary_enabled(column, false);
    }
    for name in &table.bloom_filter {
        let column = ColumnPath::from(name.value.as_str());
        properties = properties
            .set_column_bloom_filter_enabled(column.clone(), true)
            // An upper bound: a row has at most one id.
            .set_column_bloom_filter_ndv(column, most.min(ROW_GROUP as u64));
    }
    Ok(properties.build())
}

/// Returns the text columns with almost only distinct values in a sample, such as URLs. A
/// dictionary of them would be as long as the column, and costly to build.
fn without_dictionary(first: &RecordBatch) -> Vec<ColumnPath> {
    let fields = first.schema();
    let columns = fields.fields().iter().zip(first.columns());
    let unique = columns.filter(|(_, column)| {
        let Some(texts) = column.as_string_opt::<i32>() else {
            return false;
        };
        let texts: Vec<&str> = texts.iter().take(SAMPLE).flatten().collect();
        let distinct: HashSet<&str> = texts.iter().copied().collect();
        texts.len() >= SAMPLE / 4 && distinct.len() * 10 > texts.len() * 9
    });
    unique
        .map(|(field, _)| ColumnPath::from(field.name().as_str()))
        .collect()
}

/// Number of rows that [`without_dictionary`] samples.
const SAMPLE: usize = 1_024;
