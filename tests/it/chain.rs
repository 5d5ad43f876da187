//! Details of notes that earlier runs found.

use serde_json::{Value, json};

use crate::support::{Lake, SandboxProcess, succeed};

const SEARCH: &str = "
version: 1
pipeline: search
source: {name: justoneapi}
keyword_sets: {words: [兰蔻]}
extract: [{endpoint: note_search, keywords: [words], pages: {max: 2}}]
limits: {requests_per_second: 1000}
";

/// Searches one page and asks for the details of notes, also of those that others found.
fn details(more: &str) -> String {
    format!(
        "
version: 1
pipeline: details
source: {{name: justoneapi}}
keyword_sets: {{words: [防晒]}}
extract:
  - {{endpoint: note_search, keywords: [words], pages: {{max: 1}}}}
  - endpoint: note_detail
    source: {{name: xhs_open}}
    notes: {{found_by: note_search, top: 1000, by: liked_count{more}}}
limits: {{requests_per_second: 1000}}
"
    )
}

struct World {
    sandbox: SandboxProcess,
    lake: Lake,
}

impl World {
    fn new() -> Self {
        World {
            sandbox: SandboxProcess::with(&["--frozen"]),
            lake: Lake::new(),
        }
    }

    /// Runs a pipeline at an hour of the day.
    fn run(&self, pipeline: &str, hour: u32) {
        let path = self.lake.write("pipeline.yaml", pipeline);
        // Without the platform's limit of 100 a minute.
        let limit = "rate_limit: {requests: 100, per: 60s}\n";
        let schemas = self.lake.schemas(&[("sources/xhs_open.yaml", limit, "")]);
        let at = format!("2026-03-09T{hour:02}:00:00Z");
        let path = path.to_str().expect("UTF-8");
        let schemas = schemas.to_str().expect("UTF-8");
        let args = ["run", path, "--snapshot-at", &at, "--schemas", schemas];
        succeed(&mut self.sandbox.redlake(&self.lake, &args, "sandbox"));
    }

    /// The notes whose details were asked for since this was last asked.
    fn asked(&self) -> Vec<String> {
        let calls = self.sandbox.calls();
        self.sandbox.control("DELETE", "/calls", "");
        let notes = calls.iter().filter(|c| c["endpoint"] == "note_detail");
        let id = |c: &Value| c["note_id"].as_str().expect("an id").to_owned();
        let mut ids: Vec<String> = notes.map(id).collect();
        ids.sort();
        ids
    }

    fn found(&self, condition: &str) -> Vec<String> {
        let sql = format!(
            "select distinct note_id from engagement where endpoint = 'note_search' \
             and {condition} order by note_id"
        );
        let rows = self.lake.query(&sql);
        let id = |row: &Value| row["note_id"].as_str().expect("an id").to_owned();
        rows.iter().map(id).collect()
    }
}

#[test]
fn notes_of_this_run_only_unless_told_otherwise() {
    let world = World::new();
    world.run(SEARCH, 1);
    world.run(&details(""), 2);
    assert_eq!(world.asked(), world.found("pipeline = 'details'"));
}

#[test]
fn a_provider_s_limit_holds_over_several_runs() {
    let world = World::new();
    let path = world.lake.write(
        "two.yaml",
        "
version: 1
pipeline: two
source: {name: xhs_open}
extract: [{endpoint: note_detail, notes: {ids: [n1, n2]}}]
limits: {requests_per_second: 1000, burst: 50}
",
    );
    // Three calls in 900 ms: the second run has to wait for room.
    let limit = (
        "sources/xhs_open.yaml",
        "requests: 100, per: 60s",
        "requests: 3, per: 900ms",
    );
    let schemas = world.lake.schemas(&[limit]);
    let (path, schemas) = (
        path.to_str().expect("UTF-8"),
        schemas.to_str().expect("UTF-8"),
    );
    for _ in 0..2 {
        let args = ["run", path, "--schemas", schemas];
        succeed(&mut world.sandbox.redlake(&world.lake, &args, "sandbox"));
    }
    let at: Vec<u64> = world
        .sandbox
        .calls()
        .iter()
        .map(|call| call["at_us"].as_u64().expect("a time"))
        .collect();
    assert_eq!(at.len(), 4);
    assert!(at[3] - at[0] >= 900_000, "{at:?}");
}

#[test]
fn notes_that_any_run_found_lately() {
    let world = World::new();
    world.run(SEARCH, 1);
    world.run(&details(", seen_within: 2h"), 2);
    let all = world.found("true");
    assert!(all.len() > 36, "{} notes", all.len());
    assert_eq!(world.asked(), all);
    // Two hours later the first search is too long ago.
    world.run(&details(", seen_within: 2h"), 4);
    assert_eq!(world.asked(), world.found("pipeline = 'details'"));
}

#[test]
fn notes_that_were_answered_lately_are_not_asked_again() {
    let world = World::new();
    let rule = ", seen_within: 1d, not_refreshed_for: 3h";
    world.run(&details(rule), 1);
    let first = world.asked();
    assert!(!first.is_empty());
    world.run(&details(rule), 2);
    assert_eq!(world.asked(), Vec::<String>::new());
    world.run(SEARCH, 2);
    world.run(&details(rule), 3);
    assert_eq!(world.asked(), world.found("pipeline = 'search'"));
    world.run(&details(rule), 4);
    assert_eq!(world.asked(), first);
}

#[test]
fn a_note_that_is_gone_is_asked_again_only_if_it_was_found_since() {
    let world = World::new();
    world.run(SEARCH, 1);
    let gone = world.found("pipeline = 'search'")[0].clone();
    let fault = json!({"kind": "code", "code": 404, "status": 404});
    world
        .sandbox
        .set_faults(&json!({"on": [{"note_id": gone, "fault": fault}]}));
    world.run(&details(", seen_within: 1d"), 2);
    assert!(world.asked().contains(&gone));
    let recorded = "select note_id, item_count from search_pages where stop = 'gone'";
    assert_eq!(
        world.lake.query(recorded),
        [json!({"note_id": gone, "item_count": 0})]
    );
    world.run(&details(", seen_within: 1d"), 3);
    let asked = world.asked();
    assert!(!asked.is_empty() && !asked.contains(&gone));
    world.run(SEARCH, 4);
    world.asked();
    world.run(&details(", seen_within: 1d"), 5);
    assert!(world.asked().contains(&gone));
}
