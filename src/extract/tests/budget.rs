//! What a run may still spend, and that several at once never spend more than a day allows.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Barrier;

use tempfile::TempDir;

use super::{SHANGHAI, done, head, journal, journal_path, sent, time};
use crate::extract::budget::{Budget, Reserved};
use crate::extract::daily_spend::{DailySpend, DayOf};
use crate::extract::journal::{Entry, JournalError, read};
use crate::extract::ledger::{Sent, Spent};
use crate::plan::{Budgets, Money};
use crate::spec::source::Billed;

const NOON: &str = "2026-03-09T04:00:00Z";

/// A second before midnight in Shanghai, and midnight.
const LATE: &str = "2026-03-09T15:59:59.999999Z";
const MIDNIGHT: &str = "2026-03-09T16:00:00Z";

const FREE: Money = Money(0);
const DIME: Money = Money(100_000);

fn cost(amount: f64) -> Option<Money> {
    Some(Money::of(amount))
}

fn budget(limits: Budgets, run: Spent, today: Spent) -> Budget {
    Budget::new(limits, SHANGHAI, time(LATE), run, today, None)
}

fn new(limits: Budgets) -> Budget {
    Budget::new(
        limits,
        SHANGHAI,
        time(NOON),
        Spent::default(),
        Spent::default(),
        None,
    )
}

fn told(reserved: Reserved) -> String {
    match reserved {
        Reserved::Granted => "granted".to_owned(),
        Reserved::Wait => "wait".to_owned(),
        Reserved::Exhausted(e) => format!("{}: {} of {}", e.limit, e.spent, e.value),
    }
}

/// What is said to a call at this price and time.
fn ask_at(budget: &Budget, price: Money, now: &str) -> String {
    let mut was_sent = false;
    let send = || {
        was_sent = true;
        Ok(())
    };
    let reserved = budget.reserve(price, time(now), send).expect("no journal");
    let granted = matches!(reserved, Reserved::Granted);
    assert_eq!(was_sent, granted, "sent if granted, and only then");
    told(reserved)
}

fn ask(budget: &Budget, price: Money) -> String {
    ask_at(budget, price, NOON)
}

/// A call that was granted at this time ends.
fn end_at(budget: &Budget, billed: Billed, price: Money, started_at: &str) {
    let sent = sent("r", started_at, Some(price.amount()));
    budget.settle(&done(&sent, billed), price);
}

fn end(budget: &Budget, billed: Billed) {
    end_at(budget, billed, DIME, NOON);
}

#[test]
fn without_a_budget_everything_may_be_spent() {
    let budget = new(Budgets::default());
    for _ in 0..1_000 {
        assert_eq!(ask(&budget, Money(u64::MAX)), "granted");
    }
}

#[test]
fn a_run_has_so_many_calls() {
    let limits = Budgets {
        requests_per_run: Some(3),
        ..Budgets::default()
    };
    let budget = new(limits);
    for _ in 0..3 {
        assert_eq!(ask(&budget, FREE), "granted");
    }
    assert_eq!(ask(&budget, FREE), "requests_per_run: 3 of 3");
    // That a call was not billed gives it back its money, not its place.
    end(&budget, Billed::No);
    assert_eq!(ask(&budget, FREE), "requests_per_run: 3 of 3");
    let spent = Spent {
        calls: 2,
        cost: DIME,
    };
    let continued = self::budget(limits, spent, Spent::default());
    assert_eq!(ask(&continued, FREE), "granted");
    assert_eq!(ask(&continued, FREE), "requests_per_run: 3 of 3");
}

#[test]
fn cost_per_run_includes_calls_in_flight() {
    let budget = new(Budgets {
        cost_per_run: cost(0.3),
        ..Budgets::default()
    });
    for _ in 0..3 {
        assert_eq!(ask(&budget, DIME), "granted");
    }
    // All may be billed, or none.
    assert_eq!(ask(&budget, DIME), "wait");
    end(&budget, Billed::No);
    assert_eq!(ask(&budget, DIME), "granted");
    end(&budget, Billed::Yes);
    assert_eq!(ask(&budget, DIME), "wait");
    // The billing of this call is unknown, so it counts.
    end(&budget, Billed::Unknown);
    assert_eq!(ask(&budget, DIME), "wait");
    end(&budget, Billed::Yes);
    assert_eq!(ask(&budget, DIME), "cost_per_run: 0.30 of 0.30");
    assert_eq!(ask(&budget, Money(1)), "cost_per_run: 0.30 of 0.30");
}

