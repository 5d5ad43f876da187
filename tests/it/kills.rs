//! A run that is killed (SIGKILL) at random moments and continued each time: no paid page is
//! lost, none is kept twice, and the tables are those of an undisturbed run.
//!
//! `tests/kills.sh N` does it N times and prints the figures; a test does 8.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Lake, SandboxProcess, declared, succeed};

/// Searches of all kinds; about 60 calls.
const PIPELINE: &str = "
version: 1
pipeline: killed
source: {name: justoneapi}
keyword_sets: {words: [兰蔻, 防晒, 敏感肌]}
extract:
  - {endpoint: note_search, keywords: [words], filters: {sort: [general, newest]}, pages: {max: 4}}
  - {endpoint: user_search, keywords: [words], pages: {max: 4}}
  - endpoint: note_detail
    source: {name: xhs_open}
    notes: {found_by: note_search, top: 20, by: liked_count}
limits: {requests_per_second: 1000, concurrency: 8}
price: {note_search: 0.1, user_search: 0.1, note_detail: 0, currency: CNY}
";

/// The tables that are the same whether a run was killed or not: all but the accounts of runs, and
/// `drift`.
fn tables() -> Vec<String> {
    let mut tables = declared("tables");
    tables.retain(|table| !["drift", "requests", "runs", "searches"].contains(&table.as_str()));
    tables
}

/// Sums over all trials.
#[derive(Debug, Default)]
struct Figures {
    kills: u64,
    pages: u64,
    billed: u64,
    lost: u64,
    /// Trials whose last kill came after the run had closed.
    after_the_end: u64,
}

