//! Builds the reply to a call from its answer and its fault.

use std::io::Write;

use axum::body::Bytes;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE, DATE, LOCATION, RETRY_AFTER};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use chrono::{DateTime, TimeDelta, Utc};
use flate2::write::{DeflateEncoder, GzEncoder};
use flate2::{Compression, Crc};
use serde_json::{Map, Value, json};

use crate::clock;
use crate::sandbox::api::ApiAnswer;
use crate::sandbox::envelope::BusinessCode;
use crate::sandbox::faults::{Fault, RetryAfter, StatusBody};
use crate::sandbox::http::connection::{Content, first_half};
use crate::sandbox::world::dice::Dice;

pub const JSON: &str = "application/json;charset=UTF-8";

const HTML: &str = "text/html;charset=UTF-8";

/// The page of a proxy whose server does not answer.
const PROXY_PAGE: &str = "<!DOCTYPE html>\n<html><head><title>502 Bad Gateway</title></head>\
    <body><center><h1>502 Bad Gateway</h1></center><hr><center>proxy</center></body></html>\n";

/// Action on the connection.
#[derive(Debug)]
pub enum Reply {
    Send(Message),
    /// Nothing is sent and the connection stays open.
    Hang,
    /// Nothing is sent and the connection is reset.
    Reset,
}

/// An HTTP answer.
#[derive(Debug)]
pub struct Message {
    pub status: StatusCode,
    /// The business code in the body.
    pub code: Option<BusinessCode>,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub content: Content,
}

impl Message {
    fn new(status: StatusCode, content_type: &'static str, content: Content) -> Self {
        Message {
            status,
            code: None,
            headers: vec![(CONTENT_TYPE, HeaderValue::from_static(content_type))],
            content,
        }
    }

    pub fn of(answer: ApiAnswer) -> Self {
        let content = Content::whole(answer.body);
        Message {
            code: answer.code,
            ..Message::new(answer.status, JSON, content)
        }
    }

    /// Returns a message with this status, whose body is not an envelope.
    pub fn status(status: u16, body: StatusBody) -> Self {
        let (content_type, body) = match body {
            StatusBody::Html => (HTML, PROXY_PAGE),
            StatusBody::Empty => (HTML, ""),
            StatusBody::Json => (JSON, r#"{"error":"unavailable"}"#),
        };
        let message = Message::new(StatusCode::OK, content_type, Content::whole(body));
        message.with_status(Some(status))
    }

    pub fn redirect(location: &str) -> Self {
        let status = StatusCode::TEMPORARY_REDIRECT;
        let mut message = Message::new(status, HTML, Content::whole(Bytes::new()));
        // A request target and a host name have no characters that a header cannot carry.
        let location = HeaderValue::from_str(location).ok();
        message
            .headers
            .extend(location.map(|location| (LOCATION, location)));
        message
    }

    /// Replaces the status, if the new one is valid.
    pub fn with_status(mut self, status: Option<u16>) -> Self {
        let status = status.and_then(|status| StatusCode::from_u16(status).ok());
        self.status = status.unwrap_or(self.status);
        self
    }

    pub fn with_retry_after(mut self, retry_after: Option<RetryAfter>) -> Self {
        let Some(retry_after) = retry_after else {
            return self;
        };
        let now = clock::now();
        let value = match retry_after {
            RetryAfter::Seconds(seconds) => Some(HeaderValue::from(seconds)),
            RetryAfter::DateInSeconds(seconds) => {
                let then = TimeDelta::try_seconds(seconds);
                let then = then.and_then(|seconds| now.checked_add_signed(seconds));
                http_date(then.unwrap_or(DateTime::<Utc>::MAX_UTC))
            }
        };
        self.headers.extend(value.map(|value| (RETRY_AFTER, value)));
        // Both use the same instant, because clients evaluate the difference.
        self.headers.extend(http_date(now).map(|date| (DATE, date)));
        self
    }

    fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self.headers.push((name, value));
        self
    }
}

/// Formats an HTTP date (RFC 9110, section 5.6.7).
fn http_date(at: DateTime<Utc>) -> Option<HeaderValue> {
    let text = at.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    HeaderValue::from_str(&text).ok()
}

