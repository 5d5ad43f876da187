//! Sends a message to a webhook, with one retry.

use std::time::{Duration, Instant};

use secrecy::ExposeSecret;
use url::Url;

use super::formats::{WebhookRefusal, WebhookRequest, answers_with_code, refusal};
use super::message::WebhookMessage;
use crate::clock;
use crate::extract::client::post::{Posted, post};
use crate::plan::notify::Notification;
use crate::spec::notify::WebhookFormat;
use crate::spec::yaml::escape::escaped_line;

/// Longest pause before the second attempt.
const PAUSE: Duration = Duration::from_millis(500);

/// Sends a message until `deadline` at the latest, and returns the number of cards in it. The first of
/// two attempts may take half of the time.
///
/// # Errors
/// The reason why it was not delivered. It contains neither the address nor the secret.
pub async fn deliver(
    to: &Notification,
    message: &WebhookMessage,
    deadline: Instant,
) -> Result<usize, String> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err("no time was left to send it".to_owned());
    }
    let first = match attempt(to, message, left / 2).await {
        Ok(cards) => return Ok(cards),
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
) -> Result<usize, WebhookRefusal> {
    let request = WebhookRequest::new(to, message, clock::now());
    let reads_body = answers_with_code(to.format);
    let posted = post(
        &request.url,
        &request.headers,
        request.body,
        reads_body,
        limit,
    )
    .await;
    let refused = |reason: String, is_temporary| {
        let reason = without_secrets(&reason, to, request.url.expose_secret());
        Err(WebhookRefusal {
            reason,
            is_temporary,
        })
    };
    let Posted { status, body } = match posted {
        Ok(posted) => posted,
        Err(reason) => return refused(reason, true),
    };
    match status {
        200..=299 => match refusal(to.format, &body) {
            None => Ok(request.cards),
            Some(refusal) => refused(refusal.reason, refusal.is_temporary),
        },
        300..=399 => {
            let reason =
                format!("status {status}: redirects are not followed; give the final address");
            refused(reason, false)
        }
        _ => {
            let reason = format!("status {status}{}", said(to.format, &body));
            refused(reason, status == 429 || status >= 500)
        }
    }
}

/// Returns what a service says about an error. Slack answers with a word such as `invalid_payload`.
fn said(format: WebhookFormat, body: &[u8]) -> String {
    let text = match format {
        WebhookFormat::Slack => {
            let word = String::from_utf8_lossy(body).trim().to_owned();
            let is_word = word.chars().all(|c| c.is_ascii_lowercase() || c == '_');
            (is_word && !word.is_empty()).then_some(word)
        }
        WebhookFormat::Feishu | WebhookFormat::Dingtalk | WebhookFormat::Wecom => {
            let refusal = refusal(format, body).filter(|_| body.starts_with(b"{"));
            refusal.map(|refusal| refusal.reason)
        }
        WebhookFormat::Generic => None,
    };
    text.map_or_else(String::new, |text| format!(": {text}"))
}

/// Parts of an address that are shorter than this are words, such as `send`.
const SHORTEST_SECRET: usize = 6;

/// Returns a text on one line, with the parts of the address that may be secret and the secret of the
/// webhook replaced: a service may repeat them.
fn without_secrets(text: &str, to: &Notification, address: &str) -> String {
    let mut secrets: Vec<String> = Vec::new();
    if let Ok(url) = Url::parse(address) {
        let path = url.path_segments().into_iter().flatten();
        secrets.extend(path.map(str::to_owned));
        for pair in url.query().unwrap_or_default().split('&') {
            let value = pair.split_once('=').map_or(pair, |(_, value)| value);
            secrets.push(value.to_owned());
        }
        secrets.extend(url.query_pairs().map(|(_, value)| value.into_owned()));
    }
    if let Some(secret) = &to.secret {
        secrets.push(secret.expose_secret().to_owned());
    }
    secrets.retain(|secret| secret.len() >= SHORTEST_SECRET);
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    let hidden = secrets
        .iter()
        .fold(text.to_owned(), |text, secret| text.replace(secret, "***"));
    escaped_line(&hidden).into_owned()
}
