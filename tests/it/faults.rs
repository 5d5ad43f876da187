//! What becomes of a run when a call goes wrong in each of the ways that the sandbox knows: exit
//! code, ledger, raw zone, lake. The snapshots were reviewed line by line.

#[cfg(target_os = "linux")]
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::{Lake, SandboxProcess, repository};

/// Two pages of one keyword, one call at a time, two retries.
const SEARCH: &str = "
version: 1
pipeline: faulty
source: {name: justoneapi}
keyword_sets: {words: [兰蔻]}
extract: [{endpoint: note_search, keywords: [words], pages: {max: 2}}]
limits: {requests_per_second: 1000, concurrency: 1, retries: 2, retry_delay: 1ms, max_answer_mib: 2}
price: {note_search: 0.1, currency: CNY}
";

/// A note of the open platform, which sends no bill.
const DETAIL: &str = "
version: 1
pipeline: faulty
source: {name: xhs_open}
extract: [{endpoint: note_detail, notes: {ids: [649c46ab000000002702ad36]}}]
limits: {requests_per_second: 1000, concurrency: 1, retries: 2, retry_delay: 1ms, max_answer_mib: 2}
price: {note_detail: 0, currency: CNY}
";

/// Timeouts that a test can wait for: only for answers that never come as a whole. Any other
/// answer may take as long as a busy machine needs.
const IMPATIENT: [(&str, &str, &str); 2] = [
    ("sources/justoneapi.yaml", "timeout: 120s", "timeout: 5s"),
    ("sources/xhs_open.yaml", "timeout: 60s", "timeout: 5s"),
];

/// The outcome of a run, in one line a part.
fn outcome(sandbox: &SandboxProcess, pipeline: &str, faults: &Value) -> String {
    outcome_with(sandbox, pipeline, faults, &[])
}

/// The outcome of a run with changes of the contracts.
fn outcome_with(
    sandbox: &SandboxProcess,
    pipeline: &str,
    faults: &Value,
    changes: &[(&str, &str, &str)],
) -> String {
    let lake = Lake::new();
    sandbox.set_faults(faults);
    let schemas = lake.schemas(changes);
    let pipeline = lake.write("faulty.yaml", pipeline);
    let args = [
        "run",
        pipeline.to_str().expect("UTF-8"),
        "--schemas",
        schemas.to_str().expect("UTF-8"),
    ];
    let output = sandbox.redlake(&lake, &args, "sandbox").output();
    let output = output.expect("the binary starts");
    let raw = folded(lake.raw_pages().iter().map(page).collect());
    let lake_has = "select (select list(r order by started_at, attempt) from requests r) as calls, \
                    (select count(*) from search_pages) as pages, \
                    (select count(*) from notes) as notes, \
                    (select count(*) from rejects) as rejects, \
                    (select status from runs) as status";
    let has = &lake.query(lake_has)[0];
    let calls = has["calls"].as_array().map_or(&[][..], Vec::as_slice);
    let calls = folded(calls.iter().map(call).collect());
    let stderr = String::from_utf8_lossy(&output.stderr);
    let said: Vec<&str> = stderr
        .lines()
        .filter(|line| line.starts_with("error:") || line.starts_with("failed:"))
        .collect();
    let port = sandbox.url.rsplit(':').next().expect("a port");
    let outcome = format!(
        "  exit {}, {}\n  calls: {}\n  raw: {}\n  lake: {} pages, {} notes, {} rejects; the sandbox billed {}\n  said: {}\n",
        output.status.code().unwrap_or(-1),
        text(&has["status"]),
        calls.join(" | "),
        raw.join(" | "),
        has["pages"],
        has["notes"],
        has["rejects"],
        sandbox.billed(),
        said.join(" | ").replace(&sandbox.url, "URL"),
    );
    outcome.replace(&format!(":{port}"), ":PORT")
}

/// Equal lines that follow each other, as one with their number.
fn folded(lines: Vec<String>) -> Vec<String> {
    let mut counted: Vec<(String, usize)> = Vec::new();
    for line in lines {
        match counted.last_mut() {
            Some((last, n)) if *last == line => *n += 1,
            _ => counted.push((line, 1)),
        }
    }
    let text = |(line, n)| match n {
        1 => line,
        n => format!("{n} times {line}"),
    };
    counted.into_iter().map(text).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("-")
}

fn call(row: &Value) -> String {
    let error = match &row["error"] {
        Value::String(error) => format!(" ({error})"),
        _ => String::new(),
    };
    format!(
        "{} {} {} billed {} cost {}{error}",
        row["http_status"],
        text(&row["code"]),
        text(&row["class"]),
        text(&row["billed"]),
        row["cost"]
    )
}

