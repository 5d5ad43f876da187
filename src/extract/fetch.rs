//! A turn of a search: one call, storing its answer, and the next step.

use std::sync::Arc;
use std::time::Duration;

use crate::extract::budget::Reserved;
use crate::extract::call::{Answered, CallUnderWay, Ended};
use crate::extract::client::Target;
use crate::extract::context::{Context, Cut, SearchEnd};
use crate::extract::error::ExtractError;
use crate::extract::journal::Entry;
use crate::extract::ledger::Call;
use crate::extract::pager::{Pager, StopReason};
use crate::extract::policy::{Attempt, Decision};
use crate::plan::Money;
use crate::raw::page::{PageHeader, VERSION};
use crate::spec::source::Billed;

/// Time that a call under way may take after the run was told to stop.
const GRACE: Duration = Duration::from_millis(1_200);

/// A search that is about to make its next call.
#[derive(Clone, Debug)]
pub struct Turn {
    pub pager: Pager,
    attempt: Attempt,
    /// Address to request instead of that of the page, after a redirect.
    target: Option<Target>,
}

/// Outcome of a turn.
pub struct Taken {
    /// The call, if the turn made one.
    pub call: Option<Call>,
    /// Number and item count of the page, if the call returned one.
    pub page: Option<(u32, u64)>,
    pub next: Next,
    /// Error that prevented the turn from storing its answer, or from making further calls.
    pub broken: Option<ExtractError>,
}

/// The step after a turn.
pub enum Next {
    /// Another turn, at once or after a delay.
    Turn(Turn, Option<Duration>),
    Ended(Pager, SearchEnd),
    /// The run was cut short before the search ended.
    Cut(Pager),
}

impl Turn {
    pub fn first(pager: Pager) -> Self {
        Turn {
            pager,
            attempt: Attempt {
                number: 1,
                unknown: 0,
            },
            target: None,
        }
    }

    /// Makes one call. Its answer is durable on return.
    ///
    /// # Errors
    /// Pages can no longer be stored. A failed search is not an error: it ends like any other.
    pub async fn take(mut self, context: Arc<Context>) -> Result<Taken, ExtractError> {
        let (client, limiter) = &context.sources[&self.pager.search.source];
        let price = context.plan.price.of(&self.pager.search.endpoint);
        let price = Money::of(price.unwrap_or_default());
        let sending = match self.permission(&context, price).await {
            Ok(Some(sending)) => sending,
            Ok(None) => return Ok(Taken::none(self.pager)),
            Err(error) => {
                return Ok(Taken {
                    broken: Some(error),
                    ..Taken::none(self.pager)
                });
            }
        };
        let at = limiter.now();
        let fetched = tokio::select! {
            biased;
            fetched = sending.fetch(client, self.target.as_ref()) => fetched,
            () = async { context.interrupted().await; tokio::time::sleep(GRACE).await } => {
                let call = sending.dropped();
                context.budget.settle(&call, price);
                context.journal.append(&Entry::Done(call.clone()))?;
                return Ok(Taken::new(call, Next::Cut(self.pager)));
            }
        };
        let ended = sending.judge(fetched);
        let (search, call) = (&self.pager.search, &ended.call);
        match &call.error {
            Some(error) => tracing::info!(
                search = %search,
                search_id = search.search_id,
                page = call.page,
                attempt = call.attempt,
                class = %call.class,
                provider_code = call.code,
                "{search} page {}, attempt {}: {}, billed {:?}: {error}",
                call.page,
                call.attempt,
                call.class,
                call.billed
            ),
            None => tracing::debug!(
                search = %search,
                search_id = search.search_id,
                page = call.page,
                attempt = call.attempt,
                class = %call.class,
                provider_code = call.code,
                "{search} page {}: {} ms",
                call.page,
                call.duration_ms
            ),
        }
        context.budget.settle(&ended.call, price);
        if let Some(pause) = ended.slow_down {
            limiter.slow_down(at, pause);
        }
        let (page, next) = match ended.decision {
            Decision::Accept | Decision::Gone => return self.page(&context, ended).await,
            Decision::Follow => {
                self.target = ended.target;
                (self.pager.page(), Next::Turn(self, None))
            }
            Decision::Retry { after } => {
                // A retry requests the original address again: the redirect may lead elsewhere by
                // then.
                self.target = None;
                self.attempt.number += 1;
                self.attempt.unknown += u32::from(ended.call.billed == Billed::Unknown);
                (self.pager.page(), Next::Turn(self, Some(after)))
            }
            Decision::FailSearch => {
                let error = ended.call.error.clone().unwrap_or_default();
                let search_id = self.pager.search.search_id.clone();
                let end = SearchEnd {
                    search_id,
                    stop: StopReason::Failed,
                    error: Some(error),
                };
                (self.pager.page(), Next::Ended(self.pager, end))
            }
            Decision::StopRun | Decision::AbortRun => {
                let class = ended.call.class;
                let message = ended.call.error.clone().unwrap_or_default();
                let source = ended.call.source.clone();
                context.cut_short(match ended.decision {
                    Decision::StopRun => Cut::Stopped {
                        class,
                        message,
                        source,
                    },
                    _ => Cut::Aborted {
                        class,
                        message,
                        source,
                    },
                });
                (self.pager.page(), Next::Cut(self.pager))
            }
        };
        // The answer is not a page, but may have been billed.
        if let Some(answered) = &ended.answer {
            let header = header(&context, next.pager(), page, &ended.call, answered);
            let kept = context.store.keep(&header, &answered.answer.body).await;
            if let Err(error) = kept {
                let pager = next.into_pager();
                return Ok(Taken::unkept(&context, ended.call, pager, error));
            }
        }
        let done = Entry::Done(ended.call.clone());
        match &next {
            Next::Ended(_, end) => context.journal.append_all(&[
                done,
                Entry::Failed {
                    search_id: end.search_id.clone(),
                    error: end.error.clone().unwrap_or_default(),
                },
            ])?,
            Next::Turn(..) | Next::Cut(_) => context.journal.append(&done)?,
        }
        Ok(Taken::new(ended.call, next))
    }

