//! What all requests to the sandbox share.

use super::api::Api;
use super::calls::Calls;
use super::clock::SandboxClock;
use super::faults::Strikes;
use super::stop::StopSignal;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What all calls share.
pub struct Shared {
    pub api: Api,
    pub clock: SandboxClock,
    pub calls: Arc<Calls>,
    pub strikes: Mutex<Strikes>,
    pub stop: StopSignal,
    /// Where the sandbox listens.
    pub port: u16,
}

impl Shared {
    /// Strikes are whole after every step, so a panic elsewhere cannot have spoilt them.
    pub fn strikes(&self) -> MutexGuard<'_, Strikes> {
        self.strikes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
