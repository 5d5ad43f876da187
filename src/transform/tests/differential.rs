//! The fast path makes the same tables of generated pages as the reference does: all rows, rejects
//! and drift. By default 5,000 items; `REDLAKE_DIFFERENTIAL_ITEMS=100000` asks for more, and
//! `REDLAKE_DIFFERENTIAL_SEED=…` begins with the run that a failure named.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::any_json::{SAMPLES, json as any_json};
use super::oddities::{NAMES, Oddities, written, wrong_values};
use super::reference::{Cell, Outcome, Reference, Settings, Step, difference};
use super::{documented, flattened, meta, page};
use crate::raw::page::RawPage;
use crate::spec::contracts::Contracts;
use crate::spec::pipeline::OnBadValue;
use crate::transform::contracts::Transform;
use crate::transform::quality::drift::DriftKind;

static CONTRACTS: LazyLock<Arc<Contracts>> =
    LazyLock::new(|| Arc::new(Contracts::load(None).unwrap_or_else(|e| panic!("{e}"))));

static TRANSFORM: LazyLock<Transform> = LazyLock::new(super::built_in);

static REFERENCE: LazyLock<Reference<'_>> =
    LazyLock::new(|| Reference::new(&CONTRACTS, Settings::NOW));

/// The first run of the generator; each further one has the next number.
const SEED: u64 = 1;
const ITEMS: usize = 5_000;

/// A number that the environment gives.
fn given(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|e| panic!("{variable}: {e}")))
}

/// What both sides make of these pages is the same.
fn assert_same(pages: &[RawPage], what: &str) -> Outcome {
    let expected = REFERENCE.tables(&meta(), pages);
    if let Some(told) = difference(&expected, &flattened(&TRANSFORM, pages)) {
        let few = with_needed_items(needed_pages(pages));
        let alone = told_of(&few).unwrap_or_default();
        panic!(
            "{what}: {told}\nWith these pages alone: {alone}\n{}",
            shown(&few)
        );
    }
    expected
}

fn told_of(pages: &[RawPage]) -> Option<String> {
    let expected = REFERENCE.tables(&meta(), pages);
    difference(&expected, &flattened(&TRANSFORM, pages))
}

/// The pages without those that a difference does not need.
fn needed_pages(pages: &[RawPage]) -> Vec<RawPage> {
    let mut needed = pages.to_vec();
    for place in (0..pages.len()).rev() {
        let page = needed.remove(place);
        if told_of(&needed).is_none() {
            needed.insert(place, page);
        }
    }
    needed
}

/// The same for the items on the pages.
fn with_needed_items(mut pages: Vec<RawPage>) -> Vec<RawPage> {
    for page in 0..pages.len() {
        let Ok(answer) = serde_json::from_slice::<Value>(&pages[page].body) else {
            continue;
        };
        for list in ["/data/items", "/data/users"] {
            let items = answer.pointer(list).and_then(Value::as_array);
            for place in (0..items.map_or(0, Vec::len)).rev() {
                let whole = pages[page].body.clone();
                let mut less: Value = serde_json::from_slice(&whole).expect("JSON");
                if let Some(Value::Array(items)) = less.pointer_mut(list) {
                    items.remove(place);
                }
                pages[page].body = less.to_string().into_bytes();
                if told_of(&pages).is_none() {
                    pages[page].body = whole;
                }
            }
        }
    }
    pages
}

fn shown(pages: &[RawPage]) -> String {
    let page = |page: &RawPage| {
        let header = &page.header;
        let start: String = page.text().text.chars().take(4_000).collect();
        format!(
            "page {} of {} {}, fetched at {}, accepted {}:\n{start}\n",
            header.page,
            header.search.endpoint,
            header.search.search_id,
            header.fetched_at,
            header.accepted
        )
    };
    pages.iter().map(page).collect()
}

