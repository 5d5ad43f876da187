//! Details of some fields: what is asked for, and what becomes of the rest.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::support::{FakeApi, Lake, fail, succeed};

const NOTE: &str = "649c46ab000000002702ad36";

/// A pipeline for the details of one note; `more` stands in its entry.
fn pipeline(more: &str) -> String {
    format!(
        "
version: 1
pipeline: fields
source: {{name: xhs_open, base_url: sandbox}}
extract: [{{endpoint: note_detail, notes: {{ids: [{NOTE}]}}{more}}}]
"
    )
}

fn run(more: &str) -> Lake {
    let lake = Lake::new();
    let file = lake.write("fields.yaml", &pipeline(more));
    let report = lake.run(&file, &[]);
    assert_eq!(report["status"], "complete");
    lake
}

/// The plan as JSON.
fn plan(more: &str) -> Value {
    let lake = Lake::new();
    let file = lake.write("fields.yaml", &pipeline(more));
    let args = ["plan", file.to_str().expect("UTF-8"), "--format", "json"];
    let output = succeed(&mut lake.redlake(&args));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn a_field_that_was_not_asked_for_is_null() {
    let lake = run(", fields: [content, title]");
    let note = "select title, content_text is not null as has_text, author_user_id, image_count, \
                published_at, location_name from notes";
    let expected = json!({"title": "春季美妆新品推荐", "has_text": true, "author_user_id": null,
                          "image_count": null, "published_at": null, "location_name": null});
    assert_eq!(lake.query(note), [expected]);
    // No row has nothing but nulls.
    for table in [
        "engagement",
        "users",
        "user_stats",
        "note_images",
        "note_videos",
        "note_tags",
    ] {
        let rows = lake.value(&format!("select count(*) from {table}"));
        assert_eq!(rows, 0, "{table}");
    }
    assert_eq!(lake.value("select count(*) from rejects"), 0);
    assert_eq!(lake.value("select count(*) from drift"), 0);
    let data = &lake.raw_pages()[0]["body"]["data"];
    let names: Vec<&String> = data.as_object().expect("an object").keys().collect();
    assert_eq!(names.len(), 3, "{data}");
}

#[test]
fn counts_alone_make_no_note() {
    let lake = run(", fields: [like_count]");
    let counts = "select note_id, liked_count, collected_count from engagement";
    let expected = json!({"note_id": NOTE, "liked_count": 1024, "collected_count": null});
    assert_eq!(lake.query(counts), [expected]);
    assert_eq!(lake.value("select count(*) from notes"), 0);
    assert_eq!(lake.value("select count(*) from rejects"), 0);
}

/// A hash of half of a text would look like an edit.
#[test]
fn a_hash_is_made_of_all_its_fields_or_not_at_all() {
    let hash = |more: &str| run(more).value("select content_hash from notes");
    let whole = hash("");
    assert!(whole.is_string(), "{whole}");
    assert_eq!(hash(", fields: [title, content]"), whole);
    assert_eq!(hash(", fields: [title]"), Value::Null);
}

#[test]
fn what_earlier_runs_have_of_a_note_stays() {
    let lake = run("");
    let file = lake.write("fields.yaml", &pipeline(", fields: [title]"));
    lake.run(&file, &[]);
    let rows =
        "select count(*) as n, count(content_text) as texts, count(title) as titles from notes";
    assert_eq!(lake.query(rows), [json!({"n": 2, "texts": 1, "titles": 2})]);
    assert_eq!(lake.value("select count(*) from note_images"), 2);
}

#[test]
fn fields_are_sent_as_one_parameter_with_the_id() {
    let targets = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&targets);
    let api = FakeApi::start(move |target| {
        log.lock().expect("the log").push(target.to_owned());
        let body = json!({"code": 200, "data": {"note_id": NOTE, "title": "t"}});
        (200, body.to_string().into_bytes())
    });
    let lake = Lake::new();
    // The order in which they are written, and how often, make no difference.
    for fields in ["", ", fields: [title]", ", fields: [title, note_id, title]"] {
        let yaml = pipeline(fields).replace(", base_url: sandbox", "");
        let file = lake.write("fields.yaml", &yaml);
        let mut command = lake.redlake(&["run", file.to_str().expect("UTF-8")]);
        command
            .env("XHS_OPEN_BASE_URL", &api.url)
            .env("XHS_OPEN_TOKEN", "t");
        succeed(&mut command);
    }
    let path = format!("/v1/notes/{NOTE}");
    let some = format!("{path}?fields=note_id%2Ctitle");
    let targets = targets.lock().expect("the log").clone();
    assert_eq!(targets, [path, some.clone(), some]);
}

