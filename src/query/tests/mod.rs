//! The views of the catalog over small lakes; `history` has the questions of a new run.

mod checks;
mod confinement;
mod evolution;
mod history;
mod late_views;
mod overviews;
mod views;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use duckdb::Connection;
use indexmap::IndexMap;
use tempfile::TempDir;

use super::catalog::{Files, named_in, sql_type, statements};
use super::duckdb::catalog_file::write_catalog;
use super::duckdb::late_views::LateViews;
use super::duckdb::{Comments, Database, DatabaseLimits, QueryAnswer};
use super::views::derived;
use crate::spec::contracts::Contracts;
use crate::spec::table::FileColumns;
use crate::spec::table::{Column, Table};

static TABLES: LazyLock<IndexMap<String, Table>> = LazyLock::new(|| {
    Contracts::load(None)
        .unwrap_or_else(|e| panic!("{e}"))
        .tables
});

/// A lake of hand-made Parquet files.
struct Lake {
    _dir: TempDir,
    root: PathBuf,
    files: usize,
}

impl Lake {
    fn new() -> Self {
        Lake::named("lake")
    }

    fn named(name: &str) -> Self {
        let dir = TempDir::new().expect("a temporary folder");
        let root = dir.path().join(name);
        fs::create_dir_all(root.join("_state")).expect("a folder");
        Lake {
            _dir: dir,
            root,
            files: 0,
        }
    }

    /// Adds a file of these columns and rows to a table.
    fn add(&mut self, table: &str, columns: &str, rows: &[&str]) {
        self.add_on("2026-03-09", table, columns, rows);
    }

    /// Adds a file of a date to a table.
    fn add_on(&mut self, date: &str, table: &str, columns: &str, rows: &[&str]) {
        let folder = self
            .root
            .join("tables")
            .join(table)
            .join(format!("dt={date}"));
        fs::create_dir_all(&folder).expect("a folder");
        self.files += 1;
        let path = folder.join(format!("{}.parquet", self.files));
        let rows: Vec<_> = rows.iter().map(|row| format!("({row})")).collect();
        let copy = format!(
            "SET TimeZone = 'UTC'; COPY (SELECT * FROM (VALUES {}) AS rows({columns})) TO '{}' (FORMAT parquet)",
            rows.join(", "),
            path.display()
        );
        let connection = Connection::open_in_memory().expect("DuckDB");
        connection
            .execute_batch(&copy)
            .unwrap_or_else(|e| panic!("{copy}: {e}"));
    }

    fn database(&self) -> Database {
        Database::open(&self.root, &TABLES, &FileColumns::default())
            .unwrap_or_else(|e| panic!("{e}"))
    }

    /// The rows of a query, the cells separated by `|`; nothing for null.
    fn query(&self, sql: &str) -> Vec<String> {
        rows(&self.database(), sql)
    }
}

fn rows(database: &Database, sql: &str) -> Vec<String> {
    let answer = database.query(sql).unwrap_or_else(|e| panic!("{sql}: {e}"));
    texts(&answer)
}

/// The rows of an answer, with `|` between the values.
fn texts(answer: &QueryAnswer) -> Vec<String> {
    let options = FormatOptions::default();
    let mut rows = Vec::new();
    for batch in &answer.batches {
        let columns = batch.columns().iter();
        let columns: Vec<_> = columns
            .map(|column| ArrayFormatter::try_new(column, &options).expect("a printable column"))
            .collect();
        for row in 0..batch.num_rows() {
            let cells: Vec<_> = columns.iter().map(|c| c.value(row).to_string()).collect();
            rows.push(cells.join("|"));
        }
    }
    rows
}

/// The type of a column in views, as DuckDB writes it.
fn shown(column: &Column) -> String {
    match &column.decimals {
        Some(decimals) => format!("DECIMAL(18,{})", decimals.value),
        None => sql_type(column.kind).to_owned(),
    }
}

