//! When the next call may be made: pure, time is given.

use std::collections::VecDeque;
use std::time::Duration;

use crate::plan::limits::Window;

/// A token bucket whose rate gives way when the provider complains, and a sliding window. Times
/// are since any one origin, and never go back.
#[derive(Debug)]
pub struct Pace {
    /// Calls a second, when nothing is wrong.
    rate: f64,
    /// What may be saved up in a pause.
    capacity: f64,
    tokens: f64,
    filled: Duration,
    slowed: Option<Slowed>,
    paused_until: Duration,
    window: Option<Window>,
    /// When the last calls were made, the newest last.
    made: VecDeque<Duration>,
}

/// Since the provider complained.
#[derive(Clone, Copy, Debug)]
struct Slowed {
    at: Duration,
    /// Calls a second, right after.
    rate: f64,
}

/// How long it takes from nothing to the full rate.
const RECOVERY: Duration = Duration::from_secs(60);

/// The rate never falls below this part of the full one, nor below one call in ten seconds.
const LOWEST: f64 = 1.0 / 64.0;
const LOWEST_PER_SECOND: f64 = 0.1;

/// Over how long the present rate is measured.
const MEASURED: Duration = Duration::from_secs(5);

/// A call that arrives sooner than it was sent, compared with others, must not exceed the
/// provider's limit: its span is taken this much longer.
const ALLOWANCE: f64 = 1.01;

impl Pace {
    /// `rate` is in calls a second.
    pub fn new(rate: f64, burst: u32, window: Option<Window>) -> Self {
        Pace {
            rate,
            // A part of a call that no second is long enough to make a whole one of. It forgives a
            // timer that is late.
            capacity: f64::from(burst) + (1.0 - rate.fract()) / 2.0,
            tokens: f64::from(burst),
            filled: Duration::ZERO,
            slowed: None,
            paused_until: Duration::ZERO,
            window,
            made: VecDeque::new(),
        }
    }

    /// Calls that were made before, in order.
    pub fn remember(&mut self, made: impl Iterator<Item = Duration>) {
        self.made.extend(made);
    }

    /// Makes a call, or says how long to wait before trying again.
    ///
    /// # Errors
    /// The time to wait.
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
            // A timer that rings a nanosecond early would have to be set again.
            return Err(wait.max(Duration::from_micros(10)));
        }
        self.tokens -= 1.0;
        self.made.push_back(now);
        self.forget(now);
        Ok(())
    }

    /// Halves the rate at which calls are really made, about a call that was sent at `sent`. Calls
    /// that were under way when it was last halved say nothing new.
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

    /// No call before this instant.
    pub fn pause_until(&mut self, instant: Duration) {
        self.paused_until = self.paused_until.max(instant);
    }

    /// Calls a second at an instant.
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

    /// How long until the window has room.
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

    /// Drops calls that neither the window nor the measured rate look at.
    fn forget(&mut self, now: Duration) {
        let needed = self.window.map_or(0, |window| window.requests as usize);
        let since = now.saturating_sub(MEASURED);
        while self.made.len() > needed && self.made.front().is_some_and(|at| *at < since) {
            self.made.pop_front();
        }
    }
}
