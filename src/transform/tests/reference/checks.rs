//! What the reference says of what is bad, where the fast path does not say it yet.

use std::sync::Arc;

use super::super::rules::contracts;
use super::super::{meta, page};
use super::order::cell;
use super::{Cell, Outcome, Reference, Settings};

/// What these rules make of these items.
fn outcome(rules: &str, items: &str, settings: Settings) -> Outcome {
    let contracts = Arc::new(contracts(rules));
    let answer = format!(r#"{{"code":0,"data":{{"items":{items}}}}}"#);
    Reference::new(&contracts, settings).tables(&meta(), &[page("shop", "list", answer)])
}

/// Some columns of a table, a text a row; nothing for null.
fn rows(outcome: &Outcome, table: &str, columns: &[&str]) -> Vec<String> {
    let text = |value: Cell| match value {
        Cell::Null => String::new(),
        Cell::Text(text) => text,
        Cell::Int(number) => number.to_string(),
        other => format!("{other:?}"),
    };
    let row = |row| {
        let cells: Vec<_> = columns.iter().map(|c| text(cell(row, c))).collect();
        cells.join("|")
    };
    outcome.tables[table].iter().map(row).collect()
}

#[test]
fn a_leaf_of_a_type_that_nothing_expects_is_drift() {
    let rules = "
- table: things
  each: /data/items[*]
  when: {/kind: {none_of: [x]}, /here: {exists: true}}
  columns:
    id: [/id, {path: /other_id, as: text}]
    name: {path: /at, values: {a: b}}
    size: [{path: /size, as: count}, {length: /list}]
    part: {path: /size, unit: s}";
    let items = r#"[
        {"id":"a","here":1,"kind":"k","size":1,"at":"a","list":[],"other_id":1},
        {"id":"b","here":"x","kind":null,"size":"1","at":null,"list":3},
        {"id":1,"here":[],"kind":1,"size":1.0,"at":1,"list":{"k":1},"other_id":true},
        {"id":2,"here":{},"kind":[],"size":1e30,"at":{},"other_id":1.5},
        {"id":false,"here":true,"kind":true,"size":18446744073709551615,"other_id":"x"},
        {"id":{"k":1},"size":[]},
        "scalar"]"#;
    let told = |leaf_types| {
        let settings = Settings {
            leaf_types,
            ..Settings::default()
        };
        let outcome = outcome(rules, items, settings);
        rows(&outcome, "drift", &["path", "kind", "json_type", "count"])
    };
    let always = [
        "|type_changed|string|1",
        "/at|type_changed|object|1",
        "/at|unknown_value|integer|1",
        "/here|type_changed|array|1",
        "/here|type_changed|object|1",
        "/id/k|unknown_field|integer|1",
        "/id|type_changed|object|1",
        "/kind|type_changed|array|1",
        "/kind|unknown_value|integer|1",
        "/kind|unknown_value|string|1",
        "/list/k|unknown_field|integer|1",
        "/list|type_changed|object|1",
        "/size|type_changed|array|1",
    ];
    let leaves = [
        "/at|type_changed|integer|1",
        "/id|type_changed|boolean|1",
        "/id|type_changed|integer|2",
        "/kind|type_changed|boolean|1",
        "/kind|type_changed|integer|1",
        "/other_id|type_changed|boolean|1",
        "/other_id|type_changed|number|1",
        "/size|type_changed|number|2",
    ];
    let sorted = |told: &[&str]| {
        let mut told: Vec<_> = told.iter().map(|t| format!("/data/items[*]{t}")).collect();
        told.sort();
        told
    };
    let mut without = told(false);
    without.sort();
    assert_eq!(without, sorted(&always));
    let mut with = told(true);
    with.sort();
    assert_eq!(with, sorted(&[&always[..], &leaves[..]].concat()));
}

#[test]
fn a_bad_value_is_null_where_a_row_can_do_without() {
    let rules =
        "- {table: things, each: '/data/items[*]', columns: {id: /id, size: [/size, /more]}}";
    let items = r#"[{"id":"a","size":2.9,"more":1}, {"id":"b","size":3}, {"id":true,"size":4}, {"size":5}]"#;
    let settings = Settings {
        bad_value_is_null: true,
        ..Settings::default()
    };
    let nulled = outcome(rules, items, settings);
    assert_eq!(rows(&nulled, "things", &["id", "size"]), ["a|", "b|3"]);
    let columns = ["item_index", "column", "reason", "value"];
    assert_eq!(
        rows(&nulled, "rejects", &columns),
        ["2|id|not a text|true", "3|id|missing|"]
    );
    let place = ("things".to_owned(), "size".to_owned());
    assert_eq!(nulled.nulled.into_iter().collect::<Vec<_>>(), [(place, 1)]);

    let rejected = outcome(rules, items, Settings::default());
    assert_eq!(rows(&rejected, "things", &["id", "size"]), ["b|3"]);
    assert_eq!(
        rows(&rejected, "rejects", &columns)[0],
        "0|size|not a whole number|2.9"
    );
}

#[test]
fn the_first_paths_in_order_get_their_own_drift_rows() {
    let keys: Vec<String> = (0..1_103).map(|i| format!("\"k{i:04}\":1")).collect();
    let items = format!("[{{\"id\":\"a\",{}}}]", keys.join(","));
    let rules = "- {table: things, each: '/data/items[*]', columns: {id: /id}}";
    let outcome = outcome(rules, &items, Settings::default());
    let told = rows(&outcome, "drift", &["path", "kind", "json_type", "count"]);
    assert_eq!(told.len(), 1_001);
    assert_eq!(told[0], "(other paths)|unknown_field|integer|103");
    assert_eq!(told[1_000], "/data/items[*]/k0999|unknown_field|integer|1");
}
