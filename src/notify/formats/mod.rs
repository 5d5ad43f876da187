//! The requests of a message in each format, and what the answers mean.
//!
//! Bodies, signatures and limits are those of the services' documents: Feishu "Use bots in groups",
//! DingTalk "Custom robot access", WeCom "Group robot configuration", Slack "Incoming webhooks".

mod chat;
mod generic;
pub mod text;

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use serde_json::Value;

use super::message::WebhookMessage;
use crate::plan::notify::Notification;
use crate::spec::notify::WebhookFormat;

/// A request with a message.
pub struct WebhookRequest {
    pub url: SecretString,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
    /// Number of the message's cards in the body: the first ones.
    pub cards: usize,
}

impl WebhookRequest {
    /// Returns the request of a message. `now` is the timestamp of a signature.
    pub fn new(to: &Notification, message: &WebhookMessage, now: DateTime<Utc>) -> Self {
        match to.format {
            WebhookFormat::Generic => generic::request(to, message, now),
            WebhookFormat::Feishu => chat::feishu(to, message, now),
            WebhookFormat::Dingtalk => chat::dingtalk(to, message, now),
            WebhookFormat::Wecom => chat::wecom(to, message),
            WebhookFormat::Slack => chat::slack(to, message),
        }
    }

    /// Makes a request with a JSON body.
    fn json(url: SecretString, body: &Value, cards: usize) -> Self {
        WebhookRequest {
            url,
            headers: vec![("content-type", "application/json; charset=utf-8".to_owned())],
            body: body.to_string().into_bytes(),
            cards,
        }
    }
}

/// Maximum length of an error text that a service sends, in characters.
const LONGEST_ERROR: usize = 200;

/// A message that was not taken.
#[derive(Debug, PartialEq)]
pub struct WebhookRefusal {
    /// In the service's words, which may repeat secrets.
    pub reason: String,
    /// True if a later attempt may succeed.
    pub is_temporary: bool,
}

/// Returns true if the answer of a service says in its body whether the message was delivered.
pub fn answers_with_code(format: WebhookFormat) -> bool {
    match format {
        WebhookFormat::Generic | WebhookFormat::Slack => false,
        WebhookFormat::Feishu | WebhookFormat::Dingtalk | WebhookFormat::Wecom => true,
    }
}

/// Returns the refusal in an answer with status 200 of a service that [`answers_with_code`]: a code
/// other than 0. `None` if the message was delivered.
pub fn refusal(format: WebhookFormat, body: &[u8]) -> Option<WebhookRefusal> {
    // The second codes are those of a robot that sends too often.
    let (code, text, too_often) = match format {
        WebhookFormat::Generic | WebhookFormat::Slack => return None,
        WebhookFormat::Feishu => ("code", "msg", 11_232),
        WebhookFormat::Dingtalk => ("errcode", "errmsg", 130_101),
        WebhookFormat::Wecom => ("errcode", "errmsg", 45_009),
    };
    let refused = |reason, is_temporary| WebhookRefusal {
        reason,
        is_temporary,
    };
    let Ok(answer) = serde_json::from_slice::<Value>(body) else {
        return Some(refused("the answer is not JSON".to_owned(), false));
    };
    // Feishu's first version of the answer.
    let number = answer.get(code).or_else(|| answer.get("StatusCode"));
    match number.and_then(Value::as_i64) {
        Some(0) => None,
        Some(number) => {
            let text = answer.get(text).and_then(Value::as_str).unwrap_or_default();
            let text: String = text.chars().take(LONGEST_ERROR).collect();
            Some(refused(
                format!("{code} {number}: {text}"),
                number == too_often,
            ))
        }
        None => Some(refused(format!("the answer has no `{code}`"), false)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_that_answers_with_a_code_has_refused() {
        let of =
            |format, body: &str| refusal(format, body.as_bytes()).map(|refusal| refusal.reason);
        let ok = r#"{"code":0,"msg":"success","data":{}}"#;
        assert_eq!(of(WebhookFormat::Feishu, ok), None);
        let old = r#"{"StatusCode":0,"StatusMessage":"success"}"#;
        assert_eq!(of(WebhookFormat::Feishu, old), None);
        let sign = r#"{"code":19021,"msg":"sign match fail or timestamp is not within one hour"}"#;
        let expected = "code 19021: sign match fail or timestamp is not within one hour";
        assert_eq!(of(WebhookFormat::Feishu, sign).as_deref(), Some(expected));
        let ok = r#"{"errcode":0,"errmsg":"ok"}"#;
        assert_eq!(of(WebhookFormat::Dingtalk, ok), None);
        assert_eq!(of(WebhookFormat::Wecom, ok), None);
        let key = r#"{"errcode":93000,"errmsg":"invalid webhook url"}"#;
        let expected = Some("errcode 93000: invalid webhook url".to_owned());
        assert_eq!(of(WebhookFormat::Wecom, key), expected);
        assert!(of(WebhookFormat::Dingtalk, "<html>").is_some());
        assert!(of(WebhookFormat::Dingtalk, "{}").is_some());
        let often = r#"{"errcode":45009,"errmsg":"api freq out of limit"}"#;
        let refusal = refusal(WebhookFormat::Wecom, often.as_bytes());
        assert!(refusal.is_some_and(|refusal| refusal.is_temporary));
        assert_eq!(of(WebhookFormat::Slack, "ok"), None);
        assert_eq!(of(WebhookFormat::Generic, ""), None);
    }
}
