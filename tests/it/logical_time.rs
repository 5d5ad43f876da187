//! A logical time is one run: a call that repeats `--snapshot-at` pays for nothing twice and doubles
//! no row.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::{Lake, SandboxProcess};

const AT: &str = "2026-03-09T12:00:00+08:00";
const LATER: &str = "2026-03-09T13:00:00+08:00";

/// A lake whose pipeline makes six calls of 20 notes each: two pages for each of three keywords.
struct Hourly {
    sandbox: SandboxProcess,
    lake: Lake,
    pipeline: PathBuf,
}

/// Result of a call of `redlake run`.
struct Called {
    code: Option<i32>,
    report: Value,
    stderr: String,
    /// Calls that arrived at the sandbox.
    calls: usize,
}

impl Hourly {
    fn new(more: &str) -> Self {
        let lake = Lake::new();
        let pipeline = write(&lake, "max: 2", more);
        Hourly {
            sandbox: SandboxProcess::with(&["--frozen"]),
            lake,
            pipeline,
        }
    }

    fn run(&self, args: &[&str]) -> Called {
        self.command("run", args)
    }

    fn command(&self, command: &str, args: &[&str]) -> Called {
        self.sandbox.control("DELETE", "/calls", "");
        let mut all = vec![command, self.pipeline.to_str().expect("UTF-8")];
        all.extend(["--format", "json"]);
        all.extend(args);
        let mut command = self.sandbox.redlake(&self.lake, &all, "sandbox");
        let output = command.output().expect("the binary starts");
        Called {
            code: output.status.code(),
            report: serde_json::from_slice(&output.stdout).unwrap_or_default(),
            stderr: String::from_utf8(output.stderr).expect("UTF-8"),
            calls: self.sandbox.calls().len(),
        }
    }

    fn at(&self, at: &str) -> Called {
        self.run(&["--snapshot-at", at])
    }

    /// Lets the calls of a keyword fail, or none.
    fn fail_keyword(&self, keyword: Option<&str>) {
        let faults = keyword.map_or_else(Vec::new, |keyword| {
            vec![json!({"keyword": keyword, "page": 2, "fault": {"kind": "code", "code": 400}})]
        });
        self.sandbox.set_faults(&json!({ "on": faults }));
    }

    fn notes(&self) -> Value {
        self.lake.value("SELECT count(*) FROM search_results")
    }

    fn runs(&self) -> Value {
        self.lake.value("SELECT count(*) FROM runs")
    }

    /// Moves the beginning of all runs into the past, by the hours.
    fn age_journals(&self, hours: i64) {
        let folder = self.lake.path().join("_state/runs");
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            if entry.path().extension().is_some_and(|e| e == "ndjson") {
                age(&entry.path(), hours);
            }
        }
    }
}

fn write(lake: &Lake, pages: &str, more: &str) -> PathBuf {
    lake.write(
        "hourly.yaml",
        &format!(
            "
version: 1
pipeline: hourly
source: {{name: justoneapi}}
keyword_sets: {{words: [兰蔻, 雅诗兰黛, 海蓝之谜]}}
extract: [{{endpoint: note_search, keywords: [words], pages: {{{pages}}}}}]
limits: {{requests_per_second: 1000, retries: 0}}
price: {{note_search: 0.1, currency: CNY}}
{more}
"
        ),
    )
}

fn age(journal: &Path, hours: i64) {
    let text = std::fs::read_to_string(journal).expect("a journal");
    let (first, rest) = text.split_once('\n').expect("a line");
    let mut head: Value = serde_json::from_str(first).expect("JSON");
    let opened = head["run"]["opened_at"].as_str().expect("a time");
    let opened = chrono::DateTime::parse_from_rfc3339(opened).expect("a time");
    head["run"]["opened_at"] = json!((opened - chrono::TimeDelta::hours(hours)).to_rfc3339());
    std::fs::write(journal, format!("{head}\n{rest}")).expect("a journal");
}

