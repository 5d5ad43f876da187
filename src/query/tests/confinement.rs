//! SQL that names relations only, and SQL that may reach files.

use std::fs;

use super::{Lake, TABLES, rows};
use crate::query::duckdb::late_views::LateViews;
use crate::query::duckdb::{Comments, Database};
use crate::spec::table::FileColumns;

/// Returns a database over a lake, confined for these statements.
fn confined(lake: &Lake, statements: &[&str]) -> Database {
    let columns = FileColumns::default();
    let database = LateViews::open_still(&lake.root, &TABLES, &columns, Comments::Without);
    let database = database.and_then(LateViews::create);
    let database = database.unwrap_or_else(|e| panic!("{e}"));
    database
        .confine_for(statements.iter().copied(), &lake.root)
        .unwrap_or_else(|e| panic!("{statements:?}: {e}"));
    database
}

fn lake() -> Lake {
    let mut lake = Lake::new();
    lake.add("notes", "note_id, run_id", &["'a', 'r'"]);
    lake
}

/// Returns true if DuckDB checks each file that these statements open.
fn is_checked(lake: &Lake, statements: &[&str]) -> bool {
    let database = confined(lake, statements);
    let setting = rows(
        &database,
        "SELECT current_setting('enable_external_access')",
    );
    setting == ["false"]
}

#[test]
fn statements_that_name_relations_only_are_not_checked() {
    let lake = lake();
    for sql in [
        "SELECT 1",
        "FROM notes",
        "select n.note_id from \"notes_latest\" n left join users u on u.user_id = n.author_user_id",
        "WITH a AS (SELECT note_id FROM notes), b AS MATERIALIZED (FROM a) FROM a JOIN b USING (note_id)",
        "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 3) FROM n",
        "SELECT note_id FROM notes UNION ALL SELECT user_id FROM users EXCEPT SELECT 'x'",
        "SELECT DISTINCT ON (note_id) * FROM notes ORDER BY note_id DESC, title ASC NULLS FIRST LIMIT 3 OFFSET 1",
        "SELECT note_id FROM notes ORDER BY ALL LIMIT 50 PERCENT",
        "SELECT pipeline, count(*) FILTER (title IS NULL) FROM notes GROUP BY ROLLUP (pipeline) \
         HAVING count(*) > 1",
        "SELECT *, lag(title) OVER (PARTITION BY note_id ORDER BY snapshot_at) FROM notes \
         QUALIFY row_number() OVER (PARTITION BY note_id ORDER BY snapshot_at) = 1",
        "SELECT (SELECT max(title) FROM notes m WHERE m.note_id = n.note_id) FROM notes n \
         WHERE EXISTS (FROM users) AND note_id IN (SELECT note_id FROM notes)",
        "SELECT unnest([1, 2]), {'a': 1}.a, list_transform([1], x -> x + 1), [x FOR x IN [1]]",
        "SELECT CASE WHEN true THEN DATE '2026-01-01' END, 'it''s'::VARCHAR, $word, COLUMNS('.*_id') FROM notes",
        "SELECT 1.5, 1::DECIMAL(9, 2), NULL::STRUCT(a INTEGER[], b MAP(VARCHAR, DATE)), 'x'::ENUM ('x')",
        "SELECT * FROM (VALUES (1, 'a')) v (a, b), LATERAL (SELECT a + 1)",
        "SELECT 1; SELECT note_id FROM notes",
    ] {
        assert!(!is_checked(&lake, &[sql]), "{sql}");
    }
    let queries = ["SELECT 1", "SELECT 2"];
    assert!(!is_checked(&lake, &queries));
}

#[test]
fn queries_of_the_views_name_relations_only() {
    let lake = lake();
    for view in super::views::views() {
        let sql = &view.query.as_ref().expect("a view has a query").sql;
        assert!(!is_checked(&lake, &[sql]), "{}", view.name());
    }
}

