//! Contracts beside what a lake holds.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::load::columns::Stored;
use crate::load::evolution::{Purpose, check, outdated, undeclared, unreadable};
use crate::spec::contracts::Contracts;
use crate::spec::table::ColumnType;

const COMMON: &str = "\
every_table:
  run_id: {type: string, description: .}
from_pages: {}
";

/// The contracts of the table `things` with these columns, and of `calls`, which redlake writes.
fn contracts(columns: &str, more: &str) -> Contracts {
    let dir = TempDir::new().expect("a temporary folder");
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("a writable folder");
    };
    let table = |name: &str, from: &str| {
        format!(
            "table: {name}\ndescription: .\nrows_from: {from}\nsort_by: []\n{more}columns:\n{columns}"
        )
    };
    write("common_columns.yaml", COMMON);
    write("sources/none.txt", "");
    write("tables/things.yaml", &table("things", "pages"));
    write("tables/calls.yaml", &table("calls", "redlake"));
    Contracts::load(Some(dir.path())).unwrap_or_else(|e| panic!("{e}"))
}

/// What a lake holds: by table and column the types of it, of which the first ones stand in one file,
/// the second ones in another.
fn stored(tables: Value) -> Stored {
    let tables: BTreeMap<String, BTreeMap<String, Vec<ColumnType>>> =
        serde_json::from_value(tables).expect("types");
    let file = |columns: &BTreeMap<String, Vec<ColumnType>>, at: usize| {
        let kind = |(name, kinds): (&String, &Vec<ColumnType>)| {
            Some((name.clone(), Some(*kinds.get(at)?)))
        };
        columns.iter().filter_map(kind).collect()
    };
    let files = |columns: &BTreeMap<String, Vec<ColumnType>>| {
        let most = columns.values().map(Vec::len).max();
        (0..most.unwrap_or_default())
            .map(|at| file(columns, at))
            .collect()
    };
    let tables = tables.iter();
    Stored(
        tables
            .map(|(name, columns)| (name.clone(), files(columns)))
            .collect(),
    )
}

/// What is wrong, each as `file:line:column message [hint]`.
fn told(stored: &Stored, contracts: &Contracts, purpose: Purpose) -> Vec<String> {
    let Err(found) = check(stored, contracts, purpose) else {
        return Vec::new();
    };
    let told = found.0.iter().map(|d| {
        let file = d.file.path().file_name().expect("a name").to_string_lossy();
        let (line, column) = d.position().expect("a place");
        let hint = d.hint.as_deref().expect("a hint");
        format!("{file}:{line}:{column} {} [{hint}]", d.message)
    });
    told.collect()
}

const ID: &str = "  id: {type: string, description: .}\n";

#[test]
fn a_column_may_be_added_at_any_time() {
    let contracts = contracts(
        &format!("{ID}  new: {{type: int64, required: true, description: .}}\n"),
        "",
    );
    let stored = stored(json!({"things": {"id": ["string"], "run_id": ["string"]}}));
    assert_eq!(told(&stored, &contracts, Purpose::Add), [""; 0]);
    assert_eq!(outdated(&stored, &contracts.tables), [""; 0]);
}

#[test]
fn a_column_that_is_gone_needs_a_reason() {
    let lake = stored(json!({"things": {"id": ["string"], "size": ["int64", "float64"]}}));
    let gone = "things.yaml:1:8 the lake holds the column `size` of `things` (int64 and float64), \
                which its contract no longer has [put it back, or add `removed: {size: why}` to leave it out of views]";
    let silent = contracts(ID, "");
    for purpose in [Purpose::Add, Purpose::Replace] {
        assert_eq!(told(&lake, &silent, purpose), [gone]);
    }
    let said = contracts(ID, "removed: {size: nobody used it}\n");
    assert_eq!(told(&lake, &said, Purpose::Add), [""; 0]);
    // Until every file is written anew.
    assert_eq!(outdated(&lake, &said.tables), ["things"]);
}

