//! One call: from its sending to its row in the ledger.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::Context;
use super::client::{Answer, Client};
use super::envelope::{Envelope, PageSummary};
use super::journal::Sent;
use super::ledger::Call;
use super::pager::Pager;
use super::policy::{self, Attempt, Decision, Failure, Outcome, Verdict};
use crate::spec::source::Billed;

/// A call that is about to be sent, or under way.
pub struct Sending<'a> {
    context: &'a Context,
    pager: &'a Pager,
    attempt: Attempt,
    pub sent: Sent,
    started: Instant,
}

/// A call that has ended: its row, what to do, and what it brought.
pub struct Ended {
    pub call: Call,
    pub decision: Decision,
    /// See [`Verdict::slow_down`].
    pub slow_down: Option<Option<Duration>>,
    /// What may have been paid is kept, page or not.
    pub answer: Option<Answered>,
}

/// An answer that is kept.
pub struct Answered {
    pub answer: Answer,
    /// Nothing, if the answer is no page.
    pub summary: PageSummary,
    pub fetched_at: DateTime<Utc>,
}

impl<'a> Sending<'a> {
    pub fn new(context: &'a Context, pager: &'a Pager, attempt: Attempt) -> Self {
        let search = &pager.search;
        let sent = Sent {
            request_id: Uuid::now_v7().to_string(),
            source: search.source.clone(),
            search_id: search.search_id.clone(),
            endpoint: search.endpoint.clone(),
            page: pager.page(),
            attempt: attempt.number,
            started_at: context.identity.clock.now(),
            price: context.plan.price.of(&search.endpoint),
        };
        Sending {
            context,
            pager,
            attempt,
            sent,
            started: Instant::now(),
        }
    }

    pub async fn fetch(&self, client: &Client) -> Result<Answer, Failure> {
        let plan = &self.context.plan;
        let search = &self.pager.search;
        let (source, endpoint) = (plan.source(&search.source), plan.endpoint(search));
        client
            .fetch(source, endpoint, search, self.pager.page())
            .await
    }

    /// What came of it.
    pub fn judge(&self, fetched: Result<Answer, Failure>) -> Ended {
        let fetched_at = self.context.identity.clock.now();
        let plan = &self.context.plan;
        let search = &self.pager.search;
        let (source, endpoint) = (plan.source(&search.source), plan.endpoint(search));
        let mut envelope = match &fetched {
            Ok(answer) => Envelope::read(answer.text().as_bytes(), source),
            Err(_) => Envelope::default(),
        };
        if let Some((client, _)) = self.context.sources.get(&search.source) {
            envelope = envelope.masked(client.mask());
        }
        let outcome = match &fetched {
            Ok(answer) => Outcome::Answer {
                status: answer.status,
                code: envelope.code.clone(),
                retry_after: answer.retry_after,
            },
            Err(failure) => Outcome::Failure(*failure),
        };
        let retries = plan.limits.retries;
        let Verdict {
            class,
            billed,
            decision,
            slow_down,
        } = policy::decide(&outcome, source, self.attempt, retries, fastrand::f64());
        let summary = match decision {
            Decision::Accept => envelope.summary(endpoint),
            Decision::Gone => Some(PageSummary::default()),
            _ => None,
        };
        let listless = decision == Decision::Accept && summary.is_none();
        let (decision, class, error) = match listless {
            true => (
                Decision::FailSearch,
                "invalid".to_owned(),
                "the answer has no list of items".to_owned(),
            ),
            false => (decision, class, explain(&outcome, &envelope)),
        };
        let answer = fetched.as_ref().ok();
        let call = Call {
            http_status: answer.map(|a| a.status),
            code: envelope.code.clone(),
            bytes: answer.map(|a| a.body.len() as u64),
            item_count: summary.as_ref().map(|s| s.item_count),
            provider_request_id: envelope.request_id.clone(),
            error: summary.is_none().then_some(error),
            class,
            ..self.row(billed)
        };
        let kept = fetched
            .ok()
            .filter(|_| summary.is_some() || billed != Billed::No);
        let answer = kept.map(|answer| Answered {
            answer,
            summary: summary.unwrap_or_default(),
            fetched_at,
        });
        Ended {
            call,
            decision,
            slow_down,
            answer,
        }
    }

    /// The row of a call that was given up: nobody knows whether it was billed.
    pub fn dropped(&self) -> Call {
        let error = "given up: the run was told to stop before the answer came";
        Call {
            error: Some(error.to_owned()),
            ..self.row(Billed::Unknown)
        }
    }

    fn row(&self, billed: Billed) -> Call {
        Call {
            duration_ms: self.started.elapsed().as_millis() as u64,
            ..Call::lost(&self.sent, "").charged(billed, self.sent.price)
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
