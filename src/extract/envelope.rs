//! The parts of an answer that extraction looks at: its business code and its items' ids.

use serde_json::Value;

use crate::spec::source::{Endpoint, Source};

/// An answer's body as far as extraction reads it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Envelope {
    /// The business code as text, whether it was sent as a number or as text.
    pub code: Option<String>,
    pub message: Option<String>,
    pub request_id: Option<String>,
    body: Option<Value>,
}

/// What a page holds, for the rules that decide whether to ask for the next one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PageSummary {
    pub item_count: u64,
    /// Ids of the items that have one.
    pub ids: Vec<String>,
}

impl Envelope {
    pub fn read(body: &[u8], source: &Source) -> Self {
        let Ok(body) = serde_json::from_slice::<Value>(body) else {
            return Envelope::default();
        };
        let text = |path: &str| body.pointer(path).and_then(scalar);
        Envelope {
            code: text(&source.envelope.code),
            message: text(&source.envelope.message),
            request_id: source.envelope.request_id.as_deref().and_then(text),
            body: Some(body),
        }
    }

    /// The items of an accepted answer. An answer without data is an empty page.
    pub fn summary(&self, endpoint: &Endpoint) -> PageSummary {
        let Some(path) = &endpoint.pagination.items else {
            return PageSummary {
                item_count: 1,
                ids: Vec::new(),
            };
        };
        let items = self
            .body
            .as_ref()
            .and_then(|b| b.pointer(path))
            .and_then(Value::as_array);
        let items = items.map(Vec::as_slice).unwrap_or_default();
        let id = |item: &Value| {
            endpoint
                .pagination
                .item_id
                .iter()
                .find_map(|path| item.pointer(path).and_then(scalar))
        };
        PageSummary {
            item_count: items.len() as u64,
            ids: items.iter().filter_map(id).collect(),
        }
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}
