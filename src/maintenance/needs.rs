//! Calls and cost of a plan on its schedule, and the budgets that are too small for it.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::clock;
use crate::extract::budget::BudgetLimit;
use crate::maintenance::forecast::Forecast;
use crate::plan::schedule::Frequency;
use crate::plan::{Estimate, Money, Plan};

/// A budget that is smaller than what it limits.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Shortfall {
    pub budget: &'static str,
    /// Calls or money, as the budget says.
    pub most: f64,
    /// Upper bound of what is needed.
    pub of: f64,
    /// True for money.
    #[serde(skip)]
    pub is_cost: bool,
}

/// Upper bound and forecast of calls and cost in a time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PeriodNeeds {
    pub calls: f64,
    /// Null if an endpoint has no price.
    pub cost: Option<f64>,
    /// Null without earlier runs.
    pub likely_calls: Option<f64>,
    pub likely_cost: Option<f64>,
}

/// Calls and cost of a plan on its schedule.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OnSchedule {
    pub cron: String,
    pub next_at: Option<DateTime<Utc>>,
    #[serde(flatten)]
    pub frequency: Frequency,
    pub a_day: PeriodNeeds,
    /// PeriodNeeds of 30 days.
    pub a_month: PeriodNeeds,
}

/// Returns what a plan needs on its schedule. `None` without a schedule.
pub fn on_schedule(plan: &Plan, likely: Option<&Forecast>) -> Option<OnSchedule> {
    let schedule = plan.schedule.as_ref()?;
    let now = clock::now();
    let frequency = schedule.frequency(now);
    let Estimate { calls, cost, .. } = plan.estimate();
    let needs = |runs: f64| PeriodNeeds {
        calls: calls as f64 * runs,
        cost: cost.map(|cost| cost * runs),
        likely_calls: likely.map(|likely| likely.calls * runs),
        likely_cost: likely
            .and_then(|likely| likely.cost)
            .map(|cost| cost * runs),
    };
    Some(OnSchedule {
        cron: schedule.as_str().to_owned(),
        next_at: schedule.next_after(now),
        frequency,
        a_day: needs(frequency.runs_a_day),
        a_month: needs(frequency.runs_a_month as f64),
    })
}

/// Returns the budgets that end a run, or a day of runs on the schedule, before all planned calls are
/// made.
pub fn shortfalls(plan: &Plan, schedule: Option<&OnSchedule>) -> Vec<Shortfall> {
    let Estimate { calls, cost, .. } = plan.estimate();
    let runs = schedule.map_or(1.0, |schedule| schedule.frequency.runs_a_day.max(1.0));
    let budgets = &plan.limits.budgets;
    let calls = Some(calls as f64);
    let a_day = |of: Option<f64>| of.map(|of| of * runs);
    let money = |most: Option<Money>| most.map(Money::amount);
    let count = |most: Option<u64>| most.map(|most| most as f64);
    let limits = [
        (
            BudgetLimit::RequestsPerRun,
            count(budgets.requests_per_run),
            calls,
        ),
        (
            BudgetLimit::RequestsPerDay,
            count(budgets.requests_per_day),
            a_day(calls),
        ),
        (BudgetLimit::CostPerRun, money(budgets.cost_per_run), cost),
        (
            BudgetLimit::CostPerDay,
            money(budgets.cost_per_day),
            a_day(cost),
        ),
    ];
    let short = limits.into_iter().filter_map(|(budget, most, of)| {
        let (most, of) = most.zip(of)?;
        let short = Shortfall {
            budget: budget.as_str(),
            most,
            of,
            is_cost: budget.is_cost(),
        };
        (most < of).then_some(short)
    });
    short.collect()
}
