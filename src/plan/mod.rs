//! Resolves a pipeline against its contracts: the searches to make, with their limits and costs.
//!
//! Planning is pure. It reports every mistake at once. A plan is valid by construction: later
//! stages look up no name that could be wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono_tz::Tz;
use serde::Serialize;

use crate::spec::contracts::Contracts;
use crate::spec::load::LoadedPipeline;
use crate::spec::pipeline::{OnBadValue, OnUnknownField};
use crate::spec::source::{Endpoint, Source};
use crate::spec::yaml::diagnostic::{Diagnostic, Diagnostics};
use check::Checker;
use checks::checks;
use keywords::{keyword_labels, keyword_sets};
use limits::Window;
use notify::{Finding, Notification, notifications};
use privacy::{privacy, raw_retention};
use report::PlannedReport;
use resolve::Planner;
use schedule::Schedule;
use search::{SearchSubject, hash, search};

pub use crate::plan::privacy::rule::{Only, PrivacyRule};
pub use address::{is_loopback, travels_unencrypted, unencrypted, unusable};
pub use checks::{CheckRule, DataCheck};
pub use limits::{Budgets, Limits};
pub use money::Money;
pub use parts::{Address, Compression, FollowUp, PlannedSource, Price, Retries, SimulatedWorld};
pub use privacy::{Privacy, Pseudonyms, RawRetention};
pub use search::{Depth, KnownShare, Recheck, Search, StopRules};
pub use shard::{Indivisible, Shard};

mod address;
mod check;
mod checks;
mod currency;
mod depth;
mod keywords;
pub mod limits;
pub mod money;
pub mod notify;
pub mod parts;
mod privacy;
pub mod report;
mod resolve;
pub mod schedule;
mod search;
mod shard;
mod zones;

#[cfg(test)]
mod tests;

/// A resolved pipeline. See [`plan`].
#[derive(Clone, Debug)]
pub struct Plan {
    pub pipeline: String,
    /// Time zone of the business date of a run.
    pub timezone: Tz,
    /// Hash of the requested pages: plans with the same hash request the same pages.
    pub hash: String,
    /// The pipeline's main source.
    pub source: String,
    pub sources: BTreeMap<String, PlannedSource>,
    pub searches: Vec<Search>,
    pub follow_ups: Vec<FollowUp>,
    /// Label of each keyword that has one.
    pub keyword_labels: BTreeMap<String, String>,
    pub limits: Limits,
    pub schedule: Option<Schedule>,
    /// Report that is written after each run.
    pub report: Option<PlannedReport>,
    /// Maximum age of an interrupted run that may be continued.
    pub resume_within: Duration,
    /// The shard that this plan is, if it is one.
    pub shard: Option<Shard>,
    pub price: Price,
    pub on_unknown_field: OnUnknownField,
    pub on_bad_value: OnBadValue,
    pub privacy: Privacy,
    pub raw: RawRetention,
    /// Checks that the tables of a run must pass to be committed.
    pub checks: Vec<DataCheck>,
    /// Webhooks that are told about the runs.
    pub notifications: Vec<Notification>,
    pub lake: PathBuf,
    pub compression: Compression,
    /// True if marts are updated after each commit.
    pub marts: bool,
    /// True if the group of the lake's owner may read answers, journals and staged files.
    pub group: bool,
    /// Warnings about valid parts of the pipeline.
    pub warnings: Vec<Diagnostic>,
    pub contracts: Arc<Contracts>,
}

/// Upper bounds of what a run needs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Estimate {
    pub searches: u64,
    pub calls: u64,
    /// Null if an endpoint has no price.
    pub cost: Option<f64>,
    /// Duration from the rate limits alone. Slow answers make a run longer.
    pub seconds: f64,
    pub by_endpoint: Vec<EndpointEstimate>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EndpointEstimate {
    pub endpoint: String,
    pub source: String,
    pub searches: u64,
    pub calls: u64,
    pub cost: Option<f64>,
}

/// Resolves a pipeline against the contracts.
///
/// # Errors
/// Returns every mistake in the pipeline, each with its place and a hint.
pub fn plan(loaded: LoadedPipeline, contracts: Arc<Contracts>) -> Result<Plan, Diagnostics> {
    let mut check = Checker::new(&loaded);
    let spec = &loaded.pipeline;
    check.version(&spec.version);
    check.secrets(&loaded.uses, &contracts);
    check.name(&spec.pipeline);
    let timezone = check.timezone(&spec.timezone);
    let schedule = spec.schedule.as_ref();
    let schedule = schedule.and_then(|schedule| check.schedule(&schedule.cron, timezone));
    let report = spec.report.as_ref();
    let report = report.and_then(|report| check.report(report, loaded.home.as_deref()));
    let price = check.price(&spec.price, &contracts);
    let called = spec.extract.iter().map(|entry| &entry.endpoint.value);
    let unpriced: BTreeSet<&String> = called.filter(|e| price.of(e).is_none()).collect();
    let unpriced: Vec<String> = unpriced.into_iter().cloned().collect();
    let limits = Limits::resolve(&mut check, &spec.limits, &price, &unpriced);
    let compression = check.compression(&spec.load.compression);
    let privacy = privacy(&mut check, &loaded, &contracts);
    let raw = raw_retention(&mut check, spec.raw.as_ref());
    let checks = checks(&mut check, &spec.checks, &contracts, &privacy);
    let notifications = notifications(&mut check, &loaded);

    let words = keyword_sets(&mut check, &loaded);
    let keyword_labels = keyword_labels(&mut check, &loaded, &words);
    let mut planner = Planner::new(&loaded, &contracts, words, check);
    planner.reference(&spec.source);
    for entry in &spec.extract {
        planner.entry(entry);
    }
    if spec.extract.is_empty() {
        let message = "the pipeline extracts nothing";
        planner
            .check
            .error(&spec.pipeline, message, "add an entry to `extract:`");
    }
    let Planner {
        check,
        sources,
        searches,
        follow_ups,
        ..
    } = planner;
    let warnings = check.finish()?;

    Ok(Plan {
        hash: hash(&searches, &follow_ups),
        pipeline: spec.pipeline.value.clone(),
        timezone,
        source: spec.source.name.value.clone(),
        sources,
        searches,
        follow_ups,
        keyword_labels,
        limits,
        schedule,
        report,
        resume_within: spec.resume_within.as_duration(),
        shard: None,
        price,
        on_unknown_field: spec.contract.on_unknown_field,
        on_bad_value: spec.contract.on_bad_value,
        privacy,
        raw,
        checks,
        notifications,
        lake: loaded.lake.clone(),
        compression,
        marts: spec.load.marts,
        group: spec.load.group,
        warnings,
        contracts,
    })
}

