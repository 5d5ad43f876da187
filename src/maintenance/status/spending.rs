//! Calls and cost of a pipeline today and this month, and what is spent of its budgets.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Datelike, NaiveDate, Utc};
use serde::Serialize;

use super::asked::AskedPipeline;
use super::journals::UnclosedRun;
use crate::extract::daily_spend::date_of;
use crate::extract::ledger::counts_in;
use crate::load::record::CommitRecord;
use crate::plan::Money;
use crate::query::duckdb::Database;
use crate::query::status::{SpentPart, spent_in_month};
use crate::run::error::RunError;
use crate::run::prior::ledgers_since;

/// Calls in a time, and their cost. A call whose billing is unknown counts with the price in the
/// pipeline.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Spending {
    pub calls: u64,
    /// One sum for each currency.
    pub costs: Vec<CostIn>,
}

/// A sum in a currency.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CostIn {
    pub cost: f64,
    /// Null in ledgers of the version before.
    pub currency: Option<String>,
}

/// The budgets of a day, and what all runs of the lake spent of them today.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DayBudgets {
    pub requests_per_day: Option<u64>,
    pub cost_per_day: Option<f64>,
    pub currency: Option<String>,
    pub requests_spent: u64,
    pub cost_spent: f64,
}

/// Sums by currency that are exact.
#[derive(Clone, Debug, Default)]
struct Sums {
    calls: u64,
    costs: BTreeMap<Option<String>, Money>,
}

impl Sums {
    fn add(&mut self, calls: u64, cost: f64, currency: Option<&str>) {
        self.calls += calls;
        let sum = self.costs.entry(currency.map(str::to_owned)).or_default();
        *sum = sum.plus(Money::of(cost));
    }

    fn spending(&self) -> Spending {
        // Calls without a price have neither.
        let is_priced =
            |currency: &Option<String>, cost: Money| currency.is_some() || cost > Money::default();
        let costs = self.costs.iter();
        let costs = costs.filter(|(currency, cost)| is_priced(currency, **cost));
        Spending {
            calls: self.calls,
            costs: costs
                .map(|(currency, cost)| CostIn {
                    cost: cost.amount(),
                    currency: currency.clone(),
                })
                .collect(),
        }
    }
}

/// Spending of a pipeline, and of its lake.
#[derive(Debug)]
pub(super) struct MonthSpending {
    pub today: Spending,
    pub month: Spending,
    pub budgets: Option<DayBudgets>,
}

/// Everything in the lake that spent money.
pub(super) struct SpendingRecords<'l> {
    pub database: Option<&'l Database>,
    pub commits: &'l [CommitRecord],
    pub unclosed: &'l [UnclosedRun],
}

impl SpendingRecords<'_> {
    /// Returns what a pipeline spent on the day and in the month of `now`, in its time zone.
    ///
    /// # Errors
    /// The lake cannot be read.
    pub fn spent(
        &self,
        asked: &AskedPipeline,
        simulated: bool,
        now: DateTime<Utc>,
    ) -> Result<MonthSpending, RunError> {
        let day = date_of(now, asked.timezone);
        let first = day.with_day(1).unwrap_or(day);
        let (mut today, mut month, mut of_lake) =
            (Sums::default(), Sums::default(), Sums::default());
        let mut add = |is_today: bool, is_own: bool, calls, cost, currency: Option<&str>| {
            if is_own {
                month.add(calls, cost, currency);
            }
            if is_own && is_today {
                today.add(calls, cost, currency);
            }
            if is_today {
                of_lake.add(calls, cost, currency);
            }
        };
        let price = |endpoint: &str| {
            let price = asked.price.as_ref().and_then(|price| price.of(endpoint));
            price.unwrap_or_default()
        };
        for part in self.in_ledger(asked, simulated, (first, day))? {
            let unknown = price(&part.endpoint) * part.unknown as f64;
            let is_own = part.pipeline == asked.pipeline;
            let currency = part.currency.as_deref();
            add(
                part.is_today,
                is_own,
                part.calls,
                part.cost + unknown,
                currency,
            );
        }
        let same_world = self
            .unclosed
            .iter()
            .filter(|r| r.head.simulated == simulated);
        for run in same_world {
            let is_own = run.head.pipeline == asked.pipeline;
            for call in &run.uncommitted {
                let date = date_of(call.started_at, asked.timezone);
                if date >= first {
                    add(date == day, is_own, 1, call.cost, call.currency.as_deref());
                }
            }
        }
        Ok(MonthSpending {
            today: today.spending(),
            month: month.spending(),
            budgets: budgets(asked, &of_lake),
        })
    }

    fn in_ledger(
        &self,
        asked: &AskedPipeline,
        simulated: bool,
        (first, day): (NaiveDate, NaiveDate),
    ) -> Result<Vec<SpentPart>, RunError> {
        let Some(database) = self.database else {
            return Ok(Vec::new());
        };
        let dates = ledgers_since(self.commits, first, simulated);
        let commits = self.commits.iter();
        let of_world = commits.filter(|c| c.simulated == simulated && !c.pipeline.is_empty());
        let pipelines: BTreeSet<&str> = of_world.map(|c| c.pipeline.as_str()).collect();
        let days = (first, day);
        let spent = spent_in_month(database, &pipelines, &dates, days, asked.timezone);
        Ok(spent?)
    }
}

/// Returns the budgets of a day with what is spent of them. Amounts in another currency do not count.
fn budgets(asked: &AskedPipeline, of_lake: &Sums) -> Option<DayBudgets> {
    let budgets = &asked.budgets;
    if budgets.requests_per_day.is_none() && budgets.cost_per_day.is_none() {
        return None;
    }
    let currency = asked.price.as_ref().and_then(|p| p.currency.clone());
    let ours = of_lake.costs.iter();
    let ours = ours.filter(|(other, _)| counts_in(currency.as_deref(), other.as_deref()));
    let cost = ours.fold(Money::default(), |sum, (_, cost)| sum.plus(*cost));
    Some(DayBudgets {
        requests_per_day: budgets.requests_per_day,
        cost_per_day: budgets.cost_per_day.map(Money::amount),
        requests_spent: of_lake.calls,
        cost_spent: cost.amount(),
        currency,
    })
}
