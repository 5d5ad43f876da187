//! From answers to rows.

mod any_json;
mod coerce;
mod compile;
mod differential;
mod json;
mod meaning;
mod oddities;
mod pages;
mod phone;
mod privacy;
mod reference;
mod rules;
mod select;
mod sorter;
mod suggest;
mod surrogates;
mod workers;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use chrono::{DateTime, Utc};
use serde_json::json;

use crate::plan::{Privacy, Search, StopRules};
use crate::raw::page::{PageHeader, RawPage, VERSION};
use crate::run_meta::RunMeta;
use crate::spec::class::CallClass;
use crate::spec::contracts::Contracts;
use crate::spec::words::Filter;
use crate::transform::contracts::Transform;
use crate::transform::quality::drift::DriftRow;
use crate::transform::quality::reject::Reject;
use crate::transform::quality::tally::Tallies;

fn built_in() -> Transform {
    let contracts = Contracts::load(None).unwrap_or_else(|e| panic!("{e}"));
    Transform::new(Arc::new(contracts), &Privacy::default()).unwrap_or_else(|e| panic!("{e}"))
}

/// All that became of some pages.
#[derive(Debug)]
struct Tables {
    batches: BTreeMap<String, RecordBatch>,
    rejects: Vec<Reject>,
    drift: Vec<DriftRow>,
    tallies: Tallies,
}

/// The rows of the table `rejects`.
fn rejects(batch: &RecordBatch) -> Vec<Reject> {
    let text = |name: &str, row: usize| {
        let column = batch.column_by_name(name)?.as_string::<i32>();
        column.is_valid(row).then(|| column.value(row).to_owned())
    };
    let number = |name: &str, row: usize| {
        let column = batch.column_by_name(name)?.as_primitive::<Int64Type>();
        column.is_valid(row).then(|| column.value(row))
    };
    let reject = |row| Reject {
        source: text("source", row).unwrap_or_default(),
        table: text("table", row),
        endpoint: text("endpoint", row).expect("an endpoint"),
        search_id: text("search_id", row).expect("an id"),
        page: number("page", row).expect("a page") as u32,
        item_index: number("item_index", row).map(|n| n as u64),
        column: text("column", row),
        reason: text("reason", row).expect("a reason"),
        value: text("value", row),
    };
    (0..batch.num_rows()).map(reject).collect()
}

/// Tables from pages.
fn flattened(transform: &Transform, pages: &[RawPage]) -> Tables {
    flattened_as(transform, meta(), pages)
}

/// Tables of a run with this meta.
fn flattened_as(transform: &Transform, meta: RunMeta, pages: &[RawPage]) -> Tables {
    let mut flattener = transform.begin(meta.clone());
    for page in pages {
        flattener.push(page).expect("a known endpoint");
    }
    let flattened = transform.end(meta, flattener).expect("tables");
    let crate::transform::tables::finish::Tables { batches, outcome } =
        flattened.collect().expect("tables");
    let rejects = batches.get("rejects").map(rejects);
    if let Some(rejects) = &rejects {
        assert_eq!(rejects.len() as u64, outcome.rejects);
    }
    Tables {
        batches,
        rejects: rejects.unwrap_or_default(),
        drift: outcome.drift,
        tallies: outcome.tallies,
    }
}

/// Pages of one search, each with some notes of the page before, fetched a second apart.
fn sample_pages(count: u32) -> Vec<RawPage> {
    let item = |id: u32, page: u32| {
        let images: Vec<_> = (0..id % 4)
            .map(|at| json!({"fileid": format!("{id}-{at}-{page}"), "url": ""}))
            .collect();
        json!({"model_type": if id.is_multiple_of(7) { "hot_query" } else { "note" }, "note": {
            "id": format!("{:024x}", id * 7_919), "type": "normal", "desc": format!("#tag{id} #all"),
            "liked_count": if id.is_multiple_of(11) { json!("many") } else { json!(id + page) },
            "timestamp": 1_760_000_000 + id, "images_list": images, "unknown": id,
            "user": {"userid": format!("u{}", id % 13), "nickname": "n"},
        }})
    };
    let body = |page: u32| {
        let items: Vec<_> = (page * 15..page * 15 + 20)
            .map(|id| item(id, page))
            .collect();
        json!({"code": 0, "data": {"items": items}}).to_string()
    };
    let page = |number: u32| {
        let mut page = note_search(body(number));
        page.header.page = number;
        page.header.request_id = format!("request-{number}");
        page.header.fetched_at += chrono::Duration::seconds(number.into());
        page
    };
    (1..=count).map(page).collect()
}

const RUN_ID: &str = "01a1ffd8-344f-70ea-82f1-ffa903442969";

fn meta() -> RunMeta {
    let snapshot_at = time("2026-03-09T20:00:00Z");
    RunMeta::new(
        RUN_ID,
        "test",
        snapshot_at,
        chrono_tz::Asia::Shanghai,
        false,
    )
}

fn time(text: &str) -> DateTime<Utc> {
    text.parse().expect("a time")
}

/// A page of a search, its place and time to be changed.
fn page(source: &str, endpoint: &str, body: impl Into<String>) -> RawPage {
    let search = Search {
        search_id: "24382dd2e0be3a01".to_owned(),
        source: source.to_owned(),
        endpoint: endpoint.to_owned(),
        keyword: Some("防晒".to_owned()),
        keyword_set: Some("topics".to_owned()),
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
    let header = PageHeader {
        v: VERSION,
        run_id: RUN_ID.to_owned(),
        pipeline: "test".to_owned(),
        snapshot_at: time("2026-03-09T20:00:00Z"),
        simulated: false,
        request_id: "request".to_owned(),
        search,
        page: 1,
        fetched_at: time("2026-03-09T20:00:01Z"),
        status: 200,
        content_type: None,
        accepted: true,
        class: CallClass::Ok,
        item_count: 2,
        items_before: 0,
        new_item_count: 2,
        stop: None,
    };
    RawPage {
        header,
        body: body.into().into_bytes(),
    }
}

fn note_search(body: impl Into<String>) -> RawPage {
    page("justoneapi", "note_search", body)
}

/// An answer of the note search with these notes.
fn notes(notes: &[&str]) -> RawPage {
    let items = notes
        .iter()
        .map(|note| format!(r#"{{"model_type":"note","note":{note}}}"#));
    let items = items.collect::<Vec<_>>().join(",");
    note_search(format!(r#"{{"code":0,"data":{{"items":[{items}]}}}}"#))
}

/// Some columns of a table, a text a row, the cells separated by `|`; nothing for null.
fn rows(tables: &Tables, table: &str, columns: &[&str]) -> Vec<String> {
    let batch = &tables.batches[table];
    let options = FormatOptions::default();
    let cell = |row: usize, column: &&str| {
        let array = batch.column_by_name(column).expect("a column");
        let cells = ArrayFormatter::try_new(array, &options).expect("a printable column");
        cells.value(row).to_string()
    };
    let row = |row| {
        let cells: Vec<_> = columns.iter().map(|column| cell(row, column)).collect();
        cells.join("|")
    };
    (0..batch.num_rows()).map(row).collect()
}

fn count(batch: &RecordBatch) -> usize {
    batch.num_rows()
}

/// `sample_data/documented/<name>.json`: an answer as its provider documents it.
fn documented(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample_data/documented");
    std::fs::read_to_string(path.join(format!("{name}.json"))).expect("a sample")
}
