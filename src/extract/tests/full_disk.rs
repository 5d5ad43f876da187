//! A write that stops halfway leaves no half line and no half frame: more may be written after it,
//! and all of it must be readable.
//!
//! The test runs itself again as a process that may only write small files.

#![cfg(unix)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::{head, journal, journal_path, search, sent, time};
use crate::extract::journal::{Entry, read};
use crate::raw::{self, PageHeader, RawReader, RawWriter, encode};

const FOLDER: &str = "REDLAKE_TEST_SMALL_DISK";

/// Calls `fill` with a folder in which no file gets larger than a few KiB, in a process of its
/// own; that folder then.
fn with_small_files(test: &str, fill: impl Fn(&Path)) -> Option<TempDir> {
    if let Some(folder) = std::env::var_os(FOLDER) {
        fill(&PathBuf::from(folder));
        return None;
    }
    let dir = TempDir::new().expect("a temporary folder");
    // A write beyond the limit fails with an error only where the signal is ignored.
    let limited = "trap '' XFSZ; ulimit -f 8; exec \"$0\" \"$@\"";
    let output = Command::new("sh")
        .args(["-c", limited])
        .arg(std::env::current_exe().expect("this program"))
        .args(["--exact", &format!("extract::tests::full_disk::{test}")])
        .env(FOLDER, dir.path())
        .output()
        .expect("a shell");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}");
    assert!(told.contains("1 passed"), "{told}");
    Some(dir)
}

#[test]
fn a_journal_has_whole_lines_when_the_disk_is_full() {
    let entry = |n: usize| Entry::Sent(sent(&n.to_string(), "2026-03-09T04:00:00Z", None));
    let fill = |folder: &Path| {
        let journal = journal(folder, head("run"), &[]);
        let lines = (0..).find(|n| journal.append(&entry(*n)).is_err());
        fs::write(folder.join("lines"), lines.unwrap_or(0).to_string()).expect("a small file");
    };
    let test = "a_journal_has_whole_lines_when_the_disk_is_full";
    let Some(dir) = with_small_files(test, fill) else {
        return;
    };
    let lines = fs::read_to_string(dir.path().join("lines")).expect("text");
    let lines: usize = lines.parse().expect("a number");
    assert!(lines > 3, "{lines}");
    let path = journal_path(dir.path(), "run");
    // The process may live on and write more when there is room again.
    let mut more = fs::OpenOptions::new()
        .append(true)
        .open(&path)
        .expect("a file");
    std::io::Write::write_all(&mut more, b"\"closed\"\n").expect("room");
    let mut expected = vec![Entry::Run(head("run"))];
    expected.extend((0..lines).map(entry));
    expected.push(Entry::Closed);
    assert_eq!(read(&path).unwrap_or_else(|e| panic!("{e}")), expected);
}

fn header(page: u32) -> PageHeader {
    PageHeader {
        v: raw::VERSION,
        run_id: "run".to_owned(),
        pipeline: "test".to_owned(),
        snapshot_at: time("2026-03-09T04:00:00Z"),
        simulated: false,
        request_id: page.to_string(),
        search: search(&[]),
        page,
        fetched_at: time("2026-03-09T04:00:00Z"),
        status: 200,
        accepted: true,
        class: "ok".to_owned(),
        item_count: 0,
        items_before: 0,
        new_item_count: 0,
        stop: None,
    }
}

#[test]
fn a_raw_file_has_whole_frames_when_the_disk_is_full() {
    let fill = |folder: &Path| {
        let mut writer = RawWriter::new(folder.join("run.ndjson.zst"));
        let mut append = |page| writer.append(&header(page), b"{}");
        let pages = (0..).find(|page| append(*page).is_err());
        fs::write(folder.join("pages"), pages.unwrap_or(0).to_string()).expect("a small file");
    };
    let test = "a_raw_file_has_whole_frames_when_the_disk_is_full";
    let Some(dir) = with_small_files(test, fill) else {
        return;
    };
    let pages = fs::read_to_string(dir.path().join("pages")).expect("text");
    let pages: u32 = pages.parse().expect("a number");
    assert!(pages > 3, "{pages}");
    let path = dir.path().join("run.ndjson.zst");
    let mut more = fs::OpenOptions::new()
        .append(true)
        .open(&path)
        .expect("a file");
    let frame = encode(&header(pages), b"{}").expect("a frame");
    std::io::Write::write_all(&mut more, &frame).expect("room");
    let reader = RawReader::open(&path).expect("a file");
    let read: Result<Vec<u32>, _> = reader.map(|page| page.map(|p| p.header.page)).collect();
    assert_eq!(
        read.unwrap_or_else(|e| panic!("{e}")),
        Vec::from_iter(0..=pages)
    );
}
