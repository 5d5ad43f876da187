//! The columns that unknown fields could be.

mod places;

use serde_json::{Value, json};

use super::{built_in, flattened, note_search};
use crate::raw::page::RawPage;
use crate::transform::contracts::Transform;
use crate::transform::suggest::{Suggestion, Unknown, snake_case};

/// What is suggested for these pages.
fn suggested_by(transform: &Transform, pages: &[RawPage], examples: bool) -> Vec<Suggestion> {
    let drift = flattened(transform, pages).drift;
    let mut unknown = Unknown::new(&transform.contracts, &drift);
    pages.iter().for_each(|page| unknown.look(page));
    unknown.suggestions(examples)
}

fn suggested(pages: &[RawPage]) -> Vec<Suggestion> {
    suggested_by(&built_in(), pages, false)
}

/// A page with a note for each of these fields, which stand beside its id.
fn with_fields(fields: &[Value]) -> RawPage {
    let item = |(n, more): (usize, &Value)| {
        let mut note = json!({"id": n.to_string()});
        let all = note.as_object_mut().expect("an object");
        all.extend(more.as_object().expect("an object").clone());
        json!({"model_type": "note", "note": note})
    };
    let items: Vec<Value> = fields.iter().enumerate().map(item).collect();
    note_search(json!({"code": 0, "data": {"items": items}}).to_string())
}

/// The mapping that is suggested for a field with these values, and its type; or why there is none.
fn told(key: &str, values: &[Value]) -> String {
    let fields: Vec<Value> = values.iter().map(|value| json!({key: value})).collect();
    let found = suggested(&[with_fields(&fields)]);
    let [field] = found.as_slice() else {
        panic!("{} fields", found.len());
    };
    let note = field.note.as_deref().unwrap_or_default();
    let note = note.split("the rule").next().unwrap_or_default();
    let note = note.trim_end_matches("; ");
    match &field.column {
        None => note.to_owned(),
        Some(column) => {
            let (kind, text) = (column.kind.as_str(), column.mapping.text.trim());
            let note = Some(note).filter(|note| !note.is_empty());
            let note = note.map_or(String::new(), |note| format!(" ({note})"));
            format!("{}.{text} as {kind}{note}", column.table)
        }
    }
}

#[test]
fn numbers_are_whole_or_not() {
    assert_eq!(
        told("depth", &[json!(3), json!(-9), json!(null)]),
        "notes.depth: /depth as int64"
    );
    assert_eq!(
        told("score", &[json!(3), json!(0.5)]),
        "notes.score: /score as float64"
    );
    assert_eq!(
        told("mass", &[json!(u64::MAX), json!(1)]),
        "notes.mass: {path: /mass, as: text} as string (too large for int64)"
    );
}

#[test]
fn zero_and_one_may_be_a_flag() {
    assert_eq!(
        told("pinned", &[json!(0), json!(1), json!(0)]),
        "notes.pinned: /pinned as int64 (only 0 and 1 so far: type bool would fit, too)"
    );
    assert_eq!(
        told("pinned", &[json!(0)]),
        "notes.pinned: /pinned as int64 (only 0 so far)"
    );
    assert_eq!(
        told("pinned", &[json!(true)]),
        "notes.pinned: /pinned as bool"
    );
    assert_eq!(
        told("pinned", &[json!(true), json!(1), json!("false")]),
        "notes.pinned: /pinned as bool (comes as boolean and integer and string)"
    );
}

#[test]
fn an_instant_has_a_key_and_values_that_say_so() {
    assert_eq!(
        told("ipTime", &[json!(1_741_500_000)]),
        "notes.ip_time: {path: /ipTime, unit: s} as timestamp"
    );
    assert_eq!(
        told("createdAt", &[json!(1_741_500_000_123_i64), json!(0)]),
        "notes.created_at: {path: /createdAt, unit: ms, zero_is_null: true} as timestamp"
    );
    assert_eq!(
        told("end", &[json!("1741500000"), json!("")]),
        "notes.end: {path: /end, unit: s, empty_is_null: true} as timestamp"
    );
    assert_eq!(
        told("seen", &[json!("2026-03-09T12:00:00+08:00"), json!("")]),
        "notes.seen: {path: /seen, unit: iso8601, empty_is_null: true} as timestamp"
    );
    // The key says nothing, a value is no time, nothing but zeros.
    assert_eq!(
        told("bytes", &[json!(1_741_500_000)]),
        "notes.bytes: /bytes as int64"
    );
    assert_eq!(
        told("time", &[json!(1_741_500_000), json!(3)]),
        "notes.time: /time as int64"
    );
    assert_eq!(
        told("time", &[json!(0)]),
        "notes.time: /time as int64 (only 0 so far)"
    );
}

