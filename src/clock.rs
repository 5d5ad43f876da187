//! What time it is: really, or in a simulated world.

use std::time::Instant;

use chrono::{DateTime, Duration, Utc};

/// A clock that a run stamps its observations with.
#[derive(Clone, Copy, Debug)]
pub enum Clock {
    Real,
    /// Began at `start` when `origin` was, and goes on from there.
    Simulated {
        start: DateTime<Utc>,
        origin: Instant,
    },
}

impl Clock {
    pub fn simulated(start: DateTime<Utc>) -> Self {
        Clock::Simulated {
            start,
            origin: Instant::now(),
        }
    }

    /// Now, in whole microseconds: what the lake can hold.
    pub fn now(&self) -> DateTime<Utc> {
        let now = match self {
            Clock::Real => Utc::now(),
            Clock::Simulated { start, origin } => {
                *start + Duration::from_std(origin.elapsed()).unwrap_or_default()
            }
        };
        DateTime::from_timestamp_micros(now.timestamp_micros()).unwrap_or(now)
    }
}