#[test]
fn an_empty_lake_has_every_view_with_its_columns_and_types() {
    let lake = Lake::new();
    let database = lake.database();
    for table in TABLES.values() {
        let name = table.name();
        let columns = format!(
            "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = '{name}' ORDER BY column_index"
        );
        let declared = table.shown_columns();
        let declared = declared.map(|(name, column)| format!("{name}|{}", shown(column)));
        let expected: Vec<_> = declared.chain(["dt|DATE".to_owned()]).collect();
        assert_eq!(rows(&database, &columns), expected, "{name}");
        let count = format!("SELECT count(*) FROM \"{name}\"");
        assert_eq!(rows(&database, &count), ["0"], "{name}");
    }
    let derived = "SELECT view_name FROM duckdb_views() WHERE NOT internal \
                   AND (contains(view_name, '_latest') OR contains(view_name, '_delta')) \
                   ORDER BY view_name";
    let derived = rows(&database, derived);
    assert_eq!(
        derived,
        [
            "engagement_delta",
            "engagement_delta_by_endpoint",
            "engagement_latest",
            "engagement_latest_by_pipeline",
            "notes_latest",
            "notes_latest_by_pipeline",
            "user_stats_latest",
            "user_stats_latest_by_pipeline",
            "users_latest",
            "users_latest_by_pipeline"
        ]
    );
    for view in derived {
        assert_eq!(
            rows(&database, &format!("SELECT count(*) FROM {view}")),
            ["0"],
            "{view}"
        );
    }
}

#[test]
fn derived_views_have_the_columns_that_are_told_of_them() {
    let lake = Lake::new();
    let database = lake.database();
    let views: Vec<_> = TABLES.values().flat_map(derived).collect();
    assert_eq!(views.len(), 10);
    for view in views {
        let sql = format!(
            "SELECT column_name, data_type, comment FROM duckdb_columns() \
             WHERE table_name = '{}' ORDER BY column_index",
            view.name
        );
        let told = view.columns.iter().map(|(name, column)| {
            let unit = column.unit.as_ref();
            let unit = unit.map_or(String::new(), |unit| format!(" [{unit}]"));
            format!(
                "{name}|{}|{}{unit}",
                sql_type(column.kind),
                column.description
            )
        });
        assert_eq!(
            rows(&database, &sql),
            told.collect::<Vec<_>>(),
            "{}",
            view.name
        );
    }
}

#[test]
fn everything_has_a_comment() {
    let lake = Lake::new();
    let database = lake.database();
    let without = "SELECT view_name FROM duckdb_views() WHERE NOT internal AND comment IS NULL";
    assert_eq!(rows(&database, without), Vec::<String>::new());
    let comment = |column: &str| {
        let sql = format!(
            "SELECT comment FROM duckdb_columns() WHERE table_name = 'engagement' AND column_name = '{column}'"
        );
        rows(&database, &sql).join("")
    };
    let declared = &TABLES["engagement"].columns["liked_count"].description;
    assert_eq!(comment("liked_count"), format!("{declared} [likes]"));
    assert_eq!(
        comment("note_id"),
        TABLES["engagement"].columns["note_id"].description
    );
}

const NOTES: &str =
    "note_id, endpoint, snapshot_at, run_id, title, description, content_text, image_count";

fn note(endpoint: &str, hour: u32, values: &str) -> String {
    format!("'n', '{endpoint}', TIMESTAMPTZ '2026-03-09 {hour:02}:00:00Z', 'run{hour}', {values}")
}

const LATEST: &str = "SELECT note_id, title, description, content_text, image_count, endpoints, run_id FROM notes_latest";

/// The rows of `notes_latest` over these observations of one note.
fn latest(observations: &[String]) -> Vec<String> {
    let mut lake = Lake::new();
    let observations: Vec<_> = observations.iter().map(String::as_str).collect();
    lake.add("notes", NOTES, &observations);
    lake.query(LATEST)
}

#[test]
fn the_newest_snapshot_comes_first_and_the_other_endpoint_fills_its_gaps() {
    let detail = note("note_detail", 1, "'old title', NULL, 'full text', 3");
    let search = note("note_search", 2, "'new title', 'cut', NULL, NULL");
    assert_eq!(
        latest(&[detail, search]),
        ["n|new title|cut|full text|3|note_search,note_detail|run2"]
    );
}

#[test]
fn in_one_snapshot_detail_comes_before_search() {
    let search = note("note_search", 1, "'searched', 'cut', NULL, 2");
    let detail = note("note_detail", 1, "'detailed', NULL, 'full text', NULL");
    let other = note("note_other", 1, "'other', 'other', 'other', 9");
    assert_eq!(
        latest(&[other, search, detail]),
        ["n|detailed|cut|full text|2|note_detail,note_search,note_other|run1"]
    );
}

