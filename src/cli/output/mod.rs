//! What commands print.

pub mod drift_summary;
pub mod print;
pub mod progress;
pub mod relation;
pub mod summary;
