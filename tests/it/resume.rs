//! Runs that were cut short: what they leave, and how the next one goes on.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Lake, SandboxProcess, copy, fail, succeed};

/// Six calls, one a second at most unless told otherwise.
fn pipeline(lake: &Lake, more: &str) -> PathBuf {
    lake.write(
        "resumed.yaml",
        &format!(
            "
version: 1
pipeline: resumed
source: {{name: justoneapi, base_url: sandbox}}
keyword_sets: {{words: [兰蔻, 雅诗兰黛, 海蓝之谜]}}
extract: [{{endpoint: note_search, keywords: [words], pages: {{max: 2}}}}]
limits: {{requests_per_second: 1, concurrency: 1, retries: 0}}
price: {{note_search: 0.1, currency: CNY}}
{more}
"
        ),
    )
}

fn run(lake: &Lake, pipeline: &Path, more: &[&str]) -> std::process::Command {
    let mut args = vec!["run", pipeline.to_str().expect("UTF-8")];
    args.extend(more);
    lake.redlake(&args)
}

/// A run that is told to stop waits for no call: one may take 120 s. A busy machine may need some
/// of this time.
#[cfg(unix)]
const PROMPT: Duration = Duration::from_secs(60);

/// Waits for the first page of a run; the line about it.
#[cfg(unix)]
fn first_page(stderr: &mut impl Iterator<Item = std::io::Result<String>>) -> String {
    let lines = stderr.map(|line| line.expect("UTF-8"));
    let mut pages = lines.filter(|line| line.contains(" page "));
    pages.next().expect("a page")
}

