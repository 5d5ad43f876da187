//! What is written to a journal is read from it, up to where it was torn.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::{done, head, journal, journal_path, search, sent};
use crate::extract::journal::{Entry, Journal, RunHead, head as first, is_under_way, read};
use crate::extract::ledger::{Call, Sent};
use crate::plan::{KnownShare, Recheck, Search, StopRules};
use crate::spec::source::Billed;

const NOON: &str = "2026-03-09T04:00:00.000001Z";

/// One of each kind, with everything that may be absent there and not there.
fn entries() -> Vec<Entry> {
    let call = sent("r1", NOON, Some(0.1));
    let free = sent("r2", NOON, None);
    let full = Call {
        duration_ms: 1_234,
        http_status: Some(429),
        code: Some("302".to_owned()),
        bytes: Some(0),
        item_count: Some(20),
        provider_request_id: Some("p-1".to_owned()),
        error: Some("code 302 (HTTP 429): \"zu\nviel\" 海".to_owned()),
        ..done(&call, Billed::Yes)
    };
    let chosen = Search {
        note_id: Some("n1".to_owned()),
        keyword: None,
        stop_when: StopRules {
            empty: false,
            short_page: Some(20),
            known: Some(KnownShare {
                share: 0.1 + 0.2,
                within_s: u64::MAX,
                recheck: Some(Recheck {
                    every_s: u64::MAX,
                    pages: u32::MAX,
                }),
            }),
            older_than_s: Some(0),
        },
        ..search(&[("note_id", "n1")])
    };
    vec![
        Entry::Run(head("run")),
        Entry::Run(RunHead {
            shard: Some("2/4".parse().expect("a shard")),
            simulated: true,
            ..head("run")
        }),
        Entry::Sent(call),
        Entry::Sent(Sent {
            page: u32::MAX,
            attempt: 5,
            ..free.clone()
        }),
        Entry::Done(full),
        Entry::Done(Call::unanswered(&free, "")),
        Entry::Done(done(&free, Billed::No)),
        Entry::Failed {
            search_id: "24382dd2e0be3a01".to_owned(),
            error: "line\nbreak\r\n\u{2028}".to_owned(),
        },
        Entry::Chosen { searches: vec![] },
        Entry::Chosen {
            searches: vec![chosen, search(&[])],
        },
        Entry::Committed { tables: true },
        Entry::Committed { tables: false },
        Entry::Closed,
    ]
}

/// A journal of all entries after its first line, and what it should hold.
fn whole(folder: &Path) -> (Journal, Vec<Entry>) {
    let journal = journal(folder, head("run"), &entries());
    let all = [Entry::Run(head("run"))].into_iter().chain(entries());
    (journal, all.collect())
}

fn folder() -> TempDir {
    TempDir::new().expect("a temporary folder")
}

#[test]
fn every_entry_is_read_as_it_was_written() {
    let dir = folder();
    let (journal, all) = whole(dir.path());
    journal.sync().expect("a disk");
    assert_eq!(read(journal.path()).expect("a journal"), all);
    let text = fs::read_to_string(journal.path()).expect("text");
    assert_eq!(text.lines().count(), all.len(), "an entry is a line");
}

