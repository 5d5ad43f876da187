//! Signed calls: each carries a right sign of its own time, and neither the secret nor a sign is
//! found anywhere afterwards.

use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use md5::{Digest as _, Md5};
use serde_json::json;

use crate::support::{FakeApi, Lake, SandboxProcess, collect, fail, succeed};

const TOKEN: &str = "a-token-of-some-length";
const ID: &str = "app1";
const SECRET: &str = "s3cret/of some=length";

const PIPELINE: &str = "
version: 1
pipeline: signed
source: {name: xhs_open}
extract: [{endpoint: note_detail, notes: {ids: [n1, n2, n3]}}]
limits: {requests_per_second: 1000, concurrency: 1, retries: 1, retry_delay: 1ms}
";

fn signed(command: &mut Command) -> &mut Command {
    command
        .env("XHS_OPEN_APP_ID", ID)
        .env("XHS_OPEN_APP_SECRET", SECRET)
}

/// The command that runs the pipeline against an address, with all logs.
fn run(lake: &Lake, url: &str) -> Command {
    let pipeline = lake.write("signed.yaml", PIPELINE);
    let mut command = lake.redlake(&["run", pipeline.to_str().expect("UTF-8"), "-vv"]);
    command
        .env("XHS_OPEN_BASE_URL", url)
        .env("XHS_OPEN_TOKEN", TOKEN);
    command
}

/// The parameters of a query, decoded as far as signs need it.
fn query(target: &str) -> Vec<(&str, &str)> {
    let (_, query) = target.split_once('?').unwrap_or((target, ""));
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .collect()
}

fn param<'t>(target: &'t str, name: &str) -> Option<&'t str> {
    let found: Vec<_> = query(target)
        .into_iter()
        .filter(|(n, _)| *n == name)
        .collect();
    assert!(found.len() <= 1, "{target}");
    found.first().map(|(_, value)| *value)
}

/// The sign that a call of this time must have.
fn sign(timestamp: &str) -> String {
    let text = format!("note.detail?appId={ID}&timestamp={timestamp}&version=2.0{SECRET}");
    let digest = Md5::digest(text.as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn seconds() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("a time after 1970").as_secs()
}

/// All that a run left behind: its files, what it printed, and its ledger.
fn left_behind(lake: &Lake, output: &Output) -> String {
    let mut files = Vec::new();
    collect(&lake.path(), &mut files);
    assert!(files.len() > 5, "only {} files", files.len());
    let mut texts: Vec<String> = Vec::new();
    for (path, bytes) in &files {
        let is_raw = path.extension().is_some_and(|e| e == "zst");
        let bytes = match is_raw {
            true => zstd::decode_all(bytes.as_slice()).expect("a raw file"),
            false => bytes.clone(),
        };
        texts.push(String::from_utf8_lossy(&bytes).into_owned());
    }
    for bytes in [&output.stdout, &output.stderr] {
        texts.push(String::from_utf8_lossy(bytes).into_owned());
    }
    for table in ["requests", "runs", "rejects", "search_pages"] {
        let rows = lake.query(&format!("select * from {table}"));
        texts.push(json!(rows).to_string());
    }
    texts.join("\n")
}

#[test]
fn every_call_carries_a_sign_of_its_own_time_that_is_found_nowhere() {
    let targets = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&targets);
    let api = FakeApi::start(move |target| {
        let mut targets = log.lock().expect("the log");
        targets.push(target.to_owned());
        let path = target.split('?').next().unwrap_or_default();
        let id = path.trim_start_matches("/v1/notes/");
        // Answers that repeat what was sent, and one try that fails.
        let (status, code) = match (id, targets.len()) {
            ("n1", 1) => (500, 500),
            ("n3", _) => (400, 400),
            _ => (200, 200),
        };
        let data = json!({"note_id": id, "title": format!("see {target}"), "content": SECRET});
        let message = format!("{target} with {SECRET}");
        let body = json!({"code": code, "message": message, "data": data});
        (status, body.to_string().into_bytes())
    });
    let before = seconds();
    let lake = Lake::new();
    let output = signed(&mut run(&lake, &api.url))
        .output()
        .expect("the binary starts");
    let after = seconds();
    assert_eq!(
        output.status.code(),
        Some(3),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let targets = targets.lock().expect("the log").clone();
    assert_eq!(targets.len(), 4, "{targets:?}");
    let left = left_behind(&lake, &output);
    for target in &targets {
        let timestamp = param(target, "timestamp").expect("a time");
        let at: u64 = timestamp.parse().expect("Unix seconds");
        assert!((before..=after).contains(&at), "{target}");
        let sign = sign(timestamp);
        assert_eq!(param(target, "sign"), Some(sign.as_str()), "{target}");
        assert!(!left.contains(&sign), "a sign was left behind");
        assert_eq!(query(target).len(), 2, "{target}");
    }
    for form in [SECRET, "s3cret/of", "s3cret%2Fof", "s3cret\\/of"] {
        assert!(!left.contains(form), "the secret was left behind");
    }
    assert!(left.contains("sign=***"), "the answers did repeat it");
}

#[test]
fn calls_are_not_signed_without_an_app() {
    let targets = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&targets);
    let api = FakeApi::start(move |target| {
        log.lock().expect("the log").push(target.to_owned());
        let id = target.trim_start_matches("/v1/notes/");
        let body = json!({"code": 200, "data": {"note_id": id}});
        (200, body.to_string().into_bytes())
    });
    let lake = Lake::new();
    succeed(&mut run(&lake, &api.url));
    let targets = targets.lock().expect("the log").clone();
    assert_eq!(targets, ["/v1/notes/n1", "/v1/notes/n2", "/v1/notes/n3"]);
}

