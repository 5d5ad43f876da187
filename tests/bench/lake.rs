//! What a year of hourly runs costs those who read the lake, before and after `redlake compact`, and
//! what one more run costs.
//!
//! ```sh
//! cargo bench --bench lake                          # a year, 8,760 runs: more than an hour
//! cargo bench --bench lake -- --days 30             # a month: some minutes
//! cargo bench --bench lake -- --days 10 --pages 10  # ten times as many notes a run
//! cargo bench --bench lake -- --lake DIR            # keeps the lake; goes on with one not yet compacted
//! cargo bench --bench lake -- --days 23             # 6,000 small files: the memory of compaction
//! ```
//!
//! Each run is the binary on the built-in sandbox, where an hour passes between two runs: twenty keywords,
//! one page of the newest notes each (`--pages`), and a day's budget, for which the ledger is read. Marts
//! are computed when all runs are there.

#[path = "../it/support.rs"]
#[allow(dead_code, reason = "shared with the tests, which use more of it")]
mod support;

#[path = "transform/process.rs"]
#[allow(dead_code, reason = "shared with the benchmark of the transform")]
mod process;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use duckdb::Connection;
use tempfile::TempDir;

use support::{redlake, succeed};

/// How often a figure is measured; the median counts.
const ROUNDS: usize = 5;

