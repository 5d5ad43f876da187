//! What an answer means, when paging ends, and what a request says.

mod pace;
mod pages;
mod policy;
mod requests;
mod stops;

use std::sync::LazyLock;

use crate::plan::{Search, StopRules};
use crate::spec::contracts::Contracts;
use crate::spec::source::{Endpoint, Source};

static CONTRACTS: LazyLock<Contracts> =
    LazyLock::new(|| Contracts::load(None).unwrap_or_else(|e| panic!("{e}")));

fn source(name: &str) -> &'static Source {
    &CONTRACTS.sources[name]
}

fn endpoint(source_name: &str, name: &str) -> &'static Endpoint {
    &source(source_name).endpoints[name]
}

/// A search of three pages at most, with these parameters.
fn search(params: &[(&str, &str)]) -> Search {
    let params = params.iter().map(|(k, v)| (k.to_string(), v.to_string()));
    Search {
        search_id: "24382dd2e0be3a01".to_owned(),
        source: "justoneapi".to_owned(),
        endpoint: "note_search".to_owned(),
        keyword: Some("防晒".to_owned()),
        keyword_set: Some("topics".to_owned()),
        filters: Default::default(),
        note_id: None,
        params: params.collect(),
        max_pages: 3,
        stop_when: StopRules::default(),
    }
}
