//! Faults: deliberate failures, and the calls that they strike.
//!
//! A plan has the same form as a file (YAML or JSON), on the command line and at the control
//! endpoint `/_sandbox/faults`:
//!
//! ```yaml
#![doc = include_str!("example.yaml")]
//! ```
//!
//! The kinds of faults:
//!
//! ```yaml
#![doc = include_str!("kinds.yaml")]
//! ```
//!
//! - If several faults could strike a call, the first matching rule of `on` takes precedence, then
//!   the entry of `script`, then `random`. A call that a rule strikes uses up no entry of `script`.
//! - Random faults depend on the seed, on the request and on how often the same request was sent
//!   before, not on the order of different calls. Concurrent calls meet the same faults as
//!   sequential ones.
//! - `quota` and `balance` count the billed calls of each source since the plan was set, and turn
//!   successes beyond it into refusals. A source whose contract has no such code is not limited.
//! - A fault that leaves the content of the answer intact strikes every answer, also a refusal.
//! - The second request of a redirect meets no fault and uses up no script entry.

mod fault;

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::sandbox::request::Asked;
use crate::sandbox::world::dice::Dice;
use crate::spec::class::CallClass;

pub use fault::{Fault, RedirectTo, RetryAfter, StatusBody};

/// The plan in the documentation of this module.
pub const EXAMPLE: &str = include_str!("example.yaml");

/// A fault of each kind, as a YAML list.
pub const KINDS: &str = include_str!("kinds.yaml");

/// A fault plan: which faults strike which calls.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct FaultPlan {
    pub seed: u64,
    /// Latency of every answer, in milliseconds.
    pub latency_ms: u64,
    /// Number of billed calls of a source until its quota is used up.
    pub quota: Option<u64>,
    /// Number of billed calls of a source until its balance is used up.
    pub balance: Option<u64>,
    pub random: Vec<Chance>,
    pub script: Vec<Option<Fault>>,
    /// YAML also reads the word `on` as true.
    #[serde(alias = "true")]
    pub on: Vec<FaultRule>,
}

impl Default for FaultPlan {
    fn default() -> Self {
        FaultPlan {
            seed: 1,
            latency_ms: 0,
            quota: None,
            balance: None,
            random: Vec::new(),
            script: Vec::new(),
            on: Vec::new(),
        }
    }
}

/// A fault that strikes a share of all calls, from 0 to 1.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Chance {
    pub share: f64,
    pub fault: Fault,
}

/// A fault that strikes the calls that match all given fields.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FaultRule {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keyword: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page: Option<u64>,
    /// Sort, in redlake's vocabulary.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sort: Option<String>,
    /// Number of calls that it strikes; `None` strikes all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
    pub fault: Fault,
}

impl FaultRule {
    fn matches(&self, asked: &Asked) -> bool {
        fn fits<T: PartialEq>(wanted: &Option<T>, asked: &Option<T>) -> bool {
            wanted.is_none() || wanted == asked
        }
        fits(&self.endpoint, &asked.endpoint)
            && fits(&self.source, &asked.source)
            && fits(&self.keyword, &asked.keyword)
            && fits(&self.note_id, &asked.note_id)
            && fits(&self.page, &asked.page)
            && fits(&self.sort, &asked.sort)
    }
}

/// Decimal fractions are inexact, so their sum may be slightly off: ten times 0.1 is not quite 1.
const ROUNDING: f64 = 1e-9;