#[test]
fn what_is_left_must_be_enough_for_the_call() {
    let budget = new(Budgets {
        cost_per_run: cost(0.25),
        ..Budgets::default()
    });
    for _ in 0..2 {
        assert_eq!(ask(&budget, DIME), "granted");
        end(&budget, Billed::Yes);
    }
    assert_eq!(ask(&budget, DIME), "cost_per_run: 0.20 of 0.25");
    // A cheaper one may go on.
    assert_eq!(ask(&budget, Money::of(0.05)), "granted");
    let nothing = new(Budgets {
        cost_per_run: cost(0.0),
        ..Budgets::default()
    });
    assert_eq!(ask(&nothing, Money(1)), "cost_per_run: 0.00 of 0.00");
}

#[test]
fn what_is_free_needs_no_money() {
    let budget = new(Budgets {
        cost_per_run: cost(0.1),
        cost_per_day: cost(0.1),
        ..Budgets::default()
    });
    assert_eq!(ask(&budget, DIME), "granted");
    assert_eq!(ask(&budget, FREE), "granted");
    end(&budget, Billed::Yes);
    assert_eq!(ask(&budget, FREE), "granted");
    assert_eq!(ask(&budget, DIME), "cost_per_run: 0.10 of 0.10");
}

#[test]
fn a_day_ends_at_midnight_where_the_pipeline_is() {
    let spent = Spent {
        calls: 9,
        cost: Money::of(0.9),
    };
    let budget = budget(
        Budgets {
            requests_per_day: Some(10),
            cost_per_day: cost(1.0),
            requests_per_run: Some(11),
            ..Budgets::default()
        },
        spent,
        spent,
    );
    assert_eq!(ask_at(&budget, DIME, LATE), "granted");
    assert_eq!(ask_at(&budget, DIME, LATE), "requests_per_day: 10 of 10");
    // A new day, but the same run.
    assert_eq!(ask_at(&budget, DIME, MIDNIGHT), "granted");
    assert_eq!(
        ask_at(&budget, DIME, MIDNIGHT),
        "requests_per_run: 11 of 11"
    );
}

#[test]
fn a_call_belongs_to_the_day_on_which_it_was_sent() {
    let limits = Budgets {
        cost_per_day: cost(0.2),
        ..Budgets::default()
    };
    let budget = budget(limits, Spent::default(), Spent::default());
    assert_eq!(ask_at(&budget, DIME, LATE), "granted");
    assert_eq!(ask_at(&budget, DIME, MIDNIGHT), "granted");
    end_at(&budget, Billed::Yes, DIME, LATE);
    // Ten cents of the new day are under way, and ten are left.
    assert_eq!(ask_at(&budget, DIME, MIDNIGHT), "granted");
    end_at(&budget, Billed::Yes, DIME, MIDNIGHT);
    end_at(&budget, Billed::Yes, DIME, MIDNIGHT);
    assert_eq!(
        ask_at(&budget, DIME, MIDNIGHT),
        "cost_per_day: 0.20 of 0.20"
    );
    // What ended after midnight is spent by the run all the same.
    let budget = self::budget(
        Budgets {
            cost_per_run: cost(0.1),
            ..Budgets::default()
        },
        Spent::default(),
        Spent::default(),
    );
    assert_eq!(ask_at(&budget, DIME, LATE), "granted");
    assert_eq!(ask_at(&budget, DIME, MIDNIGHT), "wait");
    end_at(&budget, Billed::Yes, DIME, LATE);
    assert_eq!(
        ask_at(&budget, DIME, MIDNIGHT),
        "cost_per_run: 0.10 of 0.10"
    );
}

#[test]
fn a_call_that_cannot_be_noted_is_not_made() {
    let budget = new(Budgets {
        requests_per_run: Some(1),
        cost_per_run: cost(0.1),
        ..Budgets::default()
    });
    let no_disk = || {
        Err(JournalError::Io {
            action: "write",
            path: "run.ndjson".into(),
            source: std::io::ErrorKind::StorageFull.into(),
        })
    };
    let error = budget.reserve(DIME, time(NOON), no_disk);
    assert!(error.is_err(), "{error:?}");
    assert_eq!(ask(&budget, DIME), "granted");
}

/// Watches the day for a run; its journal is there already.
fn day(folder: &Path, run_id: &str) -> DailySpend {
    let of = DayOf {
        folder: folder.to_owned(),
        own: journal_path(folder, run_id),
        shard: None,
        simulated: false,
        currency: None,
        timezone: SHANGHAI,
        before: Default::default(),
    };
    DailySpend::new(of)
}

