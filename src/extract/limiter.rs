//! How often a source may be asked. One limiter a source, whatever the number of searches.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

/// Lets one call pass an interval.
#[derive(Debug)]
pub struct Limiter(DefaultDirectRateLimiter);

impl Limiter {
    pub fn new(interval: Duration) -> Self {
        let interval = interval.max(Duration::from_micros(1));
        let quota = Quota::with_period(interval)
            .unwrap_or_else(|| Quota::per_second(NonZeroU32::MIN))
            .allow_burst(NonZeroU32::MIN);
        Limiter(RateLimiter::direct(quota))
    }

    pub async fn wait(&self) {
        self.0.until_ready().await;
    }
}
