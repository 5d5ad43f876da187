//! Marts over rows made by hand: what is unknown, what is equal, what is not there.

mod entities;
mod growth;
mod keywords;
mod large_counts;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use arrow::json::{ArrayWriter, ReaderBuilder};
use chrono::NaiveDate;
use serde_json::{Value, json};

use super::{CALLS, Relation, STATE, SpanInputs, earlier};
use crate::spec::contracts::Contracts;
use crate::spec::mart::Period;

/// The columns of everything that marts read.
const RELATIONS: [(&str, &[(&str, DataType)]); 10] = [
    (
        "search_results",
        &[
            ("pipeline", DataType::Utf8),
            ("keyword", DataType::Utf8),
            ("keyword_set", DataType::Utf8),
            ("sort", DataType::Utf8),
            ("rank", DataType::Int64),
            ("entity", DataType::Utf8),
            ("entity_id", DataType::Utf8),
            ("is_ad", DataType::Boolean),
            // Of a week only.
            ("hits", DataType::Int64),
        ],
    ),
    ("engagement", ENGAGEMENT),
    (earlier::ENGAGEMENT, ENGAGEMENT),
    (
        "notes",
        &[
            ("pipeline", DataType::Utf8),
            ("run_id", DataType::Utf8),
            ("snapshot_at", DataType::Int64),
            ("note_id", DataType::Utf8),
            ("endpoint", DataType::Utf8),
            ("author_user_id", DataType::Utf8),
            ("published_at", DataType::Int64),
        ],
    ),
    (
        "note_tags",
        &[
            ("pipeline", DataType::Utf8),
            ("note_id", DataType::Utf8),
            ("tag", DataType::Utf8),
        ],
    ),
    (
        "user_stats",
        &[
            ("pipeline", DataType::Utf8),
            ("run_id", DataType::Utf8),
            ("snapshot_at", DataType::Int64),
            ("user_id", DataType::Utf8),
            ("endpoint", DataType::Utf8),
            ("follower_count", DataType::Int64),
        ],
    ),
    (
        earlier::HITS,
        &[
            ("pipeline", DataType::Utf8),
            ("keyword", DataType::Utf8),
            ("note_id", DataType::Utf8),
        ],
    ),
    (
        earlier::NOTES,
        &[("pipeline", DataType::Utf8), ("note_id", DataType::Utf8)],
    ),
    (
        STATE,
        &[
            ("pipeline", DataType::Utf8),
            ("snapshots", DataType::Int64),
            ("days", DataType::Int64),
            ("searches_failed", DataType::Int64),
            ("is_over", DataType::Boolean),
        ],
    ),
    (
        CALLS,
        &[
            ("pipeline", DataType::Utf8),
            ("keyword_set", DataType::Utf8),
            ("keyword", DataType::Utf8),
            ("currency", DataType::Utf8),
            ("calls", DataType::Int64),
            ("billed_calls", DataType::Int64),
            ("unknown_calls", DataType::Int64),
            ("cost", DataType::Float64),
        ],
    ),
];

const ENGAGEMENT: &[(&str, DataType)] = &[
    ("pipeline", DataType::Utf8),
    ("run_id", DataType::Utf8),
    ("snapshot_at", DataType::Int64),
    ("note_id", DataType::Utf8),
    ("endpoint", DataType::Utf8),
    ("liked_count", DataType::Int64),
    ("collected_count", DataType::Int64),
    ("comments_count", DataType::Int64),
    ("shared_count", DataType::Int64),
];

const HOUR: i64 = 3_600_000_000;

/// A row with what rows of its kind have in common, unless it says otherwise.
fn filled(relation: &str, row: &Value) -> Value {
    let mut filled = json!({"pipeline": "p", "run_id": "r", "snapshot_at": 100 * HOUR});
    let more = match relation {
        "search_results" => json!({"keyword": "k", "keyword_set": "s", "sort": "general",
                                   "entity": "note", "is_ad": false}),
        _ => json!({"endpoint": "note_search"}),
    };
    for from in [&more, row] {
        for (name, value) in from.as_object().expect("an object") {
            filled[name] = value.clone();
        }
    }
    filled
}

