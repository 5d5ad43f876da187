//! Builders of Arrow columns whose last row can be taken back.

use std::sync::Arc;

use arrow::array::types::{
    ArrowPrimitiveType, Date32Type, Float64Type, Int64Type, TimestampMicrosecondType,
};
use arrow::array::{
    ArrayRef, BooleanArray, NullBufferBuilder, PrimitiveArray, StringArray, StringBuilder,
};
use arrow::datatypes::ArrowNativeType;

use crate::spec::table::ColumnType;
use crate::transform::page::captures::Scalar;
use crate::transform::program::coerce::Convert;
use crate::transform::program::value::Cell;

/// Collects the values of one column.
#[derive(Debug)]
pub enum ColumnBuilder {
    Text(Texts),
    Int(Values<i64>),
    Float(Values<f64>),
    Bool(Values<bool>),
    Instant(Values<i64>),
    Date(Values<i32>),
}

/// Values of a fixed size. A null has the type's default.
#[derive(Debug)]
pub struct Values<T> {
    values: Vec<T>,
    valid: NullBufferBuilder,
}

#[derive(Debug, Default)]
pub struct Texts {
    /// All texts, one after the other.
    texts: String,
    /// The end of each text, and whether there is one. A null ends where the text before it does.
    ends: Vec<(usize, bool)>,
}

impl ColumnBuilder {
    pub fn new(kind: ColumnType) -> Self {
        match kind {
            ColumnType::String => ColumnBuilder::Text(Texts::default()),
            ColumnType::Int64 => ColumnBuilder::Int(Values::default()),
            ColumnType::Float64 => ColumnBuilder::Float(Values::default()),
            ColumnType::Bool => ColumnBuilder::Bool(Values::default()),
            ColumnType::Timestamp => ColumnBuilder::Instant(Values::default()),
            ColumnType::Date => ColumnBuilder::Date(Values::default()),
        }
    }

    /// Appends a cell of the column's type, or a null.
    pub fn append(&mut self, cell: Option<&Cell<'_>>) {
        match (self, cell) {
            (ColumnBuilder::Text(b), Some(Cell::Text(v))) => b.append(v),
            (ColumnBuilder::Int(b), Some(Cell::Int(v))) => b.append(*v),
            (ColumnBuilder::Float(b), Some(Cell::Float(v))) => b.append(*v),
            (ColumnBuilder::Bool(b), Some(Cell::Bool(v))) => b.append(*v),
            (ColumnBuilder::Instant(b), Some(Cell::Instant(v))) => b.append(*v),
            (ColumnBuilder::Date(b), Some(Cell::Date(v))) => b.append(*v),
            (ColumnBuilder::Text(b), _) => b.append_null(),
            (ColumnBuilder::Int(b), _) => b.append_null(),
            (ColumnBuilder::Float(b), _) => b.append_null(),
            (ColumnBuilder::Bool(b), _) => b.append_null(),
            (ColumnBuilder::Instant(b), _) => b.append_null(),
            (ColumnBuilder::Date(b), _) => b.append_null(),
        }
    }

    /// Appends a value of the column's type, unless it is null by this conversion. Returns `false` if it
    /// is not appended.
    pub fn append_plain(&mut self, value: Scalar<'_>, convert: &Convert) -> bool {
        match (self, value) {
            (ColumnBuilder::Text(b), Scalar::Text(v)) if !convert.is_null(value) => b.append(v),
            (ColumnBuilder::Int(b), Scalar::Int(v)) if !convert.is_null(value) => b.append(v),
            (ColumnBuilder::Bool(b), Scalar::Bool(v)) => b.append(v),
            _ => return false,
        }
        true
    }

    /// Removes all rows from this one on. Does nothing if there are fewer.
    pub fn truncate(&mut self, rows: usize) {
        match self {
            ColumnBuilder::Text(b) => b.truncate(rows),
            ColumnBuilder::Int(b) => b.truncate(rows),
            ColumnBuilder::Float(b) => b.truncate(rows),
            ColumnBuilder::Bool(b) => b.truncate(rows),
            ColumnBuilder::Instant(b) => b.truncate(rows),
            ColumnBuilder::Date(b) => b.truncate(rows),
        }
    }

