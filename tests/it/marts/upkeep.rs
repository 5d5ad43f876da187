use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::{files, observe, watch};
use crate::support::{Lake, declared, fail, succeed};

fn marts(lake: &Lake, more: &[&str]) -> Value {
    let args = [&["marts", "--format", "json"], more].concat();
    let output = succeed(&mut lake.redlake(&args));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn views_have_their_words_from_the_contracts_and_are_empty_before_the_first_run() {
    let lake = Lake::new();
    let pipeline = watch(&lake, "first");
    succeed(&mut lake.redlake(&["extract", pipeline.to_str().expect("UTF-8")]));
    // The ledger is committed, with the calls.
    for mart in declared("marts")
        .iter()
        .filter(|mart| *mart != "keyword_costs")
    {
        let rows = lake.value(&format!("select count(*) from {mart}"));
        assert_eq!(rows, 0, "{mart}");
    }
    let explained = "select comment from duckdb_views() where view_name = 'keyword_daily'";
    let explained = lake.value(explained);
    let explained = explained.as_str().expect("a comment");
    assert!(explained.contains("counts in full"), "{explained}");
    let typed = "select string_agg(data_type || ' ' || comment, '') from duckdb_columns() \
                 where table_name = 'note_growth' and column_name in ('is_rising', 'hours')";
    let typed = lake.value(typed);
    let typed = typed.as_str().expect("comments");
    assert!(typed.contains("BOOLEAN True when liked_delta"), "{typed}");
    assert!(typed.contains(" [h]"), "{typed}");
    assert_eq!(
        marts(&lake, &[]),
        json!({"days": [], "weeks": [], "files": 0, "rows": {}})
    );
}

#[test]
fn only_dates_whose_tables_changed_are_computed_and_later_ones() {
    let lake = Lake::new();
    let pipeline = watch(&lake, "first");
    let new_notes = "select sum(new_notes)::bigint from keyword_daily where dt = '2026-03-10'";
    observe(&lake, &pipeline, "2026-03-10T04:00:00Z");
    let all_new = lake.value(new_notes).as_i64().expect("a number");
    let first = files(&lake);
    assert_eq!(first.len(), 8);

    // The first run on a later date tells that the earlier one is over.
    let is_over = "select string_agg(distinct dt || ' ' || is_over, ', ' order by dt || ' ' || is_over) \
                   from creator_daily";
    assert_eq!(lake.value(is_over), "2026-03-10 false");
    observe(&lake, &pipeline, "2026-03-11T04:00:00Z");
    assert_eq!(lake.value(is_over), "2026-03-10 true, 2026-03-11 false");
    assert_eq!(files(&lake).len(), 14);

    // Others leave it alone, also those of a pipeline that is new, and those of another week.
    let of_tenth = |files: Vec<(PathBuf, Vec<u8>)>| -> Vec<(PathBuf, Vec<u8>)> {
        let is_it = |path: &PathBuf| path.to_string_lossy().contains("dt=2026-03-10");
        files.into_iter().filter(|(path, _)| is_it(path)).collect()
    };
    let second = of_tenth(files(&lake));
    observe(&lake, &watch(&lake, "other"), "2026-03-16T04:00:00Z");
    observe(&lake, &pipeline, "2026-03-17T04:00:00Z");
    assert_eq!(of_tenth(files(&lake)), second);
    let weeks = "select string_agg(distinct week_start || ' ' || is_over || ' ' || days, ', ' \
                 order by week_start || ' ' || is_over || ' ' || days) \
                 from keyword_weekly where pipeline = 'first'";
    assert_eq!(lake.value(weeks), "2026-03-09 true 2, 2026-03-16 false 1");
    assert_eq!(files(&lake).len(), 28);

    // An earlier one makes notes known to those after it.
    observe(&lake, &pipeline, "2026-03-09T04:00:00Z");
    let third = files(&lake);
    assert_eq!(third.len(), 34);
    assert!(!second.iter().all(|file| third.contains(file)));
    assert_eq!(lake.value(weeks), "2026-03-09 true 3, 2026-03-16 false 1");
    let still_new = lake.value(new_notes).as_i64().expect("a number");
    assert!(still_new < all_new, "{still_new} of {all_new}");

    // Nothing is left to do, and doing it all again changes no byte.
    assert_eq!(marts(&lake, &[])["days"], json!([]));
    let since = marts(&lake, &["--since", "2026-03-11"]);
    let days = json!(["2026-03-11", "2026-03-16", "2026-03-17"]);
    assert_eq!(since["days"], days);
    assert_eq!(since["weeks"], json!(["2026-03-09", "2026-03-16"]));
    let all = marts(&lake, &["--all"]);
    assert_eq!(all["days"].as_array().map(Vec::len), Some(5));
    assert_eq!(all["files"], 0);
    assert_eq!(files(&lake), third);
}

#[test]
fn flattening_again_leaves_marts_with_the_same_bytes() {
    let lake = Lake::new();
    let pipeline = watch(&lake, "first");
    observe(&lake, &pipeline, "2026-03-09T04:00:00Z");
    observe(&lake, &pipeline, "2026-03-10T04:00:00Z");
    let before = files(&lake);
    let raw = lake.raw_files();
    let mut args = vec!["transform", pipeline.to_str().expect("UTF-8"), "--raw"];
    args.extend(raw.iter().map(|path| path.to_str().expect("UTF-8")));
    succeed(&mut lake.redlake(&args));
    assert_eq!(files(&lake), before);
    assert_eq!(marts(&lake, &[])["days"], json!([]), "they were looked at");
}

#[test]
fn missed_marts_are_computed_later() {
    let lake = Lake::new();
    let pipeline = watch(&lake, "first");
    let broken = lake.schemas(&[(
        "marts/note_growth.yaml",
        "  is_rising: {type: bool,",
        "  is_falling: {type: bool,",
    )]);
    let run = [
        "run",
        pipeline.to_str().expect("UTF-8"),
        "--snapshot-at",
        "2026-03-09T04:00:00Z",
        "--format",
        "json",
        "--schemas",
        broken.to_str().expect("UTF-8"),
    ];
    let output = succeed(&mut lake.redlake(&run));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["status"], "complete");
    let why = report["marts_error"].as_str().expect("a reason");
    assert!(
        why.contains("the mart note_growth cannot compute the column `is_falling`"),
        "{why}"
    );
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("the marts are not up to date"), "{told}");
    let made = files(&lake);
    assert_eq!(made.len(), 7, "the other marts are made");
    let (code, told) = fail(&mut lake.redlake(&["marts", "--schemas", run[7]]));
    assert_eq!(code, 1, "{told}");
    assert_eq!(files(&lake), made);

    let report = observe(&lake, &pipeline, "2026-03-10T04:00:00Z");
    assert_eq!(report.get("marts_error"), None);
    let dates = "select count(distinct dt) from note_growth";
    assert_eq!(lake.value(dates), 2);

    // What is not known to be computed is computed again.
    let made = files(&lake);
    fs::remove_file(lake.path().join("_state/marts.json")).expect("the file");
    let again = marts(&lake, &[]);
    assert_eq!(again["days"].as_array().map(Vec::len), Some(2));
    assert_eq!(files(&lake), made);

    // So is what was computed by another rule.
    let schemas = lake.schemas(&[(
        "marts/note_growth.yaml",
        "min_likes_gained: 100",
        "min_likes_gained: 1000000",
    )]);
    let schemas = schemas.to_str().expect("UTF-8");
    let again = marts(&lake, &["--schemas", schemas]);
    assert_eq!(again["files"], 1, "{again}");
    assert_eq!(
        lake.value("select count(*) from note_growth where is_rising"),
        0
    );
}