#[test]
fn an_unchecked_database_keeps_its_settings_and_loads_no_extension() {
    let database = confined(&lake(), &["SELECT 1"]);
    for (setting, value) in [
        ("autoload_known_extensions", "false"),
        ("autoinstall_known_extensions", "false"),
        ("allow_persistent_secrets", "false"),
        ("lock_configuration", "true"),
    ] {
        let sql = format!("SELECT current_setting('{setting}')");
        assert_eq!(rows(&database, &sql), [value], "{setting}");
    }
    let error = database.query("SET threads = 1").expect_err("a lock");
    assert!(error.to_string().contains("locked"), "{error}");
    rows(&database, "SET TimeZone = 'Asia/Shanghai'");
}

#[test]
fn statements_that_may_reach_files_are_checked() {
    let lake = lake();
    let file = lake.root.join("secret.csv");
    fs::write(&file, "a\n1\n").expect("writable");
    let file = file.to_string_lossy();
    let read = format!("(SELECT a FROM read_csv('{file}'))");
    let text = format!("(SELECT content FROM read_text('{file}'))");
    // Each is a SELECT statement that reads the file.
    let selects = [
        format!("FROM '{file}'"),
        format!("SELECT a FROM \"{file}\""),
        format!("FROM read_csv('{file}')"),
        format!("SELECT {read}"),
        format!("SELECT 1 WHERE 1 IN {read}"),
        format!("SELECT 1 WHERE EXISTS {read}"),
        format!("SELECT note_id FROM notes WHERE note_id = ANY {text}"),
        format!("SELECT note_id FROM notes ORDER BY {text}"),
        format!("SELECT 1 LIMIT {read}"),
        format!("SELECT 1 LIMIT 1 OFFSET {read}"),
        format!("SELECT DISTINCT ON ({text}) note_id FROM notes"),
        format!("SELECT count(*) FILTER ({read} = 1) FROM notes"),
        format!("SELECT count(*) FROM notes HAVING count(*) = {read}"),
        format!("SELECT count(*) FROM notes GROUP BY {text}"),
        format!("SELECT string_agg(note_id ORDER BY {text}) FROM notes"),
        format!("SELECT sum(1) OVER (ORDER BY {text}) FROM notes"),
        format!("SELECT note_id FROM notes QUALIFY row_number() OVER (ORDER BY note_id) = {read}"),
        format!("SELECT CASE WHEN true THEN {text} END"),
        format!("SELECT {{'a': {text}}}"),
        format!("SELECT * REPLACE ({text} AS note_id) FROM notes"),
        format!("WITH a AS MATERIALIZED {read} FROM a"),
        format!("WITH a AS (SELECT 1), b AS {read} FROM a, b"),
        format!("WITH a AS (WITH b AS {read} FROM b) FROM a"),
        format!(
            "WITH RECURSIVE a AS (SELECT 0 AS a UNION ALL SELECT {read} FROM a WHERE a = 0) FROM a"
        ),
        format!("SELECT 1 UNION ALL {read}"),
        format!("VALUES (1), ({read})"),
        format!("FROM notes, LATERAL {read}"),
        format!("FROM notes JOIN {read} r ON r.a = 1"),
        format!("FROM notes JOIN users ON {read} = 1"),
        format!("FROM (FROM (FROM '{file}'))"),
        // The name is that of a common table expression in another place only.
        format!(
            "SELECT (WITH \"{file}\" AS (SELECT 2 AS a) SELECT a FROM \"{file}\"), a FROM \"{file}\""
        ),
        format!("FROM query('FROM ''{file}''')"),
        format!("FROM query_table(['{file}'])"),
        format!("FROM glob('{file}')"),
        format!("SELECT * FROM (DESCRIBE FROM '{file}')"),
        format!("DESCRIBE '{file}'"),
        format!("SUMMARIZE '{file}'"),
        format!("PIVOT '{file}' ON a USING count(*)"),
        format!("UNPIVOT '{file}' ON a"),
        format!("SELECT * FROM '{file}' TABLESAMPLE 50%"),
        format!("FROM '{file}' POSITIONAL JOIN notes"),
        format!("SELECT 1; FROM '{file}'"),
        format!("FROM '{file}'; SELECT 1"),
        format!("EXPLAIN ANALYZE FROM '{file}'"),
    ];
    for sql in &selects {
        assert!(is_checked(&lake, &[sql]), "{sql}");
        let before = Database::open_empty(&TABLES).unwrap_or_else(|e| panic!("{e}"));
        before.execute(sql).unwrap_or_else(|e| panic!("{sql}: {e}"));
        let error = confined(&lake, &[sql]).execute(sql).expect_err(sql);
        assert!(
            error.to_string().contains("Permission Error"),
            "{sql}: {error}"
        );
    }
    assert!(is_checked(&lake, &["SELECT 1", &selects[0]]));
    for sql in [
        "FROM main.notes",
        "FROM memory.main.notes",
        "FROM secret.csv",
        "FROM range(3)",
        "FROM duckdb_settings()",
        "FROM information_schema.tables",
        "SHOW TABLES",
        "COPY notes TO 'x.csv'",
        "ATTACH 'x.db'",
        "INSTALL spatial",
        "LOAD spatial",
        "SET threads = 1",
        "PRAGMA version",
        "CREATE TABLE t AS SELECT 1",
        "CREATE MACRO m() AS TABLE FROM 'x.csv'",
        "PREPARE p AS FROM notes",
        "CALL enable_logging(storage = 'file')",
        "EXPLAIN FROM notes",
        "SELECT FROM WHERE",
    ] {
        assert!(is_checked(&lake, &[sql]), "{sql}");
    }
}

