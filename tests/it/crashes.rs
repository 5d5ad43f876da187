//! Whatever step of a commit the process dies at, or the disk fails at, the lake is as before or as
//! after, and nothing in between.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Lake, succeed};

/// Few tables: every step of each is tried.
const PIPELINE: &str = "
version: 1
pipeline: hourly
source: {name: justoneapi, base_url: sandbox}
keyword_sets: {words: [兰蔻]}
extract:
  - {endpoint: user_search, keywords: [words], pages: {max: 1}}
";

const TABLES: [&str; 6] = [
    "users",
    "user_stats",
    "search_results",
    "search_pages",
    "requests",
    "runs",
];

/// Those that the pipeline's rows make.
const MARTS: [&str; 1] = ["rank_history"];

/// A lake, and a command that changes it.
struct Change {
    lake: Lake,
    args: &'static [&'static str],
    /// What is looked at.
    tables: &'static [&'static str],
    /// What the lake holds before and after it.
    before: Value,
    after: Value,
}

impl Change {
    fn new(lake: Lake, args: &'static [&'static str], tables: &'static [&'static str]) -> Self {
        let before = lake.checksums(tables);
        let done = lake.fork();
        succeed(&mut command(&done, args));
        let after = done.checksums(tables);
        Change {
            lake,
            args,
            tables,
            before,
            after,
        }
    }

    fn compaction() -> Self {
        let change = Change::new(lake(), &["compact", "--before", "2026-03-09"], &TABLES);
        assert_eq!(change.after, change.before);
        change
    }

    /// Users without their names, in two files that are there and one of three runs.
    fn flattening() -> Self {
        let lake = lake();
        succeed(&mut command(&lake, &["compact", "--before", "2026-03-09"]));
        let change = Change::new(lake, &["transform", "ANONYMOUS", "--raw", "RAW"], &TABLES);
        assert_ne!(change.after, change.before);
        change
    }

    fn pruning() -> Self {
        let change = Change::new(lake(), &["prune", "--tables-older-than", "1d"], &TABLES);
        assert_ne!(change.after, change.before);
        change
    }

    /// Marts of one date, which has others already.
    fn marts() -> Self {
        let lake = lake();
        let pipeline = without_marts(&lake);
        lake.run(&pipeline, &["--snapshot-at", "2026-03-08T04:00:00+08:00"]);
        let change = Change::new(lake, &["marts"], &MARTS);
        assert_ne!(change.after, change.before);
        change
    }

    /// Aborts the command at its disk steps. Returns the number of steps that it has.
    fn dies_everywhere(&self) -> u32 {
        let command = |lake: &Lake| command(lake, self.args);
        die_everywhere(&self.lake, command, |lake, step| {
            self.check(lake, &format!("step {step}"));
        })
    }

    /// Lets disk steps below `steps` fail, one in each attempt. Returns the highest step whose
    /// failure the command reported, with this hint.
    fn fails_at(&self, steps: u32, how: &str, hint: &str) -> u32 {
        let mut failed = 0;
        for step in steps_to_try().take_while(|step| *step < steps) {
            let lake = self.lake.fork();
            let mut command = command(&lake, self.args);
            command.env(
                "FAILPOINTS",
                format!("disk={step}*off->1*return({how})->off"),
            );
            let output = command.output().expect("the binary starts");
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            if !output.status.success() {
                assert!(said.contains(hint), "step {step}: {said}");
                failed = step;
            }
            self.check(&lake, &format!("step {step}: {said}"));
        }
        failed
    }

    /// The lake is as before or as after, whole, and nothing is left behind.
    fn check(&self, lake: &Lake, when: &str) {
        is_whole(lake, when);
        let now = lake.checksums(self.tables);
        let is_one = now == self.before || now == self.after;
        assert!(is_one, "{when}: {now}");
    }
}

/// Returns the disk steps to try: every eighth one, from a random first one.
/// `REDLAKE_STRIDE=1`, as `.ci/run` sets it, tries all of them.
fn steps_to_try() -> impl Iterator<Item = u32> {
    let stride: u32 = number("REDLAKE_STRIDE", 8);
    let first = number("REDLAKE_FIRST_STEP", fastrand::u32(..stride));
    println!("REDLAKE_STRIDE={stride} REDLAKE_FIRST_STEP={first}");
    (first..).step_by(stride as usize)
}

/// Aborts the process at a step of what it does to the disk, each time in a copy of the lake, which is
/// checked then. Returns the number of steps, up to the stride.
fn die_everywhere(
    start: &Lake,
    command: impl Fn(&Lake) -> Command,
    mut check: impl FnMut(&Lake, u32),
) -> u32 {
    for step in steps_to_try() {
        let lake = start.fork();
        let mut command = command(&lake);
        command.env("FAILPOINTS", format!("disk={step}*off->return"));
        let output = command.output().expect("the binary starts");
        check(&lake, step);
        match output.status.code() {
            Some(0) => return step,
            None => {}
            Some(code) => panic!("step {step}: it did not die but ended with {code}"),
        }
    }
    unreachable!("a command has an end")
}

