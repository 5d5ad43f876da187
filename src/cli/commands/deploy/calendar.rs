//! The times of a schedule in the forms of schedulers.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Offset, TimeDelta, Utc};
use chrono_tz::Tz;

use crate::plan::schedule::CronFields;

/// Minutes of a day.
const DAY: i32 = 24 * 60;

/// Times in another time zone than that of the schedule.
#[derive(Debug, PartialEq, Eq)]
pub struct Converted {
    /// Expressions that together come due whenever the schedule does.
    pub all: Vec<CronFields>,
    /// True if they come due at no other time.
    pub is_exact: bool,
}

/// Converts times of one zone to another. Where the difference between the zones changes in the year
/// after `now`, the result has the times of each difference.
pub fn convert(fields: &CronFields, from: Tz, to: Tz, now: DateTime<Utc>) -> Converted {
    let differences = differences(from, to, now);
    let mut is_exact = differences.len() == 1;
    // Hours by the rest of an expression.
    let mut hours_of: BTreeMap<CronFields, BTreeSet<u16>> = BTreeMap::new();
    for difference in &differences {
        // Minutes by the shift of the day and the hour.
        let mut minutes_of: BTreeMap<(i32, u16), Vec<u16>> = BTreeMap::new();
        for hour in &fields.hours {
            for minute in &fields.minutes {
                let at = i32::from(*hour) * 60 + i32::from(*minute) + difference;
                let (days, at) = (at.div_euclid(DAY), at.rem_euclid(DAY) as u16);
                minutes_of.entry((days, at / 60)).or_default().push(at % 60);
            }
        }
        for ((days, hour), mut minutes) in minutes_of {
            minutes.sort_unstable();
            let is_each_month = fields.months.len() == 12;
            is_exact &= days == 0 || (fields.days.is_none() && is_each_month);
            let rest = CronFields {
                minutes,
                hours: Vec::new(),
                ..shifted(fields, days)
            };
            hours_of.entry(rest).or_default().insert(hour);
        }
    }
    let all = hours_of.into_iter().map(|(rest, hours)| CronFields {
        hours: hours.into_iter().collect(),
        ..rest
    });
    Converted {
        all: all.collect(),
        is_exact,
    }
}

/// Returns the differences between two zones in the year after `now`, in minutes.
fn differences(from: Tz, to: Tz, now: DateTime<Utc>) -> BTreeSet<i32> {
    let seconds = |zone: Tz, at: DateTime<Utc>| {
        let offset = at.with_timezone(&zone).offset().fix();
        offset.local_minus_utc()
    };
    let hours = (0..=366 * 24).map(|hour| now + TimeDelta::hours(hour));
    hours
        .map(|at| (seconds(to, at) - seconds(from, at)) / 60)
        .collect()
}

/// Moves the days of an expression by −1, 0 or 1. Where the length of a month matters, the result also
/// has the days that might be meant.
fn shifted(fields: &CronFields, by: i32) -> CronFields {
    if by == 0 {
        return fields.clone();
    }
    let next = |value: &u16, first: i32, count: i32| {
        ((i32::from(*value) - first + by).rem_euclid(count) + first) as u16
    };
    let weekdays = fields.weekdays.as_ref().map(|all| {
        let moved: BTreeSet<u16> = all.iter().map(|day| next(day, 0, 7)).collect();
        moved.into_iter().collect()
    });
    let days = fields.days.as_ref().map(|all| {
        let mut moved: BTreeSet<u16> = all.iter().map(|day| next(day, 1, 31)).collect();
        if by > 0 && all.iter().any(|day| *day >= 28) {
            moved.insert(1);
        }
        if by < 0 && all.contains(&1) {
            moved.extend(28..=31);
        }
        moved.into_iter().collect()
    });
    let mut months: BTreeSet<u16> = fields.months.iter().copied().collect();
    months.extend(fields.months.iter().map(|month| next(month, 1, 12)));
    CronFields {
        days,
        months: months.into_iter().collect(),
        weekdays,
        minutes: fields.minutes.clone(),
        hours: fields.hours.clone(),
    }
}

/// Returns an expression of cron with numbers, lists, ranges and steps only.
pub fn cron(fields: &CronFields) -> String {
    let days = fields.days.as_deref();
    let weekdays = fields.weekdays.as_deref();
    [
        cron_field(&fields.minutes, 0, 59),
        cron_field(&fields.hours, 0, 23),
        // Some cron daemons read both kinds of days in another way if one begins with `*`.
        days.map_or("*".to_owned(), |days| ranges(days, ",", "-")),
        cron_field(&fields.months, 1, 12),
        weekdays.map_or("*".to_owned(), |days| ranges(days, ",", "-")),
    ]
    .join(" ")
}

fn cron_field(values: &[u16], first: u16, last: u16) -> String {
    let count = last - first + 1;
    if values.len() == usize::from(count) {
        return "*".to_owned();
    }
    let step = match values {
        [first, second, ..] => second - first,
        _ => return ranges(values, ",", "-"),
    };
    let is_even = values[0] == first
        && count.is_multiple_of(step)
        && values.len() == usize::from(count / step)
        && values.windows(2).all(|pair| pair[1] - pair[0] == step);
    if is_even && step > 1 {
        format!("*/{step}")
    } else {
        ranges(values, ",", "-")
    }
}

/// Returns a list of numbers, with ranges for three or more in a row.
fn ranges(values: &[u16], comma: &str, dash: &str) -> String {
    let mut parts: Vec<(u16, u16)> = Vec::new();
    for value in values {
        match parts.last_mut() {
            Some((_, last)) if *last + 1 == *value => *last = *value,
            _ => parts.push((*value, *value)),
        }
    }
    let part = |(first, last): (u16, u16)| match last - first {
        0 => first.to_string(),
        1 => format!("{first}{comma}{last}"),
        _ => format!("{first}{dash}{last}"),
    };
    let parts: Vec<String> = parts.into_iter().map(part).collect();
    parts.join(comma)
}

