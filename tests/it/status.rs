//! `redlake status`: what it says about pipelines and their lake, and its exit code.

use std::fs::File;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::{Lake, SandboxProcess, collect, repository, succeed};

const NOON: &str = "2026-03-09T04:00:07Z";

/// A lake, a sandbox, and a pipeline of two searches with two pages each, 0.10 CNY a call.
struct Watched {
    sandbox: SandboxProcess,
    lake: Lake,
    pipeline: PathBuf,
}

impl Watched {
    fn new(more: &str) -> Self {
        let lake = Lake::new();
        let pipeline = lake.write("watch.yaml", &text("watch", more));
        Watched {
            sandbox: SandboxProcess::with(&["--frozen"]),
            lake,
            pipeline,
        }
    }

    /// Runs the pipeline at a time of this machine's clock; the exit code.
    fn run(&self, now: &str, more: &[&str]) -> Option<i32> {
        self.run_with(&format!("now=return({now})"), more)
    }

    fn run_with(&self, failpoints: &str, more: &[&str]) -> Option<i32> {
        let mut args = vec!["run", self.pipeline.to_str().expect("UTF-8")];
        args.extend(more);
        let mut command = self.sandbox.redlake(&self.lake, &args, "sandbox");
        let output = command.env("FAILPOINTS", failpoints).output();
        output.expect("the binary starts").status.code()
    }

    fn fails(&self, keyword: &str) {
        let fault = json!({"kind": "code", "code": 400});
        let faults = json!({"on": [{"keyword": keyword, "fault": fault}]});
        self.sandbox.set_faults(&faults);
    }

    /// The report about the pipeline at a time; the exit code says the same.
    fn status(&self, now: &str, more: &[&str]) -> Value {
        let mut args = vec![self.pipeline.to_str().expect("UTF-8")];
        args.extend(more);
        status(&self.lake, &args, &format!("now=return({now})"))
    }

    /// The kinds of the problems at a time.
    fn problems(&self, now: &str, more: &[&str]) -> Vec<String> {
        kinds(&self.status(now, more))
    }
}

fn text(name: &str, more: &str) -> String {
    let limits = if more.contains("limits:") {
        ""
    } else {
        "limits: {requests_per_second: 1000, retries: 0}"
    };
    format!(
        "version: 1\npipeline: {name}\nsource: {{name: justoneapi}}\n\
         keyword_sets: {{words: [兰蔻, 防晒]}}\nextract:\n  - {{endpoint: note_search, \
         keywords: [words], pages: {{max: 2}}}}\nprice: {{note_search: 0.1, currency: CNY}}\n\
         load: {{marts: false}}\n{more}\n{limits}\n"
    )
}

fn status(lake: &Lake, more: &[&str], failpoints: &str) -> Value {
    let mut args = vec!["status", "--format", "json"];
    args.extend(more);
    let mut command = lake.redlake(&args);
    let output = command.env("FAILPOINTS", failpoints).output();
    let output = output.expect("the binary starts");
    let said = String::from_utf8_lossy(&output.stderr);
    let report: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {said}"));
    let code = if report["healthy"] == true { 0 } else { 9 };
    assert_eq!(output.status.code(), Some(code), "{report:#}\n{said}");
    report
}

fn kinds(report: &Value) -> Vec<String> {
    let problems = report["problems"].as_array().expect("a list").iter();
    let kinds = problems.map(|p| p["kind"].as_str().expect("a kind").to_owned());
    kinds.collect()
}

/// Every file of a lake with its bytes.
fn contents(lake: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    collect(lake, &mut files);
    files.sort();
    files
}

#[test]
fn the_demo_is_healthy_whatever_the_real_time_is() {
    let lake = Lake::new();
    lake.run(&repository("pipelines/demo.yaml"), &[]);
    let demo = repository("pipelines/demo.yaml");
    let args = ["status", demo.to_str().expect("UTF-8"), "--max-age", "1h"];
    let output = succeed(&mut lake.redlake(&args));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    for part in [
        "| demo ",
        "| complete ",
        "demo: simulated",
        "never verified",
        "no problem found",
    ] {
        assert!(text.contains(part), "`{part}` is missing in:\n{text}");
    }
    let report = status(&lake, &[], "");
    assert_eq!(report["pipelines"][0]["pipeline"], "demo");
    assert_eq!(report["pipelines"][0]["age_seconds"], 0);
    assert_eq!(
        report["pipelines"][0]["today"]["calls"],
        lake.value("select count(*) from requests")
    );
}

