//! Tables of the fast path beside those of the reference.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Date32Type, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType,
};

use super::super::Tables;
use super::order::cell;
use super::{Cell, Outcome, Row};

/// The first difference, in words; nothing where all tables are equal.
pub fn difference(expected: &Outcome, tables: &Tables) -> Option<String> {
    let names: Vec<_> = expected.tables.keys().collect();
    let found: Vec<_> = tables.batches.keys().collect();
    if names != found {
        return Some(format!(
            "the reference has the tables {names:?}, the fast path {found:?}"
        ));
    }
    let of_table = |(name, rows): (&String, &Vec<Row>)| {
        let told = of_rows(rows, &tables.batches[name])?;
        Some(format!("table {name}, {told}"))
    };
    expected.tables.iter().find_map(of_table)
}

fn of_rows(expected: &[Row], batch: &RecordBatch) -> Option<String> {
    let columns: Vec<String> = batch
        .schema_ref()
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .collect();
    for number in 0..expected.len().max(batch.num_rows()) {
        let reference = expected.get(number).map(|row| {
            let cells = columns.iter().map(|column| cell(row, column));
            cells.collect::<Vec<_>>()
        });
        let fast = (number < batch.num_rows()).then(|| row_of(batch, number));
        if reference != fast {
            let differing: Vec<_> = columns
                .iter()
                .enumerate()
                .filter(|(i, _)| {
                    reference.as_ref().map(|row| &row[*i]) != fast.as_ref().map(|row| &row[*i])
                })
                .map(|(_, column)| column.as_str())
                .collect();
            return Some(format!(
                "row {number} of {} (reference) and {} (fast path): {}\n  reference {}\n  fast path {}",
                expected.len(),
                batch.num_rows(),
                differing.join(", "),
                shown(&columns, reference.as_deref()),
                shown(&columns, fast.as_deref()),
            ));
        }
    }
    None
}

fn shown(columns: &[String], row: Option<&[Cell]>) -> String {
    let Some(row) = row else {
        return "has no such row".to_owned();
    };
    let cells = columns.iter().zip(row);
    let cells = cells.filter(|(_, cell)| **cell != Cell::Null);
    let cells: Vec<_> = cells
        .map(|(name, cell)| format!("{name}={cell:?}"))
        .collect();
    cells.join(" ")
}

fn row_of(batch: &RecordBatch, row: usize) -> Vec<Cell> {
    batch
        .columns()
        .iter()
        .map(|array| cell_of(array, row))
        .collect()
}

fn cell_of(array: &dyn Array, row: usize) -> Cell {
    if array.is_null(row) {
        return Cell::Null;
    }
    match array.data_type() {
        DataType::Utf8 => Cell::from(array.as_string::<i32>().value(row)),
        DataType::Int64 => Cell::Int(array.as_primitive::<Int64Type>().value(row)),
        DataType::Float64 => Cell::Float(array.as_primitive::<Float64Type>().value(row)),
        DataType::Boolean => Cell::Bool(array.as_boolean().value(row)),
        DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) if **zone == *"UTC" => {
            Cell::Instant(array.as_primitive::<TimestampMicrosecondType>().value(row))
        }
        DataType::Date32 => Cell::Date(array.as_primitive::<Date32Type>().value(row)),
        other => panic!("no table has a column of the type {other}"),
    }
}
