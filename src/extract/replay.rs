//! Restores the state of an interrupted run from its journal and its pages.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;

use chrono::{DateTime, Utc};

use super::envelope::Envelope;
use super::journal::Entry;
use super::ledger::Call;
use super::pager::{Pager, StopReason};
use super::policy::{Attempt, CallOutcome, decide};
use crate::extract::context::{Known, SearchEnd, known_to};
use crate::extract::counts::{FoundNotes, lists_notes};
use crate::extract::ledger::Sent;
use crate::plan::{Plan, Search};
use crate::raw::RawReader;
use crate::raw::page::{RawError, RawPage};
use crate::spec::source::Billed;

/// Progress of a search.
#[derive(Debug)]
pub enum Progress {
    UnderWay(Box<Pager>),
    Ended(SearchEnd),
}

/// The state of an interrupted run.
#[derive(Debug, Default)]
pub struct Replayed {
    /// Progress by search id.
    pub progress: HashMap<String, Progress>,
    /// Every call so far, the oldest first.
    pub calls: Vec<Call>,
    pub pages: u64,
    pub items: u64,
    /// The notes on its pages.
    pub found: FoundNotes,
    /// Request ids of calls whose page was acknowledged and is no longer readable.
    pub lost: HashSet<String>,
    /// The searches for the chosen notes, if notes were chosen.
    pub chosen: Option<Vec<Search>>,
}

/// Calls and searches according to the journal.
#[derive(Debug, Default)]
struct Noted {
    /// In the order of sending.
    sent: Vec<Sent>,
    done: HashMap<String, Call>,
    failed: BTreeMap<String, String>,
    chosen: Option<Vec<Search>>,
}

/// Restores a run. A finished search stays finished, with the stop reason of its last page. A
/// failed search stays failed, unless the run was closed and is continued since. A call that was sent without a recorded outcome is completed from
/// its page, or else counts as possibly billed. A search fails if one of its paid pages is no
/// longer readable: the page is not bought again.
///
/// # Errors
/// A raw file cannot be read.
pub fn replay<'p>(
    plan: &Plan,
    snapshot_at: DateTime<Utc>,
    known: &Known,
    journal: &[Entry],
    raw: impl IntoIterator<Item = &'p PathBuf>,
) -> Result<Replayed, RawError> {
    let mut noted = Noted::read(journal);
    let sent: HashMap<String, Sent> = noted
        .sent
        .iter()
        .map(|sent| (sent.request_id.clone(), sent.clone()))
        .collect();
    let mut replayed = Replayed {
        chosen: noted.chosen.take(),
        ..Replayed::default()
    };
    let mut kept = HashSet::new();
    for path in raw.into_iter().filter(|path| path.exists()) {
        for page in RawReader::open(path)? {
            let page = page?;
            let id = &page.header.request_id;
            // A page counts once, even if several files contain it.
            if !kept.insert(id.clone()) {
                continue;
            }
            if !noted.done.contains_key(id) {
                // A power cut may lose the line of a call but keep its page.
                let sent = sent.get(id).cloned().unwrap_or_else(|| {
                    let sent = sent_of(&page, plan);
                    noted.sent.push(sent.clone());
                    sent
                });
                noted.done.insert(id.clone(), call_of(&page, &sent, plan));
            }
            if page.header.accepted {
                replayed.take_in(page, plan, snapshot_at, known);
            }
        }
    }
    for call in noted.done.values().filter(|call| call.is_page()) {
        if !kept.contains(&call.request_id) {
            replayed.lost.insert(call.request_id.clone());
            noted.failed.insert(call.search_id.clone(), lost_page(call));
        }
    }
    for (search_id, error) in noted.failed {
        let end = SearchEnd {
            search_id: search_id.clone(),
            stop: StopReason::Failed,
            error: Some(error),
        };
        replayed.progress.insert(search_id, Progress::Ended(end));
    }
    let row = |sent: &Sent| {
        let lost = || Call::unanswered(sent, "the process died before the answer was stored");
        noted.done.remove(&sent.request_id).unwrap_or_else(lost)
    };
    replayed.calls = noted.sent.iter().map(row).collect();
    Ok(replayed)
}