#[test]
fn killed_at_random_moments_nothing_is_lost_and_nothing_is_paid_twice() {
    let kills: u64 = match std::env::var("REDLAKE_KILLS") {
        Ok(number) => number.parse().expect("REDLAKE_KILLS is a number"),
        Err(_) => 8,
    };
    let seed = std::env::var("REDLAKE_SEED").ok();
    let seed = seed.map_or_else(|| fastrand::u64(..), |s| s.parse().expect("a number"));
    // Shown if the test fails: the same seed gives the same moments.
    println!("REDLAKE_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);

    let sandbox = SandboxProcess::with(&["--frozen", "--latency", "15"]);
    let reference = Lake::new();
    let started = Instant::now();
    succeed(&mut run(&sandbox, &reference));
    let duration = started.elapsed();
    let expected = checksums(&reference, &only_run(&reference));
    let pages = page_counts(&reference);

    let mut figures = Figures::default();
    while figures.kills < kills {
        trial(
            &sandbox,
            &mut random,
            duration,
            &expected,
            &pages,
            kills,
            &mut figures,
        );
    }
    println!(
        "{} kills: {} pages in the raw zone, each once; {} calls billed, of which {} were under \
         way when the process was killed (the ledger has them as perhaps billed); tables equal to \
         an undisturbed run's; {} kills came after the end",
        figures.kills, figures.pages, figures.billed, figures.lost, figures.after_the_end
    );
}

fn run(sandbox: &SandboxProcess, lake: &Lake) -> std::process::Command {
    let pipeline = lake.write("killed.yaml", PIPELINE);
    let args = [
        "run",
        pipeline.to_str().expect("UTF-8"),
        "--snapshot-at",
        "2026-03-09T12:00:00+08:00",
    ];
    let mut command = sandbox.redlake(lake, &args, "sandbox");
    command.stdout(Stdio::null()).stderr(Stdio::null());
    // The platform's own limit would make every run take a minute.
    let limit = "rate_limit: {requests: 100, per: 60s}\n";
    let schemas = lake.schemas(&[("sources/xhs_open.yaml", limit, "")]);
    command.arg("--schemas").arg(schemas);
    command
}

/// Kills a run, perhaps several times, and lets it go on to its end.
fn trial(
    sandbox: &SandboxProcess,
    random: &mut fastrand::Rng,
    duration: Duration,
    expected: &BTreeMap<String, Value>,
    pages: &BTreeMap<String, u64>,
    most: u64,
    figures: &mut Figures,
) {
    let lake = Lake::new();
    sandbox.control("DELETE", "/calls", "");
    loop {
        let mut child = run(sandbox, &lake).spawn().expect("the binary starts");
        let moment = duration.mul_f64(random.f64());
        std::thread::sleep(moment);
        let finished = child.try_wait().expect("a child").is_some();
        child.kill().expect("a kill");
        child.wait().expect("an end");
        if finished {
            break;
        }
        figures.kills += 1;
        if figures.kills == most || random.bool() {
            break;
        }
    }
    let last = run(sandbox, &lake).status().expect("the binary starts");
    assert!(last.success(), "the last run ended with {last}");

    // Killed after it had closed, the first run was followed by a second one.
    let runs = lake.query("select run_id, status from runs order by run_id");
    figures.after_the_end += runs.len() as u64 - 1;
    for run in &runs {
        assert_eq!(run["status"], "complete");
        let run_id = run["run_id"].as_str().expect("an id").to_owned();
        assert_eq!(checksums(&lake, &run_id), *expected);
    }
    let raw = page_counts(&lake);
    let once = |(page, n): (&String, &u64)| (page.clone(), n * runs.len() as u64);
    assert_eq!(raw, pages.iter().map(once).collect());

    let ledger = "select count(*) filter (billed = 'yes') as yes, \
                  count(*) filter (billed = 'unknown') as lost, \
                  count(*) filter (billed = 'unknown' and class <> 'lost') as other, \
                  count(distinct request_id) as calls from requests";
    let ledger = &lake.query(ledger)[0];
    let count = |name: &str| ledger[name].as_u64().expect("a number");
    let kept: u64 = raw.values().sum();
    assert_eq!(
        count("yes"),
        kept,
        "each page in the raw zone is in the ledger"
    );
    assert_eq!(count("other"), 0);
    let calls = sandbox.calls();
    let billed = calls.iter().filter(|c| c["billed"] == true).count() as u64;
    assert!(
        kept <= billed && billed <= kept + count("lost"),
        "{billed} calls billed, {kept} pages kept, {} calls lost",
        count("lost")
    );
    assert!(calls.len() as u64 <= count("calls"), "a call without a row");
    let page = |c: &Value| {
        format!(
            "{} {} {} {} {}",
            c["endpoint"], c["keyword"], c["note_id"], c["sort"], c["page"]
        )
    };
    let paid = calls.iter().filter(|c| c["billed"] == true).map(page);
    let paid: BTreeSet<String> = paid.collect();
    assert_eq!(
        paid.len(),
        pages.len(),
        "pages paid, and pages in the raw zone"
    );
    figures.pages += kept;
    figures.billed += billed;
    figures.lost += billed - kept;
}

/// How often each page lies in the raw zone.
fn page_counts(lake: &Lake) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for page in lake.raw_pages() {
        assert_eq!(page["accepted"], true);
        let name = format!("{} {}", page["search"]["search_id"], page["page"]);
        *counts.entry(name).or_default() += 1;
    }
    counts
}

fn only_run(lake: &Lake) -> String {
    let run = lake.value("select run_id from runs");
    run.as_str().expect("an id").to_owned()
}

/// Rows and checksum of each table of a run, but for what differs between any two runs.
fn checksums(lake: &Lake, run_id: &str) -> BTreeMap<String, Value> {
    let sum_of = |table: &String| {
        let ids = match table.as_str() {
            "search_pages" => "run_id, fetched_at, provider_search_id",
            "rejects" => "run_id",
            _ => "run_id, fetched_at",
        };
        format!(
            "select '{table}' as name, count(*) || ' ' || coalesce(bit_xor(hash(t)), 0) as sum \
             from (select * exclude ({ids}) from {table} where run_id = '{run_id}') t"
        )
    };
    let parts: Vec<String> = tables().iter().map(sum_of).collect();
    let rows = lake.query(&parts.join(" union all "));
    let name = |row: &Value| row["name"].as_str().expect("a name").to_owned();
    rows.iter()
        .map(|row| (name(row), row["sum"].clone()))
        .collect()
}
