//! How well extraction uses its limits, and what its stop rules save. Against the sandbox on
//! loopback, so nothing is paid.
//!
//! ```sh
//! cargo bench --bench extract                # all of it, about half an hour
//! cargo bench --bench extract -- throughput  # or limit, week, late
//! ```

#[path = "../it/support.rs"]
#[allow(dead_code, reason = "shared with the tests, which use more of it")]
mod support;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Instant;

use serde_json::Value;

use support::{Lake, SandboxProcess, succeed};

/// As long as a real one: answers are searched for it.
const TOKEN: &str = "b7c1f0e2-1d3a-4f5b-9c8d-0a1b2c3d4e5f";

fn main() {
    let args: BTreeSet<String> = std::env::args().skip(1).collect();
    let wanted = |name: &str| {
        let names = ["throughput", "limit", "week", "late"];
        args.contains(name) || !names.iter().any(|n| args.contains(*n))
    };
    if wanted("throughput") {
        throughput();
    }
    if wanted("limit") {
        limit(10, 300);
        limit(100, 2_000);
    }
    if wanted("week") {
        week(120, 0, &RULES);
        week(480, 0, &RULES);
    }
    // `week` measures the late notes, too; `late` only them.
    if wanted("week") || wanted("late") {
        week(120, 5, &RULES_FOR_LATE_NOTES);
        week(480, 5, &RULES_FOR_LATE_NOTES);
    }
}

/// 2,000 pages at a latency of 300 ms, 16 calls at once: the best there can be is 16 / 0.3.
fn throughput() {
    let (latency_ms, concurrency, searches) = (300, 16, 1_000);
    let latency = latency_ms.to_string();
    let sandbox = SandboxProcess::with(&["--token", TOKEN, "--frozen", "--latency", &latency]);
    let lake = Lake::new();
    let limits = format!("requests_per_second: 1000, concurrency: {concurrency}");
    let pipeline = searches_of(&lake, searches, 2, &limits);
    let started = Instant::now();
    run(&sandbox, &lake, &pipeline);
    let whole = started.elapsed().as_secs_f64();
    let calls = Calls::of(&sandbox);
    let best = f64::from(concurrency) * 1_000.0 / f64::from(latency_ms);
    let reached = calls.number() as f64 / calls.seconds_to_the_last_answer();
    println!(
        "throughput: {} pages at {latency_ms} ms, {concurrency} at once: {reached:.1} pages/s of \
         {best:.1}, {:.1} % (goal: 95 %); {:.1} s, with transform and commit {whole:.1} s; at most \
         {} at once",
        calls.number(),
        100.0 * reached / best,
        calls.seconds_to_the_last_answer(),
        calls.most_at_once,
    );
}

/// As many calls as the limit lets through.
fn limit(per_second: u64, number: usize) {
    let sandbox = SandboxProcess::with(&["--token", TOKEN, "--frozen", "--latency", "20"]);
    let lake = Lake::new();
    let limits = format!("requests_per_second: {per_second}, concurrency: 16");
    let pipeline = searches_of(&lake, number, 1, &limits);
    run(&sandbox, &lake, &pipeline);
    let calls = Calls::of(&sandbox);
    let burst = (per_second / 20).max(1);
    println!(
        "limit: {} calls at {per_second}/s with a burst of {burst}: at most {} in any second \
         (allowed: {}), {:.2} % used (goal: 98 %)",
        calls.number(),
        calls.most_in_a_second(),
        per_second + burst,
        100.0 * calls.rate() / per_second as f64,
    );
}

/// The rules that are compared, as lines of `stop_when`.
const RULES: [(&str, &str); 4] = [
    ("fixed paging", ""),
    ("known_share: 0.9", "known_share: 0.9"),
    ("older_than: 3h", "older_than: 3h"),
    ("both", "known_share: 0.9, older_than: 3h"),
];

/// The rules that are compared where some notes are shown late.
const RULES_FOR_LATE_NOTES: [(&str, &str); 6] = [
    ("fixed paging", ""),
    ("known_share: 0.9", "known_share: 0.9"),
    ("older_than: 3h", "older_than: 3h"),
    (
        "and recheck: {every: 24h, pages: 5}",
        "known_share: 0.9, recheck: {every: 24h, pages: 5}",
    ),
    (
        "and recheck: {every: 6h, pages: 10}",
        "known_share: 0.9, recheck: {every: 6h, pages: 10}",
    ),
    (
        "and recheck: {every: 3h, pages: 5}",
        "known_share: 0.9, recheck: {every: 3h, pages: 5}",
    ),
];

