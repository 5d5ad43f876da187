//! State that all requests to the sandbox share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::sandbox::api::Api;
use crate::sandbox::calls::Calls;
use crate::sandbox::clock::SandboxClock;
use crate::sandbox::faults::Strikes;
use crate::sandbox::http::stop::StopSignal;

/// State that all calls share.
pub struct Shared {
    pub api: Api,
    pub clock: SandboxClock,
    pub calls: Arc<Calls>,
    pub strikes: Mutex<Strikes>,
    pub stop: StopSignal,
    /// Port that the sandbox listens on.
    pub port: u16,
}

impl Shared {
    /// Strikes are whole after every step, so a panic elsewhere cannot have spoilt them.
    pub fn strikes(&self) -> MutexGuard<'_, Strikes> {
        self.strikes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
