//! Arrow schemas and row builders from the table contracts.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Date32Builder, FixedSizeBinaryArray, Float64Builder, Int64Builder,
    RecordBatch, StringArray, StringBuilder, TimestampMicrosecondBuilder,
};
use arrow::compute::concat_batches;
use arrow::datatypes::Field;
use arrow::error::ArrowError;
use chrono::DateTime;
use serde::Serialize;
use serde_json::Value;

use crate::run_meta::RunMeta;
use crate::spec::table::ColumnType;
use crate::transform::common_columns::common_cells;
use crate::transform::program::value::Cell;
use crate::transform::quality::privacy::RowRules;
use crate::transform::tables::merge::{Merge, Part};
use crate::transform::tables::shape::{Observed, Shape, StoredColumn};

/// Collects the rows of one table.
#[derive(Debug)]
pub struct TableBuilder {
    columns: Vec<ColumnBuilder>,
    /// The observations of the rows, one after the other, if the table keeps the latest.
    observed: Vec<u8>,
    latest: bool,
    bytes: usize,
    rows: usize,
}

#[derive(Debug)]
pub(crate) enum ColumnBuilder {
    Text(StringBuilder),
    Int(Int64Builder),
    Float(Float64Builder),
    Bool(BooleanBuilder),
    Instant(TimestampMicrosecondBuilder),
    Date(Date32Builder),
}

impl TableBuilder {
    pub fn new(shape: &Shape) -> Self {
        let kinds = shape.stored.iter().map(|c| c.kind);
        TableBuilder {
            columns: kinds.map(ColumnBuilder::new).collect(),
            observed: Vec::new(),
            latest: shape.latest,
            bytes: 0,
            rows: 0,
        }
    }

    /// Appends a row with one cell for each stored column, in the order and of the types of the
    /// columns.
    pub fn push(&mut self, row: &mut Vec<Option<Cell<'_>>>, observed: Observed) {
        for (builder, cell) in self.columns.iter_mut().zip(row.drain(..)) {
            self.bytes += size_of::<i64>();
            if let Some(Cell::Text(text)) = &cell {
                self.bytes += text.len();
            }
            builder.append(cell);
        }
        if self.latest {
            self.observed.extend_from_slice(&observed.0);
        }
        self.rows += 1;
    }

    /// Returns the approximate memory of the rows, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Returns the sorted rows as they are written, with columns in the contract's order.
    ///
    /// # Errors
    /// A required column without a value, which the caller should have rejected.
    pub fn finish(mut self, shape: &Shape, meta: &RunMeta) -> Result<RecordBatch, ArrowError> {
        let mut merge = Merge::new(shape, &[Part::Memory(self.take(shape)?)], None)?;
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
        let mut columns: Vec<ArrayRef> =
            self.columns.iter_mut().map(ColumnBuilder::finish).collect();
        if shape.latest {
            let observed = std::mem::take(&mut self.observed);
            let array = FixedSizeBinaryArray::try_new(Observed::LEN as i32, observed.into(), None)?;
            columns.push(Arc::new(array));
        }
        self.observed.clear();
        (self.bytes, self.rows) = (0, 0);
        RecordBatch::try_new(Arc::clone(&shape.stored_schema), columns)
    }
}

impl ColumnBuilder {
    fn new(kind: ColumnType) -> Self {
        match kind {
            ColumnType::String => ColumnBuilder::Text(StringBuilder::new()),
            ColumnType::Int64 => ColumnBuilder::Int(Int64Builder::new()),
            ColumnType::Float64 => ColumnBuilder::Float(Float64Builder::new()),
            ColumnType::Bool => ColumnBuilder::Bool(BooleanBuilder::new()),
            ColumnType::Timestamp => {
                ColumnBuilder::Instant(TimestampMicrosecondBuilder::new().with_timezone("UTC"))
            }
            ColumnType::Date => ColumnBuilder::Date(Date32Builder::new()),
        }
    }

    fn append(&mut self, cell: Option<Cell<'_>>) {
        match (self, cell) {
            (ColumnBuilder::Text(b), Some(Cell::Text(v))) => b.append_value(v),
            (ColumnBuilder::Int(b), Some(Cell::Int(v))) => b.append_value(v),
            (ColumnBuilder::Float(b), Some(Cell::Float(v))) => b.append_value(v),
            (ColumnBuilder::Bool(b), Some(Cell::Bool(v))) => b.append_value(v),
            (ColumnBuilder::Instant(b), Some(Cell::Instant(v))) => b.append_value(v),
            (ColumnBuilder::Date(b), Some(Cell::Date(v))) => b.append_value(v),
            (ColumnBuilder::Text(b), _) => b.append_null(),
            (ColumnBuilder::Int(b), _) => b.append_null(),
            (ColumnBuilder::Float(b), _) => b.append_null(),
            (ColumnBuilder::Bool(b), _) => b.append_null(),
            (ColumnBuilder::Instant(b), _) => b.append_null(),
            (ColumnBuilder::Date(b), _) => b.append_null(),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            ColumnBuilder::Text(b) => Arc::new(b.finish()),
            ColumnBuilder::Int(b) => Arc::new(b.finish()),
            ColumnBuilder::Float(b) => Arc::new(b.finish()),
            ColumnBuilder::Bool(b) => Arc::new(b.finish()),
            ColumnBuilder::Instant(b) => Arc::new(b.finish()),
            ColumnBuilder::Date(b) => Arc::new(b.finish()),
        }
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
    builder.push(&mut row, Observed::default());
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
    if let (ColumnType::String, Some(Cell::Text(text))) = (kind, &cell) {
        return Arc::new(StringArray::new_repeated(text, rows));
    }
    let mut builder = ColumnBuilder::new(kind);
    (0..rows).for_each(|_| builder.append(cell.clone()));
    builder.finish()
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
        RecordBatch::try_new(Arc::clone(&self.schema), fields.map(column).collect())
    }
}
