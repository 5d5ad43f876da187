//! How the columns of tables are held in Arrow, and so in Parquet.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use super::table::{Column, ColumnType, Table};

impl ColumnType {
    /// The type that redlake writes.
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

    /// The type of a column that was read; none for one that no contract can name.
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
    /// The column as a field of this name; one that is not required may be null.
    pub fn to_arrow(&self, name: &str) -> Field {
        Field::new(name, self.kind.to_arrow(), !self.required)
    }
}

impl Table {
    /// All columns in their order, those that every table has included.
    pub fn to_arrow(&self) -> SchemaRef {
        let fields = self.columns.iter().map(|(name, c)| c.to_arrow(name));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }
}
