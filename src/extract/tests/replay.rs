//! Where a run stands, from journals and pages made by hand.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use tempfile::TempDir;

use super::{done, planned, search, sent, time};
use crate::extract::context::{Known, KnownTo, SearchEnd};
use crate::extract::envelope::PageSummary;
use crate::extract::journal::Entry;
use crate::extract::ledger::{Call, Sent};
use crate::extract::pager::{Pager, StopReason};
use crate::extract::replay::{Progress, Replayed, replay};
use crate::plan::{KnownShare, Plan, Search, StopRules};
use crate::raw::page::PageHeader;
use crate::raw::{self, RawWriter};
use crate::spec::class::CallClass;
use crate::spec::source::Billed;

const NOON: &str = "2026-03-09T04:00:00Z";
const RUN_ID: &str = "01a1ffd8-344f-70ea-82f1-ffa903442969";
const ID: &str = "24382dd2e0be3a01";

static PLAN: LazyLock<Plan> = LazyLock::new(|| {
    planned(
        "
version: 1
pipeline: test
source: {name: justoneapi}
keyword_sets: {topics: [防晒]}
extract: [{endpoint: note_search, keywords: [topics], pages: {max: 5}}]
",
    )
});

/// A run that is told page by page.
struct Story {
    dir: TempDir,
    journal: Vec<Entry>,
    writer: RawWriter,
    calls: usize,
}

impl Story {
    fn new() -> Self {
        let dir = TempDir::new().expect("a temporary folder");
        let writer = RawWriter::new(dir.path().join("1.ndjson.zst"));
        Story {
            dir,
            journal: Vec::new(),
            writer,
            calls: 0,
        }
    }

    fn raw(&self) -> PathBuf {
        self.dir.path().join("1.ndjson.zst")
    }

    /// A call is sent.
    fn send(&mut self) -> Sent {
        self.calls += 1;
        let sent = sent(&format!("r{}", self.calls), NOON, Some(0.1));
        self.journal.push(Entry::Sent(sent.clone()));
        sent
    }

    /// Its page is kept.
    fn keep(&mut self, header: &PageHeader, ids: &[&str]) {
        let items: Vec<String> = ids
            .iter()
            .map(|id| format!("{{\"note\":{{\"id\":\"{id}\"}}}}"))
            .collect();
        let body = format!(
            "{{\"code\":0,\"requestId\":\"p\",\"data\":{{\"items\":[{}]}}}}",
            items.join(",")
        );
        self.writer
            .append(header, body.as_bytes())
            .expect("a writable folder");
    }

    /// A page is sent for and comes, of this search; it ends it, or not.
    fn page_of(
        &mut self,
        search: &Search,
        page: u32,
        ids: &[&str],
        stop: Option<StopReason>,
    ) -> Call {
        let sent = self.send();
        let header = PageHeader {
            search: search.clone(),
            stop: stop.map(|stop| stop.as_str().to_owned()),
            ..header(&sent, page, ids.len())
        };
        self.keep(&header, ids);
        let call = done(&sent, Billed::Yes);
        self.journal.push(Entry::Done(call.clone()));
        call
    }

    fn page(&mut self, page: u32, ids: &[&str], stop: Option<StopReason>) -> Call {
        self.page_of(&search(&[]), page, ids, stop)
    }

    fn replayed(&self) -> Replayed {
        self.replayed_from(&[self.raw()], &Known::default())
    }

    fn replayed_from(&self, raw: &[PathBuf], known: &Known) -> Replayed {
        let at = time(NOON);
        replay(&PLAN, at, known, &self.journal, raw).unwrap_or_else(|e| panic!("{e}"))
    }
}

fn header(sent: &Sent, page: u32, items: usize) -> PageHeader {
    PageHeader {
        v: raw::page::VERSION,
        run_id: RUN_ID.to_owned(),
        pipeline: "test".to_owned(),
        snapshot_at: time(NOON),
        simulated: false,
        request_id: sent.request_id.clone(),
        search: search(&[]),
        page,
        fetched_at: time("2026-03-09T04:00:01.234567Z"),
        status: 200,
        content_type: None,
        accepted: true,
        class: CallClass::Ok,
        item_count: items as u64,
        items_before: 0,
        new_item_count: items as u64,
        stop: None,
    }
}

fn ended(replayed: &Replayed, id: &str) -> SearchEnd {
    match &replayed.progress[id] {
        Progress::Ended(end) => end.clone(),
        Progress::UnderWay(pager) => panic!("{id} is at page {}", pager.page()),
    }
}

fn under_way(mut replayed: Replayed, id: &str) -> Pager {
    match replayed.progress.remove(id) {
        Some(Progress::UnderWay(pager)) => *pager,
        other => panic!("{id}: {other:?}"),
    }
}

