//! `redlake schema suggest`: its lines, pasted as they are, fill columns for past runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::{FakeApi, Lake, fail, repository, succeed};

/// Two notes with unknown fields, in an answer that has unknown fields, too.
fn answer() -> Vec<u8> {
    let note = |id: &str, more: Value| {
        let mut note = json!({"id": id, "title": "t", "images_list": []});
        let fields = note.as_object_mut().expect("an object");
        fields.extend(more.as_object().expect("an object").clone());
        note
    };
    let first = json!({
        "ipLocation": "上海", "pinnedAt": 1_773_000_000, "readCount": "1.2万", "heat": 0.5,
        "isOriginal": true, "level": 1, "mixed": 7, "geo": {"lat": 31.2}, "topics": [{"id": 1}],
        "editedTime": "2026-03-09T12:00:00+08:00", "a/b": 1,
        "user": {"userid": "u1"},
    });
    let second = json!({
        "ipLocation": "", "pinnedAt": 0, "readCount": "813", "heat": 2, "isOriginal": false,
        "level": 0, "mixed": "x7", "user": {"userid": "u2", "vipLevel": 3},
    });
    let items = [
        json!({"model_type": "note", "note": note("n1", first)}),
        json!({"model_type": "ads", "ads": {"note": note("n2", second)}}),
    ];
    let body = json!({"code": 0, "trace": "z", "data": {"items": items}});
    body.to_string().into_bytes()
}