fn page(page: &Value) -> String {
    let accepted = match page["accepted"] == true {
        true => format!("a page of {} items", page["item_count"]),
        false => format!("no page but {}", text(&page["class"])),
    };
    match page["stop"].as_str() {
        Some(stop) => format!("{accepted}, then {stop}"),
        None => accepted,
    }
}

/// The outcome for each fault that strikes the first call.
fn table(faults: &[Value]) -> String {
    table_with(faults, &[])
}

fn table_with(faults: &[Value], changes: &[(&str, &str, &str)]) -> String {
    let sandbox = SandboxProcess::with(&["--frozen"]);
    let mut table = String::new();
    for fault in faults {
        let plan = json!({"script": [fault]});
        let search = outcome_with(&sandbox, SEARCH, &plan, changes);
        let detail = outcome_with(&sandbox, DETAIL, &plan, changes);
        table.push_str(&format!("# {fault}\nsearch\n{search}detail\n{detail}\n"));
    }
    table
}

#[test]
fn connections_break() {
    let hanging = [
        json!({"kind": "timeout"}),
        json!({"kind": "timeout_in_body"}),
        json!({"kind": "drip", "bytes_per_second": 100}),
    ];
    let waits = hanging.map(|fault| {
        std::thread::spawn(move || table_with(std::slice::from_ref(&fault), &IMPATIENT))
    });
    let broken = table(&[json!({"kind": "reset"}), json!({"kind": "reset_in_body"})]);
    let hung = waits.map(|wait| wait.join().expect("a table"));
    insta::assert_snapshot!("connections", hung.concat() + &broken);
}

#[test]
fn calls_that_may_be_billed_are_sent_once_more_where_the_pipeline_says_so() {
    let sandbox = SandboxProcess::with(&["--frozen"]);
    let action = |pipeline: &str, action: &str| {
        pipeline.replace(
            "retries: 2",
            &format!("retries: 2, on_unknown_outcome: {action}"),
        )
    };
    let search = action(SEARCH, "retry_once");
    let detail = action(DETAIL, "fail");
    let (reset, html) = (json!({"kind": "reset"}), json!({"kind": "html"}));
    let mut table = String::new();
    for faults in [vec![&reset], vec![&reset, &html], vec![&html]] {
        let plan = json!({"script": faults});
        let outcome = outcome(&sandbox, &search, &plan);
        table.push_str(&format!("# search, retry_once: {plan}\n{outcome}\n"));
    }
    let hangs = json!({"script": [{"kind": "timeout"}]});
    let hung = outcome_with(&sandbox, &search, &hangs, &IMPATIENT);
    table.push_str(&format!("# search, retry_once: {hangs}\n{hung}\n"));
    let plan = json!({"script": [reset]});
    let failed = outcome(&sandbox, &detail, &plan);
    table.push_str(&format!("# detail, fail: {plan}\n{failed}\n"));
    insta::assert_snapshot!("sent_once_more", table);
}

#[test]
fn faulty_bodies() {
    let faults = [
        json!({"kind": "truncated"}),
        json!({"kind": "garbage"}),
        json!({"kind": "html"}),
        json!({"kind": "empty"}),
        json!({"kind": "content_type", "content_type": "text/html"}),
        json!({"kind": "gzip"}),
        json!({"kind": "false_gzip"}),
        json!({"kind": "trailing"}),
        json!({"kind": "nan"}),
        json!({"kind": "empty_data"}),
        json!({"kind": "null_data"}),
        json!({"kind": "code", "code": -1, "msg": "访问频次异常，请勿频繁操作"}),
    ];
    insta::assert_snapshot!("bodies", table(&faults));
}

#[test]
fn bodies_are_too_large() {
    let faults = [
        json!({"kind": "huge", "megabytes": 200}),
        json!({"kind": "bomb", "megabytes": 1000}),
        json!({"kind": "endless"}),
    ];
    insta::assert_snapshot!("large_bodies", table(&faults));
}

