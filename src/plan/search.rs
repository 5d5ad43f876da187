//! A search: what is asked, in our words and the provider's, and its stable id.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::plan::parts::FollowUp;
use crate::spec::source::{Endpoint, Param, ParamFrom};
use crate::spec::words::Filter;

/// One (endpoint, keyword, filter combination), or one note to ask for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Search {
    /// Hash of what is asked, not of when: the same question has the same id in every run.
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
    /// The fields that the answer is to have; all of them, if it is empty.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub fields: Vec<String>,
    /// The provider's own words for all of this, but for the page.
    pub params: BTreeMap<String, String>,
    /// The most pages that anybody wants.
    pub max_pages: u32,
    /// What ends it sooner.
    #[serde(default)]
    pub stop_when: StopRules,
    /// How far each entry wants it paged, where several ask for it: it goes on as long as one of
    /// them would.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub wishes: Vec<Depth>,
}

impl Search {
    /// How far each entry that asks for it wants it paged; one at least.
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

    /// Returns the value of a parameter, where it is the same for every page.
    pub fn value_of(&self, name: &str, param: &Param) -> Option<&str> {
        match param.from {
            Some(ParamFrom::Keyword) => self.keyword.as_deref(),
            Some(ParamFrom::NoteId) => self.note_id.as_deref(),
            Some(ParamFrom::Page) => None,
            Some(ParamFrom::Fields) | None => self.params.get(name).map(String::as_str),
        }
    }

    /// Takes up another entry that asks for the same.
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

/// What ends a search before its last page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StopRules {
    /// A page without items.
    pub empty: bool,
    /// A page with fewer items than this.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub short_page: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub known: Option<KnownShare>,
    /// A page whose notes are nearly all older than so many seconds. Only where the newest come
    /// first.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub older_than_s: Option<u64>,
}

/// A page that has nearly nothing new.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct KnownShare {
    /// The share of its items that earlier runs found, above 0 and up to 1.
    pub share: f64,
    /// How many seconds ago that may have been.
    pub within_s: u64,
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

/// What a search is about.
#[derive(Clone, Copy)]
pub enum SearchSubject<'a> {
    Keyword(&'a str, &'a str),
    Note(&'a str),
    Nothing,
}

/// How far a search is paged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Depth {
    pub max_pages: u32,
    pub stop_when: StopRules,
}

impl Depth {
    /// For what has one answer only.
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

/// Hash of which pages are asked for. How fast, at what price and within which budget makes no
/// difference: a run that ran out of money goes on with more of it.
pub fn hash(searches: &[Search], follow_ups: &[FollowUp]) -> String {
    let mut hasher = blake3::Hasher::new();
    let asked = searches
        .iter()
        .map(|s| (&s.search_id, s.max_pages, &s.stop_when, &s.wishes));
    let mut asked: Vec<_> = asked.collect();
    // The order in which keywords are written makes no difference.
    asked.sort_by_key(|(search_id, ..)| *search_id);
    // Only maps with keys that are no text could fail, and there is none.
    let asked = serde_json::to_vec(&asked).unwrap_or_default();
    hasher.update(&asked);
    hasher.update(&serde_json::to_vec(follow_ups).unwrap_or_default());
    short(&hasher.finalize())
}

/// 64 bits are plenty for the searches of one lake, and short enough to type.
fn short(hash: &blake3::Hash) -> String {
    hash.to_hex()[..16].to_owned()
}

/// As people name a search: `note_search 海蓝之谜 (sort: newest)`.
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
