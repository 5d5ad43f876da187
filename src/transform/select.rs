//! Which notes of a run are worth a closer look.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Int64Type;

/// The ids of the first `top` notes that `endpoint` found, by the count `by`, largest first;
/// equal counts in the order of their ids. Notes without the count come last.
pub fn top_notes(engagement: &RecordBatch, endpoint: &str, by: &str, top: usize) -> Vec<String> {
    let column = |name| engagement.column_by_name(name);
    let (Some(ids), Some(endpoints), Some(counts)) = (
        column("note_id").and_then(|c| c.as_string_opt::<i32>()),
        column("endpoint").and_then(|c| c.as_string_opt::<i32>()),
        column(by).and_then(|c| c.as_primitive_opt::<Int64Type>()),
    ) else {
        return Vec::new();
    };
    let mut notes: Vec<(Option<i64>, &str)> = (0..engagement.num_rows())
        .filter(|&row| endpoints.value(row) == endpoint)
        .map(|row| {
            (
                counts.is_valid(row).then(|| counts.value(row)),
                ids.value(row),
            )
        })
        .collect();
    notes.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(b.1)));
    notes
        .into_iter()
        .take(top)
        .map(|(_, id)| id.to_owned())
        .collect()
}