/// Returns the values of `OnCalendar=` of systemd. Each of them comes due at some of the times.
pub fn on_calendar(fields: &CronFields, zone: Tz) -> Vec<String> {
    const NAMES: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
    let some = |values: &[u16], count: usize| {
        if values.len() == count {
            "*".to_owned()
        } else {
            ranges(values, ",", "..")
        }
    };
    let months = some(&fields.months, 12);
    let time = format!(
        "{}:{}:00",
        some(&fields.hours, 24),
        some(&fields.minutes, 60)
    );
    let weekdays = fields.weekdays.as_ref().map(|all| {
        let names = all.iter().map(|day| NAMES[usize::from(*day)]);
        let names: Vec<&str> = names.collect();
        format!("{} *-{months}-* {time} {zone}", names.join(","))
    });
    let days = fields.days.as_ref().map(|all| {
        let days = ranges(all, ",", "..");
        format!("*-{months}-{days} {time} {zone}")
    });
    let each_day = format!("*-{months}-* {time} {zone}");
    let some_days: Vec<String> = weekdays.into_iter().chain(days).collect();
    if some_days.is_empty() {
        vec![each_day]
    } else {
        some_days
    }
}

#[cfg(test)]
mod tests {
    use chrono_tz::{America, Asia, Europe};

    use super::*;
    use crate::plan::schedule::Schedule;

    fn now() -> DateTime<Utc> {
        "2026-03-09T04:00:00Z".parse().expect("a time")
    }

    fn fields(written: &str) -> CronFields {
        let schedule = Schedule::parse(written, Tz::UTC).expect("a schedule");
        schedule.fields().expect("plain fields")
    }

    fn converted(written: &str, from: Tz, to: Tz) -> (Vec<String>, bool) {
        let Converted { all, is_exact } = convert(&fields(written), from, to, now());
        (all.iter().map(cron).collect(), is_exact)
    }

    #[test]
    fn an_expression_is_written_with_numbers() {
        for (written, expected) in [
            ("@hourly", "0 * * * *"),
            ("*/15 9-17 * jan,feb mon-fri", "*/15 9-17 * 1,2 1-5"),
            ("0 9,18 */10 * 7", "0 9,18 1,11,21,31 * 0"),
            ("5-50/15 * * * *", "5,20,35,50 * * * *"),
        ] {
            assert_eq!(cron(&fields(written)), expected);
        }
    }

    #[test]
    fn times_of_a_fixed_difference_are_converted_exactly() {
        for (written, expected) in [
            ("0 9 * * *", vec!["0 1 * * *"]),
            ("0 * * * *", vec!["0 * * * *"]),
            ("30 6,9 * * 1-5", vec!["30 1 * * 1-5", "30 22 * * 0-4"]),
        ] {
            let mut expected: Vec<String> = expected.into_iter().map(str::to_owned).collect();
            let (mut all, is_exact) = converted(written, Asia::Shanghai, Tz::UTC);
            all.sort();
            expected.sort();
            assert_eq!((all, is_exact), (expected, true));
        }
        let (all, _) = converted("0 9 * * *", Asia::Shanghai, Asia::Kolkata);
        assert_eq!(all, ["30 6 * * *"]);
    }

    #[test]
    fn a_changing_difference_has_the_times_of_both() {
        let (all, is_exact) = converted("0 9 * * *", Asia::Shanghai, Europe::Berlin);
        assert_eq!((all, is_exact), (vec!["0 2,3 * * *".to_owned()], false));
    }

    #[test]
    fn converted_times_come_due_whenever_the_schedule_does() {
        for written in [
            "0 6 1 * *",
            "0 20 31 * *",
            "15 3 29 2 *",
            "0 1 1,15 1 1",
            "59 23 * 12 *",
        ] {
            for (from, to) in [
                (Asia::Shanghai, Tz::UTC),
                (America::New_York, Asia::Tokyo),
                (Tz::UTC, America::Los_Angeles),
            ] {
                let schedule = Schedule::parse(written, from).expect("a schedule");
                let Converted { all, .. } = convert(&fields(written), from, to, now());
                let all: Vec<Schedule> = all
                    .iter()
                    .map(|fields| Schedule::parse(&cron(fields), to).expect("a schedule"))
                    .collect();
                let mut at = now();
                let until = now() + TimeDelta::days(366);
                while let Some(due) = schedule.next_after(at).filter(|due| *due < until) {
                    let is_due = |s: &Schedule| s.newest_due(due) == Some(due);
                    assert!(all.iter().any(is_due), "{written} at {due}: {all:?}");
                    at = due;
                }
            }
        }
    }

    #[test]
    fn systemd_has_a_line_for_each_kind_of_days() {
        let lines = |written| on_calendar(&fields(written), Asia::Shanghai);
        assert_eq!(lines("0 9 * * *"), ["*-*-* 9:0:00 Asia/Shanghai"]);
        assert_eq!(
            lines("*/30 9-17 * 1 1-5"),
            ["Mon,Tue,Wed,Thu,Fri *-1-* 9..17:0,30:00 Asia/Shanghai"]
        );
        assert_eq!(
            lines("0 9 1,15 * 1"),
            [
                "Mon *-*-* 9:0:00 Asia/Shanghai",
                "*-*-1,15 9:0:00 Asia/Shanghai"
            ]
        );
    }
}
