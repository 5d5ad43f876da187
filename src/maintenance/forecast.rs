//! Forecast of the next run from the last ones, and the rest of the daily budget.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::clock;
use crate::extract::journal::Entry;
use crate::extract::ledger::Spent;
use crate::load::Lake;
use crate::load::record::CommitRecord;
use crate::plan::{Money, Plan, Search};
use crate::query::history::{self, UsualCalls};
use crate::run::access::is_rehearsal;
use crate::run::error::RunError;
use crate::run::prior::Prior;
use crate::run::resume::OpenRun;
use crate::run_meta::RunMeta;

/// Number of recent runs that a forecast uses.
const RUNS: u32 = 20;

/// Expected needs of the next run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Forecast {
    /// Number of runs that it is based on.
    pub runs: u64,
    pub calls: f64,
    /// Null if an endpoint has no price.
    pub cost: Option<f64>,
    pub seconds: f64,
    /// Number of searches that no run has made yet. They count with the average of their endpoint.
    pub new_searches: u64,
}

/// Rest of the daily budgets.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LeftToday {
    pub calls: Option<u64>,
    pub cost: Option<f64>,
}

/// Forecast and remaining daily budget of a plan.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Outlook {
    /// Null if no run has ended as complete or partial yet.
    pub likely: Option<Forecast>,
    /// Null without a daily budget.
    pub left_today: Option<LeftToday>,
    /// The interrupted run that the next run continues.
    pub open_run: Option<OpenPart>,
}

/// A run that was cut short, as the next run finds it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OpenPart {
    pub run_id: String,
    pub snapshot_at: DateTime<Utc>,
    /// Calls that it has made.
    pub calls: u64,
    /// Upper bound of the calls that are left, without retries.
    pub left: u64,
}

