//! The three YAML contracts: pipelines, sources, tables. Shapes, loading, places of mistakes.

mod arrow;
pub mod blank;
pub mod checks;
mod compose;
pub mod contracts;
mod decode;
pub mod diagnostic;
pub mod env;
pub mod escape;
pub mod files;
pub mod load;
pub mod mart;
pub mod node;
pub mod pipeline;
mod place;
pub mod privacy;
mod references;
pub mod source;
mod source_checks;
mod syntax;
pub mod table;
pub mod text_file;
pub mod words;
pub mod yaml;

#[cfg(test)]
mod tests;
