//! How runs end when calls fail: exit code, ledger, and what is kept.

use std::fs::File;
use std::path::PathBuf;

use serde_json::json;

use crate::support::{Lake, SandboxProcess, copy, fail, repository};

/// A pipeline on the sandbox, where the keyword `code:303` is answered with code 303.
fn pipeline(lake: &Lake, keywords: &str, requests_per_second: u32) -> PathBuf {
    lake.write(
        "outcomes.yaml",
        &format!(
            "
version: 1
pipeline: outcomes
source: {{name: justoneapi, base_url: sandbox}}
keyword_sets: {{words: [{keywords}]}}
extract:
  - {{endpoint: note_search, keywords: [words], pages: {{max: 2}}}}
limits: {{requests_per_second: {requests_per_second}, concurrency: 1, retries: 2, retry_delay: 1ms}}
price: {{note_search: 0.1, currency: CNY}}
"
        ),
    )
}

struct Ended {
    exit_code: Option<i32>,
    stderr: String,
    lake: Lake,
}

fn run(keywords: &str) -> Ended {
    let lake = Lake::new();
    let pipeline = pipeline(&lake, keywords, 1000);
    let mut command = lake.redlake(&["run", pipeline.to_str().expect("UTF-8")]);
    let output = command.output().expect("the binary starts");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    Ended {
        exit_code: output.status.code(),
        stderr,
        lake,
    }
}

#[test]
fn a_failed_search_leaves_the_others_alone() {
    let ended = run("\"code:400\", 兰蔻");
    assert_eq!(ended.exit_code, Some(3));
    let reason = "failed: note_search code:400: code 400 (HTTP 400)";
    assert!(ended.stderr.contains(reason), "{}", ended.stderr);
    assert_eq!(ended.lake.value("select count(*) from search_pages"), 2);
    let run =
        "select status, searches_done, searches_planned, requests, billed_requests, cost from runs";
    assert_eq!(
        ended.lake.query(run),
        [
            json!({"status": "partial", "searches_done": 1, "searches_planned": 2,
                "requests": 3, "billed_requests": 2, "cost": 0.2})
        ]
    );
}

#[test]
fn a_passing_fault_is_retried_as_often_as_allowed() {
    let ended = run("\"code:301\"");
    assert_eq!(ended.exit_code, Some(8));
    let calls =
        "select attempt, code, class, billed, cost, http_status from requests order by attempt";
    let call = |attempt| {
        json!({"attempt": attempt, "code": "301", "class": "transient", "billed": "no",
               "cost": 0.0, "http_status": 200})
    };
    assert_eq!(ended.lake.query(calls), [call(1), call(2), call(3)]);
}

#[test]
fn an_unknown_code_is_no_success_and_not_retried() {
    let ended = run("\"code:999\"");
    assert_eq!(ended.exit_code, Some(8));
    assert!(ended.stderr.contains("code 999"), "{}", ended.stderr);
    let calls = "select code, class, billed, cost from requests";
    let call = json!({"code": "999", "class": "unknown", "billed": "unknown", "cost": null});
    assert_eq!(ended.lake.query(calls), [call]);
}

#[test]
fn quota_balance_and_permission_end_the_run_and_keep_what_is_there() {
    for (code, exit_code, status, class) in [
        (303, 5, "stopped", "quota"),
        (601, 5, "stopped", "balance"),
        (602, 5, "stopped", "balance"),
        (600, 4, "failed", "permission"),
        (100, 4, "failed", "auth"),
    ] {
        // With one call at a time 兰蔻 has its first page when the other keyword ends the run.
        let ended = run(&format!("兰蔻, \"code:{code}\", 雅诗兰黛"));
        assert_eq!(ended.exit_code, Some(exit_code), "code {code}");
        let said = format!("justoneapi refused: code {code}");
        assert!(ended.stderr.contains(&said), "{}", ended.stderr);
        assert!(ended.stderr.contains("hint: "), "{}", ended.stderr);
        assert_eq!(
            ended.lake.value("select status from runs"),
            status,
            "code {code}"
        );
        let last = "select class from requests order by started_at desc limit 1";
        assert_eq!(ended.lake.value(last), class);
        assert_eq!(ended.lake.value("select count(*) from search_pages"), 1);
        assert_eq!(ended.lake.value("select count(*) > 0 from notes"), true);
    }
}

#[test]
fn a_note_that_is_gone_is_an_observation() {
    let lake = Lake::new();
    let pipeline = lake.write(
        "gone.yaml",
        "
version: 1
pipeline: gone
source: {name: xhs_open, base_url: sandbox}
extract:
  - {endpoint: note_detail, notes: {ids: [649c46ab000000002702ad36, 000000000000000000000000]}}
",
    );
    let report = lake.run(&pipeline, &[]);
    assert_eq!(report["status"], "complete");
    assert_eq!(report["stops"], json!({"single": 1, "gone": 1}));
    assert_eq!(lake.value("select count(*) from notes"), 1);
    assert_eq!(
        lake.query("select class, billed, http_status, error from requests where class = 'gone'"),
        [json!({"class": "gone", "billed": "no", "http_status": 404, "error": null})]
    );
    assert_eq!(
        lake.value("select count(*) from search_pages where item_count = 0"),
        1
    );
}

