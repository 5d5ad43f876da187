//! `prune` and `verify`: what a lake holds stays what it is, or goes as a whole.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Lake, declared, fail, succeed};

pub const PIPELINE: &str = "
version: 1
pipeline: hourly
source: {name: justoneapi, base_url: sandbox}
keyword_sets: {words: [兰蔻, 防晒]}
extract:
  - {endpoint: note_search, keywords: [words], pages: {max: 2}}
limits: {requests_per_second: 1000}
";

/// The tables that the pipeline fills.
pub const TABLES: [&str; 12] = [
    "notes",
    "engagement",
    "users",
    "search_results",
    "search_pages",
    "note_images",
    "note_videos",
    "note_tags",
    "note_badges",
    "requests",
    "runs",
    "searches",
];

/// A lake with runs at these hours of days in March 2026, oldest first; their ids.
pub fn lake_with_runs(at: &[(u32, u32)]) -> (Lake, Vec<String>) {
    let lake = Lake::new();
    let runs = at.iter().map(|(day, hour)| run(&lake, *day, *hour));
    let runs = runs.collect();
    (lake, runs)
}

pub fn run(lake: &Lake, day: u32, hour: u32) -> String {
    let pipeline = lake.write("hourly.yaml", PIPELINE);
    let at = format!("2026-03-{day:02}T{hour:02}:00:00+08:00");
    let report = lake.run(&pipeline, &["--snapshot-at", &at]);
    assert_eq!(report["status"], "complete");
    report["run_id"].as_str().expect("an id").to_owned()
}

