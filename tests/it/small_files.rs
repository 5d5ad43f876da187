//! A write that stops halfway leaves no half line and no half frame: more may be written after it,
//! and all of it must be readable.
//!
//! The test runs itself again as a process that may only write small files. It is not among the
//! crate's own tests: for a moment the new process holds the file locks of all threads of the old one.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use redlake::extract::journal::{Entry, Journal, RunHead, read};
use redlake::raw::{self, PageHeader, RawReader, RawWriter, encode};
use serde_json::json;
use tempfile::TempDir;

const FOLDER: &str = "REDLAKE_TEST_SMALL_DISK";

/// The file that says how much was written.
const WRITTEN: &str = "written";

/// Calls `fill` with a folder in which no file gets larger than a few KiB, in a process of its
/// own; then that folder, and how much `fill` says it could write. The process itself gets none.
fn with_small_files(test: &str, fill: impl Fn(&Path) -> u32) -> Option<(TempDir, u32)> {
    if let Some(folder) = std::env::var_os(FOLDER) {
        let folder = PathBuf::from(folder);
        let written = fill(&folder).to_string();
        fs::write(folder.join(WRITTEN), written).expect("a small file");
        return None;
    }
    let dir = TempDir::new().expect("a temporary folder");
    // A write beyond the limit fails with an error only where the signal is ignored.
    let limited = "trap '' XFSZ; ulimit -f 8; exec \"$0\" \"$@\"";
    let output = Command::new("sh")
        .args(["-c", limited])
        .arg(std::env::current_exe().expect("this program"))
        .args(["--exact", &format!("small_files::{test}")])
        .env(FOLDER, dir.path())
        .output()
        .expect("a shell");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}");
    assert!(told.contains("1 passed"), "{told}");
    let written = fs::read_to_string(dir.path().join(WRITTEN)).expect("text");
    let written = written.parse().expect("a number");
    assert!(written > 3, "{written}");
    Some((dir, written))
}

/// There is room again for the process, which lives on.
fn append(path: &Path, bytes: &[u8]) {
    let file = fs::OpenOptions::new().append(true).open(path);
    file.and_then(|mut file| file.write_all(bytes))
        .expect("room");
}

#[test]
fn a_journal_has_whole_lines_when_the_disk_is_full() {
    let entry = |n: u32| Entry::Committed {
        tables: n.is_multiple_of(3),
    };
    let fill = |folder: &Path| {
        let path = folder.join("run.ndjson");
        let journal = Journal::create(path, head(), redlake::durable::FileAccess::Owner)
            .expect("a new journal");
        let lines = (0..).find(|n| journal.append(&entry(*n)).is_err());
        lines.unwrap_or(0)
    };
    let test = "a_journal_has_whole_lines_when_the_disk_is_full";
    let Some((dir, lines)) = with_small_files(test, fill) else {
        return;
    };
    let path = dir.path().join("run.ndjson");
    append(&path, b"\"closed\"\n");
    let mut expected = vec![Entry::Run(head())];
    expected.extend((0..lines).map(entry));
    expected.push(Entry::Closed);
    assert_eq!(read(&path).unwrap_or_else(|e| panic!("{e}")), expected);
}

fn head() -> RunHead {
    let head = json!({
        "run_id": "01a1ffd8-344f-70ea-82f1-ffa903442969",
        "pipeline": "test",
        "plan_hash": "0123456789abcdef",
        "shard": null,
        "snapshot_at": "2026-03-09T04:00:00Z",
        "started_at": "2026-03-09T04:00:01.000002Z",
        "opened_at": "2026-03-09T04:00:02Z",
        "simulated": false,
    });
    serde_json::from_value(head).expect("a head")
}

fn header(page: u32) -> PageHeader {
    let header = json!({
        "v": raw::VERSION,
        "run_id": "01a1ffd8-344f-70ea-82f1-ffa903442969",
        "pipeline": "test",
        "snapshot_at": "2026-03-09T04:00:00Z",
        "simulated": false,
        "request_id": page.to_string(),
        "search": {
            "source": "justoneapi",
            "search_id": "24382dd2e0be3a01",
            "endpoint": "note_search",
            "params": {},
            "max_pages": 3,
        },
        "page": page,
        "fetched_at": "2026-03-09T04:00:00Z",
        "status": 200,
        "accepted": true,
        "class": "ok",
        "item_count": 0,
        "items_before": 0,
        "new_item_count": 0,
        "stop": null,
    });
    serde_json::from_value(header).expect("a header")
}

#[test]
fn a_raw_file_has_whole_frames_when_the_disk_is_full() {
    let fill = |folder: &Path| {
        let mut writer = RawWriter::new(folder.join("run.ndjson.zst"));
        let mut append = |page| writer.append(&header(page), b"{}");
        let pages = (0..).find(|page| append(*page).is_err());
        pages.unwrap_or(0)
    };
    let test = "a_raw_file_has_whole_frames_when_the_disk_is_full";
    let Some((dir, pages)) = with_small_files(test, fill) else {
        return;
    };
    let path = dir.path().join("run.ndjson.zst");
    append(&path, &encode(&header(pages), b"{}").expect("a frame"));
    let reader = RawReader::open(&path).expect("a file");
    let read: Result<Vec<u32>, _> = reader.map(|page| page.map(|p| p.header.page)).collect();
    assert_eq!(
        read.unwrap_or_else(|e| panic!("{e}")),
        Vec::from_iter(0..=pages)
    );
}
