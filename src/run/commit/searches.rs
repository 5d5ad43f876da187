//! The rows of the table `searches`: what became of each search of a run.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use crate::extract::context::SearchEnd;
use crate::extract::ledger::Call;
use crate::extract::pager::StopReason;
use crate::plan::Search;
use crate::run::outcome::Extraction;

/// A row of the table `searches`. Its fields are the columns.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SearchRecord<'a> {
    #[serde(skip)]
    pub source: &'a str,
    pub search_id: &'a str,
    pub endpoint: &'a str,
    pub keyword: Option<&'a str>,
    pub keyword_set: Option<&'a str>,
    pub keyword_label: Option<&'a str>,
    pub note_id: Option<&'a str>,
    pub status: SearchStatus,
    pub stop: Option<&'static str>,
    pub error: Option<&'a str>,
    pub pages: u64,
    pub requests: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SearchStatus {
    Done,
    Failed,
    /// The run was cut short before the end of the search.
    #[default]
    Open,
}

impl SearchRecord<'_> {
    /// Returns a row with a value in every column.
    pub fn full() -> Self {
        SearchRecord {
            keyword: Some(""),
            keyword_set: Some(""),
            keyword_label: Some(""),
            note_id: Some(""),
            stop: Some(""),
            error: Some(""),
            ..SearchRecord::default()
        }
    }
}

/// Returns a row for each search of a run: those of its plan and its follow-ups, and those of an
/// earlier plan that made calls. `labels` has the label of each keyword that has one.
pub(crate) fn search_records<'r>(
    extraction: &'r Extraction,
    labels: &'r BTreeMap<String, String>,
) -> Vec<SearchRecord<'r>> {
    let extracted = &extraction.extracted;
    let ends: HashMap<&str, &SearchEnd> = extracted
        .ended
        .iter()
        .map(|end| (end.search_id.as_str(), end))
        .collect();
    let mut records: BTreeMap<&str, SearchRecord<'_>> = BTreeMap::new();
    for search in &extraction.searches {
        records.insert(&search.search_id, planned(search));
    }
    for call in &extracted.calls {
        let record = records.entry(&call.search_id);
        let record = record.or_insert_with(|| called(call));
        record.requests += 1;
        record.pages += u64::from(call.is_page());
    }
    for (search_id, record) in &mut records {
        let label = record.keyword.and_then(|keyword| labels.get(keyword));
        record.keyword_label = label.map(String::as_str);
        let Some(end) = ends.get(search_id) else {
            continue;
        };
        if end.stop == StopReason::Failed {
            record.status = SearchStatus::Failed;
            record.error = end.error.as_deref();
        } else {
            record.status = SearchStatus::Done;
            record.stop = Some(end.stop.as_str());
        }
    }
    records.into_values().collect()
}

fn planned(search: &Search) -> SearchRecord<'_> {
    SearchRecord {
        source: &search.source,
        search_id: &search.search_id,
        endpoint: &search.endpoint,
        keyword: search.keyword.as_deref(),
        keyword_set: search.keyword_set.as_deref(),
        note_id: search.note_id.as_deref(),
        ..SearchRecord::default()
    }
}

fn called(call: &Call) -> SearchRecord<'_> {
    SearchRecord {
        source: &call.source,
        search_id: &call.search_id,
        endpoint: &call.endpoint,
        keyword: call.keyword.as_deref(),
        note_id: call.note_id.as_deref(),
        ..SearchRecord::default()
    }
}