#[test]
fn a_killed_run_is_a_problem_until_it_is_continued() {
    let watched = Watched::new("");
    let killed = (10..200).step_by(5).find_map(|step| {
        let lake = Lake::new();
        let pipeline = lake.write("watch.yaml", &text("watch", ""));
        let sandbox = &watched.sandbox;
        let args = ["run", pipeline.to_str().expect("UTF-8")];
        let mut command = sandbox.redlake(&lake, &args, "sandbox");
        let command = command.env("FAILPOINTS", format!("disk={step}*off->return"));
        command.output().expect("the binary starts");
        let before = contents(&lake.path());
        let report = status(&lake, &[], "");
        assert_eq!(before, contents(&lake.path()), "a look changes nothing");
        let pages = &report["pipelines"][0]["killed_runs"][0]["pages_without_rows"];
        pages
            .as_u64()
            .filter(|pages| *pages > 0)
            .map(|pages| (lake, pipeline, report, pages))
    });
    let (lake, pipeline, report, pages) = killed.expect("a run that was killed with pages");
    assert_eq!(kinds(&report), ["killed_run"]);
    assert_eq!(report["pipelines"][0]["state"], "killed");
    let message = report["problems"][0]["message"].as_str().expect("a text");
    assert!(message.contains(&format!("{pages} page")), "{message}");
    assert!(
        report["pipelines"][0]["month"]["calls"].as_u64() >= Some(pages),
        "{report:#}"
    );

    // Its process lives on as long as its journal is locked.
    let run_id = report["pipelines"][0]["killed_runs"][0]["run_id"]
        .as_str()
        .expect("an id");
    let journal = File::open(lake.path().join(format!("_state/runs/{run_id}.ndjson")));
    let journal = journal.expect("a journal");
    journal.lock().expect("nobody else holds it");
    let running = status(&lake, &[], "");
    assert_eq!(running["pipelines"][0]["state"], "running");
    assert_eq!(kinds(&running), [""; 0]);
    drop(journal);

    let args = ["run", pipeline.to_str().expect("UTF-8")];
    succeed(&mut watched.sandbox.redlake(&lake, &args, "sandbox"));
    let report = status(&lake, &[], "");
    assert_eq!(kinds(&report), [""; 0]);
    assert_eq!(report["pipelines"][0]["killed_runs"], json!([]));
}

#[test]
fn a_run_that_is_killed_while_it_commits_is_told_and_its_calls_count_once() {
    let watched = Watched::new("");
    let mut codes: Vec<(Option<i32>, String)> = Vec::new();
    for step in (60..160).step_by(6) {
        let lake = Lake::new();
        let pipeline = lake.write("watch.yaml", &text("watch", ""));
        let args = ["run", pipeline.to_str().expect("UTF-8")];
        let mut command = watched.sandbox.redlake(&lake, &args, "sandbox");
        let command = command.env("FAILPOINTS", format!("disk={step}*off->return"));
        let code = command.output().expect("the binary starts").status.code();
        let report = status(&lake, &[], "");
        assert_eq!(report["pipelines"][0]["month"]["calls"], 4, "step {step}");
        let state = report["pipelines"][0]["state"].as_str().expect("a state");
        // Only a run whose commit is applied is complete, killed or not.
        let is_late = codes.iter().any(|(_, state)| state == "complete");
        let expected = if is_late { "complete" } else { state };
        assert_eq!(state, expected, "step {step}");
        assert!(
            ["killed", "complete"].contains(&state),
            "step {step}: {state}"
        );
        codes.push((code, state.to_owned()));
        if code == Some(0) {
            break;
        }
    }
    assert_eq!(codes[0], (None, "killed".to_owned()), "{codes:?}");
    let last = codes.last().expect("a run");
    assert_eq!(*last, (Some(0), "complete".to_owned()), "{codes:?}");
}

#[test]
fn a_held_run_is_a_problem_until_it_is_decided() {
    let watched = Watched::new("checks: [{table: notes, min_rows: 1000000}]");
    assert_eq!(watched.run(NOON, &[]), Some(6));
    let report = watched.status(NOON, &[]);
    assert_eq!(kinds(&report), ["held_run"]);
    assert_eq!(report["pipelines"][0]["state"], "held");
    let run_id = report["pipelines"][0]["held_runs"][0]["run_id"]
        .as_str()
        .expect("an id");
    let hint = report["problems"][0]["hint"].as_str().expect("a hint");
    assert!(hint.contains(&format!("publish {run_id}")), "{hint}");
    succeed(&mut watched.lake.redlake(&["publish", run_id]));
    assert_eq!(watched.problems(NOON, &[]), [""; 0]);
}

