//! The value of a column.

use std::borrow::Cow;

/// Reason why a value has no cell.
pub type BadReason = &'static str;

/// A column's value.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell<'a> {
    Text(Cow<'a, str>),
    Int(i64),
    Float(f64),
    Bool(bool),
    /// Microseconds since 1970, UTC.
    Instant(i64),
    /// Days since 1970.
    Date(i32),
}

impl Cell<'_> {
    pub fn into_owned(self) -> Cell<'static> {
        match self {
            Cell::Text(text) => Cell::Text(Cow::Owned(text.into_owned())),
            Cell::Int(value) => Cell::Int(value),
            Cell::Float(value) => Cell::Float(value),
            Cell::Bool(value) => Cell::Bool(value),
            Cell::Instant(value) => Cell::Instant(value),
            Cell::Date(value) => Cell::Date(value),
        }
    }
}
