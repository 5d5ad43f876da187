//! Counts that no sum can hold, and marts that panic: the rest is made, and what is missing is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use super::{files, observe, watch};
use crate::support::{FakeApi, Lake, fail, succeed};

const MAX: i64 = i64::MAX;

/// A page of a search with two notes, both with this many likes.
fn page(likes: i64) -> Vec<u8> {
    let note = |nth: u8| {
        json!({"model_type": "note", "note": {
            "id": format!("67bc000{nth}000000001200000{nth}"), "type": "normal", "title": "t",
            "desc": "d", "timestamp": 1_764_000_001, "liked_count": likes, "collected_count": 6,
            "comments_count": 4, "shared_count": 2,
            "user": {"userid": "5c1000010000000007000001", "nickname": "n"}}})
    };
    json!({"code": 0, "data": {"items": [note(1), note(2)]}})
        .to_string()
        .into_bytes()
}

/// Runs a search at an hour of a day; it must end with exit code 0. What it says on stderr.
fn search(api: &FakeApi, lake: &Lake, day: u32) -> String {
    let text = "
version: 1
pipeline: hunt
source: {name: justoneapi}
keyword_sets: {k: [防晒]}
extract: [{endpoint: note_search, keywords: [k], pages: {max: 1}}]
limits: {requests_per_second: 100, retries: 0}
";
    let pipeline = lake.write("hunt.yaml", text);
    let at = format!("2026-03-{day:02}T04:00:00Z");
    let args = [
        "run",
        pipeline.to_str().expect("UTF-8"),
        "--snapshot-at",
        &at,
    ];
    let mut command = lake.redlake(&args);
    command.env("JUSTONEAPI_BASE_URL", &api.url);
    command.env("JUSTONEAPI_TOKEN", "a-token-of-some-length");
    let output = succeed(&mut command);
    String::from_utf8(output.stderr).expect("UTF-8")
}

#[test]
fn sums_that_do_not_fit_are_null_and_later_runs_work() {
    let is_clean = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&is_clean);
    let api = FakeApi::start(move |_| {
        let likes = if asked.load(Ordering::SeqCst) { 7 } else { MAX };
        (200, page(likes))
    });
    let lake = Lake::new();
    let told = search(&api, &lake, 9);
    assert!(
        !told.contains("marts") && !told.contains("panicked"),
        "{told}"
    );
    let likes = lake.query("select liked_count from engagement order by note_id");
    assert_eq!(
        json!(likes),
        json!([{"liked_count": MAX}, {"liked_count": MAX}])
    );
    let keyword = "select liked_sum, collected_sum, engagement_sum, liked_median, share_of_voice \
                   from keyword_daily order by dt";
    let huge = json!({"liked_sum": null, "collected_sum": 12, "engagement_sum": null,
                      "liked_median": MAX as f64, "share_of_voice": 1.0});
    assert_eq!(json!(lake.query(keyword)), json!([huge]));
    let creator = "select notes, engagement_sum from creator_daily order by dt";
    let of_creator = json!({"notes": 2, "engagement_sum": null});
    assert_eq!(json!(lake.query(creator)), json!([of_creator]));

    is_clean.store(true, Ordering::SeqCst);
    let told = search(&api, &lake, 10);
    assert!(
        !told.contains("marts") && !told.contains("panicked"),
        "{told}"
    );
    let clean = json!({"liked_sum": 14, "collected_sum": 12, "engagement_sum": 38,
                       "liked_median": 7.0, "share_of_voice": 1.0});
    assert_eq!(json!(lake.query(keyword)), json!([huge, clean]));
    let grown = json!({"notes": 2, "engagement_sum": 38});
    assert_eq!(json!(lake.query(creator)), json!([of_creator, grown]));
    let deltas = "select distinct liked_delta, collected_delta from RELATION \
                  where previous_snapshot_at is not null";
    let changes = json!([{"liked_delta": 7 - MAX, "collected_delta": 0}]);
    for relation in ["note_growth", "engagement_delta"] {
        let rows = lake.query(&deltas.replace("RELATION", relation));
        assert_eq!(json!(rows), changes, "{relation}");
    }
}

