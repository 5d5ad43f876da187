//! Maintenance of a lake between runs: retransform, compact, prune, verify.

pub mod compact;
pub mod export;
pub mod forecast;
pub mod needs;
pub mod prune;
pub mod retransform;
pub mod run_contents;
pub mod show;
pub mod status;
pub mod stream;
pub mod suggest;
pub mod verify;
