//! Asking the sources: paging, retries, limits, the raw zone, the ledger.
//!
//! One coordinator owns the state. It keeps up to `concurrency` calls under way; a search that
//! has a page left goes to the end of the queue, so searches advance side by side while the
//! pages of one search are asked for in order.

pub mod client;
pub mod envelope;
pub mod ledger;
pub mod limiter;
mod page;
pub mod pager;
pub mod policy;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use thiserror::Error;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::clock::Clock;
use crate::plan::{Plan, Search};
use crate::raw::{self, PageHeader, RawError, RawWriter};
use client::{Answer, Client};
use ledger::Call;
use limiter::Limiter;
use page::{Fetched, PageResult, fetch_page};
use pager::{Pager, Stop};

/// What all pages of a run have in common.
#[derive(Clone, Debug)]
pub struct RunIdentity {
    pub run_id: String,
    pub snapshot_at: DateTime<Utc>,
    /// Whether it observes the sandbox's world.
    pub simulated: bool,
    pub clock: Clock,
}

/// The sources of a run, ready to be asked.
pub struct Extractor {
    context: Arc<Context>,
    writers: BTreeMap<String, RawWriter>,
    /// Becomes true when the run is to stop.
    stop: watch::Receiver<bool>,
    /// Told of every page, and of the end of every search.
    pub on_event: Box<dyn Fn(&Event<'_>) + Send>,
}

struct Context {
    plan: Arc<Plan>,
    identity: RunIdentity,
    sources: BTreeMap<String, (Client, Limiter)>,
}

/// What a progress display wants to know.
pub enum Event<'a> {
    Page {
        search: &'a Search,
        page: u32,
        items: u64,
    },
    Done {
        search: &'a Search,
        stop: Stop,
    },
    Failed {
        search: &'a Search,
        reason: &'a str,
    },
}

/// What an extraction brought, beyond the pages in the raw zone.
#[derive(Debug, Default)]
pub struct Extracted {
    pub calls: Vec<Call>,
    pub ended: Vec<SearchEnd>,
    pub pages: u64,
    pub items: u64,
    /// Why searches are left over, if some are.
    pub cut: Option<Cut>,
}

#[derive(Clone, Debug)]
pub struct SearchEnd {
    pub search_id: String,
    pub stop: Stop,
    pub error: Option<String>,
}

/// Why an extraction ended before all searches did.
#[derive(Clone, Debug, PartialEq)]
pub enum Cut {
    /// Every further call would fail too: a wrong token, a missing permission.
    Aborted {
        class: String,
        message: String,
        source: String,
    },
    /// Quota or balance are used up.
    Stopped {
        class: String,
        message: String,
        source: String,
    },
    /// The user asked to stop.
    Interrupted,
}

#[derive(Debug, Error)]
pub enum ExtractError {
    #[error(transparent)]
    Raw(#[from] RawError),
    #[error("a task of the extraction died: {0}")]
    Task(String),
}

impl Extractor {
    pub fn new(
        plan: Arc<Plan>,
        identity: RunIdentity,
        clients: BTreeMap<String, Client>,
        writers: BTreeMap<String, RawWriter>,
        stop: watch::Receiver<bool>,
    ) -> Self {
        let with_limiter = |(name, client): (String, Client)| {
            let limiter = Limiter::new(plan.interval(&name));
            (name, (client, limiter))
        };
        let sources = clients.into_iter().map(with_limiter).collect();
        let context = Arc::new(Context {
            plan,
            identity,
            sources,
        });
        Extractor {
            context,
            writers,
            stop,
            on_event: Box::new(|_| ()),
        }
    }

