//! JSON on one line, on many lines, and as a line an item.

use serde_json::Value;

use crate::support::{Lake, fail, repository, succeed};
use crate::upkeep::lake_with_runs;

fn printed(lake: &Lake, args: &[&str]) -> String {
    let output = succeed(&mut lake.redlake(args));
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn json_is_one_line_unless_it_is_to_be_pretty() {
    let (lake, runs) = lake_with_runs(&[(8, 1), (8, 2)]);
    let pipeline = lake.path().with_file_name("hourly.yaml");
    let pipeline = pipeline.to_str().expect("UTF-8");
    for command in [
        &["runs"][..],
        &["show", &runs[0]],
        &[
            "query",
            "select 1.10 as number, ['x', '{\"y\": [1]}'] as texts, [] as nothing",
        ],
        &["query", "select 1 as i where false"],
        &["plan", pipeline],
        &["validate", pipeline],
        &["doctor", pipeline],
        &["run", pipeline],
        &["schema", "list"],
        &["schema", "show", "notes_latest"],
        &["schema", "suggest"],
        &["compact", "--dry-run"],
        &["prune", "--raw-older-than", "9000d"],
        &["verify"],
        &["marts"],
    ] {
        let is_run = command[0] == "run";
        let one = printed(&lake, &[command, &["--format", "json"]].concat());
        assert_eq!(one.find('\n'), Some(one.len() - 1), "{command:?}: {one}");
        let many = printed(
            &lake,
            &[command, &["--format", "json", "--pretty"]].concat(),
        );
        let value = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
        // Another run is another one, and free space changes.
        let is_alike = is_run || command[0] == "doctor" || value(&one) == value(&many);
        assert!(is_alike, "{command:?}: {one}{many}");
        let is_empty = one == "[]\n";
        assert!(many.contains("\n  ") || is_empty, "{command:?}: {many}");
    }
}

#[test]
fn each_item_of_a_list_is_a_line_of_ndjson() {
    let (lake, runs) = lake_with_runs(&[(8, 1), (8, 2)]);
    let lines = |args: &[&str]| -> Vec<Value> {
        let text = printed(&lake, &[args, &["--format", "ndjson"]].concat());
        let line = |line: &str| serde_json::from_str(line).expect("JSON");
        text.lines().map(line).collect()
    };
    assert_eq!(lines(&["runs"]).len(), 2);
    let days = lines(&["compact", "--dry-run"]);
    assert!(
        days.len() >= 12 && days.iter().all(|day| day["dt"] == "2026-03-08"),
        "{days:?}"
    );
    let tables = lines(&["schema", "list"]);
    let named = |name: &str| tables.iter().find(|t| t["name"] == name).expect("a table");
    assert_eq!(named("notes")["view_of"], Value::Null);
    assert_eq!(named("notes_latest")["view_of"], "notes");
    let kinds = ["notes", "keyword_weekly", "notes_latest", "note_overview"];
    let kinds = kinds.map(|name| named(name)["kind"].clone());
    assert_eq!(kinds, ["table", "mart", "view", "view"]);
    let columns = lines(&["schema", "show", "search_results"]);
    let computed = columns.iter().filter(|c| c["in_files"] == false);
    let computed: Vec<&Value> = computed.map(|c| &c["name"]).collect();
    assert_eq!(computed, ["note_id", "user_id"]);
    let columns = lines(&["schema", "show", "users"]);
    let nickname = columns
        .iter()
        .find(|c| c["name"] == "nickname")
        .expect("a column");
    assert_eq!(
        (&nickname["type"], &nickname["personal"]),
        (&"string".into(), &true.into())
    );
    let checks = lines(&["doctor"]);
    assert!(
        checks
            .iter()
            .any(|c| c["check"] == "disk" && c["state"].is_string()),
        "{checks:?}"
    );
    let wrong = lake.write("wrong.yaml", "version: 1\npipeline: wrong\nkeywrods: []\n");
    let wrong = wrong.to_str().expect("UTF-8");
    let output = lake
        .redlake(&["validate", wrong, "--format", "ndjson"])
        .output();
    let output = output.expect("the binary starts");
    assert_eq!(output.status.code(), Some(2));
    let found = String::from_utf8(output.stdout).expect("UTF-8");
    let line = |line: &str| serde_json::from_str(line).expect("JSON");
    let found: Vec<Value> = found.lines().map(line).collect();
    assert!(
        found
            .iter()
            .any(|d| d["line"] == 3 && d["severity"] == "error"),
        "{found:?}"
    );
    // A result that is no list is one line.
    assert_eq!(lines(&["show", &runs[1]])[0]["run_id"], runs[1].as_str());
}

#[test]
fn columns_of_one_name_are_not_lost_in_formats_that_have_one_value_for_a_name() {
    let lake = Lake::new();
    lake.run(&repository("pipelines/demo.yaml"), &[]);
    for format in ["json", "ndjson", "parquet"] {
        let args = ["query", "select 1 as a, 2 as a", "--format", format];
        let (code, stderr) = fail(&mut lake.redlake(&args));
        assert_eq!(code, 2);
        assert!(stderr.contains("two columns have the name `a`"), "{stderr}");
        assert!(stderr.contains("another name with `as`"), "{stderr}");
    }
    let csv = printed(
        &lake,
        &["query", "select 1 as a, 2 as a", "--format", "csv"],
    );
    assert_eq!(csv, "a,a\n1,2\n");
}

#[test]
fn pretty_is_for_json() {
    let (lake, _) = lake_with_runs(&[]);
    for args in [
        &["runs", "--pretty"][..],
        &["runs", "--pretty", "--format", "ndjson"],
        &["query", "select 1", "--pretty", "--format", "csv"],
        &["query", "select 1", "--pretty", "-o", "result.csv"],
        &["schema", "docs", "--pretty"],
    ] {
        let (code, said) = fail(&mut lake.redlake(args));
        assert_eq!(
            (code, said.lines().next()),
            (2, Some("error: --pretty prints JSON only"))
        );
    }
    let file = lake.path().with_file_name("result.json");
    let (lake, _) = lake_with_runs(&[(8, 1)]);
    let path = file.to_str().expect("UTF-8");
    printed(&lake, &["query", "select 1 as i", "--pretty", "-o", path]);
    let text = std::fs::read_to_string(file).expect("the file");
    assert_eq!(text, "[\n  {\n    \"i\": 1\n  }\n]\n");
}
