//! How long answers are kept: never shorter than a run needs them, never longer than `raw` says.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::{Lake, fail, succeed};

/// The small pipeline of the sandbox that keeps its answers as long as `raw` says.
fn keeping(lake: &Lake, name: &str, raw: &str, limits: &str) -> PathBuf {
    lake.write(
        &format!("{name}.yaml"),
        &format!(
            "
version: 1
pipeline: {name}
source: {{name: justoneapi, base_url: sandbox}}
keyword_sets: {{words: [兰蔻, 雅诗兰黛]}}
extract: [{{endpoint: note_search, keywords: [words], pages: {{max: 2}}}}]
limits: {{requests_per_second: 1000{limits}}}
raw: {raw}
"
        ),
    )
}

#[test]
fn answers_of_a_run_that_goes_on_are_kept_until_it_is_done() {
    let lake = Lake::new();
    let small = keeping(&lake, "kept", "none", ", requests_per_run: 3");
    let args = ["run", small.to_str().expect("UTF-8")];
    assert_eq!(fail(&mut lake.redlake(&args)).0, 5);
    assert_eq!(lake.raw_pages().len(), 3);
    assert_eq!(lake.value("select count(*) from search_pages"), 3);

    let report = lake.run(&keeping(&lake, "kept", "none", ""), &[]);
    assert_eq!(report["continued"], true);
    assert_eq!(report["raw_removed"], 1);
    assert_eq!(report["requests"]["billed"], 4);
    assert_eq!(lake.raw_files().len(), 0);
    assert_eq!(lake.value("select count(*) from search_pages"), 4);
    // And the next one begins as if nothing were missing.
    let report = lake.run(&keeping(&lake, "kept", "none", ""), &[]);
    assert_eq!(report["status"], "complete");
    assert_eq!(lake.value("select count(*) from search_pages"), 8);
}

#[test]
fn extracted_answers_are_kept_until_they_are_tables() {
    let lake = Lake::new();
    let pipeline = keeping(&lake, "kept", "none", "");
    let path = pipeline.to_str().expect("UTF-8");
    succeed(&mut lake.redlake(&["extract", path]));
    let raw = lake.raw_files();
    assert_eq!(raw.len(), 1);
    let raw = raw[0].to_str().expect("UTF-8");
    succeed(&mut lake.redlake(&["transform", path, "--raw", raw]));
    assert_eq!(lake.raw_files().len(), 0);
    assert_eq!(lake.value("select count(*) from search_pages"), 4);
}

/// Makes all commits of a pipeline look so many days older.
fn age(lake: &Lake, pipeline: &str, days: i64) {
    for entry in std::fs::read_dir(lake.path().join("_commits"))
        .expect("commits")
        .flatten()
    {
        let text = std::fs::read_to_string(entry.path()).expect("a record");
        let mut record: Value = serde_json::from_str(&text).expect("JSON");
        if record["pipeline"] == pipeline {
            let at = record["committed_at"].as_str().expect("a time");
            let at: chrono::DateTime<chrono::Utc> = at.parse().expect("a time");
            record["committed_at"] = json!(at - chrono::TimeDelta::days(days));
            std::fs::write(entry.path(), record.to_string()).expect("writable");
        }
    }
}

#[test]
fn old_answers_go_and_only_those_of_the_pipeline() {
    let lake = Lake::new();
    let ours = keeping(&lake, "ours", "{keep: 30d}", "");
    let others = keeping(&lake, "others", "{keep: 30d}", "");
    assert_eq!(lake.run(&ours, &[])["raw_removed"], Value::Null);
    lake.run(&others, &[]);
    age(&lake, "ours", 31);
    age(&lake, "others", 31);
    let report = lake.run(&ours, &[]);
    assert_eq!(report["raw_removed"], 1);
    let run_id = report["run_id"].as_str().expect("an id");
    let left = lake.raw_files();
    assert_eq!(left.len(), 2, "{left:?}");
    let own = left
        .iter()
        .filter(|path| path.to_string_lossy().contains(run_id));
    assert_eq!(own.count(), 1);
    // The tables of the old run are all there.
    assert_eq!(lake.value("select count(distinct run_id) from notes"), 3);
}
