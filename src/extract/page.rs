//! One page: asking for it until there is a decision, every attempt in the ledger.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio::sync::watch;
use uuid::Uuid;

use super::client::Answer;
use super::envelope::{Envelope, PageSummary};
use super::ledger::Call;
use super::pager::Pager;
use super::policy::{self, Decision, Failure, Outcome};
use super::{Context, Cut, stopped};
use crate::spec::source::Billed;

/// How long a call that is under way may go on after the run was told to stop.
const GRACE: Duration = Duration::from_millis(1_500);

/// What became of asking for one page, with every attempt.
pub struct Fetched {
    pub pager: Pager,
    pub calls: Vec<Call>,
    pub result: PageResult,
}

pub enum PageResult {
    Page {
        answer: Answer,
        summary: PageSummary,
        class: String,
        /// What was asked for is no more.
        gone: bool,
        fetched_at: DateTime<Utc>,
    },
    Failed {
        message: String,
        /// An answer that is no page but may have been paid, with its class.
        answer: Option<(Answer, String, DateTime<Utc>)>,
    },
    Cut(Cut),
}

/// Asks for a search's next page until there is a decision on it.
pub async fn fetch_page(
    context: Arc<Context>,
    pager: Pager,
    mut stop: watch::Receiver<bool>,
) -> Fetched {
    let mut calls = Vec::new();
    let result = loop {
        let (_, limiter) = &context.sources[&pager.search.source];
        tokio::select! {
            biased;
            () = stopped(&mut stop) => break PageResult::Cut(Cut::Interrupted),
            () = limiter.wait() => {}
        }
        let attempt = Attempt::begin(&context, &pager, calls.len() as u32 + 1);
        let fetched = tokio::select! {
            fetched = attempt.fetch() => fetched,
            () = async { stopped(&mut stop).await; tokio::time::sleep(GRACE).await } => {
                calls.push(attempt.dropped());
                break PageResult::Cut(Cut::Interrupted);
            }
        };
        let (call, decision, answer) = attempt.judge(fetched);
        let (message, class) = (call.error.clone().unwrap_or_default(), call.class.clone());
        let source = call.source.clone();
        calls.push(call);
        let gone = decision == Decision::Gone;
        match (decision, answer) {
            (Decision::Accept | Decision::Gone, Some((answer, summary))) => {
                let fetched_at = context.identity.clock.now();
                break PageResult::Page {
                    answer,
                    summary,
                    class,
                    gone,
                    fetched_at,
                };
            }
            (Decision::Retry { after }, _) => {
                tokio::select! {
                    () = tokio::time::sleep(after) => {}
                    () = stopped(&mut stop) => break PageResult::Cut(Cut::Interrupted),
                }
            }
            (Decision::StopRun, _) => {
                break PageResult::Cut(Cut::Stopped {
                    class,
                    message,
                    source,
                });
            }
            (Decision::AbortRun, _) => {
                break PageResult::Cut(Cut::Aborted {
                    class,
                    message,
                    source,
                });
            }
            (Decision::FailSearch | Decision::Accept | Decision::Gone, answer) => {
                let answer =
                    answer.map(|(answer, _)| (answer, class, context.identity.clock.now()));
                break PageResult::Failed { message, answer };
            }
        }
    };
    Fetched {
        pager,
        calls,
        result,
    }
}

/// One call, from its sending to its row in the ledger.
struct Attempt<'a> {
    context: &'a Context,
    pager: &'a Pager,
    number: u32,
    request_id: String,
    started_at: DateTime<Utc>,
    started: Instant,
}

impl<'a> Attempt<'a> {
    fn begin(context: &'a Context, pager: &'a Pager, number: u32) -> Self {
        let request_id = Uuid::now_v7().to_string();
        let started_at = context.identity.clock.now();
        Attempt {
            context,
            pager,
            number,
            request_id,
            started_at,
            started: Instant::now(),
        }
    }