    /// Makes the searches and keeps their pages; what they bring is added to `extracted`, also
    /// when this fails: the ledger outlives every error.
    ///
    /// # Errors
    /// Only what makes keeping pages impossible. A failed search is part of the result.
    pub async fn extract(
        &mut self,
        searches: Vec<Search>,
        extracted: &mut Extracted,
    ) -> Result<(), ExtractError> {
        let plan = Arc::clone(&self.context.plan);
        let pager = |search: Search| {
            let endpoint = plan.endpoint(&search);
            Pager::new(search, endpoint)
        };
        let mut queue: VecDeque<Pager> = searches.into_iter().map(pager).collect();
        let mut running = JoinSet::new();
        let mut broken = Ok(());
        let concurrency = plan.limits.concurrency as usize;
        loop {
            while extracted.cut.is_none()
                && broken.is_ok()
                && running.len() < concurrency
                && let Some(pager) = queue.pop_front()
            {
                running.spawn(fetch_page(
                    Arc::clone(&self.context),
                    pager,
                    self.stop.clone(),
                ));
            }
            let fetched = tokio::select! {
                biased;
                () = stopped(&mut self.stop), if extracted.cut.is_none() => {
                    extracted.cut = Some(Cut::Interrupted);
                    continue;
                }
                fetched = running.join_next() => fetched,
            };
            let Some(fetched) = fetched else {
                return broken;
            };
            let taken = fetched
                .map_err(|e| ExtractError::Task(e.to_string()))
                .and_then(|fetched| self.take_in(fetched, extracted));
            match taken {
                Ok(pager) => queue.extend(pager),
                // Calls under way are still waited for: they are paid.
                Err(error) => broken = broken.and(Err(error)),
            }
        }
    }

    /// Keeps what a call brought; the search again, if it has a page left.
    fn take_in(
        &mut self,
        fetched: Fetched,
        extracted: &mut Extracted,
    ) -> Result<Option<Pager>, ExtractError> {
        let Fetched {
            mut pager,
            calls,
            result,
        } = fetched;
        let request_id = calls
            .last()
            .map(|c| c.request_id.clone())
            .unwrap_or_default();
        extracted.calls.extend(calls);
        let (stop, error) = match result {
            PageResult::Page {
                answer,
                summary,
                class,
                gone,
                fetched_at,
            } => {
                let page = pager.page();
                let (added, stop) = pager.advance(&summary);
                let header = PageHeader {
                    accepted: true,
                    item_count: summary.item_count,
                    items_before: added.items_before,
                    new_item_count: added.new_items,
                    ..self.header(&pager, page, request_id, answer.status, class, fetched_at)
                };
                self.keep(&header, &answer)?;
                extracted.pages += 1;
                extracted.items += summary.item_count;
                let items = summary.item_count;
                (self.on_event)(&Event::Page {
                    search: &pager.search,
                    page,
                    items,
                });
                match if gone { Some(Stop::Gone) } else { stop } {
                    None => return Ok(Some(pager)),
                    Some(stop) => (stop, None),
                }
            }
            PageResult::Failed { message, answer } => {
                if let Some((answer, class, at)) = answer {
                    let page = pager.page();
                    let header = self.header(&pager, page, request_id, answer.status, class, at);
                    self.keep(&header, &answer)?;
                }
                (Stop::Failed, Some(message))
            }
            PageResult::Cut(cut) => {
                extracted.cut.get_or_insert(cut);
                return Ok(None);
            }
        };
        match &error {
            Some(reason) => (self.on_event)(&Event::Failed {
                search: &pager.search,
                reason,
            }),
            None => (self.on_event)(&Event::Done {
                search: &pager.search,
                stop,
            }),
        }
        extracted.ended.push(SearchEnd {
            search_id: pager.search.search_id.clone(),
            stop,
            error,
        });
        Ok(None)
    }

    /// What the raw zone says of an answer that is no page.
    fn header(
        &self,
        pager: &Pager,
        page: u32,
        request_id: String,
        status: u16,
        class: String,
        fetched_at: DateTime<Utc>,
    ) -> PageHeader {
        let identity = &self.context.identity;
        PageHeader {
            v: raw::VERSION,
            run_id: identity.run_id.clone(),
            pipeline: self.context.plan.pipeline.clone(),
            snapshot_at: identity.snapshot_at,
            simulated: identity.simulated,
            request_id,
            search: pager.search.clone(),
            page,
            fetched_at,
            status,
            accepted: false,
            class,
            item_count: 0,
            items_before: pager.items,
            new_item_count: 0,
        }
    }

    fn keep(&mut self, header: &PageHeader, answer: &Answer) -> Result<(), RawError> {
        match self.writers.get_mut(&header.search.source) {
            Some(writer) => writer.append(header, &answer.body),
            None => Ok(()),
        }
    }
}

/// Returns when the run is to stop.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        // Nobody is left who could ask: wait for ever.
        std::future::pending::<()>().await;
    }
}