#[test]
fn the_sandbox_is_reached_past_a_proxy() {
    let lake = Lake::new();
    let pipeline = pipeline(&lake, "兰蔻", 1000);
    let mut command = lake.redlake(&["run", pipeline.to_str().expect("UTF-8")]);
    for name in ["http_proxy", "HTTP_PROXY", "ALL_PROXY"] {
        command.env(name, "http://127.0.0.1:9");
    }
    crate::support::succeed(&mut command);
}

#[test]
fn contracts_that_cannot_hold_the_ledger_are_told_before_any_call() {
    for (table, column, other) in [
        ("requests", "  error: {type: string", "  error: {type: bool"),
        ("runs", "  status: {type: string", "  status: {type: bool"),
    ] {
        let lake = Lake::new();
        let schemas = lake.path().with_file_name("schemas");
        copy(&repository("schemas"), &schemas);
        let path = schemas.join(format!("tables/{table}.yaml"));
        let text = std::fs::read_to_string(&path).expect("a contract");
        assert!(text.contains(column), "{table}");
        std::fs::write(&path, text.replace(column, other)).expect("writable");
        let pipeline = pipeline(&lake, "兰蔻", 1000);
        let pipeline = pipeline.to_str().expect("UTF-8");
        let schemas = schemas.to_str().expect("UTF-8");
        let (code, stderr) = fail(&mut lake.redlake(&["run", pipeline, "--schemas", schemas]));
        assert_eq!(code, 2);
        assert!(
            stderr.contains("the contracts cannot hold the ledger"),
            "{stderr}"
        );
        assert!(stderr.contains(&format!("table {table}")), "{stderr}");
        assert!(!lake.path().exists());
    }
}

#[test]
fn a_pipeline_runs_once_at_a_time() {
    let lake = Lake::new();
    let pipeline = repository("pipelines/demo.yaml");
    lake.run(&pipeline, &[]);
    let lock = File::open(lake.path().join("_state/pipeline-demo.lock")).expect("the lock");
    lock.lock().expect("nobody else holds it");
    let mut command = lake.redlake(&["run", pipeline.to_str().expect("UTF-8")]);
    let output = command.output().expect("the binary starts");
    assert_eq!(output.status.code(), Some(7));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        text.contains("another run of the pipeline demo is under way"),
        "{text}"
    );
    assert_eq!(lake.value("select count(*) from runs"), 1);
}

#[test]
fn nothing_is_paid_for_where_no_page_can_be_kept() {
    let lake = Lake::new();
    let sandbox = SandboxProcess::with(&["--frozen"]);
    let pipeline = pipeline(&lake, "兰蔻", 1000);
    let text = std::fs::read_to_string(&pipeline).expect("the pipeline");
    std::fs::write(&pipeline, text.replace(", base_url: sandbox", "")).expect("writable");
    let state = lake.path().join("_state");
    std::fs::create_dir_all(&state).expect("a folder");
    std::fs::write(state.join("lake.json"), "{\"format\": 1}").expect("a file");
    // A file where a folder has to be.
    std::fs::create_dir_all(lake.path().join("raw")).expect("a folder");
    std::fs::write(lake.path().join("raw/source=justoneapi"), "").expect("a file");
    let args = ["run", pipeline.to_str().expect("UTF-8")];
    let (code, stderr) = fail(&mut sandbox.redlake(&lake, &args, "sandbox"));
    assert_eq!(code, 1);
    assert!(stderr.contains("cannot write the raw file"), "{stderr}");
    assert_eq!(sandbox.calls().len(), 0);
}

#[test]
fn a_search_that_gives_up_still_slows_the_source_down() {
    let lake = Lake::new();
    let sandbox = SandboxProcess::with(&["--frozen"]);
    sandbox
        .set_faults(&json!({"random": [{"share": 1.0, "fault": {"kind": "code", "code": 302}}]}));
    let words: Vec<String> = (0..8).map(|n| format!("w{n}")).collect();
    let pipeline = pipeline(&lake, &words.join(", "), 1000);
    let text = std::fs::read_to_string(&pipeline).expect("the pipeline");
    let text = text
        .replace(", base_url: sandbox", "")
        .replace("retries: 2", "retries: 0");
    std::fs::write(&pipeline, text).expect("a writable folder");
    let args = ["run", pipeline.to_str().expect("UTF-8")];
    let (code, _) = fail(&mut sandbox.redlake(&lake, &args, "sandbox"));
    assert_eq!(code, 8);
    let at: Vec<u64> = sandbox
        .calls()
        .iter()
        .map(|call| call["at_us"].as_u64().expect("a time"))
        .collect();
    assert_eq!(at.len(), 8);
    // At 1,000 a second they would take 8 ms; after the first complaint it is 16 a second.
    assert!(at[7] - at[0] > 100_000, "{at:?}");
}
