//! What is written can be read, byte for byte, and what cannot be read is said.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use tempfile::TempDir;

use super::{PageHeader, RawError, RawPage, RawReader, RawWriter, VERSION, encode};
use crate::plan::{Search, StopRules};

fn header(page: u32) -> PageHeader {
    let at = "2026-03-09T04:00:00.000001Z".parse().expect("a time");
    PageHeader {
        v: VERSION,
        run_id: "run".to_owned(),
        pipeline: "test".to_owned(),
        snapshot_at: at,
        simulated: false,
        request_id: "request".to_owned(),
        search: Search {
            search_id: "24382dd2e0be3a01".to_owned(),
            source: "shop".to_owned(),
            endpoint: "things".to_owned(),
            keyword: Some("防晒 \"spf\"".to_owned()),
            keyword_set: None,
            filters: BTreeMap::new(),
            note_id: None,
            params: BTreeMap::from([("keyword".to_owned(), "防晒".to_owned())]),
            max_pages: 3,
            stop_when: StopRules::default(),
            wishes: Vec::new(),
        },
        page,
        fetched_at: at,
        status: 200,
        accepted: true,
        class: "ok".to_owned(),
        item_count: 20,
        items_before: 40,
        new_item_count: 18,
        stop: None,
    }
}

/// A raw file of these bodies, in a folder that does not exist before.
fn written(bodies: &[&[u8]]) -> (TempDir, PathBuf) {
    let dir = TempDir::new().expect("a temporary folder");
    let path = dir.path().join("raw/source=shop/run.ndjson.zst");
    let mut writer = RawWriter::new(path.clone());
    for (page, body) in (1..).zip(bodies) {
        writer
            .append(&header(page), body)
            .expect("a writable folder");
    }
    (dir, path)
}

/// All pages of a file, and whether its end is torn.
fn read(path: &Path) -> Result<(Vec<RawPage>, bool), RawError> {
    let mut reader = RawReader::open(path)?;
    let pages = reader.by_ref().collect::<Result<Vec<_>, _>>()?;
    Ok((pages, reader.torn()))
}

/// The body that is read where this one was written.
fn round_trip(body: &[u8]) -> String {
    let (_dir, path) = written(&[body]);
    let (pages, torn) = read(&path).expect("a whole file");
    assert!(!torn);
    assert_eq!(pages.len(), 1);
    assert_eq!(pages[0].header, header(1));
    pages[0].body.clone()
}

#[test]
fn a_body_comes_back_as_it_came() {
    let bodies = [
        r#"{"code":0,"data":null}"#,
        r#"{ "code" : 0.10, "b":1e2 , "a":"\u6d77\/" }"#,
        "{\"a\":1} ",
        "{\n  \"code\": 0,\r\n  \"data\": []\n}\n",
        "[1, 2]",
        "",
        " ",
        "null",
        "42",
        r#""a text""#,
        "<html>\n<b>502 \"Bad\" Gateway</b>",
        "{\"code\": 0, \"data\": ",
        r#"{"a":"\ud800"}"#,
        "海蓝之谜\u{0}\u{2028}\u{10ffff}",
        r#"{"a":1,"a":2}"#,
    ];
    for body in bodies {
        assert_eq!(round_trip(body.as_bytes()), body, "{body:?}");
    }
    let deep = "[".repeat(5_000) + &"]".repeat(5_000);
    assert_eq!(round_trip(deep.as_bytes()), deep);
}

#[test]
fn what_is_no_utf_8_is_kept_as_far_as_it_is_text() {
    assert_eq!(round_trip(b"{\"a\":\"\xff\"}"), "{\"a\":\"\u{fffd}\"}");
}

