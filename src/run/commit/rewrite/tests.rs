//! Columns and values of rewritten files, and the comparison of their contents.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::compute::concat_batches;
use arrow::util::display::array_value_to_string;
use parquet::arrow::ArrowWriter;
use tempfile::TempDir;

use super::content::RowContent;
use super::layout;
use super::source::StoredRows;
use crate::query::duckdb::DatabaseLimits;
use crate::run::error::RunError;
use crate::spec::contracts::Contracts;
use crate::spec::table::{ColumnType, Table};

/// A table of the contracts with three of its columns: `note_id` and `run_id`, which are required, and
/// `image_count`.
fn table(image_count: ColumnType) -> Table {
    let contracts = Contracts::load(None).unwrap_or_else(|e| panic!("{e}"));
    let mut table = contracts.tables["notes"].clone();
    let names = ["note_id", "image_count", "run_id"];
    table
        .columns
        .retain(|name, _| names.contains(&name.as_str()));
    assert!(table.columns["note_id"].required && table.columns["run_id"].required);
    table.columns["image_count"].kind = image_count;
    table
}

struct Files {
    folder: TempDir,
    paths: Vec<PathBuf>,
}

impl Files {
    /// Writes a file for each set of columns.
    fn of(files: &[&[(&str, ArrayRef)]]) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let paths = files.iter().enumerate().map(|(number, columns)| {
            let columns = columns
                .iter()
                .map(|(name, column)| (*name, Arc::clone(column), !name.ends_with("_id")));
            let rows = RecordBatch::try_from_iter_with_nullable(columns).expect("rows");
            let path = folder.path().join(format!("{number}.parquet"));
            let file = std::fs::File::create(&path).expect("a file");
            let mut writer = ArrowWriter::try_new(file, rows.schema(), None).expect("a writer");
            writer.write(&rows).expect("written");
            writer.close().expect("written");
            path
        });
        let paths = paths.collect();
        Files { folder, paths }
    }

    fn open<'s>(
        &'s self,
        table: &Table,
        but_runs: &'s [&'s str],
    ) -> Result<StoredRows<'s>, RunError> {
        let limits = DatabaseLimits {
            memory: 256 << 20,
            threads: 1,
        };
        StoredRows::open(table, &self.paths, but_runs, self.folder.path(), limits)
    }

    /// Returns the columns as `name type`, with `?` if they may be null, and the rows in the order of
    /// their texts, with `|` between the values.
    fn read(&self, table: &Table, but_runs: &[&str]) -> (Vec<String>, Vec<String>) {
        let source = self.open(table, but_runs).unwrap_or_else(|e| panic!("{e}"));
        let mut batches = Vec::new();
        let read = source.read(|rows| {
            batches.push(rows);
            Ok(())
        });
        read.unwrap_or_else(|e| panic!("{e}"));
        let rows = concat_batches(&source.schema, &batches).expect("one schema");
        let value = |column: &ArrayRef, row| array_value_to_string(column, row).expect("a value");
        let row = |row| {
            let values = rows.columns().iter().map(|column| value(column, row));
            values.collect::<Vec<_>>().join("|")
        };
        let mut texts: Vec<String> = (0..rows.num_rows()).map(row).collect();
        texts.sort();
        let column = |field: &Arc<arrow::datatypes::Field>| {
            let null = if field.is_nullable() { "?" } else { "" };
            format!("{} {}{null}", field.name(), field.data_type())
        };
        (source.schema.fields().iter().map(column).collect(), texts)
    }
}

