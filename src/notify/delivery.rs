//! Sends a message to a webhook, with one retry.

use std::time::{Duration, Instant};

use super::formats::{WebhookRequest, refusal};
use super::message::WebhookMessage;
use crate::clock;
use crate::extract::client::post::{Posted, post};
use crate::plan::notify::Notification;
use crate::spec::notify::WebhookFormat;

/// Reason why an attempt did not deliver a message.
struct Undelivered {
    reason: String,
    /// True if a second attempt may succeed.
    is_temporary: bool,
}

/// Longest pause before the second attempt.
const PAUSE: Duration = Duration::from_millis(500);

/// Sends a message until `deadline` at the latest. The first of two attempts may take half of the time.
///
/// # Errors
/// The reason why it was not delivered. It contains neither the address nor the secret.
pub async fn deliver(
    to: &Notification,
    message: &WebhookMessage,
    deadline: Instant,
) -> Result<(), String> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err("no time was left to send it".to_owned());
    }
    let first = match attempt(to, message, left / 2).await {
        Ok(()) => return Ok(()),
        Err(first) if !first.is_temporary => return Err(first.reason),
        Err(first) => first,
    };
    let left = deadline.saturating_duration_since(Instant::now());
    let pause = PAUSE.min(left / 4);
    tokio::time::sleep(pause).await;
    let second = attempt(to, message, left.saturating_sub(pause)).await;
    second.map_err(|second| {
        if second.reason == first.reason {
            format!("{}, twice", first.reason)
        } else {
            format!("{}; then {}", first.reason, second.reason)
        }
    })
}

async fn attempt(
    to: &Notification,
    message: &WebhookMessage,
    limit: Duration,
) -> Result<(), Undelivered> {
    let request = WebhookRequest::new(to, message, clock::now());
    let posted = post(&request.url, &request.headers, request.body, limit);
    let Posted { status, body } = posted.await.map_err(|reason| Undelivered {
        reason,
        is_temporary: true,
    })?;
    let refused = |reason, is_temporary| {
        Err(Undelivered {
            reason,
            is_temporary,
        })
    };
    match status {
        200..=299 => match refusal(to.format, &body) {
            None => Ok(()),
            Some(reason) => refused(reason, false),
        },
        300..=399 => refused(
            format!("status {status}: redirects are not followed; give the final address"),
            false,
        ),
        _ => {
            let said = said(to.format, &body);
            refused(
                format!("status {status}{said}"),
                status == 429 || status >= 500,
            )
        }
    }
}

/// Returns what a service says about an error. Slack answers with a word such as `invalid_payload`.
fn said(format: WebhookFormat, body: &[u8]) -> String {
    match format {
        WebhookFormat::Slack => {
            let text = String::from_utf8_lossy(body);
            let word: String = text.chars().take(80).collect();
            if word.is_empty() {
                String::new()
            } else {
                format!(": {word}")
            }
        }
        WebhookFormat::Feishu | WebhookFormat::Dingtalk | WebhookFormat::Wecom => {
            let refusal = refusal(format, body).filter(|_| body.starts_with(b"{"));
            refusal.map_or_else(String::new, |refusal| format!(": {refusal}"))
        }
        WebhookFormat::Generic => String::new(),
    }
}