#[test]
fn a_sandbox_with_an_app_refuses_calls_that_are_not_signed_with_its_secret() {
    let sandbox = SandboxProcess::of(
        crate::support::redlake()
            .env("XHS_OPEN_APP_ID", ID)
            .env("XHS_OPEN_APP_SECRET", SECRET),
        &["--token", TOKEN],
    );
    let documented = PIPELINE.replace("[n1, n2, n3]", "[649c46ab000000002702ad36]");
    let run = |lake: &Lake, secret: Option<&str>| {
        let pipeline = lake.write("signed.yaml", &documented);
        let args = ["run", pipeline.to_str().expect("UTF-8"), "-vv"];
        let mut command = sandbox.redlake(lake, &args, TOKEN);
        if let Some(secret) = secret {
            command
                .env("XHS_OPEN_APP_ID", ID)
                .env("XHS_OPEN_APP_SECRET", secret);
        }
        command.output().expect("the binary starts")
    };
    for secret in [None, Some("another-secret-of-length")] {
        let lake = Lake::new();
        let output = run(&lake, secret);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(4), "{said}");
        assert!(
            said.contains("code 401 (HTTP 401): the call is not signed"),
            "{said}"
        );
        let hint = said.contains("XHS_OPEN_APP_SECRET");
        assert_eq!(hint, secret.is_some(), "{said}");
        assert!(!said.contains("another-secret"), "{said}");
    }
    // A redirect carries the sign that it was given; an answer that repeats it does not leak it.
    for fault in [
        json!({}),
        json!({"kind": "redirect", "to": "same_host"}),
        json!({"kind": "echo_token"}),
    ] {
        let script = match fault.get("kind") {
            Some(_) => json!({"script": [fault]}),
            None => json!({}),
        };
        sandbox.set_faults(&script);
        let lake = Lake::new();
        let output = run(&lake, Some(SECRET));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let echoes = fault["kind"] == "echo_token";
        assert_eq!(output.status.success(), !echoes, "{fault}: {said}");
        let left = left_behind(&lake, &output);
        assert!(!left.contains(SECRET), "{fault}");
        let now = seconds();
        for second in now - 60..=now {
            assert!(!left.contains(&sign(&second.to_string())), "{fault}");
        }
    }
}

#[test]
fn an_app_has_an_id_and_a_secret() {
    let lake = Lake::new();
    let pairs = [
        ("XHS_OPEN_APP_ID", "XHS_OPEN_APP_SECRET"),
        ("XHS_OPEN_APP_SECRET", "XHS_OPEN_APP_ID"),
    ];
    for (set, missing) in pairs {
        let (code, said) = fail(run(&lake, "http://127.0.0.1:9").env(set, SECRET));
        assert_eq!(code, 2, "{said}");
        let told = format!("calls to xhs_open cannot be signed: {set} is set and {missing} is not");
        assert!(said.contains(&told), "{said}");
        assert!(!said.contains(SECRET), "{said}");
        let mut sandbox = crate::support::redlake();
        let (code, said) = fail(sandbox.args(["sandbox", "--port", "0"]).env(set, SECRET));
        assert_eq!(code, 2, "{said}");
        assert!(
            said.contains(&format!("{set} is set and {missing} is not")),
            "{said}"
        );
        assert!(!said.contains(SECRET), "{said}");
    }
}

#[test]
fn a_plan_says_whether_calls_are_signed() {
    let lake = Lake::new();
    let pipeline = lake.write("signed.yaml", PIPELINE);
    let plan = |variables: &[(&str, &str)], format: &str| {
        let args = [
            "plan",
            pipeline.to_str().expect("UTF-8"),
            "--format",
            format,
        ];
        let output = succeed(lake.redlake(&args).envs(variables.iter().copied()));
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let (id, secret) = (("XHS_OPEN_APP_ID", ID), ("XHS_OPEN_APP_SECRET", SECRET));
    for (variables, told, names) in [
        (
            vec![],
            "calls are not signed: XHS_OPEN_APP_ID and XHS_OPEN_APP_SECRET are not set",
            json!([]),
        ),
        (
            vec![id, secret],
            "calls are signed, with XHS_OPEN_APP_ID and XHS_OPEN_APP_SECRET",
            json!(["xhs_open"]),
        ),
        (
            vec![id],
            "calls cannot be signed: XHS_OPEN_APP_ID is set and XHS_OPEN_APP_SECRET is not",
            json!([]),
        ),
    ] {
        let said = plan(&variables, "table");
        assert!(said.contains(told), "{said}");
        let report: serde_json::Value =
            serde_json::from_str(&plan(&variables, "json")).expect("JSON");
        assert_eq!(report["signed_sources"], names);
        assert!(!said.contains(SECRET) && !report.to_string().contains(SECRET));
    }
}

#[test]
fn a_secret_is_no_part_of_a_pipeline() {
    let lake = Lake::new();
    let yaml = PIPELINE.replace("[n1, n2, n3]", "[\"${XHS_OPEN_APP_SECRET}\"]");
    let pipeline = lake.write("signed.yaml", &yaml);
    let mut command = lake.redlake(&["validate", pipeline.to_str().expect("UTF-8")]);
    let (code, said) = fail(signed(&mut command));
    assert_eq!(code, 2, "{said}");
    assert!(
        said.contains("the variable XHS_OPEN_APP_SECRET holds a secret"),
        "{said}"
    );
    assert!(!said.contains(SECRET), "{said}");
}
