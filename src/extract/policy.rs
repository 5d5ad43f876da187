//! What an answer means and what to do about it: a pure function.
//!
//! The body's business code decides, at any HTTP status: providers have answered code 303 with
//! status 429 and with status 200. The status decides only where the body has no code.

use std::time::Duration;

use crate::plan::Retries;
use crate::spec::source::{Action, Billed, Code, Source};

/// What came of one call.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Answer {
        status: u16,
        code: Option<String>,
        retry_after: Option<Duration>,
    },
    Failure(Failure),
}

/// Why no answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    #[error("the connection could not be made")]
    Connect,
    #[error("no answer came in time")]
    Timeout,
    #[error("the connection broke before the answer was complete")]
    Broken,
    #[error("the answer is larger than {} MiB", MAX_BODY >> 20)]
    TooLarge,
    #[error("the server redirects without end, or to another host, where the token must not go")]
    Redirect,
}

/// The largest body that is read, decompressed. Real pages are about 0.1 MiB.
pub const MAX_BODY: usize = 32 << 20;

/// No delay is longer than this, whatever `Retry-After` says.
const MAX_DELAY: Duration = Duration::from_secs(60);

#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// What the outcome means; see the column `class` of the table `requests`.
    pub class: String,
    pub billed: Billed,
    pub decision: Decision,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// The answer is a page.
    Accept,
    /// What was asked for is no more; that is an observation.
    Gone,
    Retry {
        after: Duration,
    },
    FailSearch,
    StopRun,
    AbortRun,
}

/// Decides on the outcome of attempt number `attempt` (from 1). `jitter` is a random number in
/// `0..1`: delays are exponential with full jitter, so that many clients do not return at once.
pub fn decide(
    outcome: &Outcome,
    source: &Source,
    attempt: u32,
    retries: Retries,
    jitter: f64,
) -> Verdict {
    let (class, billed, action, retry_after) = judge(outcome, source);
    let retry = || {
        if attempt > retries.max {
            return Decision::FailSearch;
        }
        let backoff = retries
            .delay
            .saturating_mul(1 << (attempt - 1).min(16))
            .mul_f64(jitter);
        Decision::Retry {
            after: retry_after.unwrap_or(backoff).min(MAX_DELAY),
        }
    };
    let decision = match action {
        Action::Accept => Decision::Accept,
        Action::Gone => Decision::Gone,
        Action::Retry | Action::SlowDown => retry(),
        Action::FailSearch => Decision::FailSearch,
        Action::StopRun => Decision::StopRun,
        Action::AbortRun => Decision::AbortRun,
    };
    Verdict {
        class,
        billed,
        decision,
    }
}

fn judge(outcome: &Outcome, source: &Source) -> (String, Billed, Action, Option<Duration>) {
    let verdict = |class: &str, billed, action| (class.to_owned(), billed, action, None);
    let (status, code, retry_after) = match outcome {
        Outcome::Answer {
            status,
            code,
            retry_after,
        } => (*status, code, *retry_after),
        Outcome::Failure(Failure::Connect) => {
            return verdict("transport", Billed::No, Action::Retry);
        }
        // What becomes of a call whose answer never came is unknown: it may have been billed.
        Outcome::Failure(Failure::Timeout) => {
            return verdict("timeout", Billed::Unknown, Action::FailSearch);
        }
        Outcome::Failure(Failure::Broken) => {
            return verdict("transport", Billed::Unknown, Action::FailSearch);
        }
        Outcome::Failure(Failure::TooLarge) => {
            return verdict("invalid", Billed::Unknown, Action::FailSearch);
        }
        Outcome::Failure(Failure::Redirect) => {
            return verdict("invalid", Billed::No, Action::AbortRun);
        }
    };
    let declared = |code: &Code| {
        (
            code.class.value.clone(),
            code.billed,
            code.action,
            retry_after,
        )
    };
    if let Some(code) = code {
        // An unknown code is never a success, and never asked again blindly.
        return source.codes.get(code).map_or_else(
            || verdict("unknown", Billed::Unknown, Action::FailSearch),
            declared,
        );
    }
    // Where a contract's codes are HTTP statuses, an error without a body means the same. A
    // success does not: it may have been billed, and is no page.
    if status >= 400
        && let Some(code) = source.codes.get(&status.to_string())
    {
        return declared(code);
    }
    match status {
        401 => verdict("auth", Billed::No, Action::AbortRun),
        403 => verdict("permission", Billed::No, Action::AbortRun),
        429 => (
            "rate_limited".into(),
            Billed::No,
            Action::SlowDown,
            retry_after,
        ),
        500.. => ("server".into(), Billed::No, Action::Retry, retry_after),
        300..500 => verdict("bad_request", Billed::No, Action::FailSearch),
        // A success without an envelope: it may have been billed, and is no page.
        _ => verdict("invalid", Billed::Unknown, Action::FailSearch),
    }
}
