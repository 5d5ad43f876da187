//! Counts of a run under way, for a progress display.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use crate::extract::ledger::{Call, charged, counts_in};
use crate::extract::pager::{KnownItems, Pager};
use crate::plan::{Money, Plan, Search};
use crate::spec::source::{Endpoint, PaginationKind};

/// Work that a run has done so far, that of the earlier processes of a continued run included.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunCounts {
    /// Searches so far: those of follow-ups are added when their notes are chosen.
    pub planned: u64,
    pub done: u64,
    pub failed: u64,
    pub calls: u64,
    /// Cost of the billed calls, in the currency of the plan. `None` without a price.
    pub cost: Option<Money>,
    /// Different notes on the pages of searches. `None` if no search lists notes.
    pub notes: Option<u64>,
    /// Those of them that no earlier run found within `known_within`. `None` unless all searches
    /// that list notes have `known_share`: the ids that earlier runs found are read for it only.
    pub new_notes: Option<u64>,
    /// Maximum number of calls that are left, without retries.
    pub calls_left: u64,
}

/// The different notes that a run has found.
#[derive(Clone, Debug, Default)]
pub struct FoundNotes {
    /// Hashes of their ids: a fraction of the memory, and exact enough to be shown.
    seen: HashSet<u64>,
    new: u64,
}

impl FoundNotes {
    /// Adds the ids of a page.
    pub fn add<'i>(&mut self, ids: impl IntoIterator<Item = &'i String>, known: &KnownItems) {
        for id in ids {
            let mut hasher = DefaultHasher::new();
            id.hash(&mut hasher);
            if self.seen.insert(hasher.finish()) && !known.ids.contains(id) {
                self.new += 1;
            }
        }
    }
}

/// Returns true if pages of an endpoint list notes.
pub fn lists_notes(endpoint: &Endpoint) -> bool {
    let is_list = endpoint.pagination.kind != PaginationKind::Single;
    is_list && endpoint.rows.iter().any(|rule| rule.table.value == "notes")
}

/// Keeps the counts of a run.
#[derive(Debug, Default)]
pub(crate) struct Counter {
    pub counts: RunCounts,
    found: FoundNotes,
    currency: Option<String>,
    /// Maximum number of calls of follow-up searches that are not chosen yet.
    follow_up_calls: u64,
}

impl Counter {
    /// Starts with what an earlier process of the run found.
    pub fn new(plan: &Plan, found: FoundNotes) -> Self {
        let lists = |search: &&Search| lists_notes(plan.endpoint(search));
        let mut lists = plan.searches.iter().filter(lists).peekable();
        let is_known = lists.peek().is_some();
        let has_rule =
            |search: &Search| search.depths().iter().any(|d| d.stop_when.known.is_some());
        let are_known = is_known && lists.all(has_rule);
        let planned: u64 = plan.searches.iter().map(|s| u64::from(s.max_pages)).sum();
        Counter {
            counts: RunCounts {
                cost: plan.price.currency.is_some().then(Money::default),
                notes: is_known.then_some(0),
                new_notes: are_known.then_some(0),
                ..RunCounts::default()
            },
            found,
            currency: plan.price.currency.clone(),
            follow_up_calls: plan.estimate().calls.saturating_sub(planned),
        }
    }

    /// Adds searches that begin: those of the plan, later those of follow-ups. `calls` are all
    /// calls so far.
    pub fn begin(&mut self, searches: u64, calls: &[Call]) {
        let is_first = self.counts.planned == 0;
        self.counts.calls_left = if is_first { self.follow_up_calls } else { 0 };
        self.counts.planned += searches;
        self.counts.calls = calls.len() as u64;
        let currency = self.currency.as_deref();
        self.counts.cost = self.counts.cost.map(|_| charged(calls, currency));
        self.show_found();
    }

    /// Adds the calls that a search may still need.
    pub fn add_calls_left(&mut self, calls: u64) {
        self.counts.calls_left += calls;
    }

    pub fn add_call(&mut self, call: &Call) {
        self.counts.calls += 1;
        let is_own = counts_in(self.currency.as_deref(), call.currency.as_deref());
        let cost = Money::of(call.cost.filter(|_| is_own).unwrap_or_default());
        self.counts.cost = self.counts.cost.map(|sum| sum.plus(cost));
    }

    pub fn add_page(&mut self, pager: &Pager, endpoint: &Endpoint) {
        self.counts.calls_left = self.counts.calls_left.saturating_sub(1);
        if lists_notes(endpoint) {
            self.found.add(pager.last_ids(), pager.known());
            self.show_found();
        }
    }

    /// Adds the end of a search that has so many pages left to ask for.
    pub fn add_end(&mut self, has_failed: bool, pages_left: u64) {
        self.counts.done += u64::from(!has_failed);
        self.counts.failed += u64::from(has_failed);
        self.counts.calls_left = self.counts.calls_left.saturating_sub(pages_left);
    }

    fn show_found(&mut self) {
        let FoundNotes { seen, new } = &self.found;
        self.counts.notes = self.counts.notes.map(|_| seen.len() as u64);
        self.counts.new_notes = self.counts.new_notes.map(|_| *new);
    }
}
