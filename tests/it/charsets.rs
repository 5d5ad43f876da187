//! Bodies that are no UTF-8: their bytes are kept, their texts decoded as declared, and what cannot
//! be decoded is told.

use encoding_rs::{BIG5, Encoding, GB18030, GBK, UTF_8, UTF_16LE};
use serde_json::{Value, json};

use crate::support::{FakeApi, Lake, succeed};

/// A page of three notes with these titles.
fn page(titles: [&str; 3]) -> String {
    let item = |(number, title): (usize, &&str)| {
        let note = json!({"id": format!("n{number}"), "title": title, "images_list": []});
        json!({"model_type": "note", "note": note})
    };
    let items: Vec<Value> = titles.iter().enumerate().map(item).collect();
    json!({"code": 0, "data": {"items": items}}).to_string()
}

/// A run against an API that answers with this body; exit code, and the lake.
fn run(content_type: &str, body: &[u8]) -> (Option<i32>, Lake) {
    let (header, answer) = (format!("content-type: {content_type}\r\n"), body.to_vec());
    let api = FakeApi::with_headers(move |_| (200, header.clone(), answer.clone()));
    let lake = Lake::new();
    let (code, _) = api.search(&lake, 1);
    (code, lake)
}

fn titles(lake: &Lake) -> Vec<Value> {
    let rows = lake.query("select title from notes order by note_id");
    rows.into_iter().map(|row| row["title"].clone()).collect()
}

/// The body as the raw zone has it, decoded from its line.
fn kept(lake: &Lake) -> Vec<u8> {
    use base64::Engine as _;
    let pages = lake.raw_pages();
    assert_eq!(pages.len(), 1);
    let encoded = pages[0]["body_base64"].as_str().expect("base64");
    base64::prelude::BASE64_STANDARD
        .decode(encoded)
        .expect("base64")
}

fn drift(lake: &Lake) -> Vec<Value> {
    lake.query("select path, kind, count from drift order by path, kind")
}

#[test]
fn declared_charsets_are_decoded_and_their_bytes_are_kept() {
    let cases: [(&str, &Encoding); 5] = [
        ("application/json; charset=GBK", GBK),
        ("application/json;charset=\"gb18030\"", GB18030),
        ("text/json; version=1; CHARSET=gb2312", GBK),
        ("application/json; charset=Big5", BIG5),
        ("application/json; charset=gbk", UTF_8),
    ];
    // In GBK the second byte of some characters is a backslash or a brace.
    let texts = ["好物1", "誠", "乗俓"];
    for (content_type, encoding) in cases {
        let texts = if encoding == BIG5 {
            ["好物1", "功", "許"]
        } else {
            texts
        };
        let page = page(texts);
        let (body, _, lossy) = encoding.encode(&page);
        assert!(!lossy, "{content_type}");
        let (code, lake) = run(content_type, &body);
        assert_eq!(code, Some(0), "{content_type}");
        assert_eq!(titles(&lake), texts, "{content_type}");
        assert_eq!(drift(&lake), Vec::<Value>::new(), "{content_type}");
        let header = &lake.raw_pages()[0]["content_type"];
        assert_eq!(header, content_type);
        if encoding != UTF_8 {
            assert_eq!(kept(&lake), body.as_ref(), "{content_type}");
        }
    }
}

#[test]
fn a_byte_order_mark_sets_the_encoding() {
    let page = page(["好物1", "b", "c"]);
    let body: Vec<u8> = [0xfeff]
        .into_iter()
        .chain(page.encode_utf16())
        .flat_map(u16::to_le_bytes)
        .collect();
    assert_eq!(UTF_16LE.decode(&body).0, page);
    let (code, lake) = run("application/json; charset=utf-8", &body);
    assert_eq!(code, Some(0));
    assert_eq!(titles(&lake), ["好物1", "b", "c"]);
    assert_eq!(kept(&lake), body);
}

/// A title that was cut in the middle of a character: the other notes are as they are.
#[test]
fn undecodable_characters_are_reported_with_their_place() {
    let page = page(["标题1", "标题CUT", "标题3"]).into_bytes();
    let at = page
        .windows(3)
        .position(|bytes| bytes == b"CUT")
        .expect("the mark");
    let mut body = page;
    body.splice(at..at + 3, [0xe6, 0xa0]);
    for content_type in [
        "application/json",
        "application/json; charset=UTF-8",
        "text/plain; charset=x",
    ] {
        let (code, lake) = run(content_type, &body);
        assert_eq!(code, Some(0));
        assert_eq!(titles(&lake), ["标题1", "标题\u{fffd}", "标题3"]);
        let told =
            json!({"path": "/data/items[*]/note/title", "kind": "replaced_character", "count": 1});
        assert_eq!(drift(&lake), [told]);
        assert_eq!(kept(&lake), body);
    }
}

#[test]
fn half_an_emoji_is_told_with_its_place() {
    let page = page(["a", "HALF", "c"]).replace("HALF", r"好\ud83d");
    let (code, lake) = run("application/json", page.as_bytes());
    assert_eq!(code, Some(0));
    assert_eq!(titles(&lake), ["a", "好\u{fffd}", "c"]);
    let told =
        json!({"path": "/data/items[*]/note/title", "kind": "replaced_character", "count": 1});
    assert_eq!(drift(&lake), [told]);
}

/// A U+FFFD that the provider sent is as it came.
#[test]
fn a_replacement_character_of_the_provider_is_no_drift() {
    let (code, lake) = run("application/json", page(["a\u{fffd}", "b", "c"]).as_bytes());
    assert_eq!(code, Some(0));
    assert_eq!(titles(&lake), ["a\u{fffd}", "b", "c"]);
    assert_eq!(drift(&lake), Vec::<Value>::new());
}

/// Raw pages in, rows out: the bytes are decoded there, too.
#[test]
fn a_pipe_decodes_as_a_run_does() {
    let (_, lake) = run(
        "application/json; charset=gbk",
        &GBK.encode(&page(["好物1", "b", "c"])).0,
    );
    let raw = &lake.raw_files()[0];
    let out = lake.write("notes.arrow", "");
    let args = [
        "transform",
        "--in",
        raw.to_str().expect("UTF-8"),
        "--out",
        out.to_str().expect("UTF-8"),
        "--table",
        "notes",
    ];
    succeed(&mut lake.redlake(&args));
    let bytes = std::fs::read(&out).expect("a stream");
    let needle = "好物1".as_bytes();
    assert!(bytes.windows(needle.len()).any(|part| part == needle));
}
