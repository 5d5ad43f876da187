//! Classes of outcomes: what an answer of a provider, or the lack of one, means.

use std::fmt;

use serde::de::IntoDeserializer;
use serde::de::value::Error;
use serde::{Deserialize, Deserializer, Serialize};

/// Meaning of the outcome of a call, as the column `class` of the table `requests` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallClass {
    Ok,
    /// The note no longer exists.
    Gone,
    Transient,
    RateLimited,
    Quota,
    Auth,
    Permission,
    Balance,
    BadRequest,
    NotFound,
    Server,
    /// No connection.
    Transport,
    Timeout,
    /// The answer cannot be read.
    Invalid,
    /// The answer is about another subject than the request.
    Mismatch,
    /// The answer is at another address. The call to that address has a row of its own.
    Redirected,
    /// The process died before the outcome was recorded.
    Lost,
    /// A business code that the contract does not list.
    Unknown,
}

impl CallClass {
    /// Classes that a contract may give to a business code. The others are for outcomes without a
    /// code.
    pub const OF_CODES: [CallClass; 11] = [
        CallClass::Ok,
        CallClass::Gone,
        CallClass::Transient,
        CallClass::RateLimited,
        CallClass::Quota,
        CallClass::Auth,
        CallClass::Permission,
        CallClass::Balance,
        CallClass::BadRequest,
        CallClass::NotFound,
        CallClass::Server,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            CallClass::Ok => "ok",
            CallClass::Gone => "gone",
            CallClass::Transient => "transient",
            CallClass::RateLimited => "rate_limited",
            CallClass::Quota => "quota",
            CallClass::Auth => "auth",
            CallClass::Permission => "permission",
            CallClass::Balance => "balance",
            CallClass::BadRequest => "bad_request",
            CallClass::NotFound => "not_found",
            CallClass::Server => "server",
            CallClass::Transport => "transport",
            CallClass::Timeout => "timeout",
            CallClass::Invalid => "invalid",
            CallClass::Mismatch => "mismatch",
            CallClass::Redirected => "redirected",
            CallClass::Lost => "lost",
            CallClass::Unknown => "unknown",
        }
    }

    /// Reads a class of a raw page or of a journal. A word that another version of redlake wrote
    /// is [`CallClass::Unknown`], so that its pages stay readable.
    pub fn recorded<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        let class = CallClass::deserialize(IntoDeserializer::<Error>::into_deserializer(word));
        Ok(class.unwrap_or(CallClass::Unknown))
    }
}

impl fmt::Display for CallClass {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_written_as_the_word_of_its_column() {
        for class in CallClass::OF_CODES {
            assert_eq!(serde_json::to_value(class).expect("a word"), class.as_str());
        }
    }

    #[test]
    fn a_recorded_class_of_another_version_is_unknown() {
        let recorded = |word: &str| CallClass::recorded(serde_json::Value::from(word));
        assert_eq!(
            recorded("rate_limited").expect("a class"),
            CallClass::RateLimited
        );
        assert_eq!(
            recorded("of a later version").expect("a class"),
            CallClass::Unknown
        );
    }
}
