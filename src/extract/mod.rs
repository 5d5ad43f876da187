//! Extraction from the sources: paging, retries, limits, budgets, the raw zone, the ledger.
//!
//! ```text
//! Extractor  keeps up to `concurrency` calls to a source under way; a search that has a page
//!  scheduler left goes to the end of its source's queue, so all searches advance side by side
//! fetch      one call of one search, step by step:
//!   limiter  rate limit of the source      budget   reservation; daily_spend: other runs
//!   journal  record before and after       call     from sending to the row in the ledger
//!   client   HTTP, the token               envelope the parts of an answer that are read
//!   policy   meaning and next action       pager    decides whether the search is finished
//!   store    the page, durable before it counts as fetched
//! replay     restores an interrupted run from its journal and its pages
//! ```

pub mod budget;
mod call;
pub mod client;
pub mod context;
pub mod counts;
pub mod daily_spend;
pub mod envelope;
pub mod error;
mod fetch;
pub mod journal;
pub mod ledger;
pub mod limiter;
pub mod pager;
pub mod policy;
pub mod replay;
mod scheduler;
mod store;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::clock::Clock;
use crate::extract::context::{Context, known_to};
use crate::extract::counts::{Counter, FoundNotes};
use crate::extract::fetch::{Next, Taken, Turn};
use crate::extract::scheduler::Lanes;
use crate::plan::{Plan, Search};
use crate::raw::RawWriter;
use crate::run_meta::RunMeta;
use budget::Budget;
use client::Client;
use journal::Journal;
use ledger::Call;
use limiter::Limiter;
use pager::Pager;
use replay::Progress;
use store::Store;

pub use crate::extract::error::ExtractError;
pub use context::{Cut, Event, Known, KnownTo, SearchEnd};

/// Interval of [`Event::Counted`] while no call ends, so that a display shows that a run waits.
pub const TICK: Duration = Duration::from_secs(1);

/// Inputs of an extraction besides its plan.
pub struct Needs {
    pub clients: BTreeMap<String, Client>,
    pub writers: BTreeMap<String, RawWriter>,
    pub journal: Arc<Journal>,
    pub budget: Budget,
    pub known: Known,
    /// Ages of the calls of other runs to sources that have a window, the oldest first.
    pub recent: BTreeMap<String, Vec<Duration>>,
    /// Progress of the searches that an earlier process began, by search id.
    pub progress: HashMap<String, Progress>,
    /// Notes that an earlier process of the run found.
    pub found: FoundNotes,
    /// Becomes true when the user asks the run to stop.
    pub stop: watch::Receiver<bool>,
}

/// The sources of a run, ready to be called.
pub struct Extractor {
    context: Arc<Context>,
    known: Known,
    progress: HashMap<String, Progress>,
    counter: Counter,
    /// Called for every page, at the end of every search, and when the counts change.
    pub on_event: Box<dyn Fn(&Event<'_>) + Send>,
}

/// Result of an extraction, beyond the pages in the raw zone.
#[derive(Debug, Default)]
pub struct Extracted {
    pub calls: Vec<Call>,
    pub ended: Vec<SearchEnd>,
    pub pages: u64,
    pub items: u64,
    /// Reason why searches are left over; `None` if none are.
    pub cut: Option<Cut>,
    /// The unfinished searches: their endpoints, and the pages that each may still need.
    pub left: Vec<(String, u64)>,
}

impl Extractor {
    pub fn new(plan: Arc<Plan>, meta: RunMeta, clock: Clock, needs: Needs) -> Self {
        let with_limiter = |(name, client): (String, Client)| {
            let burst = plan.limits.burst;
            let recent = needs.recent.get(&name).map_or(&[][..], Vec::as_slice);
            let limiter = Limiter::new(plan.rate(&name), burst, plan.window(&name), recent);
            (name, (client, limiter))
        };
        let sources = needs.clients.into_iter().map(with_limiter).collect();
        let counter = Counter::new(&plan, needs.found);
        let store = Store::new(needs.writers, Arc::clone(&needs.journal));
        let context = Arc::new(Context {
            plan,
            meta,
            clock,
            sources,
            budget: needs.budget,
            journal: needs.journal,
            store,
            cut: watch::Sender::new(None),
            stop: needs.stop,
        });
        Extractor {
            context,
            known: needs.known,
            progress: needs.progress,
            counter,
            on_event: Box::new(|_| ()),
        }
    }

