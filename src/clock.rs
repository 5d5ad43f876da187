//! The clock of a run: real or simulated.

use std::ops::RangeInclusive;
use std::time::Instant;

use chrono::{DateTime, Datelike as _, Duration, Utc};

/// Years that the time of a run can be in. Arithmetic on such times cannot exceed the range of
/// chrono.
pub const YEARS: RangeInclusive<i32> = 1990..=2100;

/// Returns the limit that a time outside [`YEARS`] breaks, as in `before 1990`. `None` for other
/// times.
pub fn out_of_years(at: DateTime<Utc>) -> Option<String> {
    let year = at.year();
    if year < *YEARS.start() {
        Some(format!("before {}", YEARS.start()))
    } else if year > *YEARS.end() {
        Some(format!("after {}", YEARS.end()))
    } else {
        None
    }
}

/// Returns the time of the machine. All of redlake reads that clock here, so that a test sets it in one
/// place: the fail point `now` returns another time.
pub fn now() -> DateTime<Utc> {
    fail::fail_point!("now", |at: Option<String>| {
        let at = at.and_then(|at| at.parse().ok());
        at.unwrap_or_else(Utc::now)
    });
    Utc::now()
}

/// Clock for the timestamps of a run's observations.
#[derive(Clone, Copy, Debug)]
pub enum Clock {
    Real,
    /// Showed `start` at the instant `origin`, and advances in real time since then.
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

    /// Returns the current time in whole microseconds, the resolution of the lake.
    pub fn now(&self) -> DateTime<Utc> {
        let now = match self {
            Clock::Real => now(),
            Clock::Simulated { start, origin } => {
                let passed = Duration::from_std(origin.elapsed()).unwrap_or(Duration::MAX);
                start.checked_add_signed(passed).unwrap_or(*start)
            }
        };
        DateTime::from_timestamp_micros(now.timestamp_micros()).unwrap_or(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_of_the_years_1990_to_2100() {
        let told = |at: &str| out_of_years(at.parse().expect("a time"));
        let before = Some("before 1990".to_owned());
        assert_eq!(told("1970-01-01T00:00:00Z"), before);
        assert_eq!(told("1989-12-31T23:59:59.999999Z"), before);
        assert_eq!(told("1990-01-01T00:00:00Z"), None);
        assert_eq!(told("2100-12-31T23:59:59.999999Z"), None);
        let after = Some("after 2100".to_owned());
        assert_eq!(told("2101-01-01T00:00:00Z"), after);
        assert_eq!(out_of_years(DateTime::<Utc>::MIN_UTC), before);
        assert_eq!(out_of_years(DateTime::<Utc>::MAX_UTC), after);
    }

    #[test]
    fn a_simulated_clock_stays_where_it_cannot_go_on() {
        let end = DateTime::<Utc>::MAX_UTC;
        assert!(Clock::simulated(end).now() <= end);
    }
}
