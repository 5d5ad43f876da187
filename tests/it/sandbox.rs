//! `redlake sandbox`: its flags.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::support::{Lake, SandboxProcess, fail, redlake, succeed};

/// The body of a GET.
fn get(sandbox: &SandboxProcess, target: &str) -> String {
    let address = sandbox.url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).expect("the sandbox listens");
    write!(
        stream,
        "GET {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    )
    .expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a head");
    body.to_owned()
}

fn get_json(sandbox: &SandboxProcess, target: &str) -> Value {
    serde_json::from_str(&get(sandbox, target)).expect("JSON")
}

#[test]
fn a_frozen_clock_stands_still() {
    let sandbox = SandboxProcess::with(&["--frozen"]);
    let clock = || get_json(&sandbox, "/_sandbox")["clock"].clone();
    assert_eq!(clock(), "2026-03-09T04:00:00+00:00");
    assert_eq!(clock(), "2026-03-09T04:00:00+00:00");
    let running = SandboxProcess::with(&[]);
    let clock = || get_json(&running, "/_sandbox")["clock"].clone();
    assert_ne!(clock(), clock());
}

#[test]
fn the_faults_come_from_a_file_or_the_command_line() {
    let lake = Lake::new();
    let yaml = "latency_ms: 5\non:\n  - {page: 2, fault: {kind: reset}}\n";
    let file = lake.write("faults.yaml", yaml);
    let file = file.to_str().expect("UTF-8");
    let inline = r#"{"latency_ms": 5, "on": [{"page": 2, "fault": {"kind": "reset"}}]}"#;
    for given in [file, inline] {
        let sandbox = SandboxProcess::with(&["--faults", given, "--latency", "1"]);
        let plan = get_json(&sandbox, "/_sandbox/faults");
        assert_eq!(plan["latency_ms"], 1);
        let rule = json!({"page": 2, "fault": {"kind": "reset"}});
        assert_eq!(plan["on"], json!([rule]));
    }
}

#[test]
fn mistakes_in_a_fault_plan_are_shown_with_their_places() {
    let lake = Lake::new();
    let file = lake.write(
        "faults.yaml",
        "script:\n  - {kind: timeuot}\n  - {kind: reset, after: 3}\n",
    );
    let file = file.to_str().expect("UTF-8");
    let (code, message) = fail(redlake().args(["sandbox", "--port", "0", "--faults", file]));
    assert_eq!(code, 2);
    for part in [
        "unknown value `timeuot`",
        "faults.yaml:2:",
        "did you mean `timeout`?",
        "unknown key `after`",
        "faults.yaml:3:",
    ] {
        assert!(message.contains(part), "{message}");
    }
    for (given, wanted) in [
        (
            r#"{"random": [{"share": 2, "fault": {"kind": "html"}}]}"#,
            "the share 2 is not",
        ),
        ("no/such/file.yaml", "cannot read the faults"),
    ] {
        let (code, message) = fail(redlake().args(["sandbox", "--port", "0", "--faults", given]));
        assert_eq!(code, 2);
        assert!(message.contains(wanted), "{message}");
    }
}

#[test]
fn a_keyword_can_have_many_new_notes() {
    let sandbox = SandboxProcess::with(&["--frozen", "--notes-a-day", "2000"]);
    let target = "/api/xiaohongshu/search-note/v2?token=sandbox&keyword=x&sort=time_descending";
    let page = get_json(&sandbox, target);
    let items = page["data"]["items"].as_array().expect("a page");
    let now = 1_773_028_800; // 2026-03-09T04:00:00Z
    let young = items.iter().filter(|item| {
        let published = item["note"]["timestamp"].as_i64();
        published.is_some_and(|published| now - published <= 20 * 60)
    });
    assert_eq!(young.count(), 20, "a note every 43 seconds");
    fail(redlake().args(["sandbox", "--port", "0", "--notes-a-day", "2001"]));
}

#[test]
fn a_share_of_notes_is_a_percentage() {
    for flag in ["--late-notes", "--removed-notes", "--retitled-notes"] {
        let (code, text) = fail(redlake().args(["sandbox", "--port", "0", flag, "101"]));
        assert_eq!(code, 2);
        assert!(text.contains(&format!("{flag} <PERCENT>")), "{text}");
    }
}

#[test]
fn the_help_explains_faults() {
    let help = succeed(redlake().args(["sandbox", "--help"])).stdout;
    let help = String::from_utf8(help).expect("UTF-8");
    for part in ["random:", "{kind: reset_in_body}", "/_sandbox/calls"] {
        assert!(help.contains(part), "{help}");
    }
}
