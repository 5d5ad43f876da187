//! Row builders from the table contracts.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, FixedSizeBinaryArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::Field;
use arrow::error::ArrowError;
use chrono::DateTime;
use serde::Serialize;
use serde_json::Value;

use crate::run_meta::RunMeta;
use crate::spec::table::ColumnType;
use crate::transform::common_columns::common_cells;
use crate::transform::page::captures::Scalar;
use crate::transform::program::coerce::Convert;
use crate::transform::program::value::Cell;
use crate::transform::quality::privacy::RowRules;
use crate::transform::tables::columns::ColumnBuilder;
use crate::transform::tables::merge::{Merge, Part};
use crate::transform::tables::shape::{Observed, Shape, StoredColumn};

/// Collects the rows of one table.
#[derive(Debug)]
pub struct TableBuilder {
    columns: Vec<ColumnBuilder>,
    /// The observations of the rows, one after the other, if the table keeps the latest.
    observed: Vec<u8>,
    latest: bool,
    rows: usize,
}

impl TableBuilder {
    pub fn new(shape: &Shape) -> Self {
        let kinds = shape.stored.iter().map(|c| c.kind);
        TableBuilder {
            columns: kinds.map(ColumnBuilder::new).collect(),
            observed: Vec::new(),
            latest: shape.layout.latest,
            rows: 0,
        }
    }

    /// Appends a cell of the row that follows, at this place among the stored columns. Call
    /// [`TableBuilder::end_row`] once all columns have a cell.
    pub fn append(&mut self, column: usize, cell: Option<Cell<'_>>) {
        self.columns[column].append(cell.as_ref());
    }

    /// Appends a value as [`TableBuilder::append`] does if it is of the column's type, and if it is not
    /// null by this conversion. Returns `false` if it is not appended.
    pub fn append_plain(&mut self, column: usize, value: Scalar<'_>, convert: &Convert) -> bool {
        self.columns[column].append_plain(value, convert)
    }

    /// Appends a cell to this column for each row that has none yet.
    pub fn fill_column(&mut self, column: usize, cell: Option<&Cell<'_>>) {
        let column = &mut self.columns[column];
        for _ in column.rows()..self.rows {
            column.append(cell);
        }
    }

    pub fn end_row(&mut self, observed: Observed) {
        if self.latest {
            self.observed.extend_from_slice(&observed.0);
        }
        self.rows += 1;
    }

    /// Takes back the cells of a row that has not ended.
    pub fn discard_row(&mut self) {
        let rows = self.rows;
        self.columns
            .iter_mut()
            .for_each(|column| column.truncate(rows));
    }

    /// Appends all cells of a row: one for each stored column, in the order and of the types of the
    /// columns.
    pub fn append_all(&mut self, row: &mut Vec<Option<Cell<'_>>>) {
        for (column, cell) in row.drain(..).enumerate() {
            self.append(column, cell);
        }
    }

    /// Returns the size of the rows in bytes.
    pub fn bytes(&self) -> usize {
        let columns: usize = self.columns.iter().map(ColumnBuilder::bytes).sum();
        columns + self.observed.len()
    }

