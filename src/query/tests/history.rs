//! What a new run asks the lake.

use std::collections::{BTreeSet, HashSet};

use chrono::{DateTime, NaiveDate, Utc};

use super::Lake;
use crate::query::history::{
    AnsweredSearch, Earlier, FoundNote, SpentRow, UsualCalls, answered, found_notes, known_ids,
    spent_since, usual_calls,
};

const SHANGHAI: chrono_tz::Tz = chrono_tz::Asia::Shanghai;

fn earlier(pipelines: &[&str]) -> Earlier {
    Earlier {
        pipelines: pipelines.iter().map(|name| name.to_string()).collect(),
        but_run_id: "own".to_owned(),
    }
}

fn time(text: &str) -> DateTime<Utc> {
    text.parse().expect("a time")
}

fn date(day: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 3, day).expect("a date")
}

/// The business dates of the calls, and one that has none.
fn ledgers() -> BTreeSet<NaiveDate> {
    BTreeSet::from([date(8), date(9)])
}

/// From the first day of the month to noon of the ninth.
fn span() -> (DateTime<Utc>, DateTime<Utc>) {
    (time("2026-03-01T00:00:00Z"), time("2026-03-09T12:00:00Z"))
}

#[test]
fn an_empty_lake_knows_nothing() {
    let lake = Lake::new();
    let database = lake.database();
    for earlier in [earlier(&["test"]), earlier(&[])] {
        let place = ("justoneapi", "note_search");
        let known = known_ids(&database, &earlier, place, span()).expect("an answer");
        assert_eq!(known, HashSet::new());
        let spent = spent_since(&database, &earlier, &ledgers(), (date(9), SHANGHAI), None);
        assert_eq!(spent.expect("an answer"), []);
        let found = found_notes(&database, &earlier, "note_search", "liked_count", span());
        assert_eq!(found.expect("an answer"), []);
        let asked = answered(&database, &earlier, place).expect("an answer");
        assert_eq!(asked, []);
    }
    assert_eq!(usual_calls(&database, "test", 20).expect("an answer"), []);
}

/// What one run found: pipeline, run, source, endpoint, id and time.
fn result(values: &str, at: &str) -> String {
    format!("{values}, TIMESTAMPTZ '{at}'")
}

fn lake_of_results(rows: &[String]) -> Lake {
    let mut lake = Lake::new();
    let rows: Vec<String> = rows.iter().map(|row| format!("'s', {row}")).collect();
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    let columns = "search_id, pipeline, run_id, source, endpoint, entity_id, snapshot_at";
    lake.add("search_results", columns, &rows);
    // The search came to its own stop in each run but r7.
    let stops =
        ["r1", "r2", "r3", "r4", "r5", "r6", "own"].map(|run| format!("'{run}', 's', 'empty'"));
    let cut = ["'r7', 's', NULL".to_owned()];
    let stops: Vec<&str> = stops.iter().chain(&cut).map(String::as_str).collect();
    lake.add("search_pages", "run_id, search_id, stop", &stops);
    lake
}

#[test]
fn what_earlier_searches_found_is_known() {
    let place = "'justoneapi', 'note_search'";
    let noon = "2026-03-08 12:00:00Z";
    let lake = lake_of_results(&[
        result(&format!("'test', 'r1', {place}, 'a'"), noon),
        result(&format!("'test', 'r2', {place}, 'a'"), noon),
        result(&format!("'other', 'r3', {place}, 'b'"), noon),
        result(&format!("'test', 'r1', {place}, NULL"), noon),
        // A search that was cut short: nobody has seen the pages below.
        result(&format!("'test', 'r7', {place}, 'i'"), noon),
        // Another world's pipeline, this run itself, another endpoint, another source.
        result(&format!("'sandbox', 'r4', {place}, 'c'"), noon),
        result(&format!("'test', 'own', {place}, 'd'"), noon),
        result("'test', 'r1', 'justoneapi', 'user_search', 'e'", noon),
        result("'test', 'r1', 'xhs_open', 'note_search', 'f'", noon),
        // The first instant that counts, the last, and those beside them.
        result(
            &format!("'test', 'r5', {place}, 'first'"),
            "2026-03-01 00:00:00Z",
        ),
        result(
            &format!("'test', 'r5', {place}, 'g'"),
            "2026-02-28 23:59:59.999999Z",
        ),
        result(
            &format!("'test', 'r6', {place}, 'last'"),
            "2026-03-09 11:59:59.999999Z",
        ),
        result(
            &format!("'test', 'r6', {place}, 'h'"),
            "2026-03-09 12:00:00Z",
        ),
    ]);
    let known = |pipelines: &[&str]| {
        let place = ("justoneapi", "note_search");
        let known = known_ids(&lake.database(), &earlier(pipelines), place, span());
        let mut known: Vec<String> = known.expect("an answer").into_iter().collect();
        known.sort();
        known.join(" ")
    };
    assert_eq!(known(&["test", "other"]), "a b first last");
    assert_eq!(known(&["test"]), "a first last");
    assert_eq!(known(&["it's none"]), "");
    assert_eq!(known(&[]), "");
}

