//! The kinds of faults, in the vocabulary of a plan.

use axum::http::{HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::sandbox::envelope::BusinessCode;
use crate::sandbox::search::Paging;

/// A fault of a call. "The answer" is the one that the call would have had without the fault.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// The envelope of the source with this code, billed according to the contract.
    Code {
        code: BusinessCode,
        /// `None` uses the status that belongs to the code.
        #[serde(skip_serializing_if = "Option::is_none")]
        status: Option<u16>,
        #[serde(skip_serializing_if = "Option::is_none")]
        retry_after: Option<RetryAfter>,
        /// Message in the field `msg`; the field `message` is then absent.
        #[serde(skip_serializing_if = "Option::is_none")]
        msg: Option<String>,
    },
    /// A status whose body is not an envelope, as from a proxy in between.
    Status {
        status: u16,
        #[serde(default)]
        body: StatusBody,
        #[serde(skip_serializing_if = "Option::is_none")]
        retry_after: Option<RetryAfter>,
    },
    /// An error that repeats the request, including its token.
    EchoToken {},
    /// A redirect, which is never billed.
    Redirect { to: RedirectTo },

    /// No byte is ever sent; the connection stays open.
    Timeout(FaultWork),
    /// Half of the answer's body, then nothing; the connection stays open.
    TimeoutInBody(FaultWork),
    /// The connection is reset before any byte of an answer.
    Reset(FaultWork),
    /// The connection is closed after half of the answer's body.
    ResetInBody(FaultWork),

    /// A complete HTTP answer whose body is the first half of the answer.
    Truncated(FaultWork),
    /// Random bytes with status 200.
    Garbage(FaultWork),
    /// A proxy's page with status 200.
    Html(FaultWork),
    /// Nothing with status 200.
    Empty(FaultWork),
    /// The answer with a comment of HTML behind it.
    Trailing(FaultWork),
    /// The answer with one more field, whose value is NaN.
    Nan(FaultWork),
    /// The answer with an empty object for its data.
    EmptyData(FaultWork),
    /// The answer with null for its data.
    NullData(FaultWork),
    /// The answer with another Content-Type.
    ContentType {
        content_type: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        billed: Option<bool>,
    },
    /// The answer with Content-Encoding gzip, whether or not the client accepts it.
    Gzip(FaultWork),
    /// The answer as it is, with Content-Encoding gzip.
    FalseGzip(FaultWork),

    /// The answer with a long text in it, sent in chunks.
    Huge {
        #[serde(default = "huge_default")]
        megabytes: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        billed: Option<bool>,
    },
    /// As `huge`, but compressed with Content-Encoding gzip: small until it is unpacked.
    Bomb {
        /// Size after unpacking.
        #[serde(default = "bomb_default")]
        megabytes: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        billed: Option<bool>,
    },
    /// As `huge`, without end.
    Endless(FaultWork),
    /// The answer, slowly and in small pieces.
    Drip {
        bytes_per_second: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        billed: Option<bool>,
    },

    /// A page has the content of the page before.
    Duplicate(FaultWork),
    /// The number of items that came in at the front of the list after its first page was shown: the last
    /// items of the page before come again.
    Shift {
        items: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        billed: Option<bool>,
    },
    /// After the last page comes the first one again: no page is empty.
    EndlessPages(FaultWork),
    /// After the last page comes the last one again: no page is empty.
    RepeatLast(FaultWork),
}

/// Options of a fault that strikes when the server may have done the work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FaultWork {
    /// True if the call is billed. Without it: as the answer would have been, but for `timeout`
    /// and `reset`, which are not billed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub billed: Option<bool>,
}

/// Value of the header Retry-After.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryAfter {
    Seconds(u64),
    /// An HTTP date this many seconds after the `Date` of the answer, by the real clock. Negative
    /// for a date in the past.
    DateInSeconds(i64),
}

/// A body that is not an envelope.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StatusBody {
    Html,
    #[default]
    Empty,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RedirectTo {
    /// The sandbox under its other name: localhost for 127.0.0.1 and vice versa.
    OtherHost,
    SameHost,
    /// Every redirect leads to another redirect.
    Loop,
}

fn huge_default() -> u64 {
    200
}

fn bomb_default() -> u64 {
    1_000
}

/// Size limit of a body that ends, in MiB: 64 GiB.
const MOST_MEGABYTES: u64 = 1 << 16;

