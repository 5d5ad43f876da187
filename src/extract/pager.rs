//! Decides when a search needs no further page: a pure state machine.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use serde::de::IntoDeserializer;
use serde::de::value::StrDeserializer;
use serde::{Deserialize, Serialize};

use super::envelope::PageSummary;
use crate::plan::{Depth, KnownShare, Recheck, Search, StopRules};
use crate::spec::source::{Endpoint, PaginationKind};

/// Progress of a search.
#[derive(Clone, Debug)]
pub struct Pager {
    pub search: Search,
    kind: PaginationKind,
    start: u32,
    /// Logical time of the run; ages are measured from it.
    snapshot_at: DateTime<Utc>,
    known: KnownItems,
    /// Pages fetched so far.
    pub pages: u32,
    /// Items on the fetched pages.
    pub items: u64,
    seen: HashSet<String>,
    last_page: BTreeSet<String>,
    /// Consecutive pages without a new item.
    stale: u32,
    /// Depths of the entries that share the search and are not satisfied yet.
    open: Vec<Depth>,
}

/// Items that earlier runs found, as a search regards them.
#[derive(Clone, Debug, Default)]
pub struct KnownItems {
    pub ids: Arc<HashSet<String>>,
    /// Rechecks whose deep look is due in this run.
    pub due: Vec<Recheck>,
}

/// Reason why a search asked for no further page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// The plan allows no more pages.
    MaxPages,
    /// The provider had no more items.
    Empty,
    /// The page had fewer items than `short_page`, so it was the last one.
    ShortPage,
    /// Nearly all items were found by earlier runs.
    KnownShare,
    /// Nearly all notes were published too long ago.
    OlderThan,
    /// The page repeated what earlier ones had.
    Repeated,
    /// The endpoint is not paginated: one answer is complete.
    Single,
    /// The requested object no longer exists.
    Gone,
    /// The search failed.
    Failed,
}

/// Items that a page added to its search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Added {
    pub items_before: u64,
    /// Items that no earlier page of the search had. Items without an id count as new.
    pub new_items: u64,
}

/// A page is old when 9 of 10 dated notes are old. A pinned or out-of-order note changes nothing.
const OLD_TENTHS: usize = 9;

impl Pager {
    /// Creates a search that has not begun.
    pub fn new(
        search: Search,
        endpoint: &Endpoint,
        snapshot_at: DateTime<Utc>,
        known: KnownItems,
    ) -> Self {
        Pager {
            open: search.depths(),
            search,
            kind: endpoint.pagination.kind,
            start: endpoint.pagination.start.max(1),
            snapshot_at,
            known,
            pages: 0,
            items: 0,
            seen: HashSet::new(),
            last_page: BTreeSet::new(),
            stale: 0,
        }
    }

    /// Returns the number of the next page to request.
    pub fn page(&self) -> u32 {
        self.start + self.pages
    }

    /// Returns the different ids on the newest page.
    pub fn last_ids(&self) -> &BTreeSet<String> {
        &self.last_page
    }

    /// Returns the items that the search regards as known.
    pub fn known(&self) -> &KnownItems {
        &self.known
    }

    /// Takes a page in; whether to stop after it.
    pub fn advance(&mut self, page: &PageSummary) -> (Added, Option<StopReason>) {
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
        let all_known = !page.ids.is_empty() && repeated == page.ids.len() as u64;
        self.stale = if all_known || page.item_count == 0 {
            self.stale + 1
        } else {
            0
        };
        let stop = self.stop_after(page);
        self.last_page = page.ids.iter().cloned().collect();
        (added, stop)
    }

    /// Returns the stop reason once every entry that shares the search is satisfied: that of the last one.
    fn stop_after(&mut self, page: &PageSummary) -> Option<StopReason> {
        if self.kind == PaginationKind::Single {
            return Some(StopReason::Single);
        }
        if self.open.is_empty() {
            // A resumed run keeps the decision to continue, although every entry is satisfied.
            self.open = self.search.depths();
        }
        let mut last = None;
        let mut open = std::mem::take(&mut self.open);
        open.retain(|wish| {
            let stop = self.stops(wish, page);
            last = last.or(stop);
            stop.is_none()
        });
        self.open = open;
        last.filter(|_| self.open.is_empty())
    }

