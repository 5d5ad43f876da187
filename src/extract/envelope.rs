//! The parts of an answer that extraction looks at: its business code and its items' ids.
//!
//! Everything else is skipped unread, so that an oddity in a field that nobody wants cannot make
//! a paid answer unreadable.

use std::collections::HashMap;

use serde_json::value::RawValue;

use super::client::Mask;
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
        let Ok(mut root) = serde_json::from_str(text).map(Lazy::new) else {
            return Envelope::default();
        };
        let mut scalar = |path: &str| root.at(path).and_then(scalar);
        let declared = &source.envelope;
        Envelope {
            code: scalar(&declared.code),
            message: scalar(&declared.message),
            request_id: declared.request_id.as_deref().and_then(scalar),
            body: text.to_owned(),
        }
    }

    /// With the token hidden, which an answer may repeat in whatever escapes.
    pub fn masked(self, mask: &Mask) -> Self {
        let hide = |text: Option<String>| text.map(|text| mask.text(&text));
        Envelope {
            code: self.code,
            message: hide(self.message),
            request_id: hide(self.request_id),
            body: self.body,
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
        let mut value = serde_json::from_str(&self.body).ok()?;
        for key in path.split('/').skip(1) {
            value = members(value)?.remove(key)?.raw;
            if value.get() == "null" {
                return Some(PageSummary::default());
            }
        }
        let items: Vec<&RawValue> = serde_json::from_str(value.get()).ok()?;
        let mut summary = PageSummary {
            item_count: items.len() as u64,
            ..PageSummary::default()
        };
        let pagination = &endpoint.pagination;
        for mut item in items.into_iter().map(Lazy::new) {
            let id = |path: &String| item.at(path).and_then(scalar);
            summary.ids.extend(pagination.item_id.iter().find_map(id));
            let published = pagination.item_published_s.as_deref();
            let published = published.and_then(|path| item.at(path)).and_then(scalar);
            let seconds = published.and_then(|text| text.parse::<i64>().ok());
            // 0 stands for no time.
            summary
                .published
                .extend(seconds.filter(|seconds| *seconds > 0));
        }
        Some(summary)
    }
}

/// A value whose members are found when they are first asked for, and then kept.
struct Lazy<'a> {
    raw: &'a RawValue,
    members: Option<HashMap<String, Lazy<'a>>>,
}

impl<'a> Lazy<'a> {
    fn new(raw: &'a RawValue) -> Self {
        Lazy { raw, members: None }
    }

    /// The value at a JSON pointer into objects.
    fn at(&mut self, pointer: &str) -> Option<&'a RawValue> {
        let mut value = self;
        for key in pointer.split('/').skip(1) {
            let raw = value.raw;
            let members = value
                .members
                .get_or_insert_with(|| members(raw).unwrap_or_default());
            value = members.get_mut(key)?;
        }
        Some(value.raw)
    }
}

fn members<'a>(object: &'a RawValue) -> Option<HashMap<String, Lazy<'a>>> {
    let members: HashMap<String, &RawValue> = serde_json::from_str(object.get()).ok()?;
    let lazy = members.into_iter().map(|(key, raw)| (key, Lazy::new(raw)));
    Some(lazy.collect())
}

fn scalar(value: &RawValue) -> Option<String> {
    let text = value.get();
    match text.as_bytes().first()? {
        b'"' => serde_json::from_str(text).ok(),
        // A number as it is written: a float would cut an id of many digits.
        b'-' | b'0'..=b'9' => Some(text.to_owned()),
        _ => None,
    }
}
