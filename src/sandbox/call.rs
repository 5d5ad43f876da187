//! A call as it arrived, and what it asks for in redlake's own words.

use axum::http::Method;
use serde::Serialize;

/// What a client sends.
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

/// What a call asks for. What it does not say, or says in a way that the contract does not know,
/// is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Asked {
    pub endpoint: Option<String>,
    pub source: Option<String>,
    pub keyword: Option<String>,
    pub note_id: Option<String>,
    /// From 1, which is also meant where a search does not say it.
    pub page: Option<u64>,
    /// redlake's word.
    pub sort: Option<String>,
}

/// What a call says of who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    Missing,
    Wrong,
    Right,
}
