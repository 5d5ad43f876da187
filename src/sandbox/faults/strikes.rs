//! Selects the fault that strikes the next call.

use std::collections::HashMap;
use std::time::Duration;

use super::{Fault, FaultPlan};
use crate::sandbox::call::Asked;
use crate::sandbox::world::dice::Dice;
use crate::spec::class::CallClass;

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
