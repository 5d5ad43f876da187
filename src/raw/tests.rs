//! What is written can be read, byte for byte, and what cannot be read is said.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use tempfile::TempDir;

use super::seal::SIZE;
use super::{RawReader, RawWriter, encode};
use crate::plan::{Search, StopRules};
use crate::raw::page::{PageHeader, RawError, RawPage, VERSION};
use crate::spec::class::CallClass;

const RUN_ID: &str = "01a1ffd8-344f-70ea-82f1-ffa903442969";

fn header(page: u32) -> PageHeader {
    let at = "2026-03-09T04:00:00.000001Z".parse().expect("a time");
    PageHeader {
        v: VERSION,
        run_id: RUN_ID.to_owned(),
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
            fields: Vec::new(),
        },
        page,
        fetched_at: at,
        status: 200,
        content_type: None,
        accepted: true,
        class: CallClass::Ok,
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
    String::from_utf8(pages[0].body.clone()).expect("UTF-8")
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
fn bytes_that_are_no_text_come_back_as_they_came() {
    let bodies: [&[u8]; 4] = [
        b"{\"a\":\"\xff\"}",
        b"\xba\xc3\xce\xef",
        &[0, 159, 146, 150, 13, 10],
        b"\xff\xfe{\x00}\x00",
    ];
    for body in bodies {
        let (_dir, path) = written(&[body]);
        let (pages, _) = read(&path).expect("a whole file");
        assert_eq!(pages[0].body, body);
    }
}

/// Decoded by the charset that is declared, only where they are no UTF-8.
#[test]
fn bodies_are_decoded_as_they_declare() {
    let gbk: &[u8] = b"\xba\xc3\xce\xef1";
    let big5: &[u8] = b"\xa6n\xaa\xab";
    let cases: [(&[u8], Option<&str>, &str, bool); 10] = [
        (gbk, Some("application/json; charset=GBK"), "好物1", false),
        (
            gbk,
            Some("application/json;charset=\"gb18030\""),
            "好物1",
            false,
        ),
        (
            gbk,
            Some("text/html; boundary=x; Charset = gb2312"),
            "好物1",
            false,
        ),
        (big5, Some("application/json; charset=big5"), "好物", false),
        (gbk, None, "\u{fffd}\u{fffd}\u{fffd}\u{fffd}1", true),
        (
            gbk,
            Some("application/json; charset=klingon"),
            "\u{fffd}\u{fffd}\u{fffd}\u{fffd}1",
            true,
        ),
        (
            "好物".as_bytes(),
            Some("application/json; charset=gbk"),
            "好物",
            false,
        ),
        ("\u{feff}{}".as_bytes(), None, "{}", false),
        (
            b"\xff\xfe{\0}\0",
            Some("application/json; charset=utf-8"),
            "{}",
            false,
        ),
        (
            b"a\xba",
            Some("application/json; charset=gbk"),
            "a\u{fffd}",
            true,
        ),
    ];
    for (bytes, content_type, text, is_replaced) in cases {
        let found = super::body::decode(bytes, content_type);
        assert_eq!(
            (found.text.as_ref(), found.is_replaced),
            (text, is_replaced),
            "{content_type:?}"
        );
    }
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
        .map(|p| (p.header.page, std::str::from_utf8(&p.body).expect("UTF-8")))
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
        assert_eq!(pages[0].body, b"{\"page\":1}");
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
    fs::write(&path, b"a letter").expect("writable");
    let mut writer = RawWriter::new(path.clone());
    let error = writer.append(&header(2), b"{}").expect_err("an error");
    assert!(matches!(error, RawError::Format { .. }), "{error}");
    assert_eq!(fs::read(&path).expect("the file"), b"a letter");
}

/// What was paid for may be in the damaged bytes: they stay, and pages follow them.
#[test]
fn pages_are_appended_behind_damage() {
    let (_dir, path) = written(&[b"{}"]);
    let page = fs::read(&path).expect("the file");
    let damaged = [&page[..], b"a letter"].concat();
    fs::write(&path, &damaged).expect("writable");
    let mut writer = RawWriter::new(path.clone());
    writer.append(&header(2), b"{}").expect("appending");
    assert!(fs::read(&path).expect("the file").starts_with(&damaged));
    let mut reader = RawReader::open(&path).expect("the file");
    let pages: Vec<u32> = reader
        .by_ref()
        .map(|p| p.expect("a page").header.page)
        .collect();
    assert_eq!(pages, [1, 2]);
    assert_eq!(reader.damaged().len(), 1);
    assert_eq!(
        (reader.damaged()[0].offset, reader.damaged()[0].bytes),
        (page.len() as u64, 8)
    );
}

/// A file that goes away, is replaced or shortened while it is written: the page in hand is kept,
/// and the writer says that those before it are gone.
#[test]
fn a_writer_tells_that_its_file_was_changed() {
    type Meddle = fn(&Path);
    let changes: [(&str, Meddle); 3] = [
        ("was removed", |path| {
            fs::remove_file(path).expect("removable")
        }),
        ("was replaced by another file", |path| {
            let bytes = fs::read(path).expect("the file");
            fs::remove_file(path).expect("removable");
            fs::write(path.with_extension("other"), b"x").expect("writable");
            fs::write(path, bytes).expect("writable");
        }),
        ("was shortened by another program", |path| {
            let file = fs::OpenOptions::new()
                .write(true)
                .open(path)
                .expect("writable");
            file.set_len(10).expect("writable");
        }),
    ];
    for (told, change) in changes {
        let (_dir, path) = written(&[]);
        let mut writer = RawWriter::new(path.clone());
        writer.append(&header(1), b"{}").expect("a page");
        writer.watch().check().expect("an unchanged file");
        change(&path);
        let error = writer.watch().check().expect_err(told).to_string();
        assert!(error.contains(told), "{error}");
        let error = writer
            .append(&header(2), b"{}")
            .expect_err(told)
            .to_string();
        assert!(error.contains(told), "{error}");
        writer.append(&header(3), b"{}").expect("a page");
        let (pages, _) = read(&path).expect("a readable file");
        let pages: Vec<u32> = pages.iter().map(|page| page.header.page).collect();
        assert!(pages.ends_with(&[2, 3]), "{told}: {pages:?}");
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
fn the_last_page_has_the_stop_reason() {
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
    let old = old.replace("\"v\":2", "\"v\":1");
    fs::write(&path, zstd::encode_all(old.as_bytes(), 1).expect("a frame")).expect("writable");
    let (pages, _) = read(&path).expect("a whole file");
    assert_eq!(pages[0].header, PageHeader { v: 1, ..header(2) });
}

#[test]
fn an_invalid_page_is_reported_with_its_place_and_reason() {
    let line = |text: &str| zstd::encode_all(text.as_bytes(), 1).expect("a frame");
    let (_dir, path) = written(&[b"{}"]);
    let page = fs::read(&path).expect("the file");
    let after = page.len() as u64;
    let elsewhere = PageHeader {
        run_id: "../../../../pwn".to_owned(),
        ..header(2)
    };
    let elsewhere = encode(&elsewhere, b"{}").expect("a frame");
    let no_id = PageHeader {
        run_id: RUN_ID.replace('-', ""),
        ..header(2)
    };
    let no_id = encode(&no_id, b"{}").expect("a frame");
    let cases = [
        (
            b"this was never compressed".to_vec(),
            0,
            0,
            "no whole frame begins here",
        ),
        (line("{\"v\":1}\n"), 0, 0, "it holds no page: missing field"),
        (line("no JSON\n"), 0, 0, "it holds no page: expected"),
        (
            [&page[..], b"garbage"].concat(),
            1,
            after,
            "no whole frame begins here",
        ),
        (
            [&page[..], &line("{}\n")].concat(),
            1,
            after,
            "it holds no page: missing field `v`",
        ),
        (
            [&page[..], &page[..page.len() - SIZE], b"12345"].concat(),
            1,
            after,
            "its checksum is missing",
        ),
        (
            elsewhere,
            0,
            0,
            "it holds no page: its run_id `../../../../pwn` is not a UUID",
        ),
        (
            [&page[..], &no_id].concat(),
            1,
            after,
            "it holds no page: its run_id `01a1",
        ),
    ];
    for (bytes, whole, offset, reason) in cases {
        fs::write(&path, bytes).expect("writable");
        let mut reader = RawReader::open(&path).expect("the file");
        assert_eq!(
            reader.by_ref().filter_map(Result::ok).count(),
            whole,
            "{reason}"
        );
        let damage = reader
            .damaged()
            .first()
            .unwrap_or_else(|| panic!("{reason}"));
        assert_eq!(damage.offset, offset, "{reason}");
        assert!(damage.reason.starts_with(reason), "{damage}");
        let text = damage.to_string();
        assert!(text.starts_with(&path.display().to_string()), "{text}");
    }
}

#[test]
fn a_page_of_a_newer_format_is_refused() {
    let newer = PageHeader {
        v: VERSION + 1,
        ..header(1)
    };
    let (_dir, path) = written(&[b"{}"]);
    fs::write(&path, encode(&newer, b"{}").expect("a frame")).expect("writable");
    let error = read(&path).expect_err("an error");
    assert!(matches!(error, RawError::Newer { found: 3, .. }), "{error}");
}

/// A line of the version before, without a seal.
fn unsealed(page: u32, body: &str) -> Vec<u8> {
    let header = PageHeader {
        v: 1,
        ..header(page)
    };
    let frame = encode(&header, body.as_bytes()).expect("a frame");
    let line = zstd::decode_all(frame.as_slice()).expect("a line");
    zstd::encode_all(line.as_slice(), 3).expect("a frame")
}

#[test]
fn pages_without_checksums_are_read_and_told() {
    let (_dir, path) = written(&[b"{\"late\":1}"]);
    let sealed = fs::read(&path).expect("the file");
    let old = [unsealed(7, "{\"a\":1}"), unsealed(8, "text")].concat();
    for (bytes, pages, has_unsealed) in [
        (old.clone(), vec![7, 8], true),
        ([&old[..], &sealed].concat(), vec![7, 8, 1], true),
        (sealed, vec![1], false),
    ] {
        fs::write(&path, bytes).expect("writable");
        let mut reader = RawReader::open(&path).expect("the file");
        let found: Vec<u32> = reader
            .by_ref()
            .map(|p| p.expect("a page").header.page)
            .collect();
        assert_eq!(found, pages);
        assert_eq!(reader.has_unsealed(), has_unsealed);
        assert_eq!(reader.damaged(), []);
    }
}

#[test]
fn an_empty_file_holds_no_page() {
    let (_dir, path) = written(&[b"{}"]);
    fs::write(&path, b"").expect("writable");
    assert_eq!(read(&path).expect("an empty file"), (Vec::new(), false));
}

/// The bodies of some pages, none of which is like another.
fn bodies() -> Vec<String> {
    let random = |n: usize| (0..400 * n).map(move |i| char::from(b'a' + (i * i * n % 23) as u8));
    (1..=6)
        .map(|n| {
            format!(
                "{{\"page\":{n},\"text\":\"{}\"}}",
                random(n).collect::<String>()
            )
        })
        .collect()
}

/// What is read of damaged bytes: pages as they were written, each at most once.
fn whole_pages(path: &Path, bodies: &[String]) -> (Vec<u32>, bool, usize) {
    let mut reader = RawReader::open(path).expect("the file");
    let pages: Vec<RawPage> = reader
        .by_ref()
        .map(|page| page.expect("a readable file"))
        .collect();
    for page in &pages {
        let number = page.header.page;
        assert_eq!(page.header, header(number), "a header was changed");
        assert_eq!(
            page.body,
            bodies[number as usize - 1].as_bytes(),
            "a body was changed"
        );
    }
    let numbers = pages.iter().map(|page| page.header.page).collect();
    (numbers, reader.torn(), reader.damaged().len())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any bytes that are overwritten cost the pages that they lie in, and these are told.
    #[test]
    fn damage_costs_its_pages_and_no_others(
        at in any::<prop::sample::Index>(),
        with in prop::collection::vec(any::<u8>(), 1..80),
    ) {
        let bodies = bodies();
        let bytes: Vec<&[u8]> = bodies.iter().map(String::as_bytes).collect();
        let (_dir, path) = written(&bytes);
        let whole = fs::read(&path).expect("the file");
        let at = at.index(whole.len());
        let mut damaged = whole.clone();
        let end = (at + with.len()).min(whole.len());
        damaged[at..end].copy_from_slice(&with[..end - at]);
        prop_assume!(damaged != whole);
        fs::write(&path, &damaged).expect("writable");
        let changed: Vec<usize> = (0..whole.len()).filter(|i| whole[*i] != damaged[*i]).collect();
        let (first, last) = (changed[0], changed[changed.len() - 1]);
        let mut expected = Vec::new();
        let mut begin = 0;
        for (number, body) in (1..).zip(&bodies) {
            let size = encode(&header(number), body.as_bytes()).expect("a frame").len();
            if last < begin || first >= begin + size {
                expected.push(number);
            }
            begin += size;
        }
        let (found, torn, told) = whole_pages(&path, &bodies);
        prop_assert_eq!(found, expected);
        prop_assert!(told > 0 || torn);
    }

    /// Bytes that are missing or that were put in cost at most the pages around them.
    #[test]
    fn shifted_bytes_cost_the_pages_around_them(
        at in any::<prop::sample::Index>(),
        missing in 0_usize..300,
        more in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        prop_assume!(missing > 0 || !more.is_empty());
        let bodies = bodies();
        let bytes: Vec<&[u8]> = bodies.iter().map(String::as_bytes).collect();
        let (_dir, path) = written(&bytes);
        let mut file = fs::read(&path).expect("the file");
        let at = at.index(file.len());
        let end = (at + missing).min(file.len());
        file.splice(at..end, more);
        fs::write(&path, &file).expect("writable");
        let (found, _, _) = whole_pages(&path, &bodies);
        let mut begin = 0;
        for (number, body) in (1..).zip(&bodies) {
            let size = encode(&header(number), body.as_bytes()).expect("a frame").len();
            if begin + size <= at || begin >= end {
                prop_assert!(found.contains(&number), "page {} of {:?}", number, found);
            }
            begin += size;
        }
    }

    /// In files of the version before, damage that breaks a frame costs no page behind it.
    #[test]
    fn damage_in_unsealed_pages_costs_no_page_behind_it(at in any::<prop::sample::Index>(), bit in 0_u8..8) {
        let bodies = bodies();
        let frames: Vec<Vec<u8>> = (1..).zip(&bodies).map(|(n, body)| unsealed(n, body)).collect();
        let (_dir, path) = written(&[b"{}"]);
        let mut file = frames.concat();
        let at = at.index(frames[0].len() + frames[1].len());
        file[at] ^= 1 << bit;
        fs::write(&path, &file).expect("writable");
        let reader = RawReader::open(&path).expect("the file");
        let found: Vec<u32> = reader.map(|page| page.expect("a readable file").header.page).collect();
        prop_assert!(found.ends_with(&[3, 4, 5, 6]), "{:?}", found);
    }
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
