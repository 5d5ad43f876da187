pub mod clock;
pub mod extract;
pub mod load;
pub mod plan;
pub mod query;
pub mod raw;
pub mod spec;
pub mod transform;
