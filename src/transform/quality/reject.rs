//! Items that break the contract, with the reason.

use std::fmt;

use serde::Serialize;

use crate::transform::page::captures::Scalar;

/// One rejected row. Its fields are the columns of the table `rejects`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reject {
    #[serde(skip)]
    pub source: String,
    /// Null if the whole answer is not a page.
    pub table: Option<String>,
    pub endpoint: String,
    pub search_id: String,
    pub page: u32,
    /// Index in the answer's list, from 0.
    pub item_index: Option<u64>,
    pub column: Option<String>,
    pub reason: String,
    pub value: Option<String>,
}

impl Reject {
    /// Returns the sort key of a reject. It does not depend on the order in which rejects are
    /// found.
    pub fn place(&self) -> impl Ord + '_ {
        let item = (&self.search_id, self.page, self.item_index);
        (
            &self.source,
            item,
            &self.table,
            &self.column,
            &self.reason,
            &self.value,
        )
    }
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Reject {
            endpoint,
            search_id,
            page,
            reason,
            ..
        } = self;
        write!(f, "{endpoint}, search {search_id}, page {page}")?;
        if let Some(item) = self.item_index {
            write!(f, ", item {item}")?;
        }
        if let (Some(table), Some(column)) = (&self.table, &self.column) {
            write!(f, ", {table}.{column}")?;
        }
        write!(f, ": {reason}")?;
        self.value
            .as_ref()
            .map_or(Ok(()), |value| write!(f, ": {value}"))
    }
}

/// Maximum length of an offending value's fragment, in characters.
const FRAGMENT: usize = 200;

/// Returns the beginning of a value.
pub fn fragment(value: &str) -> String {
    match value.char_indices().nth(FRAGMENT) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value.to_owned(),
    }
}

/// A value that does not fit its column, and the reason.
pub struct BadCell<'p> {
    pub reason: &'static str,
    pub value: Scalar<'p>,
    /// Path of the value, as in drift.
    pub path: &'p str,
}

impl BadCell<'_> {
    pub fn missing() -> Self {
        BadCell {
            reason: "missing",
            value: Scalar::Absent,
            path: "",
        }
    }

    pub fn json_type(&self) -> &'static str {
        self.value.type_name()
    }

    /// Returns the offending value as text.
    pub fn shown(&self) -> Option<String> {
        Some(match self.value {
            Scalar::Absent => return None,
            Scalar::Bool(value) => value.to_string(),
            Scalar::Int(value) => value.to_string(),
            Scalar::Uint(value) => value.to_string(),
            Scalar::Float(value) => value.to_string(),
            Scalar::Number(text) | Scalar::Text(text) => text.to_owned(),
            Scalar::Nested(kind) => format!("<{kind}>"),
        })
    }
}
