//! Output of the commands.

pub mod columns;
pub mod drift_summary;
pub mod format;
pub mod instants;
pub mod log;
pub mod pager;
pub mod pretty;
pub mod print;
pub mod progress;
pub mod relation;
pub mod replaced_file;
pub mod stderr;
pub mod summary;
pub mod table;
pub mod workbook;
