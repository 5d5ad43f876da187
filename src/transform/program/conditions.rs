//! Conditions of rules and mappings on captured values.

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

/// Alternative sets of conditions. They hold if all conditions of one set hold, or if there are no
/// sets.
pub type Alternatives = Vec<Vec<(SlotPlace, Matcher)>>;