/// A week of hourly runs over five keywords that get so many new notes a day each, ten pages deep.
/// `late_percent` of the notes are shown one to three hours late.
fn week(notes_a_day: u32, late_percent: u32, rules: &[(&str, &str)]) {
    let price = 0.10;
    println!(
        "week: 168 hourly runs, 5 keywords, newest first, at most 10 pages of 20, {notes_a_day} \
         new notes a day each, {late_percent} % of them late"
    );
    println!(
        "  {:<37}{:>8}{:>10}{:>11}{:>8}{:>9}{:>18}",
        "rule", "calls", "of fixed", "new notes", "missed", "missed %", "CNY a new note"
    );
    let mut fixed: Option<(u64, u64)> = None;
    for (name, rules) in rules {
        let (calls, new) = a_week_with(rules, notes_a_day, late_percent);
        let (all_calls, all_new) = *fixed.get_or_insert((calls, new));
        let missed = all_new.saturating_sub(new);
        println!(
            "  {name:<37}{calls:>8}{:>8.1} %{new:>11}{missed:>8}{:>7.2} %{:>18.4}",
            100.0 * calls as f64 / all_calls as f64,
            100.0 * missed as f64 / all_new as f64,
            price * calls as f64 / new as f64,
        );
    }
}

/// Calls, and notes that were published in the week and found.
fn a_week_with(rules: &str, notes_a_day: u32, late_percent: u32) -> (u64, u64) {
    let (notes_a_day, late_percent) = (notes_a_day.to_string(), late_percent.to_string());
    let world = ["--notes-a-day", &notes_a_day, "--late-notes", &late_percent];
    let flags = [&["--token", TOKEN, "--frozen"][..], &world].concat();
    let sandbox = SandboxProcess::with(&flags);
    let lake = Lake::new();
    let pipeline = lake.write(
        "week.yaml",
        &format!(
            "
version: 1
pipeline: week
source: {{name: justoneapi}}
keyword_sets: {{words: [兰蔻, 防晒, 敏感肌, 雅诗兰黛, 早C晚A]}}
extract:
  - endpoint: note_search
    keywords: [words]
    filters: {{sort: newest}}
    pages: {{max: 10, stop_when: {{{rules}}}}}
limits: {{requests_per_second: 1000, concurrency: 5}}
"
        ),
    );
    let start = chrono::DateTime::parse_from_rfc3339("2026-03-09T04:00:00Z").expect("a time");
    for hour in 0..168 {
        let at = (start + chrono::Duration::hours(hour)).to_rfc3339();
        let path = pipeline.to_str().expect("UTF-8");
        let args = ["run", path, "-q", "--snapshot-at", &at];
        succeed(&mut sandbox.redlake(&lake, &args, TOKEN));
        sandbox.control("POST", "/clock", r#"{"advance_seconds": 3600}"#);
    }
    let new = "select count(distinct note_id) from notes \
               where published_at >= timestamptz '2026-03-09 04:00:00+00'";
    let new = lake.value(new).as_u64().expect("a number");
    (Calls::of(&sandbox).number() as u64, new)
}

/// A pipeline of so many searches.
fn searches_of(lake: &Lake, searches: usize, pages: u32, limits: &str) -> PathBuf {
    let words: Vec<String> = (0..searches).map(|n| format!("  - word {n}\n")).collect();
    lake.write(
        "bench.yaml",
        &format!(
            "
version: 1
pipeline: bench
source: {{name: justoneapi}}
keyword_sets:
  words:
{}
extract:
  - endpoint: note_search
    keywords: [words]
    filters: {{sort: newest}}
    pages: {{max: {pages}}}
limits: {{{limits}}}
",
            words.concat().replace("  - ", "    - ")
        ),
    )
}

fn run(sandbox: &SandboxProcess, lake: &Lake, pipeline: &std::path::Path) {
    let args = ["run", pipeline.to_str().expect("UTF-8"), "-q"];
    succeed(&mut sandbox.redlake(lake, &args, TOKEN));
}

/// What the sandbox saw, by its own clock.
struct Calls {
    /// When each arrived, in microseconds, in order.
    at: Vec<u64>,
    last_answer: u64,
    most_at_once: u64,
}

impl Calls {
    fn of(sandbox: &SandboxProcess) -> Self {
        let calls = sandbox.calls();
        let number = |call: &Value, name: &str| call[name].as_u64().unwrap_or_default();
        let mut at: Vec<u64> = calls.iter().map(|call| number(call, "at_us")).collect();
        at.sort_unstable();
        let status: Value =
            serde_json::from_str(&sandbox.control("GET", "", "")).expect("a status");
        Calls {
            at,
            last_answer: calls
                .iter()
                .map(|call| number(call, "done_us"))
                .max()
                .unwrap_or(0),
            most_at_once: number(&status, "most_in_flight"),
        }
    }

    fn number(&self) -> usize {
        self.at.len()
    }

    fn seconds_to_the_last_answer(&self) -> f64 {
        (self.last_answer - self.at[0]) as f64 / 1e6
    }

    /// Calls a second from the first to the last.
    fn rate(&self) -> f64 {
        let span = (self.at[self.at.len() - 1] - self.at[0]) as f64 / 1e6;
        (self.at.len() - 1) as f64 / span
    }

    fn most_in_a_second(&self) -> usize {
        let mut first = 0;
        let mut most = 0;
        for (last, at) in self.at.iter().enumerate() {
            while at - self.at[first] >= 1_000_000 {
                first += 1;
            }
            most = most.max(last - first + 1);
        }
        most
    }
}
