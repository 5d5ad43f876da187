//! Rate limits of the sources, and budgets.

use std::time::Duration;

use super::check::Checker;
use crate::plan::money::Money;
use crate::plan::parts::{Price, Retries};
use crate::spec::pipeline::{LimitOptions as Declared, UnknownOutcomeAction};
use crate::spec::yaml::document::Spanned;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Calls per second to one source.
    pub requests_per_second: f64,
    /// Number of calls that may be sent at once after a pause.
    pub burst: u32,
    /// Maximum number of concurrent calls to one source.
    pub concurrency: u32,
    pub retries: Retries,
    /// Maximum size of an answer, in bytes after decompression.
    pub max_answer: usize,
    pub budgets: Budgets,
}

/// Budgets of a run and a day. `None` is without limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budgets {
    pub requests_per_run: Option<u64>,
    pub requests_per_day: Option<u64>,
    pub cost_per_run: Option<Money>,
    pub cost_per_day: Option<Money>,
}

impl Limits {
    /// Resolves the declared limits. Reports mistakes to `check`. `unpriced` holds the called
    /// endpoints without a price.
    pub(super) fn resolve(
        check: &mut Checker<'_>,
        declared: &Declared,
        price: &Price,
        unpriced: &[String],
    ) -> Self {
        let per_second = check.rate(&declared.requests_per_second);
        let default_burst = ((per_second / CALLS_PER_BURST).floor() as u32).max(1);
        let burst = declared.burst.as_ref();
        let mib = check.positive(&declared.max_answer_mib, "max_answer_mib");
        let money = |check: &mut Checker<'_>, text: &Option<Spanned<String>>| {
            let text = text.as_ref()?;
            let amount = check.amount(text)?;
            let dearest = price.per_call.values().copied().fold(0.0, f64::max);
            if price.per_call.is_empty() || !unpriced.is_empty() {
                check.no_price(text, unpriced);
            } else if amount < dearest {
                check.too_little(text, dearest);
            }
            Some(Money::of(amount))
        };
        let count = |check: &mut Checker<'_>, number: &Option<Spanned<u64>>, what| {
            let number = number.as_ref()?;
            if number.value == 0 {
                check.too_small(number, what);
            }
            Some(number.value.max(1))
        };
        Limits {
            requests_per_second: per_second,
            burst: burst.map_or(default_burst, |b| check.positive(b, "burst")),
            concurrency: check.positive(&declared.concurrency, "concurrency"),
            retries: Retries {
                max: declared.retries,
                delay: declared.retry_delay.as_duration(),
                on_unknown_outcome: on_unknown_outcome(check, declared),
            },
            max_answer: (mib as usize).saturating_mul(1 << 20),
            budgets: Budgets {
                requests_per_run: count(check, &declared.requests_per_run, "requests_per_run"),
                requests_per_day: count(check, &declared.requests_per_day, "requests_per_day"),
                cost_per_run: money(check, &declared.cost_per_run),
                cost_per_day: money(check, &declared.cost_per_day),
            },
        }
    }
}

/// Resolves what follows a call that may have been billed. `None` leaves it to the source contract.
fn on_unknown_outcome(
    check: &mut Checker<'_>,
    declared: &Declared,
) -> Option<UnknownOutcomeAction> {
    let action = declared.on_unknown_outcome.as_ref()?;
    if action.value == UnknownOutcomeAction::RetryOnce && declared.retries == 0 {
        let message = "`on_unknown_outcome: retry_once` has no effect with `retries: 0`";
        check.error(action, message, "write `retries: 1` or more, or remove it");
    }
    Some(action.value)
}

/// Divisor of the calls per second that gives the default burst: enough that a timer that is a few
/// milliseconds late costs no call.
const CALLS_PER_BURST: f64 = 20.0;

/// Rate limit that a provider sets for every client: a number of calls in any span of this length.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    pub requests: u32,
    pub per: Duration,
}