    /// Returns the allocated memory in bytes.
    pub fn allocated(&self) -> usize {
        let columns: usize = self.columns.iter().map(ColumnBuilder::allocated).sum();
        columns + self.observed.capacity()
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Returns the sorted rows as they are written, with columns in the contract's order.
    ///
    /// # Errors
    /// A required column without a value, which the caller should have rejected.
    pub fn finish(mut self, shape: &Shape, meta: &RunMeta) -> Result<RecordBatch, ArrowError> {
        let mut merge = Merge::new(&shape.layout, &[Part::Memory(self.take(shape)?)], None)?;
        let mut batches = Vec::new();
        while let Some(rows) = merge.next_rows()? {
            batches.push(shape.complete(&rows, meta)?);
        }
        concat_batches(&shape.schema, &batches)
    }

    /// Takes the rows so far, in insertion order.
    ///
    /// # Errors
    /// A required column without a value, which the caller should have rejected.
    pub fn take(&mut self, shape: &Shape) -> Result<RecordBatch, ArrowError> {
        let columns = self.columns.iter_mut().map(ColumnBuilder::take);
        let mut columns: Vec<ArrayRef> = columns.collect();
        if shape.layout.latest {
            let observed = std::mem::take(&mut self.observed);
            let array = FixedSizeBinaryArray::try_new(Observed::LEN as i32, observed.into(), None)?;
            columns.push(Arc::new(array));
        }
        self.rows = 0;
        RecordBatch::try_new(Arc::clone(&shape.layout.schema), columns)
    }
}

/// Appends a row whose columns are the fields of a serializable value, by name.
///
/// # Errors
/// A field without a column, or a value that its column cannot hold: a mistake in this program
/// or in a user's own table contract.
pub fn push_record<T: Serialize>(
    builder: &mut TableBuilder,
    shape: &Shape,
    rules: Option<&RowRules>,
    common: &HashMap<&str, Cell<'_>>,
    record: &T,
) -> Result<(), ArrowError> {
    let wrong = |what: String| ArrowError::SchemaError(format!("table {}: {what}", shape.name));
    let Value::Object(mut fields) =
        serde_json::to_value(record).map_err(|e| wrong(e.to_string()))?
    else {
        return Err(wrong("a record is not an object".into()));
    };
    let mut row = Vec::with_capacity(shape.stored.len());
    for StoredColumn { name, kind, .. } in &shape.stored {
        let cell = match (fields.remove(name), common.get(name.as_str())) {
            (Some(value), _) => {
                record_cell(value, *kind).map_err(|e| wrong(format!("{name}: {e}")))?
            }
            (None, common) => common.cloned(),
        };
        row.push(cell);
    }
    if let Some(name) = fields.keys().next() {
        return Err(wrong(format!("the contract has no column `{name}`")));
    }
    if let Some(rules) = rules {
        rules.apply(&mut row);
    }
    builder.append_all(&mut row);
    builder.end_row(Observed::default());
    Ok(())
}

fn record_cell(value: Value, kind: ColumnType) -> Result<Option<Cell<'static>>, String> {
    let wrong = |value: &Value| format!("`{value}` is not a valid {}", kind.as_str());
    let cell = match (kind, &value) {
        (_, Value::Null) => return Ok(None),
        (ColumnType::String, Value::String(text)) => Some(Cell::Text(text.clone().into())),
        (ColumnType::Int64, value) => value.as_i64().map(Cell::Int),
        (ColumnType::Float64, value) => value.as_f64().map(Cell::Float),
        (ColumnType::Bool, value) => value.as_bool().map(Cell::Bool),
        (ColumnType::Timestamp, Value::String(text)) => DateTime::parse_from_rfc3339(text)
            .ok()
            .map(|at| Cell::Instant(at.timestamp_micros())),
        _ => None,
    };
    cell.map(Some).ok_or_else(|| wrong(&value))
}

/// Returns a column with the same value in all rows.
fn repeated(cell: Option<Cell<'_>>, kind: ColumnType, rows: usize) -> ArrayRef {
    let mut builder = ColumnBuilder::new(kind);
    (0..rows).for_each(|_| builder.append(cell.as_ref()));
    builder.take()
}

impl Shape {
    /// Returns the rows as they are written: all columns, in the contract's order.
    ///
    /// # Errors
    /// A required column without a value.
    pub fn complete(&self, rows: &RecordBatch, meta: &RunMeta) -> Result<RecordBatch, ArrowError> {
        let cells = common_cells(meta, "");
        let constant = |name: &str, kind| repeated(cells.get(name).cloned(), kind, rows.num_rows());
        let fields = self.schema.fields().iter().zip(&self.kinds).enumerate();
        let column = |(at, (field, kind)): (usize, (&Arc<Field>, &ColumnType))| match self
            .stored
            .iter()
            .position(|c| c.at == at)
        {
            Some(place) => Arc::clone(rows.column(place)),
            None => constant(field.name(), *kind),
        };
        let columns = fields.map(column).collect();
        RecordBatch::try_new(Arc::clone(&self.schema), columns)
    }
}
