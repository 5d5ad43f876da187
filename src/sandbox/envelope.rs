//! Business codes, and the envelope of every API answer.

use std::io;

use axum::http::StatusCode;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::spec::class::CallClass;
use crate::spec::source::{Billed, Code, Source};

/// A business code, as the source contract lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BusinessCode(pub String);

impl BusinessCode {
    /// Returns the code that means success.
    pub fn success(source: &Source) -> Option<Self> {
        source.envelope.success.first().cloned().map(BusinessCode)
    }

    /// Returns the first code of one of these classes.
    pub fn of_class(source: &Source, classes: &[CallClass]) -> Option<Self> {
        let is_meant = |code: &Code| classes.contains(&code.class.value);
        let mut codes = source.codes.iter();
        let (code, _) = codes.find(|(_, code)| is_meant(code))?;
        Some(BusinessCode(code.clone()))
    }

    pub fn meaning(&self, source: &Source) -> String {
        let known = source.codes.get(&self.0);
        known.map_or_else(
            || "a code that the contract does not know".to_owned(),
            |code| code.meaning.clone(),
        )
    }

    pub fn is_billed(&self, source: &Source) -> bool {
        source
            .codes
            .get(&self.0)
            .is_some_and(|code| code.billed == Billed::Yes)
    }

    /// Returns the HTTP status of a code. The providers do not publish it for all codes. The
    /// simulator chooses statuses so that both cases occur: errors with a matching status, and
    /// errors with status 200.
    pub fn http_status(&self, source: &Source) -> StatusCode {
        let as_status = self
            .0
            .parse()
            .ok()
            .and_then(|code| StatusCode::from_u16(code).ok());
        match source.codes.get(&self.0).map(|code| code.class.value) {
            Some(CallClass::Auth) => StatusCode::UNAUTHORIZED,
            Some(CallClass::RateLimited | CallClass::Quota) => StatusCode::TOO_MANY_REQUESTS,
            Some(CallClass::Permission) => StatusCode::FORBIDDEN,
            Some(CallClass::Balance) => StatusCode::PAYMENT_REQUIRED,
            _ => as_status
                .filter(|status| status.is_client_error() || status.is_server_error())
                .unwrap_or(StatusCode::OK),
        }
    }
}

/// Writes a numeric code as a number.
impl Serialize for BusinessCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.parse::<i64>() {
            Ok(number) => serializer.serialize_i64(number),
            Err(_) => serializer.serialize_str(&self.0),
        }
    }
}

/// Reads a number or a text.
impl<'de> Deserialize<'de> for BusinessCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct CodeVisitor;
        impl Visitor<'_> for CodeVisitor {
            type Value = BusinessCode;
            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("a business code")
            }
            fn visit_u64<E>(self, code: u64) -> Result<BusinessCode, E> {
                Ok(BusinessCode(code.to_string()))
            }
            fn visit_i64<E>(self, code: i64) -> Result<BusinessCode, E> {
                Ok(BusinessCode(code.to_string()))
            }
            fn visit_str<E: de::Error>(self, code: &str) -> Result<BusinessCode, E> {
                Ok(BusinessCode(code.to_owned()))
            }
        }
        deserializer.deserialize_any(CodeVisitor)
    }
}

/// The codes of a source that the sandbox looks up by class.
pub struct Codes {
    pub success: BusinessCode,
    pub auth: BusinessCode,
    pub bad_request: BusinessCode,
    pub not_found: BusinessCode,
}

impl Codes {
    /// Looks up the codes in a source contract.
    ///
    /// # Errors
    /// The contract lacks one.
    pub fn of(source: &Source) -> io::Result<Self> {
        let of_class = |classes: &[CallClass]| {
            BusinessCode::of_class(source, classes).ok_or_else(|| missing(source, classes[0]))
        };
        Ok(Codes {
            success: BusinessCode::success(source).ok_or_else(|| missing(source, CallClass::Ok))?,
            auth: of_class(&[CallClass::Auth])?,
            bad_request: of_class(&[CallClass::BadRequest])?,
            not_found: of_class(&[CallClass::NotFound, CallClass::Gone])?,
        })
    }
}

fn missing(source: &Source, class: CallClass) -> io::Error {
    let source = &source.source.value;
    io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("the contract of {source} lists no code of class {class}, which the sandbox needs"),
    )
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AnswerEnvelope<T> {
    pub code: BusinessCode,
    pub data: Option<T>,
    pub message: String,
    #[serde(flatten)]
    pub trace: Option<Trace>,
}

/// Time and id of an answer; not all providers send them.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Trace {
    record_time: String,
    request_id: String,
}

impl Trace {
    pub fn new(now: DateTime<Utc>, request_id: String) -> Self {
        Trace {
            record_time: now.to_rfc3339_opts(SecondsFormat::Millis, true),
            request_id,
        }
    }
}