/// Returns an answer as a fault changes it. Faults that are answers themselves leave it as it is.
pub fn disturbed(fault: Option<&Fault>, answer: ApiAnswer, mut dice: Dice) -> Reply {
    let body = Bytes::from(answer.body.clone());
    let with_content = |answer, content| Message {
        content,
        ..Message::of(answer)
    };
    let other = |content_type, content| Message::new(StatusCode::OK, content_type, content);
    Reply::Send(match fault {
        Some(Fault::Timeout(_)) => return Reply::Hang,
        Some(Fault::Reset(_)) => return Reply::Reset,
        Some(Fault::TimeoutInBody(_)) => with_content(answer, Content::half_then_hang(body)),
        Some(Fault::ResetInBody(_)) => with_content(answer, Content::half_then_break(body)),
        Some(Fault::Truncated(_)) => with_content(answer, Content::whole(first_half(&body))),
        Some(Fault::Drip {
            bytes_per_second, ..
        }) => with_content(answer, Content::drip(body, *bytes_per_second)),

        Some(Fault::Garbage(_)) => other(JSON, Content::whole(garbage(&mut dice))),
        Some(Fault::Html(_)) => other(HTML, Content::whole(PROXY_PAGE)),
        Some(Fault::Empty(_)) => other(JSON, Content::whole(Bytes::new())),
        Some(Fault::ContentType { content_type, .. }) => {
            let message = Message::of(answer);
            match HeaderValue::from_str(content_type) {
                Ok(value) => message.with_header(CONTENT_TYPE, value),
                Err(_) => message,
            }
        }
        Some(Fault::Gzip(_)) => {
            let content = Content::whole(compressed(&body));
            with_content(answer, content).with_header(CONTENT_ENCODING, GZIP)
        }

        Some(Fault::FalseGzip(_)) => {
            let message = Message::of(answer);
            message.with_header(CONTENT_ENCODING, GZIP)
        }
        Some(Fault::Trailing(_)) => {
            let content = Content::whole(answer.body.clone() + TRAILER);
            with_content(answer, content)
        }
        Some(Fault::Nan(_)) => {
            let open = answer.body.trim_end().strip_suffix('}');
            let fields = open.expect("an envelope is an object");
            let content = Content::whole(format!("{fields},\"score\":NaN}}"));
            with_content(answer, content)
        }
        Some(Fault::EmptyData(_)) => Message::of(with_data(answer, json!({}))),
        Some(Fault::NullData(_)) => Message::of(with_data(answer, Value::Null)),

        Some(Fault::Huge { megabytes, .. }) => {
            let Padded { head, times, tail } = Padded::new(&body, CHUNK, *megabytes);
            let content = Content::filled(head.into(), padding(CHUNK), Some(times), tail.into());
            with_content(answer, content)
        }
        Some(Fault::Endless(_)) => {
            let Padded { head, tail, .. } = Padded::new(&body, CHUNK, 1);
            let content = Content::filled(head.into(), padding(CHUNK), None, tail.into());
            with_content(answer, content)
        }
        Some(Fault::Bomb { megabytes, .. }) => {
            let Padded { head, times, tail } = Padded::new(&body, MEBIBYTE, *megabytes);
            let Bomb { head, block, tail } = Bomb::new(&head, &padding(MEBIBYTE), times, &tail);
            let content = Content::filled(head, block, Some(times), tail);
            with_content(answer, content).with_header(CONTENT_ENCODING, GZIP)
        }

        None
        | Some(
            Fault::Code { .. }
            | Fault::Status { .. }
            | Fault::EchoToken {}
            | Fault::Redirect { .. }
            | Fault::Duplicate(_)
            | Fault::Shift { .. }
            | Fault::EndlessPages(_)
            | Fault::RepeatLast(_),
        ) => Message::of(answer),
    })
}

/// Trailer after the JSON of an answer, on a separate line.
const TRAILER: &str = "\n<!-- served by proxy-7 -->";

/// An answer with other data.
fn with_data(answer: ApiAnswer, data: Value) -> ApiAnswer {
    edited(answer, |fields| {
        fields.insert("data".to_owned(), data);
    })
}

