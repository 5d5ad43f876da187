//! Retries that fit between two runs of a schedule, and deadlines.

use chrono::TimeDelta;
use serde::Serialize;

use crate::plan::schedule::Gaps;

/// Retries of a run, and the age at which its data is too old. Times are in seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RetryPace {
    pub retries: u32,
    /// Time before a retry.
    pub delay: i64,
    /// Latest start after the due time: before the next one.
    pub latest_start: i64,
    /// Time after which a run is taken to hang, and is stopped.
    pub deadline: i64,
    /// Argument of `redlake status --max-age`.
    pub max_age: String,
}

impl RetryPace {
    /// Returns the pace of a schedule with these gaps. All delays together take at most half of the
    /// shortest gap.
    pub fn of(gaps: Gaps) -> Self {
        let shortest = gaps.shortest.num_seconds();
        let grace = gaps.longest.min(TimeDelta::hours(6));
        RetryPace {
            retries: 3,
            delay: (shortest / 10).clamp(10, 15 * 60),
            latest_start: shortest * 9 / 10,
            deadline: (shortest * 9 / 10).max(60 * 60),
            max_age: span(gaps.longest + grace),
        }
    }
}

/// Returns a time span as arguments take it: `90min`, `26h`.
fn span(time: TimeDelta) -> String {
    match time.num_minutes() {
        minutes if minutes % 60 == 0 => format!("{}h", minutes / 60),
        minutes => format!("{minutes}min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_end_before_the_next_run() {
        let pace = |shortest, longest| RetryPace::of(Gaps { shortest, longest });
        let (minute, hour, day) = (
            TimeDelta::minutes(1),
            TimeDelta::hours(1),
            TimeDelta::days(1),
        );
        for (shortest, longest, delay, max_age) in [
            (minute, minute, 10, "2min"),
            (minute * 5, minute * 5, 30, "10min"),
            (hour, hour, 360, "2h"),
            (minute * 10, hour * 16, 60, "22h"),
            (day, day, 900, "30h"),
            (day, day * 3, 900, "78h"),
        ] {
            let pace = pace(shortest, longest);
            assert_eq!((pace.delay, pace.max_age.as_str()), (delay, max_age));
            assert!(pace.delay * i64::from(pace.retries) * 2 <= shortest.num_seconds());
            assert!(pace.latest_start < shortest.num_seconds());
        }
    }
}
