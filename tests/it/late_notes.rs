//! Notes that the provider shows hours after their publication, and the rechecks that find them.

use std::collections::BTreeSet;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::{Lake, SandboxProcess, fail, succeed};

/// A search for the newest notes, at most nine pages deep.
fn pipeline(name: &str, rules: &str) -> String {
    format!(
        "
version: 1
pipeline: {name}
source: {{name: justoneapi}}
keyword_sets: {{words: [兰蔻]}}
extract:
  - endpoint: note_search
    keywords: [words]
    filters: {{sort: newest}}
    pages: {{max: 9, stop_when: {{{rules}}}}}
limits: {{requests_per_second: 1000}}
"
    )
}

/// The arguments of a run at an hour.
fn command(
    sandbox: &SandboxProcess,
    lake: &Lake,
    pipeline: &str,
    hour: u32,
) -> std::process::Command {
    let path = lake.write("late.yaml", pipeline);
    let at = format!("2026-03-09T{hour:02}:00:00Z");
    let args = ["run", path.to_str().expect("UTF-8"), "--snapshot-at", &at];
    sandbox.redlake(lake, &args, "sandbox")
}

/// Runs a pipeline at an hour; the pages requested and the reason of the stop.
fn run(sandbox: &SandboxProcess, lake: &Lake, pipeline: &str, hour: u32) -> (Vec<u64>, String) {
    sandbox.control("DELETE", "/calls", "");
    succeed(&mut command(sandbox, lake, pipeline, hour));
    let stop = format!(
        "select stop from search_pages where stop is not null \
         and snapshot_at = timestamptz '2026-03-09 {hour:02}:00:00+00' \
         order by run_id desc limit 1"
    );
    let stop = lake.value(&stop);
    (pages(sandbox), stop.as_str().expect("a stop").to_owned())
}

/// The pages that the sandbox was asked for since its calls were last forgotten.
fn pages(sandbox: &SandboxProcess) -> Vec<u64> {
    let calls = sandbox.calls();
    let page = |call: &Value| call["page"].as_u64().expect("a page");
    calls.iter().map(page).collect()
}

/// Pages 1 to `last`.
fn first(last: u64) -> Vec<u64> {
    (1..=last).collect()
}

