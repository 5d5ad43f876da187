use chrono::DateTime;
use serde_json::json;

use super::{endpoint, search, source};
use crate::extract::client::Mask;
use crate::extract::envelope::{Envelope, NoPage, PageSummary};
use crate::extract::pager::{Added, KnownItems, Pager, StopReason};
use crate::plan::Search;
use crate::spec::class::CallClass;

fn page(item_count: u64, ids: &[&str]) -> PageSummary {
    PageSummary {
        item_count,
        ids: ids.iter().map(|id| id.to_string()).collect(),
        published: Vec::new(),
    }
}

fn added(items_before: u64, new_items: u64) -> Added {
    Added {
        items_before,
        new_items,
    }
}

fn pager(source: &str, name: &str) -> Pager {
    let none = KnownItems::default();
    let at = DateTime::UNIX_EPOCH;
    Pager::new(search(&[]), endpoint(source, name), at, none)
}

fn note_search() -> Pager {
    pager("justoneapi", "note_search")
}

#[test]
fn a_search_ends_at_its_last_page() {
    let mut pager = note_search();
    let mut asked = Vec::new();
    loop {
        asked.push(pager.page());
        match pager.advance(&page(20, &[])) {
            (_, None) => {}
            (_, stop) => break assert_eq!(stop, Some(StopReason::MaxPages)),
        }
    }
    assert_eq!(asked, [1, 2, 3]);
    assert_eq!((pager.pages, pager.items), (3, 60));
}

#[test]
fn an_empty_page_ends_a_search() {
    let mut pager = note_search();
    assert_eq!(pager.advance(&page(20, &[])), (added(0, 20), None));
    assert_eq!(
        pager.advance(&page(0, &[])),
        (added(20, 0), Some(StopReason::Empty))
    );
    // On the last page allowed, too, the end of the results is the better reason.
    let mut pager = note_search();
    pager.advance(&page(1, &[]));
    pager.advance(&page(1, &[]));
    assert_eq!(pager.advance(&page(0, &[])).1, Some(StopReason::Empty));
}

#[test]
fn what_earlier_pages_had_is_not_new() {
    let mut pager = note_search();
    assert_eq!(pager.advance(&page(3, &["a", "b", "c"])).0, added(0, 3));
    // Two items came back, and the card has no id.
    assert_eq!(
        pager.advance(&page(5, &["b", "c", "d", "e"])).0,
        added(3, 3)
    );
    // One item came back from the first page; another stands on this page twice.
    assert_eq!(pager.advance(&page(3, &["a", "f", "f"])).0, added(8, 1));
}

#[test]
fn one_answer_is_all_of_a_note() {
    let mut pager = pager("xhs_open", "note_detail");
    assert_eq!(pager.page(), 1);
    assert_eq!(pager.advance(&page(0, &[])).1, Some(StopReason::Single));
}