#[test]
fn many_ids_are_known() {
    let rows: Vec<String> = (0..5_000)
        .map(|n| {
            result(
                &format!("'test', 'r1', 's', 'e', 'id{n}'"),
                "2026-03-08 00:00:00Z",
            )
        })
        .collect();
    let lake = lake_of_results(&rows);
    let known = known_ids(&lake.database(), &earlier(&["test"]), ("s", "e"), span());
    assert_eq!(known.expect("an answer").len(), 5_000);
}

/// The ledger: run, endpoint, time, cost and whether it was billed.
const CALLS: &str = "pipeline, run_id, endpoint, started_at, cost, billed";

fn spent(
    run_id: &str,
    shard: Option<&str>,
    day: u32,
    calls: u64,
    cost: f64,
    unknown: u64,
) -> SpentRow {
    SpentRow {
        run_id: run_id.to_owned(),
        shard: shard.map(str::to_owned),
        date: date(day),
        endpoint: "note_search".to_owned(),
        calls,
        cost,
        unknown,
    }
}

#[test]
fn costs_are_summed_exactly_and_in_one_currency() {
    let mut lake = Lake::new();
    let call = |rest: &str| {
        format!("'test', 'r1', 'note_search', TIMESTAMPTZ '2026-03-09 01:00:00Z', {rest}")
    };
    let mut rows = vec![call("0.1, 'yes', 'CNY'"); 1_000];
    rows.extend([
        call("7.0, 'yes', 'USD'"),
        call("NULL, 'unknown', 'USD'"),
        call("0.2, 'yes', NULL"),
    ]);
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    lake.add("requests", &format!("{CALLS}, currency"), &rows);
    for (currency, cost, unknown) in [(Some("CNY"), 100.2, 0), (Some("USD"), 7.2, 1)] {
        let (earlier, dates) = (earlier(&["test"]), ledgers());
        let on = (date(9), SHANGHAI);
        let told = spent_since(&lake.database(), &earlier, &dates, on, currency);
        let expected = [spent("r1", None, 9, 1_003, cost, unknown)];
        assert_eq!(told.expect("an answer"), expected, "{currency:?}");
    }
}