#[test]
fn generated_pages_give_the_same_tables() {
    let items = given("REDLAKE_DIFFERENTIAL_ITEMS").map_or(ITEMS, |n| n as usize);
    let mut seed = given("REDLAKE_DIFFERENTIAL_SEED").unwrap_or(SEED);
    let mut made = 0;
    while made < items {
        let mut oddities = Oddities::new(seed);
        let pages = oddities.run();
        assert_same(&pages, &format!("REDLAKE_DIFFERENTIAL_SEED={seed}"));
        made += oddities.items;
        seed += 1;
    }
}

#[test]
fn bad_values_become_null_in_the_same_places() {
    let nulling = Transform {
        on_bad_value: OnBadValue::Null,
        ..super::built_in()
    };
    let settings = Settings {
        bad_value_is_null: true,
        ..Settings::NOW
    };
    let reference = Reference::new(&CONTRACTS, settings);
    let mut nulled = 0;
    for seed in SEED..SEED + 3 {
        let pages = Oddities::new(seed).run();
        let mut expected = reference.tables(&meta(), &pages);
        let mut tables = flattened(&nulling, &pages);
        // Only the fast path counts them in drift, by the place of the value.
        let bad: u64 = tables
            .drift
            .iter()
            .filter(|row| row.kind == DriftKind::BadValue)
            .map(|row| row.count)
            .sum();
        let told: u64 = tables.tallies.values().map(|tally| tally.nulled).sum();
        let known: u64 = expected.nulled.values().sum();
        assert_eq!((bad, told), (known, known), "seed {seed}");
        expected.tables.remove("drift");
        tables.batches.remove("drift");
        assert_eq!(difference(&expected, &tables), None, "seed {seed}");
        nulled += known;
    }
    assert!(nulled > 20, "{nulled} bad values are too few");
}

#[test]
fn generated_pages_have_every_oddity() {
    let mut seen: BTreeMap<&str, usize> = NAMES.iter().map(|name| (*name, 0)).collect();
    let (mut items, mut seed) = (0, SEED);
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    let mut filled: BTreeMap<(String, String), usize> = BTreeMap::new();
    while items < ITEMS {
        let mut oddities = Oddities::new(seed);
        let outcome = REFERENCE.tables(&meta(), &oddities.run());
        for (name, count) in oddities.seen() {
            *seen.entry(name).or_default() += count;
        }
        for (table, rows) in &outcome.tables {
            for (column, _) in rows
                .iter()
                .flatten()
                .filter(|(_, cell)| **cell != Cell::Null)
            {
                *filled.entry((table.clone(), column.clone())).or_default() += 1;
            }
        }
        for reject in &outcome.tables["rejects"] {
            if let Some(Cell::Text(reason)) = reject.get("reason") {
                *reasons.entry(reason.clone()).or_default() += 1;
            }
        }
        items += oddities.items;
        seed += 1;
    }
    let missing: Vec<_> = seen.iter().filter(|(_, count)| **count == 0).collect();
    assert!(missing.is_empty(), "{missing:?}");
    for (name, table) in &CONTRACTS.tables {
        let flattened = table.rows_from == crate::spec::table::RowsFrom::Pages;
        for column in table.columns.keys().filter(|_| flattened) {
            let key = (name.clone(), column.clone());
            assert!(
                filled.contains_key(&key),
                "{name}.{column} never has a value"
            );
        }
    }
    let expected = [
        "HTML that is too large or too deeply nested",
        "a blank id",
        "an integer beyond 2^53, which float64 does not hold exactly",
        "an object without a known value",
        "larger than float64",
        "larger than int64",
        "missing",
        "not a count",
        "not a number",
        "not a text",
        "not a time from 1990 to 2099",
        "not a truth value",
        "not a whole number",
        "not an ISO 8601 time with offset",
        "not an object",
        "null in a list",
        "smaller than float64",
        "smaller than int64",
        "the answer does not name its subject",
        "the answer has no list of items",
        "the answer is about another note",
        "the answer is not JSON",
    ];
    let (no_pages, reasons): (Vec<&String>, Vec<&String>) = reasons
        .keys()
        .partition(|reason| reason.starts_with("the answer is not a page: "));
    assert_eq!(reasons, expected);
    assert!(no_pages.len() > 1, "{no_pages:?}");
}

