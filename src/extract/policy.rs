//! Maps the outcome of a call to its meaning and the next action: a pure function.
//!
//! The business code of the body decides, at any HTTP status: providers have answered code 303 with
//! status 429 and with status 200. The status decides only if the body has no code.

use std::time::Duration;

use crate::plan::parts::Retries;
use crate::spec::class::CallClass;
use crate::spec::pipeline::UnknownOutcomeAction;
use crate::spec::source::{Action, Billed, Code, OnUnknownOutcome, Source};

/// Outcome of a call.
#[derive(Clone, Debug, PartialEq)]
pub enum CallOutcome {
    Answer {
        status: u16,
        code: Option<String>,
        retry_after: Option<Duration>,
    },
    /// A redirect without a business code. `None` if it is followed.
    Redirect(Option<Refusal>),
    Failure(Failure),
}

/// The reason why no answer arrived.
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
        /// Limit in bytes after decompression.
        limit: usize,
    },
    #[error("the answer is declared as {encoding}, but is not")]
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
    #[error("cannot connect: {0}")]
    Other(String),
}

/// The reason why a redirect is not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("it leads to another host, which must not get the token")]
    OtherHost,
    #[error("it leads to another port, which must not get the token")]
    OtherPort,
    #[error("it leads from https to http, which would expose the token")]
    Unencrypted,
    #[error("{followed} redirects in a row were followed")]
    TooMany { followed: u32 },
    #[error("it has no Location")]
    NoLocation,
    #[error("its Location is not an address")]
    NoAddress,
}

/// Position of a call among the attempts at a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Number of the attempt, from 1.
    pub number: u32,
    /// Number of earlier attempts whose billing is unknown.
    pub unknown: u32,
}

/// Upper bound of every delay, including `Retry-After`.
const MAX_DELAY: Duration = Duration::from_secs(60);

#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// Class of the outcome; see the column `class` of the table `requests`.
    pub class: CallClass,
    pub billed: Billed,
    pub decision: Decision,
    /// `Some` if the source must be called less often, independent of this search. The inner value
    /// is the wait that the source asked for, if any.
    pub slow_down: Option<Option<Duration>>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// The answer is a page.
    Accept,
    /// The requested object no longer exists. This is an observation.
    Gone,
    /// The answer is at another address on the same origin.
    Follow,
    Retry {
        after: Duration,
    },
    FailSearch,
    StopRun,
    AbortRun,
}

/// Decides on the outcome of a call. `jitter` is a random number in `0..1`: delays use exponential
/// backoff with full jitter, so that many clients do not return at once.
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
        // The call may have been billed: it is retried at most once, and only if the pipeline or
        // the contract allows it.
        Do::OnUnknownOutcome => {
            let may_retry = match retries.on_unknown_outcome {
                Some(UnknownOutcomeAction::RetryOnce) => true,
                Some(UnknownOutcomeAction::Fail) => false,
                None => source.on_unknown_outcome == OnUnknownOutcome::RetryOnce,
            };
            if may_retry && attempt.unknown == 0 && !exhausted {
                Decision::Retry { after: backoff() }
            } else {
                Decision::FailSearch
            }
        }
    };
    let slow_down = matches!(action, Do::Declared(Action::SlowDown));
    Verdict {
        class,
        billed,
        decision,
        slow_down: slow_down.then(|| retry_after.map(|pause| pause.min(MAX_DELAY))),
    }
}

/// Meaning of an outcome, independent of the attempt.
struct Judgement {
    class: CallClass,
    billed: Billed,
    action: Do,
    retry_after: Option<Duration>,
}

/// Action that follows an outcome.
#[derive(Clone, Copy)]
enum Do {
    Declared(Action),
    Follow,
    /// The call may have been billed; `on_unknown_outcome` of the pipeline or else of the contract
    /// decides.
    OnUnknownOutcome,
}

fn judge(outcome: &CallOutcome, source: &Source) -> Judgement {
    let judgement = |class, billed, action| Judgement {
        class,
        billed,
        action,
        retry_after: None,
    };
    let known = |class, billed, action| judgement(class, billed, Do::Declared(action));
    let unknown = |class| judgement(class, Billed::Unknown, Do::OnUnknownOutcome);
    let (status, code, retry_after) = match outcome {
        CallOutcome::Answer {
            status,
            code,
            retry_after,
        } => (*status, code, *retry_after),
        CallOutcome::Redirect(refusal) => {
            return match refusal {
                None => judgement(CallClass::Redirected, Billed::No, Do::Follow),
                // Every further call would be redirected, too.
                Some(
                    Refusal::OtherHost
                    | Refusal::OtherPort
                    | Refusal::Unencrypted
                    | Refusal::TooMany { .. },
                ) => known(CallClass::Invalid, Billed::No, Action::AbortRun),
                Some(Refusal::NoLocation | Refusal::NoAddress) => {
                    known(CallClass::BadRequest, Billed::No, Action::FailSearch)
                }
            };
        }
        CallOutcome::Failure(failure) => {
            return match failure {
                // The call was never sent.
                Failure::Connect(_) => known(CallClass::Transport, Billed::No, Action::Retry),
                Failure::Timeout => unknown(CallClass::Timeout),
                Failure::Broken => unknown(CallClass::Transport),
                // A retry would return the same.
                Failure::TooLarge { .. } | Failure::Undecodable { .. } => {
                    known(CallClass::Invalid, Billed::Unknown, Action::FailSearch)
                }
            };
        }
    };
    let declared = |code: &Code| Judgement {
        retry_after,
        ..judgement(code.class.value, code.billed, Do::Declared(code.action))
    };
    if let Some(code) = code {
        // An unknown code is never a success, and never retried.
        return source.codes.get(code).map_or_else(
            || known(CallClass::Unknown, Billed::Unknown, Action::FailSearch),
            declared,
        );
    }
    // If the codes of a contract are HTTP statuses, an error status without a body means the same.
    // This does not hold for observations. Any other server also answers 404 for an unknown path. A
    // success may have been billed, but is not a page.
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
        401 => known(CallClass::Auth, Billed::No, Action::AbortRun),
        403 => known(CallClass::Permission, Billed::No, Action::AbortRun),
        404 => known(CallClass::NotFound, Billed::No, Action::FailSearch),
        429 => patient(CallClass::RateLimited, Action::SlowDown),
        // The error may come from a gateway, behind which the call may have been answered and
        // billed.
        500.. => unknown(CallClass::Server),
        300..500 => known(CallClass::BadRequest, Billed::No, Action::FailSearch),
        // A success without an envelope: it may have been billed, but is not a page.
        _ => unknown(CallClass::Invalid),
    }
}
