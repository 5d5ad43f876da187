//! From rows to sorted tables.

pub mod accumulator;
pub mod builder;
pub mod columns;
pub mod finish;
pub mod merge;
pub mod select;
pub mod shape;
pub mod sort;
pub mod sorter;
pub mod spill;
