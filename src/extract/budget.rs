//! Budgets. A call is reserved before it is sent, so budgets are never exceeded, regardless of the
//! number of calls under way.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use serde::Serialize;
use tokio::sync::Notify;

use super::journal::JournalError;
use super::ledger::Call;
use crate::extract::daily_spend::DailySpend;
use crate::extract::ledger::Spent;
use crate::plan::{Budgets, Money};

/// A budget of a pipeline; its name is the key in `limits`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BudgetLimit {
    RequestsPerRun,
    RequestsPerDay,
    CostPerRun,
    CostPerDay,
}

impl BudgetLimit {
    pub fn as_str(self) -> &'static str {
        match self {
            BudgetLimit::RequestsPerRun => "requests_per_run",
            BudgetLimit::RequestsPerDay => "requests_per_day",
            BudgetLimit::CostPerRun => "cost_per_run",
            BudgetLimit::CostPerDay => "cost_per_day",
        }
    }

    /// True for a budget of money, false for one of calls.
    pub fn is_cost(self) -> bool {
        match self {
            BudgetLimit::CostPerRun | BudgetLimit::CostPerDay => true,
            BudgetLimit::RequestsPerRun | BudgetLimit::RequestsPerDay => false,
        }
    }

    /// True for a budget per run, false for a budget per day.
    pub fn is_of_run(self) -> bool {
        match self {
            BudgetLimit::RequestsPerRun | BudgetLimit::CostPerRun => true,
            BudgetLimit::RequestsPerDay | BudgetLimit::CostPerDay => false,
        }
    }
}

impl fmt::Display for BudgetLimit {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A budget that is used up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Exhausted {
    pub limit: BudgetLimit,
    /// The budget: a number of calls or an amount of money.
    pub value: String,
    /// Amount that is spent of it.
    pub spent: String,
}

/// Outcome of a budget reservation.
#[derive(Debug)]
pub enum Reserved {
    /// The call may be sent; it is recorded in the journal.
    Granted,
    /// Calls under way may turn out to be unbilled: try again when one has ended.
    Wait,
    Exhausted(Exhausted),
}

/// Budgets of a run under way.
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
    /// Price of the calls under way, which `run.cost` and `today.cost` do not include.
    under_way: Money,
    date: NaiveDate,
    /// Spending of this run on `date`.
    today: Spent,
    /// Spending of the other runs of the lake.
    others: Option<DailySpend>,
}

impl Budget {
    /// Creates the budgets of a run. `run` is what the run has spent so far, and `today` the part
    /// of it that falls on the current day. `others` reads the spending of other runs; a budget for
    /// the day needs it.
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

    /// Reserves a call at this price. If it is granted, `send` has recorded it in the journal
    /// before any other process can reserve.
    ///
    /// # Errors
    /// A journal cannot be read or written.
    pub fn reserve(
        &self,
        price: Money,
        now: DateTime<Utc>,
        send: impl FnOnce() -> Result<(), JournalError>,
    ) -> Result<Reserved, JournalError> {
        let mut state = self.state();
        let date = now.with_timezone(&self.timezone).date_naive();
        // A clock that is set back does not return to the previous day.
        if date > state.date {
            (state.date, state.today) = (date, Spent::default());
        }
        let date = state.date;
        // The lock is held until the call is in the journal.
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
            (
                BudgetLimit::RequestsPerRun,
                requests_per_run,
                state.run.calls,
            ),
            (BudgetLimit::RequestsPerDay, requests_per_day, today.calls),
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
            (BudgetLimit::CostPerRun, cost_per_run, state.run.cost),
            (BudgetLimit::CostPerDay, cost_per_day, today.cost),
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

    /// Replaces the reservation of a granted call by its cost, once it has ended.
    pub fn settle(&self, call: &Call, price: Money) {
        let cost = Spent::on(call, price).cost;
        let mut state = self.state();
        state.under_way = state.under_way.minus(price);
        state.run.cost = state.run.cost.plus(cost);
        // A call that was sent before midnight belongs to the previous day.
        let sent = call.started_at.with_timezone(&self.timezone).date_naive();
        if sent == state.date {
            state.today.cost = state.today.cost.plus(cost);
        }
        drop(state);
        self.settled.notify_waiters();
    }

    /// Resolves when a call ends. Create it before reserving, so that no end is missed.
    pub fn settled(&self) -> tokio::sync::futures::Notified<'_> {
        self.settled.notified()
    }

    /// Locks the state. It is consistent after every step, so a poisoned lock is still usable.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