    async fn fetch(&self) -> Result<Answer, Failure> {
        let plan = &self.context.plan;
        let search = &self.pager.search;
        let (client, _) = &self.context.sources[&search.source];
        client
            .fetch(
                plan.source(&search.source),
                plan.endpoint(search),
                search,
                self.pager.page(),
            )
            .await
    }

    /// The ledger's row, what to do, and the page if there is one.
    fn judge(
        &self,
        fetched: Result<Answer, Failure>,
    ) -> (Call, Decision, Option<(Answer, PageSummary)>) {
        let plan = &self.context.plan;
        let search = &self.pager.search;
        let source = plan.source(&search.source);
        let envelope = match &fetched {
            Ok(answer) => Envelope::read(&answer.body, source),
            Err(_) => Envelope::default(),
        };
        let outcome = match &fetched {
            Ok(answer) => Outcome::Answer {
                status: answer.status,
                code: envelope.code.clone(),
                retry_after: answer.retry_after,
            },
            Err(failure) => Outcome::Failure(*failure),
        };
        let retries = plan.limits.retries;
        let verdict = policy::decide(&outcome, source, self.number, retries, fastrand::f64());
        let summary = match verdict.decision {
            Decision::Accept => envelope.summary(plan.endpoint(search)),
            Decision::Gone => Some(PageSummary::default()),
            _ => None,
        };
        let listless = verdict.decision == Decision::Accept && summary.is_none();
        let (decision, class) = match listless {
            true => (Decision::FailSearch, "invalid".to_owned()),
            false => (verdict.decision, verdict.class),
        };
        let error = match listless {
            true => "the answer has no list of items".to_owned(),
            false => explain(&outcome, &envelope),
        };
        let call = Call {
            http_status: fetched.as_ref().ok().map(|a| a.status),
            code: envelope.code.clone(),
            bytes: fetched.as_ref().ok().map(|a| a.body.len() as u64),
            item_count: summary.as_ref().map(|s| s.item_count),
            provider_request_id: envelope.request_id.clone(),
            error: summary.is_none().then_some(error),
            ..self.call(class, verdict.billed)
        };
        // What may have been paid is kept, page or not.
        let kept = fetched
            .ok()
            .filter(|_| summary.is_some() || verdict.billed != Billed::No);
        let page = kept.map(|answer| (answer, summary.unwrap_or_default()));
        (call, decision, page)
    }

    /// The row of a call that was given up: nobody knows whether it was billed.
    fn dropped(&self) -> Call {
        let error = "given up: the run was told to stop before the answer came";
        Call {
            error: Some(error.to_owned()),
            ..self.call("timeout".to_owned(), Billed::Unknown)
        }
    }

    fn call(&self, class: String, billed: Billed) -> Call {
        let search = &self.pager.search;
        let price = self.context.plan.price.of(&search.endpoint);
        Call {
            source: search.source.clone(),
            request_id: self.request_id.clone(),
            search_id: search.search_id.clone(),
            endpoint: search.endpoint.clone(),
            page: self.pager.page(),
            attempt: self.number,
            started_at: self.started_at,
            duration_ms: self.started.elapsed().as_millis() as u64,
            http_status: None,
            code: None,
            class,
            billed,
            cost: match billed {
                Billed::Yes => price,
                Billed::No => price.map(|_| 0.0),
                Billed::Unknown => None,
            },
            bytes: None,
            item_count: None,
            provider_request_id: None,
            error: None,
        }
    }
}

/// What went wrong, in the provider's words where it has some.
fn explain(outcome: &Outcome, envelope: &Envelope) -> String {
    match outcome {
        Outcome::Failure(failure) => failure.to_string(),
        Outcome::Answer {
            status,
            code: Some(code),
            ..
        } => {
            let said = envelope.message.as_deref().unwrap_or("no message");
            format!("code {code} (HTTP {status}): {said}")
        }
        Outcome::Answer {
            status, code: None, ..
        } => {
            format!("HTTP {status} with a body that is no answer of this API")
        }
    }
}
