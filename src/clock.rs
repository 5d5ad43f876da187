//! What time it is: really, or in a simulated world.

use std::ops::RangeInclusive;
use std::time::Instant;

use chrono::{DateTime, Datelike as _, Duration, Utc};

/// The years that a run can be of. Arithmetic on their times cannot leave what chrono can hold.
pub const YEARS: RangeInclusive<i32> = 1990..=2100;

/// Returns the limit that a time of no such year breaks, as in `before 1990`.
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