/// The rows of a mart over these rows, without the columns that are the same in all. The zone of the
/// pipeline `p` is known.
fn computed(mart: &str, rows: &[(&str, Value)]) -> Vec<Value> {
    let relation = |name: &str, columns: &[(&str, DataType)]| {
        let fields = columns.iter().map(|(n, k)| Field::new(*n, k.clone(), true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let rows = rows.iter().filter(|(of, _)| *of == name);
        let rows: Vec<Value> = rows.map(|(_, row)| filled(name, row)).collect();
        let mut decoder = ReaderBuilder::new(schema.clone())
            .build_decoder()
            .expect("a decoder");
        decoder.serialize(&rows).expect("rows of these columns");
        let batches = decoder.flush().expect("rows").into_iter().collect();
        (name.to_owned(), Relation { schema, batches })
    };
    let contracts = Contracts::load(None).unwrap_or_else(|e| panic!("{e}"));
    let date = NaiveDate::from_ymd_opt(2026, 3, 9).expect("a date");
    let relations = RELATIONS.map(|(name, columns)| relation(name, columns));
    let mart = &contracts.marts[mart];
    let zones = BTreeMap::from([("p".to_owned(), chrono_tz::America::New_York)]);
    let inputs = SpanInputs::new(mart.period.span_of(date), relations, &zones);
    let inputs = inputs.unwrap_or_else(|e| panic!("{e}"));
    let batch = inputs.compute(mart);
    let batch = batch.unwrap_or_else(|e| panic!("{e}"));
    let mut writer = ArrayWriter::new(Vec::new());
    writer.write(&batch).expect("JSON");
    writer.finish().expect("JSON");
    let text = writer.into_inner();
    let mut rows: Vec<Value> = if text.is_empty() {
        Vec::new()
    } else {
        serde_json::from_slice(&text).expect("JSON")
    };
    for row in &mut rows {
        let row = row.as_object_mut().expect("an object");
        // The date is a Monday.
        let date = row.remove("snapshot_date").or(row.remove("week_start"));
        assert_eq!(date, Some(json!("2026-03-09")));
    }
    rows
}

/// What a row says in these columns; null for what it leaves out.
fn cells(row: &Value, columns: &[&str]) -> Vec<Value> {
    columns.iter().map(|name| row[*name].clone()).collect()
}

fn hit(row: Value) -> (&'static str, Value) {
    ("search_results", row)
}

fn counts(row: Value) -> (&'static str, Value) {
    ("engagement", row)
}

fn before(row: Value) -> (&'static str, Value) {
    (earlier::ENGAGEMENT, row)
}

fn note(row: Value) -> (&'static str, Value) {
    ("notes", row)
}

#[test]
fn empty_tables_make_empty_marts() {
    let contracts = Contracts::load(None).unwrap_or_else(|e| panic!("{e}"));
    assert!(!contracts.marts.is_empty());
    for mart in contracts.marts.keys() {
        assert_eq!(computed(mart, &[]), Vec::<Value>::new(), "{mart}");
    }
}

#[test]
fn a_mart_that_needs_an_undeclared_table_is_refused() {
    let mut contracts = Contracts::load(None).unwrap_or_else(|e| panic!("{e}"));
    let date = NaiveDate::from_ymd_opt(2026, 3, 9).expect("a date");
    let span = Period::Day.span_of(date);
    let inputs = SpanInputs::new(span, [], &BTreeMap::new()).unwrap_or_else(|e| panic!("{e}"));
    let mart = contracts.marts.get_mut("hashtag_daily").expect("the mart");
    let told = inputs
        .compute(mart)
        .expect_err("nothing to read")
        .to_string();
    assert_eq!(
        told,
        "the mart hashtag_daily cannot be computed: it does not read note_tags"
    );
}