/// Every place that a rule looks at takes every value that may not belong there.
#[test]
fn every_known_place_takes_every_value() {
    for (source, endpoint) in SAMPLES {
        let answer: Value = serde_json::from_str(&documented(endpoint)).expect("JSON");
        for place in REFERENCE.places(source, endpoint) {
            let mut pages = Vec::new();
            for (number, (_, value)) in wrong_values().into_iter().enumerate() {
                let mut answer = numbered(&answer, number);
                if place.contains(&Step::Key("ads".to_owned())) {
                    advertise(&mut answer["data"]["items"][0]);
                }
                put(&mut answer, &place, value);
                let body = written(&answer, &mut fastrand::Rng::with_seed(number as u64));
                let mut page = page(source, endpoint, body);
                page.header.page = number as u32;
                pages.push(page);
            }
            assert_same(&pages, &format!("{endpoint} {place:?}"));
        }
    }
}

/// The answer with ids of its own, so that no later one outdates its rows.
fn numbered(answer: &Value, number: usize) -> Value {
    let mut answer = answer.clone();
    for id in [
        "/data/items/0/note/id",
        "/data/items/0/note/user/userid",
        "/data/note_id",
        "/data/author/user_id",
    ] {
        if let Some(id) = answer.pointer_mut(id) {
            *id = json!(format!("id {number}"));
        }
    }
    if let Some(Value::Array(users)) = answer.pointer_mut("/data/users") {
        users.truncate(1);
        users[0]["id"] = json!(format!("id {number}"));
    }
    if let Some(Value::Array(options)) = answer.pointer_mut("/data/filters/0/filter_tags") {
        options.truncate(1);
    }
    if let Some(Value::Array(facets)) = answer.pointer_mut("/data/filters") {
        facets.truncate(1);
    }
    answer
}

/// Makes an advertisement of an item.
fn advertise(item: &mut Value) {
    let note = item["note"].take();
    *item = json!({"model_type": "ads", "ads": {"note": note}});
}

/// Puts a value at a place and, where they are missing, the objects and lists around it.
fn put(within: &mut Value, place: &[Step], value: Value) {
    let Some((step, rest)) = place.split_first() else {
        *within = value;
        return;
    };
    let key = match step {
        Step::Each => {
            if within.as_array().is_none_or(Vec::is_empty) {
                *within = json!([null]);
            }
            return put(&mut within[0], rest, value);
        }
        Step::Key(key) => key.as_str(),
        Step::Values => "av1",
    };
    if !within.is_object() {
        *within = json!({});
    }
    put(&mut within[key], rest, value);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_json_gives_the_same_tables(
        answers in prop::collection::vec((any_json(), prop::sample::select(SAMPLES.to_vec())), 1..4),
    ) {
        let pages = answers.into_iter().map(|(answer, (source, endpoint))| {
            page(source, endpoint, answer.to_string())
        });
        assert_same(&pages.collect::<Vec<_>>(), "any JSON");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_order_of_generated_pages_does_not_matter(seed in 0_u64..1_000, order in any::<u64>()) {
        let mut pages = Oddities::new(seed).run();
        let expected = flattened(&TRANSFORM, &pages);
        fastrand::Rng::with_seed(order).shuffle(&mut pages);
        let shuffled = flattened(&TRANSFORM, &pages);
        prop_assert_eq!(expected.batches, shuffled.batches);
    }
}

/// Keys that are data make any number of paths: the order of pages must not decide which are told.
#[test]
fn of_many_paths_the_same_are_told_apart() {
    let pages = [2, 1, 0].map(|number| {
        let mut answer = json!({"code": 0, "data": {"items": []}});
        for key in number * 500..number * 500 + 600 {
            answer["data"][format!("key {key:04}")] = json!(key);
        }
        let mut page = page("justoneapi", "note_search", answer.to_string());
        page.header.page = number;
        page
    });
    let outcome = assert_same(&pages, "many paths");
    assert_eq!(outcome.tables["drift"].len(), 1_001);
}
