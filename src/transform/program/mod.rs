//! Compiled form of the rules of the source contracts.

pub mod coerce;
pub mod compile;
pub mod conditions;
pub mod mapping;
pub mod tree;
pub mod value;
