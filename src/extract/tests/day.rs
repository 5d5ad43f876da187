//! What the journals of other runs say about a day.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use tempfile::TempDir;

use super::{SHANGHAI, done, head, journal, journal_path, sent};
use crate::extract::daily_spend::{DailySpend, DayOf, budget_share, journals, part};
use crate::extract::journal::{Entry, JournalError, RunHead};
use crate::extract::ledger::{Sent, Spent};
use crate::plan::{Money, Shard};
use crate::spec::source::Billed;

const MORNING: &str = "2026-03-08T16:00:00Z";
const LATE: &str = "2026-03-09T15:59:59Z";
const MIDNIGHT: &str = "2026-03-09T16:00:00Z";

fn date(day: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 3, day).expect("a date")
}

fn spent(calls: u64, cost: f64) -> Spent {
    let cost = Money::of(cost);
    Spent { calls, cost }
}

fn shard(text: &str) -> Option<Shard> {
    Some(text.parse().expect("a shard"))
}

fn folder() -> TempDir {
    TempDir::new().expect("a temporary folder")
}

fn of(folder: &Path) -> DayOf {
    DayOf {
        folder: folder.to_owned(),
        own: journal_path(folder, "own"),
        shard: None,
        simulated: false,
        currency: None,
        timezone: SHANGHAI,
        before: BTreeMap::new(),
    }
}

fn look(day: &mut DailySpend, on: u32) -> Spent {
    let (spent, _lock) = day.look(date(on)).expect("readable journals");
    assert_eq!(day.peek(date(on)).expect("readable journals"), spent);
    spent
}

/// A call at this time that cost 0.10, or would have.
fn call(id: &str, started_at: &str, billed: Billed) -> [Entry; 2] {
    let sent = sent(id, started_at, Some(0.1));
    let done = done(&sent, billed);
    [Entry::Sent(sent), Entry::Done(done)]
}

/// A run with so many billed calls on the ninth.
fn ran(folder: &Path, head: RunHead, calls: usize) {
    let calls = (0..calls).flat_map(|n| call(&n.to_string(), LATE, Billed::Yes));
    journal(folder, head, &calls.collect::<Vec<_>>());
}

#[test]
fn the_calls_of_other_runs_are_counted_by_day() {
    let dir = folder();
    let mut entries = Vec::new();
    entries.extend(call("1", MORNING, Billed::Yes));
    entries.extend(call("2", LATE, Billed::No));
    entries.extend(call("3", MIDNIGHT, Billed::Yes));
    entries.push(Entry::Committed { tables: true });
    journal(dir.path(), head("a"), &entries);
    // Calls with unknown billing, calls under way and unfinished calls count as billed.
    let mut entries = Vec::from(call("4", LATE, Billed::Unknown));
    entries.push(Entry::Sent(sent("5", LATE, Some(0.1))));
    journal(dir.path(), head("b"), &entries);
    // Our own is not counted: we know it.
    ran(dir.path(), head("own"), 50);
    let mut day = DailySpend::new(of(dir.path()));
    assert_eq!(look(&mut day, 9), spent(4, 0.3));
    assert_eq!(look(&mut day, 10), spent(1, 0.1));
    assert_eq!(look(&mut day, 8), spent(0, 0.0));
    // A second look counts nothing twice.
    assert_eq!(look(&mut day, 9), spent(4, 0.3));
}

#[test]
fn a_journal_is_read_on_where_it_was_left() {
    let dir = folder();
    let mut day = DailySpend::new(of(dir.path()));
    assert_eq!(look(&mut day, 9), spent(0, 0.0));
    let other = journal(dir.path(), head("other"), &[]);
    assert_eq!(look(&mut day, 9), spent(0, 0.0));
    let [sent, free] = call("1", LATE, Billed::No);
    other.append(&sent).expect("a line");
    assert_eq!(look(&mut day, 9), spent(1, 0.1));
    other.append(&free).expect("a line");
    assert_eq!(look(&mut day, 9), spent(1, 0.0));
    for entry in call("2", LATE, Billed::Yes) {
        other.append(&entry).expect("a line");
    }
    assert_eq!(look(&mut day, 9), spent(2, 0.1));
    // One that is cleared away has been spent all the same.
    fs::remove_file(other.path()).expect("a file");
    assert_eq!(look(&mut day, 9), spent(2, 0.1));
}

#[test]
fn a_torn_last_line_counts_once_it_is_whole() {
    let dir = folder();
    ran(dir.path(), head("other"), 1);
    let path = journal_path(dir.path(), "other");
    let line = serde_json::to_string(&Entry::Sent(sent("2", LATE, Some(0.1))));
    let line = line.expect("JSON") + "\n";
    let mut day = DailySpend::new(of(dir.path()));
    for at in 0..line.len() {
        let mut file = OpenOptions::new().append(true).open(&path).expect("a file");
        file.write_all(&line.as_bytes()[at..=at]).expect("writable");
        let calls = if at + 1 < line.len() { 1 } else { 2 };
        assert_eq!(look(&mut day, 9), spent(calls, 0.1 * calls as f64), "{at}");
    }
    // The first line may be torn, too.
    let text = fs::read(&path).expect("a file");
    fs::write(journal_path(dir.path(), "young"), &text[..20]).expect("writable");
    assert_eq!(look(&mut day, 9), spent(2, 0.2));
}

#[test]
fn what_is_no_journal_is_told() {
    let dir = folder();
    let path = journal_path(dir.path(), "other");
    fs::write(&path, "{\"run\": 1}\n").expect("writable");
    fs::write(dir.path().join("note.txt"), "not looked at").expect("writable");
    let error = DailySpend::new(of(dir.path()))
        .look(date(9))
        .expect_err("an error");
    assert!(
        matches!(&error, JournalError::Format { path: p, .. } if *p == path),
        "{error}"
    );
}

