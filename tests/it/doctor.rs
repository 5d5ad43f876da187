//! `redlake doctor`: what a run needs, checked without a call.

use serde_json::Value;

use crate::support::{Lake, SandboxProcess, repository, succeed};

fn states(report: &Value) -> Vec<(String, String)> {
    let checks = report["checks"].as_array().expect("a list").iter();
    let text = |check: &Value, key: &str| check[key].as_str().unwrap_or_default().to_owned();
    checks
        .map(|check| (text(check, "check"), text(check, "state")))
        .collect()
}

fn examine(command: &mut std::process::Command) -> (Option<i32>, Value) {
    let output = command.output().expect("the binary starts");
    let report = serde_json::from_slice(&output.stdout).expect("JSON");
    (output.status.code(), report)
}

#[test]
fn a_pipeline_on_the_sandbox_is_healthy_before_and_after_its_first_run() {
    let lake = Lake::new();
    let demo = repository("pipelines/demo.yaml");
    let demo = demo.to_str().expect("UTF-8");
    let (code, report) = examine(&mut lake.redlake(&["doctor", demo, "--format", "json"]));
    assert_eq!((code, &report["healthy"]), (Some(0), &Value::Bool(true)));
    assert!(!lake.path().exists());
    succeed(&mut lake.redlake(&["run", demo]));
    let (code, report) = examine(&mut lake.redlake(&["doctor", demo, "--format", "json"]));
    assert_eq!(code, Some(0));
    for check in [
        "version",
        "duckdb",
        "clock",
        "pipeline",
        "source",
        "lake",
        "permissions",
        "disk",
    ] {
        let ok = (check.to_owned(), "ok".to_owned());
        assert!(states(&report).contains(&ok), "{check}: {report:#}");
    }
}

#[test]
fn a_missing_token_and_a_dead_host_are_problems_and_no_call_is_made() {
    let sandbox = SandboxProcess::start("right");
    let lake = Lake::new();
    let pipeline = repository("pipelines/skincare_watch.yaml");
    let args = [
        "doctor",
        pipeline.to_str().expect("UTF-8"),
        "--format",
        "json",
    ];
    let (code, report) = examine(&mut sandbox.redlake(&lake, &args, "right"));
    assert_eq!(code, Some(0), "{report:#}");
    assert!(
        states(&report).contains(&("host".into(), "ok".into())),
        "{report:#}"
    );
    // Only the host was asked, with neither a token nor a path of the API.
    let calls = sandbox.calls();
    let seen: Vec<_> = calls
        .iter()
        .map(|c| (&c["endpoint"], &c["token_given"]))
        .collect();
    assert_eq!(seen, [(&Value::Null, &Value::Bool(false))]);
    assert_eq!(sandbox.billed(), 0);
    // Nothing listens on this port.
    let mut broken = lake.redlake(&args);
    broken.env("JUSTONEAPI_BASE_URL", "http://127.0.0.1:9");
    let (code, report) = examine(&mut broken);
    assert_eq!((code, &report["healthy"]), (Some(2), &Value::Bool(false)));
    for check in ["token", "host"] {
        let problem = (check.to_owned(), "problem".to_owned());
        assert!(states(&report).contains(&problem), "{check}: {report:#}");
    }
    let text = report.to_string();
    assert!(text.contains("JUSTONEAPI_TOKEN is not set"), "{text}");
    assert!(text.contains("connection refused"), "{text}");
}

#[test]
fn an_invalid_pipeline_is_a_problem_with_a_command() {
    let lake = Lake::new();
    let broken = lake.write("broken.yaml", "version: 1\n");
    let mut doctor = lake.redlake(&["doctor", broken.to_str().expect("UTF-8")]);
    let output = doctor.output().expect("the binary starts");
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(text.contains("hint: run `redlake validate"), "{text}");
}

#[test]
#[cfg(unix)]
fn a_lake_that_cannot_be_created_is_a_problem() {
    let lake = Lake::new();
    let demo = repository("pipelines/demo.yaml");
    let file = lake.write("file", "no folder");
    let below = file.join("lake");
    let mut doctor = crate::support::redlake();
    doctor.args([
        "doctor",
        demo.to_str().expect("UTF-8"),
        "--format",
        "json",
        "--lake",
    ]);
    let (code, report) = examine(doctor.arg(&below));
    assert_eq!(code, Some(2), "{report:#}");
    let problem = ("lake".to_owned(), "problem".to_owned());
    assert!(states(&report).contains(&problem), "{report:#}");
}