impl Noted {
    fn read(journal: &[Entry]) -> Self {
        let mut noted = Noted::default();
        for entry in journal {
            match entry.clone() {
                Entry::Sent(sent) => noted.sent.push(sent),
                Entry::Done(call) => {
                    noted.done.insert(call.request_id.clone(), call);
                }
                Entry::Failed { search_id, error } => {
                    noted.failed.insert(search_id, error);
                }
                Entry::Chosen { searches } => noted.chosen = Some(searches),
                Entry::Reopened => noted.failed.clear(),
                Entry::Run(_) | Entry::Committed { .. } | Entry::BudgetSpent | Entry::Closed => {}
            }
        }
        noted
    }
}

impl Replayed {
    /// Records a page, as when it was fetched.
    fn take_in(&mut self, page: RawPage, plan: &Plan, snapshot_at: DateTime<Utc>, known: &Known) {
        let text = page.text().text.into_owned();
        let header = page.header;
        let search = header.search;
        let source = plan.contracts.sources.get(&search.source);
        let Some((source, endpoint)) =
            source.and_then(|s| Some((s, s.endpoints.get(&search.endpoint)?)))
        else {
            // The contracts have changed since, and no longer have this endpoint.
            return;
        };
        let id = search.search_id.clone();
        let mut pager = match self.progress.remove(&id) {
            Some(Progress::UnderWay(pager)) => *pager,
            Some(ended) => {
                self.progress.insert(id, ended);
                return;
            }
            None => {
                let known = known_to(&search, known);
                Pager::new(search, endpoint, snapshot_at, known)
            }
        };
        self.pages += 1;
        self.items += header.item_count;
        let summary = Envelope::read(text.as_bytes(), source).summary(endpoint, &pager.search);
        pager.advance(&summary.unwrap_or_default());
        if lists_notes(endpoint) {
            self.found.add(pager.last_ids(), pager.known());
        }
        // What was decided then counts, whatever the lake has learnt since.
        let progress = match header.stop.as_deref().and_then(StopReason::named) {
            Some(stop) => Progress::Ended(SearchEnd {
                search_id: id.clone(),
                stop,
                error: None,
            }),
            None => Progress::UnderWay(Box::new(pager)),
        };
        self.progress.insert(id, progress);
    }
}

fn lost_page(call: &Call) -> String {
    format!(
        "page {} was paid for, but cannot be read from the raw zone; it is not paid for again",
        call.page
    )
}

/// Returns the journal entry for a call of which only the page is left.
fn sent_of(page: &RawPage, plan: &Plan) -> Sent {
    let header = &page.header;
    let search = &header.search;
    Sent {
        request_id: header.request_id.clone(),
        source: search.source.clone(),
        search_id: search.search_id.clone(),
        endpoint: search.endpoint.clone(),
        keyword: search.keyword.clone(),
        note_id: search.note_id.clone(),
        page: header.page,
        attempt: 1,
        started_at: header.fetched_at,
        price: plan.price.of(&search.endpoint),
        currency: plan.price.currency_of(&search.endpoint).map(str::to_owned),
    }
}

/// Returns the ledger row of a call whose page was stored without its row.
fn call_of(page: &RawPage, sent: &Sent, plan: &Plan) -> Call {
    let header = &page.header;
    let source = plan.contracts.sources.get(&header.search.source);
    let envelope = source.map(|source| Envelope::read(page.text().text.as_bytes(), source));
    let envelope = envelope.unwrap_or_default();
    let code = envelope.code.clone();
    let outcome = CallOutcome::Answer {
        status: header.status,
        code: code.clone(),
        retry_after: None,
    };
    // The same judgement as on arrival. The attempt number does not affect billing.
    let first = Attempt {
        number: 1,
        unknown: 0,
    };
    let judged = source.map(|source| decide(&outcome, source, first, plan.limits.retries, 0.0));
    let billed = judged.map_or(Billed::Unknown, |verdict| verdict.billed);
    let took = header.fetched_at - sent.started_at;
    Call {
        duration_ms: took.num_milliseconds().max(0) as u64,
        http_status: Some(header.status),
        code,
        class: header.class,
        bytes: Some(page.body.len() as u64),
        item_count: header.accepted.then_some(header.item_count),
        provider_request_id: envelope.request_id.clone(),
        error: (!header.accepted).then(|| "the answer is not a page".to_owned()),
        ..Call::unanswered(sent, "").charged(billed, sent.price)
    }
}