#[test]
fn a_search_that_fails_in_three_runs_is_a_problem_and_a_partial_run_is_none() {
    let watched = Watched::new("");
    watched.fails("防晒");
    for (hour, expected) in [(4, &[][..]), (5, &[]), (6, &["failing_searches"])] {
        let now = format!("2026-03-09T{hour:02}:00:00Z");
        assert_eq!(watched.run(&now, &[]), Some(3));
        assert_eq!(watched.problems(&now, &[]), expected, "{now}");
    }
    let now = "2026-03-09T06:00:00Z";
    let report = watched.status(now, &["--max-failed-searches", "0"]);
    assert_eq!(kinds(&report), ["failing_searches", "failed_searches"]);
    assert_eq!(report["pipelines"][0]["state"], "partial");
    assert_eq!(
        report["pipelines"][0]["failing_searches"][0]["keyword"],
        "防晒"
    );
    let message = report["problems"][0]["message"].as_str().expect("a text");
    assert!(message.contains("note_search 防晒"), "{message}");
    watched.sandbox.set_faults(&json!({}));
    assert_eq!(watched.run("2026-03-09T07:00:00Z", &[]), Some(0));
    assert_eq!(
        watched.problems("2026-03-09T07:00:00Z", &["--max-failed-searches", "0"]),
        [""; 0]
    );
}

#[test]
fn an_outage_is_a_problem_that_names_its_reason() {
    let watched = Watched::new("");
    let down = json!({"kind": "status", "status": 503, "body": "empty"});
    let faults = json!({"random": [{"share": 1.0, "fault": down}]});
    watched.sandbox.set_faults(&faults);
    assert_eq!(watched.run(NOON, &[]), Some(8));
    let report = watched.status(NOON, &["--max-age", "1h"]);
    assert_eq!(kinds(&report), ["last_run", "age"]);
    assert_eq!(report["pipelines"][0]["state"], "failed");
}

#[test]
fn a_budget_that_is_used_up_is_a_problem_and_spending_is_compared_with_limits() {
    let watched =
        Watched::new("limits: {requests_per_second: 1000, requests_per_run: 3, cost_per_day: 1}");
    assert_eq!(watched.run(NOON, &[]), Some(5));
    let report = watched.status(NOON, &[]);
    assert_eq!(kinds(&report), ["last_run"]);
    let pipeline = &report["pipelines"][0];
    assert_eq!(pipeline["state"], "stopped");
    assert_eq!(
        pipeline["today"],
        json!({"calls": 3, "costs": [{"cost": 0.3, "currency": "CNY"}]})
    );
    let budgets = json!({"requests_per_day": null, "cost_per_day": 1.0, "currency": "CNY",
        "requests_spent": 3, "cost_spent": 0.3});
    assert_eq!(pipeline["budgets"], budgets);
    let message = report["problems"][0]["message"].as_str().expect("a text");
    assert!(message.contains("requests_per_run"), "{message}");
    let limited = |today: &str, month: &str| {
        let flags = ["--max-cost-today", today, "--max-cost-month", month];
        watched.problems(NOON, &flags)
    };
    assert_eq!(limited("0.30", "0.30"), ["last_run"]);
    assert_eq!(
        limited("0.29", "0.2"),
        ["last_run", "cost_today", "cost_month"]
    );
    // 16:00 UTC is midnight in Shanghai.
    let next_day = watched.status("2026-03-09T16:00:00Z", &[]);
    assert_eq!(next_day["pipelines"][0]["today"]["calls"], 0);
    assert_eq!(next_day["pipelines"][0]["month"]["calls"], 3);
    assert_eq!(watched.run(NOON, &[]), Some(0));
    assert_eq!(watched.problems(NOON, &[]), [""; 0]);
}

