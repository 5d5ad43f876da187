//! The progress of a run, as a terminal shows it: one line, whatever the keywords are.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Lake, SandboxProcess, succeed};
use crate::terminal::{Drawn, Terminal};
use crate::upkeep::lake_with_runs;

/// Keywords that are wider than a terminal, in Chinese, in emoji and in characters whose width
/// depends on the terminal.
fn pipeline(lake: &Lake, more: &str) -> PathBuf {
    let chinese = "敏感肌修护面霜推荐".repeat(6);
    let emoji = "👩‍👩‍👧❤️🇨🇳".repeat(20);
    let ambiguous = "①②③★…—".repeat(30);
    lake.write(
        "wide.yaml",
        &format!(
            "
version: 1
pipeline: wide
source: {{name: justoneapi}}
keyword_sets: {{words: [兰蔻, {chinese}, \"{emoji}\", \"{ambiguous}\"]}}
extract: [{{endpoint: note_search, keywords: [words], pages: {{max: 3{more}}}}}]
limits: {{requests_per_second: 1000, concurrency: 1, retries: 1, retry_delay: 1ms}}
price: {{note_search: 0.1, currency: CNY}}
"
        ),
    )
}

/// A lake that exists, so that no run says that it creates one.
fn lake(sandbox: &SandboxProcess) -> Lake {
    let lake = Lake::new();
    let first = pipeline(&lake, "").with_file_name("first.yaml");
    let text = "version: 1\npipeline: first\nsource: {name: justoneapi}\nkeyword_sets: {words: [first]}\n\
                extract: [{endpoint: note_search, keywords: [words], pages: {max: 1}}]\n";
    std::fs::write(&first, text).expect("a writable folder");
    let args = ["run", first.to_str().expect("UTF-8")];
    succeed(&mut sandbox.redlake(&lake, &args, "sandbox"));
    lake
}

/// The command draws every change, however quickly they follow each other.
fn drawing(command: &mut Command) -> &mut Command {
    command.env("FAILPOINTS", "progress_ms=return(0)")
}

/// The rows of the screen at all moments; the cursor is never below the first.
fn only_rows(drawn: &Drawn) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    drawn.watch(|screen| {
        let (_, columns) = screen.size();
        let mut rows = screen.rows(0, columns);
        let row = rows.next().expect("a row").trim_end().to_owned();
        // A row that is being erased begins with spaces.
        seen.extend((!row.starts_with(' ')).then_some(row));
        assert!(rows.all(|row| row.is_empty()), "{}", screen.contents());
        assert_eq!(screen.cursor_position().0, 0, "{}", screen.contents());
    });
    seen
}

#[test]
fn progress_is_one_row_of_any_terminal() {
    let sandbox = SandboxProcess::with(&["--frozen"]);
    for columns in [80, 160, 12] {
        let lake = lake(&sandbox);
        let pipeline = pipeline(&lake, "");
        let args = ["run", pipeline.to_str().expect("UTF-8")];
        let mut command = sandbox.redlake(&lake, &args, "sandbox");
        let drawn = Terminal::with_columns(columns).run_stderr(drawing(&mut command));
        assert!(drawn.status.success());
        let rows = only_rows(&drawn);
        let shows = |text: &str| rows.iter().any(|row| row.contains(text));
        if columns >= 80 {
            assert!(
                shows("0 of 4 searches, 1 call, 19 notes, 0.10 CNY"),
                "{rows:#?}"
            );
            assert!(shows("4 of 4 searches, 12 calls, "), "{rows:#?}");
            assert!(shows(" CNY: note_search 兰蔻 page 3"), "{rows:#?}");
        }
        assert_eq!(
            shows(&"敏感肌修护面霜推荐".repeat(2)),
            columns == 160,
            "{rows:#?}"
        );
        // At the end the line is gone.
        assert_eq!(drawn.last_rows(), [""; 0]);
    }
}

#[test]
fn lines_stay_above_the_progress() {
    let sandbox = SandboxProcess::with(&["--frozen"]);
    let server_error = json!({"kind": "status", "status": 500, "body": "empty"});
    let refused = json!({"keyword": "兰蔻", "fault": {"kind": "code", "code": 400}});
    sandbox.set_faults(&json!({"script": [server_error], "on": [refused]}));
    let lake = Lake::new();
    let pipeline = pipeline(&lake, "");
    let args = ["run", pipeline.to_str().expect("UTF-8"), "-v"];
    let mut command = sandbox.redlake(&lake, &args, "sandbox");
    let terminal = Terminal {
        columns: 160,
        rows: 60,
    };
    let drawn = terminal.run(drawing(&mut command));
    assert_eq!(drawn.status.code(), Some(3));
    let rows = drawn.last_rows();
    let at = |text: &str| rows.iter().position(|row| row.starts_with(text));
    let order = [
        at("new lake: "),
        at("failed: note_search 兰蔻"),
        at("wide: partial in "),
        at("  searches  3 of 4 done, 1 failed"),
    ];
    assert!(order.iter().all(Option::is_some), "{rows:#?}");
    assert!(order.is_sorted(), "{rows:#?}");
    let is_progress = |row: &&String| row.contains(" of 4 searches");
    assert_eq!(rows.iter().find(is_progress), None, "{rows:#?}");
}

/// Notes that an earlier run found are not new. Without `known_share` nobody looks for them.
#[test]
fn known_notes_are_not_new() {
    let sandbox = SandboxProcess::with(&["--frozen"]);
    let lake = lake(&sandbox);
    let rule = ", stop_when: {known_share: 1, known_within: 7d}";
    let pipeline = pipeline(&lake, rule);
    let run = || {
        let args = ["run", pipeline.to_str().expect("UTF-8")];
        let mut command = sandbox.redlake(&lake, &args, "sandbox");
        only_rows(&Terminal::with_columns(160).run_stderr(drawing(&mut command)))
    };
    let newest = |rows: &BTreeSet<String>| rows.iter().rfind(|r| r.contains("4 of 4")).cloned();
    let first = run();
    let first = newest(&first).expect("an end");
    assert!(first.contains(" new notes, "), "{first}");
    assert!(!first.contains(", 0 new notes, "), "{first}");
    let again = run();
    let again = newest(&again).expect("an end");
    assert!(
        again.contains(", 4 calls, 0 new notes, 0.40 CNY"),
        "{again}"
    );
}

/// A run that is continued shows what it did before.
#[test]
fn a_continued_run_begins_where_it_was() {
    let sandbox = SandboxProcess::with(&["--frozen"]);
    let lake = lake(&sandbox);
    let pipeline = pipeline(&lake, "");
    let text = std::fs::read_to_string(&pipeline).expect("the pipeline");
    let text = text.replace("limits: {", "limits: {requests_per_run: 7, ");
    std::fs::write(&pipeline, text).expect("a writable folder");
    let run = || {
        let args = ["run", pipeline.to_str().expect("UTF-8")];
        let mut command = sandbox.redlake(&lake, &args, "sandbox");
        command.args(["--progress", "log", "--log-format", "json"]);
        let output = drawing(&mut command).output().expect("the binary starts");
        progress_lines(&output.stderr)
    };
    let keys = ["calls", "calls_left", "notes", "cost", "searches_done"];
    let of = |line: &Value| keys.map(|key| line[key].clone());
    let first = run();
    let again = run();
    let end = of(first.last().expect("a line"));
    assert_eq!(end[..2], [json!(7), json!(5)]);
    assert_eq!(of(&again[0]), end);
    let end = again.last().expect("a line");
    assert_eq!((&end["calls"], &end["calls_left"]), (&json!(12), &json!(0)));
    assert_eq!(end["searches_done"], 4);
}

/// The lines about progress, of a log in JSON.
fn progress_lines(stderr: &[u8]) -> Vec<Value> {
    let text = String::from_utf8_lossy(stderr);
    let lines = text
        .lines()
        .map(|line| -> Value { serde_json::from_str(line).expect("JSON") });
    lines
        .filter(|line| line.get("calls_left").is_some())
        .collect()
}

/// A call that takes long is no silence: the line is drawn each second.
#[test]
fn a_run_that_waits_shows_it() {
    let sandbox = SandboxProcess::with(&["--frozen", "--latency", "1100"]);
    let lake = Lake::new();
    let pipeline = pipeline(&lake, "");
    let text = std::fs::read_to_string(&pipeline).expect("the pipeline");
    let text = text.replace("limits: {", "limits: {requests_per_run: 1, ");
    std::fs::write(&pipeline, text).expect("a writable folder");
    let args = ["run", pipeline.to_str().expect("UTF-8")];
    let mut command = sandbox.redlake(&lake, &args, "sandbox");
    command.args(["--progress", "log", "--log-format", "json"]);
    let output = drawing(&mut command).output().expect("the binary starts");
    let lines = progress_lines(&output.stderr);
    let waiting = lines.iter().filter(|line| line["calls"] == 0).count();
    assert!(waiting >= 2, "{lines:#?}");
    assert_eq!(lines.last().expect("a line")["calls"], 1);
}

#[test]
fn a_compaction_is_one_row_and_is_gone_at_its_end() {
    let (lake, _) = lake_with_runs(&[(8, 1), (8, 2)]);
    let drawn = Terminal::with_columns(80).run_stderr(&mut lake.redlake(&["compact"]));
    assert!(drawn.status.success());
    let rows = only_rows(&drawn);
    let shows = |text: &str| rows.iter().any(|row| row.starts_with(text));
    assert!(shows("0 of 24 files"), "{rows:#?}");
    assert!(shows("24 of 24 files: 2026-03-08 "), "{rows:#?}");
    assert_eq!(drawn.last_rows(), [""; 0]);
}