#[test]
fn json_lies_in_the_file_as_json() {
    let (_dir, path) = written(&[br#"{"code": 0}"#, b"502\n"]);
    let file = fs::File::open(path).expect("the file");
    let text = zstd::decode_all(file).expect("zstd frames");
    let text = String::from_utf8(text).expect("UTF-8");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2);
    assert!(lines[0].ends_with(r#","body":{"code": 0}}"#), "{text}");
    assert!(lines[1].ends_with(r#","body":"502\n"}"#), "{text}");
}

#[test]
fn pages_come_back_in_order() {
    let (_dir, path) = written(&[b"{}", b"[]", b"no"]);
    let mut more = RawWriter::new(path.clone());
    more.append(&header(4), b"{\"late\":1}").expect("appending");
    let (pages, torn) = read(&path).expect("a whole file");
    let pages: Vec<_> = pages
        .iter()
        .map(|p| (p.header.page, p.body.as_str()))
        .collect();
    assert_eq!(
        pages,
        [(1, "{}"), (2, "[]"), (3, "no"), (4, "{\"late\":1}")]
    );
    assert!(!torn);
}

#[test]
fn there_is_no_file_before_the_first_page() {
    let (_dir, path) = written(&[]);
    assert!(!path.exists());
    let error = RawReader::open(&path).err().expect("an error").to_string();
    assert!(error.starts_with("cannot open the raw file "), "{error}");
}

#[test]
fn a_torn_last_frame_leaves_the_pages_before_it() {
    let (_dir, path) = written(&[b"{\"page\":1}", b"{\"page\":2}"]);
    let whole = fs::read(&path).expect("the file");
    let (_dir, first) = written(&[b"{\"page\":1}"]);
    let first = fs::read(first).expect("the file").len();
    for length in first..whole.len() {
        fs::write(&path, &whole[..length]).expect("writable");
        let (pages, torn) = read(&path).unwrap_or_else(|e| panic!("cut at {length}: {e}"));
        assert_eq!(pages.len(), 1, "cut at {length}");
        assert_eq!(pages[0].body, "{\"page\":1}");
        assert_eq!(torn, length > first, "cut at {length}");
    }
}

/// The process may have died at any byte of its second page.
#[test]
fn a_torn_last_frame_is_cut_off_before_the_next_page() {
    let (_dir, path) = written(&[b"{\"page\":1}", b"{\"page\":2}"]);
    let whole = fs::read(&path).expect("the file");
    let (_dir, first) = written(&[b"{\"page\":1}"]);
    let first = fs::read(first).expect("the file").len();
    for length in 0..=whole.len() {
        fs::write(&path, &whole[..length]).expect("writable");
        let mut writer = RawWriter::new(path.clone());
        writer.append(&header(3), b"{}").expect("appending");
        writer.append(&header(4), b"{}").expect("appending");
        let (pages, torn) = read(&path).unwrap_or_else(|e| panic!("cut at {length}: {e}"));
        let pages: Vec<u32> = pages.iter().map(|page| page.header.page).collect();
        let before = match length {
            _ if length == whole.len() => vec![1, 2],
            _ if length >= first => vec![1],
            _ => vec![],
        };
        assert_eq!(pages, [before, vec![3, 4]].concat(), "cut at {length}");
        assert!(!torn, "cut at {length}");
    }
}

#[test]
fn a_file_of_something_else_is_not_written_to() {
    let (_dir, path) = written(&[b"{}"]);
    let page = fs::read(&path).expect("the file");
    for bytes in [b"a letter".to_vec(), [page, b"a letter".to_vec()].concat()] {
        fs::write(&path, &bytes).expect("writable");
        let mut writer = RawWriter::new(path.clone());
        let error = writer.append(&header(2), b"{}").expect_err("an error");
        assert!(matches!(error, RawError::Format { .. }), "{error}");
        assert_eq!(fs::read(&path).expect("the file"), bytes);
    }
}

/// Pages are on their way until they are synced, but in the file.
#[test]
fn pages_are_written_one_by_one_and_synced_together() {
    let (_dir, path) = written(&[]);
    let mut writer = RawWriter::new(path.clone());
    writer.sync().expect("nothing to sync");
    assert!(!path.exists());
    for page in 1..=3 {
        let frame = encode(&header(page), b"{}").expect("a frame");
        writer.write(&frame).expect("a writable folder");
    }
    writer.sync().expect("a disk");
    let (pages, _) = read(&path).expect("a whole file");
    assert_eq!(pages.len(), 3);
}

#[test]
fn a_page_says_why_it_was_the_last() {
    let (_dir, path) = written(&[]);
    let mut writer = RawWriter::new(path.clone());
    let last = PageHeader {
        stop: Some("older_than".to_owned()),
        ..header(1)
    };
    writer.append(&last, b"{}").expect("a writable folder");
    writer.append(&header(2), b"{}").expect("a writable folder");
    let (pages, _) = read(&path).expect("a whole file");
    let headers: Vec<_> = pages.into_iter().map(|page| page.header).collect();
    assert_eq!(headers, [last, header(2)]);
    // Pages from before there were reasons and rules have none.
    let text = zstd::decode_all(fs::File::open(&path).expect("the file")).expect("frames");
    let text = String::from_utf8(text).expect("UTF-8");
    assert!(
        text.lines()
            .nth(1)
            .is_some_and(|line| !line.contains("\"stop\":"))
    );
    let old = text.lines().nth(1).expect("a page");
    let old = old.replace(",\"stop_when\":{\"empty\":true}", "") + "\n";
    assert!(!old.contains("stop_when"), "{old}");
    fs::write(&path, zstd::encode_all(old.as_bytes(), 1).expect("a frame")).expect("writable");
    let (pages, _) = read(&path).expect("a whole file");
    assert_eq!(pages[0].header, header(2));
}

#[test]
fn what_is_no_raw_file_is_told_with_its_name_and_the_page() {
    let line = |text: &str| zstd::encode_all(text.as_bytes(), 1).expect("a frame");
    let (_dir, path) = written(&[b"{}"]);
    let page = fs::read(&path).expect("the file");
    let cases = [
        (b"this was never compressed".to_vec(), 1),
        (line("{\"v\":1}\n"), 1),
        (line("no JSON\n"), 1),
        ([page.clone(), b"garbage".to_vec()].concat(), 2),
        ([page.clone(), line("{}\n")].concat(), 2),
    ];
    for (bytes, at) in cases {
        fs::write(&path, bytes).expect("writable");
        let error = read(&path).expect_err("an error").to_string();
        let start = format!(
            "{} is not a raw file of redlake: page {at}: ",
            path.display()
        );
        assert!(error.starts_with(&start), "{error}");
    }
}

#[test]
fn an_empty_file_holds_no_page() {
    let (_dir, path) = written(&[b"{}"]);
    fs::write(&path, b"").expect("writable");
    assert_eq!(read(&path).expect("an empty file"), (Vec::new(), false));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_comes_back(body in any::<String>()) {
        prop_assert_eq!(round_trip(body.as_bytes()), body);
    }

    /// Text that is JSON, or nearly.
    #[test]
    fn any_json_comes_back(body in "[\\[{][\\[\\]{}\",:0-9a\\\\ \n\r\t海]{0,12}[\\]}][ \n]?") {
        prop_assert_eq!(round_trip(body.as_bytes()), body);
    }
}

#[test]
fn zeros_that_a_power_cut_left_are_cut_off() {
    let (dir, path) = written(&[b"{}", b"{}"]);
    let whole = std::fs::read(&path).expect("a raw file");
    let torn = encode(&header(3), b"{}").expect("a frame");
    for rest in [vec![0; 64], [&torn[..torn.len() - 4], &[0; 32]].concat()] {
        std::fs::write(&path, [&whole[..], &rest].concat()).expect("writable");
        let mut reader = RawReader::open(&path).expect("a raw file");
        assert_eq!(reader.by_ref().filter_map(Result::ok).count(), 2);
        assert!(reader.torn());
        let mut writer = RawWriter::new(path.clone());
        writer.append(&header(3), b"{}").expect("a page");
        let pages = RawReader::open(&path).expect("a raw file");
        assert_eq!(
            pages.map(|page| page.expect("a page").header.page).max(),
            Some(3)
        );
    }
    drop(dir);
}