#[test]
fn a_missed_time_of_the_schedule_is_a_problem_after_a_quarter_of_an_hour() {
    let watched = Watched::new("schedule: {cron: \"0 * * * *\"}");
    let new = watched.status(NOON, &[]);
    assert_eq!(new["pipelines"][0]["state"], "never_run");
    assert_eq!(new["lakes"][0]["exists"], false);
    assert_eq!(watched.run(NOON, &["--snapshot-at", "scheduled"]), Some(0));
    for (now, expected) in [
        ("2026-03-09T04:59:59Z", &[][..]),
        ("2026-03-09T05:14:59Z", &[]),
        ("2026-03-09T05:15:01Z", &["missed_schedule"]),
        ("2026-03-09T06:00:01Z", &["missed_schedule"]),
    ] {
        assert_eq!(watched.problems(now, &[]), expected, "{now}");
    }
    let report = watched.status("2026-03-09T05:15:01Z", &[]);
    let due = &report["pipelines"][0]["schedule"];
    assert_eq!(due["due_at"], "2026-03-09T05:00:00Z");
    assert_eq!(due["next_at"], "2026-03-09T06:00:00Z");
    let hint = report["problems"][0]["hint"].as_str().expect("a hint");
    assert!(hint.contains("--snapshot-at scheduled"), "{hint}");
    // Without the file nothing is known of a schedule.
    let report = status(&watched.lake, &[], "now=return(2026-03-09T09:00:00Z)");
    assert_eq!(kinds(&report), [""; 0]);
}

#[test]
fn a_pipeline_without_runs_is_late_once_its_file_is_older_than_a_due_time() {
    let watched = Watched::new("schedule: {cron: \"0 * * * *\"}");
    let later = "2099-03-09T04:30:00Z";
    assert_eq!(watched.problems(later, &[]), ["missed_schedule"]);
    assert_eq!(
        watched.problems(later, &["--max-age", "2h"]),
        ["missed_schedule", "age"]
    );
}

#[test]
fn limits_of_age_disk_and_upkeep_are_problems_beyond_them() {
    let watched = Watched::new("");
    for now in [NOON, "2026-03-09T05:00:00Z"] {
        assert_eq!(watched.run(now, &[]), Some(0));
    }
    let now = "2026-03-12T05:00:00Z";
    let flags = [
        "--max-age",
        "2h",
        "--min-free",
        "9000TB",
        "--max-uncompacted-days",
        "0",
        "--max-verify-age",
        "8d",
        "--max-rejects",
        "0",
        "--max-drift",
        "0",
    ];
    let expected = ["age", "disk", "verify_age", "uncompacted"];
    assert_eq!(watched.problems(now, &flags), expected);
    let at = |now: &str, args: &[&str]| {
        let mut command = watched.lake.redlake(args);
        succeed(command.env("FAILPOINTS", format!("now=return({now})")));
    };
    at(now, &["verify"]);
    at(now, &["compact"]);
    assert_eq!(watched.problems(now, &flags), ["age", "disk"]);
    assert_eq!(
        watched.problems("2026-03-21T05:00:00Z", &flags[6..8]),
        ["verify_age"]
    );
    let full = status(&watched.lake, &[], "free=return(1000)");
    assert_eq!(kinds(&full), ["disk"]);
}

#[test]
fn what_the_last_verification_found_is_a_problem() {
    let watched = Watched::new("");
    assert_eq!(watched.run(NOON, &[]), Some(0));
    let (file, _) = watched.lake.table_files().remove(0);
    let bytes = std::fs::read(&file).expect("a file");
    std::fs::write(&file, b"damaged").expect("a writable file");
    let verify = || {
        watched
            .lake
            .redlake(&["verify"])
            .output()
            .expect("the binary starts")
    };
    assert_eq!(verify().status.code(), Some(6));
    std::fs::write(&file, bytes).expect("a writable file");
    let report = watched.status(NOON, &[]);
    assert_eq!(kinds(&report), ["verify"]);
    assert_eq!(report["lakes"][0]["verified"]["problems"], 1);
    assert_eq!(verify().status.code(), Some(0));
    assert_eq!(watched.problems(NOON, &[]), [""; 0]);
}

#[test]
fn a_lake_that_cannot_be_written_is_read() {
    let watched = Watched::new("");
    assert_eq!(watched.run(NOON, &[]), Some(0));
    let read_only = "disk=return(read-only)";
    assert_eq!(kinds(&status(&watched.lake, &[], read_only)), [""; 0]);
    let mut verify = watched.lake.redlake(&["verify"]);
    succeed(verify.env("FAILPOINTS", read_only));
    let report = status(&watched.lake, &[], read_only);
    assert_eq!(report["lakes"][0]["verified"], Value::Null);
}