    /// The first reason that holds; the page limit is the last one asked, for it says least.
    fn stops(&self, wish: &Depth, page: &PageSummary) -> Option<StopReason> {
        let StopRules {
            empty,
            short_page,
            known,
            older_than_s,
        } = &wish.stop_when;
        let nothing = page.item_count == 0;
        let short = short_page.is_some_and(|n| page.item_count < u64::from(n));
        let is_known =
            known.is_some_and(|rule| !self.looks_deeper(rule) && self.is_known(page, rule));
        let is_old = older_than_s.is_some_and(|age| self.is_older(page, age));
        let reasons = [
            (*empty && nothing, StopReason::Empty),
            (self.is_repeating(page), StopReason::Repeated),
            (short, StopReason::ShortPage),
            (is_known, StopReason::KnownShare),
            (is_old, StopReason::OlderThan),
            (self.pages >= wish.max_pages, StopReason::MaxPages),
        ];
        let holds = reasons.into_iter().find(|(holds, _)| *holds);
        holds.map(|(_, stop)| stop)
    }

    /// Checks that the page has the same items as the previous one in any order, or is the second
    /// consecutive page without a new item. A provider that has no more items may repeat its last
    /// page, or start again from the first, forever.
    fn is_repeating(&self, page: &PageSummary) -> bool {
        let ids: BTreeSet<&String> = page.ids.iter().collect();
        self.stale > 1 || !ids.is_empty() && ids.into_iter().eq(&self.last_page)
    }

    /// Returns true before the last page of a deep look, where known items say nothing.
    fn looks_deeper(&self, rule: KnownShare) -> bool {
        let is_due = |recheck: &Recheck| self.known.due.contains(recheck);
        let due = rule.recheck.filter(is_due);
        due.is_some_and(|recheck| self.pages < recheck.pages)
    }

    fn is_known(&self, page: &PageSummary, rule: KnownShare) -> bool {
        let ids: HashSet<&String> = page.ids.iter().collect();
        let is_known = |id: &&&String| self.known.ids.contains(**id);
        let known = ids.iter().filter(is_known).count();
        // 0.28 * 25 is slightly more than 7 in floating point.
        known > 0 && known as f64 >= rule.share * ids.len() as f64 - 1e-9
    }

    fn is_older(&self, page: &PageSummary, age_s: u64) -> bool {
        let age = i64::try_from(age_s).ok().and_then(TimeDelta::try_seconds);
        let since = age.and_then(|age| self.snapshot_at.checked_sub_signed(age));
        let Some(since) = since.map(|since| since.timestamp()) else {
            return false;
        };
        let old = page.published.iter().filter(|at| **at < since).count();
        old > 0 && old * 10 >= page.published.len() * OLD_TENTHS
    }
}

impl StopReason {
    pub fn named(name: &str) -> Option<Self> {
        let name: StrDeserializer<'_, serde::de::value::Error> = name.into_deserializer();
        StopReason::deserialize(name).ok()
    }

    /// Returns true if a search that ended for this reason had nothing deeper to look at, so that a
    /// deep look would have ended there as well. `is_shared` is true if several entries share the
    /// search: the reason may be that of another entry's rule.
    pub fn ends_deep_look(self, is_shared: bool) -> bool {
        match self {
            StopReason::Empty | StopReason::Repeated | StopReason::Single | StopReason::Gone => {
                true
            }
            StopReason::ShortPage | StopReason::OlderThan => !is_shared,
            // `max` may have been less than `pages` then.
            StopReason::MaxPages | StopReason::KnownShare | StopReason::Failed => false,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            StopReason::MaxPages => "max_pages",
            StopReason::Empty => "empty",
            StopReason::ShortPage => "short_page",
            StopReason::KnownShare => "known_share",
            StopReason::OlderThan => "older_than",
            StopReason::Repeated => "repeated",
            StopReason::Single => "single",
            StopReason::Gone => "gone",
            StopReason::Failed => "failed",
        }
    }

    /// Returns the reason as part of a sentence about searches: `8 reached the page limit`.
    pub fn explain(self) -> &'static str {
        match self {
            StopReason::MaxPages => "reached the page limit",
            StopReason::Empty => "reached the end",
            StopReason::ShortPage => "reached a short page",
            StopReason::KnownShare => "reached known notes",
            StopReason::OlderThan => "reached older notes",
            StopReason::Repeated => "got the same page again",
            StopReason::Single => "asked once",
            StopReason::Gone => "were not found",
            StopReason::Failed => "failed",
        }
    }
}
