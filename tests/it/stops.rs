//! When searches stop, told by the pages that the sandbox was asked for.

use serde_json::json;

use crate::support::{Lake, SandboxProcess, fail, succeed};

fn pipeline(sort: &str, rules: &str) -> String {
    format!(
        "
version: 1
pipeline: stopping
source: {{name: justoneapi}}
keyword_sets: {{words: [兰蔻]}}
extract:
  - endpoint: note_search
    keywords: [words]
    filters: {{sort: {sort}}}
    pages: {{max: 9, stop_when: {{{rules}}}}}
limits: {{requests_per_second: 1000}}
"
    )
}

/// Runs it at an hour; the pages asked for, and why it stopped.
fn run(sandbox: &SandboxProcess, lake: &Lake, text: &str, hour: u32) -> (usize, String) {
    let path = lake.write("stopping.yaml", text);
    let at = format!("2026-03-09T{hour:02}:00:00Z");
    let args = ["run", path.to_str().expect("UTF-8"), "--snapshot-at", &at];
    sandbox.control("DELETE", "/calls", "");
    succeed(&mut sandbox.redlake(lake, &args, "sandbox"));
    let stop = "select stop from search_pages where stop is not null \
                order by snapshot_at desc limit 1";
    let stop = lake.value(stop);
    (
        sandbox.calls().len(),
        stop.as_str().expect("a stop").to_owned(),
    )
}

#[test]
fn what_earlier_runs_found_ends_a_search() {
    let sandbox = SandboxProcess::with(&["--frozen", "--notes-a-day", "240"]);
    let lake = Lake::new();
    let text = pipeline("newest", "known_share: 0.9, known_within: 5h");
    assert_eq!(run(&sandbox, &lake, &text, 4), (9, "max_pages".to_owned()));
    // Nothing is new: the first page says so.
    assert_eq!(
        run(&sandbox, &lake, &text, 5),
        (1, "known_share".to_owned())
    );
    // Three hours bring 30 notes: the second page is half new, the third is known.
    sandbox.control("POST", "/clock", r#"{"advance_seconds": 10800}"#);
    assert_eq!(
        run(&sandbox, &lake, &text, 8),
        (3, "known_share".to_owned())
    );
    // After more than five hours what was found before no longer counts.
    assert_eq!(run(&sandbox, &lake, &text, 14), (9, "max_pages".to_owned()));
}

#[test]
fn old_notes_end_a_search_for_the_newest() {
    let sandbox = SandboxProcess::with(&["--frozen", "--notes-a-day", "240"]);
    let lake = Lake::new();
    // Ten notes an hour: three and a half hours are not quite two pages.
    let text = pipeline("newest", "older_than: 3h");
    let (pages, stop) = run(&sandbox, &lake, &text, 4);
    assert_eq!((pages, stop.as_str()), (3, "older_than"));
}

#[test]
fn a_short_page_ends_a_search() {
    let sandbox = SandboxProcess::with(&["--frozen"]);
    let lake = Lake::new();
    let text = pipeline("newest", "short_page: 20").replace("max: 9", "max: 40");
    let (pages, stop) = run(&sandbox, &lake, &text, 4);
    assert_eq!(stop, "short_page");
    let items = "select item_count from search_pages order by page";
    let items = lake.query(items);
    assert_eq!(items.len(), pages);
    let last = items[pages - 1]["item_count"].as_u64().expect("a number");
    assert!((1..20).contains(&last), "{last} items");
}

#[test]
fn old_notes_mean_nothing_in_another_order() {
    let lake = Lake::new();
    let path = lake.write("stopping.yaml", &pipeline("general", "older_than: 3h"));
    let (code, text) = fail(&mut lake.redlake(&["validate", path.to_str().expect("UTF-8")]));
    assert_eq!(code, 2);
    assert!(
        text.contains("`older_than` needs the newest first"),
        "{text}"
    );
    // Where both orders are asked for, the rule holds for one of them.
    let path = lake.write(
        "both.yaml",
        &pipeline("[general, newest]", "older_than: 3h"),
    );
    let output = lake
        .redlake(&["plan", path.to_str().expect("UTF-8"), "--format", "json"])
        .output()
        .expect("the binary starts");
    let plan: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let rules: Vec<&serde_json::Value> = plan["searches"]
        .as_array()
        .expect("searches")
        .iter()
        .map(|search| &search["stop_when"]["older_than_s"])
        .collect();
    assert_eq!(rules, [&json!(null), &json!(10800)]);
}

#[test]
fn notes_of_an_unfinished_search_are_not_known() {
    let sandbox = SandboxProcess::with(&["--frozen", "--notes-a-day", "240"]);
    let lake = Lake::new();
    let text = pipeline("newest", "known_share: 0.9");
    // The first run gives up on its third page.
    let fault = json!({"kind": "code", "code": 400});
    sandbox.set_faults(&json!({"on": [{"page": 3, "times": 1, "fault": fault}]}));
    let path = lake.write("stopping.yaml", &text);
    let args = [
        "run",
        path.to_str().expect("UTF-8"),
        "--snapshot-at",
        "2026-03-09T04:00:00Z",
    ];
    let (code, _) = fail(&mut sandbox.redlake(&lake, &args, "sandbox"));
    assert_eq!(code, 3);
    assert_eq!(lake.value("select count(*) from search_pages"), 2);
    // The next one goes below what that one saw.
    assert_eq!(run(&sandbox, &lake, &text, 5), (9, "max_pages".to_owned()));
    assert_eq!(
        run(&sandbox, &lake, &text, 6),
        (1, "known_share".to_owned())
    );
}
