//! Which raw files go, and which never do.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use super::lake;
use crate::load::Lake;
use crate::load::record::{AddedFile, CommitKind, CommitRecord};
use crate::load::retain::Removed;
use crate::plan::RawRetention;

const NOW: DateTime<Utc> = DateTime::from_timestamp_nanos(1_773_000_000_000_000_000);
const MONTH: RawRetention = RawRetention::For(Duration::from_secs(30 * 86_400));

/// A commit of a run so many days ago, which adds files of these tables; the run's raw file is
/// made with it.
struct Past {
    run_id: &'static str,
    pipeline: &'static str,
    closes: bool,
    days: i64,
    tables: &'static [&'static str],
}

const PAST: Past = Past {
    run_id: "run",
    pipeline: "test",
    closes: true,
    days: 31,
    tables: &["requests", "runs", "notes"],
};

impl Past {
    fn commit(self, lake: &Lake) {
        let added = |table: &&str| AddedFile {
            path: format!("tables/{table}/{}.parquet", self.run_id),
            table: table.to_string(),
            rows: 1,
            bytes: 1,
            checksum: String::new(),
            runs: Default::default(),
        };
        let commit_id = format!("{}-{}", self.run_id, self.days);
        let record = CommitRecord {
            format: 1,
            commit_id: commit_id.clone(),
            kind: CommitKind::Run,
            pipeline: self.pipeline.to_owned(),
            run_id: self.run_id.to_owned(),
            // What it observed may be of any time.
            snapshot_at: DateTime::UNIX_EPOCH,
            simulated: false,
            committed_at: NOW - TimeDelta::days(self.days),
            closes_run: self.closes,
            add: self.tables.iter().map(added).collect(),
            remove: Vec::new(),
            raw: Vec::new(),
            applied: true,
        };
        let text = serde_json::to_string(&record).expect("JSON");
        let path = lake.root().join(format!("_commits/{commit_id}.json"));
        fs::write(path, text).expect("writable");
        raw(lake, self.run_id);
    }
}

fn raw(lake: &Lake, run_id: &str) -> PathBuf {
    let date = NaiveDate::from_ymd_opt(2026, 3, 9).expect("a date");
    let path = lake.raw_path("shop", date, run_id);
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    fs::write(&path, "12345").expect("writable");
    path
}

/// The runs whose raw files would go.
fn expired(lake: &Lake, retention: RawRetention) -> Vec<String> {
    let is_of_pages = |table: &str| table == "notes";
    let expired = lake.expired_raw("test", retention, NOW, is_of_pages);
    let expired = expired.expect("readable");
    expired.into_iter().map(|(run_id, _)| run_id).collect()
}

#[test]
fn old_raw_files_expire_and_young_ones_stay() {
    let (_dir, lake) = lake();
    PAST.commit(&lake);
    Past {
        run_id: "young",
        days: 30,
        ..PAST
    }
    .commit(&lake);
    assert_eq!(expired(&lake, MONTH), ["run"]);
    assert_eq!(expired(&lake, RawRetention::Forever), [""; 0]);
    assert_eq!(expired(&lake, RawRetention::UntilTables), ["run", "young"]);
}

/// A run that was flattened anew is as old as before.
#[test]
fn a_later_commit_makes_a_run_no_younger() {
    let (_dir, lake) = lake();
    PAST.commit(&lake);
    Past {
        closes: false,
        days: 1,
        ..PAST
    }
    .commit(&lake);
    assert_eq!(expired(&lake, MONTH), ["run"]);
}

#[test]
fn raw_files_of_other_pipelines_and_open_runs_stay() {
    let (_dir, lake) = lake();
    Past {
        run_id: "open",
        closes: false,
        ..PAST
    }
    .commit(&lake);
    Past {
        run_id: "other",
        pipeline: "other",
        ..PAST
    }
    .commit(&lake);
    raw(&lake, "orphan");
    assert_eq!(expired(&lake, MONTH), [""; 0]);
    assert_eq!(expired(&lake, RawRetention::UntilTables), [""; 0]);
}

#[test]
fn pages_without_tables_stay_until_they_are_too_old() {
    let (_dir, lake) = lake();
    let ledger = &["requests", "runs"];
    Past {
        run_id: "extracted",
        tables: ledger,
        ..PAST
    }
    .commit(&lake);
    assert_eq!(expired(&lake, RawRetention::UntilTables), [""; 0]);
    assert_eq!(expired(&lake, MONTH), ["extracted"]);
    // `transform --raw` makes its tables.
    Past {
        run_id: "extracted",
        closes: false,
        days: 0,
        ..PAST
    }
    .commit(&lake);
    assert_eq!(expired(&lake, RawRetention::UntilTables), ["extracted"]);
}

/// The tables of a run's first part are not made of all its pages.
#[test]
fn tables_of_an_earlier_part_do_not_let_pages_go() {
    let (_dir, lake) = lake();
    Past {
        closes: false,
        days: 3,
        ..PAST
    }
    .commit(&lake);
    Past {
        days: 2,
        tables: &["requests", "runs"],
        ..PAST
    }
    .commit(&lake);
    assert_eq!(expired(&lake, RawRetention::UntilTables), [""; 0]);
    Past {
        closes: false,
        days: 1,
        ..PAST
    }
    .commit(&lake);
    assert_eq!(expired(&lake, RawRetention::UntilTables), ["run"]);
}

#[test]
fn what_is_removed_is_counted_once() {
    let (_dir, lake) = lake();
    let files = [
        ("a".to_owned(), raw(&lake, "a")),
        ("b".to_owned(), raw(&lake, "b")),
    ];
    let kept = raw(&lake, "c");
    let removed = lake.remove_raw(&files).expect("removed");
    assert_eq!(
        removed,
        Removed {
            files: 2,
            bytes: 10
        }
    );
    assert!(files.iter().all(|(_, path)| !path.exists()) && kept.exists());
    assert_eq!(
        lake.remove_raw(&files).expect("nothing"),
        Removed::default()
    );
}
