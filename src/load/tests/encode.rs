use std::fs::File;
use std::io::Write;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{ColumnOrder, Compression as Codec};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaDataReader};

use crate::load::encode::{Rows, write_parquet};
use crate::plan::parts::Compression;
use crate::spec::table::Table;
use crate::spec::yaml::diagnostic::SourceFile;
use crate::spec::yaml::document;

fn table() -> Table {
    let text = "
table: things
description: .
rows_from: redlake
sort_by: [id, at]
bloom_filter: [id]
columns:
  count: {type: int64, description: .}
  id: {type: string, required: true, description: .}
  at: {type: timestamp, description: .}
";
    let file = SourceFile::new("things.yaml", text);
    let node = document::parse(&file).unwrap_or_else(|d| panic!("{}", d.message));
    document::decode(node, &file, &mut Vec::new()).expect("a table")
}

fn batch(rows: i64) -> RecordBatch {
    let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let schema = Schema::new(vec![
        Field::new("count", DataType::Int64, true),
        Field::new("id", DataType::Utf8, false),
        Field::new("at", utc, true),
    ]);
    let counts = Int64Array::from_iter((0..rows).map(|n| (n % 3 != 0).then_some(n)));
    let ids = StringArray::from_iter_values((0..rows).map(|n| format!("笔记{n:06}")));
    let times = (0..rows).map(|n| (n % 2 == 0).then_some(n * 1_000_001));
    let times = TimestampMicrosecondArray::from_iter(times).with_timezone("UTC");
    let columns: Vec<ArrayRef> = vec![Arc::new(counts), Arc::new(ids), Arc::new(times)];
    RecordBatch::try_new(Arc::new(schema), columns).expect("a batch")
}

fn write(batch: &RecordBatch, compression: Compression, out: &mut Vec<u8>) -> Result<u64, String> {
    let rows = Rows {
        schema: batch.schema(),
        most: batch.num_rows() as u64,
        batches: &mut std::iter::once(Ok(batch.clone())),
    };
    write_parquet(rows, &table(), compression, out)
}

fn encoded(batch: &RecordBatch, compression: Compression) -> Vec<u8> {
    let mut bytes = Vec::new();
    let rows = write(batch, compression, &mut bytes).expect("Parquet");
    assert_eq!(rows, batch.num_rows() as u64);
    bytes
}

/// The Parquet file of these rows.
fn file(batch: &RecordBatch, compression: Compression) -> File {
    let mut file = tempfile::tempfile().expect("a temporary file");
    file.write_all(&encoded(batch, compression))
        .expect("writable");
    file
}

/// A page and a row group may end where a batch ends, and the size of batches depends on memory and
/// threads. Long texts that are not compressed fill more than one row group.
#[test]
fn the_bytes_of_a_file_do_not_depend_on_the_size_of_batches() {
    for (all, compression, step) in [
        (batch(60_000), Compression::Zstd(1), 1),
        (long_texts(10_000), Compression::Zstd(1), 7),
        (long_texts(10_000), Compression::Uncompressed, 7),
    ] {
        let expected = encoded(&all, compression);
        for sizes in [&[step][..], &[8_192], &[700, 1, 9_000, 24], &[50_000, 3]] {
            let mut sizes = sizes.iter().cycle();
            let mut from = 0;
            let mut batches = std::iter::from_fn(|| {
                let rows = (*sizes.next()?).min(all.num_rows() - from);
                from += rows;
                (rows > 0).then(|| Ok(all.slice(from - rows, rows)))
            });
            let rows = Rows {
                schema: all.schema(),
                most: all.num_rows() as u64,
                batches: &mut batches,
            };
            let mut bytes = Vec::new();
            let written = write_parquet(rows, &table(), compression, &mut bytes);
            assert_eq!(written, Ok(all.num_rows() as u64));
            assert!(
                bytes == expected,
                "{} bytes, not {}",
                bytes.len(),
                expected.len()
            );
        }
    }
}

/// Rows with distinct texts of 1,100 bytes each.
fn long_texts(rows: i64) -> RecordBatch {
    let short = batch(rows);
    let texts = (0..rows).map(|n| format!("{n:06}").repeat(1_100 / 6));
    let mut columns = short.columns().to_vec();
    columns[1] = Arc::new(StringArray::from_iter_values(texts));
    RecordBatch::try_new(short.schema(), columns).expect("a batch")
}

