//! The times at which a pipeline runs.

use chrono::{DateTime, TimeDelta, Timelike, Utc};
use chrono_tz::Tz;
use croner::parser::{CronParser, Seconds, Year};
use croner::{Cron, Direction};
use serde::Serialize;

use crate::clock;

/// A cron expression in the pipeline's time zone.
#[derive(Clone, Debug)]
pub struct Schedule {
    cron: Cron,
    timezone: Tz,
    written: String,
}

/// Number of runs on a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Frequency {
    /// Average of 30 days.
    pub runs_a_day: f64,
    /// Runs in 30 days.
    pub runs_a_month: u64,
}

/// Days of a month in [`Frequency`].
const MONTH: i64 = 30;

/// Most due instants that [`Schedule::gaps`] looks at.
const MOST_INSTANTS: usize = 12_000;

/// The shortest and the longest time between two due instants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gaps {
    pub shortest: TimeDelta,
    pub longest: TimeDelta,
}

/// The values of the fields of a cron expression, in ascending order.
///
/// A day matches if its day of the month or its weekday does, where both are given.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CronFields {
    pub minutes: Vec<u16>,
    pub hours: Vec<u16>,
    /// `None` for each day of the month.
    pub days: Option<Vec<u16>>,
    pub months: Vec<u16>,
    /// From 0 for Sunday. `None` for each weekday.
    pub weekdays: Option<Vec<u16>>,
}

impl Schedule {
    /// Parses the five fields of a cron expression.
    ///
    /// # Errors
    /// Returns the reason why it is none, or that it never comes due.
    pub fn parse(written: &str, timezone: Tz) -> Result<Self, String> {
        let parser = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            .build();
        let cron = parser.parse(written).map_err(|error| error.to_string())?;
        let schedule = Schedule {
            cron,
            timezone,
            // One line, also if the file has several.
            written: written.split_whitespace().collect::<Vec<_>>().join(" "),
        };
        match schedule.next_after(clock::now()) {
            Some(_) => Ok(schedule),
            None => Err("it never comes due".to_owned()),
        }
    }

    /// Returns the expression as written.
    pub fn as_str(&self) -> &str {
        &self.written
    }

    /// Returns the newest due instant at or before `now`.
    pub fn newest_due(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let now = now.with_nanosecond(0)?.with_timezone(&self.timezone);
        let due = self.cron.find_previous_occurrence(&now, true).ok()?;
        Some(due.to_utc())
    }

    /// Returns the first instant after `at`.
    pub fn next_after(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let at = at.with_nanosecond(0)?.with_timezone(&self.timezone);
        let next = self.cron.find_next_occurrence(&at, false).ok()?;
        Some(next.to_utc())
    }

    /// Returns the time zone of the expression.
    pub fn timezone(&self) -> Tz {
        self.timezone
    }

    /// Returns the gaps between the due instants of the year after `from`, or between the first
    /// [`MOST_INSTANTS`] of them. `None` if fewer than two come due.
    pub fn gaps(&self, from: DateTime<Utc>) -> Option<Gaps> {
        let from = from.with_timezone(&self.timezone);
        let until = from + TimeDelta::days(366);
        let due = self.cron.iter_from(from, Direction::Forward);
        let due: Vec<_> = due
            .take(MOST_INSTANTS)
            .take_while(|at| *at < until)
            .collect();
        let gaps = due.windows(2).map(|pair| pair[1] - pair[0]);
        let (shortest, longest) = (gaps.clone().min()?, gaps.max()?);
        Some(Gaps { shortest, longest })
    }

    /// Returns the values of the fields. `None` if the expression has `L`, `W`, `#` or `+`, whose days
    /// are not the same in each month.
    pub fn fields(&self) -> Option<CronFields> {
        let pattern = &self.cron.pattern;
        let (days, weekdays) = (&pattern.days, &pattern.days_of_week);
        let all = [
            &pattern.minutes,
            &pattern.hours,
            days,
            &pattern.months,
            weekdays,
        ];
        if pattern.matches_dom_and_dow() || all.iter().any(|field| field.has_modifiers()) {
            return None;
        }
        let days = Some(days.values()).filter(|_| !pattern.is_dom_wildcard());
        let weekdays = Some(weekdays.values()).filter(|_| !pattern.is_dow_wildcard());
        let is_each_day = days.as_ref().is_some_and(|days| days.len() == 31)
            || weekdays.as_ref().is_some_and(|days| days.len() == 7);
        Some(CronFields {
            minutes: pattern.minutes.values(),
            hours: pattern.hours.values(),
            days: days.filter(|_| !is_each_day),
            months: pattern.months.values(),
            weekdays: weekdays.filter(|_| !is_each_day),
        })
    }

