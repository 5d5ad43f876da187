//! Calls to a server on this machine, and what a process that dies has left of them.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;
use tokio::sync::watch;

use super::{SHANGHAI, head, journal, journal_path, planned, source, time};
use crate::clock::Clock;
use crate::extract::budget::Budget;
use crate::extract::call::CallUnderWay;
use crate::extract::client::{Answer, Client, SourceAccess};
use crate::extract::context::{Context, Known};
use crate::extract::journal::{Entry, Journal, read};
use crate::extract::ledger::{Call, Spent};
use crate::extract::pager::{KnownItems, Pager, StopReason};
use crate::extract::policy::{Attempt, Failure};
use crate::extract::replay::{Progress, Replayed, replay};
use crate::extract::store::Store;
use crate::extract::{Extracted, Extractor, Needs};
use crate::plan::{Budgets, Plan};
use crate::raw::{RawReader, RawWriter};
use crate::run_meta::RunMeta;
use crate::spec::source::Billed;

const NOON: &str = "2026-03-09T04:00:00Z";

/// Serves on this machine until the test ends: the answer to a request line, as status and body.
fn serve(answer: impl Fn(&str) -> (u16, String) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let reader = BufReader::new(stream.try_clone().expect("a socket"));
            let mut lines = reader.lines().map_while(Result::ok);
            let request = lines.next().unwrap_or_default();
            while lines.next().is_some_and(|line| !line.is_empty()) {}
            let (status, body) = answer(&request);
            let answer = format!(
                "HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(answer.as_bytes()).expect("a client");
        }
    });
    format!("http://{address}")
}

fn meta() -> RunMeta {
    RunMeta::new(RUN_ID, "test", time(NOON), chrono_tz::UTC, false)
}

const RUN_ID: &str = "01a1ffd8-344f-70ea-82f1-ffa903442969";

fn unlimited() -> Budget {
    let none = Spent::default();
    Budget::new(Budgets::default(), SHANGHAI, time(NOON), none, none, None)
}

fn raw_path(folder: &Path, source: &str) -> PathBuf {
    folder.join(format!("{source}.ndjson.zst"))
}

/// Makes the searches of a plan, from where they stand, at the sources that are served here.
async fn extract(
    plan: &Plan,
    sources: &[(&str, &str)],
    folder: &Path,
    journal: Journal,
    progress: HashMap<String, Progress>,
) -> Extracted {
    let client = |(name, url): &(&str, &str)| {
        let access = SourceAccess {
            base_url: url.to_string(),
            token: "token".into(),
            signer: None,
        };
        let client = Client::new(source(name), access, 1 << 20).expect("a client");
        (name.to_string(), client)
    };
    let writer = |(name, _): &(&str, &str)| {
        let writer = RawWriter::new(raw_path(folder, name));
        (name.to_string(), writer)
    };
    let (_never, stop) = watch::channel(false);
    let needs = Needs {
        clients: sources.iter().map(client).collect(),
        writers: sources.iter().map(writer).collect(),
        journal: Arc::new(journal),
        budget: unlimited(),
        known: Known::default(),
        recent: BTreeMap::new(),
        progress,
        found: Default::default(),
        stop,
    };
    let mut extractor = Extractor::new(Arc::new(plan.clone()), meta(), Clock::Real, needs);
    let mut extracted = Extracted::default();
    extractor
        .extract(plan.searches.clone(), &mut extracted)
        .await
        .unwrap_or_else(|e| panic!("{e}"));
    extracted
}

fn replayed(plan: &Plan, entries: &[Entry], raw: &[PathBuf]) -> Replayed {
    let known = Known::default();
    replay(plan, time(NOON), &known, entries, raw).unwrap_or_else(|e| panic!("{e}"))
}

/// Notes whose ids say what becomes of them, and a search that has no list.
const ODD: &str = "
version: 1
pipeline: test
source: {name: xhs_open}
keyword_sets: {topics: [防晒]}
extract:
  - endpoint: note_detail
    notes: {ids: [ok, gone, unknown, html, empty]}
  - {endpoint: note_search, source: {name: justoneapi}, keywords: [topics], pages: {max: 2}}
limits: {requests_per_second: 1000, concurrency: 1, retries: 0}
price: {note_detail: 0.25, note_search: 0.1, currency: CNY}
";

