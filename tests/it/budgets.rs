//! What a run and a day may cost.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::json;

use crate::support::{Lake, SandboxProcess, succeed};

/// Ten calls at 0.10, eight at once.
fn pipeline(lake: &Lake, name: &str, budget: &str) -> PathBuf {
    lake.write(
        &format!("{name}.yaml"),
        &format!(
            "
version: 1
pipeline: {name}
source: {{name: justoneapi}}
keyword_sets: {{words: [a, b, c, d, e]}}
extract: [{{endpoint: note_search, keywords: [words], pages: {{max: 2}}}}]
limits: {{requests_per_second: 1000, concurrency: 8, {budget}}}
price: {{note_search: 0.1, currency: CNY}}
"
        ),
    )
}

/// Runs a pipeline; its exit code and what it says.
fn run(sandbox: &SandboxProcess, lake: &Lake, pipeline: &Path) -> (Option<i32>, String) {
    let args = ["run", pipeline.to_str().expect("UTF-8")];
    let output = sandbox.redlake(lake, &args, "sandbox").output();
    let output = output.expect("the binary starts");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), stderr)
}

#[test]
fn no_run_exceeds_its_budget_and_the_next_one_goes_on() {
    for (budget, first, left) in [
        ("requests_per_run: 7", 7, "3 calls, 0.30 CNY"),
        ("cost_per_run: 0.7", 7, "3 calls, 0.30 CNY"),
        ("cost_per_run: 0.79", 7, "3 calls, 0.30 CNY"),
        (
            "requests_per_day: 7, cost_per_run: 9",
            7,
            "3 calls, 0.30 CNY",
        ),
        ("cost_per_day: 0.7", 7, "3 calls, 0.30 CNY"),
    ] {
        let sandbox = SandboxProcess::with(&["--frozen", "--latency", "5"]);
        let lake = Lake::new();
        let pipeline = pipeline(&lake, "thrifty", budget);
        let (code, stderr) = run(&sandbox, &lake, &pipeline);
        assert_eq!(code, Some(5), "{budget}: {stderr}");
        assert_eq!(sandbox.calls().len(), first, "{budget}");
        let name = budget.split(':').next().expect("a name");
        assert!(
            stderr.contains(&format!("the budget `{name}` of ")),
            "{stderr}"
        );
        assert!(stderr.contains(left), "{budget}: {stderr}");
        assert_eq!(lake.value("select count(*) from search_pages"), first);
        let (code, _) = run(&sandbox, &lake, &pipeline);
        match budget.contains("_per_day") {
            // The day is still the same.
            true => {
                assert_eq!(code, Some(5), "{budget}");
                assert_eq!(sandbox.calls().len(), first, "{budget}");
            }
            false => {
                assert_eq!(code, Some(0), "{budget}");
                assert_eq!(sandbox.calls().len(), 10, "{budget}");
                assert_eq!(lake.value("select count(*) from search_pages"), 10);
                assert_eq!(lake.value("select count(*) from runs"), 1);
            }
        }
    }
}

#[test]
fn calls_that_are_not_billed_cost_no_budget() {
    let sandbox = SandboxProcess::with(&["--frozen", "--latency", "5"]);
    let lake = Lake::new();
    // Every second call or so fails and is retried; what is billed is counted, in flight too.
    sandbox.set_faults(&json!({
        "random": [{"share": 0.5, "fault": {"kind": "code", "code": 301}}]
    }));
    let budget = "cost_per_run: 0.8, retries: 30, retry_delay: 1ms";
    let pipeline = pipeline(&lake, "thrifty", budget);
    let (code, stderr) = run(&sandbox, &lake, &pipeline);
    assert_eq!(code, Some(5), "{stderr}");
    assert_eq!(sandbox.billed(), 8);
    assert!(sandbox.calls().len() > 8);
    assert_eq!(lake.value("select cost from runs"), 0.8);
}

#[test]
fn a_call_that_may_have_been_billed_counts() {
    let sandbox = SandboxProcess::with(&["--frozen"]);
    let lake = Lake::new();
    sandbox.set_faults(&json!({"script": [{"kind": "reset"}, {"kind": "html"}]}));
    let pipeline = pipeline(&lake, "thrifty", "cost_per_run: 0.4");
    let (code, stderr) = run(&sandbox, &lake, &pipeline);
    assert_eq!(code, Some(5), "{stderr}");
    assert_eq!(sandbox.calls().len(), 4);
}

#[test]
fn a_call_that_is_sent_once_more_counts_twice() {
    let sandbox = SandboxProcess::with(&["--frozen"]);
    let lake = Lake::new();
    sandbox.set_faults(&json!({"on": [{"fault": {"kind": "reset"}}]}));
    let limits = "cost_per_run: 0.7, on_unknown_outcome: retry_once, retry_delay: 1ms";
    let pipeline = pipeline(&lake, "thrifty", limits);
    let (code, stderr) = run(&sandbox, &lake, &pipeline);
    assert_eq!(code, Some(5), "{stderr}");
    // Five searches send their first call, and two of them can pay for another one.
    assert_eq!(sandbox.calls().len(), 7);
    let unknown = "select count(*) from requests where billed = 'unknown'";
    assert_eq!(lake.value(unknown), 7);
}

