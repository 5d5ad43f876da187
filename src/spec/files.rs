//! Columns of a lake's files, compared with the contracts of their tables.

use std::collections::{BTreeMap, BTreeSet};

/// Reasons, by (table, column), why a column cannot be read while old files are there.
pub type Unreadable = BTreeMap<(String, String), String>;

/// Effects that the columns of a lake's files have on its readers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FileColumns {
    pub unreadable: Unreadable,
    /// Tables whose files all have the same columns. The schema of one file stands for all.
    pub uniform: BTreeSet<String>,
}