pub fn json_of(lake: &Lake, args: &[&str]) -> Value {
    let output = succeed(lake.redlake(args).args(["--format", "json"]));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// The files of a table's day, by name.
pub fn files(lake: &Lake, table: &str, day: u32) -> Vec<String> {
    let folder = lake
        .path()
        .join(format!("tables/{table}/dt=2026-03-{day:02}"));
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

pub fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

#[test]
fn pruning_a_run_leaves_the_other_runs_and_the_ledger() {
    for compacted in [false, true] {
        let (lake, runs) = lake_with_runs(&[(8, 1), (8, 2), (9, 1)]);
        if compacted {
            succeed(&mut lake.redlake(&["compact", "--before", "2026-03-09"]));
        }
        // The rows of a run, by table.
        let rows = |run: &str| {
            let count =
                |table| format!("(SELECT count(*) FROM {table} WHERE run_id = '{run}') AS {table}");
            let counts: Vec<String> = TABLES.iter().map(count).collect();
            lake.query(&format!("SELECT {}", counts.join(", ")))
                .remove(0)
        };
        let kept = rows(&runs[1]);
        let whole = lake.checksums(&TABLES);
        json_of(&lake, &["prune", "--run", &runs[0], "--dry-run"]);
        assert_eq!(lake.checksums(&TABLES), whole);
        assert_eq!(lake.raw_files().len(), 3);

        let pruned = json_of(&lake, &["prune", "--run", &runs[0]]);
        let (files, rewritten) = if compacted { (0, 9) } else { (9, 0) };
        assert_eq!(pruned["files"], files, "{pruned}");
        assert_eq!(pruned["rewritten"], rewritten, "{pruned}");
        assert_eq!(pruned["raw_files"], 1);
        assert_eq!(pruned["days"], json!(["2026-03-08"]));
        assert_eq!(lake.raw_files().len(), 2);
        let pruned = rows(&runs[0]);
        for table in &TABLES[..9] {
            assert_eq!(pruned[*table], 0, "{table}");
        }
        assert_eq!(pruned["runs"], 1);
        assert_eq!(rows(&runs[1]), kept);
        assert_eq!(json_of(&lake, &["verify"])["problems"], json!([]));
    }
}

#[test]
fn a_run_is_not_pruned_by_a_shortened_id_alone() {
    for compacted in [false, true] {
        let (lake, runs) = lake_with_runs(&[(8, 1), (8, 2)]);
        if compacted {
            succeed(&mut lake.redlake(&["compact", "--before", "2026-03-09"]));
        }
        let whole = lake.checksums(&TABLES);
        // Ids of runs that start in the same second differ in the last digits only.
        let short = &runs[0][..runs[0].len() - 1];
        let rows = |table: &str| {
            lake.value(&format!(
                "SELECT count(*) FROM {table} WHERE run_id = '{}'",
                runs[0]
            ))
        };
        let paid = json!({"notes": rows("notes"), "calls": rows("requests")});

        let output = lake.redlake(&["prune", "--run", short]).output();
        let output = output.expect("it runs");
        assert_eq!(output.status.code(), Some(2));
        let said = String::from_utf8(output.stderr).expect("UTF-8");
        let expected = format!(
            "error: nothing was removed: `{short}` is not the whole id of run {id}\n  \
             hint: this cannot be undone; to remove the run: redlake prune --run {id} --lake {}\n",
            lake.path().display(),
            id = runs[0]
        );
        assert_eq!(said, expected);
        let told = String::from_utf8(output.stdout).expect("UTF-8");
        for part in [
            format!("run {}\n  pipeline          hourly\n", runs[0]),
            "  snapshot_at       2026-03-07 17:00:00 UTC\n".to_owned(),
            format!("  notes             {} rows\n", paid["notes"]),
            format!("  raw file          {} (", lake.raw_files()[0].display()),
            format!("  paid for it       {0} calls, {0} billed\n", paid["calls"]),
            "would be removed".to_owned(),
        ] {
            assert!(told.contains(&part), "{part}: {told}");
        }
        let dry = json_of(&lake, &["prune", "--run", short, "--dry-run"]);
        assert_eq!(dry["run"]["run_id"], runs[0]);
        assert_eq!(dry["run"]["tables"]["notes"], paid["notes"]);
        assert_eq!(dry["run"]["calls"], paid["calls"]);
        // Neither does it remove what was asked for beside the run.
        let beside = ["prune", "--run", short, "--raw-older-than", "0s"];
        let (code, said) = fail(&mut lake.redlake(&beside));
        assert_eq!(code, 2);
        assert!(said.contains("add `--yes`"), "{said}");
        assert_eq!(lake.checksums(&TABLES), whole);
        assert_eq!(lake.raw_files().len(), 2);

        let pruned = json_of(&lake, &["prune", "--run", short, "--yes"]);
        assert_eq!(pruned["run"], dry["run"]);
        assert_eq!(pruned["rows"], dry["rows"]);
        assert_eq!(rows("notes"), 0);
        assert_eq!(lake.raw_files().len(), 1);
        assert_eq!(json_of(&lake, &["verify"])["problems"], json!([]));
    }
}

#[test]
fn pruning_by_age_takes_whole_days_and_old_pages() {
    let (lake, _) = lake_with_runs(&[(8, 1), (9, 1)]);
    let all = lake.checksums(&TABLES);
    // The pages were committed just now, whatever time they tell of.
    let young = json_of(&lake, &["prune", "--raw-older-than", "1d"]);
    assert_eq!(young["raw_files"], 0);
    let dry = json_of(&lake, &["prune", "--tables-older-than", "1d", "--dry-run"]);
    assert_eq!(lake.checksums(&TABLES), all);
    let pruned = json_of(&lake, &["prune", "--tables-older-than", "1d"]);
    assert_eq!(pruned, dry);
    // Nine tables and six marts on two days, and two marts of two weeks.
    assert_eq!(pruned["files"], 34);
    assert_eq!(pruned["days"], json!(["2026-03-08", "2026-03-09"]));
    assert_eq!(lake.value("SELECT count(*) FROM notes"), 0);
    assert_eq!(lake.value("SELECT count(*) FROM runs"), 2);
    assert!(!lake.path().join("tables/notes/dt=2026-03-08").exists());
    let pruned = json_of(&lake, &["prune", "--tables-older-than", "1d", "--ledger"]);
    // Three tables on two days, and the costs, which are computed from them.
    assert_eq!(pruned["files"], 8);
    assert_eq!(lake.value("SELECT count(*) FROM runs"), 0);
    assert_eq!(lake.raw_files().len(), 2);
    let pruned = json_of(&lake, &["prune", "--raw-older-than", "0s"]);
    assert_eq!(pruned["raw_files"], 2);
    assert_eq!(lake.raw_files().len(), 0);
}

#[test]
fn pruning_needs_to_know_what_and_which_run() {
    let (lake, runs) = lake_with_runs(&[(8, 1)]);
    let (code, _) = fail(&mut lake.redlake(&["prune"]));
    assert_eq!(code, 2);
    let (code, said) = fail(&mut lake.redlake(&["prune", "--run", "none"]));
    assert_eq!(code, 2);
    let expected = format!(
        "error: there is no run `none` in this lake\n  \
         hint: run `redlake runs` to list them; the nearest are {}\n",
        runs[0]
    );
    assert_eq!(said, expected);
}

#[test]
fn verification_finds_missing_damaged_and_foreign_files() {
    let (lake, runs) = lake_with_runs(&[(8, 1)]);
    let file = |table: &str| format!("tables/{table}/dt=2026-03-08/{}.parquet", runs[0]);
    let verified = json_of(&lake, &["verify"]);
    assert_eq!(verified["files"], TABLES.len() + declared("marts").len());
    assert_eq!(verified["problems"], json!([]));

    let path = |table: &str| lake.path().join(file(table));
    std::fs::remove_file(path("users")).expect("removed");
    let mut bytes = std::fs::read(path("notes")).expect("a file");
    bytes[1_000] ^= 1;
    std::fs::write(path("notes"), &bytes).expect("written");
    std::fs::write(path("runs"), b"PAR1").expect("written");
    let stranger = "tables/notes/dt=2026-03-08/copy.parquet";
    std::fs::copy(path("notes"), lake.path().join(stranger)).expect("copied");

    let output = lake
        .redlake(&["verify", "--format", "json"])
        .output()
        .expect("the binary starts");
    assert_eq!(output.status.code(), Some(6));
    let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let problem = |path: &str, kind: &str| json!({"path": path, "kind": kind});
    let problems = found["problems"].as_array().expect("a list");
    let told: Vec<Value> = problems
        .iter()
        .map(|p| json!({"path": p["path"], "kind": p["kind"]}))
        .collect();
    let expected = [
        problem(&file("notes"), "damaged"),
        problem(stranger, "stranger"),
        problem(&file("runs"), "damaged"),
        problem(&file("users"), "missing"),
    ];
    assert_eq!(told, expected);
    assert_eq!(
        problems[0]["detail"],
        "its contents differ from what was committed"
    );

    succeed(&mut lake.redlake(&["verify", "--quarantine", "--dry-run"]));
    assert!(lake.path().join(stranger).exists());
    let (code, _) = fail(&mut lake.redlake(&["verify", "--quarantine"]));
    assert_eq!(code, 6);
    assert!(!lake.path().join(stranger).exists());
    let moved = lake.path().join("_state/quarantine").join(stranger);
    assert!(moved.exists());
}

#[test]
fn a_failed_catalog_write_still_reports_the_committed_run() {
    let (lake, runs) = lake_with_runs(&[(8, 1), (8, 2)]);
    let catalog = lake.path().join("lake.duckdb");
    std::fs::remove_file(&catalog).expect("a catalog");
    std::fs::create_dir_all(catalog.join("folder")).expect("a writable folder");
    let pipeline = lake.write("hourly.yaml", PIPELINE);
    let raw = lake.raw_files();
    let commands = [
        (
            vec![
                "run",
                text(&pipeline),
                "--snapshot-at",
                "2026-03-09T01:00:00+08:00",
            ],
            "notes",
        ),
        (
            vec!["transform", text(&pipeline), "--raw", text(&raw[0])],
            "909 rows in 9 tables",
        ),
        (vec!["compact"], "files became"),
        (vec!["marts", "--all"], "keyword_daily"),
        (vec!["prune", "--run", &runs[0]], "removed"),
    ];
    for (command, summary) in commands {
        let output = lake.redlake(&command).output().expect("it runs");
        assert_eq!(output.status.code(), Some(1), "{command:?}");
        let said = String::from_utf8(output.stderr).expect("UTF-8");
        assert!(
            said.contains("error: the catalog lake.duckdb could not be written\n"),
            "{said}"
        );
        let hint = "hint: the data is committed; `redlake query` works without that file\n";
        assert!(said.ends_with(hint), "{said}");
        let told = String::from_utf8(output.stdout).expect("UTF-8");
        assert!(told.contains(summary), "{command:?}: {told}");
    }
    assert_eq!(lake.value("SELECT count(DISTINCT run_id) FROM runs"), 3);
    assert_eq!(lake.value("SELECT count(DISTINCT run_id) FROM notes"), 2);
    assert_eq!(json_of(&lake, &["verify"])["problems"], json!([]));
}

pub fn flatten_anew(lake: &Lake, run_id: &str) {
    let pipeline = lake.write("hourly.yaml", PIPELINE);
    let raw = lake.raw_files();
    let mut raw = raw.iter().map(|path| text(path));
    let raw = raw.find(|path| path.contains(run_id)).expect("its pages");
    succeed(&mut lake.redlake(&["transform", text(&pipeline), "--raw", raw]));
}

/// What a command prints, whether or not it ends well.
pub fn json_of_any(lake: &Lake, args: &[&str]) -> Value {
    let output = lake.redlake(args).args(["--format", "json"]).output();
    serde_json::from_slice(&output.expect("it runs").stdout).expect("JSON")
}

/// A machine that lost its clock with its power commits what it flattens anew long before the commits it follows.
#[test]
fn a_clock_that_is_set_back_does_not_change_the_order_of_commits() {
    let (lake, runs) = lake_with_runs(&[(8, 1), (8, 2)]);
    let clock = lake.path().join("_state/clock.json");
    let rows = lake.value("SELECT count(*) FROM notes");
    // As if all this had happened in the year 2100.
    for entry in std::fs::read_dir(lake.path().join("_commits")).expect("a folder") {
        let path = entry.expect("a record").path();
        let record = std::fs::read_to_string(&path).expect("a record");
        let record = record.replace("\"committed_at\": \"20", "\"committed_at\": \"21");
        std::fs::write(&path, record).expect("writable");
    }
    std::fs::remove_file(&clock).expect("the newest time");
    let output = succeed(&mut lake.redlake(&["compact"]));
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(said.contains("one of the two is wrong"), "{said}");
    assert_eq!(json_of(&lake, &["verify"])["problems"], json!([]));
    flatten_anew(&lake, &runs[0]);
    assert_eq!(json_of(&lake, &["verify"])["problems"], json!([]));
    assert_eq!(lake.value("SELECT count(*) FROM notes"), rows);
    run(&lake, 8, 3);
    succeed(&mut lake.redlake(&["compact"]));
    assert_eq!(json_of(&lake, &["verify"])["problems"], json!([]));
    assert_eq!(files(&lake, "notes", 8).len(), 1);
}