#[test]
fn the_plan_shows_what_follows_a_call_that_may_be_billed() {
    let lake = Lake::new();
    for (limits, word, told) in [
        ("retries: 3", json!(null), None),
        (
            "on_unknown_outcome: retry_once",
            json!("retry_once"),
            Some("it is sent once more, and can be paid twice"),
        ),
        (
            "on_unknown_outcome: fail",
            json!("fail"),
            Some("its search fails"),
        ),
    ] {
        let pipeline = pipeline(&lake, "planned", limits);
        let path = pipeline.to_str().expect("UTF-8");
        let json = succeed(&mut lake.redlake(&["plan", path, "--format", "json"])).stdout;
        let plan: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
        assert_eq!(plan["on_unknown_outcome"], word);
        let text = succeed(&mut lake.redlake(&["plan", path])).stdout;
        let text = String::from_utf8_lossy(&text).into_owned();
        let line = text.lines().find(|line| line.contains("may be billed"));
        let expected = told.map(|told| {
            format!("  after a call that may be billed but has no usable answer: {told}")
        });
        assert_eq!(line, expected.as_deref(), "{text}");
    }
}

#[test]
fn the_day_is_shared_by_all_pipelines_of_a_lake_also_at_the_same_time() {
    let sandbox = SandboxProcess::with(&["--frozen", "--latency", "20"]);
    let lake = Lake::new();
    let names = ["one", "two", "three"];
    let spawn = |name: &&str| {
        let pipeline = pipeline(&lake, name, "requests_per_day: 13");
        let args = ["run", pipeline.to_str().expect("UTF-8")];
        let mut command = sandbox.redlake(&lake, &args, "sandbox");
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().expect("the binary starts")
    };
    let children: Vec<_> = names.iter().map(spawn).collect();
    let codes = children.into_iter().map(|mut child| {
        let end = child.wait().expect("an end");
        end.code().expect("no signal")
    });
    let codes: Vec<i32> = codes.collect();
    assert!(codes.iter().all(|code| [0, 5].contains(code)), "{codes:?}");
    assert_eq!(sandbox.calls().len(), 13);
    assert_eq!(lake.value("select count(*) from requests"), 13);
    // A later run of the same day finds nothing left, also where only the tables tell.
    std::fs::remove_dir_all(lake.path().join("_state/runs")).expect("journals");
    let pipeline = pipeline(&lake, "four", "requests_per_day: 13");
    let (code, stderr) = run(&sandbox, &lake, &pipeline);
    assert_eq!(code, Some(5), "{stderr}");
    assert!(stderr.contains("13 spent"), "{stderr}");
    assert_eq!(sandbox.calls().len(), 13);
}

#[test]
fn a_rehearsal_costs_no_real_budget() {
    let sandbox = SandboxProcess::with(&["--frozen"]);
    let lake = Lake::new();
    let rehearsal = pipeline(&lake, "rehearsal", "requests_per_day: 12");
    let text = std::fs::read_to_string(&rehearsal).expect("the pipeline");
    let text = text.replace(
        "{name: justoneapi}",
        "{name: justoneapi, base_url: sandbox}",
    );
    std::fs::write(&rehearsal, text).expect("a writable folder");
    lake.run(&rehearsal, &[]);
    let real = pipeline(&lake, "real", "requests_per_day: 12");
    assert_eq!(run(&sandbox, &lake, &real).0, Some(0));
}

#[test]
fn the_plan_says_what_is_likely_and_what_the_day_leaves() {
    let sandbox = SandboxProcess::with(&["--frozen"]);
    let lake = Lake::new();
    let budget = "requests_per_day: 25, cost_per_day: 3, cost_per_run: 2";
    let pipeline = pipeline(&lake, "planned", budget);
    let path = pipeline.to_str().expect("UTF-8");
    let plan = || {
        let output = lake.redlake(&["plan", path, "--format", "json"]).output();
        let output = output.expect("the binary starts").stdout;
        serde_json::from_slice::<serde_json::Value>(&output).expect("JSON")
    };
    let before = plan();
    assert_eq!(before["likely"], json!(null));
    assert_eq!(before["left_today"], json!({"calls": 25, "cost": 3.0}));
    assert_eq!(before["estimate"]["calls"], 10);
    assert!(!lake.path().exists(), "a plan makes no lake");

    // One call is answered with an error and asked again.
    sandbox.set_faults(&json!({"script": [{"kind": "code", "code": 301}]}));
    assert_eq!(run(&sandbox, &lake, &pipeline).0, Some(0));
    let after = plan();
    assert_eq!(after["likely"]["runs"], 1);
    assert_eq!(after["likely"]["calls"], 11.0);
    assert_eq!(after["likely"]["cost"], 1.0);
    assert_eq!(after["left_today"], json!({"calls": 14, "cost": 2.0}));
    let output = lake.redlake(&["plan", path]).output().expect("it starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("left today: 14 calls, 2.00 CNY"), "{text}");
    assert!(text.contains("as in the last 1 run"), "{text}");
}
