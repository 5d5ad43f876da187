//! Answers about something else than was asked for: told, paid as their code says, and in no table.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::support::{FakeApi, Lake, succeed};

const TOKEN: &str = "a-token-of-some-length";

/// A contract of an older version, which does not look at what an answer is about.
const UNCHECKED: (&str, &str, &str) = (
    "sources/xhs_open.yaml",
    "    about: {note_id: /data/note_id}\n",
    "",
);

/// The fields of a note detail beside its id.
fn detail(note_id: &Value) -> Value {
    json!({"code": 200, "message": "success", "data": {
        "note_id": note_id, "title": "t", "content": "c", "images": ["https://i/1.jpg"],
        "tags": ["a"], "like_count": 1, "author": {"user_id": "u", "nickname": "n"},
    }})
}

/// Runs the details of these notes, each answered as `answers` says; exit code and stderr.
fn run(lake: &Lake, answers: &[(&str, Value)], more: &[&str]) -> (Option<i32>, String) {
    let ids: Vec<&str> = answers.iter().map(|(id, _)| *id).collect();
    let pipeline = format!(
        "
version: 1
pipeline: subjects
source: {{name: xhs_open}}
extract: [{{endpoint: note_detail, notes: {{ids: [{}]}}}}]
limits: {{requests_per_second: 1000, concurrency: 1, retries: 2, retry_delay: 1ms}}
price: {{note_detail: 0.1, currency: CNY}}
",
        ids.join(", ")
    );
    let answers: Vec<(String, Value)> = answers
        .iter()
        .map(|(id, answer)| (format!("/v1/notes/{id}"), answer.clone()))
        .collect();
    let api = FakeApi::start(move |target| {
        let found = answers.iter().find(|(path, _)| path == target);
        let (_, answer) = found.expect("a note that was asked for");
        (200, answer.to_string().into_bytes())
    });
    let file = lake.write("subjects.yaml", &pipeline);
    let mut args = vec!["run", file.to_str().expect("UTF-8")];
    args.extend(more);
    let output = lake
        .redlake(&args)
        .env("XHS_OPEN_BASE_URL", &api.url)
        .env("XHS_OPEN_TOKEN", TOKEN)
        .output()
        .expect("the binary starts");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), stderr)
}

/// Counts the rows of all tables made from answers that name this id.
fn rows_of(lake: &Lake, id: &str) -> Value {
    let tables = ["notes", "engagement", "note_images", "note_tags"];
    let counts = tables.map(|table| {
        let id = id.replace('\'', "''");
        format!("(select count(*) from {table} where note_id = '{id}')")
    });
    lake.value(&format!("select {} as n", counts.join(" + ")))
}

#[test]
fn a_detail_of_another_note_is_reported_and_stored_under_neither_id() {
    let lake = Lake::new();
    let answers = [("n1", detail(&json!("n2"))), ("n3", detail(&json!("n3")))];
    let (code, stderr) = run(&lake, &answers, &[]);
    assert_eq!(code, Some(3), "{stderr}");
    let told = "failed: note_detail n1: the answer is about note n2, not n1";
    assert!(stderr.contains(told), "{stderr}");
    // Asked once, and paid as its code says.
    let calls =
        "select class, code, billed, cost, item_count, error from requests order by started_at";
    assert_eq!(
        lake.query(calls),
        [
            json!({"class": "mismatch", "code": "200", "billed": "yes", "cost": 0.1,
                   "item_count": null, "error": "the answer is about note n2, not n1"}),
            json!({"class": "ok", "code": "200", "billed": "yes", "cost": 0.1,
                   "item_count": 1, "error": null}),
        ]
    );
    assert_eq!(rows_of(&lake, "n1"), 0);
    assert_eq!(rows_of(&lake, "n2"), 0);
    assert_eq!(rows_of(&lake, "n3"), 4);
    assert_eq!(lake.value("select count(*) from search_pages"), 1);
    let rejects = "select \"table\", reason, value is not null as has_value from rejects";
    let reject =
        json!({"table": null, "reason": "the answer is not a page: mismatch", "has_value": true});
    assert_eq!(lake.query(rejects), [reject]);
    let raw = lake.raw_pages();
    assert!(
        raw.iter()
            .any(|page| page["body"]["data"]["note_id"] == "n2"),
        "what was paid is kept"
    );
}

#[test]
fn a_detail_without_its_data_or_its_id_fails() {
    let whole = detail(&json!("n"));
    let with = |data: Value| {
        let mut answer = whole.clone();
        answer["data"] = data;
        answer
    };
    let mut missing = whole.clone();
    missing.as_object_mut().expect("an object").remove("data");
    let id = "the answer does not name its subject: `/data/note_id`";
    let item = "the answer has no item: `/data`";
    let cases = [
        ("n1", missing, format!("{item} is missing")),
        ("n2", with(Value::Null), format!("{item} is null")),
        ("n3", with(json!({})), format!("{item} is an empty object")),
        (
            "n4",
            with(json!([{"note_id": "n4"}])),
            format!("{item} is not an object"),
        ),
        (
            "n5",
            with(json!({"title": "t"})),
            format!("{id} is missing"),
        ),
        ("n6", detail(&Value::Null), format!("{id} is null")),
        ("n7", detail(&json!(" ")), format!("{id} is blank")),
        (
            "n8",
            detail(&json!(["n8"])),
            format!("{id} is neither a text nor a whole number"),
        ),
        (
            "n9",
            detail(&json!("n10")),
            "the answer is about note n10, not n9".to_owned(),
        ),
        (
            "10",
            detail(&json!(11)),
            "the answer is about note 11, not 10".to_owned(),
        ),
    ];
    let lake = Lake::new();
    let answers = cases
        .each_ref()
        .map(|(id, answer, _)| (*id, answer.clone()));
    let (code, stderr) = run(&lake, &answers, &[]);
    assert_ne!(code, Some(0), "{stderr}");
    for (id, _, why) in &cases {
        let told = format!("failed: note_detail {id}: {why}");
        assert!(stderr.contains(&told), "{told}\n{stderr}");
    }
    assert_eq!(lake.value("select count(*) from requests"), cases.len());
    assert_eq!(
        lake.value("select count(*) from requests where class = 'ok'"),
        0
    );
    assert_eq!(lake.value("select count(*) from notes"), 0);
}