/// Runs that are continued may be of an older redlake.
#[test]
fn the_words_of_a_journal_stay() {
    let dir = folder();
    let path = journal_path(dir.path(), "run");
    let text = r#"{"run":{"run_id":"run","pipeline":"test","plan_hash":"0123456789abcdef","shard":null,"snapshot_at":"2026-03-09T04:00:00Z","started_at":"2026-03-09T04:00:01.000002Z","opened_at":"2026-03-09T04:00:02Z","simulated":false}}
{"sent":{"request_id":"r1","source":"justoneapi","search_id":"24382dd2e0be3a01","endpoint":"note_search","page":1,"attempt":1,"started_at":"2026-03-09T04:00:00.000001Z","price":0.1,"currency":"CNY"}}
{"done":{"source":"justoneapi","request_id":"r1","search_id":"24382dd2e0be3a01","endpoint":"note_search","keyword":null,"note_id":null,"page":1,"attempt":1,"started_at":"2026-03-09T04:00:00.000001Z","duration_ms":0,"http_status":200,"code":null,"class":"ok","billed":"yes","cost":0.1,"currency":"CNY","bytes":null,"item_count":null,"provider_request_id":null,"error":null}}
{"failed":{"search_id":"s","error":"e"}}
{"chosen":{"searches":[]}}
{"committed":{"tables":true}}
"closed"
"#;
    let call = sent("r1", NOON, Some(0.1));
    let entries = [
        Entry::Sent(call.clone()),
        Entry::Done(done(&call, Billed::Yes)),
        Entry::Failed {
            search_id: "s".to_owned(),
            error: "e".to_owned(),
        },
        Entry::Chosen { searches: vec![] },
        Entry::Committed { tables: true },
        Entry::Closed,
    ];
    journal(dir.path(), head("run"), &entries);
    assert_eq!(fs::read_to_string(&path).expect("text"), text);
    // The version before wrote neither a currency nor what was asked for.
    let old = text.replace(r#","currency":"CNY""#, "");
    let old = old.replace(r#""keyword":null,"note_id":null,"#, "");
    fs::write(&path, old).expect("writable");
    let read = read(&path).expect("a journal");
    let Entry::Sent(sent) = &read[1] else {
        panic!("{:?}", read[1]);
    };
    assert_eq!(sent.currency, None);
    let Entry::Done(done) = &read[2] else {
        panic!("{:?}", read[2]);
    };
    assert_eq!((done.currency.as_deref(), done.cost), (None, Some(0.1)));
}

#[test]
fn a_journal_is_begun_once() {
    let dir = folder();
    let (journal, all) = whole(dir.path());
    let path = journal.path().to_owned();
    let error = Journal::create(path.clone(), head("run"), crate::durable::FileAccess::Owner)
        .expect_err("an error");
    assert!(error.to_string().starts_with("cannot create "), "{error}");
    assert_eq!(read(&path).expect("a journal"), all);
}

/// The process may have died at any byte.
#[test]
fn a_torn_line_is_cut_off_and_the_journal_goes_on() {
    let dir = folder();
    let (journal, all) = whole(dir.path());
    let path = journal.path().to_owned();
    let bytes = fs::read(&path).expect("a journal");
    // As long as its process lives, nobody else goes on with it.
    let error = Journal::reopen(path.clone()).expect_err("it is under way");
    assert!(is_under_way(&path), "{error}");
    drop(journal);
    assert!(!is_under_way(&path));
    for length in 0..=bytes.len() {
        fs::write(&path, &bytes[..length]).expect("writable");
        let whole = bytes[..length].iter().filter(|b| **b == b'\n').count();
        let mut expected = all[..whole].to_vec();
        assert_eq!(read(&path).expect("a journal"), expected, "cut at {length}");
        let reopened = Journal::reopen(path.clone()).expect("a journal");
        assert_eq!(read(&path).expect("a journal"), expected, "cut at {length}");
        for entry in [Entry::Committed { tables: true }, Entry::Closed] {
            reopened.append(&entry).expect("a line");
            expected.push(entry);
        }
        assert_eq!(read(&path).expect("a journal"), expected, "cut at {length}");
    }
}

#[test]
fn the_first_line_says_what_the_run_is() {
    let dir = folder();
    let (journal, _) = whole(dir.path());
    let path = journal.path().to_owned();
    let bytes = fs::read(&path).expect("a journal");
    let line = bytes.iter().position(|b| *b == b'\n').expect("a line") + 1;
    for length in [0, 1, line - 1] {
        fs::write(&path, &bytes[..length]).expect("writable");
        assert_eq!(first(&path).expect("a journal"), None, "cut at {length}");
    }
    // What comes after it may be anything.
    fs::write(&path, [&bytes[..line], b"no JSON\n"].concat()).expect("writable");
    assert_eq!(first(&path).expect("a journal"), Some(head("run")));
    fs::write(&path, "\"closed\"\n").expect("writable");
    assert_eq!(first(&path).expect("a journal"), None);
    fs::write(&path, "no JSON\n").expect("writable");
    first(&path).expect_err("an error");
}

#[test]
fn what_is_no_journal_is_told_with_its_line() {
    let dir = folder();
    let (journal, _) = whole(dir.path());
    let path = journal.path().to_owned();
    let text = fs::read_to_string(&path).expect("text");
    let fourth = text.lines().nth(3).expect("a line");
    for wrong in ["{}", "\"opened\"", "null", "{\"failed\":{}}", "no JSON"] {
        fs::write(&path, text.replacen(fourth, wrong, 1)).expect("writable");
        let error = read(&path).expect_err("an error").to_string();
        let start = format!(
            "{}, line 4, is not a journal of this redlake version: ",
            path.display()
        );
        assert!(error.starts_with(&start), "{error}");
    }
    let error = read(&dir.path().join("none")).expect_err("an error");
    assert!(error.to_string().starts_with("cannot read "), "{error}");
    Journal::reopen(dir.path().join("none")).expect_err("there is none");
}