/// Every committed file is there, and nothing is left behind.
fn is_whole(lake: &Lake, when: &str) {
    let verified = succeed(&mut lake.redlake(&["verify", "--format", "json"]));
    let verified: Value = serde_json::from_slice(&verified.stdout).expect("JSON");
    assert_eq!(verified["problems"], json!([]), "{when}");
    let staged = std::fs::read_dir(lake.path().join("_staging")).expect("a folder");
    assert_eq!(staged.count(), 0, "{when}: something is left behind");
}

/// The pipeline, whose runs leave the marts to others.
fn without_marts(lake: &Lake) -> PathBuf {
    lake.write("bare.yaml", &format!("{PIPELINE}load: {{marts: false}}\n"))
}

/// Three runs of a day.
fn lake() -> Lake {
    let lake = Lake::new();
    let pipeline = lake.write("hourly.yaml", PIPELINE);
    for hour in 1..=3 {
        let at = format!("2026-03-08T{hour:02}:00:00+08:00");
        lake.run(&pipeline, &["--snapshot-at", &at]);
    }
    lake
}

fn command(lake: &Lake, args: &[&str]) -> Command {
    let hidden = format!("{PIPELINE}privacy: {{drop: [users.nickname]}}\n");
    let pipeline = lake.write("anonymous.yaml", &hidden);
    let raw = lake.raw_files();
    let args = args.iter().map(|arg| match *arg {
        "ANONYMOUS" => pipeline.to_str().expect("UTF-8"),
        "RAW" => raw[0].to_str().expect("UTF-8"),
        arg => arg,
    });
    let mut command = lake.redlake(&args.collect::<Vec<_>>());
    command.stdout(Stdio::null());
    command
}

/// Kills of commits and compactions at random moments, and what came of them.
#[derive(Debug, Default)]
struct Kills {
    compactions: u32,
    replacements: u32,
    /// The command was through before.
    too_late: u32,
    /// The lake was as before the command, or as after it.
    before: u32,
    after: u32,
    longest_recovery: Duration,
}

impl Kills {
    /// Kills the command after a part of the time that it takes, opens the lake and looks.
    fn kill(&mut self, change: &Change, whole: Duration, random: &mut fastrand::Rng) {
        let lake = change.lake.fork();
        let files = lake.table_files();
        let mut child = command(&lake, change.args)
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary starts");
        std::thread::sleep(whole.mul_f64(random.f64()));
        child.kill().expect("a child");
        let ended = child.wait().expect("a child");
        self.too_late += u32::from(ended.success());
        let started = Instant::now();
        succeed(&mut lake.redlake(&["runs"]));
        self.longest_recovery = self.longest_recovery.max(started.elapsed());
        if lake.table_files() == files {
            self.before += 1;
        } else {
            self.after += 1;
        }
        change.check(&lake, "killed");
    }
}

/// `tests/lake/kills.sh N` does it N times and prints the figures; a test does 16.
#[test]
fn a_commit_is_atomic_when_killed_at_random_moments() {
    let kills = number("REDLAKE_COMMIT_KILLS", 8);
    let seed = number("REDLAKE_SEED", fastrand::u64(..));
    println!("REDLAKE_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let changes = [Change::compaction(), Change::flattening()];
    let durations = changes.each_ref().map(|change| {
        let lake = change.lake.fork();
        let started = Instant::now();
        succeed(&mut command(&lake, change.args));
        started.elapsed()
    });
    let mut figures = Kills::default();
    for at in 0..kills {
        let which = usize::from(at % 2 == 1);
        match which {
            0 => figures.compactions += 1,
            _ => figures.replacements += 1,
        }
        figures.kill(&changes[which], durations[which], &mut random);
    }
    println!(
        "{} compactions and {} replacements killed: {} had not happened, {} had ({} were through \
         before the kill); all tables equal to one of the two states, nothing lost or doubled; the \
         next command took {:.2} s at most, recovery included",
        figures.compactions,
        figures.replacements,
        figures.before,
        figures.after,
        figures.too_late,
        figures.longest_recovery.as_secs_f64()
    );
}

fn number<T: std::str::FromStr>(name: &str, usual: T) -> T {
    match std::env::var(name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name} is a number")),
        Err(_) => usual,
    }
}