    /// Runs the searches and stores their pages. Results are added to `extracted`, also on failure:
    /// the ledger outlives every error.
    ///
    /// # Errors
    /// Pages can no longer be stored. A failed search is not an error: it is part of the result.
    pub async fn extract(
        &mut self,
        searches: Vec<Search>,
        extracted: &mut Extracted,
    ) -> Result<(), ExtractError> {
        let context = Arc::clone(&self.context);
        let concurrency = context.plan.limits.concurrency as usize;
        let mut lanes = self.lanes(searches, extracted);
        let mut running: JoinSet<(String, Result<Taken, ExtractError>)> = JoinSet::new();
        let mut broken = Ok(());
        let mut ticks = interval_at(Instant::now() + TICK, TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let is_cut = context.is_cut();
            while !is_cut && let Some(turn) = lanes.next(concurrency) {
                let (source, context) = (turn.pager.search.source.clone(), Arc::clone(&context));
                running.spawn(async move { (source, turn.take(context).await) });
            }
            if running.is_empty() && (is_cut || !lanes.is_resting()) {
                break;
            }
            tokio::select! {
                biased;
                () = context.interrupted(), if !is_cut => context.cut_short(Cut::Interrupted),
                Some(ended) = running.join_next() => {
                    let taken = ended.map_err(|e| ExtractError::Task(e.to_string()));
                    let mut taken = taken.and_then(|(source, taken)| {
                        lanes.ended(&source);
                        taken
                    });
                    if let Ok(Some(error)) = taken.as_mut().map(|taken| taken.broken.take()) {
                        broken = broken.and(Err(error));
                        context.cut_short(Cut::Broken);
                    }
                    match taken.map(|taken| self.take_in(taken, extracted)) {
                        Ok(None) => {}
                        Ok(Some((turn, None))) => lanes.queue(turn),
                        Ok(Some((turn, Some(delay)))) => lanes.rest(turn, delay),
                        // The loop still waits for the calls under way, because they are paid.
                        Err(error) => {
                            broken = broken.and(Err(error));
                            context.cut_short(Cut::Broken);
                        }
                    }
                }
                () = lanes.wake(), if !is_cut => {}
                _ = ticks.tick() => self.show_counts(),
            }
        }
        // The searches that an interrupted run leaves over.
        extracted
            .left
            .extend(lanes.into_turns().map(|turn| left(&turn.pager)));
        extracted.cut = context.cut.borrow().clone();
        broken
    }

    /// Queues the unfinished searches by source, and records those that have ended.
    fn lanes(&mut self, searches: Vec<Search>, extracted: &mut Extracted) -> Lanes {
        let mut lanes = Lanes::default();
        let begun = searches.len() as u64;
        self.counter.begin(begun, &extracted.calls);
        for search in searches {
            let pager = match self.progress.remove(&search.search_id) {
                Some(Progress::Ended(end)) => {
                    self.counter.add_end(end.error.is_some(), 0);
                    extracted.ended.push(end);
                    continue;
                }
                Some(Progress::UnderWay(pager)) => *pager,
                None => {
                    let endpoint = self.context.plan.endpoint(&search);
                    let known = known_to(&search, &self.known);
                    let at = self.context.meta.snapshot_at;
                    Pager::new(search, endpoint, at, known)
                }
            };
            self.counter.add_calls_left(left(&pager).1);
            lanes.queue(Turn::first(pager));
        }
        self.show_counts();
        lanes
    }

    /// Adds the result of a turn to `extracted`. Returns the next turn of the search, if it has
    /// one.
    fn take_in(
        &mut self,
        taken: Taken,
        extracted: &mut Extracted,
    ) -> Option<(Turn, Option<Duration>)> {
        let Taken {
            call, page, next, ..
        } = taken;
        if let Some(call) = &call {
            self.counter.add_call(call);
        }
        extracted.calls.extend(call);
        if let Some((page, items)) = page {
            extracted.pages += 1;
            extracted.items += items;
            let search = &next.pager().search;
            let endpoint = self.context.plan.endpoint(search);
            self.counter.add_page(next.pager(), endpoint);
            (self.on_event)(&Event::Page {
                search,
                page,
                items,
            });
        }
        let next = match next {
            Next::Turn(turn, delay) => Some((turn, delay)),
            Next::Ended(pager, end) => {
                let search = &pager.search;
                let pages_left = search.max_pages.saturating_sub(pager.pages);
                self.counter.add_end(end.error.is_some(), pages_left.into());
                (self.on_event)(&match &end.error {
                    Some(reason) => Event::Failed { search, reason },
                    None => Event::Done {
                        search,
                        stop: end.stop,
                    },
                });
                extracted.ended.push(end);
                None
            }
            Next::Cut(pager) => {
                extracted.left.push(left(&pager));
                None
            }
        };
        self.show_counts();
        next
    }

    fn show_counts(&self) {
        (self.on_event)(&Event::Counted(&self.counter.counts));
    }
}

/// Returns the endpoint of a search, and the number of pages that it may still need.
fn left(pager: &Pager) -> (String, u64) {
    let pages = pager.search.max_pages.saturating_sub(pager.pages);
    (pager.search.endpoint.clone(), pages.max(1).into())
}
