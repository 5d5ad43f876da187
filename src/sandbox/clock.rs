//! Simulated time.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};

/// The time of the sandbox. Clones share one clock: advancing one advances all.
#[derive(Clone, Debug)]
pub struct SandboxClock {
    start: DateTime<Utc>,
    /// Instant since which time passes by itself; `None` for a frozen clock, which only moves when
    /// advanced.
    running_since: Option<Instant>,
    advanced_ms: Arc<AtomicI64>,
}

impl SandboxClock {
    pub fn frozen(at: DateTime<Utc>) -> Self {
        SandboxClock {
            start: at,
            running_since: None,
            advanced_ms: Arc::default(),
        }
    }

    pub fn running_from(start: DateTime<Utc>) -> Self {
        SandboxClock {
            running_since: Some(Instant::now()),
            ..SandboxClock::frozen(start)
        }
    }

    /// Returns the current time, or the largest representable one if the clock was advanced beyond
    /// it.
    pub fn now(&self) -> DateTime<Utc> {
        let passed = self.running_since.map_or(Duration::ZERO, |i| i.elapsed());
        let advanced = TimeDelta::milliseconds(self.advanced_ms.load(Ordering::SeqCst));
        TimeDelta::from_std(passed)
            .ok()
            .and_then(|passed| passed.checked_add(&advanced))
            .and_then(|delta| self.start.checked_add_signed(delta))
            .unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    pub fn advance(&self, by: Duration) {
        let ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        let add = |advanced: i64| Some(advanced.saturating_add(ms));
        // Never fails: the closure always returns a new value.
        let _ = self
            .advanced_ms
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, add);
    }
}
