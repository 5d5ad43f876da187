//! One answer on its way to rows: walked once, captured, coerced.

pub mod captures;
pub mod flatten;
pub mod repair;
pub mod rows;
pub mod walk;