/// What is refused is not held in memory: neither 200 MB as they are, nor a bomb that unpacks to
/// 1,000.
#[cfg(target_os = "linux")]
#[test]
fn bodies_that_are_too_large_take_no_memory() {
    let sandbox = SandboxProcess::with(&["--frozen"]);
    let pipeline = SEARCH.replace(", max_answer_mib: 2", "");
    for (fault, most_sent) in [
        // 32 MiB are read, and as much as the sockets of two processes hold is under way.
        (json!({"kind": "huge", "megabytes": 200}), 100 << 20),
        (json!({"kind": "bomb", "megabytes": 1000}), 2 << 20),
    ] {
        let lake = Lake::new();
        sandbox.set_faults(&json!({"script": [fault]}));
        let pipeline = lake.write("faulty.yaml", &pipeline);
        let args = ["run", pipeline.to_str().expect("UTF-8")];
        let mut child = sandbox
            .redlake(&lake, &args, "sandbox")
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("the binary starts");
        let mut most = 0;
        while child.try_wait().expect("a child").is_none() {
            most = peak_memory_kib(child.id()).unwrap_or_default().max(most);
            std::thread::yield_now();
        }
        assert!(most > 1_000, "nothing was measured");
        assert!(most < 200 << 10, "{fault}: {most} KiB");
        let sent = sandbox.calls()[0]["bytes_sent"].as_u64();
        assert!(sent.is_some_and(|sent| sent < most_sent), "{sent:?} bytes");
    }
}

#[cfg(target_os = "linux")]
fn peak_memory_kib(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[test]
fn servers_answer_with_a_status_alone() {
    let status = |status: u16| json!({"kind": "status", "status": status, "body": "html"});
    let statuses = [401, 403, 404, 429, 502].map(status);
    let patient =
        json!({"kind": "status", "status": 503, "body": "empty", "retry_after": {"seconds": 0}});
    let dated =
        json!({"kind": "code", "code": 302, "status": 429, "retry_after": {"date_in_seconds": 0}});
    let faults: Vec<Value> = statuses.into_iter().chain([patient, dated]).collect();
    insta::assert_snapshot!("statuses", table(&faults));
}

#[test]
fn servers_redirect() {
    let to = |to: &str| json!({"kind": "redirect", "to": to});
    let faults = ["other_host", "same_host", "loop"].map(to);
    insta::assert_snapshot!("redirects", table(&faults));
    // No call arrived at the other host, with or without a token.
    let sandbox = SandboxProcess::with(&["--frozen"]);
    outcome(&sandbox, SEARCH, &json!({"script": [to("other_host")]}));
    let redirected: Vec<Value> = sandbox
        .calls()
        .into_iter()
        .filter(|call| call["redirected"] == true)
        .collect();
    assert_eq!(redirected, Vec::<Value>::new());
}

#[test]
fn pages_shift_repeat_and_never_end() {
    let sandbox = SandboxProcess::with(&["--frozen"]);
    let deep = SEARCH.replace("max: 2", "max: 40");
    let mut table = String::new();
    for fault in [
        json!({"kind": "shift", "items": 3}),
        json!({"kind": "duplicate"}),
        json!({"kind": "endless_pages"}),
        json!({"kind": "repeat_last"}),
    ] {
        let plan = json!({"on": [{"endpoint": "note_search", "fault": fault}]});
        table.push_str(&format!("# {fault}\n{}\n", outcome(&sandbox, &deep, &plan)));
    }
    insta::assert_snapshot!("pages", table);
}

#[test]
fn quota_and_balance_run_out() {
    let sandbox = SandboxProcess::with(&["--frozen"]);
    let mut table = String::new();
    for limit in [
        json!({"quota": 1}),
        json!({"balance": 1}),
        json!({"quota": 0}),
    ] {
        let outcome = outcome(&sandbox, SEARCH, &limit);
        table.push_str(&format!("# {limit}\n{outcome}\n"));
    }
    insta::assert_snapshot!("quotas", table);
}

#[test]
fn every_code_means_the_same_at_every_status() {
    let sandbox = SandboxProcess::with(&["--frozen"]);
    let contract = std::fs::read_to_string(repository("schemas/sources/justoneapi.yaml"));
    let contract = contract.expect("the contract");
    let codes = contract
        .lines()
        .skip_while(|line| *line != "codes:")
        .skip(1)
        .take_while(|line| line.starts_with("  "))
        .filter_map(|line| line.trim().split(':').next())
        .filter(|code| *code != "0");
    let codes: Vec<u64> = codes.map(|code| code.parse().expect("a code")).collect();
    assert!(codes.len() >= 14, "{codes:?}");
    let mut table = String::new();
    for code in codes.into_iter().chain([999]) {
        let at = |status: u16| {
            let fault = json!({"kind": "code", "code": code, "status": status});
            outcome(&sandbox, SEARCH, &json!({"script": [fault]}))
                .replace(&format!("HTTP {status}"), "HTTP ___")
                .replace(&format!("calls: {status} "), "calls: ___ ")
        };
        let (ok, refused) = (at(200), at(403));
        assert_eq!(ok, refused, "code {code}");
        table.push_str(&format!("# {code}\n{ok}\n"));
    }
    insta::assert_snapshot!("codes", table);
}