#[test]
fn other_fields_are_another_question() {
    let id = |more: &str| plan(more)["searches"][0]["search_id"].clone();
    // As it was before fields could be named.
    assert_eq!(id(""), "86c8b003d82218de");
    assert_ne!(id(", fields: [title]"), id(""));
    assert_ne!(id(", fields: [title]"), id(", fields: [content]"));
    assert_eq!(
        id(", fields: [title, content]"),
        id(", fields: [content, title]")
    );
    let search = &plan(", fields: [title]")["searches"][0];
    assert_eq!(search["fields"], json!(["note_id", "title"]));
    assert_eq!(plan("")["searches"][0].get("fields"), None);
}

#[test]
fn a_plan_says_which_fields_are_asked_for() {
    let lake = Lake::new();
    let file = lake.write("fields.yaml", &pipeline(", fields: [title, images]"));
    let output = succeed(&mut lake.redlake(&["plan", file.to_str().expect("UTF-8")]));
    let said = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(
        said.contains("note_detail asks for the fields note_id, title, images"),
        "{said}"
    );
}

#[test]
fn mistakes_in_fields_are_told() {
    let told = |yaml: &str| {
        let lake = Lake::new();
        let file = lake.write("fields.yaml", yaml);
        let (code, said) = fail(&mut lake.redlake(&["validate", file.to_str().expect("UTF-8")]));
        assert_eq!(code, 2, "{said}");
        said
    };
    let said = told(&pipeline(", fields: [title, contents]"));
    assert!(said.contains("unknown field `contents`"), "{said}");
    assert!(said.contains("did you mean `content`?"), "{said}");
    let said = told(&pipeline(", fields: []"));
    assert!(said.contains("no field is named"), "{said}");
    let search = "
version: 1
pipeline: fields
source: {name: justoneapi}
keyword_sets: {words: [防晒]}
extract: [{endpoint: note_search, keywords: [words], pages: {max: 1}, fields: [title]}]
";
    let said = told(search);
    assert!(said.contains("note_search takes no fields"), "{said}");
    let two = pipeline(&format!(
        ", fields: [title]}}, {{endpoint: note_detail, notes: {{ids: [{NOTE}]}}"
    ));
    let said = told(&two);
    assert!(
        said.contains("another entry asks note_detail for other fields"),
        "{said}"
    );
}

/// A follow-up asks for the fields of its entry.
#[test]
fn details_of_found_notes_have_the_fields_of_their_entry() {
    let lake = Lake::new();
    let file = lake.write(
        "fields.yaml",
        "
version: 1
pipeline: fields
source: {name: justoneapi, base_url: sandbox}
keyword_sets: {words: [防晒]}
extract:
  - {endpoint: note_search, keywords: [words], pages: {max: 1}}
  - endpoint: note_detail
    source: {name: xhs_open, base_url: sandbox}
    notes: {found_by: note_search, top: 3, by: liked_count}
    fields: [content, like_count]
limits: {requests_per_second: 1000}
",
    );
    lake.run(&file, &[]);
    let notes = "select count(*) as n, count(content_text) as texts, count(title) as titles \
                 from notes where endpoint = 'note_detail'";
    assert_eq!(
        lake.query(notes),
        [json!({"n": 3, "texts": 3, "titles": 0})]
    );
    let counts = "select count(liked_count) as likes, count(shared_count) as shares \
                  from engagement where endpoint = 'note_detail'";
    assert_eq!(lake.query(counts), [json!({"likes": 3, "shares": 0})]);
}
