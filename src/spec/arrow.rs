//! Arrow types of table columns, and so their Parquet types.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use super::table::{Column, ColumnType, Table};

impl ColumnType {
    /// Returns the Arrow type that redlake writes.
    pub fn to_arrow(self) -> DataType {
        match self {
            ColumnType::String => DataType::Utf8,
            ColumnType::Int64 => DataType::Int64,
            ColumnType::Float64 => DataType::Float64,
            ColumnType::Bool => DataType::Boolean,
            ColumnType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            ColumnType::Date => DataType::Date32,
        }
    }

    /// Returns the type of a column that was read; `None` for an Arrow type that no contract can
    /// declare.
    pub fn of_arrow(kind: &DataType) -> Option<Self> {
        Some(match kind {
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => ColumnType::String,
            DataType::Int64 => ColumnType::Int64,
            DataType::Float64 => ColumnType::Float64,
            DataType::Boolean => ColumnType::Bool,
            DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => ColumnType::Timestamp,
            DataType::Date32 => ColumnType::Date,
            _ => return None,
        })
    }
}

impl Column {
    /// Returns the column as a field of this name. The field is nullable unless the column is
    /// required.
    pub fn to_arrow(&self, name: &str) -> Field {
        Field::new(name, self.kind.to_arrow(), !self.required)
    }
}

impl Table {
    /// Returns the schema of all columns in their order, the common ones included.
    pub fn to_arrow(&self) -> SchemaRef {
        let fields = self.columns.iter().map(|(name, c)| c.to_arrow(name));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }
}