fn texts(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn ints(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

fn floats(values: &[f64]) -> ArrayRef {
    Arc::new(Float64Array::from(values.to_vec()))
}

#[test]
fn columns_are_those_of_the_contract_then_those_that_it_does_not_know() {
    let files = Files::of(&[
        &[
            ("run_id", texts(&["r"])),
            ("note_id", texts(&["a"])),
            ("old", Arc::new(BooleanArray::from(vec![true]))),
        ],
        &[
            ("note_id", texts(&["b"])),
            ("image_count", ints(&[3])),
            ("run_id", texts(&["s"])),
            ("kept_id", texts(&["k"])),
        ],
    ]);
    let (columns, rows) = files.read(&table(ColumnType::Int64), &[]);
    let expected = [
        "note_id Utf8",
        "image_count Int64?",
        "run_id Utf8",
        "kept_id Utf8?",
        "old Boolean?",
    ];
    assert_eq!(columns, expected);
    assert_eq!(rows, ["a||r||true", "b|3|s|k|"]);
}

/// The text of a float is that of DuckDB, as in the view before the rewrite.
#[test]
fn values_of_an_old_type_are_converted_as_views_convert_them() {
    let files = Files::of(&[
        &[
            ("note_id", texts(&["a", "b"])),
            ("image_count", floats(&[1e20, 0.1])),
            ("run_id", texts(&["r", "r"])),
        ],
        &[
            ("note_id", texts(&["c"])),
            ("image_count", texts(&["many"])),
            ("run_id", texts(&["s"])),
        ],
    ]);
    let (columns, rows) = files.read(&table(ColumnType::String), &[]);
    assert_eq!(
        columns,
        ["note_id Utf8", "image_count Utf8?", "run_id Utf8"]
    );
    assert_eq!(rows, ["a|1e+20|r", "b|0.1|r", "c|many|s"]);
    let (_, rows) = files.read(&table(ColumnType::String), &["r"]);
    assert_eq!(rows, ["c|many|s"]);
}

#[test]
fn unknown_columns_of_several_types_get_a_type_that_holds_both() {
    let one = |old: ArrayRef| {
        [
            ("note_id", texts(&["a"])),
            ("run_id", texts(&["r"])),
            ("old", old),
        ]
    };
    let files = Files::of(&[&one(ints(&[1])), &one(floats(&[1.5]))]);
    let (columns, rows) = files.read(&table(ColumnType::Int64), &[]);
    assert_eq!(columns[3], "old Float64?");
    assert_eq!(rows, ["a||r|1.0", "a||r|1.5"]);
}

#[test]
fn without_some_runs_the_other_rows_keep_their_types() {
    let files = Files::of(&[&[
        ("note_id", texts(&["a", "b", "c"])),
        ("image_count", ints(&[1, 2, 3])),
        ("run_id", texts(&["r", "s", "t"])),
    ]]);
    let (columns, rows) = files.read(&table(ColumnType::String), &["r", "t"]);
    assert_eq!(columns[1], "image_count Int64?");
    assert_eq!(rows, ["b|2|s"]);
}

#[test]
fn a_run_id_that_is_not_text_is_an_error() {
    let files = Files::of(&[&[("note_id", texts(&["a"])), ("run_id", ints(&[1]))]]);
    let source = files.open(&table(ColumnType::Int64), &["r"]);
    let source = source.unwrap_or_else(|e| panic!("{e}"));
    let error = source.read(|_| Ok(())).expect_err("no text");
    assert_eq!(
        error.source().map(ToString::to_string).as_deref(),
        Some("Schema error: the column `run_id` is missing or not text")
    );
}

#[test]
fn a_table_without_an_order_is_sorted_by_all_columns() {
    let mut table = table(ColumnType::Int64);
    let of = |table: &Table| layout(table, &table.to_arrow());
    let ordered = of(&table);
    assert_eq!((ordered.group, ordered.order), (vec![0], vec![2]));
    table.sort_by.clear();
    assert_eq!(of(&table).group, [0, 1, 2]);
}

#[test]
fn a_file_that_is_not_parquet_is_named() {
    let mut files = Files::of(&[]);
    let path = files.folder.path().join("text.parquet");
    std::fs::write(&path, "text").expect("writable");
    files.paths.push(path.clone());
    let Err(error) = files.open(&table(ColumnType::Int64), &[]) else {
        panic!("it was read");
    };
    let expected = format!("cannot read the Parquet file {}: ", path.display());
    assert!(error.to_string().starts_with(&expected), "{error}");
}

#[test]
fn contents_are_equal_if_the_rows_are_in_any_order() {
    let content = |batches: &[&[(&'static str, ArrayRef)]]| {
        let mut content = RowContent::default();
        for columns in batches {
            let columns = columns
                .iter()
                .map(|(name, column)| (*name, Arc::clone(column), true));
            let rows = RecordBatch::try_from_iter_with_nullable(columns).expect("rows");
            content.add(&rows).expect("a content");
        }
        content
    };
    let of = |ids: &[Option<&str>], counts: &[i64]| -> [(&'static str, ArrayRef); 2] {
        let ids = Arc::new(StringArray::from(ids.to_vec()));
        [("run_id", ids), ("count", ints(counts))]
    };
    let (a, b) = (Some("a"), Some("b"));
    let known = content(&[&of(&[a, b, None], &[1, 2, 3])]);
    assert_eq!(known.rows, 3);
    assert_eq!(known.runs, ["a".to_owned(), "b".to_owned()].into());
    assert_eq!(content(&[&of(&[None, b], &[3, 2]), &of(&[a], &[1])]), known);
    let mut merged = content(&[&of(&[b], &[2])]);
    merged.merge(content(&[&of(&[a, None], &[1, 3])]));
    assert_eq!(merged, known);
    let others = [
        of(&[a, b, None], &[2, 1, 3]),
        of(&[a, b, Some("")], &[1, 2, 3]),
        of(&[a, b, None], &[1, 2, 4]),
        of(&[a, b, b], &[1, 2, 3]),
    ];
    for other in &others {
        assert_ne!(content(&[other]), known, "{other:?}");
    }
}