/// `tests/lake/writers.sh 8 25` has eight processes commit 25 times each; a test has four, three
/// times each.
#[test]
fn processes_that_commit_to_one_lake_at_once_all_keep_their_rows() {
    let writers = number("REDLAKE_WRITERS", 4);
    let commits = number("REDLAKE_COMMITS", 3);
    let lake = Lake::new();
    let rows: u64 = std::thread::scope(|scope| {
        let lake = &lake;
        let writer = |writer: u32| {
            move || -> u64 {
                let text = PIPELINE.replace("hourly", &format!("writer_{writer}"));
                let pipeline = lake.write(&format!("writer_{writer}.yaml"), &text);
                let run = |_| lake.run(&pipeline, &[])["rows"]["search_results"].as_u64();
                (0..commits).map(run).map(|rows| rows.expect("rows")).sum()
            }
        };
        let writers: Vec<_> = (0..writers).map(|w| scope.spawn(writer(w))).collect();
        let rows = writers.into_iter().map(|w| w.join().expect("a writer"));
        rows.sum()
    });
    let runs = u64::from(writers * commits);
    assert_eq!(lake.value("SELECT count(*) FROM runs"), runs);
    assert_eq!(lake.value("SELECT count(DISTINCT run_id) FROM runs"), runs);
    assert_eq!(lake.value("SELECT count(*) FROM search_results"), rows);
    let doubled = "SELECT count(*) FROM (SELECT 1 FROM search_results \
                   GROUP BY run_id, search_id, page, position HAVING count(*) > 1)";
    assert_eq!(lake.value(doubled), 0);
    let verified = succeed(&mut lake.redlake(&["verify"]));
    print!(
        "{runs} runs by {writers} processes: {}",
        String::from_utf8_lossy(&verified.stdout)
    );
}

#[test]
fn a_compaction_that_dies_at_any_step_changes_no_row() {
    let steps = Change::compaction().dies_everywhere();
    println!("{steps} steps");
    assert!(steps > 50, "{steps} steps");
}

#[test]
fn a_replacement_is_atomic_across_crashes() {
    let steps = Change::flattening().dies_everywhere();
    println!("{steps} steps");
    assert!(steps > 50, "{steps} steps");
}

#[test]
fn a_removal_is_atomic_across_crashes() {
    let steps = Change::pruning().dies_everywhere();
    println!("{steps} steps");
    assert!(steps > 20, "{steps} steps");
}

#[test]
fn marts_that_die_at_any_step_are_the_old_or_the_new_ones() {
    let steps = Change::marts().dies_everywhere();
    println!("{steps} steps");
    assert!(steps > 10, "{steps} steps");
}

/// A new run has another id and other times each time, so its rows are counted.
#[test]
fn the_first_commit_of_a_run_is_atomic_across_crashes() {
    let start = lake();
    let pipeline = without_marts(&start);
    let pipeline = pipeline.to_str().expect("UTF-8");
    let of_run = |lake: &Lake| {
        let count = |table: &&str| {
            format!(
                "(SELECT count(*) FROM {table} WHERE snapshot_at = TIMESTAMPTZ '2026-03-07 20:00:00Z') \
                 AS {table}"
            )
        };
        let counts: Vec<String> = TABLES.iter().map(count).collect();
        let mut rows = lake.query(&format!("SELECT {}", counts.join(", ")));
        rows.pop().expect("a row")
    };
    let run = [
        "run",
        pipeline,
        "--snapshot-at",
        "2026-03-08T04:00:00+08:00",
    ];
    let (none, before) = (of_run(&start), start.query(EARLIER));
    let done = start.fork();
    succeed(&mut done.redlake(&run));
    let all = of_run(&done);
    assert!(
        all.as_object().expect("counts").values().all(|n| *n != 0),
        "{all}"
    );
    let mut seen = Vec::new();
    die_everywhere(
        &start,
        |lake| lake.redlake(&run),
        |lake, step| {
            is_whole(lake, &format!("step {step}"));
            let now = of_run(lake);
            assert!(now == none || now == all, "step {step}: {now}");
            assert_eq!(lake.query(EARLIER), before, "step {step}");
            seen.push((now == all, step));
        },
    );
    assert!(seen.is_sorted(), "{seen:?}");
    let first_there = seen.iter().find(|(is_there, _)| *is_there);
    let (Some((_, first)), Some((_, last))) = (first_there, seen.last()) else {
        panic!("the run is never there: {seen:?}");
    };
    println!("{last} steps, the run is there from step {first} on");
    assert!(*first > 10 && last - first > 10, "{seen:?}");
}

/// The runs before it, and a checksum of what they found.
const EARLIER: &str = "SELECT run_id, (SELECT sum(hash(u)::HUGEINT)::VARCHAR FROM users u \
                       WHERE u.run_id = runs.run_id) AS users FROM runs \
                       WHERE snapshot_at < TIMESTAMPTZ '2026-03-07 20:00:00Z' ORDER BY run_id";

#[test]
fn a_full_disk_is_reported_and_changes_nothing() {
    let hint = "hint: free space on that disk and run the command again";
    let last = Change::compaction().fails_at(60, "full", hint);
    assert!(last > 50, "the last step that failed is {last}");
}