    /// Returns the number of runs in the 30 days after `from`.
    pub fn frequency(&self, from: DateTime<Utc>) -> Frequency {
        let from = from.with_timezone(&self.timezone);
        let until = from + TimeDelta::days(MONTH);
        let due = self.cron.iter_from(from, Direction::Forward);
        let runs = due.take_while(|at| *at < until).count() as u64;
        Frequency {
            runs_a_day: runs as f64 / MONTH as f64,
            runs_a_month: runs,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("a time")
    }

    fn schedule(cron: &str) -> Schedule {
        Schedule::parse(cron, chrono_tz::Asia::Shanghai).expect("a schedule")
    }

    #[test]
    fn the_newest_due_instant_is_in_the_zone_of_the_pipeline() {
        let nine = schedule("0 9 * * *"); // 01:00 UTC
        let due = |now| nine.newest_due(at(now));
        assert_eq!(
            due("2026-03-09T00:59:59Z"),
            Some(at("2026-03-08T01:00:00Z"))
        );
        assert_eq!(
            due("2026-03-09T01:00:00Z"),
            Some(at("2026-03-09T01:00:00Z"))
        );
        assert_eq!(
            due("2026-03-09T01:00:00.5Z"),
            Some(at("2026-03-09T01:00:00Z"))
        );
        assert_eq!(
            due("2026-03-09T23:00:00Z"),
            Some(at("2026-03-09T01:00:00Z"))
        );
        let next = nine.next_after(at("2026-03-09T01:00:00Z"));
        assert_eq!(next, Some(at("2026-03-10T01:00:00Z")));
    }

    #[test]
    fn an_hour_that_is_skipped_or_repeated_has_one_run() {
        let new_york = chrono_tz::America::New_York;
        let daily = Schedule::parse("30 2 * * *", new_york).expect("a schedule");
        let hourly = Schedule::parse("0 * * * *", new_york).expect("a schedule");
        // Clocks go from 02:00 to 03:00 on 2026-03-08, and from 02:00 back to 01:00 on 2026-11-01.
        let march = daily.frequency(at("2026-03-01T05:00:00Z"));
        assert_eq!(march.runs_a_month, 30);
        let november = hourly.frequency(at("2026-10-20T04:00:00Z"));
        assert_eq!(november.runs_a_month, 30 * 24);
    }

    #[test]
    fn fields_and_gaps_are_those_of_the_expression() {
        let fields = schedule("*/30 9-10 * * 1-5")
            .fields()
            .expect("plain fields");
        assert_eq!(fields.minutes, [0, 30]);
        assert_eq!(fields.hours, [9, 10]);
        assert_eq!(fields.days, None);
        assert_eq!(fields.weekdays, Some(vec![1, 2, 3, 4, 5]));
        let each_day = schedule("0 0 1-31 * 1").fields().expect("plain fields");
        assert_eq!((each_day.days, each_day.weekdays), (None, None));
        for cron in ["0 0 L * *", "0 0 15W * *", "0 0 * * 1#2", "0 0 1 * +1"] {
            let parsed = Schedule::parse(cron, Tz::UTC);
            assert!(parsed.is_ok_and(|s| s.fields().is_none()), "{cron}");
        }
        let gaps = schedule("0 9 * * 1-5").gaps(at("2026-03-08T16:00:00Z"));
        let (shortest, longest) = (TimeDelta::days(1), TimeDelta::days(3));
        assert_eq!(gaps, Some(Gaps { shortest, longest }));
    }

    #[test]
    fn only_five_fields_that_come_due_are_a_schedule() {
        let refused = |cron| Schedule::parse(cron, Tz::UTC).expect_err("no schedule");
        for cron in ["", "0 * * *", "0 0 * * * *", "61 * * * *", "hourly"] {
            assert!(!refused(cron).is_empty(), "{cron}");
        }
        assert_eq!(refused("0 0 30 2 *"), "it never comes due");
        assert!(Schedule::parse("@hourly", Tz::UTC).is_ok());
    }

    #[test]
    fn frequency_counts_thirty_days() {
        let count = |cron| schedule(cron).frequency(at("2026-03-08T16:00:00Z"));
        assert_eq!(count("0 * * * *").runs_a_month, 720);
        assert_eq!(count("0 9 * * 1-5").runs_a_month, 22);
        assert_eq!(count("*/10 9-17 * * *").runs_a_day, 54.0);
    }
}
