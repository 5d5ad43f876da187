//! Parts of a plan that are resolved from single keys.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::plan::money::Money;
use crate::spec::pipeline::UnknownOutcomeAction;

/// A source with the address that it is reached at.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedSource {
    pub address: Address,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Address {
    Url(String),
    /// The built-in simulator, started for the run.
    Sandbox(SimulatedWorld),
}

/// The world that the built-in simulator shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SimulatedWorld {
    pub seed: u64,
    /// Simulated time of the first run into a lake.
    pub clock: Option<DateTime<Utc>>,
    /// Percentage of the notes that searches show late.
    pub late_percent: u64,
    /// Percentage of the notes that are deleted after some days.
    pub removed_percent: u64,
    /// Percentage of the notes that get another title after some days.
    pub retitled_percent: u64,
}

impl Default for SimulatedWorld {
    fn default() -> Self {
        SimulatedWorld {
            seed: 1,
            clock: None,
            late_percent: 0,
            removed_percent: 0,
            retitled_percent: 0,
        }
    }
}

/// Notes to ask for once this run's searches have found them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FollowUp {
    pub source: String,
    pub endpoint: String,
    pub found_by: String,
    /// The fields that the answers are to have; all of them, if it is empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
    pub top: u32,
    /// The column of `engagement` that ranks them.
    pub by: String,
    /// Also notes of earlier runs, found at most so many seconds before this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seen_within_s: Option<u64>,
    /// Not those that the endpoint has answered for in so many seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_refreshed_for_s: Option<u64>,
}

/// Retries of a page: their number, their delay, and if they may be paid twice.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Retries {
    /// Retries after the first attempt.
    pub max: u32,
    /// Upper bound of the first delay; it doubles with each retry.
    pub delay: Duration,
    /// Action after a call that may have been billed; `None` for that of the source contract.
    pub on_unknown_outcome: Option<UnknownOutcomeAction>,
}

/// Prices of calls.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Price {
    pub currency: Option<String>,
    pub per_call: BTreeMap<String, f64>,
}

impl Price {
    /// Returns the price of a call; `None` where no price is declared.
    pub fn of(&self, endpoint: &str) -> Option<f64> {
        self.per_call.get(endpoint).copied()
    }

    /// Returns the price of this number of calls.
    pub fn of_calls(&self, endpoint: &str, calls: u64) -> Option<Money> {
        self.of(endpoint).map(|price| Money::of(price).times(calls))
    }

    /// Returns the currency of a call; `None` where no price is declared.
    pub fn currency_of(&self, endpoint: &str) -> Option<&str> {
        self.of(endpoint).and(self.currency.as_deref())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    Zstd(i32),
    Snappy,
    Uncompressed,
}
