//! The state of pipelines and of their lake, for `redlake status`. Changes nothing.

pub mod asked;
pub mod collect;
mod journals;
mod pipeline_runs;
pub mod spending;
pub mod starts;
pub mod state;