/// An answer whose words stand in `msg`.
pub fn with_msg(answer: ApiAnswer, msg: &str) -> ApiAnswer {
    edited(answer, |fields| {
        fields.remove("message");
        fields.insert("msg".to_owned(), msg.into());
    })
}

fn edited(answer: ApiAnswer, edit: impl FnOnce(&mut Map<String, Value>)) -> ApiAnswer {
    let mut fields = serde_json::from_str(&answer.body).expect("an envelope is an object");
    edit(&mut fields);
    ApiAnswer {
        body: Value::Object(fields).to_string(),
        ..answer
    }
}

const GZIP: HeaderValue = HeaderValue::from_static("gzip");

const MEBIBYTE: usize = 1 << 20;

/// Block size of a body that is generated while it is sent.
const CHUNK: usize = 64 << 10;

fn padding(length: usize) -> Bytes {
    vec![b'x'; length].into()
}

/// A JSON object with one more field, a long text: the end of `head`, `times` × a block, and the
/// start of `tail`.
struct Padded {
    head: Vec<u8>,
    times: u64,
    tail: Vec<u8>,
}

impl Padded {
    /// Pads an object to `megabytes` MiB, or to the length that the object needs.
    fn new(object: &[u8], block: usize, megabytes: u64) -> Self {
        let open = object.trim_ascii_end().strip_suffix(b"}");
        let mut head = match open {
            Some(fields) => [fields, b",\"padding\":\""].concat(),
            None => b"{\"padding\":\"".to_vec(),
        };
        let tail = b"\"}".to_vec();
        let length = megabytes.saturating_mul(MEBIBYTE as u64);
        let missing = length.saturating_sub((head.len() + tail.len()) as u64);
        let (times, rest) = (missing / block as u64, missing % block as u64);
        head.resize(head.len() + rest as usize, b'x'); // less than a block
        Padded { head, times, tail }
    }
}

/// Returns a kibibyte that is neither JSON, nor text, nor gzip.
fn garbage(dice: &mut Dice) -> Vec<u8> {
    let random = std::iter::repeat_with(|| dice.number().to_le_bytes());
    // UTF-8 never begins with this byte.
    [0xff]
        .into_iter()
        .chain(random.take(128).flatten())
        .take(1 << 10)
        .collect()
}

/// Compresses a body with gzip.
fn compressed(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).expect(IN_MEMORY);
    encoder.finish().expect(IN_MEMORY)
}

/// A gzip body that repeats one block: `head`, a number of times `block`, `tail`. Memory use does
/// not depend on the unpacked length.
struct Bomb {
    head: Bytes,
    block: Bytes,
    tail: Bytes,
}

const IN_MEMORY: &str = "writing to memory does not fail";

/// A gzip header (RFC 1952): deflate, no flags, no time, unknown system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

impl Bomb {
    /// Returns a body that unpacks to `head`, `times` × `block`, `tail`, if its block is sent
    /// `times` times.
    fn new(head: &[u8], block: &[u8], times: u64, tail: &[u8]) -> Self {
        let (mut whole, mut of_block) = (Crc::new(), Crc::new());
        whole.update(head);
        of_block.update(block);
        for _ in 0..times {
            whole.combine(&of_block);
        }
        let mut of_tail = Crc::new();
        of_tail.update(tail);
        whole.combine(&of_tail);

        let head = [&HEADER[..], &deflated(head)].concat();
        // The last block of a deflate stream. It is empty and marks the end.
        let last = DeflateEncoder::new(Vec::new(), Compression::fast());
        let last = last.finish().expect(IN_MEMORY);
        // The format requires the length modulo 2^32.
        let trailer = [whole.sum().to_le_bytes(), whole.amount().to_le_bytes()].concat();
        let tail = [deflated(tail), last, trailer].concat();
        Bomb {
            head: head.into(),
            block: deflated(block).into(),
            tail: tail.into(),
        }
    }
}

/// Returns a part of a deflate stream. It ends on a byte boundary and has no back references, so
/// parts can be concatenated in any order.
fn deflated(part: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(part).expect(IN_MEMORY);
    encoder.flush().expect(IN_MEMORY);
    encoder.get_ref().clone()
}