fn suggested(lake: &Lake, args: &[&str]) -> Value {
    let mut command = lake.redlake(&["schema", "suggest", "--format", "json"]);
    let output = succeed(command.args(args));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// Writes every suggested line into the file and at the place that it names.
fn paste(suggested: &Value) {
    let mut lines: BTreeMap<(PathBuf, u64), Vec<String>> = BTreeMap::new();
    for field in suggested["fields"].as_array().expect("a list") {
        let column = &field["column"];
        for line in [&column["contract"], &column["mapping"]] {
            let Some(file) = line["file"].as_str() else {
                continue;
            };
            let before = line["before_line"].as_u64().expect("a line");
            let text = line["text"].as_str().expect("a text").to_owned();
            lines.entry((file.into(), before)).or_default().push(text);
        }
    }
    // From the end of each file on, so that line numbers hold.
    for ((file, before), new) in lines.iter().rev() {
        let text = std::fs::read_to_string(file).expect("a contract");
        let mut all: Vec<&str> = text.lines().collect();
        let at = usize::try_from(*before).expect("a number") - 1;
        all.splice(at..at, new.iter().map(String::as_str));
        std::fs::write(file, all.join("\n") + "\n").expect("a writable folder");
    }
}

#[test]
fn the_lines_can_be_pasted_and_fill_past_runs() {
    let api = FakeApi::start(|_| (200, answer()));
    let lake = Lake::new();
    api.search(&lake, 1);
    let pipeline = lake.path().with_file_name("fake.yaml");
    let pipeline = pipeline.to_str().expect("UTF-8");
    let mut again = lake.redlake(&["run", pipeline]);
    again.env("JUSTONEAPI_BASE_URL", &api.url);
    again.env("JUSTONEAPI_TOKEN", "a-token-of-some-length");
    let summary = String::from_utf8(succeed(&mut again).stdout).expect("UTF-8");
    let hint = "  drift     `redlake schema suggest` shows how unknown fields become columns\n";
    assert_eq!(summary.matches(hint).count(), 1, "{summary}");
    assert_eq!(
        lake.value("select count(*) from drift where path = '/trace'"),
        2
    );
    let schemas = lake.schemas(&[]);
    let schemas = schemas.to_str().expect("UTF-8");
    let found = suggested(&lake, &["--schemas", schemas]);
    assert_eq!((&found["files"], &found["pages"]), (&json!(2), &json!(2)));
    let fields = found["fields"].as_array().expect("a list");
    let without: Vec<&str> = fields
        .iter()
        .filter(|field| field["column"].is_null())
        .map(|field| field["paths"][0].as_str().expect("a path"))
        .collect();
    assert_eq!(
        without,
        [
            "/data/items[*]/note/a/b",
            "/data/items[*]/note/geo",
            "/data/items[*]/note/topics"
        ]
    );

    paste(&found);
    succeed(&mut lake.redlake(&["validate", pipeline, "--schemas", schemas]));
    let raw = lake.raw_files();
    let mut args = vec!["transform", pipeline, "--schemas", schemas, "--raw"];
    args.extend(raw.iter().map(|path| path.to_str().expect("UTF-8")));
    succeed(&mut lake.redlake(&args));

    let query = |sql: &str| -> Value {
        let args = ["query", sql, "--schemas", schemas, "--format", "json"];
        let output = succeed(&mut lake.redlake(&args));
        serde_json::from_slice(&output.stdout).expect("JSON")
    };
    let notes = "select distinct note_id, ip_location, epoch(pinned_at)::bigint as pinned_at, heat, \
                 is_original, level, mixed, epoch(edited_time)::bigint as edited_time, \
                 count(*) as runs from notes group by all order by note_id";
    assert_eq!(
        query(notes),
        json!([
            {"note_id": "n1", "ip_location": "上海", "pinned_at": 1_773_000_000, "heat": 0.5,
             "is_original": true, "level": 1, "mixed": "7", "edited_time": 1_773_028_800, "runs": 2},
            {"note_id": "n2", "ip_location": "", "pinned_at": null, "heat": 2.0,
             "is_original": false, "level": 0, "mixed": "x7", "edited_time": null, "runs": 2},
        ])
    );
    assert_eq!(
        query("select distinct note_id, read_count from engagement order by note_id"),
        json!([{"note_id": "n1", "read_count": 12_000}, {"note_id": "n2", "read_count": 813}])
    );
    assert_eq!(
        query("select distinct user_id, vip_level from users order by user_id"),
        json!([{"user_id": "u1", "vip_level": null}, {"user_id": "u2", "vip_level": 3}])
    );
    assert_eq!(
        query("select distinct trace from search_pages"),
        json!([{"trace": "z"}])
    );
    assert_eq!(
        query("select count(*) as n from rejects"),
        json!([{"n": 0}])
    );

    // What is left is what makes no column.
    let left = suggested(&lake, &["--schemas", schemas]);
    let left = left["fields"].as_array().expect("a list");
    assert_eq!(left.len(), without.len());
    assert!(left.iter().all(|field| field["column"].is_null()));
}

#[test]
fn the_text_shows_the_same_lines_and_no_values_unless_asked() {
    let api = FakeApi::start(|_| (200, answer()));
    let lake = Lake::new();
    api.search(&lake, 1);
    let text = |args: &[&str]| {
        let output = succeed(lake.redlake(&["schema", "suggest"]).args(args));
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let plain = text(&[]);
    assert!(
        plain.starts_with("# 13 unknown fields on 1 page of 1 raw file; 10 could be a column.\n"),
        "{plain}"
    );
    let found = suggested(&lake, &[]);
    for field in found["fields"].as_array().expect("a list") {
        for line in ["contract", "mapping"] {
            if let Some(line) = field["column"][line]["text"].as_str() {
                assert_eq!(plain.matches(&format!("\n{line}\n")).count(), 1, "{line}");
            }
        }
    }
    let place = Path::new("(built-in)").join("tables/notes.yaml");
    let head = format!(
        "\n# {}, below `columns:`, before line 13:\n",
        place.display()
    );
    assert!(plain.contains(&head), "{plain}");
    assert!(
        plain.contains(
            "# /data/items[*]/note/geo (note_search of justoneapi): 1 x object; an object with"
        ),
        "{plain}"
    );
    assert!(!plain.contains("上海"), "{plain}");
    let with = text(&["--examples"]);
    assert!(with.contains("such as \"上海\"; the rule"), "{with}");
    // All but what is pasted is a comment.
    let others = plain
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'));
    assert!(
        others
            .filter(|line| !line.is_empty())
            .all(|line| line.starts_with("  "))
    );
}

#[test]
fn raw_files_may_be_named_or_are_those_of_the_newest_runs() {
    let api = FakeApi::start(|_| (200, answer()));
    let lake = Lake::new();
    api.search(&lake, 1);
    api.search(&lake, 1);
    let raw = lake.raw_files();
    let seen = |args: &[&str]| {
        let found = suggested(&lake, args);
        (found["files"].clone(), found["fields"][0]["seen"].clone())
    };
    let counted = |files: u64| (json!(files), json!({"integer": files, "number": files}));
    assert_eq!(seen(&[]), counted(2));
    assert_eq!(seen(&["--runs", "1"]), counted(1));
    let first = raw[0].to_str().expect("UTF-8");
    assert_eq!(seen(&["--raw", first]), counted(1));

    let (code, told) = fail(
        lake.redlake(&["schema", "suggest"])
            .args(["--raw", first, "--runs", "1"]),
    );
    assert_eq!(code, 2);
    assert!(told.contains("cannot be used with"), "{told}");
    let nowhere = Lake::new();
    let (code, told) = fail(&mut nowhere.redlake(&["schema", "suggest"]));
    assert_eq!(code, 2);
    assert!(told.contains("there is no lake at"), "{told}");
}

#[test]
fn nothing_is_suggested_where_the_contracts_know_all() {
    let lake = Lake::new();
    lake.run(&repository("pipelines/demo.yaml"), &[]);
    let output = succeed(&mut lake.redlake(&["schema", "suggest"]));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(text, "# no unknown field on 67 pages of 2 raw files\n");
}
