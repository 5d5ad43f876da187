//! A single call, from sending to its row in the ledger.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::client::{Answer, Client, Refused, Target};
use super::envelope::{Envelope, Flaw, PageSummary};
use super::ledger::Call;
use super::pager::Pager;
use super::policy::{self, Attempt, CallOutcome, Decision, Failure, Verdict};
use crate::extract::context::Context;
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

/// A finished call: its row, the decision and its answer.
pub struct Ended {
    pub call: Call,
    pub decision: Decision,
    /// See [`Verdict::slow_down`].
    pub slow_down: Option<Option<Duration>>,
    /// Address to request next, if the decision is to follow a redirect.
    pub target: Option<Target>,
    /// Answer to store. Every answer that may have been billed is stored, page or not.
    pub answer: Option<Answered>,
}

/// An answer that is stored.
pub struct Answered {
    pub answer: Answer,
    /// Empty if the answer is not a page.
    pub summary: PageSummary,
    pub fetched_at: DateTime<Utc>,
}

impl<'a> CallUnderWay<'a> {
    pub fn new(context: &'a Context, pager: &'a Pager, attempt: Attempt) -> Self {
        let search = &pager.search;
        let currency = context.plan.price.currency_of(&search.endpoint);
        let sent = Sent {
            request_id: Uuid::now_v7().to_string(),
            source: search.source.clone(),
            search_id: search.search_id.clone(),
            endpoint: search.endpoint.clone(),
            keyword: search.keyword.clone(),
            note_id: search.note_id.clone(),
            page: pager.page(),
            attempt: attempt.number,
            started_at: context.clock.now(),
            price: context.plan.price.of(&search.endpoint),
            currency: currency.map(str::to_owned),
        };
        CallUnderWay {
            context,
            pager,
            attempt,
            sent,
            started: Instant::now(),
        }
    }

    /// Requests the page, or the address that an earlier call for it was redirected to.
    ///
    /// # Errors
    /// The reason why no complete answer arrived.
    pub async fn fetch(&self, client: &Client, target: Option<&Target>) -> Result<Answer, Failure> {
        let plan = &self.context.plan;
        let search = &self.pager.search;
        let (source, endpoint) = (plan.source(&search.source), plan.endpoint(search));
        let now = self.context.clock.now();
        client
            .fetch(source, endpoint, search, self.pager.page(), target, now)
            .await
    }

    /// Judges the outcome of the call.
    pub fn judge(&self, fetched: Result<Answer, Failure>) -> Ended {
        let fetched_at = self.context.clock.now();
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
        // A business code takes precedence over a redirect status.
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
                // An answer without a code may come from another server, so the message names the
                // host.
                let error = match client {
                    Some(client) if envelope.code.is_none() => {
                        format!("{}: {error}", client.host())
                    }
                    _ => error,
                };
                (summary, decision, class, error)
            }
            // The answer was accepted, but is not a page.
            Err(no_page) => (
                None,
                Decision::FailSearch,
                no_page.class(),
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

    /// Returns the row of an abandoned call: billing is unknown.
    pub fn dropped(&self) -> Call {
        let error = "given up: the run was stopped before the answer arrived";
        Call {
            error: Some(error.to_owned()),
            ..self.row(Billed::Unknown)
        }
    }

    fn row(&self, billed: Billed) -> Call {
        Call {
            duration_ms: self.started.elapsed().as_millis() as u64,
            ..Call::unanswered(&self.sent, "").charged(billed, self.sent.price)
        }
    }
}

/// Describes an error answer, in the words of the provider if it has any.
fn explain(answer: &Answer, envelope: &Envelope) -> String {
    let status = answer.status;
    if let Some(code) = &envelope.code {
        let said = envelope.message.as_deref().unwrap_or("no message");
        return format!("code {code} (HTTP {status}): {said}");
    }
    let what = match (&answer.encoding, &envelope.flaw) {
        (_, Some(Flaw::Empty)) => Flaw::Empty.to_string(),
        (Some(encoding), Some(_)) => {
            format!("the answer is encoded as {encoding}, which was not requested")
        }
        (None, Some(flaw)) => flaw.to_string(),
        (_, None) => "the answer is JSON without a code".to_owned(),
    };
    format!("HTTP {status}: {what}")
}

/// Describes the target of a redirect, and the reason if it is refused. The address is shown
/// without its query, which may hold the token.
fn explain_redirect(answer: &Answer, redirect: &Result<Target, Refused>) -> String {
    match redirect {
        Ok(target) => format!("redirected to {target}"),
        Err(Refused { why, to: Some(to) }) => format!("the redirect to {to} is refused: {why}"),
        Err(Refused { why, to: None }) => {
            format!("HTTP {}: the redirect is refused: {why}", answer.status)
        }
    }
}
