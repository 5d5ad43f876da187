//! What the fuzz targets share: the pages they flatten, and what must hold for any input.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use chrono::{DateTime, Utc};
use redlake::plan::{Privacy, Search, StopRules, plan};
use redlake::raw::{PageHeader, RawPage, VERSION};
use redlake::spec::contracts::Contracts;
use redlake::spec::yaml::diagnostic::{Diagnostics, SourceFile};
use redlake::spec::load::parse_pipeline;
use redlake::spec::words::Filter;
use redlake::transform::tables::finish::Tables;
use redlake::run_meta::RunMeta;
use redlake::spec::class::CallClass;
use redlake::transform::{Transform, TransformError};

pub static BUILT_IN: LazyLock<Arc<Contracts>> =
    LazyLock::new(|| Arc::new(Contracts::load(None).expect("the built-in contracts")));

/// Rejects rows with a value that does not fit.
pub static REJECTING: LazyLock<Transform> = LazyLock::new(|| {
    Transform::new(Arc::clone(&BUILT_IN), &Privacy::default()).expect("the built-in contracts")
});

/// Hides personal data, and makes a value that does not fit null.
pub static HIDING: LazyLock<Transform> = LazyLock::new(|| {
    let file = SourceFile::new("hiding.yaml", HIDING_PIPELINE);
    let salt = |_: &str| Some("0123456789abcdef".to_owned());
    let loaded = parse_pipeline(file, &salt, &|_| Err(std::io::Error::other("no list")));
    let plan = plan(loaded.expect("a pipeline"), Arc::clone(&BUILT_IN)).expect("a plan");
    Transform::of(&plan).expect("the built-in contracts")
});

const HIDING_PIPELINE: &str = r#"
version: 1
pipeline: hiding
source: {name: justoneapi, base_url: sandbox}
keyword_sets: {words: [word]}
extract: [{endpoint: note_search, keywords: [words], pages: {max: 1}}]
contract: {on_bad_value: null}
privacy:
  hash: [users.nickname, users.red_id, notes.xsec_token]
  drop: [notes.latitude, users.avatar_url]
  scrub_phone_numbers: true
  salt: "${SALT}"
"#;

const NOTE_SEARCH: &str = include_str!("../../../sample_data/documented/note_search.json");
const USER_SEARCH: &str = include_str!("../../../sample_data/documented/user_search.json");
const NOTE_DETAIL: &str = include_str!("../../../sample_data/documented/note_detail.json");

/// The answer that the provider documents for an endpoint; of an unknown one, that of another.
pub fn documented(endpoint: &str) -> &'static str {
    match endpoint {
        "user_search" => USER_SEARCH,
        "note_detail" => NOTE_DETAIL,
        _ => NOTE_SEARCH,
    }
}

fn time(text: &str) -> DateTime<Utc> {
    text.parse().expect("a time")
}

const RUN_ID: &str = "01a1ffd8-344f-70ea-82f1-ffa903442969";

/// The header of a search's second page.
pub fn header(source: &str, endpoint: &str) -> PageHeader {
    let search = Search {
        search_id: "24382dd2e0be3a01".to_owned(),
        source: source.to_owned(),
        endpoint: endpoint.to_owned(),
        keyword: Some("word".to_owned()),
        keyword_set: Some("words".to_owned()),
        filters: BTreeMap::from([
            (Filter::Sort, "newest".to_owned()),
            (Filter::PublishedWithin, "1d".to_owned()),
        ]),
        note_id: None,
        params: BTreeMap::new(),
        max_pages: 3,
        stop_when: StopRules::default(),
        wishes: Vec::new(),
        fields: Vec::new(),
    };
    PageHeader {
        v: VERSION,
        run_id: RUN_ID.to_owned(),
        pipeline: "fuzz".to_owned(),
        snapshot_at: time("2026-03-09T20:00:00Z"),
        simulated: false,
        request_id: "request".to_owned(),
        search,
        page: 2,
        fetched_at: time("2026-03-09T20:00:01Z"),
        status: 200,
        content_type: None,
        accepted: true,
        class: CallClass::Ok,
        item_count: 20,
        items_before: 20,
        new_item_count: 20,
        stop: None,
    }
}