fn summary(ids: &[&str]) -> PageSummary {
    PageSummary {
        item_count: ids.len() as u64,
        ids: ids.iter().map(|id| id.to_string()).collect(),
        published: Vec::new(),
    }
}

#[test]
fn an_empty_journal_replays_as_the_start_of_a_run() {
    let replayed = Story::new().replayed();
    assert!(replayed.progress.is_empty());
    assert_eq!(replayed.calls, []);
    assert_eq!((replayed.pages, replayed.items), (0, 0));
    assert_eq!(replayed.chosen, None);
}

#[test]
fn a_search_ends_for_the_reason_that_its_last_page_gives() {
    for stop in [
        StopReason::Empty,
        StopReason::OlderThan,
        StopReason::MaxPages,
        StopReason::Gone,
    ] {
        let mut story = Story::new();
        let calls = [
            story.page(1, &["a", "b"], None),
            story.page(2, &["c"], Some(stop)),
        ];
        let replayed = story.replayed();
        let end = SearchEnd {
            search_id: ID.to_owned(),
            stop,
            error: None,
        };
        assert_eq!(ended(&replayed, ID), end);
        assert_eq!(replayed.calls, calls);
        assert_eq!((replayed.pages, replayed.items), (2, 3));
    }
}

#[test]
fn a_search_under_way_goes_on_after_its_last_page() {
    let mut story = Story::new();
    story.page(1, &["a", "b"], None);
    story.page(2, &["c", "d"], None);
    let mut pager = under_way(story.replayed(), ID);
    assert_eq!((pager.page(), pager.pages, pager.items), (3, 2, 4));
    // It knows what it had before, and when it is at its end.
    let (added, stop) = pager.clone().advance(&summary(&["b", "e"]));
    assert_eq!(
        (added.items_before, added.new_items, stop),
        (4, 1, Some(StopReason::MaxPages))
    );
    let (_, stop) = pager.advance(&summary(&["d", "c"]));
    assert_eq!(stop, Some(StopReason::Repeated));
}

/// What the lake has learnt since is no reason to end a search, but for the next page.
#[test]
fn what_was_decided_then_counts() {
    let rules = StopRules {
        known: Some(KnownShare {
            share: 0.5,
            within_s: 1,
            recheck: None,
        }),
        ..StopRules::default()
    };
    let search = Search {
        stop_when: rules,
        max_pages: 9,
        ..search(&[])
    };
    let mut story = Story::new();
    story.page_of(&search, 1, &["a", "b"], None);
    let known: HashSet<String> = ["a", "b", "c"].map(str::to_owned).into();
    let asking = KnownTo::of(&search).expect("a rule");
    let known = Known {
        ids: HashMap::from([(asking, Arc::new(known))]),
        due: HashMap::new(),
    };
    let replayed = story.replayed_from(&[story.raw()], &known);
    let mut pager = under_way(replayed, ID);
    let (_, stop) = pager.advance(&summary(&["c", "d"]));
    assert_eq!(stop, Some(StopReason::KnownShare));
}

#[test]
fn a_search_that_failed_has_failed() {
    let mut story = Story::new();
    story.page(1, &["a"], None);
    let sent = story.send();
    let failed = Call {
        class: CallClass::BadRequest,
        ..done(&sent, Billed::No)
    };
    story.journal.push(Entry::Done(failed.clone()));
    story.journal.push(Entry::Failed {
        search_id: ID.to_owned(),
        error: "code 400".to_owned(),
    });
    let replayed = story.replayed();
    let end = SearchEnd {
        search_id: ID.to_owned(),
        stop: StopReason::Failed,
        error: Some("code 400".to_owned()),
    };
    assert_eq!(ended(&replayed, ID), end);
    assert_eq!(replayed.calls.len(), 2);
    assert_eq!(replayed.calls[1], failed);
    // The page that it brought is there all the same.
    assert_eq!((replayed.pages, replayed.items), (1, 1));
}

#[test]
fn a_call_without_an_end_may_have_been_billed() {
    let mut story = Story::new();
    story.page(1, &["a"], None);
    let sent = story.send();
    let replayed = story.replayed();
    let lost = Call::unanswered(&sent, "the process died before the answer was stored");
    assert_eq!(replayed.calls[1], lost);
    assert_eq!((lost.billed, lost.cost), (Billed::Unknown, None));
    assert_eq!(lost.class, CallClass::Lost);
    // Its page is asked for again.
    assert_eq!(under_way(replayed, ID).page(), 2);
}

#[test]
fn a_page_that_was_kept_gives_back_the_row_of_its_call() {
    let mut story = Story::new();
    let sent = story.send();
    story.keep(&header(&sent, 1, 2), &["a", "b"]);
    let replayed = story.replayed();
    let row = Call {
        duration_ms: 1_234,
        code: Some("0".to_owned()),
        bytes: Some(85),
        item_count: Some(2),
        provider_request_id: Some("p".to_owned()),
        ..done(&sent, Billed::Yes)
    };
    assert_eq!(replayed.calls, [row]);
    assert_eq!((replayed.pages, replayed.items), (1, 2));
    assert_eq!(under_way(replayed, ID).page(), 2);
}

