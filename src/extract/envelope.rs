//! The parts of an answer that extraction looks at: its business code and its items' ids.
//!
//! Everything else is skipped unread, so that an oddity in a field that nobody wants cannot make
//! a paid answer unreadable.

use std::collections::HashMap;

use serde_json::Value;
use serde_json::value::RawValue;

use crate::spec::source::{Endpoint, Source};

/// An answer's body as far as extraction reads it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Envelope {
    /// The business code as text, whether it was sent as a number or as text.
    pub code: Option<String>,
    pub message: Option<String>,
    pub request_id: Option<String>,
    body: String,
}

/// What a page holds, for the rules that decide whether to ask for the next one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PageSummary {
    pub item_count: u64,
    /// Ids of the items that have one.
    pub ids: Vec<String>,
    /// When the items that say it were published, in Unix seconds.
    pub published: Vec<i64>,
}

impl Envelope {
    /// What a body says; nothing where it is no JSON.
    pub fn read(body: &[u8], source: &Source) -> Self {
        let text = String::from_utf8_lossy(body);
        let text = text.trim_start_matches('\u{feff}').trim();
        let Ok(root) = serde_json::from_str::<&RawValue>(text) else {
            return Envelope::default();
        };
        let scalar = |path: &str| at(root, path).and_then(scalar);
        Envelope {
            code: scalar(&source.envelope.code),
            message: scalar(&source.envelope.message),
            request_id: source.envelope.request_id.as_deref().and_then(scalar),
            body: text.to_owned(),
        }
    }

    /// The items of an accepted answer. An answer without data is an empty page; data without the
    /// list is none at all.
    pub fn summary(&self, endpoint: &Endpoint) -> Option<PageSummary> {
        let Some(path) = &endpoint.pagination.items else {
            return Some(PageSummary {
                item_count: 1,
                ..PageSummary::default()
            });
        };
        let mut value = serde_json::from_str::<&RawValue>(&self.body).ok()?;
        for key in path.split('/').skip(1) {
            value = member(value, key)?;
            if value.get() == "null" {
                return Some(PageSummary::default());
            }
        }
        let items: Vec<&RawValue> = serde_json::from_str(value.get()).ok()?;
        let paths = &endpoint.pagination.item_id;
        let id = |item: &&RawValue| paths.iter().find_map(|p| at(item, p).and_then(scalar));
        let published_at = endpoint.pagination.item_published_s.as_deref();
        let published = |item: &&RawValue| {
            let seconds = scalar(at(item, published_at?)?)?.parse().ok()?;
            // 0 stands for no time.
            Some(seconds).filter(|seconds| *seconds > 0)
        };
        Some(PageSummary {
            item_count: items.len() as u64,
            ids: items.iter().filter_map(id).collect(),
            published: items.iter().filter_map(published).collect(),
        })
    }
}

/// The value at a JSON pointer into objects.
fn at<'a>(value: &'a RawValue, pointer: &str) -> Option<&'a RawValue> {
    pointer.split('/').skip(1).try_fold(value, member)
}

fn member<'a>(object: &'a RawValue, key: &str) -> Option<&'a RawValue> {
    let mut members: HashMap<String, &RawValue> = serde_json::from_str(object.get()).ok()?;
    members.remove(key)
}

fn scalar(value: &RawValue) -> Option<String> {
    match serde_json::from_str(value.get()).ok()? {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}
