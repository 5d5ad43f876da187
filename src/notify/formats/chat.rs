//! The formats of chat services: Feishu, DingTalk, WeCom, Slack.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use url::Url;

use super::WebhookRequest;
use super::text::{Dialect, MessageText, text};
use crate::notify::message::{Tone, WebhookMessage};
use crate::plan::notify::Notification;
use crate::signing::hmac_sha256;

/// Maximum length of a text, in bytes. A body for Feishu and DingTalk may have 20 KB, and JSON may write
/// a character of one byte with two.
const LONGEST: usize = 9_000;

/// Maximum length of title and text for WeCom, in bytes. Its document allows 4,096.
const LONGEST_WECOM: usize = 4_000;

/// Maximum length of a text for Slack. A section may have 3,000 characters.
const LONGEST_SLACK: usize = 2_900;

/// Maximum length of a title, in characters. The header of a block for Slack may have 150.
const LONGEST_TITLE: usize = 120;

/// A card with a coloured title. `sign` is the HMAC of nothing with the timestamp in seconds, a line
/// break and the secret as its key.
pub fn feishu(to: &Notification, message: &WebhookMessage, now: DateTime<Utc>) -> WebhookRequest {
    let template = match message.tone {
        Tone::Good => "green",
        Tone::Neutral => "blue",
        Tone::Warning => "orange",
        Tone::Bad => "red",
    };
    let MessageText { text, cards } = text(message, Dialect::Markdown, LONGEST);
    let mut body = json!({
        "msg_type": "interactive",
        "card": {
            "config": {"wide_screen_mode": true},
            "header": {
                "template": template,
                "title": {"tag": "plain_text", "content": title(message)},
            },
            "elements": [{"tag": "markdown", "content": text}],
        },
    });
    if let (Some(secret), Value::Object(body)) = (&to.secret, &mut body) {
        let timestamp = now.timestamp().to_string();
        let key = format!("{timestamp}\n{}", secret.expose_secret());
        let sign = STANDARD.encode(hmac_sha256(key.as_bytes(), b""));
        body.insert("timestamp".to_owned(), timestamp.into());
        body.insert("sign".to_owned(), sign.into());
    }
    WebhookRequest::json(to.webhook.clone(), &body, cards)
}

/// A message in Markdown. The signature is in the address: the HMAC of the timestamp in milliseconds, a
/// line break and the secret, with the secret as its key.
pub fn dingtalk(to: &Notification, message: &WebhookMessage, now: DateTime<Utc>) -> WebhookRequest {
    let title = title(message);
    let MessageText { text, cards } = text(message, Dialect::SpacedMarkdown, LONGEST);
    let body = json!({
        "msgtype": "markdown",
        "markdown": {"title": title, "text": format!("#### {title}\n\n{text}")},
    });
    let url = match &to.secret {
        Some(secret) => signed(&to.webhook, secret, now),
        None => to.webhook.clone(),
    };
    WebhookRequest::json(url, &body, cards)
}

/// Returns an address with `timestamp` and `sign`.
fn signed(webhook: &SecretString, secret: &SecretString, now: DateTime<Utc>) -> SecretString {
    let Ok(mut url) = Url::parse(webhook.expose_secret()) else {
        return webhook.clone();
    };
    let (timestamp, secret) = (now.timestamp_millis(), secret.expose_secret());
    let text = format!("{timestamp}\n{secret}");
    let sign = STANDARD.encode(hmac_sha256(secret.as_bytes(), text.as_bytes()));
    url.query_pairs_mut()
        .append_pair("timestamp", &timestamp.to_string())
        .append_pair("sign", &sign);
    SecretString::from(url.to_string())
}

/// A message in Markdown. WeCom's robots sign nothing.
pub fn wecom(to: &Notification, message: &WebhookMessage) -> WebhookRequest {
    let title = Dialect::Markdown.bold(&title(message));
    let room = LONGEST_WECOM - title.len();
    let MessageText { text, cards } = text(message, Dialect::Markdown, room);
    let body = json!({
        "msgtype": "markdown",
        "markdown": {"content": format!("{title}\n{text}")},
    });
    WebhookRequest::json(to.webhook.clone(), &body, cards)
}

/// A message in blocks, and a text for notifications. Slack's webhooks sign nothing.
pub fn slack(to: &Notification, message: &WebhookMessage) -> WebhookRequest {
    let title = title(message);
    let MessageText { text, cards } = text(message, Dialect::Slack, LONGEST_SLACK);
    let mut blocks = vec![json!({
        "type": "header",
        "text": {"type": "plain_text", "text": title, "emoji": false},
    })];
    if !text.is_empty() {
        let text = json!({"type": "mrkdwn", "text": text, "verbatim": true});
        blocks.push(json!({"type": "section", "text": text}));
    }
    let body = json!({"text": title, "blocks": blocks});
    WebhookRequest::json(to.webhook.clone(), &body, cards)
}

fn title(message: &WebhookMessage) -> String {
    let title = Dialect::Markdown.escape(&message.title);
    title.chars().take(LONGEST_TITLE).collect()
}