    /// Waits for the limits and the budgets, and reserves a call. The returned call is in the
    /// journal. Returns `None` if the run is cut short first.
    async fn permission<'a>(
        &'a self,
        context: &'a Context,
        price: Money,
    ) -> Result<Option<CallUnderWay<'a>>, ExtractError> {
        let (_, limiter) = &context.sources[&self.pager.search.source];
        loop {
            tokio::select! {
                biased;
                () = context.cut() => return Ok(None),
                () = limiter.turn() => {}
            }
            // Paid pages that are missing from disk stop further paid calls.
            context.store.check(&self.pager.search.source)?;
            let sending = CallUnderWay::new(context, &self.pager, self.attempt);
            let settled = context.budget.settled();
            let now = sending.sent.started_at;
            let sent = Entry::Sent(sending.sent.clone());
            let send = || context.journal.append(&sent);
            match context.budget.reserve(price, now, send)? {
                Reserved::Granted => return Ok(Some(sending)),
                Reserved::Wait => tokio::select! {
                    () = context.cut() => return Ok(None),
                    () = settled => {}
                },
                Reserved::Exhausted(exhausted) => {
                    context.cut_short(Cut::Budget(exhausted));
                    return Ok(None);
                }
            }
        }
    }

    /// Records a page in the pager and stores it.
    async fn page(mut self, context: &Context, ended: Ended) -> Result<Taken, ExtractError> {
        let Some(answered) = &ended.answer else {
            return Err(ExtractError::Task("an accepted answer is missing".into()));
        };
        let page = self.pager.page();
        let (added, stop) = self.pager.advance(&answered.summary);
        let stop = match ended.decision {
            Decision::Gone => Some(StopReason::Gone),
            _ => stop,
        };
        let header = PageHeader {
            accepted: true,
            item_count: answered.summary.item_count,
            items_before: added.items_before,
            new_item_count: added.new_items,
            stop: stop.map(|stop| stop.as_str().to_owned()),
            ..header(context, &self.pager, page, &ended.call, answered)
        };
        let kept = context.store.keep(&header, &answered.answer.body).await;
        if let Err(error) = kept {
            return Ok(Taken::unkept(context, ended.call, self.pager, error));
        }
        context.journal.append(&Entry::Done(ended.call.clone()))?;
        let next = match stop {
            None => Next::Turn(Turn::first(self.pager), None),
            Some(stop) => {
                let end = SearchEnd {
                    search_id: self.pager.search.search_id.clone(),
                    stop,
                    error: None,
                };
                Next::Ended(self.pager, end)
            }
        };
        Ok(Taken {
            page: Some((page, answered.summary.item_count)),
            ..Taken::new(ended.call, next)
        })
    }
}

impl Taken {
    fn new(call: Call, next: Next) -> Self {
        Taken {
            call: Some(call),
            page: None,
            next,
            broken: None,
        }
    }

    /// Returns a turn that made no call.
    fn none(pager: Pager) -> Self {
        Taken {
            call: None,
            page: None,
            next: Next::Cut(pager),
            broken: None,
        }
    }

    /// Returns a turn whose answer could not be stored. The call may have been billed, so it stays
    /// in the ledger.
    fn unkept(context: &Context, call: Call, pager: Pager, error: ExtractError) -> Self {
        let call = Call {
            // The items are on no page of the run.
            item_count: None,
            error: Some("the answer could not be stored".to_owned()),
            ..call
        };
        // This append may fail, too. The returned row reaches the ledger regardless.
        let _ = context.journal.append(&Entry::Done(call.clone()));
        Taken {
            broken: Some(error),
            ..Taken::new(call, Next::Cut(pager))
        }
    }
}

impl Next {
    pub fn pager(&self) -> &Pager {
        match self {
            Next::Turn(turn, _) => &turn.pager,
            Next::Ended(pager, _) | Next::Cut(pager) => pager,
        }
    }

    fn into_pager(self) -> Pager {
        match self {
            Next::Turn(turn, _) => turn.pager,
            Next::Ended(pager, _) | Next::Cut(pager) => pager,
        }
    }
}

/// Returns the raw-zone header of an answer that is not a page.
fn header(
    context: &Context,
    pager: &Pager,
    page: u32,
    call: &Call,
    answered: &Answered,
) -> PageHeader {
    let meta = &context.meta;
    PageHeader {
        v: VERSION,
        run_id: meta.run_id.clone(),
        pipeline: context.plan.pipeline.clone(),
        snapshot_at: meta.snapshot_at,
        simulated: meta.simulated,
        request_id: call.request_id.clone(),
        search: pager.search.clone(),
        page,
        fetched_at: answered.fetched_at,
        status: answered.answer.status,
        content_type: answered.answer.content_type.clone(),
        accepted: false,
        class: call.class,
        item_count: 0,
        items_before: pager.items,
        new_item_count: 0,
        stop: None,
    }
}
