//! From one answer to rows: walk, capture, coerce.

pub mod captures;
pub mod flatten;
pub mod json;
pub mod repair;
pub mod rows;
pub mod walk;
