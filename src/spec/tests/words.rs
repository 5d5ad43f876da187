use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::spec::words::{Instant, TimeSpan};
use crate::spec::yaml::diagnostic::nearest;

fn seconds(n: u64) -> TimeSpan {
    TimeSpan::Exact(Duration::from_secs(n))
}

#[test]
fn lengths_of_time_are_read() {
    let cases = [
        ("500ms", TimeSpan::Exact(Duration::from_millis(500))),
        ("90s", seconds(90)),
        ("5min", seconds(300)),
        ("2h", seconds(7_200)),
        ("7d", seconds(604_800)),
        ("1w", seconds(604_800)),
        ("0s", seconds(0)),
        ("10 s", seconds(10)),
    ];
    for (text, span) in cases {
        assert_eq!(text.parse(), Ok(span), "{text}");
    }
}

#[test]
fn an_invalid_duration_is_refused() {
    for text in [
        "",
        "s",
        "5",
        "5m",
        "-5s",
        "1.5h",
        "5 parsecs",
        "99999999999s",
        "五s",
    ] {
        let error = text.parse::<TimeSpan>().expect_err(text);
        assert!(error.starts_with(&format!("`{text}` is not a duration")));
    }
}

#[test]
fn m_is_a_month_only_in_a_search_window() {
    assert_eq!(TimeSpan::window("6m"), Some(TimeSpan::Months(6)));
    assert_eq!(TimeSpan::window("1w"), Some(seconds(604_800)));
    assert_eq!(TimeSpan::window("6x"), None);
    assert_eq!(TimeSpan::window("month"), None);
    assert_eq!(
        TimeSpan::Months(6).as_duration(),
        Duration::from_secs(180 * 86_400)
    );
}

#[test]
fn a_window_goes_back_by_calendar_months() {
    let end: DateTime<Utc> = "2026-08-31T04:00:00Z".parse().expect("a time");
    let begin = |word: &str| {
        let begin = TimeSpan::window(word).and_then(|span| span.before(end));
        begin.map(|at| at.to_rfc3339())
    };
    assert_eq!(begin("1d").as_deref(), Some("2026-08-30T04:00:00+00:00"));
    // There is no 31st of February.
    assert_eq!(begin("6m").as_deref(), Some("2026-02-28T04:00:00+00:00"));
    assert_eq!(begin("4294967295m"), None);
}

#[test]
fn the_nearest_word_is_near() {
    let words = ["note_search", "note_detail", "user_search"];
    assert_eq!(nearest("note_serch", words), Some("note_search"));
    assert_eq!(nearest("user", words), None);
    assert_eq!(nearest("note", []), None);
}

#[test]
fn an_instant_has_a_time_zone() {
    for text in [
        "2026-03-09T12:00:00+08:00",
        "2026-03-09T04:00:00Z",
        "2026-03-09 12:00:00.5+08:00",
    ] {
        assert!(text.parse::<Instant>().is_ok(), "{text}");
    }
    let wrong = [
        (
            "2026-03-09T12:00:00",
            "has no time zone; write it as in 2026-03-09T12:00:00+08:00",
        ),
        (
            "2026-03-09 12:00",
            "has no time zone; write it as in 2026-03-09T12:00:00+08:00",
        ),
        (
            "2026-03-09",
            "has no time of day and no time zone; write it as in 2026-03-09T12:00:00+08:00",
        ),
        (
            "yesterday",
            "is not a time; write it as in 2026-03-09T12:00:00+08:00",
        ),
        (
            "",
            "is not a time; write it as in 2026-03-09T12:00:00+08:00",
        ),
        (
            "2026-13-09T12:00:00Z",
            "is not a time; write it as in 2026-03-09T12:00:00+08:00",
        ),
    ];
    for (text, told) in wrong {
        assert_eq!(text.parse::<Instant>(), Err(format!("`{text}` {told}")));
    }
}