fn an_hour_passes(sandbox: &SandboxProcess) {
    sandbox.control("POST", "/clock", r#"{"advance_seconds": 3600}"#);
}

#[test]
fn late_notes_below_known_ones_are_found_by_a_recheck() {
    // Twenty notes an hour, two of them one to three hours late.
    let flags = ["--frozen", "--notes-a-day", "480", "--late-notes", "10"];
    let sandbox = SandboxProcess::with(&flags);
    let rules = [
        "known_share: 0.9",
        "known_share: 0.9, recheck: {every: 3h, pages: 7}",
    ];
    let lakes = rules.map(|rules| (Lake::new(), pipeline("late", rules)));
    let mut calls = [0; 2];
    for hour in 4..=7 {
        if hour > 4 {
            an_hour_passes(&sandbox);
        }
        for ((lake, pipeline), calls) in lakes.iter().zip(&mut calls) {
            *calls += run(&sandbox, lake, pipeline, hour).0.len();
        }
    }
    // Without rules the last run sees all notes of the last nine hours.
    let all = Lake::new();
    run(&sandbox, &all, &pipeline("late", ""), 7);
    let found = |lake: &Lake| {
        let rows = lake.query(
            "select distinct note_id from notes \
             where published_at >= timestamptz '2026-03-09 01:00:00+00'",
        );
        let ids = rows.iter().map(|row| row["note_id"].to_string());
        ids.collect::<BTreeSet<String>>()
    };
    let [(known, _), (rechecked, _)] = &lakes;
    let (all, known, rechecked) = (found(&all), found(known), found(rechecked));
    assert!(known.is_subset(&all));
    let missed = all.difference(&known).count();
    assert!(missed > 1, "{missed} notes are missed");
    assert_eq!(rechecked, all);
    let [known_calls, recheck_calls] = calls;
    assert!(
        known_calls < recheck_calls && recheck_calls < 4 * 9,
        "{calls:?}"
    );
}

#[test]
fn a_search_looks_deep_once_in_its_interval() {
    let sandbox = SandboxProcess::with(&["--frozen", "--notes-a-day", "240"]);
    let lake = Lake::new();
    let text = pipeline("late", "known_share: 0.9, recheck: {every: 3h, pages: 4}");
    let known = |last| (first(last), "known_share".to_owned());
    // Nothing is known to the first run: it is deep enough.
    let to_the_end = (first(9), "max_pages".to_owned());
    assert_eq!(run(&sandbox, &lake, &text, 4), to_the_end);
    // No note is new: the first page shows it, except on a deep look.
    for (hour, last) in [(5, 1), (7, 4), (9, 1), (10, 4), (11, 1)] {
        assert_eq!(run(&sandbox, &lake, &text, hour), known(last), "{hour}:00");
    }
    // Another pipeline has its own deep looks, although the notes are known to it.
    let other = pipeline("other", "known_share: 0.9, recheck: {every: 3h, pages: 4}");
    assert_eq!(run(&sandbox, &lake, &other, 11), known(4));
    // A deeper recheck is due until a run was that deep.
    let deeper = pipeline("late", "known_share: 0.9, recheck: {every: 3h, pages: 6}");
    assert_eq!(run(&sandbox, &lake, &deeper, 12), known(6));
    assert_eq!(run(&sandbox, &lake, &deeper, 13), known(1));
}

#[test]
fn a_search_that_another_rule_ended_was_deep_enough() {
    let sandbox = SandboxProcess::with(&["--frozen", "--notes-a-day", "240"]);
    let lake = Lake::new();
    let rules = "known_share: 0.9, older_than: 1h, recheck: {every: 3h, pages: 4}";
    let text = pipeline("late", rules);
    // The second page is older than an hour.
    let old = (first(2), "older_than".to_owned());
    assert_eq!(run(&sandbox, &lake, &text, 4), old);
    let known = (first(1), "known_share".to_owned());
    assert_eq!(run(&sandbox, &lake, &text, 5), known);
}

#[test]
fn a_deep_look_that_was_killed_stays_deep() {
    let sandbox = SandboxProcess::with(&["--frozen", "--notes-a-day", "240"]);
    let lake = Lake::new();
    let text = pipeline("late", "known_share: 0.9, recheck: {every: 3h, pages: 4}");
    run(&sandbox, &lake, &text, 4);
    // The run of 7:00 looks deep. It is killed while it waits for page 3.
    let fault = json!({"kind": "timeout"});
    sandbox.set_faults(&json!({"on": [{"page": 3, "times": 1, "fault": fault}]}));
    let mut child = command(&sandbox, &lake, &text, 7)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary starts");
    while sandbox.calls().len() < 3 {
        assert_eq!(child.try_wait().expect("a child"), None, "the run ended");
        std::thread::yield_now();
    }
    child.kill().expect("a kill");
    child.wait().expect("an end");
    assert_eq!(pages(&sandbox), [1, 2, 3]);
    // What another pipeline finds meanwhile changes nothing.
    run(&sandbox, &lake, &pipeline("other", ""), 6);
    let rest = (vec![3, 4], "known_share".to_owned());
    sandbox.control("DELETE", "/calls", "");
    succeed(&mut command(&sandbox, &lake, &text, 7));
    let stop = "select stop from search_pages where pipeline = 'late' and page = 4 \
                and snapshot_at = timestamptz '2026-03-09 07:00:00+00'";
    let stop = lake.value(stop);
    assert_eq!(
        (pages(&sandbox), stop.as_str().unwrap_or("-").to_owned()),
        rest
    );
    // And a run that is not deep stays so: the deep look was committed by then.
    assert_eq!(run(&sandbox, &lake, &text, 8).0, [1]);
}

#[test]
fn the_plan_of_a_recheck_is_an_upper_bound() {
    let lake = Lake::new();
    let text = pipeline("late", "known_share: 0.9, recheck: {every: 1d, pages: 9}");
    let path = lake.write("late.yaml", &text);
    let args = ["plan", path.to_str().expect("UTF-8"), "--format", "json"];
    let plan = succeed(&mut lake.redlake(&args)).stdout;
    let plan: Value = serde_json::from_slice(&plan).expect("JSON");
    assert_eq!(plan["estimate"]["calls"], 9);
    let recheck = &plan["searches"][0]["stop_when"]["known"]["recheck"];
    assert_eq!(recheck, &json!({"every_s": 86_400, "pages": 9}));
}

#[test]
fn mistakes_in_a_recheck_have_their_places() {
    let lake = Lake::new();
    for (rules, place, told) in [
        (
            "recheck: {every: 1d, pages: 5}",
            "10:42",
            "`recheck` needs `known_share`",
        ),
        (
            "known_share: 0.9, recheck: {every: 1d, pages: 10}",
            "10:79",
            "a recheck of 10 pages is deeper than `max: 9`",
        ),
        (
            "known_share: 0.9, recheck: {every: 1d}",
            "10:60",
            "the key `pages` is missing here",
        ),
        (
            "known_share: 0.9, recheck: {every: soon, pages: 5}",
            "10:68",
            "`soon` is not a duration",
        ),
    ] {
        let path = lake.write("late.yaml", &pipeline("late", rules));
        let args = ["validate", path.to_str().expect("UTF-8")];
        let (code, text) = fail(&mut lake.redlake(&args));
        assert_eq!(code, 2);
        assert!(text.contains(told), "{rules}: {text}");
        assert!(
            text.contains(&format!("late.yaml:{place}")),
            "{rules}: {text}"
        );
    }
}

#[test]
fn the_sandbox_of_a_pipeline_shows_notes_late() {
    let lake = Lake::new();
    let late = "base_url: sandbox, sandbox: {late_notes: 100}";
    let text =
        pipeline("late", "").replace("name: justoneapi", &format!("name: justoneapi, {late}"));
    lake.run(&lake.write("late.yaml", &text), &[]);
    let age = "select min(epoch(snapshot_at) - epoch(published_at)) from notes";
    let age = lake.value(age).as_f64().expect("seconds");
    assert!(age >= 3_600.0, "a note is {age} s old");
}