    pub fn rows(&self) -> usize {
        match self {
            ColumnBuilder::Text(b) => b.ends.len(),
            ColumnBuilder::Int(b) => b.values.len(),
            ColumnBuilder::Float(b) => b.values.len(),
            ColumnBuilder::Bool(b) => b.values.len(),
            ColumnBuilder::Instant(b) => b.values.len(),
            ColumnBuilder::Date(b) => b.values.len(),
        }
    }

    /// Returns the size of the values in bytes.
    pub fn bytes(&self) -> usize {
        match self {
            ColumnBuilder::Text(b) => b.texts.len() + size_of_val(b.ends.as_slice()),
            ColumnBuilder::Int(b) => size_of_val(b.values.as_slice()),
            ColumnBuilder::Float(b) => size_of_val(b.values.as_slice()),
            ColumnBuilder::Bool(b) => size_of_val(b.values.as_slice()),
            ColumnBuilder::Instant(b) => size_of_val(b.values.as_slice()),
            ColumnBuilder::Date(b) => size_of_val(b.values.as_slice()),
        }
    }

    /// Returns the allocated memory in bytes.
    pub fn allocated(&self) -> usize {
        match self {
            ColumnBuilder::Text(b) => {
                let ends = size_of::<(usize, bool)>() * b.ends.capacity();
                b.texts.capacity() + ends
            }
            ColumnBuilder::Int(b) => b.allocated(),
            ColumnBuilder::Float(b) => b.allocated(),
            ColumnBuilder::Bool(b) => b.allocated(),
            ColumnBuilder::Instant(b) => b.allocated(),
            ColumnBuilder::Date(b) => b.allocated(),
        }
    }

    /// Takes the rows so far.
    pub fn take(&mut self) -> ArrayRef {
        match self {
            ColumnBuilder::Text(b) => Arc::new(b.take()),
            ColumnBuilder::Int(b) => Arc::new(b.take::<Int64Type>()),
            ColumnBuilder::Float(b) => Arc::new(b.take::<Float64Type>()),
            ColumnBuilder::Bool(b) => {
                let values = std::mem::take(&mut b.values);
                Arc::new(BooleanArray::new(values.into(), b.valid.finish()))
            }
            ColumnBuilder::Instant(b) => {
                Arc::new(b.take::<TimestampMicrosecondType>().with_timezone("UTC"))
            }
            ColumnBuilder::Date(b) => Arc::new(b.take::<Date32Type>()),
        }
    }
}

impl<T> Default for Values<T> {
    fn default() -> Self {
        Values {
            values: Vec::new(),
            valid: NullBufferBuilder::new(0),
        }
    }
}

impl<T: Default> Values<T> {
    fn append(&mut self, value: T) {
        self.values.push(value);
        self.valid.append_non_null();
    }

    fn append_null(&mut self) {
        self.values.push(T::default());
        self.valid.append_null();
    }

    fn truncate(&mut self, rows: usize) {
        self.values.truncate(rows);
        self.valid.truncate(rows);
    }

    fn allocated(&self) -> usize {
        size_of::<T>() * self.values.capacity() + self.valid.allocated_size()
    }

    fn take<P: ArrowPrimitiveType<Native = T>>(&mut self) -> PrimitiveArray<P>
    where
        T: ArrowNativeType,
    {
        // The next rows are about as many.
        let next = Vec::with_capacity(self.values.len());
        let values = std::mem::replace(&mut self.values, next);
        PrimitiveArray::new(values.into(), self.valid.finish())
    }
}

impl Texts {
    fn append(&mut self, text: &str) {
        self.texts.push_str(text);
        self.ends.push((self.texts.len(), true));
    }

    fn append_null(&mut self) {
        self.ends.push((self.texts.len(), false));
    }

    fn truncate(&mut self, rows: usize) {
        self.ends.truncate(rows);
        let end = self.ends.last().map(|(end, _)| *end);
        self.texts.truncate(end.unwrap_or_default());
    }

    /// Copies the texts to an array of their size, since the memory of the builder is for more.
    fn take(&mut self) -> StringArray {
        let mut array = StringBuilder::with_capacity(self.ends.len(), self.texts.len());
        let mut begin = 0;
        for (end, is_there) in self.ends.drain(..) {
            array.append_option(is_there.then(|| &self.texts[begin..end]));
            begin = end;
        }
        self.texts.clear();
        array.finish()
    }
}