#[test]
fn a_value_missing_from_the_newest_answer_is_not_filled_from_older_ones() {
    let old = note("note_search", 1, "'removed', 'old', NULL, 1");
    let new = note("note_search", 2, "NULL, 'new', NULL, 1");
    assert_eq!(latest(&[old, new]), ["n||new||1|note_search|run2"]);
}

const COUNTS: &str = "note_id, endpoint, snapshot_at, run_id, liked_count, comments_count";

#[test]
fn a_delta_is_the_change_since_the_snapshot_before() {
    let mut lake = Lake::new();
    let fetched = format!("{COUNTS}, fetched_at");
    lake.add(
        "engagement",
        &fetched,
        &[
            "'a', 'note_search', TIMESTAMPTZ '2026-03-09 00:00:00Z', 'r1', 100, 5, TIMESTAMPTZ '2026-03-09 00:00:00Z' + INTERVAL 1 SECOND",
            "'b', 'note_search', TIMESTAMPTZ '2026-03-09 00:00:00Z', 'r1', 7, 7, TIMESTAMPTZ '2026-03-09 00:00:00Z' + INTERVAL 1 SECOND",
        ],
    );
    lake.add(
        "engagement",
        &fetched,
        &[
            "'a', 'note_search', TIMESTAMPTZ '2026-03-09 02:00:00Z', 'r2', 130, NULL, TIMESTAMPTZ '2026-03-09 02:00:00Z' + INTERVAL 2 SECOND",
            "'a', 'note_detail', TIMESTAMPTZ '2026-03-09 02:00:00Z', 'r2', 999, 9, TIMESTAMPTZ '2026-03-09 02:00:00Z' + INTERVAL 2 SECOND",
            "'a', 'note_search', TIMESTAMPTZ '2026-03-09 02:30:00Z', 'r3', 120, 6, TIMESTAMPTZ '2026-03-09 02:30:00Z' + INTERVAL 3 SECOND",
            "'a', 'note_search', TIMESTAMPTZ '2026-03-09 02:30:00Z', 'r4', 121, 6, TIMESTAMPTZ '2026-03-09 02:30:00Z' + INTERVAL 4 SECOND",
        ],
    );
    let counts =
        "hours, liked_count, liked_delta, liked_per_hour, comments_delta, comments_per_hour";
    assert_eq!(
        lake.query(&format!(
            "SELECT note_id, endpoint, run_id, {counts} FROM engagement_delta_by_endpoint ORDER BY ALL"
        )),
        [
            "a|note_search|r2|2.0|130|30|15.0||",
            // Counts fall, too. Two runs of one snapshot count once.
            "a|note_search|r4|0.5|121|-9|-18.0||",
        ]
    );
    // One row a snapshot: a detail comes before a search.
    assert_eq!(
        lake.query(&format!(
            "SELECT note_id, snapshot_at::VARCHAR, {counts} FROM engagement_delta ORDER BY ALL"
        )),
        [
            "a|2026-03-09 02:00:00+00|2.0|999|899|449.5|4|2.0",
            "a|2026-03-09 02:30:00+00|0.5|121|-878|-1756.0|-3|-6.0",
        ]
    );
}

#[test]
fn files_of_older_and_newer_contracts_lie_side_by_side() {
    let mut lake = Lake::new();
    lake.add("engagement", "note_id, liked_count", &["'a', 1::INTEGER"]);
    lake.add(
        "engagement",
        "note_id, shared_count, future",
        &["'b', 2::BIGINT, 'x'"],
    );
    let sql = "SELECT note_id, liked_count, shared_count, typeof(liked_count), dt FROM engagement ORDER BY ALL";
    assert_eq!(
        lake.query(sql),
        ["a|1||BIGINT|2026-03-09", "b||2|BIGINT|2026-03-09"]
    );
}

