//! Rules for personal columns.

use std::collections::BTreeSet;

#[derive(Clone, Debug, PartialEq)]
pub enum PrivacyRule {
    Hash(Option<Only>),
    Drop,
}

/// The rows whose ids are hashed.
#[derive(Clone, Debug, PartialEq)]
pub struct Only {
    /// The column that says whose id it is.
    pub column: String,
    /// Identities whose columns are hashed.
    pub identities: BTreeSet<String>,
}

/// A table and its column.
pub type ColumnOfTable = (String, String);