#[test]
fn a_complete_logical_time_makes_no_further_call() {
    let hourly = Hourly::new("");
    let first = hourly.at(AT);
    assert_eq!((first.code, first.calls), (Some(0), 6), "{}", first.stderr);
    let notes = hourly.notes();
    let again = hourly.at(AT);
    assert_eq!((again.code, again.calls), (Some(0), 0), "{}", again.stderr);
    assert_eq!(again.report["run_id"], first.report["run_id"]);
    assert_eq!(again.report["repeated"], true);
    assert_eq!(again.report["requests"]["sent"], 0);
    assert_eq!((hourly.notes(), hourly.runs()), (notes, json!(1)));
    // Days later, too, and whatever became of the journal.
    hourly.age_journals(100);
    let journals = hourly.lake.path().join("_state/runs");
    std::fs::remove_dir_all(journals).expect("a folder");
    assert_eq!(hourly.at(AT).calls, 0);
    // Another time is another run.
    assert_eq!(hourly.at(LATER).calls, 6);
    assert_eq!(hourly.runs(), 2);
}

#[test]
fn a_repeated_call_asks_only_for_what_failed() {
    let hourly = Hourly::new("");
    hourly.fail_keyword(Some("雅诗兰黛"));
    let first = hourly.at(AT);
    assert_eq!((first.code, first.calls), (Some(3), 6), "{}", first.stderr);
    assert_eq!(hourly.notes(), 100);
    let failing = hourly.at(AT);
    assert_eq!((failing.code, failing.calls), (Some(3), 1));
    hourly.fail_keyword(None);
    let again = hourly.at(AT);
    assert_eq!((again.code, again.calls), (Some(0), 1), "{}", again.stderr);
    assert_eq!(again.report["run_id"], first.report["run_id"]);
    assert_eq!(again.report["searches"]["done"], 3);
    assert_eq!((hourly.notes(), hourly.runs()), (json!(120), json!(1)));
    assert_eq!(hourly.lake.value("SELECT status FROM runs"), "complete");
    // Every call is in the ledger.
    assert_eq!(hourly.lake.value("SELECT count(*) FROM requests"), 8);
    assert_eq!(hourly.at(AT).calls, 0);
}

#[test]
fn a_logical_time_that_was_overtaken_is_continued() {
    let hourly = Hourly::new("");
    hourly.fail_keyword(Some("兰蔻"));
    let first = hourly.at(AT);
    assert_eq!(first.code, Some(3));
    hourly.fail_keyword(None);
    assert_eq!(hourly.at(LATER).code, Some(0));
    let again = hourly.at(AT);
    assert_eq!((again.code, again.calls), (Some(0), 1), "{}", again.stderr);
    assert_eq!(again.report["run_id"], first.report["run_id"]);
    assert_eq!((hourly.notes(), hourly.runs()), (json!(240), json!(2)));
    // In a compacted day the rows are replaced, too.
    let hourly = Hourly::new("");
    hourly.fail_keyword(Some("兰蔻"));
    assert_eq!(hourly.at(AT).code, Some(3));
    hourly.fail_keyword(None);
    assert_eq!(hourly.at(LATER).code, Some(0));
    let mut compact = hourly.lake.redlake(&["compact", "--before", "2026-03-10"]);
    crate::support::succeed(&mut compact);
    assert_eq!(hourly.at(AT).calls, 1);
    assert_eq!((hourly.notes(), hourly.runs()), (json!(240), json!(2)));
    crate::support::succeed(&mut hourly.lake.redlake(&["verify"]));
}

#[test]
fn a_changed_plan_is_refused_and_resume_never_replaces_the_rows() {
    let hourly = Hourly::new("");
    assert_eq!(hourly.at(AT).code, Some(0));
    write(&hourly.lake, "max: 1", "");
    let changed = hourly.at(AT);
    assert_eq!((changed.code, changed.calls), (Some(2), 0));
    let said = &changed.stderr;
    assert!(said.contains("its plan has changed"), "{said}");
    assert!(said.contains("--resume never"), "{said}");
    assert_eq!(hourly.notes(), 120);
    let anew = hourly.run(&["--snapshot-at", AT, "--resume", "never"]);
    assert_eq!((anew.code, anew.calls), (Some(0), 3), "{}", anew.stderr);
    // The ledger keeps both runs, which were both paid.
    assert_eq!((hourly.notes(), hourly.runs()), (json!(60), json!(2)));
    assert_eq!(hourly.lake.value("SELECT count(*) FROM requests"), 9);
    assert_eq!(hourly.at(AT).calls, 0);
}