#[test]
fn what_runs_spent_is_told_by_the_day_where_the_pipeline_is() {
    let mut lake = Lake::new();
    let call = |run: &str, at: &str, rest: &str| {
        format!("'test', '{run}', 'note_search', TIMESTAMPTZ '2026-03-{at}Z', {rest}")
    };
    let rows = [
        // Midnight in Shanghai is 16:00 in UTC.
        call("r1", "08 15:59:59.999999", "0.5, 'yes'"),
        call("r1", "08 16:00:00", "0.25, 'yes'"),
        call("r1", "09 15:59:59", "0.0, 'no'"),
        call("r1", "09 12:00:00", "NULL, 'unknown'"),
        call("r1", "09 16:00:00", "0.25, 'yes'"),
        call("r2", "09 01:00:00", "NULL, 'yes'"),
        call("own", "09 01:00:00", "9.0, 'yes'"),
        "'sandbox', 'r3', 'note_search', TIMESTAMPTZ '2026-03-09 01:00:00Z', 9.0, 'yes'".to_owned(),
        "'test', 'r2', 'user_search', TIMESTAMPTZ '2026-03-09 01:00:00Z', 1.0, 'yes'".to_owned(),
    ];
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    lake.add("requests", CALLS, &rows);
    lake.add("runs", "pipeline, run_id, shard", &["'test', 'r1', '2/4'"]);
    let told = |since, timezone| {
        let (earlier, dates) = (earlier(&["test"]), ledgers());
        let rows = spent_since(&lake.database(), &earlier, &dates, (since, timezone), None);
        let mut rows = rows.expect("an answer");
        rows.sort_by(|a, b| {
            (&a.run_id, a.date, &a.endpoint).cmp(&(&b.run_id, b.date, &b.endpoint))
        });
        rows
    };
    let users = SpentRow {
        endpoint: "user_search".to_owned(),
        ..spent("r2", None, 9, 1, 1.0, 0)
    };
    let of_ninth = spent("r1", Some("2/4"), 9, 3, 0.25, 1);
    let of_tenth = spent("r1", Some("2/4"), 10, 1, 0.25, 0);
    assert_eq!(
        told(date(9), SHANGHAI),
        [
            of_ninth,
            of_tenth.clone(),
            spent("r2", None, 9, 1, 0.0, 0),
            users.clone()
        ]
    );
    assert_eq!(told(date(10), SHANGHAI), [of_tenth]);
    assert_eq!(told(date(11), SHANGHAI), []);
    let (earlier, others) = (earlier(&["test"]), BTreeSet::from([date(8)]));
    let none = spent_since(
        &lake.database(),
        &earlier,
        &others,
        (date(9), SHANGHAI),
        None,
    );
    assert_eq!(none.expect("an answer"), [], "the ledgers of another date");
    // Elsewhere the same calls belong to other days.
    assert_eq!(
        told(date(9), chrono_tz::UTC),
        [
            spent("r1", Some("2/4"), 9, 3, 0.25, 1),
            spent("r2", None, 9, 1, 0.0, 0),
            users
        ]
    );
}

#[test]
fn notes_that_were_found_come_as_they_were_seen_last() {
    let mut lake = Lake::new();
    let note = |run: &str, endpoint: &str, id: &str, day: &str, liked: &str| {
        format!(
            "'test', '{run}', '{endpoint}', '{id}', TIMESTAMPTZ '2026-03-{day} 00:00:00Z', {liked}"
        )
    };
    let rows = [
        note("r1", "note_search", "fallen", "03", "900"),
        note("r2", "note_search", "fallen", "05", "100"),
        note("r1", "note_search", "once", "04", "7"),
        note("r1", "note_search", "uncounted", "04", "NULL"),
        // A detail is another endpoint's, and this run's own are at hand.
        note("r1", "note_detail", "once", "06", "8"),
        note("own", "note_search", "once", "06", "9"),
        // Too old, and not yet.
        "'test', 'r1', 'note_search', 'old', TIMESTAMPTZ '2026-02-28 00:00:00Z', 1".to_owned(),
        note("r3", "note_search", "once", "10", "10"),
    ];
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    let columns = "pipeline, run_id, endpoint, note_id, snapshot_at, liked_count";
    lake.add("engagement", columns, &rows);
    let found = |by| {
        let earlier = earlier(&["test"]);
        let found = found_notes(&lake.database(), &earlier, "note_search", by, span());
        let mut found = found.expect("an answer");
        found.sort_by(|a, b| a.note_id.cmp(&b.note_id));
        found
    };
    let note = |id: &str, count, day: &str| FoundNote {
        note_id: id.to_owned(),
        count,
        seen_at: time(&format!("2026-03-{day}T00:00:00Z")),
    };
    assert_eq!(
        found("liked_count"),
        [
            note("fallen", Some(100), "05"),
            note("once", Some(7), "04"),
            note("uncounted", None, "04"),
        ]
    );
    // A count that no file has is no count.
    assert_eq!(found("shared_count")[1], note("once", None, "04"));
}

