//! Selects the top notes of a run.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Int64Type;

/// A note and the count that ranks it.
pub type Ranked = (String, Option<i64>);

/// Returns the notes that `endpoint` found, each with its count `by`.
pub fn found_notes(engagement: &RecordBatch, endpoint: &str, by: &str) -> Vec<Ranked> {
    let column = |name| engagement.column_by_name(name);
    let (Some(ids), Some(endpoints), Some(counts)) = (
        column("note_id").and_then(|c| c.as_string_opt::<i32>()),
        column("endpoint").and_then(|c| c.as_string_opt::<i32>()),
        column(by).and_then(|c| c.as_primitive_opt::<Int64Type>()),
    ) else {
        return Vec::new();
    };
    let rows = (0..engagement.num_rows()).filter(|&row| endpoints.value(row) == endpoint);
    let count = |row| counts.is_valid(row).then(|| counts.value(row));
    rows.map(|row| (ids.value(row).to_owned(), count(row)))
        .collect()
}

/// Returns the ids of the first `top` notes, sorted by descending count, then by id. Notes without
/// the count are last.
pub fn first(mut notes: Vec<Ranked>, top: usize) -> Vec<String> {
    notes.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    notes.into_iter().take(top).map(|(id, _)| id).collect()
}
