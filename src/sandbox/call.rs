//! An incoming call, and its request in redlake's own vocabulary.

use axum::http::Method;
use serde::Serialize;

/// A request of a client.
#[derive(Clone, Debug, Default)]
pub struct ApiCall {
    pub method: Method,
    pub path: String,
    pub query: Vec<(String, String)>,
    pub bearer: Option<String>,
}

impl ApiCall {
    /// The first value of a query parameter.
    pub fn param(&self, name: &str) -> Option<&str> {
        let mut query = self.query.iter();
        let (_, value) = query.find(|(given, _)| given == name)?;
        Some(value)
    }
}

/// The request of a call. A field is `None` if the call does not give it, or gives a value that the
/// contract does not know.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Asked {
    pub endpoint: Option<String>,
    pub source: Option<String>,
    pub keyword: Option<String>,
    pub note_id: Option<String>,
    /// Page from 1, which is also the default of a search.
    pub page: Option<u64>,
    /// Sort, in redlake's vocabulary.
    pub sort: Option<String>,
}

/// State of the token of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    Missing,
    Wrong,
    Right,
}