#[test]
fn a_lake_may_lie_anywhere() {
    for name in [
        "it's a \"lake\"",
        "湖",
        "dir/../lake",
        "lake [1]",
        "la*ke?",
        "x=1",
    ] {
        let mut lake = Lake::named(name);
        if name.contains('\'') {
            // DuckDB writes this file; only reading is in question here.
            lake.root = lake.root.with_file_name("plain");
            lake.add("engagement", "note_id, liked_count", &["'a', 1"]);
            let target = lake.root.with_file_name(name);
            fs::rename(lake.root.join("tables"), target.join("tables")).expect("a rename");
            lake.root = target;
        } else {
            lake.add("engagement", "note_id, liked_count", &["'a', 1"]);
        }
        assert_eq!(
            lake.query("SELECT note_id, liked_count FROM engagement"),
            ["a|1"],
            "{name}"
        );
    }
}

#[test]
fn only_parquet_files_in_partitions_count_as_files() {
    let tables = &*TABLES;
    let mut columns = FileColumns::default();
    let with = |files: fn() -> Option<Files>, columns: &FileColumns| {
        let create = statements(Path::new("/lake"), tables, columns, |_| files());
        create.all().join(";\n")
    };
    let any = with(|| Some(Files::Any), &columns);
    assert!(any.contains("read_parquet('/lake/tables/notes/dt=*/*.parquet'"));
    let files = || {
        Some(Files::These(vec![
            "/a/b'.parquet".into(),
            "/a/[c].parquet".into(),
        ]))
    };
    let these = with(files, &columns);
    assert!(these.contains("read_parquet(string_split(\"files_of_notes\"(), '\u{1f}'),"));
    let listed = "MACRO \"files_of_notes\"() AS '/a/b''.parquet\u{1f}/a/[[]c].parquet'";
    // Different files may have different columns, so a view is created over all of them.
    assert_eq!(these.matches(listed).count(), 2);
    columns.uniform.insert("notes".to_owned());
    let these = with(files, &columns);
    assert_eq!(these.matches(listed).count(), 1);
    assert!(these.contains("MACRO \"files_of_notes\"() AS '/a/b''.parquet';"));
    assert!(!with(|| None, &columns).contains("read_parquet"));
    let lake = Lake::new();
    let folder = lake.root.join("tables/notes/dt=2026-03-09");
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join("notes.txt"), "no Parquet").expect("writable");
    assert_eq!(lake.query("SELECT count(*) FROM notes"), ["0"]);
}

#[test]
fn a_mistake_in_sql_is_told_in_the_words_of_duckdb() {
    let error = Lake::new()
        .database()
        .query("select * from notez")
        .expect_err("an error");
    assert!(
        error.to_string().contains("Did you mean \"notes\"?"),
        "{error}"
    );
}

#[test]
fn a_reader_of_the_old_catalog_does_not_hinder_a_new_one() {
    let mut lake = Lake::new();
    let path = lake.root.join("lake.duckdb");
    write_catalog(&lake.root, &TABLES, &FileColumns::default()).unwrap_or_else(|e| panic!("{e}"));
    let count = |connection: &Connection| {
        let sql = "SELECT count(*) FROM engagement";
        connection
            .query_row(sql, [], |row| row.get::<_, i64>(0))
            .expect("an answer")
    };
    let old = Connection::open(&path).expect("the catalog");
    assert_eq!(count(&old), 0);

    lake.add("engagement", "note_id, liked_count", &["'a', 1"]);
    write_catalog(&lake.root, &TABLES, &FileColumns::default()).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(count(&old), 0);
    drop(old);
    let new = Connection::open(&path).expect("the catalog");
    assert_eq!(count(&new), 1);
    let state = fs::read_dir(lake.root.join("_state")).expect("a folder");
    let left: Vec<_> = state.flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left, ["catalog.json"]);
}

#[test]
fn a_catalog_that_has_the_same_views_stays() {
    let mut lake = Lake::new();
    lake.add("engagement", "note_id, liked_count", &["'a', 1"]);
    let path = lake.root.join("lake.duckdb");
    let write = || {
        let columns = FileColumns::default();
        write_catalog(&lake.root, &TABLES, &columns).unwrap_or_else(|e| panic!("{e}"));
        fs::read(&path).expect("the catalog")
    };
    let first = write();
    let aside = lake.root.join("aside");
    fs::hard_link(&path, &aside).expect("a second name");
    assert_eq!(write(), first);
    fs::write(&aside, "changed in place").expect("writable");
    let again = write();
    assert!(again.len() > 10_000, "made anew");
    assert_eq!(fs::read(&aside).expect("the old one"), b"changed in place");
    fs::remove_file(&path).expect("the catalog");
    assert!(write().len() > 10_000, "made anew");
    let views = Connection::open(&path).expect("the catalog");
    let sum = views.query_row(
        "SELECT sum(liked_count)::BIGINT FROM engagement",
        [],
        |row| row.get::<_, i64>(0),
    );
    assert_eq!(sum.expect("an answer"), 1);
}

