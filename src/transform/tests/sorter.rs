//! Rows are sorted in any memory, by all columns in the end.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::Int64Type;
use tempfile::TempDir;

use crate::transform::tables::shape::Layout;
use crate::transform::tables::sorter::Sorter;
use crate::transform::tables::spill::Scratch;

type Row = (Option<String>, i64, i64);

fn batch(rows: &[Row]) -> RecordBatch {
    let texts: StringArray = rows.iter().map(|row| row.0.as_deref()).collect();
    let numbers =
        |of: fn(&Row) -> i64| -> ArrayRef { Arc::new(rows.iter().map(of).collect::<Int64Array>()) };
    let columns = [
        ("rest", numbers(|row| row.2), false),
        ("key", Arc::new(texts) as ArrayRef, true),
        ("order", numbers(|row| row.1), false),
    ];
    RecordBatch::try_from_iter_with_nullable(columns).expect("rows")
}

/// Returns the sorted rows, and the number of files that were left in the folder while they were
/// read.
fn sorted(batches: &[Vec<Row>], memory: usize) -> (Vec<Row>, usize) {
    let folder = TempDir::new().expect("a temporary folder");
    let scratch = Scratch::new(folder.path().to_owned());
    let layout = Layout {
        schema: batch(&[]).schema(),
        group: vec![1],
        latest: false,
        order: vec![2],
    };
    let mut sorter = Sorter::new(&layout, &scratch, memory);
    for rows in batches {
        sorter.push(batch(rows)).expect("room");
    }
    let sorted = sorter.finish().expect("rows");
    let spilled = folder.path().read_dir().expect("the folder").count();
    let mut rows = Vec::new();
    for batch in sorted {
        let batch = batch.expect("rows");
        let [rest, order] = [0, 2].map(|at| batch.column(at).as_primitive::<Int64Type>());
        let keys = batch.column(1).as_string::<i32>().iter();
        let row = |(row, key): (usize, Option<&str>)| {
            (key.map(str::to_owned), order.value(row), rest.value(row))
        };
        rows.extend(keys.enumerate().map(row));
    }
    assert_eq!(folder.path().read_dir().expect("the folder").count(), 0);
    (rows, spilled)
}

#[test]
fn rows_are_sorted_in_any_memory() {
    let mut random = fastrand::Rng::with_seed(7);
    let mut row = || {
        let key = (random.u8(..9) > 0).then(|| format!("{:02}", random.u8(..50)));
        (key, random.i64(..3), random.i64(..1_000))
    };
    let batches: Vec<Vec<Row>> = (0..70).map(|_| (0..300).map(|_| row()).collect()).collect();
    let mut expected = batches.concat();
    expected.sort();
    assert_eq!(sorted(&batches, 1 << 30), (expected.clone(), 0));
    assert_eq!(sorted(&batches, 250_000).0, expected);
    let (rows, spilled) = sorted(&batches, 0);
    assert_eq!(rows, expected);
    assert!((2..=32).contains(&spilled), "{spilled} files at once");
    assert_eq!(sorted(&[], 0), (Vec::new(), 0));
}
