//! What an answer means and what to do about it: a pure function.
//!
//! The body's business code decides, at any HTTP status: providers have answered code 303 with
//! status 429 and with status 200. The status decides only where the body has no code.

use std::time::Duration;

use crate::plan::Retries;
use crate::spec::source::{Action, Billed, Code, OnUnknownOutcome, Source};

/// What came of one call.
#[derive(Clone, Debug, PartialEq)]
pub enum CallOutcome {
    Answer {
        status: u16,
        code: Option<String>,
        retry_after: Option<Duration>,
    },
    /// A redirect without a business code. `None` for one that is followed.
    Redirect(Option<Refusal>),
    Failure(Failure),
}

/// The reason why no answer came.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    #[error(transparent)]
    Connect(#[from] Unconnected),
    #[error("no answer came in time")]
    Timeout,
    #[error("the connection broke before the answer was complete")]
    Broken,
    #[error("the answer is larger than {} MiB", limit >> 20)]
    TooLarge {
        /// In bytes after decompression.
        limit: usize,
    },
    #[error("the answer says that it is {encoding}, and is not")]
    Undecodable { encoding: &'static str },
}

/// The reason why a connection could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unconnected {
    #[error("host not found")]
    HostNotFound,
    #[error("connection refused")]
    Refused,
    #[error("no connection in time")]
    TimedOut,
    #[error("TLS refused: {0}")]
    Tls(String),
    #[error("the connection could not be made: {0}")]
    Other(String),
}

/// The reason why a redirect is not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("it leads to another host, where the token must not go")]
    OtherHost,
    #[error("it leads to another port, where the token must not go")]
    OtherPort,
    #[error("it leads from https to http, where the token could be read on its way")]
    Unencrypted,
    #[error("{followed} redirects in a row were followed")]
    TooMany { followed: u32 },
    #[error("it has no Location")]
    NoLocation,
    #[error("its Location is no address")]
    NoAddress,
}

/// Which try at a page a call was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// From 1.
    pub number: u32,
    /// How many of the tries before it ended without anybody knowing whether they were billed.
    pub unknown: u32,
}

/// No delay is longer than this, whatever `Retry-After` says.
const MAX_DELAY: Duration = Duration::from_secs(60);

#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// What the outcome means; see the column `class` of the table `requests`.
    pub class: String,
    pub billed: Billed,
    pub decision: Decision,
    /// Whether the source is to be asked more slowly, whatever becomes of this search; with the
    /// time that it wants to be left alone, if it says so.
    pub slow_down: Option<Option<Duration>>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// The answer is a page.
    Accept,
    /// What was asked for is no more; that is an observation.
    Gone,
    /// The answer stands elsewhere on the same origin.
    Follow,
    Retry {
        after: Duration,
    },
    FailSearch,
    StopRun,
    AbortRun,
}

/// Decides on the outcome of a call. `jitter` is a random number in `0..1`: delays are exponential
/// with full jitter, so that many clients do not return at once.
pub fn decide(
    outcome: &CallOutcome,
    source: &Source,
    attempt: Attempt,
    retries: Retries,
    jitter: f64,
) -> Verdict {
    let Judgement {
        class,
        billed,
        action,
        retry_after,
    } = judge(outcome, source);
    let backoff = || {
        let doubled = 1 << (attempt.number.max(1) - 1).min(16);
        let backoff = retries.delay.saturating_mul(doubled).mul_f64(jitter);
        retry_after.unwrap_or(backoff).min(MAX_DELAY)
    };
    let exhausted = attempt.number > retries.max;
    let decision = match action {
        Do::Follow => Decision::Follow,
        Do::Declared(Action::Accept) => Decision::Accept,
        Do::Declared(Action::Gone) => Decision::Gone,
        Do::Declared(Action::Retry | Action::SlowDown) if exhausted => Decision::FailSearch,
        Do::Declared(Action::Retry | Action::SlowDown) => Decision::Retry { after: backoff() },
        Do::Declared(Action::FailSearch) => Decision::FailSearch,
        Do::Declared(Action::StopRun) => Decision::StopRun,
        Do::Declared(Action::AbortRun) => Decision::AbortRun,
        // It may have been billed: asked again at most once, and only where the contract says so.
        Do::AsContractSays => match source.on_unknown_outcome {
            OnUnknownOutcome::RetryOnce if attempt.unknown == 0 && !exhausted => {
                Decision::Retry { after: backoff() }
            }
            _ => Decision::FailSearch,
        },
    };
    let slow_down = matches!(action, Do::Declared(Action::SlowDown));
    Verdict {
        class,
        billed,
        decision,
        slow_down: slow_down.then(|| retry_after.map(|pause| pause.min(MAX_DELAY))),
    }
}

