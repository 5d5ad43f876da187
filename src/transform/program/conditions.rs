//! Conditions on captured values, as rules and mappings have them.

use crate::transform::page::captures::SlotPlace;

/// A condition on a captured value.
#[derive(Debug)]
pub enum Matcher {
    OneOf(Vec<String>),
    NoneOf(Vec<String>),
    Exists(bool),
    Filled(bool),
    IsSet(bool),
}

/// Sets of conditions: one of them has to hold as a whole; none at all always hold.
pub type Alternatives = Vec<Vec<(SlotPlace, Matcher)>>;