#[test]
fn a_pipeline_can_go_without_marts() {
    let lake = Lake::new();
    let text = format!(
        "{}load: {{marts: false}}\n",
        super::WATCH.replace("NAME", "quiet")
    );
    let pipeline = lake.write("quiet.yaml", &text);
    lake.run(&pipeline, &[]);
    assert_eq!(files(&lake).len(), 0);
    let told = succeed(&mut lake.redlake(&["marts"])).stdout;
    let told = String::from_utf8(told).expect("UTF-8");
    assert!(told.starts_with("marts: 1 date computed ("), "{told}");
    assert!(
        told.contains("), 1 week computed (2") && told.contains(", 8 files written\n"),
        "{told}"
    );
    assert_eq!(files(&lake).len(), 8);
    let told = succeed(&mut lake.redlake(&["marts"])).stdout;
    assert_eq!(told, b"marts: up to date\n");
}

#[test]
fn several_processes_at_once_leave_one_file_a_date() {
    let lake = Lake::new();
    let names = ["one", "two", "three"];
    let pipelines: Vec<_> = names.iter().map(|name| watch(&lake, name)).collect();
    let children = pipelines.iter().map(|pipeline| {
        let args = ["run", pipeline.to_str().expect("UTF-8"), "-q"];
        let mut command = lake.redlake(&args);
        command.stdout(std::process::Stdio::null());
        command.spawn().expect("the binary starts")
    });
    for mut child in children.collect::<Vec<_>>() {
        assert!(child.wait().expect("a child").success());
    }
    assert_eq!(files(&lake).len(), 8);
    let pipelines = "select count(distinct pipeline) from keyword_daily";
    assert_eq!(lake.value(pipelines), 3);
    assert_eq!(marts(&lake, &[])["days"], json!([]));
}