impl Plan {
    /// Returns the search of a follow-up for a note.
    pub fn follow_up_search(&self, follow_up: &FollowUp, note_id: &str) -> Search {
        let (source, name) = (&follow_up.source, &follow_up.endpoint);
        let endpoint = &self.contracts.sources[source].endpoints[name];
        search(
            source,
            name,
            endpoint,
            Depth::single(),
            SearchSubject::Note(note_id),
            &[],
            &follow_up.fields,
        )
    }

    /// Returns the findings with the places of their webhooks in [`Plan::notifications`].
    pub fn findings(&self) -> impl Iterator<Item = (usize, &Finding)> {
        let declared = self.notifications.iter().enumerate();
        declared.filter_map(|(at, one)| Some((at, one.finding.as_ref()?)))
    }

    /// Returns true if a source is the built-in sandbox.
    pub fn is_simulated(&self) -> bool {
        self.simulated_world().is_some()
    }

    /// Returns the world of the built-in sandbox, if a source is one.
    pub fn simulated_world(&self) -> Option<SimulatedWorld> {
        self.sources
            .values()
            .find_map(|source| match source.address {
                Address::Sandbox(world) => Some(world),
                Address::Url(_) => None,
            })
    }

    pub fn source(&self, name: &str) -> &Source {
        &self.contracts.sources[name]
    }

    pub fn endpoint(&self, search: &Search) -> &Endpoint {
        &self.contracts.sources[&search.source].endpoints[&search.endpoint]
    }

    /// Returns the upper bound of a run: every search to its last page, no retries.
    pub fn estimate(&self) -> Estimate {
        let mut by: BTreeMap<(&str, &str), (u64, u64)> = BTreeMap::new();
        let searches = self
            .searches
            .iter()
            .map(|s| (&s.source, &s.endpoint, 1, u64::from(s.max_pages)));
        let follow_ups = self
            .follow_ups
            .iter()
            .map(|f| (&f.source, &f.endpoint, u64::from(f.top), u64::from(f.top)));
        for (source, endpoint, searches, calls) in searches.chain(follow_ups) {
            let sum = by.entry((source, endpoint)).or_default();
            sum.0 += searches;
            sum.1 += calls;
        }
        let by_endpoint: Vec<_> = by
            .into_iter()
            .map(|((source, endpoint), (searches, calls))| EndpointEstimate {
                endpoint: endpoint.to_owned(),
                source: source.to_owned(),
                searches,
                calls,
                cost: self.price.of_calls(endpoint, calls).map(Money::amount),
            })
            .collect();
        let mut costs = by_endpoint.iter().map(|e| e.cost.map(Money::of));
        let cost = costs.try_fold(Money::default(), |sum, cost| Some(sum.plus(cost?)));
        Estimate {
            searches: by_endpoint.iter().map(|e| e.searches).sum(),
            calls: by_endpoint.iter().map(|e| e.calls).sum(),
            cost: cost.map(Money::amount),
            seconds: self.seconds(&by_endpoint),
            by_endpoint,
        }
    }

    /// Returns the duration in seconds from the rate limits. Searches of different sources run
    /// concurrently, follow-ups after them.
    fn seconds(&self, by_endpoint: &[EndpointEstimate]) -> f64 {
        let mut searches: BTreeMap<&str, f64> = BTreeMap::new();
        let mut follow_ups: BTreeMap<&str, f64> = BTreeMap::new();
        for e in by_endpoint {
            let late = self.follow_ups.iter().any(|f| f.endpoint == e.endpoint);
            let sums = if late { &mut follow_ups } else { &mut searches };
            *sums.entry(&e.source).or_default() += e.calls as f64 / self.rate(&e.source);
        }
        let longest = |sums: BTreeMap<&str, f64>| sums.into_values().fold(0.0, f64::max);
        longest(searches) + longest(follow_ups)
    }

    /// Returns the calls per second to a source: the lower of the pipeline's and the provider's
    /// limit.
    pub fn rate(&self, source: &str) -> f64 {
        let ours = self.limits.requests_per_second;
        self.window(source).map_or(ours, |window| {
            ours.min(f64::from(window.requests) / window.per.as_secs_f64())
        })
    }

    /// Returns this shard's share of the provider's rate limit. The sandbox has none.
    pub fn window(&self, source: &str) -> Option<Window> {
        if let Some(Address::Sandbox(_)) = self.sources.get(source).map(|s| &s.address) {
            return None;
        }
        let limit = self.source(source).rate_limit.as_ref()?;
        let requests = limit.requests / self.shard.map_or(1, |shard| shard.count);
        Some(Window {
            requests: requests.max(1),
            per: limit.per.as_duration().max(Duration::from_millis(1)),
        })
    }
}
