//! When a search has been paged far enough: a pure state machine.

use std::collections::HashSet;

use serde::Serialize;

use super::envelope::PageSummary;
use crate::plan::Search;
use crate::spec::source::{Endpoint, PaginationKind};

/// How far a search has come.
#[derive(Clone, Debug)]
pub struct Pager {
    pub search: Search,
    kind: PaginationKind,
    start: u32,
    /// Pages fetched so far.
    pub pages: u32,
    /// Items on these pages.
    pub items: u64,
    seen: HashSet<String>,
}

/// Why a search asked for no further page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    /// The plan allows no more pages.
    MaxPages,
    /// The provider had no more items.
    Empty,
    /// One answer was all there is.
    Single,
    /// What was asked for is no more.
    Gone,
    /// The search failed.
    Failed,
}

/// What a page added to its search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Added {
    pub items_before: u64,
    /// Items that no earlier page of the search had; those without an id count as new.
    pub new_items: u64,
}

impl Pager {
    pub fn new(search: Search, endpoint: &Endpoint) -> Self {
        Pager {
            search,
            kind: endpoint.pagination.kind,
            start: endpoint.pagination.start.max(1),
            pages: 0,
            items: 0,
            seen: HashSet::new(),
        }
    }

    /// Number of the page to ask for now.
    pub fn page(&self) -> u32 {
        self.start + self.pages
    }

    /// Takes a page in; whether to stop after it.
    pub fn advance(&mut self, page: &PageSummary) -> (Added, Option<Stop>) {
        let repeated = page
            .ids
            .iter()
            .filter(|id| !self.seen.insert((*id).clone()))
            .count() as u64;
        let added = Added {
            items_before: self.items,
            new_items: page.item_count.saturating_sub(repeated),
        };
        self.pages += 1;
        self.items += page.item_count;
        let stop = match self.kind {
            PaginationKind::Single => Some(Stop::Single),
            PaginationKind::Page if page.item_count == 0 => Some(Stop::Empty),
            PaginationKind::Page if self.pages >= self.search.max_pages => Some(Stop::MaxPages),
            PaginationKind::Page => None,
        };
        (added, stop)
    }
}

impl Stop {
    pub fn as_str(self) -> &'static str {
        match self {
            Stop::MaxPages => "max_pages",
            Stop::Empty => "empty",
            Stop::Single => "single",
            Stop::Gone => "gone",
            Stop::Failed => "failed",
        }
    }

    /// As part of a sentence about searches: `8 reached the page limit`.
    pub fn explain(self) -> &'static str {
        match self {
            Stop::MaxPages => "reached the page limit",
            Stop::Empty => "came to the end",
            Stop::Single => "asked once",
            Stop::Gone => "found nothing any more",
            Stop::Failed => "failed",
        }
    }
}