#[test]
fn a_partial_run_is_continued_only_within_its_time() {
    let hourly = Hourly::new("resume_within: 2h");
    hourly.fail_keyword(Some("兰蔻"));
    assert_eq!(hourly.at(AT).code, Some(3));
    hourly.fail_keyword(None);
    hourly.age_journals(3);
    let late = hourly.at(AT);
    assert_eq!((late.code, late.calls), (Some(2), 0));
    assert!(late.stderr.contains("resume_within"), "{}", late.stderr);
    let failed = hourly.run(&["--resume", "failed"]);
    assert_eq!((failed.code, failed.calls), (Some(2), 0));
    let said = &failed.stderr;
    assert!(
        said.contains("with failed searches can be continued"),
        "{said}"
    );
}

#[test]
fn resume_failed_continues_the_newest_partial_run() {
    let hourly = Hourly::new("");
    let none = hourly.run(&["--resume", "failed"]);
    assert_eq!((none.code, none.calls), (Some(2), 0), "{}", none.stderr);
    hourly.fail_keyword(Some("海蓝之谜"));
    let first = hourly.run(&[]);
    assert_eq!((first.code, first.calls), (Some(3), 6), "{}", first.stderr);
    hourly.fail_keyword(None);
    let again = hourly.run(&["--resume", "failed"]);
    assert_eq!((again.code, again.calls), (Some(0), 1), "{}", again.stderr);
    assert_eq!(again.report["run_id"], first.report["run_id"]);
    assert_eq!((hourly.notes(), hourly.runs()), (json!(120), json!(1)));
    // Without a logical time each call is a run of its own.
    assert_eq!(hourly.run(&[]).calls, 6);
    assert_eq!(hourly.runs(), 2);
}

#[test]
fn held_tables_of_a_logical_time_wait_for_a_decision() {
    let hourly = Hourly::new("checks: [{table: notes, min_rows: 100000}]");
    let held = hourly.at(AT);
    assert_eq!((held.code, held.calls), (Some(6), 6), "{}", held.stderr);
    let again = hourly.at(AT);
    assert_eq!((again.code, again.calls), (Some(6), 0));
    assert!(again.stderr.contains("redlake publish"), "{}", again.stderr);
    assert_eq!(hourly.runs(), 1);
    let run_id = held.report["run_id"].as_str().expect("an id");
    crate::support::succeed(&mut hourly.lake.redlake(&["publish", run_id]));
    let published = hourly.at(AT);
    assert_eq!(published.calls, 0, "{}", published.stderr);
}

#[test]
fn a_run_makes_the_tables_of_an_extraction_of_the_same_time() {
    let hourly = Hourly::new("");
    let extracted = hourly.command("extract", &["--snapshot-at", AT]);
    assert_eq!((extracted.code, extracted.calls), (Some(0), 6));
    assert_eq!(hourly.command("extract", &["--snapshot-at", AT]).calls, 0);
    let run = hourly.at(AT);
    assert_eq!((run.code, run.calls), (Some(0), 0), "{}", run.stderr);
    assert_eq!(run.report["run_id"], extracted.report["run_id"]);
    assert_eq!((hourly.notes(), hourly.runs()), (json!(120), json!(1)));
}

#[test]
fn an_outage_is_no_partial_run_and_its_time_is_continued() {
    let hourly = Hourly::new("");
    let outage = json!({"random": [{"share": 1.0, "fault": {"kind": "code", "code": 302}}]});
    hourly.sandbox.set_faults(&outage);
    let first = hourly.at(AT);
    assert_eq!((first.code, first.calls), (Some(8), 3));
    assert_eq!(first.report["status"], "failed");
    let said = &first.stderr;
    assert!(
        said.contains("no search delivered: 3 searches failed"),
        "{said}"
    );
    assert!(said.contains("--resume failed"), "{said}");
    hourly.sandbox.set_faults(&json!({}));
    let again = hourly.at(AT);
    assert_eq!((again.code, again.calls), (Some(0), 6), "{}", again.stderr);
    assert_eq!(again.report["run_id"], first.report["run_id"]);
    assert_eq!((hourly.notes(), hourly.runs()), (json!(120), json!(1)));
    assert_eq!(hourly.lake.value("SELECT count(*) FROM requests"), 9);
}