#[test]
fn pipelines_of_a_lake_and_of_several_lakes_have_a_line_each() {
    let watched = Watched::new("");
    let other = watched.lake.write("other.yaml", &text("other", ""));
    let third = text("third", "").replace("{marts: false}", "{marts: false, lake: elsewhere}");
    let third = watched.lake.write("third.yaml", &third);
    assert_eq!(watched.run(NOON, &[]), Some(0));
    let path = other.to_str().expect("UTF-8");
    succeed(
        &mut watched
            .sandbox
            .redlake(&watched.lake, &["run", path], "sandbox"),
    );
    let names = |report: &Value| -> Vec<Value> {
        let pipelines = report["pipelines"].as_array().expect("a list").iter();
        pipelines
            .map(|pipeline| pipeline["pipeline"].clone())
            .collect()
    };
    assert_eq!(names(&status(&watched.lake, &[], "")), ["other", "watch"]);
    assert_eq!(names(&status(&watched.lake, &[path], "")), ["other"]);
    let mut command = crate::support::redlake();
    let folder = third.parent().expect("a folder");
    let args = ["status", "watch.yaml", "third.yaml", "--format", "json"];
    // Neither lake is at its default place: both pipelines have no run.
    let output = succeed(command.args(args).current_dir(folder));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["lakes"].as_array().expect("a list").len(), 2);
    let states: Vec<&Value> = ["watch", "third"]
        .iter()
        .map(|name| {
            let mut all = report["pipelines"].as_array().expect("a list").iter();
            let found = all.find(|pipeline| pipeline["pipeline"] == *name);
            &found.expect("a line")["state"]
        })
        .collect();
    assert_eq!(states, ["complete", "never_run"]);
}

#[test]
fn a_shard_that_has_no_run_of_the_time_of_the_others_is_a_problem() {
    let mut watched = Watched::new("");
    let words = text("watch", "").replace("[兰蔻, 防晒]", "[兰蔻, 防晒, 面霜, 精华, 敏感肌]");
    watched.pipeline = watched.lake.write("watch.yaml", &words);
    let run = |at: &str, shard: &str| {
        let now = at.replace(":00Z", ":07Z");
        watched.run(&now, &["--snapshot-at", at, "--shard", shard])
    };
    let (first, second) = ("2026-03-09T04:00:00Z", "2026-03-09T05:00:00Z");
    for (at, shard) in [(first, "1/2"), (first, "2/2"), (second, "1/2")] {
        assert_eq!(run(at, shard), Some(0));
    }
    assert_eq!(watched.problems("2026-03-09T05:10:00Z", &[]), [""; 0]);
    let report = watched.status("2026-03-09T05:20:00Z", &["--max-age", "70min"]);
    assert_eq!(kinds(&report), ["missing_shard", "age"]);
    assert_eq!(report["problems"][0]["shard"], "2/2");
    assert_eq!(
        report["pipelines"][0]["shards"]
            .as_array()
            .expect("a list")
            .len(),
        2
    );
    assert_eq!(run(second, "2/2"), Some(0));
    assert_eq!(watched.problems("2026-03-09T05:20:00Z", &[]), [""; 0]);
}

#[test]
fn a_start_that_failed_before_it_had_a_run_is_a_problem_until_the_next_start() {
    let watched = Watched::new("");
    assert_eq!(watched.run(NOON, &[]), Some(0));
    assert_eq!(watched.problems(NOON, &[]), Vec::<String>::new());
    let pipeline = watched.pipeline.to_str().expect("UTF-8");
    let mut command = watched
        .sandbox
        .redlake(&watched.lake, &["run", pipeline], "sandbox");
    let output = command.env_remove("JUSTONEAPI_TOKEN").output();
    assert_eq!(output.expect("the binary starts").status.code(), Some(2));
    let report = watched.status(NOON, &[]);
    assert_eq!(kinds(&report), ["failed_start"]);
    let message = report["problems"][0]["message"].as_str().expect("a text");
    assert!(message.contains("failed with exit code 2"), "{message}");
    assert!(message.contains("JUSTONEAPI_TOKEN"), "{message}");
    assert_eq!(watched.run(NOON, &[]), Some(0));
    assert_eq!(watched.problems(NOON, &[]), Vec::<String>::new());
}
