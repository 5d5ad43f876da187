//! Accounting: what was given is a row, a reject, or was skipped as declared.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use serde::Serialize;

/// Account of the items that one table was given. An item is what may become a row: an element
/// of the list that a rule goes over, a hashtag of a text, or a whole answer.
///
/// `given` is counted where an answer is read, the others where rows are made, so that neither can
/// hide a fault of the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    pub given: u64,
    /// Rows, before the latest observations are chosen.
    pub written: u64,
    pub rejected: u64,
    /// Left out by a `when` or `then_when` of the contract.
    pub skipped: u64,
    /// Values that became null because they did not fit, as `on_bad_value: null` asks.
    pub nulled: u64,
    /// Rows that a later observation of the same thing replaced.
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
