//! Data checks from the outside: what blocks a commit, what is kept, and who decides.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::{Lake, fail, succeed};

/// A small pipeline of the sandbox with these checks, each a line of YAML.
fn checking(lake: &Lake, more: &str, checks: &[&str]) -> PathBuf {
    let checks: String = checks
        .iter()
        .map(|check| format!("  - {check}\n"))
        .collect();
    lake.write(
        "checking.yaml",
        &format!(
            "
version: 1
pipeline: checking
source: {{name: justoneapi, base_url: sandbox}}
keyword_sets: {{words: [兰蔻]}}
extract: [{{endpoint: note_search, keywords: [words], pages: {{max: 2}}}}]
limits: {{requests_per_second: 1000}}
price: {{note_search: 0.1, currency: CNY}}
{more}
checks:
{checks}"
        ),
    )
}

/// What a run came to.
struct Ended {
    code: i32,
    stderr: String,
    report: Value,
}

impl Ended {
    fn run_id(&self) -> &str {
        self.report["run_id"].as_str().expect("an id")
    }

    /// The checks that did not pass, as (name, outcome, message, failing rows).
    fn told(&self) -> Vec<(&str, &str, &str, u64)> {
        let results = self.report["check_results"].as_array().expect("a list");
        results
            .iter()
            .map(|r| {
                (
                    r["name"].as_str().expect("a name"),
                    r["outcome"].as_str().expect("an outcome"),
                    r["message"].as_str().expect("a message"),
                    r["failing_rows"].as_u64().expect("a number"),
                )
            })
            .collect()
    }
}

fn run_with(lake: &Lake, pipeline: &Path, more: &[&str]) -> Ended {
    let mut args = vec!["run", pipeline.to_str().expect("UTF-8"), "--format", "json"];
    args.extend(more);
    let output = lake.redlake(&args).output().expect("the binary starts");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    Ended {
        code: output.status.code().unwrap_or(-1),
        report: serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|e| panic!("no report: {e}\n{stderr}")),
        stderr,
    }
}

fn run(lake: &Lake, pipeline: &Path) -> Ended {
    run_with(lake, pipeline, &[])
}

