//! Answers that no document shows: what was paid is kept, one bad record costs one reject.

use serde_json::{Value, json};

use crate::support::{FakeApi, Lake, fail, repository, succeed};

fn page(items: &[Value]) -> Vec<u8> {
    json!({"code": 0, "data": {"items": items}})
        .to_string()
        .into_bytes()
}

fn note(id: &str, more: Value) -> Value {
    let mut note = json!({"id": id, "title": "t", "images_list": []});
    let fields = note.as_object_mut().expect("an object");
    fields.extend(more.as_object().expect("an object").clone());
    json!({"model_type": "note", "note": note})
}

fn raw(lake: &Lake) -> String {
    let files = lake.raw_files();
    assert_eq!(files.len(), 1);
    let bytes = std::fs::read(&files[0]).expect("a raw file");
    String::from_utf8(zstd::decode_all(bytes.as_slice()).expect("zstd")).expect("UTF-8")
}

#[test]
fn a_text_cut_in_an_emoji_costs_nothing() {
    let body = r#"{"code":0,"data":{"items":[{"model_type":"note","note":{"id":"n1","title":"好\ud83d","user":{"userid":"u"}}}]}}"#;
    let api = FakeApi::start(move |_| (200, body.as_bytes().to_vec()));
    let lake = Lake::new();
    assert_eq!(api.search(&lake, 1).0, Some(0));
    assert_eq!(lake.value("select title from notes"), "好\u{fffd}");
    assert!(
        raw(&lake).contains(r#""title":"好\ud83d""#),
        "the raw zone keeps it as it came"
    );
}

#[test]
fn data_without_a_list_fails_the_search_and_is_kept() {
    let api = FakeApi::start(|_| (200, br#"{"code":0,"data":{"notes":[1,2]}}"#.to_vec()));
    let lake = Lake::new();
    let (code, stderr) = api.search(&lake, 3);
    assert_eq!(code, Some(8));
    assert!(
        stderr.contains("the answer has no list of items"),
        "{stderr}"
    );
    let calls = "select class, billed, cost, item_count from requests";
    let call = json!({"class": "invalid", "billed": "yes", "cost": 0.1, "item_count": null});
    assert_eq!(lake.query(calls), [call]);
    assert!(raw(&lake).contains(r#""body":{"code":0,"data":{"notes":[1,2]}}"#));
    let rejects = "select \"table\", reason, count(*) as n from rejects group by all";
    let reject = json!({"table": null, "reason": "the answer is not a page: invalid", "n": 1});
    assert_eq!(lake.query(rejects), [reject]);
}

#[test]
fn a_page_of_html_may_have_been_paid_and_is_kept() {
    let api = FakeApi::start(|_| (200, b"<html>\r\n</html>".to_vec()));
    let lake = Lake::new();
    assert_eq!(api.search(&lake, 3).0, Some(8));
    assert_eq!(lake.value("select billed from requests"), "unknown");
    assert!(raw(&lake).contains(r#""body":"<html>\r\n</html>""#));
}

#[test]
fn an_answer_that_repeats_the_token_does_not_leak_it() {
    let api = FakeApi::start(|target| {
        let body = json!({"code": 400, "message": format!("bad request: {target}")});
        (400, body.to_string().into_bytes())
    });
    let lake = Lake::new();
    let (code, stderr) = api.search(&lake, 1);
    assert_eq!(code, Some(8));
    assert!(!stderr.contains("a-token-of-some-length"), "{stderr}");
    let error = lake.value("select error from requests");
    let error = error.as_str().expect("a text");
    assert!(
        error.contains("token=***") && !error.contains("a-token"),
        "{error}"
    );
}

#[test]
fn an_answer_that_repeats_the_token_in_escapes_does_not_leak_it() {
    // As JSON writers escape it; the message is read with the escapes undone.
    let escaped = r"a\u002Dtoken\u002dof\u002dsome-length";
    let body = format!(r#"{{"code":400,"message":"who is {escaped}?"}}"#);
    let api = FakeApi::start(move |_| (400, body.clone().into_bytes()));
    let lake = Lake::new();
    let (_, stderr) = api.search(&lake, 1);
    assert!(stderr.contains("who is ***?"), "{stderr}");
    let error = lake.value("select error from requests");
    assert_eq!(error, "code 400 (HTTP 400): who is ***?");
}

#[test]
fn removed_parts_of_a_note_are_removed_from_its_rows() {
    let api = FakeApi::start(|target| {
        let images = json!([{"fileid": "f", "width": 1, "height": 1}]);
        match target.contains("page=1") {
            true => (
                200,
                page(&[note("n", json!({"images_list": images, "desc": "#a"}))]),
            ),
            false => (200, page(&[note("n", json!({"desc": "none"}))])),
        }
    });
    let lake = Lake::new();
    api.search(&lake, 2);
    assert_eq!(lake.value("select image_count from notes"), 0);
    assert_eq!(lake.value("select count(*) from note_images"), 0);
    assert_eq!(lake.value("select count(*) from note_tags"), 0);
}

#[test]
fn a_bad_value_costs_its_row_and_nothing_else() {
    let api = FakeApi::start(|_| {
        let notes = [
            note("a", json!({"liked_count": 2.9})),
            note("b", json!({"liked_count": "5"})),
        ];
        (200, page(&notes))
    });
    let lake = Lake::new();
    api.search(&lake, 1);
    assert_eq!(lake.value("select count(*) from notes"), 2);
    assert_eq!(
        lake.query("select note_id, liked_count from engagement"),
        [json!({"note_id": "b", "liked_count": 5})]
    );
    assert_eq!(
        lake.query("select \"table\", item_index, \"column\", reason, value from rejects where \"table\" = 'engagement'"),
        [json!({"table": "engagement", "item_index": 0, "column": "liked_count",
                "reason": "not a whole number", "value": "2.9"})]
    );
}

#[test]
fn an_unknown_field_is_drift() {
    let api = FakeApi::start(|_| (200, page(&[note("a", json!({"mood": {"x": 1}}))])));
    let lake = Lake::new();
    api.search(&lake, 1);
    assert_eq!(
        lake.query("select path, kind, json_type, count from drift"),
        [
            json!({"path": "/data/items[*]/note/mood", "kind": "unknown_field",
                "json_type": "object", "count": 1})
        ]
    );
}

#[test]
fn html_without_end_is_a_reject_and_not_a_hang() {
    let deep = "<div>".repeat(200_000);
    let body = json!({"code": 200, "data": {"note_id": "n", "content": deep}}).to_string();
    let api = FakeApi::start(move |_| (200, body.clone().into_bytes()));
    let lake = Lake::new();
    api.detail(&lake);
    assert_eq!(
        lake.query("select \"table\", \"column\", reason from rejects"),
        [json!({"table": "notes", "column": "content_text",
                "reason": "HTML that is too large or too deeply nested"})]
    );
    assert_eq!(lake.value("select count(*) from engagement"), 1);
}

#[test]
fn an_unknown_path_does_not_mean_that_a_note_is_gone() {
    let api = FakeApi::start(|_| (404, b"<html>not found</html>".to_vec()));
    let lake = Lake::new();
    let (code, _) = fail(&mut api.ask_for_detail(&lake));
    assert_eq!(code, 8);
    assert_eq!(lake.value("select class from requests"), "not_found");
    assert_eq!(lake.value("select count(*) from search_pages"), 0);
}

#[test]
fn an_address_without_a_scheme_is_told_before_any_call() {
    let lake = Lake::new();
    let api = FakeApi {
        url: "localhost:18999".to_owned(),
    };
    let (code, stderr) = api.search(&lake, 1);
    assert_eq!(code, Some(2));
    assert!(
        stderr.contains("the address in JUSTONEAPI_BASE_URL is not an http(s) address"),
        "{stderr}"
    );
}

#[test]
fn a_rehearsal_stays_out_of_a_real_lake() {
    let api = FakeApi::start(|_| (200, page(&[])));
    let lake = Lake::new();
    assert_eq!(api.search(&lake, 1).0, Some(0));
    let rehearsal = FakeApi {
        url: "sandbox".to_owned(),
    };
    let (code, stderr) = rehearsal.search(&lake, 1);
    assert_eq!(code, Some(2));
    assert!(
        stderr.contains("holds real runs of the pipeline `fake`"),
        "{stderr}"
    );
    assert_eq!(lake.value("select count(*) from runs"), 1);
}

#[test]
fn a_pipeline_may_have_any_name_that_is_allowed() {
    let lake = Lake::new();
    let demo = std::fs::read_to_string(repository("pipelines/demo.yaml")).expect("the demo");
    let pipeline = lake.write(
        "x.yaml",
        &demo.replace("pipeline: demo\n", "pipeline: commit\n"),
    );
    assert_eq!(lake.run(&pipeline, &[])["status"], "complete");
}

#[test]
fn a_copy_of_a_raw_file_doubles_nothing() {
    let lake = Lake::new();
    let pipeline = repository("pipelines/demo.yaml");
    lake.run(&pipeline, &[]);
    let before = lake.table_files();
    let copy = lake.path().with_file_name("copy.ndjson.zst");
    std::fs::copy(&lake.raw_files()[0], &copy).expect("a copy");
    let (pipeline, copy) = (
        pipeline.to_str().expect("UTF-8"),
        copy.to_str().expect("UTF-8"),
    );
    succeed(&mut lake.redlake(&["transform", pipeline, "--raw", copy]));
    assert_eq!(lake.table_files(), before);
}

#[test]
fn a_file_that_is_not_a_raw_file_is_reported_by_name() {
    let lake = Lake::new();
    let pipeline = repository("pipelines/demo.yaml");
    let other = lake.write("other.txt", "not a raw file");
    let pipeline = pipeline.to_str().expect("UTF-8");
    let (code, text) = fail(&mut lake.redlake(&[
        "transform",
        pipeline,
        "--raw",
        other.to_str().expect("UTF-8"),
    ]));
    assert_eq!(code, 2);
    assert!(
        text.contains("other.txt is not a raw file of redlake"),
        "{text}"
    );
}

#[test]
fn a_run_that_died_in_the_sandbox_stays_simulated() {
    let lake = Lake::new();
    let pipeline = repository("pipelines/demo.yaml");
    lake.run(&pipeline, &[]);
    // As a run leaves it that is killed before its commit.
    for folder in ["_commits", "tables"] {
        std::fs::remove_dir_all(lake.path().join(folder)).expect("a folder");
    }
    let raw = lake.raw_files();
    let path = pipeline.to_str().expect("UTF-8");
    let orphan = raw[0].to_str().expect("UTF-8");
    succeed(&mut lake.redlake(&["transform", path, "--raw", orphan]));
    assert_eq!(lake.value("select count(*) from notes"), 553);
    assert_eq!(lake.run(&pipeline, &[])["status"], "complete");
}

/// A body of 20 notes, the fourth of which has `likes`.
fn twenty_notes(likes: &str) -> Vec<u8> {
    let items: Vec<String> = (0..20)
        .map(|number| {
            let likes = if number == 3 { likes } else { "7" };
            let note = format!(r#"{{"id":"n{number}","images_list":[],"liked_count":{likes}}}"#);
            format!(r#"{{"model_type":"note","note":{note}}}"#)
        })
        .collect();
    format!(r#"{{"code":0,"data":{{"items":[{}]}}}}"#, items.join(",")).into_bytes()
}

#[test]
fn a_number_that_no_type_holds_costs_one_row_of_twenty_notes() {
    let cases = [
        ("1e400", "larger than int64"),
        ("-1e400", "smaller than int64"),
        ("12345678901234567890123", "larger than int64"),
        ("-12345678901234567890123", "smaller than int64"),
        ("2.50", "not a whole number"),
    ];
    for (likes, reason) in cases {
        let api = FakeApi::start(move |_| (200, twenty_notes(likes)));
        let lake = Lake::new();
        assert_eq!(api.search(&lake, 1).0, Some(0), "{likes}");
        assert_eq!(lake.value("select count(*) from notes"), 20, "{likes}");
        assert_eq!(lake.value("select count(*) from engagement"), 19, "{likes}");
        let rejects =
            "select \"table\", \"column\", reason, value from rejects where value is not null";
        let reject = json!({"table": "engagement", "column": "liked_count",
            "reason": reason, "value": likes});
        assert_eq!(lake.query(rejects), [reject]);
    }
}

#[test]
fn a_count_with_an_exponent_is_a_count() {
    let api = FakeApi::start(|_| (200, twenty_notes("1e3")));
    let lake = Lake::new();
    assert_eq!(api.search(&lake, 1).0, Some(0));
    let likes = "select liked_count from engagement where note_id = 'n3'";
    assert_eq!(lake.value(likes), 1_000);
    let rejects = "select count(*) from rejects where \"table\" = 'engagement'";
    assert_eq!(lake.value(rejects), 0);
}