fn odd(request: &str) -> (u16, String) {
    let note = request.split(['/', ' ']).nth(4).unwrap_or_default();
    let (status, body) = match note {
        "ok" => (200, r#"{"code":200,"data":{"note_id":"ok"}}"#),
        "gone" => (200, r#"{"code":404,"message":"gone"}"#),
        "unknown" => (200, r#"{"code":999}"#),
        "html" => (200, "<html>\n"),
        "empty" => (204, ""),
        _ => (200, r#"{"code":0,"requestId":"p","data":{"notes":[]}}"#),
    };
    (status, body.to_owned())
}

/// Every answer that was kept says what its row in the ledger said.
#[tokio::test]
async fn a_row_that_was_lost_is_told_by_its_page() {
    let plan = planned(ODD);
    let dir = TempDir::new().expect("a temporary folder");
    let url = serve(odd);
    let sources = [("justoneapi", url.as_str()), ("xhs_open", url.as_str())];
    let begun = journal(dir.path(), head("run"), &[]);
    let extracted = extract(&plan, &sources, dir.path(), begun, HashMap::new()).await;
    assert_eq!(extracted.ended.len(), 6, "{extracted:?}");

    let entries = read(&journal_path(dir.path(), "run")).expect("a journal");
    let sent_only = entries.iter().filter(|e| matches!(e, Entry::Sent(_)));
    let sent_only: Vec<Entry> = sent_only.cloned().collect();
    let raw = sources.map(|(name, _)| raw_path(dir.path(), name));
    let told = replayed(&plan, &sent_only, &raw);
    assert_eq!((told.pages, told.items), (extracted.pages, extracted.items));
    let written: HashMap<&str, &Call> = extracted
        .calls
        .iter()
        .map(|call| (call.request_id.as_str(), call))
        .collect();
    assert_eq!((written.len(), told.calls.len()), (6, 6));
    for call in &told.calls {
        let written = written[call.request_id.as_str()];
        assert!(
            call.duration_ms.abs_diff(written.duration_ms) <= 50,
            "{call:?}"
        );
        assert_eq!(call.error.is_some(), written.error.is_some(), "{call:?}");
        // The words of what was wrong are not in the raw zone.
        let expected = Call {
            duration_ms: call.duration_ms,
            error: call.error.clone(),
            ..written.clone()
        };
        assert_eq!(*call, expected);
    }
}

/// Two searches of three pages.
const PAGES: &str = "
version: 1
pipeline: test
source: {name: justoneapi}
keyword_sets: {topics: [a, b]}
extract: [{endpoint: note_search, keywords: [topics], pages: {max: 9}}]
limits: {requests_per_second: 1000, concurrency: 1}
price: {note_search: 0.1, currency: CNY}
";

/// Two notes a page, and none on the third.
fn notes(request: &str) -> (u16, String) {
    let value = |name: &str| {
        let (_, rest) = request.split_once(name).expect("a parameter");
        rest.split(['&', ' ']).next().expect("a value").to_owned()
    };
    let (keyword, page) = (value("keyword="), value("page="));
    let note = |n| format!(r#"{{"note":{{"id":"{keyword}{page}{n}"}}}}"#);
    let items = match page.as_str() {
        "3" => String::new(),
        _ => format!("{},{}", note(1), note(2)),
    };
    (200, format!(r#"{{"code":0,"data":{{"items":[{items}]}}}}"#))
}

/// Keyword, number and reason to stop of each page in a raw file.
fn pages(raw: &Path) -> Vec<(String, u32, Option<String>)> {
    let reader = RawReader::open(raw).expect("a raw file");
    let headers = reader.map(|page| page.expect("a page").header);
    let pages = headers.map(|h| (h.search.keyword.unwrap_or_default(), h.page, h.stop));
    let mut pages: Vec<_> = pages.collect();
    pages.sort();
    pages
}

/// Wherever a run is cut off, the next one brings the rest, and no page twice.
#[tokio::test]
async fn a_run_that_is_continued_brings_what_was_missing() {
    let plan = planned(PAGES);
    let url = serve(notes);
    let sources = [("justoneapi", url.as_str())];
    let dir = TempDir::new().expect("a temporary folder");
    let begun = journal(dir.path(), head("run"), &[]);
    let whole = extract(&plan, &sources, dir.path(), begun, HashMap::new()).await;
    assert_eq!((whole.pages, whole.items, whole.calls.len()), (6, 8, 6));
    let whole_raw = raw_path(dir.path(), "justoneapi");
    let entries = read(&journal_path(dir.path(), "run")).expect("a journal");
    let frames: Vec<_> = RawReader::open(&whole_raw)
        .expect("a raw file")
        .map(|page| page.expect("a page"))
        .collect();

    for cut in 1..=entries.len() {
        let entries = &entries[1..cut];
        let sent = entries
            .iter()
            .filter(|e| matches!(e, Entry::Sent(_)))
            .count();
        let done = entries
            .iter()
            .filter(|e| matches!(e, Entry::Done(_)))
            .count();
        // The page of the last call may be there before its row.
        for kept in done..=sent {
            let dir = TempDir::new().expect("a temporary folder");
            let raw = raw_path(dir.path(), "justoneapi");
            let mut writer = RawWriter::new(raw.clone());
            for page in &frames[..kept] {
                let written = writer.append(&page.header, &page.body);
                written.expect("a writable folder");
            }
            let so_far = replayed(&plan, entries, std::slice::from_ref(&raw));
            assert_eq!((so_far.pages, so_far.calls.len()), (kept as u64, sent));
            let known = so_far.calls.iter().filter(|c| c.billed == Billed::Yes);
            assert_eq!(known.count(), kept, "a row is known or its page is there");
            let again = journal(dir.path(), head("run"), entries);
            let progress = so_far.progress;
            let rest = extract(&plan, &sources, dir.path(), again, progress).await;
            assert_eq!(
                pages(&raw),
                pages(&whole_raw),
                "{cut} entries, {kept} pages"
            );
            assert_eq!(rest.calls.len(), 6 - kept);
            assert!(rest.ended.iter().all(|end| end.stop == StopReason::Empty));
            assert_eq!((rest.ended.len(), rest.left.len()), (2, 0));
        }
    }
}

/// What the calls of a plan's first search share.
fn context(plan: Plan, folder: &Path) -> (Context, Pager) {
    let search = plan.searches[0].clone();
    let endpoint = plan.endpoint(&search);
    let pager = Pager::new(search, endpoint, time(NOON), KnownItems::default());
    let journal = Arc::new(journal(folder, head("run"), &[]));
    let context = Context {
        plan: Arc::new(plan),
        meta: meta(),
        clock: Clock::Real,
        sources: BTreeMap::new(),
        budget: unlimited(),
        journal: Arc::clone(&journal),
        store: Store::new(BTreeMap::new(), journal),
        cut: watch::Sender::new(None),
        stop: watch::channel(false).1,
    };
    (context, pager)
}

fn answer(status: u16, body: &str) -> Result<Answer, Failure> {
    Ok(Answer {
        content_type: None,
        encoding: None,
        redirect: None,
        status,
        retry_after: None,
        body: body.as_bytes().to_vec(),
    })
}

#[test]
fn answers_that_may_be_billed_are_kept_with_their_price() {
    let dir = TempDir::new().expect("a temporary folder");
    let (context, pager) = context(planned(PAGES), dir.path());
    let first = Attempt {
        number: 1,
        unknown: 0,
    };
    let sending = CallUnderWay::new(&context, &pager, first);
    let cases = [
        (
            answer(200, r#"{"code":0,"data":{"items":[{}]}}"#),
            "ok Yes Some(0.1) Some(1) kept: Accept",
            None,
        ),
        (
            answer(500, r#"{"code":0,"data":null}"#),
            "ok Yes Some(0.1) Some(0) kept: Accept",
            None,
        ),
        (
            answer(200, r#"{"code":0,"data":{}}"#),
            "invalid Yes Some(0.1) None kept: FailSearch",
            Some("the answer has no list of items: `/data/items` is missing"),
        ),
        (
            answer(200, r#"{"code":7,"message":"what"}"#),
            "unknown Unknown None None kept: FailSearch",
            Some("code 7 (HTTP 200): what"),
        ),
        (
            answer(200, "<html>"),
            "invalid Unknown None None kept: FailSearch",
            Some("HTTP 200: the answer is HTML, not JSON"),
        ),
        (
            answer(429, r#"{"code":"303"}"#),
            "quota No Some(0.0) None -: StopRun",
            Some("code 303 (HTTP 429): no message"),
        ),
        (
            Err(Failure::Timeout),
            "timeout Unknown None None -: FailSearch",
            Some("no answer came in time"),
        ),
        (
            Err(Failure::TooLarge { limit: 32 << 20 }),
            "invalid Unknown None None -: FailSearch",
            Some("the answer is larger than 32 MiB"),
        ),
    ];
    for (fetched, told, error) in cases {
        let place = format!("{fetched:?}");
        let ended = sending.judge(fetched);
        let call = &ended.call;
        let kept = if ended.answer.is_some() { "kept" } else { "-" };
        let verdict = format!(
            "{} {:?} {:?} {:?} {kept}: {:?}",
            call.class, call.billed, call.cost, call.item_count, ended.decision
        );
        assert_eq!(verdict, told, "{place}");
        assert_eq!(call.error.as_deref(), error, "{place}");
        assert_eq!(call.request_id, sending.sent.request_id);
    }
    let dropped = sending.dropped();
    assert_eq!(
        (dropped.class.as_str(), dropped.billed),
        ("lost", Billed::Unknown)
    );
}
