//! Files become visible all or none, at whatever point a commit was cut off.

mod columns;
mod encode;
mod evolution;
mod held;
mod marts;
mod recovery;
mod retain;

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use arrow::datatypes::Schema;
use chrono::NaiveDate;
use tempfile::TempDir;

use super::commit::Staging;
use super::{Lake, LakeError};
use crate::lake_layout::table_path;
use crate::load::record::{CommitKind, CommitRecord, CommitSource};
use crate::run_meta::RunMeta;

/// A new lake in a folder of its own.
fn lake() -> (TempDir, Lake) {
    let dir = TempDir::new().expect("a temporary folder");
    let lake = Lake::open(&dir.path().join("lake")).expect("a lake");
    (dir, lake)
}

/// The run whose commits the tests make.
pub(crate) static META: LazyLock<RunMeta> = LazyLock::new(|| of_run("run", "test"));

pub(crate) fn of_run(run_id: &str, pipeline: &str) -> RunMeta {
    let epoch = chrono::DateTime::UNIX_EPOCH;
    RunMeta::new(run_id, pipeline, epoch, chrono_tz::UTC, false)
}

/// Source of a commit that closes this run.
pub(crate) fn closes(meta: &RunMeta) -> CommitSource<'_> {
    CommitSource {
        closes: true,
        ..CommitSource::of(meta)
    }
}

fn path_of(run_id: &str) -> String {
    let date = NaiveDate::from_ymd_opt(2026, 3, 9).expect("a date");
    table_path("notes", date, run_id)
}

/// Stages a file that holds only this text.
fn add(staging: &Staging, path: &str, text: &str) {
    let write = |out: &mut (dyn std::io::Write + Send)| {
        out.write_all(text.as_bytes()).map_err(|e| e.to_string())?;
        Ok(3)
    };
    staging
        .add(path.to_owned(), "notes", &Schema::empty(), write)
        .expect("staging");
}

fn commit(lake: &Lake, id: &str, files: &[(&str, &str)], remove: &[&str]) -> CommitRecord {
    let staging = lake.stage(id).expect("a staging folder");
    for (path, text) in files {
        add(&staging, path, text);
    }
    let remove = remove.iter().map(|path| path.to_string()).collect();
    staging
        .commit(CommitKind::Run, closes(&META), remove)
        .expect("a commit")
}

/// The files below a folder of the lake with their texts, by path below the lake.
fn files(lake: &Lake, folder: &str) -> Vec<(String, String)> {
    fn collect(root: &Path, folder: &Path, found: &mut Vec<(String, String)>) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                collect(root, &path, found);
            } else {
                let name = path.strip_prefix(root).expect("below the lake");
                let text = fs::read_to_string(&path).expect("text");
                found.push((name.to_string_lossy().replace('\\', "/"), text));
            }
        }
    }
    let mut found = Vec::new();
    collect(lake.root(), &lake.root().join(folder), &mut found);
    found.sort();
    found
}

fn visible(lake: &Lake) -> Vec<(String, String)> {
    files(lake, "tables")
}

fn file(path: &str, text: &str) -> (String, String) {
    (path.to_owned(), text.to_owned())
}

#[test]
fn nothing_is_visible_before_the_commit_and_everything_after() {
    let (_dir, lake) = lake();
    let (a, b) = (path_of("a"), path_of("b"));
    let staging = lake.stage("run").expect("a staging folder");
    add(&staging, &a, "first");
    add(&staging, &b, "second");
    assert_eq!(visible(&lake), []);
    assert_eq!(lake.commits().expect("commits"), []);

    let record = staging
        .commit(CommitKind::Run, closes(&META), Vec::new())
        .expect("a commit");
    assert_eq!(visible(&lake), [file(&a, "first"), file(&b, "second")]);
    assert!(record.applied);
    assert_eq!(
        lake.commits().expect("commits"),
        std::slice::from_ref(&record)
    );
    let added = &record.add[0];
    assert_eq!(
        (added.path.as_str(), added.rows, added.bytes),
        (a.as_str(), 3, 5)
    );
    assert_eq!(added.checksum, blake3::hash(b"first").to_hex().to_string());
    assert_eq!(files(&lake, "_staging"), []);
}

#[test]
fn a_file_that_cannot_be_written_leaves_nothing() {
    let (_dir, lake) = lake();
    let staging = lake.stage("run").expect("a staging folder");
    let error = staging.add(path_of("a"), "notes", &Schema::empty(), |_| {
        Err("no such codec".to_owned())
    });
    let error = error.expect_err("an error").to_string();
    assert_eq!(error, "cannot encode the table notes: no such codec");
    drop(staging);
    let lake = Lake::open(lake.root()).expect("the lake");
    assert_eq!(visible(&lake), []);
    assert_eq!(files(&lake, "_staging"), []);
}