impl Fault {
    /// Returns the name of the kind.
    pub fn kind(&self) -> String {
        let json = serde_json::to_value(self).expect("a fault has text keys only");
        let kind = json.get("kind").and_then(Value::as_str);
        kind.expect("every fault has the tag of its kind")
            .to_owned()
    }

    /// True if a call that this fault strikes is billed. `answer` is true if it would be billed
    /// without the fault.
    pub fn billed(&self, answer: bool) -> bool {
        match self {
            Fault::Code { .. } => answer,
            Fault::Status { .. } | Fault::EchoToken {} | Fault::Redirect { .. } => false,
            Fault::Timeout(work) | Fault::Reset(work) => work.billed.unwrap_or(false),
            Fault::TimeoutInBody(work)
            | Fault::ResetInBody(work)
            | Fault::Truncated(work)
            | Fault::Garbage(work)
            | Fault::Html(work)
            | Fault::Empty(work)
            | Fault::Trailing(work)
            | Fault::Nan(work)
            | Fault::EmptyData(work)
            | Fault::NullData(work)
            | Fault::Gzip(work)
            | Fault::FalseGzip(work)
            | Fault::Endless(work)
            | Fault::Duplicate(work)
            | Fault::EndlessPages(work)
            | Fault::RepeatLast(work) => work.billed.unwrap_or(answer),
            Fault::ContentType { billed, .. }
            | Fault::Huge { billed, .. }
            | Fault::Bomb { billed, .. }
            | Fault::Drip { billed, .. }
            | Fault::Shift { billed, .. } => billed.unwrap_or(answer),
        }
    }

    /// Returns the order of pages under this fault.
    pub fn paging(&self) -> Paging {
        match self {
            Fault::Duplicate(_) => Paging::Duplicate,
            Fault::Shift { items, .. } => {
                Paging::Moved(usize::try_from(*items).unwrap_or(usize::MAX))
            }
            Fault::EndlessPages(_) => Paging::Endless,
            Fault::RepeatLast(_) => Paging::RepeatLast,
            Fault::Code { .. }
            | Fault::Status { .. }
            | Fault::EchoToken {}
            | Fault::Redirect { .. }
            | Fault::Timeout(_)
            | Fault::TimeoutInBody(_)
            | Fault::Reset(_)
            | Fault::ResetInBody(_)
            | Fault::Truncated(_)
            | Fault::Garbage(_)
            | Fault::Html(_)
            | Fault::Empty(_)
            | Fault::Trailing(_)
            | Fault::Nan(_)
            | Fault::EmptyData(_)
            | Fault::NullData(_)
            | Fault::ContentType { .. }
            | Fault::Gzip(_)
            | Fault::FalseGzip(_)
            | Fault::Huge { .. }
            | Fault::Bomb { .. }
            | Fault::Endless(_)
            | Fault::Drip { .. } => Paging::Straight,
        }
    }

    /// Checks the values of the fault.
    ///
    /// # Errors
    /// A value is not valid in HTTP or not supported by the sandbox.
    pub fn check(&self) -> Result<(), String> {
        match self {
            Fault::Code { code, status, .. } => {
                if code.0.is_empty() {
                    return Err("the code is empty".to_owned());
                }
                status.map_or(Ok(()), check_status)
            }
            Fault::Status { status, .. } => check_status(*status),
            Fault::ContentType { content_type, .. } => HeaderValue::from_str(content_type)
                .map(|_| ())
                .map_err(|_| format!("no header can have the value {content_type:?}")),
            Fault::Huge { megabytes, .. } | Fault::Bomb { megabytes, .. } => {
                if (1..=MOST_MEGABYTES).contains(megabytes) {
                    Ok(())
                } else {
                    Err(format!("megabytes is from 1 to {MOST_MEGABYTES}"))
                }
            }
            Fault::Drip {
                bytes_per_second: 0,
                ..
            } => Err("bytes_per_second is at least 1".to_owned()),
            Fault::Shift { items: 0, .. } => Err("items is at least 1".to_owned()),
            _ => Ok(()),
        }
    }
}

/// Checks that a status is final: statuses below 200 do not end a call.
fn check_status(status: u16) -> Result<(), String> {
    match StatusCode::from_u16(status) {
        Ok(known) if (200..600).contains(&known.as_u16()) => Ok(()),
        _ => Err(format!("the status {status} is not from 200 to 599")),
    }
}
