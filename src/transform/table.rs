//! Arrow schemas and tables from the table contracts.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Date32Builder, Float64Builder, Int64Builder, RecordBatch,
    StringBuilder, TimestampMicrosecondBuilder, UInt64Array,
};
use arrow::compute::{SortColumn, SortOptions, lexsort_to_indices, take_record_batch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, Rows, SortField};
use chrono::DateTime;
use serde::Serialize;
use serde_json::Value;

use super::coerce::Cell;
use crate::spec::table::{ColumnType, Table};

/// When a row was observed: time of the fetch, then page, then place on the page; the search's id
/// tells two searches apart that saw the same in the same microsecond.
pub type Observed = (i64, u32, u64, u64);

/// Collects the rows of one table.
#[derive(Debug)]
pub struct TableBuilder {
    schema: SchemaRef,
    columns: Vec<ColumnBuilder>,
    observed: Vec<Observed>,
    sort_by: Vec<usize>,
    latest_by: Vec<usize>,
}

#[derive(Debug)]
enum ColumnBuilder {
    Text(StringBuilder),
    Int(Int64Builder),
    Float(Float64Builder),
    Bool(BooleanBuilder),
    Instant(TimestampMicrosecondBuilder),
    Date(Date32Builder),
}

/// The Arrow schema of a table.
pub fn arrow_schema(table: &Table) -> SchemaRef {
    let field = |(name, column): (&String, &crate::spec::table::Column)| {
        let kind = match column.kind {
            ColumnType::String => DataType::Utf8,
            ColumnType::Int64 => DataType::Int64,
            ColumnType::Float64 => DataType::Float64,
            ColumnType::Bool => DataType::Boolean,
            ColumnType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            ColumnType::Date => DataType::Date32,
        };
        Field::new(name, kind, !column.required)
    };
    Arc::new(Schema::new(
        table.columns.iter().map(field).collect::<Vec<_>>(),
    ))
}

impl TableBuilder {
    pub fn new(table: &Table) -> Self {
        let columns = table
            .columns
            .values()
            .map(|c| ColumnBuilder::new(c.kind))
            .collect();
        let positions = |names: &[crate::spec::yaml::Spanned<String>]| {
            names
                .iter()
                .filter_map(|n| table.columns.get_index_of(&n.value))
                .collect()
        };
        TableBuilder {
            schema: arrow_schema(table),
            columns,
            observed: Vec::new(),
            sort_by: positions(&table.sort_by),
            latest_by: positions(&table.latest_by),
        }
    }

    /// Appends a row of one cell a column, in the contract's order and of its types.
    pub fn push(&mut self, row: &mut Vec<Option<Cell<'_>>>, observed: Observed) {
        for (builder, cell) in self.columns.iter_mut().zip(row.drain(..)) {
            builder.append(cell);
        }
        self.observed.push(observed);
    }

    /// The rows that count, in the contract's order.
    ///
    /// # Errors
    /// A required column without a value, which the caller should have rejected.
    pub fn finish(self) -> Result<RecordBatch, ArrowError> {
        self.build()?.finish(None)
    }

    /// All rows, before the latest observations are chosen.
    ///
    /// # Errors
    /// A required column without a value, which the caller should have rejected.
    pub fn build(mut self) -> Result<Observations, ArrowError> {
        let columns = self.columns.iter_mut().map(ColumnBuilder::finish).collect();
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
        Ok(Observations {
            batch,
            observed: self.observed,
            sort_by: self.sort_by,
            latest_by: self.latest_by,
        })
    }
}

/// A table's rows with the time of each one's observation.
#[derive(Debug)]
pub struct Observations {
    batch: RecordBatch,
    observed: Vec<Observed>,
    sort_by: Vec<usize>,
    latest_by: Vec<usize>,
}

/// When each group of rows was observed last.
pub type Newest = HashMap<Box<[u8]>, Observed>;

impl Observations {
    /// # Errors
    /// Keys of a type that cannot be compared.
    pub fn newest(&self) -> Result<Newest, ArrowError> {
        let mut newest = Newest::new();
        for (key, at) in self.keys()?.iter().zip(&self.observed) {
            let known = newest.entry(key.data().into()).or_insert(*at);
            *known = (*known).max(*at);
        }
        Ok(newest)
    }

    /// Of each group the rows of the latest observation, in the contract's order. Rows that an
    /// observation of `parent` outdates are gone too, though nothing stands in their place: a
    /// note that lost its images has none.
    ///
    /// # Errors
    /// Keys of a type that cannot be compared.
    pub fn finish(self, parent: Option<&Newest>) -> Result<RecordBatch, ArrowError> {
        if self.latest_by.is_empty() {
            return sorted(&self.batch, &self.sort_by);
        }
        let mut newest = self.newest()?;
        for (key, at) in parent.into_iter().flatten() {
            if let Some(known) = newest.get_mut(key) {
                *known = (*known).max(*at);
            }
        }
        let keys = self.keys()?;
        let rows = keys.iter().zip(&self.observed).enumerate();
        let kept = rows.filter(|(_, (key, at))| newest.get(key.data()) == Some(at));
        let kept = UInt64Array::from_iter_values(kept.map(|(i, _)| i as u64));
        sorted(&take_record_batch(&self.batch, &kept)?, &self.sort_by)
    }

    /// The columns of `latest_by`, as comparable bytes.
    fn keys(&self) -> Result<Rows, ArrowError> {
        let columns = self
            .latest_by
            .iter()
            .map(|&c| Arc::clone(self.batch.column(c)));
        let columns: Vec<ArrayRef> = columns.collect();
        let fields = columns
            .iter()
            .map(|c| SortField::new(c.data_type().clone()));
        RowConverter::new(fields.collect())?.convert_columns(&columns)
    }
}

fn sorted(batch: &RecordBatch, by: &[usize]) -> Result<RecordBatch, ArrowError> {
    if batch.num_rows() < 2 || by.is_empty() {
        return Ok(batch.clone());
    }
    let options = Some(SortOptions {
        descending: false,
        nulls_first: true,
    });
    // The other columns break ties, so that equal rows in any order give equal files.
    let rest = (0..batch.num_columns()).filter(|c| !by.contains(c));
    let columns = by.iter().copied().chain(rest);
    let columns: Vec<SortColumn> = columns
        .map(|c| SortColumn {
            values: Arc::clone(batch.column(c)),
            options,
        })
        .collect();
    take_record_batch(batch, &lexsort_to_indices(&columns, None)?)
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
    table: &Table,
    common: &HashMap<&str, Cell<'_>>,
    record: &T,
) -> Result<(), ArrowError> {
    let wrong = |what: String| ArrowError::SchemaError(format!("table {}: {what}", table.name()));
    let Value::Object(mut fields) =
        serde_json::to_value(record).map_err(|e| wrong(e.to_string()))?
    else {
        return Err(wrong("a record is no object".into()));
    };
    let mut row = Vec::with_capacity(table.columns.len());
    for (name, column) in &table.columns {
        let cell = match (fields.remove(name), common.get(name.as_str())) {
            (Some(value), _) => {
                record_cell(value, column.kind).map_err(|e| wrong(format!("{name}: {e}")))?
            }
            (None, common) => common.cloned(),
        };
        row.push(cell);
    }
    match fields.keys().next() {
        Some(name) => Err(wrong(format!("the contract has no column `{name}`"))),
        None => {
            builder.push(&mut row, Observed::default());
            Ok(())
        }
    }
}

fn record_cell(value: Value, kind: ColumnType) -> Result<Option<Cell<'static>>, String> {
    let wrong = |value: &Value| format!("`{value}` is no {}", kind.as_str());
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
