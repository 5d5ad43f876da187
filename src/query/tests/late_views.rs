//! Statements that are prepared before the views exist.

use std::collections::BTreeMap;
use std::fs;

use super::{Lake, TABLES, texts};
use crate::query::duckdb::late_views::LateViews;
use crate::query::duckdb::{Comments, QueryAnswer, QueryError};
use crate::spec::contracts::Contracts;
use crate::spec::table::FileColumns;

/// Returns the rows of SQL over a lake, with a value for `$note`. All files of `uniform` have the same
/// columns.
fn stream(lake: &Lake, uniform: &[&str], sql: &str) -> Result<Vec<String>, QueryError> {
    let columns = FileColumns {
        uniform: uniform.iter().map(|&name| name.to_owned()).collect(),
        ..FileColumns::default()
    };
    let contracts = Contracts::load(None).unwrap_or_else(|e| panic!("{e}"));
    let relations = contracts.relations();
    let mut opened = LateViews::open_still(&lake.root, &relations, &columns, Comments::Without)?;
    let parameters: BTreeMap<String, String> = sql
        .contains("$note")
        .then(|| ("note".to_owned(), "b".to_owned()))
        .into_iter()
        .collect();
    opened.stream(sql, &parameters, |schema, batches| {
        let batches = batches.collect::<Result<_, _>>()?;
        Ok(texts(&QueryAnswer { schema, batches }))
    })?
}

/// Returns a lake with the notes a, b and c in three files of two dates.
fn three_notes() -> Lake {
    let mut lake = Lake::new();
    for (date, note) in [
        ("2026-03-08", "a"),
        ("2026-03-08", "b"),
        ("2026-03-09", "c"),
    ] {
        let row = format!("'{note}', 'r', 'note_search', TIMESTAMPTZ '{date} 01:00:00Z'");
        lake.add_on(
            date,
            "notes",
            "note_id, run_id, endpoint, snapshot_at",
            &[&row],
        );
    }
    lake
}

#[test]
fn a_statement_sees_all_files_whatever_it_was_prepared_over() {
    let lake = three_notes();
    for (sql, rows) in [
        (
            "SELECT note_id FROM notes ORDER BY ALL",
            &["a", "b", "c"][..],
        ),
        ("FROM notes SELECT count(*), max(dt)", &["3|2026-03-09"]),
        ("SELECT note_id FROM notes WHERE note_id > $note", &["c"]),
        (
            "SELECT note_id FROM notes WHERE dt < DATE '2026-03-09' ORDER BY ALL",
            &["a", "b"],
        ),
        ("SELECT count(*) FROM note_overview", &["3"]),
        ("SELECT count(*) FROM notes_latest", &["3"]),
        (
            "SELECT (SELECT count(*) FROM notes) + (SELECT count(*) FROM notes)",
            &["6"],
        ),
        (
            "WITH n AS (FROM notes) SELECT count(*) FROM n, n AS m",
            &["9"],
        ),
        ("SELECT count(*) FROM engagement", &["0"]),
        ("SELECT 1", &["1"]),
        // Other statements than one SELECT of relations.
        (
            "CREATE TEMP TABLE n AS FROM notes; SELECT count(*) FROM n",
            &["3"],
        ),
        ("SELECT 1; SELECT count(*) FROM notes", &["3"]),
        ("BEGIN; SELECT count(*) FROM notes", &["3"]),
        ("SELECT count(*) FROM query_table('notes')", &["3"]),
        ("SELECT count(*) FROM query('FROM notes')", &["3"]),
        ("SELECT count(*) FROM main.notes", &["3"]),
        ("SELECT count(*) FROM memory.notes", &["3"]),
        (
            "SELECT name FROM pragma_table_info('notes') WHERE name = 'title'",
            &["title"],
        ),
        ("SELECT count(*) FROM duckdb_tables()", &["0"]),
        (
            "SELECT count(*) > 20 FROM duckdb_views() WHERE NOT internal",
            &["true"],
        ),
        (
            "SUMMARIZE SELECT count(*) AS n FROM notes",
            &["n|BIGINT|3|3|1|3.0||3|3|3|1|0.00"],
        ),
    ] {
        for uniform in [&["notes"][..], &[]] {
            let found = stream(&lake, uniform, sql).unwrap_or_else(|e| panic!("{sql}: {e}"));
            assert_eq!(found, rows, "{sql}, {uniform:?}");
        }
    }
}

/// To bind a statement takes time for each file that it reads.
#[test]
fn a_mistake_in_a_select_is_found_before_any_file_is_opened() {
    let lake = three_notes();
    let broken = lake.root.join("tables/notes/dt=2026-03-07");
    fs::create_dir_all(&broken).expect("a folder");
    fs::write(broken.join("0.parquet"), "no Parquet").expect("writable");
    let error = |sql: &str| {
        let error = stream(&lake, &["notes"], sql).expect_err(sql);
        error.to_string()
    };
    let unknown = error("SELECT titel FROM notes");
    assert!(unknown.contains("\"titel\" not found"), "{unknown}");
    let missing = error("SELECT title FROM notes WHERE note_id = $1");
    assert!(missing.contains("no value for it"), "{missing}");
    let broken = error("SELECT title FROM notes");
    assert!(broken.contains("dt=2026-03-07/0.parquet"), "{broken}");
}

/// Commits do not wait for readers.
#[test]
fn a_file_that_is_replaced_before_the_views_are_created_is_told_as_gone() {
    let lake = three_notes();
    let columns = FileColumns::default();
    let opened = LateViews::open_still(&lake.root, &TABLES, &columns, Comments::Without);
    let mut opened = opened.unwrap_or_else(|e| panic!("{e}"));
    let partition = lake.root.join("tables/notes/dt=2026-03-08");
    fs::rename(&partition, lake.root.join("aside")).expect("a folder");
    let sql = "SELECT count(*) FROM notes";
    let error = opened
        .stream(sql, &BTreeMap::new(), |_, _| ())
        .expect_err("a missing file");
    assert!(error.is_of_gone_file(), "{error}");
}
