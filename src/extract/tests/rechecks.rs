//! Deep looks: known items end a search only from a page on.

use std::collections::HashSet;
use std::sync::Arc;

use chrono::DateTime;

use super::{endpoint, search};
use crate::extract::envelope::PageSummary;
use crate::extract::pager::{KnownItems, Pager, StopReason};
use crate::plan::{Depth, KnownShare, Recheck, Search, StopRules};

const RECHECK: Recheck = Recheck {
    every_s: 3_600,
    pages: 3,
};

fn depth(recheck: Option<Recheck>) -> Depth {
    Depth {
        max_pages: 5,
        stop_when: StopRules {
            known: Some(KnownShare {
                share: 0.9,
                within_s: 1,
                recheck,
            }),
            ..StopRules::default()
        },
    }
}

/// Returns the number of pages and the stop reason of a search whose items are all known.
fn pages_of_known(depths: &[Depth], due: &[Recheck], pages: &[&[&str]]) -> (u32, StopReason) {
    let search = Search {
        max_pages: depths[0].max_pages,
        stop_when: depths[0].stop_when.clone(),
        wishes: if depths.len() > 1 {
            depths.to_vec()
        } else {
            Vec::new()
        },
        ..search(&[])
    };
    let ids: HashSet<String> = pages.concat().into_iter().map(str::to_owned).collect();
    let known = KnownItems {
        ids: Arc::new(ids),
        due: due.to_vec(),
    };
    let endpoint = endpoint("justoneapi", "note_search");
    let mut pager = Pager::new(search, endpoint, DateTime::UNIX_EPOCH, known);
    for ids in pages {
        let page = PageSummary {
            item_count: ids.len() as u64,
            ids: ids.iter().map(|id| (*id).to_owned()).collect(),
            published: Vec::new(),
        };
        if let (_, Some(stop)) = pager.advance(&page) {
            return (pager.pages, stop);
        }
    }
    panic!("the search is not over after {} pages", pager.pages);
}

#[test]
fn a_deep_look_goes_on_where_all_is_known() {
    let five: [&[&str]; 5] = [&["a"], &["b"], &["c"], &["d"], &["e"]];
    let once = [depth(Some(RECHECK))];
    let known = StopReason::KnownShare;
    assert_eq!(pages_of_known(&once, &[], &five), (1, known));
    assert_eq!(pages_of_known(&once, &[RECHECK], &five), (3, known));
    assert_eq!(
        pages_of_known(&[depth(None)], &[RECHECK], &five),
        (1, known)
    );
    // Other rules hold on a deep look, too.
    let short: [&[&str]; 2] = [&["a"], &[]];
    let ended = pages_of_known(&once, &[RECHECK], &short);
    assert_eq!(ended, (2, StopReason::Empty));
    let same: [&[&str]; 2] = [&["a"], &["a"]];
    let ended = pages_of_known(&once, &[RECHECK], &same);
    assert_eq!(ended, (2, StopReason::Repeated));
}

#[test]
fn entries_that_share_a_search_have_their_own_rechecks() {
    let five: [&[&str]; 5] = [&["a"], &["b"], &["c"], &["d"], &["e"]];
    let deeper = Recheck {
        pages: 4,
        ..RECHECK
    };
    let both = [depth(Some(RECHECK)), depth(Some(deeper))];
    let known = StopReason::KnownShare;
    assert_eq!(pages_of_known(&both, &[], &five), (1, known));
    assert_eq!(pages_of_known(&both, &[RECHECK], &five), (3, known));
    assert_eq!(pages_of_known(&both, &[RECHECK, deeper], &five), (4, known));
}

/// The reason of a shared search may be that of the other entry's rule.
#[test]
fn a_search_that_another_rule_ended_was_deep_enough() {
    use StopReason::{Empty, Failed, KnownShare, MaxPages, OlderThan, Repeated, ShortPage};
    for stop in [Empty, Repeated] {
        assert!(stop.ends_deep_look(false) && stop.ends_deep_look(true));
    }
    for stop in [ShortPage, OlderThan] {
        assert!(stop.ends_deep_look(false) && !stop.ends_deep_look(true));
    }
    for stop in [KnownShare, MaxPages, Failed] {
        assert!(!stop.ends_deep_look(false) && !stop.ends_deep_look(true));
    }
}
