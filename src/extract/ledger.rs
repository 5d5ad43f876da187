//! The ledger: every call, what became of it, and what it cost.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::spec::source::Billed;

/// One call; its fields are the columns of the table `requests`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Call {
    #[serde(skip)]
    pub source: String,
    pub request_id: String,
    pub search_id: String,
    pub endpoint: String,
    pub page: u32,
    pub attempt: u32,
    pub started_at: DateTime<Utc>,
    pub duration_ms: u64,
    pub http_status: Option<u16>,
    pub code: Option<String>,
    pub class: String,
    pub billed: Billed,
    pub cost: Option<f64>,
    pub bytes: Option<u64>,
    pub item_count: Option<u64>,
    pub provider_request_id: Option<String>,
    pub error: Option<String>,
}

/// Sums over calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Totals {
    pub sent: u64,
    pub retried: u64,
    pub billed: u64,
    pub unknown: u64,
    #[serde(skip)]
    pub cost: f64,
}

impl Totals {
    pub fn of(calls: &[Call]) -> Self {
        let mut totals = Totals::default();
        for call in calls {
            totals.sent += 1;
            totals.retried += u64::from(call.attempt > 1);
            totals.billed += u64::from(call.billed == Billed::Yes);
            totals.unknown += u64::from(call.billed == Billed::Unknown);
            totals.cost += call.cost.unwrap_or_default();
        }
        totals
    }
}
