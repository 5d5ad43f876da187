//! The outcome depends on the pages alone: not on threads, memory, files or their order.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::oddities::Oddities;
use super::{built_in, flattened, meta, page, sample_pages};
use crate::raw::page::RawPage;
use crate::raw::{RawWriter, encode};
use crate::transform::contracts::Transform;
use crate::transform::error::TransformError;
use crate::transform::tables::finish::Tables;
use crate::transform::tables::spill::Scratch;
use crate::transform::workers::{MEMORY, RawRead, Resources, WorkerInput};

/// A raw file of these pages.
fn raw_file(dir: &Path, name: &str, pages: &[RawPage]) -> PathBuf {
    let path = dir.join(name);
    let mut writer = RawWriter::new(path.clone());
    for page in pages {
        let written = writer.append(&page.header, &page.body);
        written.expect("a writable folder");
    }
    path
}

fn tables(
    transform: &Transform,
    files: Vec<PathBuf>,
    threads: usize,
    memory: usize,
) -> Result<Tables, TransformError> {
    let folder = TempDir::new().expect("a temporary folder");
    let scratch = Scratch::new(folder.path().to_owned());
    let work = WorkerInput {
        resources: Resources { threads, memory },
        scratch: &scratch,
    };
    let (flattened, read) = transform.flatten(&meta(), files, &[], work)?;
    assert_eq!(read.torn, Vec::<PathBuf>::new());
    assert_eq!(read.damaged, []);
    flattened.collect()
}

#[test]
fn threads_memory_and_the_order_of_files_do_not_matter() {
    let transform = built_in();
    let dir = TempDir::new().expect("a temporary folder");
    let pages = sample_pages(40);
    let halves = pages.split_at(pages.len() / 3);
    let one = raw_file(dir.path(), "one.zst", halves.0);
    let two = raw_file(dir.path(), "two.zst", halves.1);
    let plain = tables(&transform, vec![one.clone(), two.clone()], 1, MEMORY).expect("tables");
    assert!(plain.batches["notes"].num_rows() > 50);
    assert!(plain.outcome.tallies["note_images"].superseded > 0);
    for (threads, memory) in [(1, 0), (2, MEMORY), (2, 100_000), (8, MEMORY), (8, 0)] {
        let again = tables(&transform, vec![two.clone(), one.clone()], threads, memory);
        let again = again.expect("tables");
        assert_eq!(
            again.batches, plain.batches,
            "{threads} threads, {memory} bytes"
        );
        assert_eq!(again.outcome.drift, plain.outcome.drift);
        assert_eq!(again.outcome.rejects, plain.outcome.rejects);
        assert_eq!(again.outcome.tallies, plain.outcome.tallies);
    }
}

#[test]
fn generated_pages_give_the_same_on_any_number_of_threads() {
    let transform = built_in();
    for seed in 0..6 {
        let dir = TempDir::new().expect("a temporary folder");
        let mut pages = Oddities::new(seed).run();
        for (number, page) in pages.iter_mut().enumerate() {
            page.header.request_id = format!("request-{number}");
        }
        let file = raw_file(dir.path(), "pages.zst", &pages);
        let expected = flattened(&transform, &pages);
        for (threads, memory) in [(1, MEMORY), (2, 10_000), (8, 0)] {
            let found = tables(&transform, vec![file.clone()], threads, memory).expect("tables");
            assert_eq!(
                found.batches, expected.batches,
                "seed {seed}, {threads} threads"
            );
            assert_eq!(found.outcome.tallies, expected.tallies);
        }
    }
}

#[test]
fn a_page_counts_once_in_however_many_files_it_lies() {
    let transform = built_in();
    let dir = TempDir::new().expect("a temporary folder");
    let pages = sample_pages(6);
    let once = raw_file(dir.path(), "once.zst", &pages);
    let copy = raw_file(dir.path(), "copy.zst", &pages);
    let alone = tables(&transform, vec![once.clone()], 2, MEMORY).expect("tables");
    let both = tables(&transform, vec![once, copy], 2, MEMORY).expect("tables");
    assert_eq!(both.batches, alone.batches);
    assert_eq!(both.outcome.tallies, alone.outcome.tallies);
}

