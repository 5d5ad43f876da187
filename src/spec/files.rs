//! What the files of a lake hold, seen beside the contracts of their tables.

use std::collections::{BTreeMap, BTreeSet};

/// Columns, as (table, column), that cannot be read while old files are there, and why.
pub type Unreadable = BTreeMap<(String, String), String>;

/// What the columns of a lake's files mean for whoever reads them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FileColumns {
    pub unreadable: Unreadable,
    /// The tables whose files all have the same columns, so that any of them tells for all.
    pub uniform: BTreeSet<String>,
}
