//! What is done to a lake between runs: flattening anew, rewriting, removing, checking.

pub mod compact;
pub mod forecast;
pub mod prune;
pub mod retransform;
pub mod show;
pub mod stream;
pub mod suggest;
pub mod verify;