#[test]
fn a_clock_that_was_set_back_takes_no_time() {
    let mut story = Story::new();
    let sent = story.send();
    let early = PageHeader {
        fetched_at: time("2026-03-09T03:59:59Z"),
        ..header(&sent, 1, 0)
    };
    story.keep(&early, &[]);
    assert_eq!(story.replayed().calls[0].duration_ms, 0);
}

#[test]
fn an_unusable_answer_is_recorded_only_as_a_call() {
    let mut story = Story::new();
    let sent = story.send();
    let refused = PageHeader {
        accepted: false,
        class: CallClass::Invalid,
        ..header(&sent, 1, 0)
    };
    story.keep(&refused, &["a"]);
    let replayed = story.replayed();
    assert!(replayed.progress.is_empty());
    assert_eq!((replayed.pages, replayed.items), (0, 0));
    let call = &replayed.calls[0];
    assert_eq!((call.class.as_str(), call.billed), ("invalid", Billed::Yes));
    assert_eq!((call.item_count, call.cost), (None, Some(0.1)));
    assert!(call.error.is_some());
}

#[test]
fn a_page_in_two_files_counts_once() {
    let mut story = Story::new();
    story.page(1, &["a"], None);
    story.page(2, &["b", "c"], None);
    let copy = story.dir.path().join("2.ndjson.zst");
    std::fs::copy(story.raw(), &copy).expect("a copy");
    let missing = story.dir.path().join("3.ndjson.zst");
    let raw = [story.raw(), copy, missing, story.raw()];
    let replayed = story.replayed_from(&raw, &Known::default());
    assert_eq!((replayed.pages, replayed.items), (2, 3));
    assert_eq!(replayed.calls.len(), 2);
    assert_eq!(under_way(replayed, ID).page(), 3);
}

#[test]
fn a_run_that_went_on_the_next_day_has_two_files() {
    let mut story = Story::new();
    story.page(1, &["a"], None);
    let first = story.raw();
    let second = story.dir.path().join("2.ndjson.zst");
    story.writer = RawWriter::new(second.clone());
    story.page(2, &["b"], Some(StopReason::Empty));
    let replayed = story.replayed_from(&[first, second], &Known::default());
    assert_eq!(ended(&replayed, ID).stop, StopReason::Empty);
    assert_eq!(replayed.pages, 2);
}

#[test]
fn what_was_chosen_stays_chosen() {
    let mut story = Story::new();
    story.page(1, &["a"], Some(StopReason::MaxPages));
    story.journal.push(Entry::Chosen { searches: vec![] });
    assert_eq!(story.replayed().chosen, Some(vec![]));
    let searches = vec![search(&[("note_id", "a")])];
    story.journal.push(Entry::Chosen {
        searches: searches.clone(),
    });
    story.journal.push(Entry::Committed { tables: true });
    assert_eq!(story.replayed().chosen, Some(searches));
}

#[test]
fn pages_of_a_removed_endpoint_are_calls_only() {
    let mut story = Story::new();
    let (mut endpoint, mut source) = (search(&[]), search(&[]));
    endpoint.endpoint = "note_search_v1".to_owned();
    source.source = "elsewhere".to_owned();
    story.page_of(&endpoint, 1, &["a"], None);
    story.page_of(&source, 1, &["a"], None);
    // The row of this one is lost, and nobody can say any more whether it was billed.
    let sent = story.send();
    let foreign = PageHeader {
        search: source,
        ..header(&sent, 2, 1)
    };
    story.keep(&foreign, &["a"]);
    let replayed = story.replayed();
    assert!(replayed.progress.is_empty());
    assert_eq!((replayed.pages, replayed.items), (0, 0));
    let billed: Vec<Billed> = replayed.calls.iter().map(|call| call.billed).collect();
    assert_eq!(billed, [Billed::Yes, Billed::Yes, Billed::Unknown]);
}

#[test]
fn every_search_has_its_own_place() {
    let mut story = Story::new();
    let other = Search {
        search_id: "0000000000000001".to_owned(),
        ..search(&[])
    };
    story.page(1, &["a"], None);
    story.page_of(&other, 1, &["a"], None);
    story.page(2, &["b"], Some(StopReason::Empty));
    story.page_of(&other, 2, &["b"], None);
    let replayed = story.replayed();
    assert_eq!(ended(&replayed, ID).stop, StopReason::Empty);
    let order: Vec<&str> = replayed
        .calls
        .iter()
        .map(|c| c.request_id.as_str())
        .collect();
    assert_eq!(order, ["r1", "r2", "r3", "r4"]);
    assert_eq!(under_way(replayed, "0000000000000001").page(), 3);
}