/// Runs as `redlake runs` lists them: id and status.
fn listed(hourly: &Hourly, args: &[&str]) -> Vec<(String, String)> {
    let all = [&["runs", "--format", "json"][..], args].concat();
    let output = crate::support::succeed(&mut hourly.lake.redlake(&all));
    let rows: Vec<Value> = serde_json::from_slice(&output.stdout).expect("a list");
    let text = |row: &Value, column: &str| row[column].as_str().expect("a text").to_owned();
    let pair = |row| (text(row, "run_id"), text(row, "status"));
    rows.iter().map(pair).collect()
}

#[test]
fn runs_are_listed_by_state_and_those_without_a_commit_too() {
    let hourly = Hourly::new("");
    let first = hourly.at(AT);
    hourly.fail_keyword(Some("兰蔻"));
    let second = hourly.at(LATER);
    let id = |called: &Called| called.report["run_id"].as_str().expect("an id").to_owned();
    let both = [
        (id(&first), "complete".to_owned()),
        (id(&second), "partial".to_owned()),
    ];
    assert_eq!(listed(&hourly, &[]), both);
    assert_eq!(listed(&hourly, &["--last", "1"]), both[1..]);
    assert_eq!(listed(&hourly, &["--status", "complete"]), both[..1]);
    assert_eq!(listed(&hourly, &["--pipeline", "other"]), []);
    // A run that is killed at its first commit leaves a journal alone.
    hourly.fail_keyword(None);
    let pipeline = hourly.pipeline.to_str().expect("UTF-8");
    let args = [
        "run",
        pipeline,
        "--snapshot-at",
        "2026-03-09T14:00:00+08:00",
    ];
    let mut killed = hourly.sandbox.redlake(&hourly.lake, &args, "sandbox");
    let died = killed.env("FAILPOINTS", "disk=25*off->return").output();
    assert_eq!(died.expect("the binary starts").status.code(), None);
    let open = listed(&hourly, &["--status", "open"]);
    assert_eq!(open.len(), 1, "{open:?}");
    assert_eq!(listed(&hourly, &[]).len(), 3);
    // The same time again continues it.
    let again = hourly.at("2026-03-09T14:00:00+08:00");
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    assert_eq!(id(&again), open[0].0);
    assert_eq!(
        listed(&hourly, &["--last", "1"]),
        [(id(&again), "complete".to_owned())]
    );
}

/// A check over the whole lake, which the rows of a replaced run would fail.
const DOUBLES: &str = "checks: [{name: doubles, sql: \"SELECT 1 FROM search_results \
    WHERE snapshot_at = TIMESTAMPTZ '2026-03-09 04:00:00Z' \
    GROUP BY search_id, page, position HAVING count(*) > 1\"}]";

#[test]
fn a_replacing_run_that_dies_still_replaces_the_rows() {
    let hourly = Hourly::new(DOUBLES);
    assert_eq!(hourly.at(AT).code, Some(0));
    write(&hourly.lake, "max: 1", DOUBLES);
    let pipeline = hourly.pipeline.to_str().expect("UTF-8");
    let args = ["run", pipeline, "--snapshot-at", AT, "--resume", "never"];
    let mut killed = hourly.sandbox.redlake(&hourly.lake, &args, "sandbox");
    let died = killed.env("FAILPOINTS", "disk=25*off->return").output();
    assert_eq!(died.expect("the binary starts").status.code(), None);
    assert_eq!(hourly.notes(), 120);
    // The same command without --resume continues the run that died.
    let again = hourly.at(AT);
    assert_eq!((again.code, again.calls), (Some(0), 0), "{}", again.stderr);
    assert_eq!(hourly.notes(), 60);
    // A run that died before its first commit is replaced, too.
    let args = ["run", pipeline, "--snapshot-at", LATER];
    let mut killed = hourly.sandbox.redlake(&hourly.lake, &args, "sandbox");
    let died = killed.env("FAILPOINTS", "disk=25*off->return").output();
    assert_eq!(died.expect("the binary starts").status.code(), None);
    let anew = hourly.run(&["--snapshot-at", LATER, "--resume", "never"]);
    assert_eq!((anew.code, anew.calls), (Some(0), 3), "{}", anew.stderr);
    assert_eq!(hourly.notes(), 120);
}

