//! `lake.duckdb`: it moves with the lake, and nothing that others made in it is lost.

use std::path::Path;

use duckdb::Connection;

use crate::support::{Lake, copy, repository, succeed};

fn lake() -> Lake {
    let lake = Lake::new();
    lake.run(&repository("pipelines/demo.yaml"), &[]);
    lake
}

/// The result of a query through the catalog of a lake, as a client of DuckDB sees it.
fn through_catalog(lake: &Path, sql: &str) -> Result<i64, duckdb::Error> {
    let config = duckdb::Config::default().access_mode(duckdb::AccessMode::ReadOnly)?;
    let connection = Connection::open_with_flags(lake.join("lake.duckdb"), config)?;
    connection.query_row(sql, [], |row| row.get(0))
}

#[test]
fn a_copied_lake_gets_its_own_catalog_and_is_never_confused_with_the_original() {
    let original = lake();
    let moved = Lake::new();
    copy(&original.path(), &moved.path());
    original.run(&repository("pipelines/demo.yaml"), &[]);
    let runs = "select count(*) from runs";
    // redlake reads the lake that it is given. A client of DuckDB reads the original still.
    assert_eq!(moved.value(runs), 1);
    assert_eq!(original.value(runs), 2);
    assert_eq!(through_catalog(&moved.path(), runs).expect("a number"), 2);
    succeed(&mut moved.redlake(&["compact"]));
    assert_eq!(through_catalog(&moved.path(), runs).expect("a number"), 1);
    let about = "select count(*) from about where note like '%rewrites%'";
    assert_eq!(through_catalog(&moved.path(), about).expect("a number"), 1);
}

#[test]
fn what_others_made_in_the_catalog_is_named_and_kept() {
    let lake = lake();
    let catalog = lake.path().join("lake.duckdb");
    let connection = Connection::open(&catalog).expect("the catalog");
    connection
        .execute_batch(
            "create view mine as select count(*) as n from notes; create table kept as select 7 as n; \
             create or replace view notes_latest as select 1 as n; checkpoint",
        )
        .expect("a view, a table and a changed view");
    drop(connection);
    let output = succeed(&mut lake.redlake(&["marts"]));
    let told = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(
        told.contains("has what redlake did not make: \"kept\", \"mine\", \"notes_latest\""),
        "{told}"
    );
    let columns = "select count(*) from duckdb_columns() where table_name = 'notes_latest'";
    assert!(through_catalog(&lake.path(), columns).expect("a number") > 20);
    let mine = through_catalog(&lake.path(), "select n from mine");
    assert!(mine.expect_err("no view").to_string().contains("mine"));
    let replaced = lake.path().join("_state/replaced_catalogs");
    let files: Vec<_> = std::fs::read_dir(replaced)
        .expect("a folder")
        .flatten()
        .collect();
    assert_eq!(files.len(), 1);
    let old = Connection::open(files[0].path()).expect("the old file");
    let n: i64 = old
        .query_row("select n from kept", [], |row| row.get(0))
        .expect("a row");
    assert_eq!(n, 7);
    // Nothing is told of redlake's own views.
    let output = succeed(&mut lake.redlake(&["marts"]));
    assert_eq!(String::from_utf8(output.stderr).expect("UTF-8"), "");
}

#[test]
fn a_view_that_does_not_fit_the_tables_is_named() {
    let lake = lake();
    let schemas = lake.schemas(&[(
        "views/dim_date.yaml",
        "year(date) AS year,",
        "year(day) AS year,",
    )]);
    let schemas = schemas.to_str().expect("UTF-8");
    let args = [
        "query",
        "--schemas",
        schemas,
        "select count(*) from dim_date",
    ];
    let (code, error) = crate::support::fail(&mut lake.redlake(&args));
    assert_eq!(code, 2);
    assert!(
        error.contains("the view dim_date cannot be created: "),
        "{error}"
    );
    assert!(
        error.contains("hint: correct views/dim_date.yaml"),
        "{error}"
    );
}
