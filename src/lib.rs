//! redlake turns Xiaohongshu (RED) search APIs into a Parquet lake.

pub mod cli;
pub mod clock;
pub mod extract;
pub mod load;
pub mod plan;
pub mod query;
pub mod raw;
pub mod run;
pub mod sandbox;
pub mod spec;
pub mod transform;