#[test]
fn a_mart_that_panics_is_a_warning_and_everything_else_is_made() {
    let lake = Lake::new();
    let pipeline = watch(&lake, "first");
    let run = [
        "run",
        pipeline.to_str().expect("UTF-8"),
        "--snapshot-at",
        "2026-03-09T04:00:00Z",
        "--format",
        "json",
    ];
    // The first of the marts of the date.
    let boom = ("FAILPOINTS", "mart=1*panic(boom)->off");
    let output = succeed(lake.redlake(&run).env(boom.0, boom.1));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["status"], "complete");
    let why = "2026-03-09: the mart creator_daily cannot be computed: it panicked: boom";
    assert_eq!(report["marts_error"], why);
    let told = String::from_utf8(output.stderr).expect("UTF-8");
    let warning = "the marts are not up to date; `redlake marts` computes what is missing: ";
    assert!(told.contains(&format!("{warning}{why}\n")), "{told}");
    assert!(!told.contains("panicked at"), "{told}");
    assert_eq!(files(&lake).len(), 7);
    assert_eq!(lake.value("select count(*) from creator_daily"), 0);

    // A later run of another pipeline does not compute that date again, but says what is missing.
    let report = observe(&lake, &watch(&lake, "second"), "2026-03-10T04:00:00Z");
    assert_eq!(report["status"], "complete");
    assert_eq!(report["marts_error"], why);
    assert_eq!(files(&lake).len(), 13);
    let dates = "select string_agg(distinct dt::varchar, ' ') from creator_daily";
    assert_eq!(lake.value(dates), "2026-03-10");

    // `redlake marts` does, and fails as long as it panics.
    let (code, told) = fail(lake.redlake(&["marts"]).env(boom.0, boom.1));
    assert_eq!(code, 1, "{told}");
    assert!(told.contains(&format!("error: {why}\n")), "{told}");
    assert_eq!(files(&lake).len(), 13);
    let output = succeed(&mut lake.redlake(&["marts", "--format", "json"]));
    let made: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(made["days"], json!(["2026-03-09"]));
    assert_eq!((&made["files"], made.get("failed")), (&json!(1), None));
    assert_eq!(files(&lake).len(), 14);
    let report = observe(&lake, &pipeline, "2026-03-11T04:00:00Z");
    assert_eq!(report.get("marts_error"), None);
}

#[test]
fn a_mart_that_fails_leaves_no_rows_of_tables_that_were_replaced() {
    let lake = Lake::new();
    let pipeline = watch(&lake, "first");
    observe(&lake, &pipeline, "2026-03-09T04:00:00Z");
    let rows = "select count(*) from creator_daily";
    assert_ne!(lake.value(rows), 0);
    let all = ["marts", "--all", "--format", "json"];
    let output = lake
        .redlake(&all)
        .env("FAILPOINTS", "mart=panic(boom)")
        .output();
    let output = output.expect("the binary starts");
    assert_eq!(output.status.code(), Some(1));
    let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let failed = told["failed"].as_array().expect("a list");
    assert_eq!(failed.len(), 8);
    let weekly = failed.iter().filter(|failed| failed["period"] == "week");
    assert_eq!(weekly.count(), 2);
    let first = json!({"date": "2026-03-09", "mart": "creator_daily",
                       "reason": "the mart creator_daily cannot be computed: it panicked: boom"});
    assert_eq!(failed[0], first);
    assert_eq!(lake.value(rows), 0);
}

#[test]
fn a_file_that_cannot_be_read_fails_only_the_dates_that_need_it() {
    let lake = Lake::new();
    let pipeline = watch(&lake, "first");
    for day in 9..=13 {
        observe(&lake, &pipeline, &format!("2026-03-{day:02}T04:00:00Z"));
    }
    let before = files(&lake);
    let folder = lake.path().join("tables/engagement/dt=2026-03-12");
    for file in std::fs::read_dir(folder).expect("a folder") {
        let path = file.expect("a file").path();
        std::fs::write(path, "no Parquet").expect("writable");
    }
    let all = ["marts", "--all", "--format", "json"];
    let output = lake.redlake(&all).output().expect("the binary starts");
    assert_eq!(output.status.code(), Some(1));
    let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(
        told["days"],
        json!(["2026-03-09", "2026-03-10", "2026-03-11"])
    );
    assert_eq!(told["files"], 0);
    let failed = told["failed"].as_array().expect("a list");
    let span = |f: &Value| format!("{} {}", f["period"].as_str().unwrap_or("day"), f["date"]);
    let mut spans: Vec<String> = failed.iter().map(span).collect();
    spans.sort();
    let expected = [
        "day \"2026-03-12\"",
        "day \"2026-03-13\"",
        "week \"2026-03-09\"",
    ];
    assert_eq!(spans, expected);
    for f in failed {
        let reason = f["reason"].as_str().expect("a text");
        assert!(reason.starts_with("the tables cannot be read"), "{reason}");
    }
    assert_eq!(files(&lake), before);
}
