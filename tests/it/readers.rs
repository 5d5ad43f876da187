//! Queries beside compaction: none meets a file that is gone, none waits for long, and no commit waits for a query.
//!
//! `tests/lake/queries.sh 500 50` makes 500 queries beside 50 compactions; a test makes 40 beside 4.

use std::fs::File;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Lake, succeed};

const PIPELINE: &str = "
version: 1
pipeline: reads
source: {name: justoneapi, base_url: sandbox}
keyword_sets: {words: [兰蔻]}
extract:
  - {endpoint: user_search, keywords: [words], pages: {max: 1}}
";

fn number(name: &str, usual: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name} is a number")),
        Err(_) => usual,
    }
}

/// Runs at minutes of a day, whose rows are those of the first.
struct Runs {
    pipeline: PathBuf,
    done: u64,
}

impl Runs {
    fn new(lake: &Lake) -> Self {
        Runs {
            pipeline: lake.write("reads.yaml", PIPELINE),
            done: 0,
        }
    }

    fn command(&mut self, lake: &Lake) -> Command {
        let (hour, minute) = (self.done / 60 % 24, self.done % 60);
        self.done += 1;
        let at = format!("2026-03-08T{hour:02}:{minute:02}:00+08:00");
        let pipeline = self.pipeline.to_str().expect("UTF-8");
        lake.redlake(&["run", pipeline, "--snapshot-at", &at, "--quiet"])
    }

    fn run(&mut self, lake: &Lake) {
        succeed(&mut self.command(lake));
    }
}

/// A lake with two runs of a day that is over.
fn lake() -> (Lake, Runs) {
    let lake = Lake::new();
    let mut runs = Runs::new(&lake);
    runs.run(&lake);
    runs.run(&lake);
    (lake, runs)
}

/// What a reader of another process holds while it reads.
fn reading(lake: &Lake) -> File {
    let lock = File::open(lake.path().join("_state/readers.lock")).expect("the lock");
    lock.lock_shared().expect("a lock");
    lock
}

fn files(lake: &Lake, table: &str) -> usize {
    let folder = lake.path().join(format!("tables/{table}/dt=2026-03-08"));
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}

#[test]
fn queries_beside_compactions_all_answer_and_answer_right() {
    let (queries, compactions) = (
        number("REDLAKE_QUERIES", 40),
        number("REDLAKE_COMPACTIONS", 4),
    );
    let (lake, mut runs) = lake();
    let lake = &lake;
    let rows_a_run = 20;
    let [begun, committed, asked] = [runs.done, runs.done, 0].map(AtomicU64::new);
    let done = AtomicBool::new(false);
    let started = Instant::now();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            // Whatever ends it, the readers end, too.
            let _done = OnDrop(|| done.store(true, Ordering::SeqCst));
            for _ in 0..compactions {
                begun.fetch_add(1, Ordering::SeqCst);
                runs.run(lake);
                committed.fetch_add(1, Ordering::SeqCst);
                let compacted = succeed(&mut lake.redlake(&["compact", "--format", "json"]));
                let days: Value = serde_json::from_slice(&compacted.stdout).expect("JSON");
                let days = days.as_array().expect("a list");
                assert!(
                    !days.is_empty() && days.iter().all(|day| day["skipped"] == Value::Null),
                    "{days:?}"
                );
                assert_eq!(files(lake, "search_results"), 1);
            }
        });
        let reader = || {
            while asked.fetch_add(1, Ordering::SeqCst) < queries || !done.load(Ordering::SeqCst) {
                let least = committed.load(Ordering::SeqCst);
                let sql = "select (select count(*) from search_results) as hits, \
                           (select count(*) from users) as users, (select count(*) from runs) as runs, \
                           (select count(distinct run_id) from search_results) as of_runs";
                let row = lake.query(sql).pop().expect("a row");
                let most = begun.load(Ordering::SeqCst);
                let runs = row["runs"].as_u64().expect("a number");
                assert!(
                    (least..=most).contains(&runs),
                    "{row}: {least} to {most} runs"
                );
                assert_eq!(row["of_runs"], runs, "{row}");
                assert_eq!(row["hits"], rows_a_run * runs, "{row}");
                assert_eq!(row["users"], rows_a_run * runs, "{row}");
            }
        };
        let readers = [scope.spawn(reader), scope.spawn(reader)];
        for reader in readers {
            reader.join().expect("a reader");
        }
        writer.join().expect("a writer");
    });
    // Each reader counts once more at its end.
    println!(
        "{} queries in {:.0} s beside {compactions} compactions: none failed, none was wrong",
        asked.load(Ordering::SeqCst) - 2,
        started.elapsed().as_secs_f64()
    );
}

struct OnDrop<F: Fn()>(F);

impl<F: Fn()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        self.0();
    }
}

#[test]
fn a_compaction_skips_a_day_that_is_read_for_too_long() {
    let (lake, _) = lake();
    let before = lake.table_files();
    let held = reading(&lake);
    let compact = |args: &[&str]| {
        let mut command = lake.redlake(&["compact"]);
        command.args(args).env("FAILPOINTS", "patience=return(20)");
        succeed(&mut command)
    };
    let output = compact(&[]);
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    let expected = "WARN the files of 2026-03-08 are not compacted: a reader has held the lake for 0.02 s; \
                    run `redlake compact` again later\n";
    assert!(said.contains(expected), "{said}");
    let told = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(
        told.contains("2 files (") && told.contains(" to 2 (skipped: the lake was being read)"),
        "{told}"
    );
    let days: Value = serde_json::from_slice(&compact(&["--format", "json"]).stdout).expect("JSON");
    let days = days.as_array().expect("a list");
    assert_eq!(days.len(), 8, "{days:?}");
    for day in days {
        assert_eq!(day["skipped"], true);
        assert_eq!(
            (&day["files_before"], &day["files_after"]),
            (&json!(2), &json!(2))
        );
    }
    assert_eq!(lake.table_files(), before);
    let staged = std::fs::read_dir(lake.path().join("_staging")).expect("a folder");
    assert_eq!(staged.count(), 0);
    // Nobody reads any more.
    drop(held);
    compact(&[]);
    assert_eq!(files(&lake, "search_results"), 1);
}

