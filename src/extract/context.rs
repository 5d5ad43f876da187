//! State that the searches of a run share, and their reports.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use tokio::sync::watch;

use crate::clock::Clock;
use crate::extract::budget::{Budget, Exhausted};
use crate::extract::client::Client;
use crate::extract::counts::RunCounts;
use crate::extract::journal::Journal;
use crate::extract::limiter::Limiter;
use crate::extract::pager::{KnownItems, StopReason};
use crate::extract::store::Store;
use crate::plan::{Plan, Recheck, Search};
use crate::run_meta::RunMeta;
use crate::spec::class::CallClass;

/// Items that earlier runs found, for the stop rules of a run.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Ids by group of searches.
    pub ids: HashMap<KnownTo, Arc<HashSet<String>>>,
    /// Rechecks whose deep look is due, by search id.
    pub due: HashMap<String, Vec<Recheck>>,
}

/// Searches at an endpoint with the same `known_within`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KnownTo {
    pub source: String,
    pub endpoint: String,
    pub within_s: u64,
}

impl KnownTo {
    /// Returns the group of a search; `None` if the search has no rule about known ids.
    pub fn of(search: &Search) -> Option<Self> {
        let depths = search.depths();
        let rules = depths.iter().filter_map(|depth| depth.stop_when.known);
        // Uses the shortest `known_within`; longer windows contain its ids.
        let within_s = rules.map(|rule| rule.within_s).min()?;
        Some(KnownTo {
            source: search.source.clone(),
            endpoint: search.endpoint.clone(),
            within_s,
        })
    }
}

/// Returns the items that a search regards as known.
pub(crate) fn known_to(search: &Search, known: &Known) -> KnownItems {
    let ids = KnownTo::of(search).and_then(|to| known.ids.get(&to).cloned());
    KnownItems {
        ids: ids.unwrap_or_default(),
        due: known
            .due
            .get(&search.search_id)
            .cloned()
            .unwrap_or_default(),
    }
}

pub(crate) struct Context {
    pub plan: Arc<Plan>,
    pub meta: RunMeta,
    pub clock: Clock,
    pub sources: BTreeMap<String, (Client, Limiter)>,
    pub budget: Budget,
    pub journal: Arc<Journal>,
    pub store: Store,
    /// Reason why no further call is made; `None` until there is one.
    pub cut: watch::Sender<Option<Cut>>,
    pub stop: watch::Receiver<bool>,
}

impl Context {
    /// Stops all further calls; the first reason counts.
    pub fn cut_short(&self, cut: Cut) {
        self.cut.send_if_modified(|reason| {
            let first = reason.is_none();
            if first {
                *reason = Some(cut);
            }
            first
        });
    }

    pub fn is_cut(&self) -> bool {
        self.cut.borrow().is_some()
    }

    /// Waits until no further call may be made.
    pub async fn cut(&self) {
        // `self` holds the sender, so it cannot be gone.
        let _ = self.cut.subscribe().wait_for(Option::is_some).await;
    }

    /// Waits until the user asks the run to stop.
    pub async fn interrupted(&self) {
        if self.stop.clone().wait_for(|stop| *stop).await.is_err() {
            // The sender is gone, so no stop request can arrive: wait forever.
            std::future::pending::<()>().await;
        }
    }
}

/// An event for a progress display.
pub enum Event<'a> {
    /// The run has its identity. What follows belongs to it.
    Begun(&'a RunMeta),
    /// A lake was created, at this full path.
    NewLake {
        lake: &'a Path,
    },
    Page {
        search: &'a Search,
        page: u32,
        items: u64,
    },
    Done {
        search: &'a Search,
        stop: StopReason,
    },
    Failed {
        search: &'a Search,
        reason: &'a str,
    },
    /// Work that the run has done so far: at the begin of its searches, after each call, and every
    /// [`TICK`](crate::extract::TICK).
    Counted(&'a RunCounts),
}

#[derive(Clone, Debug, PartialEq)]
pub struct SearchEnd {
    pub search_id: String,
    pub stop: StopReason,
    pub error: Option<String>,
}

/// Reason why an extraction ended before all of its searches did.
#[derive(Clone, Debug, PartialEq)]
pub enum Cut {
    /// Every further call would fail as well: wrong token, missing permission.
    Aborted {
        class: CallClass,
        message: String,
        source: String,
    },
    /// The quota or the balance at the provider is used up.
    Stopped {
        class: CallClass,
        message: String,
        source: String,
    },
    /// One of our own budgets is used up.
    Budget(Exhausted),
    /// The user asked to stop.
    Interrupted,
    /// Pages can no longer be stored; the returned error states the reason.
    Broken,
}
