//! The ledger: every call with its outcome and its cost.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::plan::money::Money;
use crate::spec::class::CallClass;
use crate::spec::source::Billed;

/// A row of the table `requests`: one call. The fields are the columns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Call {
    pub source: String,
    pub request_id: String,
    pub search_id: String,
    pub endpoint: String,
    #[serde(default)]
    pub keyword: Option<String>,
    #[serde(default)]
    pub note_id: Option<String>,
    pub page: u32,
    pub attempt: u32,
    pub started_at: DateTime<Utc>,
    pub duration_ms: u64,
    pub http_status: Option<u16>,
    pub code: Option<String>,
    #[serde(deserialize_with = "CallClass::recorded")]
    pub class: CallClass,
    pub billed: Billed,
    pub cost: Option<f64>,
    /// Currency of the price, an ISO 4217 code. `None` without a price, and in journals of the
    /// version before.
    #[serde(default)]
    pub currency: Option<String>,
    pub bytes: Option<u64>,
    pub item_count: Option<u64>,
    pub provider_request_id: Option<String>,
    pub error: Option<String>,
}

impl Call {
    /// Returns the row of a call that was sent and whose outcome is unknown.
    pub fn unanswered(sent: &Sent, error: &str) -> Self {
        Call {
            source: sent.source.clone(),
            request_id: sent.request_id.clone(),
            search_id: sent.search_id.clone(),
            endpoint: sent.endpoint.clone(),
            keyword: sent.keyword.clone(),
            note_id: sent.note_id.clone(),
            page: sent.page,
            attempt: sent.attempt,
            started_at: sent.started_at,
            duration_ms: 0,
            http_status: None,
            code: None,
            class: CallClass::Lost,
            billed: Billed::Unknown,
            cost: None,
            currency: sent.currency.clone(),
            bytes: None,
            item_count: None,
            provider_request_id: None,
            error: Some(error.to_owned()),
        }
    }

    /// True if the answer was accepted as a page and stored.
    pub fn is_page(&self) -> bool {
        self.item_count.is_some() && self.error.is_none()
    }

    /// Sets `billed` and the cost. The cost is `None` when billing is unknown.
    pub fn charged(self, billed: Billed, price: Option<f64>) -> Self {
        let cost = match billed {
            Billed::Yes => price,
            Billed::No => price.map(|_| 0.0),
            Billed::Unknown => None,
        };
        Call {
            billed,
            cost,
            ..self
        }
    }
}

/// Sums over calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Totals {
    pub sent: u64,
    pub retried: u64,
    pub billed: u64,
    pub unknown: u64,
}

impl Totals {
    pub fn of(calls: &[Call]) -> Self {
        let mut totals = Totals::default();
        for call in calls {
            totals.sent += 1;
            totals.retried += u64::from(call.attempt > 1);
            totals.billed += u64::from(call.billed == Billed::Yes);
            totals.unknown += u64::from(call.billed == Billed::Unknown);
        }
        totals
    }
}

/// A call that is about to be sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sent {
    pub request_id: String,
    pub source: String,
    pub search_id: String,
    pub endpoint: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keyword: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note_id: Option<String>,
    pub page: u32,
    pub attempt: u32,
    pub started_at: DateTime<Utc>,
    /// Cost if it is billed; null if no price is declared.
    pub price: Option<f64>,
    /// Currency of the price. `None` without a price, and in journals of the version before.
    #[serde(default)]
    pub currency: Option<String>,
}

/// Returns true if an amount counts where the currency `own` counts: amounts of different
/// currencies are never added. An amount without a recorded currency is of the version before, and
/// counts.
pub fn counts_in(own: Option<&str>, recorded: Option<&str>) -> bool {
    match (own, recorded) {
        (Some(own), Some(recorded)) => own == recorded,
        (None, _) | (_, None) => true,
    }
}

/// Returns the sum of the known charges in this currency.
pub fn charged(calls: &[Call], currency: Option<&str>) -> Money {
    let ours = calls
        .iter()
        .filter(|call| counts_in(currency, call.currency.as_deref()));
    let costs = ours.filter_map(|call| call.cost).map(Money::of);
    costs.fold(Money::default(), Money::plus)
}

/// Calls and their cost. A call with unknown billing counts as billed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    pub calls: u64,
    pub cost: Money,
}

impl Spent {
    pub fn plus(self, other: Spent) -> Spent {
        Spent {
            calls: self.calls.saturating_add(other.calls),
            cost: self.cost.plus(other.cost),
        }
    }

    /// Returns the calls and the cost of a finished call; `price` is its price.
    pub fn on(call: &Call, price: Money) -> Spent {
        let cost = match call.billed {
            Billed::No => Money::default(),
            Billed::Yes | Billed::Unknown => price,
        };
        Spent { calls: 1, cost }
    }
}