/// Returns the outlook of a plan from the lake at `root`, if there is one. Writes nothing, except
/// that opening the lake finishes an interrupted commit.
///
/// # Errors
/// The lake cannot be read.
pub fn outlook(
    plan: &Plan,
    root: &Path,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Outlook, RunError> {
    let lake = match Lake::open_existing(root) {
        Err(crate::load::LakeError::Missing(_)) => {
            let left_today = left_today(plan, Spent::default());
            return Ok(Outlook {
                left_today,
                ..Outlook::default()
            });
        }
        lake => lake?,
    };
    let commits = lake.commits()?;
    let simulated = is_rehearsal(plan, env);
    let of_world = commits.iter().filter(|c| c.simulated == simulated);
    let now = if simulated {
        // Simulated time of the last run.
        of_world.map(|c| c.snapshot_at).max().unwrap_or_default()
    } else {
        clock::now()
    };
    let open_run = open_run(plan, &lake, &commits)?;
    // The run does not exist yet, so it has no id.
    let meta = RunMeta::new("", &plan.pipeline, now, plan.timezone, simulated);
    let prior = Prior::new(plan, &lake, commits, &meta);
    let spent = prior.spent_today(now)?.unwrap_or_default();
    let database = prior.database()?;
    let usual = history::usual_calls(&database, &plan.pipeline, RUNS)?;
    Ok(Outlook {
        likely: likely(plan, &usual),
        left_today: left_today(plan, spent),
        open_run,
    })
}

/// Returns the run that the next run of the plan continues. `None` if there is none.
fn open_run(
    plan: &Plan,
    lake: &Lake,
    commits: &[CommitRecord],
) -> Result<Option<OpenPart>, RunError> {
    let Some(run) = OpenRun::to_continue(lake, plan, commits)? else {
        return Ok(None);
    };
    let mut pages: BTreeMap<&str, u64> = BTreeMap::new();
    let mut failed = BTreeSet::new();
    let mut chosen: Option<&Vec<Search>> = None;
    let mut calls = 0;
    for entry in &run.entries {
        match entry {
            Entry::Sent(_) => calls += 1,
            Entry::Done(call) if call.is_page() => {
                *pages.entry(call.search_id.as_str()).or_default() += 1;
            }
            Entry::Failed { search_id, .. } => {
                failed.insert(search_id.as_str());
            }
            Entry::Chosen { searches } => chosen = Some(searches),
            Entry::Run(_)
            | Entry::Done(_)
            | Entry::Committed { .. }
            | Entry::BudgetSpent
            | Entry::Closed
            | Entry::Reopened => {}
        }
    }
    let left = |search: &Search| {
        let made = pages.get(search.search_id.as_str()).copied();
        let is_over = failed.contains(search.search_id.as_str());
        if is_over {
            0
        } else {
            u64::from(search.max_pages).saturating_sub(made.unwrap_or_default())
        }
    };
    let follow_ups = match chosen {
        Some(chosen) => chosen.iter().map(left).sum(),
        None => plan
            .follow_ups
            .iter()
            .map(|f| u64::from(f.top))
            .sum::<u64>(),
    };
    Ok(Some(OpenPart {
        run_id: run.head.run_id.clone(),
        snapshot_at: run.head.snapshot_at,
        calls,
        left: plan.searches.iter().map(left).sum::<u64>() + follow_ups,
    }))
}

fn left_today(plan: &Plan, spent: Spent) -> Option<LeftToday> {
    let budgets = &plan.limits.budgets;
    let calls = budgets.requests_per_day;
    let cost = budgets.cost_per_day;
    (calls.is_some() || cost.is_some()).then(|| LeftToday {
        calls: calls.map(|most| most.saturating_sub(spent.calls)),
        cost: cost.map(|most| most.minus(spent.cost).amount()),
    })
}

/// Sums for the average needs of an endpoint's searches.
#[derive(Default)]
struct Average {
    searches: f64,
    calls: f64,
    billed: f64,
    seconds: f64,
}

impl Average {
    fn add(&mut self, usual: &UsualCalls) {
        self.searches += 1.0;
        self.calls += usual.calls;
        self.billed += usual.billed;
        self.seconds += usual.calls * usual.seconds_a_call;
    }

    fn of_one(&self) -> (f64, f64, f64) {
        let n = self.searches;
        (self.calls / n, self.billed / n, self.seconds / n)
    }
}

fn likely(plan: &Plan, usual: &[UsualCalls]) -> Option<Forecast> {
    let runs = usual.iter().map(|u| u.runs).max()?;
    let by_search: BTreeMap<&str, &UsualCalls> =
        usual.iter().map(|u| (u.search_id.as_str(), u)).collect();
    let mut by_endpoint: BTreeMap<&str, Average> = BTreeMap::new();
    for usual in usual {
        by_endpoint.entry(&usual.endpoint).or_default().add(usual);
    }
    let mut forecast = Forecast {
        runs,
        calls: 0.0,
        cost: Some(0.0),
        seconds: 0.0,
        new_searches: 0,
    };
    let mut seconds: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    let mut add = |source, endpoint: &str, (calls, billed, waited): (f64, f64, f64)| {
        forecast.calls += calls;
        let cost = plan.price.of(endpoint).map(|price| price * billed);
        forecast.cost = forecast.cost.zip(cost).map(|(a, b)| a + b);
        let sums: &mut (f64, f64) = seconds.entry(source).or_default();
        sums.0 += calls / plan.rate(source);
        sums.1 += waited / f64::from(plan.limits.concurrency);
    };
    for search in &plan.searches {
        let Search {
            source, endpoint, ..
        } = search;
        match by_search.get(search.search_id.as_str()) {
            Some(u) => add(
                source,
                endpoint,
                (u.calls, u.billed, u.calls * u.seconds_a_call),
            ),
            None => {
                let average = by_endpoint.get(endpoint.as_str()).map(Average::of_one);
                let most = f64::from(search.max_pages);
                add(source, endpoint, average.unwrap_or((most, most, 0.0)));
                forecast.new_searches += 1;
            }
        }
    }
    // The ledger has the number of notes chosen per run, not which notes come next.
    for follow_up in &plan.follow_ups {
        let endpoint = follow_up.endpoint.as_str();
        let own = usual.iter().filter(|u| u.endpoint == endpoint);
        let a_run = own.clone().map(|u| u.runs as f64).sum::<f64>() / runs as f64;
        let a_run = if a_run > 0.0 {
            a_run.min(follow_up.top.into())
        } else {
            follow_up.top.into()
        };
        let one = by_endpoint.get(endpoint).map(Average::of_one);
        let (calls, billed, waited) = one.unwrap_or((1.0, 1.0, 0.0));
        let all = (calls * a_run, billed * a_run, waited * a_run);
        add(&follow_up.source, endpoint, all);
    }
    // Averages have more decimals than money.
    forecast.cost = forecast.cost.map(|cost| Money::of(cost).amount());
    forecast.seconds = seconds.values().map(|(a, b)| a.max(*b)).fold(0.0, f64::max);
    Some(forecast)
}