/// Ends a run with a signal once it has its first page; its exit code and how long it took.
#[cfg(unix)]
fn cut_short(lake: &Lake, pipeline: &Path, signal: &str) -> (Option<i32>, Duration) {
    let mut child = run(lake, pipeline, &["-v", "--progress", "log"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut stderr = BufReader::new(child.stderr.take().expect("a pipe")).lines();
    let first = first_page(&mut stderr);
    assert!(first.contains("page 1: 20 items"), "{first}");
    end(&mut child, signal)
}

/// Tells a process to stop; its exit code and how long it took.
#[cfg(unix)]
fn end(child: &mut Child, signal: &str) -> (Option<i32>, Duration) {
    let told = Instant::now();
    let killed = std::process::Command::new("kill")
        .args([&format!("-{signal}"), &child.id().to_string()])
        .status()
        .expect("kill is there");
    assert!(killed.success());
    let end = child.wait().expect("an end");
    (end.code(), told.elapsed())
}

/// The same pipeline at the address that the environment names.
fn leave_the_sandbox(pipeline: &Path) {
    let text = std::fs::read_to_string(pipeline).expect("the pipeline");
    let text = text.replace(", base_url: sandbox", "");
    std::fs::write(pipeline, text).expect("a writable folder");
}

/// The same pipeline, as quick as can be.
fn hurry(pipeline: &Path) {
    let text = std::fs::read_to_string(pipeline).expect("the pipeline");
    let text = text.replace("requests_per_second: 1,", "requests_per_second: 1000,");
    std::fs::write(pipeline, text).expect("a writable folder");
}

#[cfg(unix)]
#[test]
fn a_signal_keeps_paid_pages_and_the_next_run_continues() {
    for (signal, exit_code) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        let lake = Lake::new();
        let pipeline = pipeline(&lake, "");
        let (code, took) = cut_short(&lake, &pipeline, signal);
        assert_eq!(code, Some(exit_code));
        assert!(took < PROMPT, "it took {took:?}");
        assert_eq!(lake.value("select status from runs"), "interrupted");
        let kept = lake.raw_pages().len();
        assert_ne!(kept, 0);
        let billed = lake.value("select count(*) from requests where billed = 'yes'");
        assert_eq!(billed, kept);
        // Its rows are made when it is over; else it would not know of these.
        let raw = lake.raw_files();
        let mut transform = lake.redlake(&["transform"]);
        let (code, told) = fail(transform.arg(&pipeline).arg("--raw").arg(&raw[0]));
        assert_eq!(code, 2);
        assert!(
            told.contains("is not finished\n  hint: run its pipeline again"),
            "{told}"
        );

        hurry(&pipeline);
        let report = lake.run(&pipeline, &[]);
        assert_eq!(report["status"], "complete");
        assert_eq!(report["continued"], true);
        assert_eq!(report["requests"]["billed"], 6);
        assert_eq!(lake.raw_pages().len(), 6);
        assert_eq!(lake.value("select count(*) from search_pages"), 6);
        assert_eq!(lake.value("select count(*) from runs"), 1);
        // The run after it is another one.
        assert_eq!(lake.run(&pipeline, &[])["continued"], false);
        assert_eq!(lake.value("select count(*) from runs"), 2);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_hangup_that_is_ignored_does_not_end_a_run() {
    let lake = Lake::new();
    let pipeline = pipeline(&lake, "");
    let text = std::fs::read_to_string(&pipeline).expect("the pipeline");
    let text = text.replace("requests_per_second: 1,", "requests_per_second: 5,");
    std::fs::write(&pipeline, text).expect("a writable folder");
    let run = run(&lake, &pipeline, &["-v", "--progress", "log"]);
    // As nohup starts it.
    let mut child = std::process::Command::new("sh")
        .args(["-c", "trap '' HUP; exec \"$0\" \"$@\""])
        .arg(run.get_program())
        .args(run.get_args())
        .current_dir(run.get_current_dir().expect("a folder"))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a shell");
    let mut stderr = BufReader::new(child.stderr.take().expect("a pipe")).lines();
    first_page(&mut stderr);
    let (code, _) = end(&mut child, "HUP");
    assert_eq!(code, Some(0));
    assert_eq!(lake.value("select status from runs"), "complete");
}

#[cfg(unix)]
#[test]
fn a_call_that_hangs_does_not_hold_up_a_signal() {
    let lake = Lake::new();
    let sandbox = SandboxProcess::with(&["--frozen"]);
    sandbox.set_faults(&json!({"script": [null, {"kind": "timeout"}]}));
    let pipeline = pipeline(&lake, "");
    leave_the_sandbox(&pipeline);
    hurry(&pipeline);
    let args = ["run", pipeline.to_str().expect("UTF-8")];
    let mut child = sandbox
        .redlake(&lake, &args, "sandbox")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary starts");
    while sandbox.calls().len() < 2 {
        std::thread::yield_now();
    }
    let (code, took) = end(&mut child, "INT");
    assert_eq!(code, Some(130));
    assert!(took < PROMPT, "it took {took:?}");
    assert_eq!(
        lake.query("select page, class, billed, cost from requests order by started_at"),
        [
            json!({"page": 1, "class": "ok", "billed": "yes", "cost": 0.1}),
            json!({"page": 1, "class": "lost", "billed": "unknown", "cost": null}),
        ]
    );
}

#[cfg(unix)]
#[test]
fn a_signal_is_heard_while_the_run_cannot_commit() {
    let lake = Lake::new();
    let pipeline = pipeline(&lake, "");
    let mut child = run(&lake, &pipeline, &["-v", "--progress", "log"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut stderr = BufReader::new(child.stderr.take().expect("a pipe")).lines();
    first_page(&mut stderr);
    // As another process would that commits for a long time.
    let lock = std::fs::File::open(lake.path().join("_state/commit.lock")).expect("the lock");
    lock.lock().expect("the lock");
    let (code, took) = end(&mut child, "INT");
    assert_eq!(code, Some(130));
    assert!(took < PROMPT, "it took {took:?}");
    drop(lock);
    hurry(&pipeline);
    let report = lake.run(&pipeline, &[]);
    assert_eq!(
        (&report["status"], &report["continued"]),
        (&json!("complete"), &json!(true))
    );
    assert_eq!(report["requests"]["billed"], 6);
}

/// What closes a run instead of continuing it.
#[cfg(unix)]
fn closed_and_begun_anew(more: &str, change: impl Fn(&Path), args: &[&str], reason: &str) {
    let lake = Lake::new();
    let pipeline = pipeline(&lake, more);
    cut_short(&lake, &pipeline, "INT");
    let kept = lake.raw_pages().len();
    hurry(&pipeline);
    change(&pipeline);
    let output = succeed(&mut run(&lake, &pipeline, args));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.contains("was cut short and is closed as it is") && stderr.contains(reason),
        "{stderr}"
    );
    let runs = "select status, billed_requests from runs order by started_at";
    let runs = lake.query(runs);
    assert_eq!(runs.len(), 2, "{runs:?}");
    assert_eq!(
        runs[0],
        json!({"status": "partial", "billed_requests": kept})
    );
    assert_eq!(runs[1]["status"], "complete");
    // What the first one paid for is in the lake.
    let pages = "select count(*) from search_pages where run_id = (select min(run_id) from runs)";
    assert_eq!(lake.value(pages), kept);
    let notes = "select count(*) > 0 from notes where run_id = (select min(run_id) from runs)";
    assert_eq!(lake.value(notes), true);
}

#[cfg(unix)]
#[test]
fn a_run_is_closed_when_the_user_wants_a_new_one() {
    closed_and_begun_anew("", |_| (), &["--resume", "never"], "--resume never");
}

#[cfg(unix)]
#[test]
fn a_run_is_closed_when_the_plan_has_changed() {
    let change = |pipeline: &Path| {
        let text = std::fs::read_to_string(pipeline).expect("the pipeline");
        std::fs::write(pipeline, text.replace("max: 2", "max: 1")).expect("writable");
    };
    closed_and_begun_anew("", change, &[], "the plan has changed");
}

#[cfg(unix)]
#[test]
fn a_run_is_closed_when_it_is_too_old() {
    closed_and_begun_anew("resume_within: 1ms", |_| (), &[], "resume_within");
}

#[cfg(unix)]
#[test]
fn a_run_is_closed_when_another_snapshot_is_asked_for() {
    let args = ["--snapshot-at", "2026-03-10T00:00:00Z"];
    closed_and_begun_anew("", |_| (), &args, "--snapshot-at");
}

#[test]
fn a_quota_that_comes_back_lets_the_run_go_on() {
    let lake = Lake::new();
    let sandbox = SandboxProcess::with(&["--frozen"]);
    sandbox.set_faults(&json!({"quota": 4}));
    let pipeline = pipeline(&lake, "");
    leave_the_sandbox(&pipeline);
    hurry(&pipeline);
    let args = ["run", pipeline.to_str().expect("UTF-8")];
    let output = sandbox.redlake(&lake, &args, "sandbox").output();
    let output = output.expect("the binary starts");
    assert_eq!(output.status.code(), Some(5));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.contains("left: 2 searches with at most 2 calls, 0.20 CNY"),
        "{stderr}"
    );
    // What there is is committed.
    assert_eq!(lake.value("select count(*) from search_pages"), 4);
    assert_eq!(lake.value("select status from runs"), "stopped");

    sandbox.set_faults(&json!({}));
    succeed(&mut sandbox.redlake(&lake, &args, "sandbox"));
    assert_eq!(sandbox.billed(), 2);
    assert_eq!(lake.value("select count(*) from search_pages"), 6);
    let run = "select status, requests, billed_requests, cost from runs";
    assert_eq!(
        lake.query(run),
        [json!({"status": "complete", "requests": 7, "billed_requests": 6, "cost": 0.6})]
    );
}

#[test]
fn a_wrong_token_without_a_page_leaves_nothing_to_continue() {
    let lake = Lake::new();
    let sandbox = SandboxProcess::with(&["--frozen"]);
    let pipeline = pipeline(&lake, "");
    leave_the_sandbox(&pipeline);
    hurry(&pipeline);
    let args = ["run", pipeline.to_str().expect("UTF-8")];
    let refused = sandbox.redlake(&lake, &args, "wrong").output();
    assert_eq!(refused.expect("the binary starts").status.code(), Some(4));
    let output = succeed(&mut sandbox.redlake(&lake, &args, "sandbox"));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(
        lake.query("select status from runs order by started_at"),
        [json!({"status": "failed"}), json!({"status": "complete"})]
    );
}

#[cfg(unix)]
#[test]
fn a_run_cut_short_in_the_sandbox_keeps_real_runs_out() {
    let lake = Lake::new();
    let pipeline = pipeline(&lake, "");
    let mut child = run(&lake, &pipeline, &["-v", "--progress", "log"])
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut stderr = BufReader::new(child.stderr.take().expect("a pipe")).lines();
    first_page(&mut stderr);
    child.kill().expect("a kill");
    child.wait().expect("an end");
    leave_the_sandbox(&pipeline);
    let sandbox = SandboxProcess::with(&["--frozen"]);
    let args = ["run", pipeline.to_str().expect("UTF-8")];
    let output = sandbox.redlake(&lake, &args, "sandbox").output();
    let output = output.expect("the binary starts");
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("holds simulated runs"), "{stderr}");
}

#[cfg(unix)]
#[test]
fn pages_that_were_extracted_only_are_closed_with_their_tables() {
    let lake = Lake::new();
    let pipeline = pipeline(&lake, "");
    hurry(&pipeline);
    let args = ["extract", pipeline.to_str().expect("UTF-8")];
    succeed(&mut lake.redlake(&args));
    assert_eq!(lake.value("select count(*) from notes"), 0);
    assert_eq!(lake.value("select status from runs"), "complete");
    // It was not cut short: the next run is a new one.
    assert_eq!(lake.run(&pipeline, &[])["continued"], false);
}

#[test]
fn a_journal_of_another_version_is_told_by_name() {
    let lake = Lake::new();
    let pipeline = pipeline(&lake, "");
    hurry(&pipeline);
    lake.run(&pipeline, &[]);
    let journals = lake.path().join("_state/runs");
    let journal = std::fs::read_dir(&journals).expect("journals").next();
    let journal = journal.expect("a journal").expect("readable").path();
    let mut text = std::fs::read_to_string(&journal).expect("a journal");
    text.push_str("{\"of_the_future\":1}\n");
    std::fs::write(&journal, text).expect("writable");
    let output = run(&lake, &pipeline, &[]).output().expect("it starts");
    assert_ne!(output.status.code(), Some(0));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.contains("is not a journal of this redlake version"),
        "{stderr}"
    );
    assert!(stderr.contains("hint: "), "{stderr}");
}

#[test]
fn a_copied_lake_continues_as_the_original_would() {
    let lake = Lake::new();
    let pipeline = pipeline(&lake, "");
    hurry(&pipeline);
    let text = std::fs::read_to_string(&pipeline).expect("the pipeline");
    let small = text.replace(
        "requests_per_second: 1000,",
        "requests_per_second: 1000, requests_per_run: 4,",
    );
    std::fs::write(&pipeline, small).expect("writable");
    let output = run(&lake, &pipeline, &[]).output().expect("it starts");
    assert_eq!(output.status.code(), Some(5));
    let other = Lake::new();
    copy(&lake.path(), &other.path());
    std::fs::write(&pipeline, text).expect("writable");
    let report = other.run(&pipeline, &[]);
    assert_eq!(report["continued"], true);
    assert_eq!(report["requests"]["billed"], 6);
}
