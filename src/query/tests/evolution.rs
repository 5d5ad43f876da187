//! Views over files that were written by older and newer contracts.

use std::collections::BTreeSet;
use std::fs;

use indexmap::IndexMap;

use super::{Lake, TABLES, rows};
use crate::query::duckdb::Database;
use crate::query::duckdb::catalog_file::write_catalog;
use crate::spec::table::{ColumnType, Table};
use crate::spec::table::{FileColumns, Unreadable};

/// The tables, with a column of `engagement` of another type.
fn retyped(column: &str, kind: ColumnType) -> IndexMap<String, Table> {
    let mut tables = TABLES.clone();
    let columns = &mut tables["engagement"].columns;
    columns.get_mut(column).expect("a column").kind = kind;
    tables
}

fn holding(unreadable: Unreadable) -> FileColumns {
    FileColumns {
        unreadable,
        ..FileColumns::default()
    }
}

/// The values that a view gives of a column: files hold it as `old`, and as `new` beside it.
fn read(kind: ColumnType, old: &str, new: Option<&str>) -> Vec<String> {
    let mut lake = Lake::new();
    for value in [Some(old), new].into_iter().flatten() {
        lake.add(
            "engagement",
            "note_id, nice_count",
            &[&format!("'n', {value}")],
        );
    }
    let tables = retyped("nice_count", kind);
    let database = Database::open(&lake.root, &tables, &FileColumns::default());
    let database = database.unwrap_or_else(|e| panic!("{e}"));
    rows(
        &database,
        "SELECT typeof(nice_count), nice_count FROM engagement ORDER BY ALL",
    )
}

#[test]
fn old_values_are_cast_whether_new_files_are_there_or_not() {
    use ColumnType::{Float64, String};
    for (kind, old, new, read_as, new_as) in [
        (
            Float64,
            "5::BIGINT",
            "1.5::DOUBLE",
            "DOUBLE|5.0",
            "DOUBLE|1.5",
        ),
        (String, "5::BIGINT", "'x'", "VARCHAR|5", "VARCHAR|x"),
        (String, "5.0::DOUBLE", "'x'", "VARCHAR|5.0", "VARCHAR|x"),
        (String, "true", "'x'", "VARCHAR|true", "VARCHAR|x"),
        (
            String,
            "DATE '2026-03-09'",
            "'x'",
            "VARCHAR|2026-03-09",
            "VARCHAR|x",
        ),
    ] {
        assert_eq!(read(kind, old, None), [read_as], "{old}");
        let mut both = vec![read_as, new_as];
        both.sort_unstable();
        assert_eq!(read(kind, old, Some(new)), both, "{old}");
    }
}

#[test]
fn a_null_of_an_old_type_stays_null() {
    assert_eq!(
        read(ColumnType::Float64, "NULL::BIGINT", Some("1.5::DOUBLE")),
        ["DOUBLE|1.5", "DOUBLE|"]
    );
}

#[test]
fn an_unreadable_column_fails_only_queries_that_read_it() {
    let mut lake = Lake::new();
    let columns = "note_id, endpoint, snapshot_at, run_id, liked_count, nice_count";
    let row = |hour: u32, nice: &str| {
        format!("'n', 'e', TIMESTAMPTZ '2026-03-09 {hour:02}:00:00Z', 'r{hour}', {hour}, {nice}")
    };
    // Types that DuckDB cannot unite, in the files and with the contract.
    lake.add("engagement", columns, &[&row(1, "DATE '2026-03-09'")]);
    lake.add("engagement", columns, &[&row(2, "2::BIGINT")]);
    let reason = "nice_count is 'int64' here".to_owned();
    let place = ("engagement".to_owned(), "nice_count".to_owned());
    let columns = holding(Unreadable::from([(place, reason)]));
    let database = Database::open(&lake.root, &TABLES, &columns);
    let database = database.unwrap_or_else(|e| panic!("{e}"));

    let fine = "SELECT liked_count, hours, liked_delta FROM engagement_delta";
    assert_eq!(rows(&database, fine), ["2|1.0|1"]);
    assert_eq!(
        rows(&database, "SELECT liked_count FROM engagement_latest"),
        ["2"]
    );
    assert_eq!(rows(&database, "SELECT count(*) FROM engagement"), ["2"]);
    let of_column = "SELECT data_type FROM duckdb_columns() \
                     WHERE table_name = 'engagement' AND column_name = 'nice_count'";
    assert_eq!(rows(&database, of_column), ["BIGINT"]);
    for sql in [
        "SELECT * FROM engagement",
        "SELECT sum(nice_count) FROM engagement",
        "SELECT count(*) FROM engagement WHERE nice_count IS NULL",
        "SELECT nice_count FROM engagement_latest",
        "SELECT nice_delta FROM engagement_delta",
    ] {
        let error = database.query(sql).expect_err("no value").to_string();
        assert!(
            error.contains("nice_count is 'int64' here"),
            "{sql}: {error}"
        );
    }
    write_catalog(&lake.root, &TABLES, &columns).unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn a_view_of_unreadable_columns_is_left_out() {
    let mut lake = Lake::new();
    lake.add("engagement", "note_id, snapshot_at", &["'n', 1::BIGINT"]);
    let place = ("engagement".to_owned(), "snapshot_at".to_owned());
    let columns = holding(Unreadable::from([(place, "no time".to_owned())]));
    let database = Database::open(&lake.root, &TABLES, &columns);
    let database = database.unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(rows(&database, "SELECT note_id FROM engagement"), ["n"]);
    let views = "SELECT view_name FROM duckdb_views() WHERE view_name LIKE 'engagement%'";
    assert_eq!(rows(&database, views), ["engagement"]);
}

#[test]
fn a_day_of_files_with_equal_columns_is_read_without_opening_others() {
    let mut lake = Lake::new();
    lake.add("engagement", "note_id, liked_count", &["'a', 1", "'b', 2"]);
    let other = lake.root.join("tables/engagement/dt=2026-03-10");
    fs::create_dir_all(&other).expect("a folder");
    fs::write(other.join("damaged.parquet"), "no Parquet").expect("writable");
    let sql = "SELECT sum(liked_count) FROM engagement WHERE dt = DATE '2026-03-09'";

    let columns = FileColumns {
        uniform: BTreeSet::from(["engagement".to_owned()]),
        ..FileColumns::default()
    };
    let database = Database::open(&lake.root, &TABLES, &columns);
    let database = database.unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(rows(&database, sql), ["3"]);
    let all = database.query("SELECT sum(liked_count) FROM engagement");
    all.expect_err("a file that cannot be read");

    let opened = Database::open(&lake.root, &TABLES, &FileColumns::default());
    assert!(opened.is_err(), "every file has to be opened");
}

#[test]
fn equal_columns_in_another_order_are_found_by_name() {
    let mut lake = Lake::new();
    lake.add(
        "engagement",
        "note_id, liked_count, nice_count",
        &["'a', 1, 10"],
    );
    lake.add(
        "engagement",
        "nice_count, note_id, liked_count",
        &["20, 'b', 2"],
    );
    let columns = FileColumns {
        uniform: BTreeSet::from(["engagement".to_owned()]),
        ..FileColumns::default()
    };
    let database = Database::open(&lake.root, &TABLES, &columns);
    let database = database.unwrap_or_else(|e| panic!("{e}"));
    let sql = "SELECT note_id, liked_count, nice_count FROM engagement ORDER BY ALL";
    assert_eq!(rows(&database, sql), ["a|1|10", "b|2|20"]);
}
