//! What is done to a personal column.

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
    /// What it says of those that are hashed.
    pub identities: BTreeSet<String>,
}

/// A table and its column.
pub type ColumnOfTable = (String, String);
