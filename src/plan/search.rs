//! A search: its request in canonical and in the provider's words, and its stable id.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::plan::parts::FollowUp;
use crate::spec::source::{Endpoint, Param, ParamFrom};
use crate::spec::words::Filter;

/// A combination of endpoint, keyword and filters, or a note to request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Search {
    /// Hash of the request, without time: the same request has the same id in every run.
    pub search_id: String,
    pub source: String,
    pub endpoint: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub keyword: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub keyword_set: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub filters: BTreeMap<Filter, String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub note_id: Option<String>,
    /// Fields to request; all if empty.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub fields: Vec<String>,
    /// Request parameters in the provider's words, without the page.
    pub params: BTreeMap<String, String>,
    /// Maximum number of pages, over all entries that share the search.
    pub max_pages: u32,
    /// Rules that end the search earlier.
    #[serde(default)]
    pub stop_when: StopRules,
    /// Depth of each entry, if several with different depths share the search. The search
    /// continues as long as one of them requires it.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub wishes: Vec<Depth>,
}

impl Search {
    /// Returns the depths of the entries that share the search. There is at least one.
    pub fn depths(&self) -> Vec<Depth> {
        if self.wishes.is_empty() {
            vec![Depth {
                max_pages: self.max_pages,
                stop_when: self.stop_when.clone(),
            }]
        } else {
            self.wishes.clone()
        }
    }

    /// Returns the value of a parameter; `None` if the search has none, or if the value differs
    /// from page to page.
    pub fn value_of(&self, name: &str, param: &Param) -> Option<&str> {
        match param.from {
            Some(ParamFrom::Keyword) => self.keyword.as_deref(),
            Some(ParamFrom::NoteId) => self.note_id.as_deref(),
            Some(ParamFrom::Page) => None,
            Some(ParamFrom::Fields) | None => self.params.get(name).map(String::as_str),
        }
    }

    /// Merges the equal search of another entry.
    pub(super) fn also(&mut self, other: &Search) {
        let mut wishes = self.depths();
        wishes.extend(other.depths());
        wishes.dedup();
        self.max_pages = self.max_pages.max(other.max_pages);
        if wishes.len() > 1 {
            self.wishes = wishes;
        }
    }
}

/// Rules that end a search before its last page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StopRules {
    /// A page without items.
    pub empty: bool,
    /// A page with fewer items than this.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub short_page: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub known: Option<KnownShare>,
    /// A page whose notes are nearly all older than this many seconds. Only for searches with
    /// the newest first.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub older_than_s: Option<u64>,
}

/// Rule that ends a search after a page with a large share of known items.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct KnownShare {
    /// Minimum share of the page's items that earlier runs found, above 0 and up to 1.
    pub share: f64,
    /// Maximum age of these runs in seconds.
    pub within_s: u64,
    /// Deep looks, on which the rule holds on later pages only.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub recheck: Option<Recheck>,
}

/// Deep looks for items that the provider showed late.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recheck {
    /// Minimum time between two deep looks in seconds.
    pub every_s: u64,
    /// First page after which a deep look may end because of known items.
    pub pages: u32,
}

impl Default for StopRules {
    fn default() -> Self {
        StopRules {
            empty: true,
            short_page: None,
            known: None,
            older_than_s: None,
        }
    }
}

/// Subject of a search.
#[derive(Clone, Copy)]
pub enum SearchSubject<'a> {
    Keyword(&'a str, &'a str),
    Note(&'a str),
    Nothing,
}

/// Paging depth of a search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Depth {
    pub max_pages: u32,
    pub stop_when: StopRules,
}

impl Depth {
    /// Returns the depth of a search with a single answer.
    pub fn single() -> Self {
        Depth {
            max_pages: 1,
            stop_when: StopRules::default(),
        }
    }
}

#[derive(Clone)]
pub struct FilterChoice {
    pub filter: Filter,
    pub value: String,
    pub param: String,
    /// The provider's word for the value.
    pub word: String,
}

pub fn search(
    source: &str,
    name: &str,
    endpoint: &Endpoint,
    depth: Depth,
    asked: SearchSubject<'_>,
    filters: &[FilterChoice],
    fields: &[String],
) -> Search {
    let (keyword_set, keyword, note_id) = match asked {
        SearchSubject::Keyword(set, word) => (Some(set.to_owned()), Some(word.to_owned()), None),
        SearchSubject::Note(id) => (None, None, Some(id.to_owned())),
        SearchSubject::Nothing => (None, None, None),
    };
    let mut params: BTreeMap<String, String> = filters
        .iter()
        .map(|f| (f.param.clone(), f.word.clone()))
        .collect();
    for (param, declared) in &endpoint.params {
        let value = match declared.from {
            Some(ParamFrom::Keyword) => keyword.clone(),
            Some(ParamFrom::NoteId) => note_id.clone(),
            Some(ParamFrom::Fields) => (!fields.is_empty()).then(|| fields.join(",")),
            Some(ParamFrom::Page) | None => None,
        };
        params.extend(value.map(|v| (param.clone(), v)));
    }
    let filters: BTreeMap<Filter, String> = filters
        .iter()
        .map(|f| (f.filter, f.value.clone()))
        .collect();
    let mut hasher = blake3::Hasher::new();
    let mut part = |text: &str| {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    };
    part(source);
    part(name);
    part(keyword.as_deref().unwrap_or_default());
    part(note_id.as_deref().unwrap_or_default());
    for (filter, value) in &filters {
        part(filter.as_str());
        part(value);
    }
    if !fields.is_empty() {
        part("fields");
        part(&fields.join(","));
    }
    Search {
        search_id: short(&hasher.finalize()),
        source: source.to_owned(),
        endpoint: name.to_owned(),
        keyword,
        keyword_set,
        filters,
        note_id,
        fields: fields.to_vec(),
        params,
        max_pages: depth.max_pages,
        stop_when: depth.stop_when,
        wishes: Vec::new(),
    }
}

/// Returns the hash of the requested pages. It does not depend on rate limits, prices and budgets:
/// a run that reached its budget continues with a larger one.
pub fn hash(searches: &[Search], follow_ups: &[FollowUp]) -> String {
    let mut hasher = blake3::Hasher::new();
    let asked = searches
        .iter()
        .map(|s| (&s.search_id, s.max_pages, &s.stop_when, &s.wishes));
    let mut asked: Vec<_> = asked.collect();
    // The hash does not depend on the order of keywords.
    asked.sort_by_key(|(search_id, ..)| *search_id);
    let text_keys = "searches and follow-ups have text keys only";
    hasher.update(&serde_json::to_vec(&asked).expect(text_keys));
    hasher.update(&serde_json::to_vec(follow_ups).expect(text_keys));
    short(&hasher.finalize())
}

/// Returns the first 64 bits of a hash in hexadecimal: enough for the searches of one lake, and
/// short enough to type.
fn short(hash: &blake3::Hash) -> String {
    hash.to_hex()[..16].to_owned()
}

/// Writes the name of a search for people: `note_search 海蓝之谜 (sort: newest)`.
impl fmt::Display for Search {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.endpoint)?;
        for word in self.keyword.iter().chain(&self.note_id) {
            write!(f, " {word}")?;
        }
        let mut choices: Vec<String> = self
            .filters
            .iter()
            .map(|(filter, value)| format!("{}: {value}", filter.as_str()))
            .collect();
        if !self.fields.is_empty() {
            choices.push(format!("fields: {}", self.fields.join(" ")));
        }
        if choices.is_empty() {
            Ok(())
        } else {
            write!(f, " ({})", choices.join(", "))
        }
    }
}