#[test]
fn texts_of_digits_are_counts_unless_they_name_something() {
    assert_eq!(
        told(
            "views",
            &[json!("1.2万"), json!("813"), json!(""), json!(7)]
        ),
        "notes.views: {path: /views, as: count, empty_is_null: true} as int64"
    );
    assert_eq!(
        told("views", &[json!("813"), json!("0")]),
        "notes.views: {path: /views, as: count} as int64"
    );
    for key in ["red_id", "shopid", "zipCode"] {
        let column = snake_case(key);
        assert_eq!(
            told(key, &[json!("813")]),
            format!("notes.{column}: /{key} as string")
        );
    }
    assert_eq!(told("size", &[json!("007")]), "notes.size: /size as string");
    assert_eq!(
        told("rate", &[json!("4.5"), json!("4.0")]),
        "notes.rate: /rate as string (numbers as text: type float64 would fit, too)"
    );
    assert_eq!(
        told("mood", &[json!("好"), json!("1万")]),
        "notes.mood: /mood as string"
    );
    assert_eq!(
        told("mood", &[json!("")]),
        "notes.mood: /mood as string (always an empty text so far)"
    );
}

#[test]
fn what_comes_as_several_types_is_text_if_that_loses_nothing() {
    assert_eq!(
        told("topic_id", &[json!("813"), json!(7)]),
        "notes.topic_id: {path: /topic_id, as: text} as string (comes as integer and string)"
    );
    assert_eq!(
        told("mood", &[json!("x"), json!(1.5)]),
        "comes as number and string: no type of column takes them all"
    );
    assert_eq!(
        told("mood", &[json!("x"), json!({"y": 1})]),
        "comes as object and string: no type of column takes them all"
    );
    assert_eq!(
        told("mood", &[json!(null)]),
        "always null so far, so its type is unknown"
    );
}

#[test]
fn lists_and_objects_make_no_column_but_show_the_way() {
    assert_eq!(
        told("mood", &[json!({"a": [], "b": 1}), json!({"c/d": true})]),
        "an object with the fields a (array), b (integer), c/d (boolean); a column reads one of them \
         with the path /mood/b"
    );
    assert_eq!(
        told("moods", &[json!([{"a": "x"}]), json!([])]),
        "a list with the fields a (string); `then_each: /moods[*]` in a rule of its own makes a row \
         of each element"
    );
    assert_eq!(
        told("moods", &[json!([1, 2])]),
        "a list of integer; `then_each: /moods[*]` in a rule of its own makes a row of each element"
    );
}

#[test]
fn a_key_that_no_path_can_name_is_told() {
    let slash = "the key \"a/b\" cannot be named in a path, because `/` separates keys";
    assert_eq!(told("a/b", &[json!(5)]), slash);
    assert_eq!(
        told("a~b [x]", &[json!(5)]),
        "notes.a_b_x: \"/a~b [x]\" as int64"
    );
    assert_eq!(told("ON", &[json!(5)]), "notes.\"on\": /ON as int64");
}

#[test]
fn values_are_shown_to_who_asks_for_them() {
    let page = with_fields(&[
        json!({"mood": "好"}),
        json!({"mood": "好"}),
        json!({"mood": 5}),
    ]);
    let pages = [page];
    assert_eq!(suggested(&pages)[0].examples, [""; 0]);
    let found = suggested_by(&built_in(), &pages, true);
    assert_eq!(found[0].examples, ["\"好\"", "5"]);
    assert_eq!(
        serde_json::to_value(&found[0].seen).expect("JSON"),
        json!({"integer": 1, "string": 2})
    );
}

#[test]
fn keys_become_names_of_columns() {
    for (key, name) in [
        ("shareCount", "share_count"),
        ("XMLFile", "xml_file"),
        ("FStatus", "f_status"),
        ("userID", "user_id"),
        ("a-b.c", "a_b_c"),
        ("h264", "h264"),
        ("3d", "field_3d"),
        ("__x__", "x"),
        ("点赞", "点赞"),
        ("?", "field"),
    ] {
        assert_eq!(snake_case(key), name, "{key}");
    }
}

#[test]
fn a_page_that_is_none_and_an_endpoint_without_drift_are_passed_over() {
    let mut refused = with_fields(&[json!({"mood": 5})]);
    refused.header.accepted = false;
    assert_eq!(suggested(&[refused]), []);
    assert_eq!(suggested(&[with_fields(&[json!({})])]), []);
    // A text cut in the middle of an emoji costs no value.
    let body =
        r#"{"code":0,"data":{"items":[{"model_type":"note","note":{"id":"n","mood":"\ud83d"}}]}}"#;
    let found = suggested(&[note_search(body)]);
    assert_eq!(found[0].seen["string"], 1);
}
