//! The format `generic`: a JSON object of redlake's own, documented in `pipelines/README.md`.

use chrono::{DateTime, Utc};
use secrecy::ExposeSecret;
use serde::Serialize;

use super::WebhookRequest;
use super::text::{Dialect, text};
use crate::notify::message::{
    DriftField, FindingRows, KnownProblem, MessageKind, RunSummary, WebhookMessage,
};
use crate::plan::notify::Notification;
use crate::signing::hmac_sha256;
use crate::spec::notify::NotifyEvent;

/// Version of the body. A new one when a key is removed or changes its meaning.
const VERSION: u32 = 1;

/// Body of a message.
#[derive(Serialize)]
struct GenericBody<'m> {
    version: u32,
    kind: MessageKind,
    events: &'m [NotifyEvent],
    pipeline: &'m str,
    simulated: bool,
    sent_at: DateTime<Utc>,
    title: &'m str,
    /// The message for people, without markup.
    text: String,
    run: Option<&'m RunSummary>,
    drift: &'m [DriftField],
    finding: Option<&'m FindingRows>,
    problems: &'m [KnownProblem],
}

/// Maximum length of the text, in bytes.
const LONGEST: usize = 32_000;

/// Returns the request. With a secret, `X-Redlake-Signature` is `sha256=` and the HMAC-SHA256, in
/// hexadecimal digits, of `X-Redlake-Timestamp`, a full stop and the body.
pub fn request(to: &Notification, message: &WebhookMessage, now: DateTime<Utc>) -> WebhookRequest {
    let body = GenericBody {
        version: VERSION,
        kind: message.kind,
        events: &message.events,
        pipeline: &message.pipeline,
        simulated: message.is_simulated,
        sent_at: message.sent_at,
        title: &message.title,
        text: text(message, Dialect::Plain, LONGEST).text,
        run: message.run.as_ref(),
        drift: &message.drift,
        finding: message.finding.as_ref(),
        problems: &message.problems,
    };
    let body = serde_json::to_value(&body).expect("texts and numbers are JSON");
    let mut request = WebhookRequest::json(to.webhook.clone(), &body, message.cards.len());
    if let Some(secret) = &to.secret {
        let timestamp = now.timestamp().to_string();
        let signed = [timestamp.as_bytes(), b".", &request.body].concat();
        let hmac = hmac_sha256(secret.expose_secret().as_bytes(), &signed);
        let digits: String = hmac.iter().map(|byte| format!("{byte:02x}")).collect();
        request.headers.push(("x-redlake-timestamp", timestamp));
        request
            .headers
            .push(("x-redlake-signature", format!("sha256={digits}")));
    }
    request
}
