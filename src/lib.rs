#![doc = include_str!("README.md")]

pub mod cli;
pub mod clock;
pub mod durable;
pub mod extract;
pub mod load;
pub mod maintenance;
pub mod marts;
pub mod plan;
pub mod query;
pub mod raw;
pub mod run;
pub mod run_meta;
pub mod sandbox;
pub mod signing;
pub mod spec;
pub mod transform;
