//! Data checks from the outside: what blocks a commit, what is kept, and who decides.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::{Lake, fail, succeed};

/// A small pipeline of the sandbox with these checks, each a line of YAML.
pub fn checking(lake: &Lake, more: &str, checks: &[&str]) -> PathBuf {
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
pub struct Ended {
    pub code: i32,
    pub stderr: String,
    pub report: Value,
}

impl Ended {
    pub fn run_id(&self) -> &str {
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

pub fn run_with(lake: &Lake, pipeline: &Path, more: &[&str]) -> Ended {
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

pub fn run(lake: &Lake, pipeline: &Path) -> Ended {
    run_with(lake, pipeline, &[])
}

pub fn show(lake: &Lake, run_id: &str) -> Value {
    let output = succeed(&mut lake.redlake(&["show", run_id, "--format", "json"]));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

pub fn text(lake: &Lake, args: &[&str]) -> String {
    String::from_utf8(succeed(&mut lake.redlake(args)).stdout).expect("UTF-8")
}

/// What `redlake runs` says of the runs.
pub fn states(lake: &Lake) -> Vec<String> {
    let output = succeed(&mut lake.redlake(&["runs", "--format", "json"]));
    let runs: Vec<Value> = serde_json::from_slice(&output.stdout).expect("JSON");
    let states = runs.iter().map(|run| run["status"].as_str().expect("text"));
    states.map(str::to_owned).collect()
}

pub fn stagings(lake: &Lake) -> Vec<PathBuf> {
    let folder = fs::read_dir(lake.path().join("_staging")).expect("a folder");
    folder.flatten().map(|entry| entry.path()).collect()
}

/// Fails with the 36 notes of the pipeline.
pub const BLOCKING: &str = "{table: notes, min_rows: 37}";

#[test]
fn a_passed_check_commits_the_tables() {
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
fn a_failed_check_blocks_the_tables_and_lists_the_rows() {
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
            "{sql: select error('no') from run.notes where error('no') is null, name: broken}",
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
                "2 values of endpoint, note_type occur more than once",
                2
            ),
            (
                "enough notes",
                "failed",
                "row count 36; at least 37 expected",
                1
            ),
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
                "the query returned 2 rows",
                2
            ),
        ]
    );
    let (name, outcome, message, rows) = told[6];
    assert_eq!((name, outcome, rows), ("broken", "failed", 0));
    assert!(message.starts_with("it could not be made: "), "{message}");
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
    let hint = format!("`redlake publish {} --lake ", ended.run_id());
    assert!(ended.stderr.contains(&hint), "{}", ended.stderr);

    // The money is on record; the tables are as they were.
    assert_eq!(
        ended.report["rows"],
        json!({"requests": 2, "runs": 1, "searches": 1})
    );
    assert_eq!(lake.value("select sum(cost) from requests"), 0.2);
    assert_eq!(lake.value("select count(*) from notes"), 0);
    assert_eq!(states(&lake), ["held"]);
}

#[test]
fn a_failed_warning_check_is_reported_and_does_not_hold_the_run() {
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
    let message = "row count 36; at least 37 expected";
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
fn rejects_and_row_counts_are_checked_against_their_limits() {
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
    assert_eq!(first.report["tally"]["notes"]["written"], 32);
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
    assert_eq!((written, rejected), (17, 2));
    let share = 2.0 / 19.0;
    assert_eq!(
        told[0].2,
        format!(
            "rows rejected {rejected}, written {written}: a share of {share:.4}; at most 0.01 allowed"
        )
    );
    let rows = show(&lake, second.run_id());
    let rows = &rows["held"]["checks"][0]["rows"];
    assert_eq!(rows[0]["column"], "title");
    assert_eq!(rows[0]["rows"], rejected);
    assert_eq!(
        told[1].2,
        format!(
            "row count {written}; 30.0 is the median of the last runs (1), and a change of 0.3 is allowed"
        )
    );
    assert_eq!(told.len(), 2);
}

#[test]
fn the_checks_of_the_documents_are_valid() {
    let pipelines = crate::support::repository("pipelines/README.md");
    let readme = fs::read_to_string(pipelines).expect("the document");
    let blocks = readme.split("```yaml\n").skip(1);
    let mut blocks = blocks.filter_map(|block| block.split("```").next());
    let block = blocks.find(|block| block.starts_with("checks:\n"));
    let lake = Lake::new();
    let pipeline = checking(&lake, "", &[]);
    let text = fs::read_to_string(&pipeline).expect("the pipeline");
    let text = text.replace("checks:\n", block.expect("a block of checks"));
    fs::write(&pipeline, text).expect("writable");
    let printed = self::text(&lake, &["validate", pipeline.to_str().expect("UTF-8")]);
    assert!(printed.contains(": valid, at most "), "{printed}");
}

#[test]
fn an_invalid_query_is_refused_before_any_call() {
    let lake = Lake::new();
    let checks = [
        "{sql: select 1 from run.notez}",
        "{table: notes, min_rows: 1}",
        "{sql: select likes from engagement_latest}",
    ];
    let pipeline = checking(&lake, "", &checks);
    for command in ["run", "validate"] {
        let (code, stderr) = fail(&mut lake.redlake(&[command, pipeline.to_str().expect("UTF-8")]));
        assert_eq!(code, 2);
        for said in [
            "this query cannot run: Catalog Error: Table with name notez does not exist! Did you mean \"notes\"?",
            "checking.yaml:11:11",
            "this query cannot run: Binder Error: Referenced column \"likes\" not found in FROM clause!",
            "checking.yaml:13:11",
            "run.<table>",
        ] {
            assert!(stderr.contains(said), "`{said}` is missing in:\n{stderr}");
        }
    }
    assert!(!lake.path().exists());
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

/// A file beside the lake, pages, records: a check that names one is refused before any call.
#[test]
fn sql_of_checks_reads_tables_and_no_other_file() {
    let lake = Lake::new();
    let first = run(
        &lake,
        &checking(&lake, "", &["{table: notes, min_rows: 1}"]),
    );
    assert_eq!(first.code, 0, "{}", first.stderr);
    let secret = lake.write("secret.csv", "a\n1\n");
    let page = lake.raw_files().remove(0);
    let kept = fs::read(&page).expect("pages");
    let (secret, page) = (secret.display(), page.display());
    let records = lake.path().join("_commits/*.json");
    let above = lake.path().join("tables/../_commits/*.json");
    let refused = [
        format!("select * from '{secret}'"),
        format!("select * from read_text('{secret}')"),
        format!("select * from run.notes where title = (select content from read_text('{page}'))"),
        format!("select * from read_json_auto('{}')", records.display()),
        format!("select * from read_text('{}')", above.display()),
        "select * from glob('/*')".to_owned(),
        "select * from read_csv('https://127.0.0.1:1/x.csv')".to_owned(),
        "select getenv('HOME')".to_owned(),
        format!("copy (select 1) to '{secret}'"),
        format!("select 1); copy (select 1) to '{secret}'; select * from (select 1"),
        format!("select 1); copy (select 1) to '{page}'; select * from (select 1"),
        "attach 'other.duckdb' as other".to_owned(),
        "install httpfs".to_owned(),
        "set enable_external_access = true".to_owned(),
        "select 1); set lock_configuration = false; select * from (select 1".to_owned(),
    ];
    for sql in &refused {
        let check = format!("{{sql: {}}}", serde_json::json!(sql));
        let pipeline = checking(&lake, "", &[&check]);
        for command in ["validate", "run"] {
            let (code, stderr) =
                fail(&mut lake.redlake(&[command, pipeline.to_str().expect("UTF-8")]));
            assert_eq!(code, 2, "{sql}: {stderr}");
            assert!(
                stderr.contains("this query cannot run: "),
                "{sql}: {stderr}"
            );
        }
    }
    assert_eq!(fs::read(lake.raw_files().remove(0)).expect("pages"), kept);
    let secret = fs::read_to_string(secret.to_string());
    assert_eq!(secret.expect("text"), "a\n1\n");
    assert_eq!(states(&lake), ["complete"]);
    let (_, stderr) = {
        let sql = serde_json::json!(refused[0]);
        let pipeline = checking(&lake, "", &[&format!("{{sql: {sql}}}")]);
        fail(&mut lake.redlake(&["validate", pipeline.to_str().expect("UTF-8")]))
    };
    assert!(
        stderr
            .contains("hint: a query of a pipeline can read only the tables and marts of the lake"),
        "{stderr}"
    );
}

/// Some names of files are not known before the query runs.
#[test]
fn sql_of_checks_is_confined_when_it_runs() {
    let lake = Lake::new();
    let first = run(
        &lake,
        &checking(&lake, "", &["{table: notes, min_rows: 1}"]),
    );
    let page = lake.raw_files().remove(0);
    // Empty tables give no path, so nothing is tried before the calls.
    let sql = format!(
        "select n.note_id from run.notes n, query_table((select 'no' || 'tes')) where \
         (select content from read_text(replace('{}', 'XX', 'X'))) is null",
        page.display()
    );
    let check = format!("{{sql: {}}}", json!(sql));
    let ended = lake
        .redlake(&[
            "run",
            checking(&lake, "", &[&check]).to_str().expect("UTF-8"),
        ])
        .output()
        .expect("it runs");
    assert_ne!(ended.status.code(), Some(0));
    assert_eq!(lake.raw_files().len(), 1);
    assert_eq!(first.code, 0);
    // What a check may read, it reads: the lake's tables, those of the run, and the files of both.
    let files = lake.path().join("tables/notes/dt=*/*.parquet");
    let allowed = [
        format!(
            "select * from read_parquet('{}') where note_id is null",
            files.display()
        ),
        "select * from run.notes join notes_latest using (note_id) where note_id is null"
            .to_owned(),
        "from run.notes where note_id is null -- all of them".to_owned(),
        "with n as (select * from run.notes) select * from n where note_id is null".to_owned(),
    ];
    let checks: Vec<String> = allowed
        .iter()
        .map(|sql| format!("{{sql: {}}}", json!(sql)))
        .collect();
    let checks: Vec<&str> = checks.iter().map(String::as_str).collect();
    let ended = run(&lake, &checking(&lake, "", &checks));
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_eq!(ended.report["checks"]["passed"], 4);
}