const PIPELINE: &str = "
version: 1
pipeline: hourly
timezone: Asia/Shanghai
source:
  name: justoneapi
  base_url: sandbox
  sandbox: {seed: 1, clock: \"2025-06-08T00:00:00+08:00\"}
keyword_sets:
  topics: [敏感肌, 防晒, 早C晚A, 兰蔻, 雅诗兰黛, 面霜, 眼霜, 口红, 粉底液, 精华, 面膜, 洗面奶, 香水, 护发, 美甲, 卸妆, 腮红, 眼影, 睫毛膏, 身体乳]
extract:
  - {endpoint: note_search, keywords: [topics], filters: {sort: newest}, pages: {max: PAGES}}
limits: {requests_per_second: 1000, concurrency: 20, requests_per_day: 2000}
";

fn main() {
    let options = Options::parse(std::env::args().skip(1));
    let dir = TempDir::new().expect("a temporary folder");
    let lake = Lake {
        root: options.lake.unwrap_or_else(|| dir.path().join("lake")),
        bare: write(&dir, "bare.yaml", options.pages, "load: {marts: false}"),
        whole: write(&dir, "whole.yaml", options.pages, ""),
    };
    lake.fill(options.days * 24);
    let questions = Questions::of(&lake);
    let before = Figures::of(&lake, &questions);
    lake.timed("compact", &["compact"], dir.path());
    let after = Figures::of(&lake, &questions);
    print(&before, &after);
    lake.timed("marts of all days", &["marts", "--all"], dir.path());
    let run = median((0..ROUNDS).map(|_| lake.run(&lake.whole)).collect());
    println!("a run with marts: {:.2} s", run.as_secs_f64());
}

struct Options {
    days: u64,
    pages: u32,
    lake: Option<PathBuf>,
}

impl Options {
    fn parse(mut args: impl Iterator<Item = String>) -> Self {
        let mut options = Options {
            days: 365,
            pages: 1,
            lake: None,
        };
        while let Some(arg) = args.next() {
            let mut value = || args.next().unwrap_or_else(|| panic!("{arg} wants a value"));
            match arg.as_str() {
                // cargo says this to every benchmark.
                "--bench" => {}
                "--days" => options.days = value().parse().expect("--days wants a number"),
                "--pages" => options.pages = value().parse().expect("--pages wants a number"),
                "--lake" => options.lake = Some(PathBuf::from(value())),
                other => {
                    panic!("{other} is not known; there are --days N, --pages N and --lake DIR")
                }
            }
        }
        assert!(
            options.days >= 2,
            "--days is at least 2: a day must be over"
        );
        options
    }
}

/// The pipeline with more keys.
fn write(dir: &TempDir, name: &str, pages: u32, more: &str) -> PathBuf {
    let path = dir.path().join(name);
    let pipeline = PIPELINE.replace("PAGES", &pages.to_string());
    std::fs::write(&path, format!("{pipeline}{more}\n")).expect("a writable folder");
    path
}

struct Lake {
    root: PathBuf,
    /// Makes nothing but tables.
    bare: PathBuf,
    /// Makes marts, too.
    whole: PathBuf,
}

impl Lake {
    fn redlake(&self, args: &[&str]) -> Command {
        let mut command = redlake();
        command.args(args).arg("--lake").arg(&self.root);
        command
    }

    fn run(&self, pipeline: &Path) -> Duration {
        let started = Instant::now();
        let pipeline = pipeline.to_str().expect("UTF-8");
        succeed(&mut self.redlake(&["run", pipeline, "--quiet"]));
        started.elapsed()
    }

    /// Runs the pipeline until there are so many runs.
    fn fill(&self, runs: u64) {
        let is_there = self.root.join("_commits").exists();
        let there = match is_there {
            true => self.number("select count(*) from runs"),
            false => 0,
        };
        let mut last = Vec::new();
        for at in there..runs {
            last.push(self.run(&self.bare));
            self.forget_journals();
            if (at + 1) % 720 == 0 {
                println!(
                    "{} runs, {:.2} s each",
                    at + 1,
                    median(std::mem::take(&mut last)).as_secs_f64()
                );
            }
        }
    }

    /// A run's journal goes after two days, which pass in seconds here.
    fn forget_journals(&self) {
        let journals = std::fs::read_dir(self.root.join("_state/runs")).expect("a folder");
        let mut paths: Vec<_> = journals.flatten().map(|entry| entry.path()).collect();
        // Their names are in the order of time.
        paths.sort();
        for old in paths.iter().rev().skip(48) {
            std::fs::remove_file(old).expect("a journal");
        }
    }

    /// Runs a command on all cores, and prints its time and its peak of memory.
    fn timed(&self, what: &str, args: &[&str], scratch: &Path) {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let ended = process::run(&self.redlake(args), cores, scratch);
        let ended = ended.unwrap_or_else(|error| panic!("{error}"));
        let megabytes = ended.peak_bytes as f64 / 1e6;
        println!("{what}: {:.1} s, {megabytes:.0} MB", ended.seconds);
    }

    fn number(&self, sql: &str) -> u64 {
        let output = succeed(&mut self.redlake(&["query", sql, "--format", "csv"]));
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        let last = text.lines().last().expect("a row");
        last.parse().expect("a number")
    }

    fn query(&self, sql: &str) -> Duration {
        let measure = || {
            let started = Instant::now();
            succeed(&mut self.redlake(&["query", sql]));
            started.elapsed()
        };
        median((0..ROUNDS).map(|_| measure()).collect())
    }

    /// The views, as another program opens them.
    fn catalog(&self) -> Connection {
        Connection::open(self.root.join("lake.duckdb")).expect("the catalog")
    }

    /// From opening the catalog until DuckDB knows how it answers.
    fn planning(&self, sql: &str) -> Duration {
        let measure = || {
            let started = Instant::now();
            let catalog = self.catalog();
            rows(&catalog, &format!("EXPLAIN {sql}"));
            started.elapsed()
        };
        median((0..ROUNDS).map(|_| measure()).collect())
    }
}

/// What is measured of a lake.
struct Figures {
    files: u64,
    bytes: u64,
    nothing: Duration,
    planning: Duration,
    last_day: Duration,
    year: Duration,
    note: Duration,
    /// Read for one note's rows, and all that the table has.
    note_bytes: Option<(u64, u64)>,
    note_overview: Duration,
    creator_overview: Duration,
    run: Duration,
}

/// What is asked of a lake, before and after compaction.
struct Questions {
    /// Of the last day that is over.
    last_day: String,
    /// All rows of a note.
    note: String,
    note_overview: String,
    /// Of the note's author.
    creator_overview: String,
}

impl Questions {
    fn of(lake: &Lake) -> Self {
        let catalog = lake.catalog();
        let day = text(&catalog, "SELECT (max(dt) - 1)::VARCHAR FROM runs");
        let id = text(
            &catalog,
            &format!("SELECT max(note_id) FROM notes WHERE dt = DATE '{day}'"),
        );
        let author = text(
            &catalog,
            &format!("SELECT any_value(author_user_id) FROM notes WHERE note_id = '{id}'"),
        );
        Questions {
            last_day: format!(
                "SELECT keyword, count(DISTINCT entity_id) FROM search_results \
                 WHERE dt = DATE '{day}' GROUP BY ALL"
            ),
            note: format!("SELECT snapshot_at, title FROM notes WHERE note_id = '{id}'"),
            note_overview: format!("SELECT * FROM note_overview WHERE note_id = '{id}'"),
            creator_overview: format!("SELECT * FROM creator_overview WHERE user_id = '{author}'"),
        }
    }
}

impl Figures {
    fn of(lake: &Lake, questions: &Questions) -> Self {
        let Questions {
            last_day,
            note,
            note_overview,
            creator_overview,
        } = questions;
        let (files, bytes) = size(&lake.root.join("tables"));
        Figures {
            files,
            bytes,
            nothing: lake.query("SELECT 1"),
            planning: lake.planning(last_day),
            last_day: lake.query(last_day),
            year: lake.query("SELECT dt, sum(liked_count) FROM engagement GROUP BY dt"),
            note: lake.query(note),
            note_bytes: bytes_read(lake, note),
            note_overview: lake.query(note_overview),
            creator_overview: lake.query(creator_overview),
            // Last, since it adds files.
            run: median((0..ROUNDS).map(|_| lake.run(&lake.bare)).collect()),
        }
    }
}

/// Bytes that a query of `notes` reads, planning included, and those of all files of the table. The
/// kernel tells, on Linux.
fn bytes_read(lake: &Lake, sql: &str) -> Option<(u64, u64)> {
    let read = || {
        let io = std::fs::read_to_string("/proc/self/io").ok()?;
        let line = io.lines().find_map(|line| line.strip_prefix("rchar: "))?;
        line.parse::<u64>().ok()
    };
    let catalog = lake.catalog();
    let before = read()?;
    rows(&catalog, sql);
    let after = read()?;
    Some((after - before, size(&lake.root.join("tables/notes")).1))
}

fn rows(catalog: &Connection, sql: &str) -> usize {
    let mut statement = catalog.prepare(sql).expect("a statement");
    let batches = statement.query_arrow([]).expect("an answer");
    batches.map(|batch| batch.num_rows()).sum()
}

fn text(catalog: &Connection, sql: &str) -> String {
    let text = catalog.query_row(sql, [], |row| row.get(0));
    text.expect("a text")
}

/// The Parquet files below a folder: how many, and their bytes.
fn size(folder: &Path) -> (u64, u64) {
    let entries = std::fs::read_dir(folder).expect("a folder").flatten();
    entries.fold((0, 0), |(files, bytes), entry| {
        let (more, size) = match entry.path() {
            path if path.is_dir() => size(&path),
            _ => (1, entry.metadata().expect("a file").len()),
        };
        (files + more, bytes + size)
    })
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn print(before: &Figures, after: &Figures) {
    let row = |what: &str, cell: &dyn Fn(&Figures) -> String| {
        println!("| {what} | {} | {} |", cell(before), cell(after));
    };
    let seconds = |time: Duration| format!("{:.3} s", time.as_secs_f64());
    println!("\n| | one file a run | compacted |\n|---|---|---|");
    row("files of tables", &|f| f.files.to_string());
    row("bytes of tables", &|f| {
        format!("{:.0} MB", f.bytes as f64 / 1e6)
    });
    row("planning a query of the last closed day", &|f| {
        seconds(f.planning)
    });
    row("that query by `redlake query`", &|f| seconds(f.last_day));
    row("`redlake query 'SELECT 1'`", &|f| seconds(f.nothing));
    row("likes by day of all days", &|f| seconds(f.year));
    row("all rows of a note", &|f| seconds(f.note));
    row("its row of `note_overview`", &|f| seconds(f.note_overview));
    row("its author's row of `creator_overview`", &|f| {
        seconds(f.creator_overview)
    });
    row(
        "bytes read for a note, of all that `notes` has",
        &|f| match f.note_bytes {
            Some((read, all)) => format!(
                "{:.2} of {:.0} MB, {:.1} %",
                read as f64 / 1e6,
                all as f64 / 1e6,
                100.0 * read as f64 / all as f64
            ),
            None => "not measured".to_owned(),
        },
    );
    row("one more run", &|f| seconds(f.run));
}