fn show(lake: &Lake, run_id: &str) -> Value {
    let output = succeed(&mut lake.redlake(&["show", run_id, "--format", "json"]));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn text(lake: &Lake, args: &[&str]) -> String {
    String::from_utf8(succeed(&mut lake.redlake(args)).stdout).expect("UTF-8")
}

/// What `redlake runs` says of the runs.
fn states(lake: &Lake) -> Vec<String> {
    let output = succeed(&mut lake.redlake(&["runs", "--format", "json"]));
    let runs: Vec<Value> = serde_json::from_slice(&output.stdout).expect("JSON");
    let states = runs.iter().map(|run| run["status"].as_str().expect("text"));
    states.map(str::to_owned).collect()
}

fn stagings(lake: &Lake) -> Vec<PathBuf> {
    let folder = fs::read_dir(lake.path().join("_staging")).expect("a folder");
    folder.flatten().map(|entry| entry.path()).collect()
}

/// Fails with the 36 notes of the pipeline.
const BLOCKING: &str = "{table: notes, min_rows: 37}";

#[test]
fn what_holds_lets_the_tables_pass() {
    let lake = Lake::new();
    let pipeline = checking(
        &lake,
        "",
        &[
            "{table: notes, not_null: [note_id, published_at]}",
            "{table: notes, unique: [note_id, endpoint]}",
            "{table: notes, min_rows: 36}",
            "{table: notes, max_reject_share: 0}",
            "{table: notes, accepted_values: {note_type: [normal, video]}}",
            "{table: notes, freshness: {column: published_at, within: 7d}}",
            "{table: notes, row_count_change: {last_runs: 7, at_most: 0.5}}",
            "{sql: select * from engagement where liked_count < 0}",
            "{table: user_stats, unique: [user_id]}",
            "{table: runs, min_rows: 1}",
        ],
    );
    let first = run(&lake, &pipeline);
    assert_eq!(first.code, 0, "{}", first.stderr);
    let checks = json!({"passed": 10, "warned": 0, "failed": 0});
    assert_eq!(first.report["checks"], checks);
    assert_eq!(first.report["check_results"], json!([]));
    let alone = "notes: row_count_change: there is no earlier run to compare with";
    assert_eq!(first.report["check_remarks"], json!([alone]));
    assert_eq!(first.report["held"], false);
    assert_eq!(lake.value("select count(*) from notes"), 36);

    let second = run(&lake, &pipeline);
    assert_eq!((second.code, &second.report["checks"]), (0, &checks));
    assert_eq!(second.report["check_remarks"], Value::Null);
    assert_eq!(stagings(&lake), Vec::<PathBuf>::new());
}

#[test]
fn what_does_not_hold_blocks_the_tables_and_tells_the_rows() {
    let lake = Lake::new();
    let pipeline = checking(
        &lake,
        "",
        &[
            "{table: notes, not_null: [note_id, title]}",
            "{table: notes, unique: [endpoint, note_type]}",
            "{table: notes, min_rows: 37, name: enough notes}",
            "{table: notes, accepted_values: {note_type: [normal]}}",
            "{table: notes, freshness: {column: published_at, within: 1h}}",
            "{sql: select note_id from run.engagement where liked_count < 100}",
            "{sql: select * from run.notez, name: typo}",
            "{table: notes, min_rows: 1}",
        ],
    );
    let ended = run(&lake, &pipeline);
    assert_eq!(ended.code, 6);
    assert_eq!(ended.report["status"], "failed");
    assert_eq!(ended.report["held"], true);
    assert_eq!(
        ended.report["checks"],
        json!({"passed": 1, "warned": 0, "failed": 7})
    );
    let told = ended.told();
    assert_eq!(
        told[..6],
        [
            (
                "notes: not_null note_id, title",
                "failed",
                "6 rows without note_id or title",
                6
            ),
            (
                "notes: unique endpoint, note_type",
                "failed",
                "2 values of endpoint, note_type come more than once",
                2
            ),
            ("enough notes", "failed", "36 rows; at least 37 wanted", 1),
            (
                "notes: accepted_values note_type",
                "failed",
                "10 rows with another value of note_type",
                10
            ),
            (
                "notes: freshness published_at",
                "failed",
                "the newest published_at is 2026-03-09 01:33:19+00, more than 1h before the \
                 snapshot at 2026-03-09 04:00:00+00",
                1
            ),
            (
                "sql: select note_id from run.engagement where liked_count < 100",
                "failed",
                "the query gave 2 rows",
                2
            ),
        ]
    );
    let (name, outcome, message, rows) = told[6];
    assert_eq!((name, outcome, rows), ("typo", "failed", 0));
    assert!(message.contains("Did you mean \"notes\"?"), "{message}");
    let results = ended.report["check_results"].as_array().expect("a list");
    assert_eq!(
        results[1]["rows"],
        json!([
            {"endpoint": "note_search", "note_type": "normal", "times": 26},
            {"endpoint": "note_search", "note_type": "video", "times": 10},
        ])
    );
    let untitled = results[0]["rows"].as_array().expect("a list");
    assert_eq!(untitled.len(), 6);
    assert_eq!(
        untitled[0],
        json!({"note_id": "69917d9400000000010000df", "endpoint": "note_search", "title": null})
    );
    let said = "error: 7 data checks failed: notes: not_null note_id, title; ";
    assert!(ended.stderr.contains(said), "{}", ended.stderr);
    let hint = format!("`redlake publish {}`", ended.run_id());
    assert!(ended.stderr.contains(&hint), "{}", ended.stderr);

    // The money is on record; the tables are as they were.
    assert_eq!(ended.report["rows"], json!({"requests": 2, "runs": 1}));
    assert_eq!(lake.value("select sum(cost) from requests"), 0.2);
    assert_eq!(lake.value("select count(*) from notes"), 0);
    assert_eq!(states(&lake), ["held"]);
}

#[test]
fn a_warning_is_told_and_counted_and_nothing_more() {
    let lake = Lake::new();
    let checks = [
        "{table: notes, min_rows: 37, severity: warn}",
        "{table: notes, min_rows: 36}",
    ];
    let pipeline = checking(&lake, "", &checks);
    let ended = run(&lake, &pipeline);
    assert_eq!(
        (ended.code, ended.report["status"].as_str()),
        (0, Some("complete"))
    );
    assert_eq!(
        ended.report["checks"],
        json!({"passed": 1, "warned": 1, "failed": 0})
    );
    let message = "36 rows; at least 37 wanted";
    assert_eq!(ended.told(), [("notes: min_rows 37", "warned", message, 1)]);
    let logged = format!("WARN the data check notes: min_rows 37 failed: {message}");
    assert!(ended.stderr.contains(&logged), "{}", ended.stderr);
    assert_eq!(lake.value("select count(*) from notes"), 36);
    let printed = text(&lake, &["run", pipeline.to_str().expect("UTF-8")]);
    assert!(
        printed.contains("  checks    1 passed, 1 warned, 0 failed\n"),
        "{printed}"
    );
    assert!(
        printed.contains(&format!("  warned    notes: min_rows 37: {message}\n")),
        "{printed}"
    );
}

#[test]
fn rejects_and_row_counts_are_held_against_what_is_allowed() {
    let lake = Lake::new();
    let title = (
        "tables/notes.yaml",
        "  title: {type: string,",
        "  title: {type: string, required: true,",
    );
    let schemas = lake.schemas(&[title]);
    let schemas = ["--schemas", schemas.to_str().expect("UTF-8")];
    let change =
        |at_most: &str| format!("{{table: notes, row_count_change: {{at_most: {at_most}}}}}");
    let share = "{table: notes, max_reject_share: 0.2}";
    let first = run_with(
        &lake,
        &checking(&lake, "", &[share, &change("0")]),
        &schemas,
    );
    assert_eq!(first.code, 0, "{}", first.stderr);
    assert_eq!(first.report["tally"]["notes"]["rejected"], 6);
    assert_eq!(first.report["tally"]["notes"]["written"], 34);
    assert_eq!(first.report["rows"]["notes"], 30);

    // Half the pages, and the share that is rejected is too large.
    let share = "{table: notes, max_reject_share: 0.01}";
    let pipeline = checking(&lake, "", &[share, &change("0.3"), &change("0.6")]);
    let pipeline_text = fs::read_to_string(&pipeline).expect("the pipeline");
    fs::write(&pipeline, pipeline_text.replace("max: 2", "max: 1")).expect("writable");
    let second = run_with(&lake, &pipeline, &schemas);
    assert_eq!(second.code, 6, "{}", second.stderr);
    let told = second.told();
    let written = second.report["tally"]["notes"]["written"]
        .as_u64()
        .expect("a number");
    let rejected = second.report["tally"]["notes"]["rejected"]
        .as_u64()
        .expect("a number");
    assert_eq!(written + rejected, 20);
    let share = rejected as f64 / 20.0;
    assert_eq!(
        told[0].2,
        format!(
            "{rejected} rows rejected, {written} written: a share of {share:.4}; at most 0.01 allowed"
        )
    );
    let rows = show(&lake, second.run_id());
    let rows = &rows["held"]["checks"][0]["rows"];
    assert_eq!(rows[0]["column"], "title");
    assert_eq!(rows[0]["rows"], rejected);
    assert_eq!(
        told[1].2,
        format!(
            "{written} rows; 30.0 is the median of the last runs (1), and a change of 0.3 is allowed"
        )
    );
    assert_eq!(told.len(), 2);
}

#[test]
fn held_tables_are_shown_and_published() {
    let lake = Lake::new();
    let good = run(
        &lake,
        &checking(&lake, "", &["{table: notes, min_rows: 1}"]),
    );
    assert_eq!(good.code, 0);
    let before = lake.table_files();
    let held = run(&lake, &checking(&lake, "", &[BLOCKING]));
    assert_eq!(held.code, 6);
    let (run_id, good_id) = (held.run_id().to_owned(), good.run_id().to_owned());

    // But for the ledger the lake is as it was, byte for byte.
    let is_ledger = |path: &Path| {
        let path = path.to_string_lossy();
        path.contains(&run_id) && (path.contains("/requests/") || path.contains("/runs/"))
    };
    let mut after = lake.table_files();
    assert_eq!(after.len(), before.len() + 2);
    after.retain(|(path, _)| !is_ledger(path));
    assert_eq!(after, before);
    assert_eq!(states(&lake), ["complete", "held"]);

    let shown = show(&lake, &run_id);
    assert_eq!(shown["run"]["status"], "failed");
    let reason = "a data check failed: notes: min_rows 37";
    assert_eq!(shown["run"]["reason"], reason);
    assert_eq!(
        shown["calls"],
        json!([{"endpoint": "note_search", "class": "ok", "calls": 2, "billed": 2, "unknown": 0, "cost": 0.2}])
    );
    let tables = |files: &Value| -> Vec<String> {
        let files = files.as_array().expect("a list");
        let names = files.iter().map(|f| f["table"].as_str().expect("a name"));
        names.map(str::to_owned).collect()
    };
    assert_eq!(tables(&shown["files"]), ["requests", "runs"]);
    assert_eq!(
        tables(&shown["held"]["add"]),
        tables(&show(&lake, &good_id)["files"])
    );
    assert_eq!(show(&lake, &good_id)["held"], Value::Null);
    let result = &shown["held"]["checks"][0];
    assert_eq!(result["failing_rows"], 1);
    assert_eq!(result["rows"], json!([{"rows": 36, "min_rows": 37}]));

    let printed = text(&lake, &["show", &run_id]);
    for part in [
        format!("run {run_id}: held\n"),
        format!("  reason            {reason}\n"),
        "| note_search | ok    | 2     | 2      | 0              | 0.20 |\n".to_owned(),
        "failed: notes: min_rows 37\n  36 rows; at least 37 wanted\n".to_owned(),
        "| rows | min_rows |\n".to_owned(),
        "| 36   | 37       |\n".to_owned(),
        format!("redlake publish {run_id} --lake "),
        format!("redlake discard {run_id} --lake "),
    ] {
        assert!(
            printed.contains(&part),
            "`{part}` is missing in:\n{printed}"
        );
    }

    let output = text(&lake, &["publish", &run_id, "--format", "json"]);
    let published: Value = serde_json::from_str(&output).expect("JSON");
    assert_eq!(published["rows"]["notes"], 36);
    assert_eq!(lake.value("select count(*) from notes"), 72);
    assert_eq!(lake.value("select count(*) from requests"), 4);
    assert_eq!(states(&lake), ["complete", "complete"]);
    let reason = format!("published although {reason}");
    let runs = format!("select reason from runs where run_id = '{run_id}'");
    assert_eq!(lake.value(&runs), reason);
    assert_eq!(stagings(&lake), Vec::<PathBuf>::new());
    for command in ["publish", "discard"] {
        let (code, stderr) = fail(&mut lake.redlake(&[command, &run_id]));
        assert_eq!(code, 2);
        let said = format!("error: nothing is held of the run {run_id}");
        assert!(stderr.contains(&said), "{stderr}");
        assert!(stderr.contains("hint: `redlake runs`"), "{stderr}");
    }
    // The catalog knows of it, and so does the next run.
    let next = run(
        &lake,
        &checking(
            &lake,
            "",
            &["{table: notes, row_count_change: {at_most: 0}}"],
        ),
    );
    assert_eq!(
        (next.code, &next.report["check_remarks"]),
        (0, &Value::Null)
    );
}

#[test]
fn discarded_tables_can_be_made_of_the_pages_that_stay() {
    let lake = Lake::new();
    let pipeline = checking(&lake, "raw: none", &[BLOCKING]);
    let held = run(&lake, &pipeline);
    assert_eq!(held.code, 6);
    let raw = lake.raw_files();
    assert_eq!(raw.len(), 1, "the answers are kept");
    let printed = text(&lake, &["discard", held.run_id()]);
    let said = format!(
        "run {}: discarded; its pages and its ledger stay\n",
        held.run_id()
    );
    assert!(printed.contains(&said), "{printed}");
    assert!(
        printed.contains("redlake transform PIPELINE --lake "),
        "{printed}"
    );
    assert_eq!(states(&lake), ["failed"]);
    assert_eq!(stagings(&lake), Vec::<PathBuf>::new());
    assert_eq!(lake.value("select count(*) from notes"), 0);
    assert_eq!(lake.raw_files(), raw);

    // The same checks hold there.
    let raw = raw[0].to_str().expect("UTF-8");
    let path = pipeline.to_str().expect("UTF-8");
    let transform = ["transform", path, "--raw", raw];
    let (code, stderr) = fail(&mut lake.redlake(&transform));
    assert_eq!(code, 6);
    let said = format!(
        "run {}: a data check failed: notes: min_rows 37; its tables are held",
        held.run_id()
    );
    assert!(stderr.contains(&said), "{stderr}");
    assert_eq!(states(&lake), ["held"]);
    assert_eq!(lake.value("select count(*) from notes"), 0);

    // With checks that hold the tables are made, and what was held is gone.
    checking(&lake, "raw: none", &["{table: notes, min_rows: 36}"]);
    succeed(&mut lake.redlake(&transform));
    assert_eq!(lake.value("select count(*) from notes"), 36);
    assert_eq!(stagings(&lake), Vec::<PathBuf>::new());
    assert_eq!(states(&lake), ["failed"]);
    assert_eq!(lake.raw_files().len(), 0);
}

#[test]
fn flattening_anew_leaves_the_old_tables_where_a_check_fails() {
    let lake = Lake::new();
    let good = run(
        &lake,
        &checking(&lake, "", &["{table: notes, min_rows: 1}"]),
    );
    let before = lake.table_files();
    // Of this run's own rows each stands once in what the checks see.
    let once = "{sql: select note_id from notes group by note_id having count(*) > 1}";
    let ledger = "{table: requests, min_rows: 2}";
    let pipeline = checking(&lake, "", &[BLOCKING, once, ledger]);
    let raw = lake.raw_files();
    let raw = raw[0].to_str().expect("UTF-8");
    let transform = [
        "transform",
        pipeline.to_str().expect("UTF-8"),
        "--raw",
        raw,
        "--format",
        "json",
    ];
    let output = lake
        .redlake(&transform)
        .output()
        .expect("the binary starts");
    assert_eq!(output.status.code(), Some(6));
    let runs: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(runs[0]["held"], "a data check failed: notes: min_rows 37");
    assert_eq!(
        runs[0]["checks"],
        json!({"passed": 2, "warned": 0, "failed": 1})
    );
    assert_eq!(runs[0]["rows"], json!({}));
    assert_eq!(lake.table_files(), before);
    assert_eq!(states(&lake), ["held"]);

    succeed(&mut lake.redlake(&["publish", good.run_id()]));
    assert_eq!(states(&lake), ["complete"]);
    assert_eq!(lake.value("select count(*) from notes"), 36);
    assert_eq!(lake.value("select count(*) from requests"), 2);
}

#[test]
fn a_run_that_is_held_is_over_and_hinders_no_other() {
    let lake = Lake::new();
    let held = run(&lake, &checking(&lake, "", &[BLOCKING]));
    let again = run(&lake, &checking(&lake, "", &[BLOCKING]));
    assert_eq!((held.code, again.code), (6, 6));
    assert_ne!(held.run_id(), again.run_id());
    assert_eq!(again.report["continued"], false);
    let good = run(
        &lake,
        &checking(&lake, "", &["{table: notes, min_rows: 36}"]),
    );
    assert_eq!(good.code, 0, "{}", good.stderr);
    assert_eq!(states(&lake), ["held", "held", "complete"]);
    assert_eq!(lake.value("select count(*) from requests"), 6);

    // Each is decided on by itself, by any part of its id that no other begins with.
    succeed(&mut lake.redlake(&["publish", held.run_id()]));
    assert_eq!(states(&lake), ["complete", "held", "complete"]);
    let id = again.run_id();
    succeed(&mut lake.redlake(&["discard", &id[..id.len() - 1]]));
    assert_eq!(states(&lake), ["complete", "failed", "complete"]);
    assert_eq!(lake.value("select count(*) from notes"), 72);
    let (code, stderr) = fail(&mut lake.redlake(&["show", &id[..4]]));
    assert_eq!(code, 2);
    assert!(
        stderr.contains("error: several runs begin with"),
        "{stderr}"
    );
    let (code, stderr) = fail(&mut lake.redlake(&["show", "no-run"]));
    assert_eq!(code, 2);
    assert!(
        stderr.contains("error: there is no run `no-run` in this lake"),
        "{stderr}"
    );
    assert!(
        stderr.contains("hint: `redlake runs` lists them; the nearest are"),
        "{stderr}"
    );
}

#[test]
fn a_run_that_goes_on_is_checked_again_when_it_ends() {
    let lake = Lake::new();
    let path = checking(&lake, "", &["{table: notes, min_rows: 36}"]);
    let whole = fs::read_to_string(&path).expect("the pipeline");
    let short = whole.replace(
        "requests_per_second: 1000",
        "requests_per_second: 1000, requests_per_run: 1",
    );
    fs::write(&path, short).expect("writable");
    let stopped = run(&lake, &path);
    assert_eq!(stopped.code, 5, "{}", stopped.stderr);
    assert_eq!(stopped.report["checks"]["failed"], 1);
    assert_eq!(stopped.report["held"], false);
    assert_eq!(states(&lake), ["stopped"]);
    assert_eq!(lake.value("select count(*) from notes"), 0);
    assert_eq!(stagings(&lake), Vec::<PathBuf>::new());

    fs::write(&path, whole).expect("writable");
    let ended = run(&lake, &path);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_eq!(ended.run_id(), stopped.run_id());
    assert_eq!(lake.value("select count(*) from notes"), 36);
    assert_eq!(lake.value("select count(*) from requests"), 2);
}

#[test]
fn a_run_that_is_closed_is_held_too() {
    let lake = Lake::new();
    let path = checking(&lake, "", &[BLOCKING]);
    let whole = fs::read_to_string(&path).expect("the pipeline");
    let short = whole.replace(
        "requests_per_second: 1000",
        "requests_per_second: 1000, requests_per_run: 1",
    );
    fs::write(&path, short).expect("writable");
    let stopped = run(&lake, &path);
    assert_eq!(stopped.code, 5);
    checking(&lake, "", &["{table: notes, min_rows: 30}"]);
    let ended = run_with(&lake, &path, &["--resume", "never"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let said = format!("its tables are held, see redlake show {}", stopped.run_id());
    assert!(ended.stderr.contains(&said), "{}", ended.stderr);
    assert_eq!(states(&lake), ["held", "complete"]);
    succeed(&mut lake.redlake(&["publish", stopped.run_id()]));
    assert_eq!(states(&lake), ["partial", "complete"]);
}

/// As after a kill between `held.json` and the commit of the ledger: the run goes on, pays nothing
/// and is held.
#[test]
fn a_run_that_dies_while_it_is_held_back_is_held_by_the_next_one() {
    let lake = Lake::new();
    let path = checking(&lake, "", &[BLOCKING]);
    let held = run(&lake, &path);
    let id = held.run_id();
    fs::remove_file(lake.path().join(format!("_commits/{id}.json"))).expect("the ledger's commit");
    for table in ["requests", "runs"] {
        let file = format!("tables/{table}/dt=2026-03-09/{id}.parquet");
        fs::remove_file(lake.path().join(file)).expect("the ledger");
    }
    let journal = lake.path().join(format!("_state/runs/{id}.ndjson"));
    let text = fs::read_to_string(&journal).expect("the journal");
    let until = text.find("{\"committed\"").expect("an entry");
    fs::write(&journal, &text[..until]).expect("writable");

    // Whoever opens the lake finds garbage.
    assert_eq!(states(&lake), Vec::<String>::new());
    assert_eq!(stagings(&lake), Vec::<PathBuf>::new());
    let again = run(&lake, &path);
    assert_eq!((again.code, again.run_id()), (6, id));
    assert_eq!(again.report["continued"], true);
    assert_eq!(states(&lake), ["held"]);
    assert_eq!(lake.value("select count(*) from requests"), 2);
    assert_eq!(stagings(&lake).len(), 1);
}

#[test]
fn a_damaged_file_is_not_published() {
    let lake = Lake::new();
    let held = run(&lake, &checking(&lake, "", &[BLOCKING]));
    let staging = stagings(&lake).remove(0);
    let file = staging.join(format!(
        "tables/notes/dt=2026-03-09/{}.parquet",
        held.run_id()
    ));
    let mut bytes = fs::read(&file).expect("the file");
    bytes[100] ^= 1;
    fs::write(&file, bytes).expect("writable");
    let (code, stderr) = fail(&mut lake.redlake(&["publish", held.run_id()]));
    assert_eq!(code, 2);
    assert!(
        stderr.contains("cannot be published: its checksum is another"),
        "{stderr}"
    );
    assert_eq!(lake.value("select count(*) from notes"), 0);
    assert_eq!(states(&lake), ["held"]);
}

#[test]
fn mistakes_in_checks_are_told_before_any_call() {
    let lake = Lake::new();
    let pipeline = checking(
        &lake,
        "",
        &["{table: nots, min_rows: 1}", "{table: notes, unique: [id]}"],
    );
    let (code, stderr) = fail(&mut lake.redlake(&["run", pipeline.to_str().expect("UTF-8")]));
    assert_eq!(code, 2);
    for said in [
        "unknown table `nots`",
        "did you mean `notes`?",
        "unknown column of notes `id`",
        "2 mistakes found",
    ] {
        assert!(stderr.contains(said), "`{said}` is missing in:\n{stderr}");
    }
    assert!(!lake.path().exists());
}
