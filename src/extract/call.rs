//! One call: from its sending to its row in the ledger.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::Context;
use super::client::{Answer, Client, Refused, Target};
use super::envelope::{Envelope, Flaw, PageSummary};
use super::ledger::Call;
use super::pager::Pager;
use super::policy::{self, Attempt, CallOutcome, Decision, Failure, Verdict};
use crate::extract::ledger::Sent;
use crate::spec::source::Billed;

/// A call that is about to be sent, or under way.
pub struct CallUnderWay<'a> {
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
    /// The address to ask next, if the decision is to follow a redirect.
    pub target: Option<Target>,
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

impl<'a> CallUnderWay<'a> {
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
        CallUnderWay {
            context,
            pager,
            attempt,
            sent,
            started: Instant::now(),
        }
    }

    /// Asks for the page, or for the address that an earlier call for it was redirected to.
    ///
    /// # Errors
    /// The reason why no whole answer came.
    pub async fn fetch(&self, client: &Client, target: Option<&Target>) -> Result<Answer, Failure> {
        let plan = &self.context.plan;
        let search = &self.pager.search;
        let (source, endpoint) = (plan.source(&search.source), plan.endpoint(search));
        let now = self.context.identity.clock.now();
        client
            .fetch(source, endpoint, search, self.pager.page(), target, now)
            .await
    }

    /// What came of it.
    pub fn judge(&self, fetched: Result<Answer, Failure>) -> Ended {
        let fetched_at = self.context.identity.clock.now();
        let plan = &self.context.plan;
        let search = &self.pager.search;
        let (source, endpoint) = (plan.source(&search.source), plan.endpoint(search));
        let envelope = match &fetched {
            Ok(answer) => Envelope::read(answer.text().as_bytes(), source),
            Err(_) => Envelope::default(),
        };
        let client = self.context.sources.get(&search.source);
        let client = client.map(|(client, _)| client);
        let mask = client.map(Client::mask);
        let envelope = envelope.masked(mask);
        // A business code counts more than the status that it came with.
        let redirect = match &fetched {
            Ok(answer) if envelope.code.is_none() => answer.redirect.clone(),
            _ => None,
        };
        let outcome = match (&fetched, &redirect) {
            (Ok(_), Some(redirect)) => {
                let refused = redirect.as_ref().err();
                CallOutcome::Redirect(refused.map(|refused| refused.why))
            }
            (Ok(answer), None) => CallOutcome::Answer {
                status: answer.status,
                code: envelope.code.clone(),
                retry_after: answer.retry_after,
            },
            (Err(failure), _) => CallOutcome::Failure(failure.clone()),
        };
        let retries = plan.limits.retries;
        let Verdict {
            class,
            billed,
            decision,
            slow_down,
        } = policy::decide(&outcome, source, self.attempt, retries, fastrand::f64());
        let summary = match decision {
            Decision::Accept => envelope.summary(endpoint, search).map(Some),
            Decision::Gone => envelope
                .check_gone(endpoint, search)
                .map(|()| Some(PageSummary::default())),
            _ => Ok(None),
        };
        let (summary, decision, class, error) = match summary {
            Ok(summary) => {
                let error = match (&fetched, &redirect) {
                    (Err(failure), _) => failure.to_string(),
                    (Ok(answer), Some(redirect)) => explain_redirect(answer, redirect),
                    (Ok(answer), None) => explain(answer, &envelope),
                };
                // What is no answer of the provider may be another server's, or no server's.
                let error = match client {
                    Some(client) if envelope.code.is_none() => {
                        format!("{}: {error}", client.host())
                    }
                    _ => error,
                };
                (summary, decision, class, error)
            }
            // An accepted answer that is no page.
            Err(no_page) => (
                None,
                Decision::FailSearch,
                no_page.class().to_owned(),
                no_page.to_string(),
            ),
        };
        let error = mask.map_or_else(|| error.clone(), |mask| mask.text(&error));
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
            target: redirect.and_then(Result::ok),
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

/// Says what is wrong with an answer, in the provider's words where it has some.
fn explain(answer: &Answer, envelope: &Envelope) -> String {
    let status = answer.status;
    if let Some(code) = &envelope.code {
        let said = envelope.message.as_deref().unwrap_or("no message");
        return format!("code {code} (HTTP {status}): {said}");
    }
    let what = match (&answer.encoding, &envelope.flaw) {
        (_, Some(Flaw::Empty)) => Flaw::Empty.to_string(),
        (Some(encoding), Some(_)) => {
            format!("the answer is encoded as {encoding}, which was not asked for")
        }
        (None, Some(flaw)) => flaw.to_string(),
        (_, None) => "the answer is JSON without a code".to_owned(),
    };
    format!("HTTP {status}: {what}")
}

/// Says where a redirect leads, and why it is not followed if it is not. The address is without
/// its query, which may hold the token.
fn explain_redirect(answer: &Answer, redirect: &Result<Target, Refused>) -> String {
    match redirect {
        Ok(target) => format!("redirected to {target}"),
        Err(Refused { why, to: Some(to) }) => format!("the redirect to {to} is refused: {why}"),
        Err(Refused { why, to: None }) => {
            format!("HTTP {}: the redirect is refused: {why}", answer.status)
        }
    }
}
