//! Counts of items. Every given item is a row, a reject, or skipped by a declared condition.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use serde::Serialize;

/// Counts of the items given to one table. An item may become a row. It is an element of the list
/// that a rule iterates, a hashtag of a text, or a whole answer.
///
/// `given` is counted where an answer is read, the others where rows are made, so that neither side
/// can hide a bug of the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    pub given: u64,
    /// Rows before deduplication to the latest observations.
    pub written: u64,
    pub rejected: u64,
    /// Items excluded by a `when` or `then_when` of the contract.
    pub skipped: u64,
    /// Values that did not fit and became null, because of `on_bad_value: null`.
    pub nulled: u64,
    /// Rows replaced by a later observation of the same key.
    pub superseded: u64,
}

/// The tallies of a run, by table.
pub type Tallies = BTreeMap<String, Tally>;

impl Tally {
    /// Returns whether every item is accounted for.
    pub fn balances(&self) -> bool {
        self.given == self.written + self.rejected + self.skipped
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.given += other.given;
        self.written += other.written;
        self.rejected += other.rejected;
        self.skipped += other.skipped;
        self.nulled += other.nulled;
        self.superseded += other.superseded;
    }
}