#[test]
fn an_envelope_is_read_with_any_type_of_code() {
    let cases = [
        (r#"{"code":0,"message":"ok","requestId":"r1"}"#, "0"),
        (
            r#"{"code":"303","message":"ok","requestId":"r1","data":null}"#,
            "303",
        ),
        (r#" {"requestId":"r1","message":"ok","code":-1} "#, "-1"),
    ];
    for (body, code) in cases {
        let envelope = Envelope::read(body.as_bytes(), source("justoneapi"));
        assert_eq!(envelope.code.as_deref(), Some(code), "{body}");
        assert_eq!(envelope.message.as_deref(), Some("ok"), "{body}");
        assert_eq!(envelope.request_id.as_deref(), Some("r1"), "{body}");
    }
}

#[test]
fn what_has_no_code_has_none() {
    let bodies: [&[u8]; 7] = [
        b"",
        b"<html>502</html>",
        b"{\"code\":0",
        b"[]",
        b"{\"data\":[]}",
        b"{\"code\":null}",
        b"{\"code\":{}}",
    ];
    for body in bodies {
        let envelope = Envelope::read(body, source("justoneapi"));
        assert_eq!(envelope.code, None, "{}", String::from_utf8_lossy(body));
    }
}

#[test]
fn items_are_counted_and_told_apart_by_their_ids() {
    let cases = [
        (r#"{"code":0,"data":null}"#, Some(page(0, &[]))),
        (r#"{"code":0,"data":{"items":null}}"#, Some(page(0, &[]))),
        (r#"{"code":0,"data":{"items":[]}}"#, Some(page(0, &[]))),
        (r#"{"code":0}"#, None),
        (r#"{"code":0,"data":{"items":{}}}"#, None),
        (r#"{"code":0,"data":{"notes":[]}}"#, None),
        // What nobody reads cannot spoil a page: half a character, a number without bound.
        (
            r#"{"code":0,"data":{"items":[{"x":"\ud83d","y":1e999,"note":{"id":"n"}}]}}"#,
            Some(page(1, &["n"])),
        ),
        (
            r#"{"data":{"items":[
                {"note":{"id":"n1"}}, {"ads":{"note":{"id":7}}},
                {"hot_query":{}}, {"note":{"id":null}}, null]}}"#,
            Some(page(5, &["n1", "7"])),
        ),
        // Blank ids are none: two items without an id are not the same.
        (
            r#"{"data":{"items":[{"note":{"id":""}},{"note":{"id":" "}},{"note":{"id":"\u3000\u200b"}}]}}"#,
            Some(page(3, &[])),
        ),
    ];
    for (body, summary) in cases {
        let envelope = Envelope::read(body.as_bytes(), source("justoneapi"));
        assert_eq!(
            envelope
                .summary(endpoint("justoneapi", "note_search"), &search(&[]))
                .ok(),
            summary,
            "{body}"
        );
    }
    let detail = |body: &str| {
        let envelope = Envelope::read(body.as_bytes(), source("xhs_open"));
        let summary = envelope.summary(endpoint("xhs_open", "note_detail"), &note("n1"));
        summary.map_err(|no_page| no_page.to_string())
    };
    let none = |why: &str| Err(format!("the answer has no item: `/data` {why}"));
    assert_eq!(detail(r#"{"code":200}"#), none("is missing"));
    assert_eq!(detail(r#"{"code":200,"data":null}"#), none("is null"));
    assert_eq!(
        detail(r#"{"code":200,"data":[]}"#),
        none("is not an object")
    );
    assert_eq!(
        detail(r#"{"code":200,"data":"{}"}"#),
        none("is not an object")
    );
    assert_eq!(
        detail(r#"{"code":200,"data":{ }}"#),
        none("is an empty object")
    );
}

/// A search for a note by its id.
fn note(id: &str) -> Search {
    Search {
        note_id: Some(id.to_owned()),
        keyword: None,
        ..search(&[("note_id", id)])
    }
}

#[test]
fn an_answer_must_match_the_requested_note() {
    let told = |asked: &str, data: &str| {
        let body = format!(r#"{{"code":200,"data":{data}}}"#);
        let envelope = Envelope::read(body.as_bytes(), source("xhs_open"));
        let summary = envelope.summary(endpoint("xhs_open", "note_detail"), &note(asked));
        let why = |no_page: NoPage| (no_page.class(), no_page.to_string());
        summary.map(|summary| summary.item_count).map_err(why)
    };
    for (asked, data) in [
        ("n1", r#"{"note_id":"n1"}"#),
        ("n1", r#"{"note_id":"\u006e1","title":"t"}"#),
        ("42", r#"{"note_id":42}"#),
        ("42", r#"{"note_id":"42"}"#),
        // Beyond every integer type.
        (
            "99999999999999999999999",
            r#"{"note_id":99999999999999999999999}"#,
        ),
    ] {
        assert_eq!(told(asked, data), Ok(1), "{data}");
    }
    for (asked, data, about) in [
        ("n1", r#"{"note_id":"n2"}"#, "n2"),
        ("n1", r#"{"note_id":"N1"}"#, "N1"),
        ("n1", r#"{"note_id":"n1 "}"#, "n1 "),
        ("42", r#"{"note_id":43}"#, "43"),
        ("42", r#"{"note_id":"042"}"#, "042"),
        (
            "9007199254740993",
            r#"{"note_id":9007199254740992}"#,
            "9007199254740992",
        ),
    ] {
        let error = format!("the answer is about note {about}, not {asked}");
        assert_eq!(
            told(asked, data),
            Err((CallClass::Mismatch, error)),
            "{data}"
        );
    }
    for (data, why) in [
        (r#"{"title":"t"}"#, "is missing"),
        (r#"{"note_id":null}"#, "is null"),
        (r#"{"note_id":""}"#, "is blank"),
        (r#"{"note_id":" \u3000"}"#, "is blank"),
        (r#"{"note_id":4.0}"#, "is neither a text nor a whole number"),
        (
            r#"{"note_id":true}"#,
            "is neither a text nor a whole number",
        ),
        (
            r#"{"note_id":["n1"]}"#,
            "is neither a text nor a whole number",
        ),
        (
            r#"{"note_id":{"id":"n1"}}"#,
            "is neither a text nor a whole number",
        ),
    ] {
        let error = format!("the answer does not name its subject: `/data/note_id` {why}");
        assert_eq!(told("n1", data), Err((CallClass::Invalid, error)), "{data}");
    }
}

#[test]
fn an_answer_that_something_is_gone_is_about_that() {
    let told = |data: &str| {
        let body = format!(r#"{{"code":404,"data":{data}}}"#);
        let envelope = Envelope::read(body.as_bytes(), source("xhs_open"));
        let checked = envelope.check_gone(endpoint("xhs_open", "note_detail"), &note("n1"));
        checked.map_err(|no_page| no_page.to_string())
    };
    for data in ["null", "{}", r#"{"note_id":"n1"}"#, r#"{"note_id":null}"#] {
        assert_eq!(told(data), Ok(()), "{data}");
    }
    let other = Err("the answer is about note n2, not n1".to_owned());
    assert_eq!(told(r#"{"note_id":"n2"}"#), other);
}

#[test]
fn times_are_read_from_the_notes_that_follow_the_order() {
    let published = |items: &str| {
        let body = format!(r#"{{"code":0,"data":{{"items":[{items}]}}}}"#);
        let envelope = Envelope::read(body.as_bytes(), source("justoneapi"));
        let summary = envelope.summary(endpoint("justoneapi", "note_search"), &search(&[]));
        summary.expect("a page").published
    };
    let cases = [
        (
            r#"{"note":{"id":"a","timestamp":1772000000}}"#,
            vec![1_772_000_000],
        ),
        (
            r#"{"note":{"timestamp":"1772000000"}}"#,
            vec![1_772_000_000],
        ),
        // 0 stands for no time, and nothing was published before 1970.
        (
            r#"{"note":{"timestamp":0}}, {"note":{"timestamp":-1}}"#,
            vec![],
        ),
        (
            r#"{"note":{"timestamp":null}}, {"note":{}}, {"note":null}, null"#,
            vec![],
        ),
        (
            r#"{"note":{"timestamp":1772000000.5}}, {"note":{"timestamp":"soon"}}"#,
            vec![],
        ),
        (
            r#"{"note":{"timestamp":[1]}}, {"note":{"timestamp":true}}"#,
            vec![],
        ),
        // An advertisement stands where it was paid to stand.
        (
            r#"{"ads":{"note":{"id":"b","timestamp":5}}}, {"note":{"timestamp":7}}"#,
            vec![7],
        ),
        (
            r#"{"note":{"timestamp":9}}, {"hot_query":{}}, {"note":{"timestamp":8}}"#,
            vec![9, 8],
        ),
    ];
    for (items, times) in cases {
        assert_eq!(published(items), times, "{items}");
    }
    let users = Envelope::read(
        br#"{"data":{"users":[{"id":"u","timestamp":5}]}}"#,
        source("justoneapi"),
    );
    let users = users.summary(endpoint("justoneapi", "user_search"), &search(&[]));
    assert_eq!(users, Ok(page(1, &["u"])));
}

#[test]
fn a_missing_list_is_named() {
    let cases = [
        (r#"{"code":0}"#, "`/data` is missing"),
        (r#"{"code":0,"data":[]}"#, "`/data` is not an object"),
        (r#"{"code":0,"data":"none"}"#, "`/data` is not an object"),
        (r#"{"code":0,"data":{}}"#, "`/data/items` is missing"),
        (
            r#"{"code":0,"data":{"items":{}}}"#,
            "`/data/items` is not a list",
        ),
        (
            r#"{"code":0,"data":{"items":3}}"#,
            "`/data/items` is not a list",
        ),
    ];
    for (body, what) in cases {
        let envelope = Envelope::read(body.as_bytes(), source("justoneapi"));
        let no_list = envelope.summary(endpoint("justoneapi", "note_search"), &search(&[]));
        let told = no_list.expect_err(body).to_string();
        assert_eq!(told, format!("the answer has no list of items: {what}"));
    }
    let users = Envelope::read(br#"{"code":0,"data":{"items":[]}}"#, source("justoneapi"));
    let no_list = users.summary(endpoint("justoneapi", "user_search"), &search(&[]));
    let told = no_list.expect_err("another list").to_string();
    assert_eq!(
        told,
        "the answer has no list of items: `/data/users` is missing"
    );
}

#[test]
fn an_invalid_json_body_is_reported_with_its_byte() {
    let cases = [
        ("", "the answer is empty"),
        ("\u{feff} \r\n ", "the answer is empty"),
        (
            "<!DOCTYPE html>\n<html></html>",
            "the answer is HTML, not JSON",
        ),
        ("\n<HTML lang=zh>登录", "the answer is HTML, not JSON"),
        ("<xml/>", "the answer is not JSON at byte 0: `<`"),
        ("登录", "the answer is not JSON at byte 0: `登`"),
        (
            r#"{"code":0,"#,
            "the answer ends at byte 10, in the middle of its JSON",
        ),
        (
            r#"{"code":0,"data":{"a":"好"#,
            "the answer ends at byte 26, in the middle of its JSON",
        ),
        (
            r#"{"code":0,"x":nul"#,
            "the answer ends at byte 17, in the middle of its JSON",
        ),
        (
            r#"{"code":0} x"#,
            "the answer has text after its JSON, at byte 11: `x`",
        ),
        (
            "\u{feff}{\"code\":0}\n\n<!-- 好 -->",
            "the answer has text after its JSON, at byte 15: `<`",
        ),
        (
            r#"{"code":0}{"code":0}"#,
            "the answer has text after its JSON, at byte 10: `{`",
        ),
        (
            r#"{"code":0}}"#,
            "the answer has text after its JSON, at byte 10: `}`",
        ),
        (
            "0 undefined",
            "the answer has text after its JSON, at byte 2: `undefined`",
        ),
        (
            r#"{"code":0,"x":NaN}"#,
            "the answer is not JSON at byte 14: `NaN`",
        ),
        (r#"{"好":nan}"#, "the answer is not JSON at byte 7: `nan`"),
        (
            "\n{\n \"x\": [1,\n  -Infinity]}",
            "the answer is not JSON at byte 15: `-Infinity`",
        ),
        (r#"{"x":+1}"#, "the answer is not JSON at byte 5: `+1`"),
        (r#"{"x":01}"#, "the answer is not JSON at byte 5: `01`"),
        (r#"{'x':1}"#, "the answer is not JSON at byte 1: `'`"),
        (
            "{\"x\":\"a\tb\"}",
            "the answer is not JSON at byte 7: `\\t`",
        ),
        (r#"{"x":[1,]}"#, "the answer is not JSON at byte 8: `]`"),
    ];
    for (body, told) in cases {
        let envelope = Envelope::read(body.as_bytes(), source("justoneapi"));
        let flaw = envelope.flaw.map(|flaw| flaw.to_string());
        assert_eq!(flaw.as_deref(), Some(told), "{body:?}");
        assert_eq!(envelope.code, None, "{body:?}");
    }
}

#[test]
fn the_providers_words_stand_in_either_place() {
    let long = "好".repeat(501);
    let kept = format!("{}…", "好".repeat(499));
    let whole = "好".repeat(500);
    let cases = [
        (json!({"code": -1, "msg": "慢一点"}), Some("慢一点")),
        (json!({"code": -1, "message": null, "msg": "m"}), Some("m")),
        (json!({"code": -1, "message": " ", "msg": "m"}), Some("m")),
        (json!({"code": -1, "message": "a", "msg": "m"}), Some("a")),
        (json!({"code": -1, "message": {}, "msg": 7}), Some("7")),
        (json!({"code": -1, "message": "", "msg": null}), None),
        (json!({"code": -1, "msg": long}), Some(kept.as_str())),
        (json!({"code": -1, "message": whole}), Some(whole.as_str())),
    ];
    for (body, words) in cases {
        for name in ["justoneapi", "xhs_open"] {
            let envelope = Envelope::read(body.to_string().as_bytes(), source(name));
            let envelope = envelope.masked(None);
            assert_eq!(envelope.message.as_deref(), words, "{name}: {body}");
        }
    }
}

/// A token that is cut in two would not be recognised.
#[test]
fn a_token_is_hidden_before_a_message_is_cut() {
    let token = "a-token-of-some-length";
    let mask = Mask::new(token).expect("a mask");
    let body = json!({"code": 1, "message": format!("{}{token}", "x".repeat(490))}).to_string();
    let envelope = Envelope::read(body.as_bytes(), source("justoneapi")).masked(Some(&mask));
    assert_eq!(envelope.message, Some(format!("{}***", "x".repeat(490))));
}
