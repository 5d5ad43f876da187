//! Each exit code, produced by the binary, and its row in the table of `pipelines/README.md`.

use std::fs::File;
use std::path::PathBuf;

use serde_json::json;

use crate::support::{Lake, SandboxProcess, repository};

/// A lake, a sandbox, and a pipeline of two searches with one page each.
struct Case {
    sandbox: SandboxProcess,
    lake: Lake,
    pipeline: PathBuf,
}

impl Case {
    fn new(more: &str) -> Self {
        let lake = Lake::new();
        let limits = if more.contains("limits:") {
            ""
        } else {
            "limits: {requests_per_second: 1000}"
        };
        let pipeline = lake.write(
            "case.yaml",
            &format!(
                "version: 1\npipeline: case\nsource: {{name: justoneapi}}\n\
                 keyword_sets: {{words: [兰蔻, 防晒]}}\nextract:\n  - {{endpoint: note_search, \
                 keywords: [words], pages: {{max: 1}}}}\n{more}\n{limits}\n"
            ),
        );
        Case {
            sandbox: SandboxProcess::with(&["--frozen"]),
            lake,
            pipeline,
        }
    }

    fn command(&self, token: &str) -> std::process::Command {
        let args = ["run", self.pipeline.to_str().expect("UTF-8")];
        self.sandbox.redlake(&self.lake, &args, token)
    }

    fn code(&self) -> Option<i32> {
        self.code_of(&mut self.command("sandbox"))
    }

    fn code_of(&self, command: &mut std::process::Command) -> Option<i32> {
        let output = command.output().expect("the binary starts");
        output.status.code()
    }

    fn fails(&self, keyword: &str) {
        let fault = json!({"kind": "code", "code": 400});
        let faults = json!({"on": [{"keyword": keyword, "fault": fault}]});
        self.sandbox.set_faults(&faults);
    }
}

#[test]
fn complete_is_0() {
    assert_eq!(Case::new("").code(), Some(0));
}

#[test]
fn an_internal_error_is_1() {
    let case = Case::new("");
    // The catalog cannot be replaced: a folder has its name.
    std::fs::create_dir_all(case.lake.path().join("lake.duckdb/x")).expect("a folder");
    assert_eq!(case.code(), Some(1));
}

#[test]
fn a_wrong_configuration_is_2() {
    assert_eq!(Case::new("unknown: key").code(), Some(2));
}

#[test]
fn some_failed_searches_are_3() {
    let case = Case::new("");
    case.fails("防晒");
    assert_eq!(case.code(), Some(3));
}

#[test]
fn a_refused_token_is_4() {
    let case = Case::new("");
    assert_eq!(case.code_of(&mut case.command("wrong")), Some(4));
}

#[test]
fn a_budget_is_5() {
    assert_eq!(Case::new("limits: {requests_per_run: 1}").code(), Some(5));
}

#[test]
fn a_failed_check_is_6() {
    let check = "checks: [{table: notes, min_rows: 1000000}]";
    assert_eq!(Case::new(check).code(), Some(6));
}

#[test]
fn a_running_pipeline_is_7() {
    let case = Case::new("");
    assert_eq!(case.code(), Some(0));
    let lock = case.lake.path().join("_state/pipeline-case.lock");
    let lock = File::open(lock).expect("the lock");
    lock.lock().expect("nobody else holds it");
    assert_eq!(case.code(), Some(7));
}

#[test]
fn an_outage_is_8() {
    let case = Case::new("limits: {retries: 0}");
    let down = json!({"kind": "status", "status": 503, "body": "empty"});
    let faults = json!({"random": [{"share": 1.0, "fault": down}]});
    case.sandbox.set_faults(&faults);
    assert_eq!(case.code(), Some(8));
}

#[test]
fn a_status_with_a_problem_is_9() {
    let case = Case::new("limits: {requests_per_run: 1}");
    assert_eq!(case.code(), Some(5));
    let mut status = case.lake.redlake(&["status"]);
    assert_eq!(case.code_of(&mut status), Some(9));
}

/// `resume.rs` sends the signals and asserts 129, 130 and 143.
const CODES: [&str; 11] = [
    "0",
    "1",
    "2",
    "3",
    "4",
    "5",
    "6",
    "7",
    "8",
    "9",
    "129, 130, 143",
];

#[test]
fn the_table_of_exit_codes_has_a_row_for_each() {
    let readme = std::fs::read_to_string(repository("pipelines/README.md")).expect("the README");
    let section = readme.split("\n## Exit codes\n").nth(1).expect("a section");
    let section = section.split("\n## ").next().expect("its end");
    let rows = section.lines().filter(|line| line.starts_with("| "));
    let cells: Vec<Vec<&str>> = rows
        .map(|row| row.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect();
    assert_eq!(
        cells[0],
        [
            "code",
            "meaning",
            "what is committed",
            "retry",
            "what to do"
        ]
    );
    let codes: Vec<&str> = cells[1..].iter().map(|row| row[0]).collect();
    assert_eq!(codes, CODES);
    for row in &cells[1..] {
        assert!(["yes", "no", "not needed"].contains(&row[3]), "{row:?}");
        assert!(!row[4].is_empty(), "{row:?}");
    }
}