#[test]
fn what_other_runs_spend_counts_for_the_day() {
    let dir = TempDir::new().expect("a temporary folder");
    let other = journal(dir.path(), head("other"), &[]);
    journal(dir.path(), head("own"), &[]);
    let limits = Budgets {
        requests_per_day: Some(3),
        cost_per_day: cost(0.2),
        ..Budgets::default()
    };
    let others = Some(day(dir.path(), "own"));
    let none = Spent::default();
    let budget = Budget::new(limits, SHANGHAI, time(NOON), none, none, others);
    assert_eq!(ask(&budget, DIME), "granted");
    let call = sent("r", NOON, Some(0.1));
    other.append(&Entry::Sent(call.clone())).expect("a line");
    end(&budget, Billed::Yes);
    // The other's call may be billed.
    assert_eq!(ask(&budget, DIME), "cost_per_day: 0.20 of 0.20");
    let free = Entry::Done(done(&call, Billed::No));
    other.append(&free).expect("a line");
    assert_eq!(ask(&budget, DIME), "granted");
    end(&budget, Billed::No);
    // Two calls of ours and one of the other's; yesterday's do not count.
    assert_eq!(ask(&budget, DIME), "requests_per_day: 3 of 3");
    assert_eq!(ask_at(&budget, DIME, MIDNIGHT), "granted");
}

/// One run: it asks for calls until its day is over, up to three under way at a time.
fn hammer(folder: &Path, run_id: &str, limits: Budgets, price: Money, start: &Barrier) {
    let journal = journal(folder, head(run_id), &[]);
    let none = Spent::default();
    let others = Some(day(folder, run_id));
    let budget = Budget::new(limits, SHANGHAI, time(NOON), none, none, others);
    let mut under_way: VecDeque<Sent> = VecDeque::new();
    let end_oldest = |under_way: &mut VecDeque<Sent>, number: usize| {
        let sent = under_way.pop_front().expect("a call under way");
        let billed = [Billed::Yes, Billed::No, Billed::Unknown][number % 3];
        let call = done(&sent, billed);
        budget.settle(&call, price);
        journal.append(&Entry::Done(call)).expect("a line");
    };
    start.wait();
    for number in 0.. {
        let sent = sent(&format!("{run_id}-{number}"), NOON, Some(price.amount()));
        let send = || journal.append(&Entry::Sent(sent.clone()));
        match budget.reserve(price, time(NOON), send).expect("journals") {
            Reserved::Granted => under_way.push_back(sent),
            Reserved::Wait => end_oldest(&mut under_way, number),
            Reserved::Exhausted(_) => break,
        }
        if under_way.len() == 3 {
            end_oldest(&mut under_way, number);
        }
    }
    while !under_way.is_empty() {
        end_oldest(&mut under_way, 0);
    }
}

/// Several runs at once on one lake; the calls they made, and the money they may have cost.
fn hammered(runs: usize, limits: Budgets, price: Money) -> Spent {
    let dir = TempDir::new().expect("a temporary folder");
    let names: Vec<String> = (0..runs).map(|n| format!("run{n}")).collect();
    let start = Barrier::new(runs);
    std::thread::scope(|scope| {
        for name in &names {
            scope.spawn(|| hammer(dir.path(), name, limits, price, &start));
        }
    });
    let mut spent = Spent::default();
    for name in &names {
        for entry in read(&journal_path(dir.path(), name)).expect("a journal") {
            match entry {
                Entry::Sent(_) => spent.calls += 1,
                Entry::Done(call) => spent.cost = spent.cost.plus(Spent::on(&call, price).cost),
                _ => {}
            }
        }
    }
    spent
}

#[test]
fn several_runs_at_once_make_as_many_calls_as_the_day_has() {
    let limits = Budgets {
        requests_per_day: Some(200),
        ..Budgets::default()
    };
    for runs in [2, 4] {
        assert_eq!(hammered(runs, limits, FREE).calls, 200, "{runs} runs");
    }
}

#[test]
fn several_runs_at_once_never_cost_more_than_the_day_may() {
    let limits = Budgets {
        cost_per_day: cost(10.0),
        ..Budgets::default()
    };
    for runs in [2, 4] {
        let spent = hammered(runs, limits, DIME);
        assert!(spent.cost <= Money::of(10.0), "{runs} runs: {spent:?}");
        // Each gives up when the calls of the others may be billed: 3 each.
        let least = Money::of(10.0 - 0.3 * (runs - 1) as f64);
        assert!(spent.cost >= least, "{runs} runs: {spent:?}");
    }
}
