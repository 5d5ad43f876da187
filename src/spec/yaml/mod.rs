//! YAML files: text, tree, places, diagnostics and typed values.

pub mod compose;
pub mod decode;
pub mod diagnostic;
pub mod document;
pub mod env;
pub mod escape;
pub mod node;
pub mod place;
pub mod secret;
pub mod syntax;
pub mod text_file;