#[test]
fn a_search_was_answered_when_it_last_was() {
    let mut lake = Lake::new();
    let call = |run: &str, search: &str, hour: u32, class: &str| {
        format!(
            "'test', '{run}', 'xhs_open', 'note_detail', '{search}', \
             TIMESTAMPTZ '2026-03-09 {hour:02}:00:00Z', '{class}'"
        )
    };
    let rows = [
        call("r1", "back", 1, "gone"),
        call("r2", "back", 2, "ok"),
        call("r1", "gone", 1, "ok"),
        call("r2", "gone", 2, "gone"),
        // What failed was not answered.
        call("r2", "old", 1, "ok"),
        call("r3", "old", 3, "timeout"),
        call("r3", "never", 3, "server"),
        call("own", "never", 3, "ok"),
        "'test', 'r1', 'xhs_open', 'other', 'never', TIMESTAMPTZ '2026-03-09 01:00:00Z', 'ok'"
            .to_owned(),
        "'test', 'r1', 'other', 'note_detail', 'never', TIMESTAMPTZ '2026-03-09 01:00:00Z', 'ok'"
            .to_owned(),
    ];
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    let columns = "pipeline, run_id, source, endpoint, search_id, snapshot_at, class";
    lake.add("requests", columns, &rows);
    let place = ("xhs_open", "note_detail");
    let found = answered(&lake.database(), &earlier(&["test"]), place);
    let mut found = found.expect("an answer");
    found.sort_by(|a, b| a.search_id.cmp(&b.search_id));
    let search = |id: &str, hour: u32, gone| AnsweredSearch {
        search_id: id.to_owned(),
        at: time(&format!("2026-03-09T{hour:02}:00:00Z")),
        gone,
    };
    let expected = [
        search("back", 2, false),
        search("gone", 2, true),
        search("old", 1, false),
    ];
    assert_eq!(found, expected);
}

#[test]
fn what_searches_usually_need_is_learnt_from_the_last_runs() {
    let mut lake = Lake::new();
    let run = |run: &str, hour: u32, status: &str| {
        format!("'test', '{run}', TIMESTAMPTZ '2026-03-09 {hour:02}:00:00Z', '{status}'")
    };
    let runs = [
        run("oldest", 1, "complete"),
        run("r2", 2, "complete"),
        run("r3", 3, "partial"),
        run("cut", 4, "interrupted"),
        run("stopped", 5, "stopped"),
        run("failed", 6, "failed"),
        "'other', 'r9', TIMESTAMPTZ '2026-03-09 09:00:00Z', 'complete'".to_owned(),
    ];
    let runs: Vec<&str> = runs.iter().map(String::as_str).collect();
    lake.add("runs", "pipeline, run_id, started_at, status", &runs);
    let call = |run: &str, search: &str, billed: &str, ms: u32| {
        format!("'{run}', '{search}', 'note_search', '{billed}', {ms}")
    };
    let mut calls = vec![
        call("oldest", "a", "yes", 60_000),
        // Three calls, two of them paid, a second each; then one that may be paid, three seconds.
        call("r2", "a", "yes", 1_000),
        call("r2", "a", "no", 1_000),
        call("r2", "a", "yes", 1_000),
        call("r3", "a", "unknown", 3_000),
        call("r3", "b", "no", 500),
    ];
    calls.extend(["cut", "stopped", "failed", "r9"].map(|run| call(run, "a", "yes", 1)));
    let calls: Vec<&str> = calls.iter().map(String::as_str).collect();
    let columns = "run_id, search_id, endpoint, billed, duration_ms";
    lake.add("requests", columns, &calls);
    let usual = |runs| {
        let mut usual = usual_calls(&lake.database(), "test", runs).expect("an answer");
        usual.sort_by(|a, b| a.search_id.cmp(&b.search_id));
        usual
    };
    let needs = |id: &str, runs, calls, billed, seconds_a_call| UsualCalls {
        search_id: id.to_owned(),
        endpoint: "note_search".to_owned(),
        runs,
        calls,
        billed,
        seconds_a_call,
    };
    let b = needs("b", 1, 1.0, 0.0, 0.5);
    assert_eq!(usual(2), [needs("a", 2, 2.0, 1.5, 2.0), b.clone()]);
    assert_eq!(usual(1), [needs("a", 1, 1.0, 1.0, 3.0), b]);
    assert_eq!(usual(20)[0].runs, 3);
    assert_eq!(usual(0), []);
}
