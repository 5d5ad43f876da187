//! Items that broke the contract, kept with the reason.

use serde::Serialize;

/// One rejected row; its fields are the columns of the table `rejects`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reject {
    #[serde(skip)]
    pub source: String,
    /// Null where a whole page is no page.
    pub table: Option<String>,
    pub endpoint: String,
    pub search_id: String,
    pub page: u32,
    /// Place in the answer's list, from 0.
    pub item_index: Option<u64>,
    pub column: Option<String>,
    pub reason: String,
    pub value: Option<String>,
}

/// Longest fragment of an offending value that is kept.
const FRAGMENT: usize = 200;

/// The beginning of a value.
pub fn fragment(value: &str) -> String {
    match value.char_indices().nth(FRAGMENT) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value.to_owned(),
    }
}