/// The tables of these pages, checked. A page of an endpoint that the contracts do not know is left
/// out; `Err` only for contracts whose tables cannot hold what they map.
pub fn flattened(transform: &Transform, pages: &[RawPage]) -> Result<Tables, TransformError> {
    let snapshot_at = time("2026-03-09T20:00:00Z");
    let meta = RunMeta::new(RUN_ID, "fuzz", snapshot_at, chrono_tz::Asia::Shanghai, false);
    let mut flattener = transform.begin(meta.clone());
    for page in pages {
        match flattener.push(page) {
            Ok(()) => {}
            Err(unknown @ TransformError::UnknownEndpoint { .. }) => drop(unknown.to_string()),
            Err(error) => panic!("a page in memory cannot fail: {error}"),
        }
    }
    let tables = transform.end(meta, flattener).and_then(|f| f.collect());
    match &tables {
        Ok(tables) => check(tables),
        Err(TransformError::Arrow(_)) => {}
        Err(error) => panic!("{error}"),
    }
    tables
}

/// Every item is a row, a reject or skipped, and every row that was counted is there.
fn check(tables: &Tables) {
    let rows = |name: &str| {
        tables
            .batches
            .get(name)
            .map(|batch| batch.num_rows() as u64)
    };
    let outcome = &tables.outcome;
    for (name, tally) in &outcome.tallies {
        assert!(tally.balances(), "{name}: {tally:?}");
        assert_eq!(rows(name), Some(tally.written - tally.superseded), "{name}");
    }
    // Pages that are no page are rejected as well.
    let rejected: u64 = outcome.tallies.values().map(|tally| tally.rejected).sum();
    assert!(
        rejected <= outcome.rejects,
        "{rejected} of {}",
        outcome.rejects
    );
    for (name, counted) in [
        ("rejects", outcome.rejects),
        ("drift", outcome.drift.len() as u64),
    ] {
        // A contract may leave the table out, or give it other rows.
        if REJECTING.table(name).is_some() && !outcome.tallies.contains_key(name) {
            assert!(rows(name).is_none_or(|rows| rows == counted), "{name}");
        }
    }
}

/// Mistakes can be shown, and each lies in its file.
pub fn shown(mistakes: &Diagnostics) {
    assert!(!mistakes.0.is_empty(), "an error without a reason");
    for mistake in &mistakes.0 {
        mistake.position();
        mistake.render(true);
        if let Some(span) = &mistake.span {
            let text = mistake.file.text();
            assert!(
                text.get(span.clone()).is_some(),
                "{span:?}: {}",
                mistake.message
            );
        }
    }
    mistakes.to_string();
}

/// Compiles contracts and flattens what the providers document with them.
pub fn flatten_documented(contracts: Contracts) {
    let endpoints: Vec<(String, String)> = contracts
        .sources
        .iter()
        .flat_map(|(name, source)| source.endpoints.keys().map(|e| (name.clone(), e.clone())))
        .take(MOST_ENDPOINTS)
        .collect();
    let transform = match Transform::new(Arc::new(contracts), &Privacy::default()) {
        Ok(transform) => transform,
        Err(mistakes) => return shown(&mistakes),
    };
    let page = |(source, endpoint): &(String, String)| RawPage {
        header: header(source, endpoint),
        body: documented(endpoint).to_owned().into_bytes(),
    };
    let pages: Vec<RawPage> = endpoints.iter().map(page).collect();
    if let Err(error) = flattened(&transform, &pages) {
        error.to_string();
    }
}

/// Lets redlake catch what html2text panics with, as it does outside of the fuzzer, where any panic
/// ends the program at once.
pub fn forgive_html2text() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let place = panic.location().map_or("", |at| at.file());
        if !place.contains("/html2text-") {
            report(panic);
        }
    }));
}

/// More endpoints tell nothing new.
const MOST_ENDPOINTS: usize = 8;

/// What a contract's text says at `key`, for the name of its file.
pub fn declared<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    let value = |line: &'t str| Some(line.strip_prefix(key)?.strip_prefix(':')?.trim());
    text.lines().find_map(value)
}

/// A contract's text as the file that a folder of contracts would have it in.
pub fn contract_file(folder: &str, name: &str, text: &str) -> (std::path::PathBuf, SourceFile) {
    let path = Path::new(folder).join(name).with_extension("yaml");
    let file = SourceFile::new(path.clone(), text);
    (path, file)
}
