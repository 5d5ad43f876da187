//! One mistake, one clear error: what, where, what to do; the right exit code; no half-made lake.

use crate::support::{Lake, SandboxProcess, copy, fail, redlake, repository};

/// The demo pipeline with one thing changed.
fn demo_with(lake: &Lake, old: &str, new: &str) -> String {
    let demo = std::fs::read_to_string(repository("pipelines/demo.yaml")).expect("the demo");
    assert!(demo.contains(old), "the demo no longer says {old}");
    let path = lake.write("pipeline.yaml", &demo.replace(old, new));
    path.to_str().expect("UTF-8").to_owned()
}

fn assert_says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "`{part}` is missing in:\n{text}");
    }
}

#[test]
fn an_unknown_keyword_set() {
    let lake = Lake::new();
    let pipeline = demo_with(
        &lake,
        "keywords: [brands, topics]",
        "keywords: [brands, topcis]",
    );
    let (code, text) = fail(&mut lake.redlake(&["run", &pipeline]));
    assert_eq!(code, 2);
    assert_says(
        &text,
        &[
            "unknown keyword set `topcis`",
            "pipeline.yaml:31:24",
            "did you mean `topics`?",
        ],
    );
    assert!(!lake.path().exists());
}

#[test]
fn a_misspelt_key() {
    let lake = Lake::new();
    let pipeline = demo_with(&lake, "timezone:", "timezon:");
    let (code, text) = fail(&mut lake.redlake(&["run", &pipeline]));
    assert_eq!(code, 2);
    assert_says(
        &text,
        &[
            "unknown key `timezon`",
            "pipeline.yaml:22:1",
            "did you mean `timezone`?",
        ],
    );
    assert!(!lake.path().exists());
}

#[test]
fn a_missing_variable() {
    let lake = Lake::new();
    let pipeline = demo_with(&lake, "lake: lake,", "lake: \"${NO_SUCH_PLACE}\",");
    let (code, text) = fail(&mut lake.redlake(&["run", &pipeline]));
    assert_eq!(code, 2);
    assert_says(
        &text,
        &[
            "environment variable `NO_SUCH_PLACE` is not set",
            "pipeline.yaml:49:14",
            "export NO_SUCH_PLACE=",
        ],
    );
    assert!(!lake.path().exists());
}

#[test]
fn a_missing_token() {
    let lake = Lake::new();
    let pipeline = repository("pipelines/skincare_watch.yaml");
    let (code, text) = fail(&mut lake.redlake(&["run", pipeline.to_str().expect("UTF-8")]));
    assert_eq!(code, 2);
    assert_says(
        &text,
        &[
            "the token of justoneapi is missing",
            "export JUSTONEAPI_TOKEN=",
        ],
    );
    assert!(!lake.path().exists());
}

#[test]
fn a_wrong_token() {
    let sandbox = SandboxProcess::start("the-token");
    let lake = Lake::new();
    let pipeline = repository("pipelines/skincare_watch.yaml");
    let mut command = lake.redlake(&["run", pipeline.to_str().expect("UTF-8"), "--format", "json"]);
    command
        .env("JUSTONEAPI_BASE_URL", &sandbox.url)
        .env("XHS_OPEN_BASE_URL", &sandbox.url)
        .env("JUSTONEAPI_TOKEN", "not-the-token")
        .env("XHS_OPEN_TOKEN", "not-the-token");
    let (code, text) = fail(&mut command);
    assert_eq!(code, 4);
    assert_says(
        &text,
        &[
            "justoneapi refused: code 100 (HTTP 401)",
            "check the token in JUSTONEAPI_TOKEN",
        ],
    );
    assert!(!text.contains("not-the-token"));
    // Calls were made, so the ledger is there, and nothing else.
    assert_eq!(
        lake.value("select count(*) > 0 from requests where class = 'auth'"),
        true
    );
    assert_eq!(
        lake.value("select count(*) from requests where billed != 'no'"),
        0
    );
    assert_eq!(lake.value("select status from runs"), "failed");
    assert_eq!(lake.table_files().len(), 2);
}

#[test]
fn an_unreadable_schema() {
    let lake = Lake::new();
    let pipeline = repository("pipelines/demo.yaml");
    let pipeline = pipeline.to_str().expect("UTF-8");
    let (code, text) = fail(&mut lake.redlake(&["run", pipeline, "--schemas", "no/such/folder"]));
    assert_eq!(code, 2);
    assert_says(
        &text,
        &[
            "cannot read this",
            "no/such/folder",
            "--schemas names a folder",
        ],
    );

    let broken = lake.path().with_file_name("schemas");
    copy(&repository("schemas"), &broken);
    let notes = broken.join("tables/notes.yaml");
    let text = std::fs::read_to_string(&notes).expect("a contract");
    std::fs::write(&notes, text.replacen("type: string", "type: strign", 1)).expect("writable");
    let schemas = broken.to_str().expect("UTF-8");
    let (code, text) = fail(&mut lake.redlake(&["run", pipeline, "--schemas", schemas]));
    assert_eq!(code, 2);
    assert_says(
        &text,
        &[
            "unknown value `strign`",
            "tables/notes.yaml:",
            "did you mean `string`?",
        ],
    );
    assert!(!lake.path().exists());
}

#[test]
fn an_unwritable_lake() {
    let lake = Lake::new();
    lake.write("lake", "a file where the folder should be");
    let pipeline = repository("pipelines/demo.yaml");
    let (code, text) = fail(&mut lake.redlake(&["run", pipeline.to_str().expect("UTF-8")]));
    assert_eq!(code, 2);
    assert_says(
        &text,
        &[
            "cannot create the folder",
            "Caused by:",
            "choose another folder with --lake",
        ],
    );
}

#[test]
fn all_mistakes_at_once() {
    let lake = Lake::new();
    let pipeline = lake.write(
        "bad.yaml",
        "version: 2
pipeline: Bad Name
source: {name: justonapi}
timezone: Asia/Shangai
extract:
  - {endpoint: note_serch, keywords: [x]}
limits: {requests_per_second: 0, concurency: 3}
load: {compression: brotli}
",
    );
    let (code, text) = fail(redlake().args(["validate", pipeline.to_str().expect("UTF-8")]));
    assert_eq!(code, 2);
    assert_says(
        &text,
        &[
            "bad.yaml:1:10",
            "this redlake reads `version: 1`",
            "bad.yaml:2:11",
            "did you mean `justoneapi`?",
            "did you mean `Asia/Shanghai`?",
            "`requests_per_second` must be above 0",
            "did you mean `concurrency`?",
            "unknown compression `brotli`",
            "7 mistakes found",
        ],
    );
}

#[test]
fn a_mistake_in_sql_keeps_the_caret_of_duckdb() {
    let lake = Lake::new();
    lake.run(&repository("pipelines/demo.yaml"), &[]);
    let (code, text) = fail(&mut lake.redlake(&["query", "select * from notez"]));
    assert_eq!(code, 2);
    assert_says(
        &text,
        &[
            "Did you mean \"notes\"?",
            "LINE 1: select * from notez",
            "^",
        ],
    );
}

#[test]
fn a_lake_that_is_not_there() {
    let lake = Lake::new();
    let (code, text) = fail(&mut lake.redlake(&["query", "select 1"]));
    assert_eq!(code, 2);
    assert_says(&text, &["there is no lake at", "run a pipeline first"]);
    assert!(!lake.path().exists());
}