#[test]
fn a_compaction_waits_for_the_last_reader() {
    let (lake, _) = lake();
    let held = reading(&lake);
    let mut child = lake.redlake(&["compact"]).spawn().expect("it starts");
    // It waits with all that it has written.
    while std::fs::read_dir(lake.path().join("_staging"))
        .expect("a folder")
        .count()
        == 0
    {
        assert_eq!(child.try_wait().expect("a child"), None);
        std::thread::yield_now();
    }
    // Others read meanwhile.
    assert_eq!(lake.value("select count(*) from search_results"), 40);
    assert_eq!(child.try_wait().expect("a child"), None);
    assert_eq!(files(&lake, "search_results"), 2);
    drop(held);
    assert!(child.wait().expect("a child").success());
    assert_eq!(files(&lake, "search_results"), 1);
}

#[test]
fn commits_do_not_wait_for_readers() {
    let (lake, mut runs) = lake();
    let _held = reading(&lake);
    // With a patience of a day, whatever waits would not end.
    let mut run = runs.command(&lake);
    run.env("FAILPOINTS", "patience=return(86400000)");
    succeed(&mut run);
    let mut marts = lake.redlake(&["marts", "--all"]);
    succeed(marts.env("FAILPOINTS", "patience=return(86400000)"));
    let raw = lake.raw_files();
    let raw = raw[0].to_str().expect("UTF-8");
    let mut transform = lake.redlake(&["transform", "reads.yaml", "--raw", raw]);
    transform.env("FAILPOINTS", "patience=return(86400000)");
    succeed(&mut transform);
    assert_eq!(lake.value("select count(*) from runs"), 3);
}

#[test]
fn a_removal_waits_for_readers() {
    let (lake, _) = lake();
    let _held = reading(&lake);
    let mut prune = lake.redlake(&["prune", "--tables-older-than", "1d"]);
    let output = succeed(prune.env("FAILPOINTS", "patience=return(20)"));
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(
        said.contains("a reader has held the lake for 0.02 s"),
        "{said}"
    );
    assert_eq!(lake.value("select count(*) from users"), 0);
}

/// A query streams: it holds on to its files until the last row is taken from it.
#[test]
fn a_query_holds_its_files_until_all_is_read() {
    use std::io::{BufRead, BufReader, Read};
    use std::process::Stdio;
    let (lake, _) = lake();
    let sql = "select s.* from search_results s, range(20000)";
    let mut query = lake
        .redlake(&["query", sql, "--format", "csv"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut out = BufReader::new(query.stdout.take().expect("a pipe"));
    let mut line = String::new();
    out.read_line(&mut line).expect("a line");
    let mut compact = lake.redlake(&["compact"]);
    let output = succeed(compact.env("FAILPOINTS", "patience=return(20)"));
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(said.contains("are not compacted"), "{said}");
    let mut rest = Vec::new();
    out.read_to_end(&mut rest).expect("rows");
    assert!(query.wait().expect("a child").success());
    assert!(rest.iter().filter(|byte| **byte == b'\n').count() >= 800_000);
    succeed(&mut lake.redlake(&["compact"]));
    assert_eq!(files(&lake, "search_results"), 1);
}

#[test]
fn a_lake_that_cannot_be_written_is_read_with_and_without_the_lock() {
    let (lake, _) = lake();
    let query = || {
        let mut command = lake.redlake(&[
            "query",
            "select count(*) as n from users",
            "--format",
            "csv",
        ]);
        command.env("FAILPOINTS", "disk=return(read-only)");
        String::from_utf8(succeed(&mut command).stdout).expect("UTF-8")
    };
    assert_eq!(query(), "n\n40\n");
    for name in ["readers.lock", "readers.gate"] {
        std::fs::remove_file(lake.path().join("_state").join(name)).expect("a lock");
    }
    assert_eq!(query(), "n\n40\n");
    assert!(!lake.path().join("_state/readers.lock").exists());
}

/// A waiting compaction closes the gate for a moment only: queries continue beside a long one.
#[test]
fn a_query_does_not_wait_for_the_end_of_another_one() {
    let (lake, _) = lake();
    let held = reading(&lake);
    let mut child = lake.redlake(&["compact"]).spawn().expect("it starts");
    while std::fs::read_dir(lake.path().join("_staging"))
        .expect("a folder")
        .count()
        == 0
    {
        assert_eq!(child.try_wait().expect("a child"), None);
        std::thread::yield_now();
    }
    let longest = (0..5).map(|_| {
        let started = Instant::now();
        assert_eq!(lake.value("select count(*) from users"), 40);
        started.elapsed()
    });
    let longest = longest.max().expect("five queries");
    assert!(longest < Duration::from_secs(30), "{longest:?}");
    drop(held);
    assert!(child.wait().expect("a child").success());
}