#[test]
fn a_bad_page_among_many_costs_one_reject() {
    let transform = built_in();
    let dir = TempDir::new().expect("a temporary folder");
    let mut pages = sample_pages(30);
    let good = raw_file(dir.path(), "good.zst", &pages);
    let good = tables(&transform, vec![good], 2, MEMORY).expect("tables");
    let mut bad = page(
        "justoneapi",
        "note_search",
        "{\"code\":0,\"data\":{\"items\":[{\"no",
    );
    bad.header.request_id = "bad".to_owned();
    pages.insert(17, bad);
    let file = raw_file(dir.path(), "bad.zst", &pages);
    let tables = tables(&transform, vec![file], 2, MEMORY).expect("tables");
    assert_eq!(tables.outcome.rejects, good.outcome.rejects + 1);
    assert_eq!(tables.batches["notes"], good.batches["notes"]);
    assert_eq!(tables.outcome.tallies, good.outcome.tallies);
}

/// Flattens one file; its tables, and what it held.
fn read_one(path: &Path, threads: usize) -> (Tables, RawRead) {
    let folder = TempDir::new().expect("a temporary folder");
    let scratch = Scratch::new(folder.path().to_owned());
    let work = WorkerInput {
        resources: Resources {
            threads,
            memory: MEMORY,
        },
        scratch: &scratch,
    };
    let transform = built_in();
    let flattened = transform.flatten(&meta(), [path.to_owned()], &[], work);
    let (flattened, read) = flattened.expect("a readable file");
    (flattened.collect().expect("tables"), read)
}

#[test]
fn a_damaged_page_costs_its_rows_and_no_others() {
    let dir = TempDir::new().expect("a temporary folder");
    let pages = sample_pages(6);
    let path = raw_file(dir.path(), "pages.zst", &pages);
    let whole = std::fs::read(&path).expect("a file");
    let third = encode(&pages[2].header, &pages[2].body).expect("a frame");
    let at = whole.windows(third.len()).position(|bytes| bytes == third);
    let at = at.expect("the third page") + third.len() / 2;
    let mut flipped = whole.clone();
    flipped[at] ^= 0x10;
    std::fs::write(&path, flipped).expect("a writable file");
    let others: Vec<RawPage> = [&pages[..2], &pages[3..]].concat();
    let (expected, _) = read_one(&raw_file(dir.path(), "others.zst", &others), 1);
    for threads in [1, 2] {
        let (tables, read) = read_one(&path, threads);
        assert_eq!(tables.batches, expected.batches);
        assert_eq!(read.damaged.len(), 1);
        assert_eq!(read.damaged[0].bytes, third.len() as u64);
        assert_eq!(read.accepted.len(), 5);
        assert!(!read.accepted.contains(&pages[2].header.request_id));
    }
}

#[test]
fn a_page_of_another_run_makes_no_rows() {
    let dir = TempDir::new().expect("a temporary folder");
    let mut pages = sample_pages(3);
    let (expected, _) = read_one(&raw_file(dir.path(), "two.zst", &pages[..2]), 1);
    pages[2].header.run_id = "01a1ffd8-344f-70ea-82f1-ffa903442970".to_owned();
    let (tables, read) = read_one(&raw_file(dir.path(), "three.zst", &pages), 1);
    assert_eq!(tables.batches, expected.batches);
    assert_eq!(read.damaged.len(), 1);
    let reason = &read.damaged[0].reason;
    assert!(reason.ends_with("970"), "{reason}");
}

#[test]
fn a_torn_end_is_left_out_and_told() {
    let transform = built_in();
    let dir = TempDir::new().expect("a temporary folder");
    let pages = sample_pages(5);
    let whole = raw_file(dir.path(), "whole.zst", &pages[..4]);
    let torn = raw_file(dir.path(), "torn.zst", &pages);
    let bytes = std::fs::read(&torn).expect("a file");
    std::fs::write(&torn, &bytes[..bytes.len() - 7]).expect("a writable file");
    let expected = tables(&transform, vec![whole], 1, MEMORY).expect("tables");
    let scratch = Scratch::new(dir.path().to_owned());
    let work = WorkerInput {
        resources: Resources {
            threads: 2,
            memory: MEMORY,
        },
        scratch: &scratch,
    };
    let flattened = transform.flatten(&meta(), vec![torn.clone()], &[], work);
    let (flattened, told) = flattened.expect("tables");
    assert_eq!(told.torn, [torn]);
    assert_eq!(told.damaged, []);
    assert_eq!(told.accepted.len(), 4);
    assert_eq!(
        flattened.collect().expect("tables").batches,
        expected.batches
    );
}
