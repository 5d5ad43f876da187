//! What may still be spent. A call is paid for before it is sent: budgets are never exceeded,
//! however many calls are under way.

use crate::extract::ledger::Spent;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use serde::Serialize;
use tokio::sync::Notify;

use super::day::DailySpend;
use super::journal::JournalError;
use super::ledger::Call;
use crate::plan::{Budgets, Money};

/// A budget that is used up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Exhausted {
    /// The key of `limits` that says it.
    pub limit: &'static str,
    /// The budget, as a number of calls or an amount of money.
    pub value: String,
    /// What is spent of it.
    pub spent: String,
}

impl Exhausted {
    /// Whether it is the run's own budget, not the day's.
    pub fn is_of_run(&self) -> bool {
        self.limit.ends_with("_per_run")
    }
}

/// What became of the wish to make a call.
#[derive(Debug)]
pub enum Reserved {
    /// It may be sent; it is in the journal.
    Granted,
    /// Calls under way may yet turn out to be unbilled: ask again when one has ended.
    Wait,
    Exhausted(Exhausted),
}

/// The budgets of a run under way.
#[derive(Debug)]
pub struct Budget {
    limits: Budgets,
    timezone: Tz,
    state: Mutex<State>,
    settled: Notify,
}

#[derive(Debug)]
struct State {
    run: Spent,
    /// Of the calls under way, none of which is in `run.cost` or `today.cost`.
    under_way: Money,
    date: NaiveDate,
    /// This run's part of the day.
    today: Spent,
    /// What the other runs of the lake spend.
    others: Option<DailySpend>,
}

impl Budget {
    /// `run` is what the run has spent already, and `today` what of it falls on this day. With a
    /// budget for the day, `others` knows what other runs spend.
    pub fn new(
        limits: Budgets,
        timezone: Tz,
        now: DateTime<Utc>,
        run: Spent,
        today: Spent,
        others: Option<DailySpend>,
    ) -> Self {
        let state = State {
            run,
            under_way: Money::default(),
            date: now.with_timezone(&timezone).date_naive(),
            today,
            others,
        };
        Budget {
            limits,
            timezone,
            state: Mutex::new(state),
            settled: Notify::new(),
        }
    }

    /// Asks for a call at this price. If it is granted, `send` has noted it where other processes
    /// see it, before any of them can ask.
    ///
    /// # Errors
    /// The journals cannot be read or written.
    pub fn reserve(
        &self,
        price: Money,
        now: DateTime<Utc>,
        send: impl FnOnce() -> Result<(), JournalError>,
    ) -> Result<Reserved, JournalError> {
        let mut state = self.state();
        let date = now.with_timezone(&self.timezone).date_naive();
        // A clock that is set back does not bring the day before back.
        if date > state.date {
            (state.date, state.today) = (date, Spent::default());
        }
        let date = state.date;
        // Held until the call is in the journal.
        let others = match &mut state.others {
            Some(day) => Some(day.look(date)?),
            None => None,
        };
        let spent_by_others = others
            .as_ref()
            .map_or(Spent::default(), |(spent, _)| *spent);
        let today = state.today.plus(spent_by_others);
        let Budgets {
            requests_per_run,
            requests_per_day,
            cost_per_run,
            cost_per_day,
        } = self.limits;
        let calls = [
            ("requests_per_run", requests_per_run, state.run.calls),
            ("requests_per_day", requests_per_day, today.calls),
        ];
        for (limit, most, spent) in calls {
            if let Some(most) = most.filter(|most| spent >= *most) {
                return Ok(Reserved::Exhausted(Exhausted {
                    limit,
                    value: most.to_string(),
                    spent: spent.to_string(),
                }));
            }
        }
        let costs = [
            ("cost_per_run", cost_per_run, state.run.cost),
            ("cost_per_day", cost_per_day, today.cost),
        ];
        for (limit, most, spent) in costs {
            let Some(most) = most else { continue };
            if spent.plus(price) > most {
                return Ok(Reserved::Exhausted(Exhausted {
                    limit,
                    value: most.to_string(),
                    spent: spent.to_string(),
                }));
            }
            if spent.plus(state.under_way).plus(price) > most {
                return Ok(Reserved::Wait);
            }
        }
        send()?;
        drop(others);
        state.run.calls += 1;
        state.today.calls += 1;
        state.under_way = state.under_way.plus(price);
        Ok(Reserved::Granted)
    }

    /// A call that was granted has ended.
    pub fn settle(&self, call: &Call, price: Money) {
        let cost = Spent::on(call, price).cost;
        let mut state = self.state();
        state.under_way = state.under_way.minus(price);
        state.run.cost = state.run.cost.plus(cost);
        // A call that was sent before midnight belongs to the day before.
        let sent = call.started_at.with_timezone(&self.timezone).date_naive();
        if sent == state.date {
            state.today.cost = state.today.cost.plus(cost);
        }
        drop(state);
        self.settled.notify_waiters();
    }

    /// Resolves when a call ends; to be made before asking, so that none is missed.
    pub fn settled(&self) -> tokio::sync::futures::Notified<'_> {
        self.settled.notified()
    }

    /// Every step leaves whole numbers, so a panic elsewhere cannot have spoilt them.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