#[test]
fn failed_searches_are_named_in_sql_and_by_show() {
    let hourly = Hourly::new("");
    hourly.fail_keyword(Some("雅诗兰黛"));
    let partial = hourly.at(AT);
    assert_eq!(partial.code, Some(3), "{}", partial.stderr);
    let searches = "SELECT keyword, keyword_set, status, stop, pages, requests FROM searches \
                    ORDER BY keyword";
    let row = |keyword: &str, status: &str, stop: Value, pages: u64| {
        json!({"keyword": keyword, "keyword_set": "words", "status": status, "stop": stop,
               "pages": pages, "requests": 2})
    };
    let stop = || json!("max_pages");
    assert_eq!(
        hourly.lake.query(searches),
        [
            row("兰蔻", "done", stop(), 2),
            row("海蓝之谜", "done", stop(), 2),
            row("雅诗兰黛", "failed", Value::Null, 1),
        ]
    );
    let calls =
        "SELECT count(*) FROM requests WHERE keyword = '雅诗兰黛' AND class = 'bad_request'";
    assert_eq!(hourly.lake.value(calls), 1);
    let id = partial.report["run_id"].as_str().expect("an id");
    let shown = crate::support::succeed(&mut hourly.lake.redlake(&["show", id]));
    let shown = String::from_utf8(shown.stdout).expect("UTF-8");
    let failed = shown.split("Failed searches:").nth(1).expect("a table");
    assert!(failed.contains("雅诗兰黛"), "{shown}");
    assert!(
        !failed
            .split("Committed files:")
            .next()
            .expect("text")
            .contains("兰蔻 "),
        "{shown}"
    );

    // The process that continues the run says its own calls and cost beside those of the run.
    hourly.fail_keyword(None);
    let continued = hourly.at(AT);
    assert_eq!(continued.code, Some(0), "{}", continued.stderr);
    assert_eq!(continued.report["requests"]["sent"], 7);
    let own = json!({"sent": 1, "retried": 0, "billed": 1, "unknown": 0, "cost": 0.1});
    assert_eq!(continued.report["this_call"], own);
    assert_eq!(partial.report.get("this_call"), None);
    assert_eq!(
        hourly
            .lake
            .value("SELECT count(*) FROM searches WHERE status = 'done'"),
        3
    );
}

#[test]
fn views_count_a_snapshot_once_and_take_what_was_fetched_last() {
    let hourly = Hourly::new("");
    assert_eq!(hourly.at(AT).code, Some(0));
    // Another pipeline observes the same notes at the same logical time, later by the clock.
    let text = std::fs::read_to_string(&hourly.pipeline).expect("the pipeline");
    let other = text.replace("pipeline: hourly", "pipeline: other");
    let other = hourly.lake.write("other.yaml", &other);
    let args = ["run", other.to_str().expect("UTF-8"), "--snapshot-at", AT];
    crate::support::succeed(&mut hourly.sandbox.redlake(&hourly.lake, &args, "sandbox"));
    hourly
        .sandbox
        .control("POST", "/clock", r#"{"advance_seconds": 3600}"#);
    assert_eq!(hourly.at(LATER).code, Some(0));
    let deltas = "SELECT count(*) FILTER (hours = 1) = count(*) AND count(*) > 50 AND \
                  count(*) = count(DISTINCT note_id) FROM engagement_delta";
    assert_eq!(hourly.lake.value(deltas), true);
    let before = "SELECT count(DISTINCT note_id) > 0 FROM notes_latest WHERE last_pipeline = 'other' AND \
                  snapshot_at = TIMESTAMPTZ '2026-03-09 04:00:00Z'";
    assert_eq!(hourly.lake.value(before), true);
    let older = "SELECT count(*) FROM notes_latest WHERE last_pipeline = 'hourly' AND \
                 snapshot_at = TIMESTAMPTZ '2026-03-09 04:00:00Z'";
    assert_eq!(hourly.lake.value(older), 0);
}

#[test]
fn runs_are_listed_in_local_time_for_people_and_in_utc_for_programs() {
    let hourly = Hourly::new("");
    assert_eq!(hourly.at(AT).code, Some(0));
    let list = |format: &str| {
        let mut runs = hourly.lake.redlake(&["runs", "--format", format]);
        let output = crate::support::succeed(runs.env("TZ", "Asia/Tokyo"));
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    assert!(list("table").contains("2026-03-09 13:00:00 +09:00"));
    assert!(list("json").contains("2026-03-09T04:00:00Z"));
}