#[test]
fn an_unfinished_catalog_is_rewritten() {
    let lake = Lake::new();
    let half = lake
        .root
        .join("_state")
        .join(format!("lake.duckdb.{}", std::process::id()));
    fs::write(half, "half a catalog").expect("writable");
    write_catalog(&lake.root, &TABLES, &FileColumns::default()).unwrap_or_else(|e| panic!("{e}"));
    assert!(lake.root.join("lake.duckdb").is_file());
}

#[test]
fn a_query_gets_the_views_that_it_names() {
    let named = |sql: &str| {
        let tables = named_in(sql, &TABLES);
        let names: Vec<&str> = tables.keys().map(String::as_str).collect();
        names.join(" ")
    };
    assert_eq!(named(" select 1 order by 1 desc; "), "");
    assert_eq!(named("select * from \"Notes_Latest\""), "notes");
    assert_eq!(
        named("from search_results join users using (run_id)"),
        "search_results users"
    );
    for all in [
        "SHOW TABLES",
        "describe",
        "select * from information_schema.tables",
        "from duckdb_columns()",
        "select name from sqlite_master",
        "select count(*) from ( DESC )",
        "from query('desc')",
        "export database 'x'",
        "create table x as select 1; select * from x",
    ] {
        assert_eq!(named_in(all, &TABLES).len(), TABLES.len(), "{all}");
    }
}

#[test]
fn the_catalog_unites_columns_whatever_the_files_have_now() {
    let mut lake = Lake::new();
    lake.add("engagement", "note_id, liked_count", &["'a', 1"]);
    let columns = FileColumns {
        uniform: BTreeSet::from(["engagement".to_owned()]),
        ..FileColumns::default()
    };
    write_catalog(&lake.root, &TABLES, &columns).unwrap_or_else(|e| panic!("{e}"));
    // Files that are committed later, before anybody writes the catalog anew.
    lake.add("engagement", "note_id, nice_count", &["'b', 2"]);
    let catalog = Connection::open(lake.root.join("lake.duckdb")).expect("the catalog");
    let sql = "SELECT (sum(liked_count) * 10 + sum(nice_count))::BIGINT FROM engagement";
    let sums = catalog.query_row(sql, [], |row| row.get::<_, i64>(0));
    assert_eq!(sums.expect("an answer"), 12);
}

#[test]
fn what_a_killed_client_wrote_into_the_catalog_goes() {
    let mut lake = Lake::new();
    lake.add("engagement", "note_id, liked_count", &["'a', 1"]);
    let write = || {
        let columns = FileColumns::default();
        write_catalog(&lake.root, &TABLES, &columns).unwrap_or_else(|e| panic!("{e}"));
    };
    write();
    let path = lake.root.join("lake.duckdb");
    let log = lake.root.join("lake.duckdb.wal");
    let client = Connection::open(&path).expect("the catalog");
    let changed = "PRAGMA disable_checkpoint_on_shutdown; DROP VIEW engagement_delta";
    client.execute_batch(changed).expect("a change");
    drop(client);
    assert!(log.exists(), "the client left a log");
    write();
    assert!(!log.exists());
    let catalog = Connection::open(&path).expect("the catalog");
    let count = catalog.query_row("SELECT count(*) FROM engagement_delta", [], |row| {
        row.get::<_, i64>(0)
    });
    assert_eq!(count.expect("the view"), 0);
}