#[test]
fn rehearsals_and_real_runs_do_not_count_for_each_other() {
    let dir = folder();
    let simulated = |run_id| RunHead {
        simulated: true,
        ..head(run_id)
    };
    ran(dir.path(), head("real"), 2);
    ran(dir.path(), simulated("rehearsed"), 5);
    let mut real = DailySpend::new(of(dir.path()));
    assert_eq!(look(&mut real, 9), spent(2, 0.2));
    let mut rehearsal = DailySpend::new(DayOf {
        simulated: true,
        ..of(dir.path())
    });
    assert_eq!(look(&mut rehearsal, 9), spent(5, 0.5));
}

#[test]
fn costs_in_another_currency_do_not_count_but_their_calls_do() {
    let dir = folder();
    let entries = [Some("CNY"), Some("USD"), None].map(|currency| {
        let id = currency.unwrap_or("old");
        let sent = Sent {
            currency: currency.map(str::to_owned),
            ..sent(id, "2026-03-09T04:00:00Z", Some(0.1))
        };
        let done = done(&sent, Billed::Yes);
        [Entry::Sent(sent), Entry::Done(done)]
    });
    journal(dir.path(), head("other"), &entries.concat());
    let of_currency = |currency: Option<&str>| DayOf {
        currency: currency.map(str::to_owned),
        ..of(dir.path())
    };
    for (currency, expected) in [
        (Some("CNY"), spent(3, 0.2)),
        (Some("USD"), spent(3, 0.2)),
        (Some("EUR"), spent(3, 0.1)),
        (None, spent(3, 0.3)),
    ] {
        let mut day = DailySpend::new(of_currency(currency));
        assert_eq!(look(&mut day, 9), expected, "{currency:?}");
    }
}

#[test]
fn runs_without_a_journal_count_too() {
    let dir = folder();
    ran(dir.path(), head("other"), 1);
    let mut day = DailySpend::new(DayOf {
        before: BTreeMap::from([(date(9), spent(40, 3.5)), (date(8), spent(1, 1.0))]),
        ..of(dir.path())
    });
    assert_eq!(look(&mut day, 9), spent(41, 3.6));
    assert_eq!(look(&mut day, 8), spent(1, 1.0));
}

#[test]
fn a_shard_counts_its_own_and_its_part_of_whole_runs() {
    let cases = [
        // Ours, the other's, and whether that counts, in how many parts.
        (None, None, (true, 1)),
        (None, shard("2/3"), (true, 1)),
        (shard("1/3"), shard("1/3"), (true, 1)),
        (shard("1/3"), shard("2/3"), (false, 1)),
        (shard("1/3"), None, (true, 3)),
        (shard("1/3"), shard("1/2"), (true, 3)),
        (shard("1/1"), None, (true, 1)),
    ];
    for (own, other, counts) in cases {
        assert_eq!(budget_share(own, other), counts, "{own:?} {other:?}");
    }
    assert_eq!(
        part(spent(7, 0.1), 3),
        Spent {
            calls: 3,
            cost: Money(33_334)
        }
    );
    assert_eq!(part(spent(6, 0.3), 3), spent(2, 0.1));
    assert_eq!(part(spent(6, 0.3), 1), spent(6, 0.3));
    assert_eq!(part(spent(6, 0.3), 0), spent(6, 0.3));
    assert_eq!(part(Spent::default(), 4), Spent::default());
}

#[test]
fn a_shard_looks_at_a_day_as_its_share() {
    let dir = folder();
    let of_shard = |run_id, text| RunHead {
        shard: shard(text),
        ..head(run_id)
    };
    ran(dir.path(), of_shard("before", "1/2"), 1);
    ran(dir.path(), of_shard("beside", "2/2"), 10);
    ran(dir.path(), of_shard("otherwise", "3/4"), 5);
    ran(dir.path(), head("whole"), 20);
    let mut day = DailySpend::new(DayOf {
        shard: shard("1/2"),
        ..of(dir.path())
    });
    // 1 of its own, 3 of another division's 5, 10 of the whole run's 20.
    assert_eq!(look(&mut day, 9), spent(14, 0.1 + 0.25 + 1.0));
    let mut whole = DailySpend::new(of(dir.path()));
    assert_eq!(look(&mut whole, 9), spent(36, 3.6));
}

#[test]
fn a_held_lock_excludes_other_processes() {
    let dir = folder();
    let mut day = DailySpend::new(of(dir.path()));
    let path = dir.path().join("budget.lock");
    // A glance leaves no trace.
    day.peek(date(9)).expect("no journals");
    assert!(!path.exists());
    for _ in 0..2 {
        let (_, lock) = day.look(date(9)).expect("no journals");
        let file = File::open(&path).expect("the lock");
        assert!(file.try_lock().is_err());
        drop(lock);
        assert!(file.try_lock().is_ok());
    }
}

#[test]
fn journals_are_listed_the_oldest_first() {
    let dir = folder();
    for name in ["b", "c", "a"] {
        journal(dir.path(), head(name), &[]);
    }
    fs::write(dir.path().join("budget.lock"), "").expect("writable");
    let found = journals(dir.path()).expect("a folder");
    let expected = ["a", "b", "c"].map(|name| journal_path(dir.path(), name));
    assert_eq!(found, expected);
    // The first run makes the folder.
    let none = journals(&dir.path().join("none")).expect("no folder");
    assert_eq!(none, Vec::<PathBuf>::new());
    let file = journals(&expected[0]).expect_err("an error");
    assert!(file.to_string().starts_with("cannot list "), "{file}");
}