#[test]
fn a_commit_may_replace_and_remove() {
    let (_dir, lake) = lake();
    let (a, b, c) = (path_of("a"), path_of("b"), path_of("c"));
    commit(&lake, "1", &[(&a, "old"), (&b, "old")], &[]);
    commit(
        &lake,
        "2",
        &[(&a, "new"), (&c, "new")],
        &[&b, "tables/notes/dt=2000-01-01/x.parquet"],
    );
    assert_eq!(visible(&lake), [file(&a, "new"), file(&c, "new")]);
    let paths = lake.files_of("run").expect("files");
    let paths: Vec<_> = paths.into_iter().map(|f| f.file.path).collect();
    assert_eq!(paths, [a, c]);
    assert_eq!(lake.files_of("other").expect("files"), []);
}

#[test]
fn a_pipeline_runs_once_at_a_time() {
    let (_dir, lake) = lake();
    let again = Lake::open(lake.root()).expect("the lake");
    let lock = lake.lock_pipeline("test", None).expect("the lock");
    let busy = again.lock_pipeline("test", None).expect_err("it is held");
    assert!(matches!(&busy, LakeError::Busy(name) if name == "test"));
    again.lock_pipeline("other", None).expect("another lock");
    drop(lock);
    again.lock_pipeline("test", None).expect("the lock is free");
}

#[test]
fn the_parts_of_a_pipeline_run_side_by_side_but_not_beside_the_whole() {
    let (_dir, lake) = lake();
    let part = |text: &str| Some(text.parse().expect("a shard"));
    let busy = |shard| matches!(lake.lock_pipeline("test", shard), Err(LakeError::Busy(_)));
    let first = lake.lock_pipeline("test", part("1/2")).expect("the lock");
    let second = lake.lock_pipeline("test", part("2/2")).expect("the lock");
    assert!(busy(part("1/2")));
    assert!(busy(None));
    drop(first);
    assert!(!busy(part("1/2")));
    assert!(busy(None));
    drop(second);
    let whole = lake.lock_pipeline("test", None).expect("the lock");
    assert!(busy(part("1/2")));
    assert!(lake.lock_pipeline("other", part("1/2")).is_ok());
    drop(whole);
    assert!(!busy(part("1/2")));
}

#[test]
fn a_lake_of_a_newer_format_is_refused_and_left_alone() {
    let (_dir, lake) = lake();
    let format = lake.root().join("_state/lake.json");
    fs::write(&format, "{\"format\": 2, \"more\": true}").expect("writable");
    let error = Lake::open(lake.root()).expect_err("an error");
    assert!(
        matches!(error, LakeError::Newer { found: 2, .. }),
        "{error}"
    );
    assert!(
        error
            .to_string()
            .ends_with("has format 2; this redlake reads format 1")
    );
    fs::write(&format, "what").expect("writable");
    let error = Lake::open(lake.root()).expect_err("an error");
    assert!(
        matches!(&error, LakeError::Record { path, .. } if *path == format),
        "{error}"
    );
}

#[test]
fn only_an_opening_that_may_makes_a_lake() {
    let dir = TempDir::new().expect("a temporary folder");
    let root = dir.path().join("lake");
    let error = Lake::open_existing(&root).expect_err("an error");
    assert!(matches!(&error, LakeError::Missing(path) if *path == root));
    assert!(!root.exists());
    Lake::open(&root).expect("a lake");
    Lake::open_existing(&root).expect("the lake");
}

#[test]
fn lake_paths_have_table_date_and_run() {
    let (_dir, lake) = lake();
    assert_eq!(path_of("run"), "tables/notes/dt=2026-03-09/run.parquet");
    let date = NaiveDate::from_ymd_opt(2026, 11, 1).expect("a date");
    assert_eq!(
        lake.raw_path("shop", date, "run"),
        lake.root()
            .join("raw/source=shop/dt=2026-11-01/run.ndjson.zst")
    );
}

#[test]
fn a_new_lake_may_be_opened_by_many_at_once() {
    for _ in 0..20 {
        let dir = TempDir::new().expect("a temporary folder");
        let open = || Lake::open(dir.path()).map(drop);
        let all = std::thread::scope(|scope| {
            let openers: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
            openers
                .into_iter()
                .map(|opener| opener.join().expect("no panic"))
                .collect::<Result<Vec<()>, _>>()
        });
        all.unwrap_or_else(|e| panic!("{e}"));
    }
}

#[test]
fn commits_wait_for_readers_who_list_files_and_readers_do_not_wait_for_each_other() {
    let dir = TempDir::new().expect("a temporary folder");
    let lake = Lake::open(dir.path()).expect("a lake");
    let committing = || {
        let lock = std::fs::File::open(dir.path().join("_state/commit.lock"));
        lock.expect("a lock").try_lock().is_ok()
    };
    assert!(committing());
    let first = lake.lock_shared().expect("a lock");
    let second = lake.lock_shared().expect("a lock");
    assert!(!committing());
    drop(first);
    assert!(!committing());
    drop(second);
    assert!(committing());
}
