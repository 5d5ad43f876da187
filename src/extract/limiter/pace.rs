//! Computes when the next call may be made. Pure: the time is an argument.

use std::collections::VecDeque;
use std::time::Duration;

use crate::plan::limits::Window;

/// A token bucket whose rate falls when the provider complains, combined with a sliding window.
/// Times are measured from one arbitrary origin and never go back.
#[derive(Debug)]
pub struct Pace {
    /// Full rate, in calls per second.
    rate: f64,
    /// Largest number of tokens that accumulate in a pause.
    capacity: f64,
    tokens: f64,
    filled: Duration,
    slowed: Option<Slowed>,
    paused_until: Duration,
    window: Option<Window>,
    /// Times of the last calls, the newest last.
    made: VecDeque<Duration>,
}

/// State since the last complaint of the provider.
#[derive(Clone, Copy, Debug)]
struct Slowed {
    at: Duration,
    /// Calls per second right after the complaint.
    rate: f64,
}

/// Time for the rate to rise from zero to the full rate.
const RECOVERY: Duration = Duration::from_secs(60);

/// The rate never falls below this fraction of the full rate, nor below one call in ten seconds.
const LOWEST: f64 = 1.0 / 64.0;
const LOWEST_PER_SECOND: f64 = 0.1;

/// Period over which the actual rate is measured.
const MEASURED: Duration = Duration::from_secs(5);

/// Factor by which the window is stretched. Latency varies, so calls may arrive closer together
/// than they were sent, and must not exceed the limit of the provider then.
const ALLOWANCE: f64 = 1.01;

impl Pace {
    /// Creates a pace. `rate` is in calls per second.
    pub fn new(rate: f64, burst: u32, window: Option<Window>) -> Self {
        Pace {
            rate,
            // The extra fraction of a token compensates for a late timer. It is too small to allow
            // a whole extra call in any second.
            capacity: f64::from(burst) + (1.0 - rate.fract()) / 2.0,
            tokens: f64::from(burst),
            filled: Duration::ZERO,
            slowed: None,
            paused_until: Duration::ZERO,
            window,
            made: VecDeque::new(),
        }
    }

    /// Adds calls that were made earlier, in order of time.
    pub fn remember(&mut self, made: impl Iterator<Item = Duration>) {
        self.made.extend(made);
    }

    /// Takes a turn for a call now.
    ///
    /// # Errors
    /// The time to wait before trying again.
    pub fn take(&mut self, now: Duration) -> Result<(), Duration> {
        self.fill(now);
        let for_pause = self.paused_until.saturating_sub(now);
        let for_token = if self.tokens < 1.0 {
            // Any rate above 0 is allowed: the next call may be further off than a `Duration` is long.
            Duration::try_from_secs_f64((1.0 - self.tokens) / self.rate_at(now))
                .unwrap_or(Duration::MAX)
        } else {
            Duration::ZERO
        };
        let wait = for_pause.max(for_token).max(self.for_window(now));
        if wait > Duration::ZERO {
            // Rounds up, because a timer that fires a nanosecond early would have to be set again.
            return Err(wait.max(Duration::from_micros(10)));
        }
        self.tokens -= 1.0;
        self.made.push_back(now);
        self.forget(now);
        Ok(())
    }

    /// Halves the actual rate of calls, after a complaint about a call that was sent at `sent`.
    /// Complaints about calls sent before the last halving are ignored.
    pub fn slow_down(&mut self, sent: Duration, now: Duration) {
        if self.slowed.is_some_and(|slowed| sent <= slowed.at) {
            return;
        }
        self.fill(now);
        let since = now.saturating_sub(MEASURED);
        let made = self.made.iter().filter(|at| **at >= since).count() as f64;
        let first = self.made.front().copied().unwrap_or(now).max(since);
        let span = now.saturating_sub(first).as_secs_f64().max(1.0);
        let lowest = (self.rate * LOWEST).max(LOWEST_PER_SECOND).min(self.rate);
        let rate = (made / span).min(self.rate_at(now)) / 2.0;
        self.slowed = Some(Slowed {
            at: now,
            rate: rate.max(lowest),
        });
        self.tokens = self.tokens.min(0.0);
    }

    /// Allows no call before this instant.
    pub fn pause_until(&mut self, instant: Duration) {
        self.paused_until = self.paused_until.max(instant);
    }

    /// Returns the rate in calls per second at an instant.
    pub fn rate_at(&self, now: Duration) -> f64 {
        let Some(slowed) = self.slowed else {
            return self.rate;
        };
        let passed = now.saturating_sub(slowed.at).as_secs_f64();
        let recovered = self.rate * passed / RECOVERY.as_secs_f64();
        self.rate.min(slowed.rate + recovered)
    }

    fn fill(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.filled).as_secs_f64();
        self.tokens = (self.tokens + passed * self.rate_at(now)).min(self.capacity);
        self.filled = self.filled.max(now);
    }

    /// Returns the wait until the window has room.
    fn for_window(&self, now: Duration) -> Duration {
        let Some(window) = self.window else {
            return Duration::ZERO;
        };
        let oldest = self.made.len().checked_sub(window.requests as usize);
        let Some(blocking) = oldest.and_then(|at| self.made.get(at)) else {
            return Duration::ZERO;
        };
        (*blocking + window.per.mul_f64(ALLOWANCE)).saturating_sub(now)
    }

    /// Drops calls that neither the window nor the measured rate needs.
    fn forget(&mut self, now: Duration) {
        let needed = self.window.map_or(0, |window| window.requests as usize);
        let since = now.saturating_sub(MEASURED);
        while self.made.len() > needed && self.made.front().is_some_and(|at| *at < since) {
            self.made.pop_front();
        }
    }
}
