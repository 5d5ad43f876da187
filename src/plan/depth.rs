//! Checks how deep the searches of an entry are paged: the maximum and the stop rules.

use super::check::{Checker, seconds};
use super::search::{Depth, KnownShare, Recheck, StopRules};
use crate::spec::pipeline::{Extract, RecheckOptions, StopWhen};
use crate::spec::source::{Endpoint, PaginationKind};
use crate::spec::yaml::document::Spanned;

/// A week: long enough that a note stays known while searches still show it.
const KNOWN_WITHIN_S: u64 = 7 * 86_400;

impl Checker<'_> {
    /// Resolves the paging depth of an entry's searches. `newest` is true if one of them sorts by
    /// the newest first.
    pub(super) fn depth(
        &mut self,
        entry: &Spanned<Extract>,
        endpoint: &Endpoint,
        newest: bool,
    ) -> Depth {
        let max_pages = self.pages(entry, endpoint);
        Depth {
            max_pages,
            stop_when: match &entry.pages {
                Some(pages) => self.stop_rules(&pages.stop_when, max_pages, endpoint, newest),
                None => StopRules::default(),
            },
        }
    }

    fn stop_rules(
        &mut self,
        when: &StopWhen,
        max_pages: u32,
        endpoint: &Endpoint,
        newest: bool,
    ) -> StopRules {
        if let Some(share) = &when.known_share {
            if !(share.value > 0.0 && share.value <= 1.0) {
                let message = "`known_share` must be above 0 and at most 1";
                self.error(share, message, "write 0.9 to stop where 9 of 10 are known");
            } else if endpoint.pagination.item_id.is_empty() {
                let message = "this endpoint's items have no ids in the source contract";
                self.error(share, message, "remove `known_share`");
            }
        }
        if let (Some(within), None) = (&when.known_within, &when.known_share) {
            let message = "`known_within` needs `known_share`";
            self.error(within, message, "add `known_share: 0.9`, or remove it");
        }
        if let Some(age) = &when.older_than {
            if endpoint.pagination.item_published_s.is_none() {
                let message = "this endpoint's items have no publication time";
                self.error(age, message, "remove `older_than`");
            } else if !newest {
                let message = "`older_than` needs the newest first: in another order old notes \
                               say nothing about the next page";
                let hint = "add `newest` to `filters: {sort: …}`, or remove `older_than`";
                self.error(age, message, hint);
            }
        }
        let recheck = when.recheck.as_ref();
        let recheck = recheck.map(|recheck| self.recheck(recheck, when, max_pages));
        let short = when.short_page.as_ref();
        StopRules {
            empty: when.empty,
            short_page: short.map(|n| self.positive(n, "short_page")),
            known: when.known_share.as_ref().map(|share| KnownShare {
                share: share.value,
                within_s: seconds(when.known_within.as_ref()).unwrap_or(KNOWN_WITHIN_S),
                recheck,
            }),
            older_than_s: seconds(when.older_than.as_ref()),
        }
    }

    fn recheck(
        &mut self,
        recheck: &Spanned<RecheckOptions>,
        when: &StopWhen,
        max_pages: u32,
    ) -> Recheck {
        if when.known_share.is_none() {
            let message = "`recheck` needs `known_share`";
            self.error(recheck, message, "add `known_share: 0.9`, or remove it");
        }
        let every_s = recheck.every.as_duration().as_secs();
        if every_s == 0 {
            let message = "`every` must be at least 1s";
            self.error(&recheck.every, message, "write a time such as 6h");
        }
        let pages = recheck.pages.value;
        if pages < 2 {
            let message = "`pages` of `recheck` must be at least 2: every search requests page 1";
            let hint = "write a number from 2 to `max`";
            self.error(&recheck.pages, message, hint);
        } else if pages > max_pages {
            let message = format!("a recheck of {pages} pages is deeper than `max: {max_pages}`");
            let hint = format!("raise `max` to {pages}, or write fewer `pages`");
            self.error(&recheck.pages, message, hint);
        }
        Recheck { every_s, pages }
    }

    fn pages(&mut self, entry: &Spanned<Extract>, endpoint: &Endpoint) -> u32 {
        match (endpoint.pagination.kind, &entry.pages) {
            (PaginationKind::Page, Some(pages)) => self.positive(&pages.max, "max"),
            (PaginationKind::Page, None) if self.is_told_in(entry.span()) => 1,
            (PaginationKind::Page, None) => {
                let message = format!("`pages.max` is missing for {}", entry.endpoint.value);
                self.error(
                    &entry.endpoint,
                    message,
                    "add `pages: {max: 10}`; every page is a paid call",
                );
                1
            }
            (PaginationKind::Single, Some(pages)) => {
                let message = format!("{} has no pages", entry.endpoint.value);
                self.error(&pages.max, message, "remove `pages:`");
                1
            }
            (PaginationKind::Single, None) => 1,
        }
    }
}
