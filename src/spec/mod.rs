//! The YAML contracts of pipelines, sources, tables and marts: types, loading and diagnostics.

mod arrow;
pub mod blank;
pub mod checks;
pub mod class;
pub mod contracts;
pub mod load;
pub mod mart;
pub mod notify;
pub mod pipeline;
pub mod privacy;
mod references;
pub mod source;
pub mod table;
pub mod view;
pub mod words;
pub mod yaml;

#[cfg(test)]
mod tests;