#[test]
fn a_column_with_a_new_type_must_declare_its_old_type() {
    let lake = stored(json!({"things": {"size": ["int64", "float64"], "run_id": ["int64"]}}));
    let silent = contracts(
        "  id: {type: string, description: .}\n  size: {type: float64, description: .}\n",
        "",
    );
    assert_eq!(
        told(&lake, &silent, Purpose::Replace),
        [
            "common_columns.yaml:2:3 the column `run_id` of `things` is string here, and int64 in \
             files of the lake [add `was: [int64]` to the column, and its old values are read as \
             string]",
            "things.yaml:7:3 the column `size` of `things` is float64 here, and int64 in files of the \
             lake [add `was: [int64]` to the column, and its old values are read as float64]",
        ]
    );
    let lake = stored(json!({"things": {"size": ["int64", "float64"]}}));
    let said = contracts(
        "  size: {type: float64, was: [int64], description: .}\n",
        "",
    );
    assert_eq!(told(&lake, &said, Purpose::Add), [""; 0]);
    assert!(unreadable(&lake, &said.tables).is_empty());
    assert_eq!(outdated(&lake, &said.tables), ["things"]);
    let new = stored(json!({"things": {"size": ["float64"]}}));
    assert_eq!(outdated(&new, &said.tables), [""; 0]);
}

#[test]
fn values_that_cannot_be_read_must_be_rewritten() {
    let lake =
        stored(json!({"things": {"size": ["string", "int64"]}, "calls": {"size": ["string"]}}));
    let flatten = "flatten all runs again: redlake transform PIPELINE --raw and the files in the lake's \
                   folder raw/";
    let rename = "rename the new column, and add `removed: {size: why}` for this one";
    let silent = contracts("  size: {type: int64, description: .}\n", "");
    let here = "the column `size` of `calls` is int64 here, and string in files of the lake";
    assert_eq!(
        told(&lake, &silent, Purpose::Replace),
        [
            format!("calls.yaml:6:3 {here} [{rename}]"),
            format!(
                "things.yaml:6:3 {} [{rename}; or add `was: [string]` and {flatten}]",
                here.replace("calls", "things")
            ),
        ]
    );
    let said = contracts("  size: {type: int64, was: [string], description: .}\n", "");
    assert_eq!(told(&lake, &said, Purpose::Replace), [""; 0]);
    let still = "the column `size` of `calls` is int64 here, and files of the lake still hold string, \
                 which cannot be read as int64";
    assert_eq!(
        told(&lake, &said, Purpose::Add),
        [
            format!("calls.yaml:6:3 {still} [{rename}]"),
            format!(
                "things.yaml:6:3 {} [{flatten}]",
                still.replace("calls", "things")
            ),
        ]
    );
    let place = |table: &str| (table.to_owned(), "size".to_owned());
    let reasons = BTreeMap::from([
        (place("calls"), format!("{still}; {flatten}")),
        (
            place("things"),
            format!("{}; {flatten}", still.replace("calls", "things")),
        ),
    ]);
    assert_eq!(unreadable(&lake, &said.tables), reasons);
}

#[test]
fn texts_of_two_old_types_cannot_be_told_apart() {
    // DuckDB makes 5 of an int64, and 5.0 where there are floats beside it.
    let contracts = contracts(
        "  size: {type: string, was: [int64, float64], description: .}\n",
        "",
    );
    let one = stored(json!({"things": {"size": ["string", "float64"]}}));
    assert_eq!(told(&one, &contracts, Purpose::Add), [""; 0]);
    let two = stored(json!({"things": {"size": ["int64", "float64"]}}));
    assert_eq!(told(&two, &contracts, Purpose::Add).len(), 1);
    assert_eq!(told(&two, &contracts, Purpose::Replace), [""; 0]);
}

#[test]
fn only_these_types_can_be_read_as_others() {
    let kinds = ["string", "int64", "float64", "bool", "timestamp", "date"];
    let mut pairs = Vec::new();
    for old in kinds {
        for new in kinds.iter().filter(|new| **new != old) {
            let column = format!("  size: {{type: {new}, was: [{old}], description: .}}\n");
            let lake = stored(json!({"things": {"size": [old]}}));
            if told(&lake, &contracts(&column, ""), Purpose::Add).is_empty() {
                pairs.push(format!("{old} as {new}"));
            }
        }
    }
    let exact = [
        "int64 as string",
        "int64 as float64",
        "float64 as string",
        "bool as string",
        "date as string",
    ];
    assert_eq!(pairs, exact);
}

#[test]
fn a_table_without_a_contract_hinders_nothing() {
    let lake =
        stored(json!({"gone": {"id": ["string"]}, "empty": {}, "things": {"id": ["string"]}}));
    let contracts = contracts(ID, "");
    assert_eq!(told(&lake, &contracts, Purpose::Add), [""; 0]);
    let names: Vec<_> = undeclared(&lake, &contracts.tables).collect();
    assert_eq!(names, ["gone"]);
}