#[test]
fn sql_that_a_function_plans_reaches_no_file() {
    let lake = lake();
    let file = lake.root.join("secret.csv");
    fs::write(&file, "found\n1\n").expect("writable");
    let planned = format!("'SELECT x FROM read_csv(''{}'')'", file.display());
    let quoted = planned.replace('\'', "''");
    for sql in [
        format!("SELECT json_serialize_plan({planned})"),
        format!("SELECT \"JSON_Serialize_PLAN\"({planned})"),
        format!("SELECT system.main.json_serialize_plan({planned})"),
        format!("SELECT ({planned}).json_serialize_plan()"),
        format!("SELECT list_transform([{planned}], x -> json_serialize_plan(x))"),
        format!(
            "SELECT max(json_serialize_plan(x)) FROM (SELECT {planned} AS x) HAVING count(*) > 0"
        ),
    ] {
        let before = Database::open_empty(&TABLES).unwrap_or_else(|e| panic!("{e}"));
        let told = rows(&before, &sql).join(" ");
        assert!(told.contains("found"), "{sql}: {told}");
        let told = rows(&confined(&lake, &[&sql]), &sql).join(" ");
        assert!(told.contains("disabled by configuration"), "{sql}: {told}");
    }
    // A text that contains such a statement is no call.
    assert!(!is_checked(&lake, &[&format!("SELECT '{quoted}'")]));
}

/// The functions of a statement are not checked, but for a few. If DuckDB gets more scalar functions with
/// such names, or whose result depends on more than their arguments, see whether they reach files.
#[test]
fn scalar_functions_that_may_reach_files_are_known() {
    let database = Database::open_empty(&TABLES).unwrap_or_else(|e| panic!("{e}"));
    let functions = "SELECT DISTINCT function_name FROM duckdb_functions() \
                     WHERE function_type = 'scalar' AND";
    let volatile = format!("{functions} stability = 'VOLATILE' ORDER BY ALL");
    assert_eq!(
        rows(&database, &volatile).join(" "),
        "current_connection_id current_query current_query_id current_transaction_id currval error \
         gen_random_uuid nextval random setseed sleep_ms stats uuid uuidv4 uuidv7 write_log"
    );
    let words =
        "sql|plan|query|exec|file|path|read|write|load|open|glob|url|http|env|secret|attach|copy";
    let named = format!(
        "{functions} regexp_matches(function_name, '{words}') AND stability <> 'VOLATILE' ORDER BY ALL"
    );
    assert_eq!(
        rows(&database, &named).join(" "),
        "in_search_path json_deserialize_sql json_extract_path json_extract_path_text json_serialize_plan \
         json_serialize_sql parse_dirpath parse_filename parse_path url_decode url_encode"
    );
}