#[test]
fn an_id_as_a_number_is_compared_by_its_digits() {
    let lake = Lake::new();
    let (code, stderr) = run(&lake, &[("42", detail(&json!(42)))], &[]);
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!(rows_of(&lake, "42"), 4);
}

#[test]
fn a_contract_declares_the_path_of_an_answers_subject() {
    let lake = Lake::new();
    let nested = (
        "sources/xhs_open.yaml",
        "about: {note_id: /data/note_id}",
        "about: {note_id: /request/for}",
    );
    let schemas = lake.schemas(&[nested]);
    let named = |id: &str| {
        let mut answer = detail(&json!("n1"));
        answer["request"] = json!({"for": id});
        answer
    };
    let answers = [
        ("n1", named("n1")),
        ("n2", named("n9")),
        ("n3", detail(&json!("n3"))),
    ];
    let (code, stderr) = run(
        &lake,
        &answers,
        &["--schemas", schemas.to_str().expect("UTF-8")],
    );
    assert_eq!(code, Some(3), "{stderr}");
    for told in [
        "failed: note_detail n2: the answer is about note n9, not n2",
        "failed: note_detail n3: the answer does not name its subject: `/request/for` is missing",
    ] {
        assert!(stderr.contains(told), "{stderr}");
    }
    assert_eq!(lake.value("select count(*) from notes"), 1);
}

/// An older version took such an answer for a page.
#[test]
fn a_page_about_another_note_gives_no_rows_when_flattened_again() {
    let lake = Lake::new();
    let older = lake.schemas(&[UNCHECKED]);
    let answers = [("n1", detail(&json!("n2"))), ("n3", detail(&json!("n3")))];
    let (code, stderr) = run(
        &lake,
        &answers,
        &["--schemas", older.to_str().expect("UTF-8")],
    );
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!(rows_of(&lake, "n2"), 4);

    let pipeline = lake.path().with_file_name("subjects.yaml");
    let raw = lake.raw_files().remove(0);
    let args = [
        "transform",
        pipeline.to_str().expect("UTF-8"),
        "--raw",
        raw.to_str().expect("UTF-8"),
    ];
    succeed(&mut lake.redlake(&args));
    assert_eq!(rows_of(&lake, "n1"), 0);
    assert_eq!(rows_of(&lake, "n2"), 0);
    assert_eq!(rows_of(&lake, "n3"), 4);
    assert_eq!(lake.value("select count(*) from search_pages"), 1);
    let rejects = "select \"table\", reason from rejects";
    let reject = json!({"table": null, "reason": "the answer is about another note"});
    assert_eq!(lake.query(rejects), [reject]);
}

#[test]
fn a_note_whose_detail_failed_is_asked_for_again() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    let api = FakeApi::start(move |target| {
        let answer = match target.strip_prefix("/v1/notes/") {
            Some(id) => {
                let mut asked = log.lock().expect("the log");
                asked.push(id.to_owned());
                // The first answers come from a cache: each is about the note before.
                let about = if asked.len() <= 2 { "n0" } else { id };
                detail(&json!(about))
            }
            None => {
                let note =
                    |id: &str| json!({"model_type": "note", "note": {"id": id, "liked_count": 1}});
                json!({"code": 0, "data": {"items": [note("n1"), note("n2")]}})
            }
        };
        (200, answer.to_string().into_bytes())
    });
    let lake = Lake::new();
    let pipeline = lake.write(
        "follow.yaml",
        "
version: 1
pipeline: follow
source: {name: justoneapi}
keyword_sets: {words: [防晒]}
extract:
  - {endpoint: note_search, keywords: [words], pages: {max: 1}}
  - endpoint: note_detail
    source: {name: xhs_open}
    notes: {found_by: note_search, top: 10, by: liked_count, seen_within: 7d, not_refreshed_for: 20h}
limits: {requests_per_second: 1000}
",
    );
    let codes = [1, 2, 3].map(|hour| {
        let at = format!("2026-03-09T{hour:02}:00:00Z");
        let args = [
            "run",
            pipeline.to_str().expect("UTF-8"),
            "--snapshot-at",
            &at,
        ];
        let mut command = lake.redlake(&args);
        command
            .env("JUSTONEAPI_BASE_URL", &api.url)
            .env("JUSTONEAPI_TOKEN", TOKEN);
        command
            .env("XHS_OPEN_BASE_URL", &api.url)
            .env("XHS_OPEN_TOKEN", TOKEN);
        command.output().expect("the binary starts").status.code()
    });
    assert_eq!(codes, [Some(3), Some(0), Some(0)]);
    let mut asked = asked.lock().expect("the log").clone();
    asked.sort();
    // The third run finds both of them fresh.
    assert_eq!(asked, ["n1", "n1", "n2", "n2"]);
    assert_eq!(
        lake.value("select count(*) from notes where endpoint = 'note_detail'"),
        2
    );
}