impl FaultPlan {
    /// # Errors
    /// A value is impossible: the text names its place in the plan and the reason.
    pub fn check(&self) -> Result<(), String> {
        for (at, chance) in self.random.iter().enumerate() {
            if !(0.0..=1.0).contains(&chance.share) {
                let share = chance.share;
                return Err(format!(
                    "random[{at}]: the share {share} is not from 0 to 1"
                ));
            }
        }
        let sum: f64 = self.random.iter().map(|chance| chance.share).sum();
        if sum > 1.0 + ROUNDING {
            return Err(format!("random: the shares add up to {sum}, more than 1"));
        }
        if let Some(at) = self.on.iter().position(|rule| rule.times == Some(0)) {
            return Err(format!("on[{at}]: times is at least 1"));
        }
        let random = self.random.iter().map(|chance| Some(&chance.fault));
        let script = self.script.iter().map(Option::as_ref);
        let on = self.on.iter().map(|rule| Some(&rule.fault));
        all_possible("random", random)?;
        all_possible("script", script)?;
        all_possible("on", on)
    }
}

fn all_possible<'a>(
    list: &str,
    faults: impl Iterator<Item = Option<&'a Fault>>,
) -> Result<(), String> {
    for (at, fault) in faults.enumerate() {
        if let Some(fault) = fault {
            let placed = |problem| format!("{list}[{at}]: {}: {problem}", fault.kind());
            fault.check().map_err(placed)?;
        }
    }
    Ok(())
}

/// A fault plan and its progress.
#[derive(Debug)]
pub struct Strikes {
    plan: FaultPlan,
    /// Number of calls that each rule has struck.
    struck: Vec<u64>,
    /// Number of script entries that are used up.
    scripted: usize,
    /// Number of times that each question was asked.
    times_asked: HashMap<String, u64>,
    /// Billed calls by source.
    billed: HashMap<String, u64>,
}

impl Strikes {
    pub fn new(plan: FaultPlan) -> Self {
        Strikes {
            struck: vec![0; plan.on.len()],
            plan,
            scripted: 0,
            times_asked: HashMap::new(),
            billed: HashMap::new(),
        }
    }

    pub fn plan(&self) -> &FaultPlan {
        &self.plan
    }

    pub fn latency(&self) -> Duration {
        Duration::from_millis(self.plan.latency_ms)
    }

    /// Returns the fault of the next call. `question` is equal for equal requests.
    pub fn next(&mut self, asked: &Asked, question: &str) -> Option<Fault> {
        let before = self.times_asked.entry(question.to_owned()).or_default();
        let repetition = *before;
        *before += 1;
        if let Some(fault) = self.ruled(asked) {
            return Some(fault);
        }
        match self.scripted() {
            Some(entry) => entry,
            None => self.random(question, repetition),
        }
    }

    fn ruled(&mut self, asked: &Asked) -> Option<Fault> {
        let mut rules = self.plan.on.iter().zip(&mut self.struck);
        let (rule, struck) = rules.find(|(rule, struck)| {
            rule.times.is_none_or(|times| **struck < times) && rule.matches(asked)
        })?;
        *struck += 1;
        Some(rule.fault.clone())
    }

    /// Returns the next entry of the script, if one is left.
    fn scripted(&mut self) -> Option<Option<Fault>> {
        let entry = self.plan.script.get(self.scripted)?;
        self.scripted += 1;
        Some(entry.clone())
    }

    fn random(&self, question: &str, repetition: u64) -> Option<Fault> {
        let subject = format!("{question} {repetition}");
        let roll = Dice::new(self.plan.seed, "fault", &subject).share();
        let mut reached = 0.0;
        let mut chances = self.plan.random.iter();
        let struck = chances.find(|chance| {
            reached += chance.share;
            roll < reached
        });
        struck.map(|chance| chance.fault.clone())
    }

    /// Returns the classes of the limits that a source has reached.
    pub fn limits_reached(&self, source: &str) -> impl Iterator<Item = CallClass> + use<> {
        let billed = self.billed.get(source).copied().unwrap_or_default();
        [
            (CallClass::Quota, self.plan.quota),
            (CallClass::Balance, self.plan.balance),
        ]
        .into_iter()
        .filter(move |(_, limit)| limit.is_some_and(|limit| billed >= limit))
        .map(|(class, _)| class)
    }

    pub fn count_billed(&mut self, source: &str) {
        *self.billed.entry(source.to_owned()).or_default() += 1;
    }
}
