//! Output of the commands.

pub mod drift_summary;
pub mod format;
pub mod print;
pub mod progress;
pub mod relation;
pub mod stderr;
pub mod summary;