#[test]
fn queries_side_by_side_answer_in_their_order_with_equal_settings() {
    let lake = Lake::new();
    let database = Database::open(&lake.root, &TABLES, &FileColumns::default()).expect("a lake");
    let select = |number: usize| {
        format!(
            "SELECT {number}::BIGINT, current_setting('TimeZone'), \
             current_setting('enable_external_file_cache') FROM notes RIGHT JOIN (SELECT 1) ON true"
        )
    };
    let mut queries: Vec<String> = (0..20).map(select).collect();
    let answers = database.query_all(&queries).expect("answers");
    assert_eq!(answers.len(), queries.len());
    for (number, answer) in answers.iter().enumerate() {
        assert_eq!(texts(answer), [format!("{number}|UTC|false")]);
    }
    assert_eq!(database.query_all(&[]).expect("no answers").len(), 0);
    queries[13] = "SELECT first_error".to_owned();
    queries[17] = "SELECT second_error".to_owned();
    let error = database
        .query_all(&queries)
        .expect_err("two errors")
        .to_string();
    assert!(error.contains("first_error"), "{error}");
}

#[test]
fn large_queries_spill_to_the_given_folder() {
    let (lake, scratch) = (Lake::new(), TempDir::new().expect("a temporary folder"));
    let sorted = "SELECT max(place) FROM (SELECT row_number() OVER (ORDER BY hash(range)) AS place \
                  FROM range(8000000))";
    let limits = DatabaseLimits {
        memory: 100 << 20,
        threads: 2,
    };
    let database = Database::of_files(&scratch.path().join("spilled"), limits);
    let database = database.unwrap_or_else(|e| panic!("{e}"));
    database
        .confine(&lake.root)
        .unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(rows(&database, sorted), ["8000000"]);
    assert!(
        scratch.path().join("spilled").exists(),
        "nothing was spilled"
    );

    let nowhere = lake.root.join("a file");
    fs::write(&nowhere, "").expect("writable");
    let database = Database::of_files(&nowhere, limits);
    let database = database.unwrap_or_else(|e| panic!("{e}"));
    database.query(sorted).expect_err("no room to spill");
}

/// DuckDB looks for files when it needs them: those of one table perhaps after those of another.
#[test]
fn an_open_lake_does_not_show_later_commits() {
    let tables = &*TABLES;
    let mut lake = Lake::new();
    lake.add("notes", "note_id, run_id", &["'a', 'r'"]);
    let columns = FileColumns::default();
    let still = LateViews::open_still(&lake.root, tables, &columns, Comments::Without);
    let still = still.and_then(LateViews::create).expect("a lake");
    let as_of = ["r".to_owned(), "s".to_owned()].into();
    let as_of = LateViews::open_as_of(&lake.root, tables, &columns, &as_of);
    let as_of = as_of.and_then(LateViews::create).expect("a lake");
    let usual = Database::open(&lake.root, tables, &columns).expect("a lake");
    lake.add("notes", "note_id, run_id", &["'b', 's'"]);
    let rows = |database: &Database| {
        let answer = database.query("SELECT note_id FROM notes").expect("rows");
        answer
            .batches
            .iter()
            .map(RecordBatch::num_rows)
            .sum::<usize>()
    };
    assert_eq!((rows(&still), rows(&as_of), rows(&usual)), (1, 1, 2));
}

#[test]
fn a_change_that_does_not_fit_int64_is_null() {
    let mut lake = Lake::new();
    let (max, min) = (i64::MAX, i64::MIN);
    let columns = "note_id, endpoint, snapshot_at, run_id, liked_count";
    let row = |note: &str, hour: u32, likes: i64| {
        format!(
            "'{note}', 'e', TIMESTAMPTZ '2026-03-09 {hour:02}:00:00Z', 'r', ({likes}::HUGEINT)::BIGINT"
        )
    };
    for (note, before, now) in [
        ("a", 0, max),
        ("b", -1, max),
        ("c", max, min),
        ("d", min, -1),
    ] {
        lake.add(
            "engagement",
            columns,
            &[&row(note, 1, before), &row(note, 3, now)],
        );
    }
    let changes = "SELECT note_id, typeof(liked_delta), liked_delta, liked_per_hour FROM engagement_delta \
                   ORDER BY note_id";
    let half = max as f64 / 2.0;
    assert_eq!(
        lake.query(changes),
        [
            format!("a|BIGINT|{max}|{half:?}"),
            "b|BIGINT||".to_owned(),
            "c|BIGINT||".to_owned(),
            format!("d|BIGINT|{max}|{half:?}"),
        ]
    );
}