/// `DuckDB` skips row groups, not pages.
#[test]
fn a_row_group_ends_at_4_mib_and_at_131_072_rows() {
    for (batch, expected) in [
        (long_texts(10_000), vec![4_096, 4_096, 1_808]),
        (batch(140_000), vec![131_072, 8_928]),
    ] {
        let file = file(&batch, Compression::Uncompressed);
        let metadata = ParquetMetaDataReader::new().parse_and_finish(&file);
        let metadata = metadata.expect("metadata");
        let rows = metadata.row_groups().iter().map(|group| group.num_rows());
        assert_eq!(rows.collect::<Vec<_>>(), expected);
    }
}

#[test]
fn what_is_written_can_be_read() {
    for compression in [
        Compression::Zstd(3),
        Compression::Snappy,
        Compression::Uncompressed,
    ] {
        for rows in [0, 1, 1_000] {
            let batch = batch(rows);
            let file = file(&batch, compression);
            let builder = ParquetRecordBatchReaderBuilder::try_new(file).expect("Parquet");
            assert_eq!(builder.schema().fields(), batch.schema().fields());
            let read = builder.build().expect("a reader");
            let read: Vec<_> = read.map(|part| part.expect("a batch")).collect();
            let read = arrow::compute::concat_batches(&batch.schema(), &read).expect("one batch");
            assert_eq!(read, batch, "{compression:?} {rows}");
        }
    }
}

#[test]
fn the_same_rows_give_the_same_bytes() {
    let bytes = encoded(&batch(1_000), Compression::Zstd(3));
    assert_eq!(encoded(&batch(1_000), Compression::Zstd(3)), bytes);
    assert_ne!(encoded(&batch(999), Compression::Zstd(3)), bytes);
}

#[test]
fn readers_can_skip_what_they_do_not_need() {
    let file = file(&batch(1_000), Compression::Zstd(3));
    let reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Required);
    let metadata = reader.parse_and_finish(&file).expect("metadata");
    let group = metadata.row_group(0);
    let sorting = group.sorting_columns().expect("sorting columns").iter();
    let sorting: Vec<_> = sorting
        .map(|c| (c.column_idx, c.descending, c.nulls_first))
        .collect();
    assert_eq!(sorting, [(1, false, true), (2, false, true)]);
    let bloom = group
        .columns()
        .iter()
        .map(|c| c.bloom_filter_offset().is_some());
    assert_eq!(bloom.collect::<Vec<_>>(), [false, true, false]);
    for column in group.columns() {
        let statistics = column.statistics().expect("statistics");
        assert!(statistics.min_bytes_opt().is_some());
        assert!(matches!(column.compression(), Codec::ZSTD(_)));
    }
    assert_eq!(metadata.column_index().expect("a column index")[0].len(), 3);
    assert_eq!(
        metadata.offset_index().expect("an offset index")[0].len(),
        3
    );
    let created_by = metadata.file_metadata().created_by().unwrap_or_default();
    assert!(created_by.starts_with("redlake "), "{created_by}");
    assert_eq!(metadata.file_metadata().key_value_metadata(), None);
}

#[test]
fn the_bloom_filter_finds_ids_and_hardly_others() {
    let batch = batch(1_000);
    let file = file(&batch, Compression::Zstd(3));
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).expect("Parquet");
    let filter = builder.get_row_group_column_bloom_filter(0, 1);
    let filter = filter.expect("readable").expect("a filter");
    let ids = batch.column(1).as_string::<i32>();
    assert!(ids.iter().flatten().all(|id| filter.check(&id)));
    let strangers = (0..1_000).filter(|n| filter.check(&n.to_string().as_str()));
    assert!(strangers.count() < 100);
}

#[test]
fn a_compression_level_that_does_not_exist_is_an_error() {
    let level = Compression::Zstd(99);
    assert!(write(&batch(1), level, &mut Vec::new()).is_err());
}

/// Polars 1.8 and DataFusion 41 refuse a file that declares another order, such as the total order of
/// floats.
#[test]
fn the_order_of_every_column_is_that_of_its_type() {
    let floats = Float64Array::from_iter_values([0.5, -0.5]);
    let numbers: Vec<(&str, ArrayRef)> = vec![
        ("count", Arc::new(Int64Array::from_iter_values([1, 2]))),
        ("id", Arc::new(StringArray::from_iter_values(["a", "b"]))),
        ("share", Arc::new(floats)),
    ];
    let batch = RecordBatch::try_from_iter(numbers).expect("a batch");
    let file = file(&batch, Compression::Zstd(1));
    let metadata = ParquetMetaDataReader::new().parse_and_finish(&file);
    let metadata = metadata.expect("metadata");
    let orders = metadata.file_metadata().column_orders().expect("orders");
    assert_eq!(orders.len(), 3);
    for order in orders {
        assert!(
            matches!(order, ColumnOrder::TYPE_DEFINED_ORDER(_)),
            "{order:?}"
        );
    }
}