/// What an outcome means, before it is known which try it was.
struct Judgement {
    class: String,
    billed: Billed,
    action: Do,
    retry_after: Option<Duration>,
}

/// What follows.
#[derive(Clone, Copy)]
enum Do {
    Declared(Action),
    Follow,
    /// Nobody knows what became of the call.
    AsContractSays,
}

fn judge(outcome: &CallOutcome, source: &Source) -> Judgement {
    let judgement = |class: &str, billed, action| Judgement {
        class: class.to_owned(),
        billed,
        action,
        retry_after: None,
    };
    let known = |class, billed, action| judgement(class, billed, Do::Declared(action));
    let unknown = |class| judgement(class, Billed::Unknown, Do::AsContractSays);
    let (status, code, retry_after) = match outcome {
        CallOutcome::Answer {
            status,
            code,
            retry_after,
        } => (*status, code, *retry_after),
        CallOutcome::Redirect(refusal) => {
            return match refusal {
                None => judgement("redirected", Billed::No, Do::Follow),
                // Every further call would be redirected, too.
                Some(
                    Refusal::OtherHost
                    | Refusal::OtherPort
                    | Refusal::Unencrypted
                    | Refusal::TooMany { .. },
                ) => known("invalid", Billed::No, Action::AbortRun),
                Some(Refusal::NoLocation | Refusal::NoAddress) => {
                    known("bad_request", Billed::No, Action::FailSearch)
                }
            };
        }
        CallOutcome::Failure(failure) => {
            return match failure {
                // The call was never made.
                Failure::Connect(_) => known("transport", Billed::No, Action::Retry),
                Failure::Timeout => unknown("timeout"),
                Failure::Broken => unknown("transport"),
                // Another try would bring as much again.
                Failure::TooLarge { .. } | Failure::Undecodable { .. } => {
                    known("invalid", Billed::Unknown, Action::FailSearch)
                }
            };
        }
    };
    let declared = |code: &Code| Judgement {
        retry_after,
        ..judgement(&code.class, code.billed, Do::Declared(code.action))
    };
    if let Some(code) = code {
        // An unknown code is never a success, and never asked again blindly.
        return source.codes.get(code).map_or_else(
            || known("unknown", Billed::Unknown, Action::FailSearch),
            declared,
        );
    }
    // Where a contract's codes are HTTP statuses, an error without a body means the same. An
    // observation does not: any server that is not the provider knows no such path, and a success
    // may have been billed, but is no page.
    let observes = |code: &Code| matches!(code.action, Action::Accept | Action::Gone);
    if status >= 400
        && let Some(code) = source.codes.get(&status.to_string())
        && !observes(code)
    {
        return declared(code);
    }
    let patient = |class, action| Judgement {
        retry_after,
        ..known(class, Billed::No, action)
    };
    match status {
        401 => known("auth", Billed::No, Action::AbortRun),
        403 => known("permission", Billed::No, Action::AbortRun),
        404 => known("not_found", Billed::No, Action::FailSearch),
        429 => patient("rate_limited", Action::SlowDown),
        // An error of no provider that we know: a gateway's, behind which the call may have been
        // answered, and billed, all the same.
        500.. => unknown("server"),
        300..500 => known("bad_request", Billed::No, Action::FailSearch),
        // A success without an envelope: it may have been billed, and is no page.
        _ => unknown("invalid"),
    }
}
