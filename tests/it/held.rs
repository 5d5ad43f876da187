//! Tables that a data check held back: shown, published, discarded, and never lost.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::checks::{BLOCKING, checking, run, run_with, show, stagings, states, text};
use crate::support::{Lake, fail, succeed};

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
        path.contains(&run_id)
            && ["/requests/", "/runs/", "/searches/"]
                .iter()
                .any(|table| path.contains(table))
    };
    let mut after = lake.table_files();
    assert_eq!(after.len(), before.len() + 3);
    after.retain(|(path, _)| !is_ledger(path));
    assert_eq!(after, before);
    assert_eq!(states(&lake), ["complete", "held"]);

    let shown = show(&lake, &run_id);
    assert_eq!(shown["run"]["status"], "failed");
    let reason = "a data check failed: notes: min_rows 37";
    assert_eq!(shown["run"]["reason"], reason);
    assert_eq!(
        shown["calls"],
        json!([{"endpoint": "note_search", "class": "ok", "calls": 2, "billed": 2, "unknown": 0, "cost": 0.2,
            "currency": "CNY"}])
    );
    let tables = |files: &Value| -> Vec<String> {
        let files = files.as_array().expect("a list");
        let names = files.iter().map(|f| f["table"].as_str().expect("a name"));
        names.map(str::to_owned).collect()
    };
    assert_eq!(tables(&shown["files"]), ["requests", "runs", "searches"]);
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
        "| note_search | ok    | 2     | 2      | 0              | 0.20 CNY |\n".to_owned(),
        "failed: notes: min_rows 37\n  row count 36; at least 37 expected\n".to_owned(),
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
        let said = format!("error: the run {run_id} has no held tables");
        assert!(stderr.contains(&said), "{stderr}");
        assert!(stderr.contains("hint: run `redlake runs`"), "{stderr}");
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
    text(&lake, &["prune", "--raw-older-than", "0s"]);
    assert_eq!(lake.raw_files(), raw, "as long as nobody has decided");
    let printed = text(&lake, &["discard", held.run_id()]);
    let said = format!(
        "run {}: discarded; its pages and its ledger are kept\n",
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
fn flattening_again_keeps_the_old_tables_if_a_check_fails() {
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
    assert_eq!(runs[0]["held"], true);
    assert_eq!(runs[0]["reason"], "a data check failed: notes: min_rows 37");
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
        stderr.contains("hint: run `redlake runs` to list them; the nearest are"),
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

    // The staging is garbage, which the next command removes.
    assert_eq!(states(&lake), ["open"]);
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
        stderr.contains("cannot be published: its checksum differs"),
        "{stderr}"
    );
    assert_eq!(lake.value("select count(*) from notes"), 0);
    assert_eq!(states(&lake), ["held"]);
}
