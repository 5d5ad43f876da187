//! `redlake export duckdb`: a file of its own that has what the lake has.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};

use duckdb::{AccessMode, Config, Connection};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Lake, declared, fail, redlake, repository, succeed};

const DEMO: &str = "pipelines/demo.yaml";

/// A lake with two snapshots.
fn lake() -> Lake {
    let lake = Lake::new();
    lake.run(&repository(DEMO), &[]);
    lake.run(&repository(DEMO), &[]);
    lake
}

/// Writes an export to `file`. Its report.
fn export(lake: &Path, file: &Path, more: &[&str]) -> Value {
    let mut command = command(lake, file, more);
    let output = succeed(command.args(["--format", "json"]));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    serde_json::from_slice(&output.stdout).expect("a JSON report")
}

fn command(lake: &Path, file: &Path, more: &[&str]) -> Command {
    let mut command = redlake();
    command.args(["export", "duckdb", "-o"]).arg(file);
    command.arg("--lake").arg(lake).args(more);
    command
}

fn read_only(file: &Path) -> Connection {
    let config = Config::default().access_mode(AccessMode::ReadOnly);
    Connection::open_with_flags(file, config.expect("a mode")).expect("a DuckDB file")
}

fn names(connection: &Connection, sql: &str) -> Vec<String> {
    let mut statement = connection.prepare(sql).expect("SQL");
    let names = statement.query_map([], |row| row.get(0)).expect("rows");
    names.map(|name| name.expect("a text")).collect()
}

fn number(connection: &Connection, sql: &str) -> i64 {
    let number = connection.query_row(sql, [], |row| row.get(0));
    number.unwrap_or_else(|error| panic!("{sql}: {error}"))
}

/// The names of all relations of a database but `about`.
fn relations(connection: &Connection) -> Vec<String> {
    names(
        connection,
        "SELECT view_name FROM duckdb_views() WHERE NOT internal AND view_name <> 'about' \
         UNION SELECT table_name FROM duckdb_tables() ORDER BY 1",
    )
}

/// Checks that every relation has the same columns, comments and rows in both database files.
fn assert_equal(one: &Path, other: &Path) -> Vec<String> {
    let both = Connection::open_in_memory().expect("DuckDB");
    let attach = |file: &Path, name: &str| {
        let file = file.to_str().expect("UTF-8").replace('\'', "''");
        let sql = format!("ATTACH '{file}' AS {name} (READ_ONLY)");
        both.execute_batch(&sql).expect("a DuckDB file");
    };
    attach(one, "one");
    attach(other, "other");
    let described = |name: &str| {
        names(
            &both,
            &format!(
                "SELECT concat_ws(' ', table_name, column_index, column_name, data_type, comment) \
                 FROM duckdb_columns() WHERE database_name = '{name}' AND table_name <> 'about' \
                 UNION ALL SELECT concat_ws(': ', view_name, comment) FROM duckdb_views() \
                 WHERE database_name = '{name}' AND NOT internal AND view_name <> 'about' \
                 UNION ALL SELECT concat_ws(': ', table_name, comment) FROM duckdb_tables() \
                 WHERE database_name = '{name}' ORDER BY 1"
            ),
        )
    };
    assert_eq!(described("one"), described("other"));
    let found = relations(&read_only(one));
    for relation in &found {
        let (a, b) = (
            format!("one.\"{relation}\""),
            format!("other.\"{relation}\""),
        );
        let sql = format!(
            "SELECT (SELECT count(*) FROM (FROM {a} EXCEPT ALL FROM {b})) \
             + (SELECT count(*) FROM (FROM {b} EXCEPT ALL FROM {a}))"
        );
        assert_eq!(number(&both, &sql), 0, "rows of {relation} differ");
    }
    found
}

#[test]
fn a_file_with_tables_has_the_rows_of_every_table_mart_and_view() {
    let lake = lake();
    let elsewhere = TempDir::new().expect("a folder");
    let file = elsewhere.path().join("brand's.duckdb");
    let report = export(&lake.path(), &file, &[]);
    let found = assert_equal(&file, &lake.path().join("lake.duckdb"));
    let listed = succeed(&mut lake.redlake(&["schema", "list", "--format", "json"]));
    let listed: Vec<Value> = serde_json::from_slice(&listed.stdout).expect("JSON");
    let listed: BTreeSet<&str> = listed.iter().filter_map(|r| r["name"].as_str()).collect();
    assert_eq!(
        found.iter().map(String::as_str).collect::<BTreeSet<_>>(),
        listed
    );

    let exported = read_only(&file);
    let tables = names(
        &exported,
        "SELECT table_name FROM duckdb_tables() ORDER BY 1",
    );
    let mut stored = declared("tables");
    stored.extend(declared("marts"));
    stored.sort();
    assert_eq!(tables, stored);
    let views = report["views"].as_array().expect("a list").len();
    assert_eq!(tables.len() + views, found.len());
    let rows = report["tables"].as_array().expect("a list").iter();
    for table in rows {
        let name = table["name"].as_str().expect("a name");
        let sql = format!("SELECT count(*) FROM \"{name}\"");
        assert_eq!(
            Some(number(&exported, &sql)),
            table["rows"].as_i64(),
            "{name}"
        );
    }
    assert_eq!(report["left_out"], serde_json::json!([]));
    let size = std::fs::metadata(&file).expect("a file").len();
    assert_eq!(report["bytes"].as_u64(), Some(size));
    let about = format!(
        "SELECT count(*) FROM about WHERE form = 'tables' AND made_by LIKE 'redlake %' \
         AND made_at > newest_commit_at AND newest_commit IS NOT NULL AND since IS NULL \
         AND tables_only IS NULL AND lake = '{}'",
        lake.path().display()
    );
    assert_eq!(number(&exported, &about), 1);
    let left = std::fs::read_dir(elsewhere.path())
        .expect("a folder")
        .count();
    assert_eq!(left, 1, "files beside the export");
}

#[test]
fn rows_and_tables_can_be_chosen() {
    let lake = Lake::new();
    for day in ["2026-03-08", "2026-03-09"] {
        let at = format!("{day}T12:00:00+08:00");
        lake.run(&repository(DEMO), &["--snapshot-at", &at]);
    }
    let elsewhere = TempDir::new().expect("a folder");
    let file = elsewhere.path().join("some.duckdb");
    let more = [
        "--since",
        "2026-03-09",
        "--tables-only",
        "notes,keyword_daily",
    ];
    let report = export(&lake.path(), &file, &more);
    let exported = read_only(&file);
    assert_eq!(
        relations(&exported),
        [
            "keyword_daily",
            "note_edits",
            "notes",
            "notes_latest",
            "notes_latest_by_pipeline"
        ]
    );
    for table in ["notes", "keyword_daily"] {
        let kept = format!("SELECT count(*) FROM {table} WHERE dt >= '2026-03-09'");
        let all = format!("SELECT count(*) FROM {table}");
        assert_eq!(
            number(&exported, &all),
            lake.value(&kept).as_i64().expect("a count")
        );
        assert!(number(&exported, &all) < lake.value(&all).as_i64().expect("a count"));
    }
    let about = "SELECT count(*) FROM about WHERE since = '2026-03-09' \
                 AND tables_only = 'notes, keyword_daily'";
    assert_eq!(number(&exported, about), 1);
    let left_out = report["left_out"].as_array().expect("a list");
    let overview = left_out.iter().find(|view| view["view"] == "note_overview");
    let needs = overview.expect("a view")["needs"].to_string();
    assert!(
        needs.contains("search_results") && !needs.contains("\"notes\""),
        "{needs}"
    );
    let text = succeed(&mut command(
        &lake.path(),
        &file,
        &["--tables-only", "notes"],
    ))
    .stdout;
    let text = String::from_utf8(text).expect("UTF-8");
    assert!(
        text.contains("\nleft out, since they read what was not exported:\n"),
        "{text}"
    );
    assert!(text.contains("\n  note_overview (engagement, "), "{text}");

    let refused = |names: &str| fail(&mut command(&lake.path(), &file, &["--tables-only", names]));
    let (code, told) = refused("notes,note_overview");
    assert_eq!(code, 2);
    assert!(told.contains("`note_overview` is a view"), "{told}");
    assert!(
        told.contains("--tables-only ") && told.contains("search_results"),
        "{told}"
    );
    let (code, told) = refused("note");
    assert_eq!(code, 2);
    assert!(
        told.contains("no table or mart `note`") && told.contains("did you mean `notes`?"),
        "{told}"
    );
}

#[test]
fn views_read_the_lake_where_the_reader_has_it() {
    let lake = lake();
    let elsewhere = TempDir::new().expect("a folder");
    let file = elsewhere.path().join("views.duckdb");
    // The folder does not exist yet, and would be a pattern.
    let mounted = elsewhere.path().join("mount [1]").join("lake");
    let root = format!("{}/", mounted.display());
    let report = export(&lake.path(), &file, &["--views", "--root", &root]);
    assert_eq!(report["root"], root.trim_end_matches('/'));
    let error = read_only(&file).query_row("SELECT count(*) FROM notes", [], |_| Ok(()));
    assert!(error.expect_err("no files").to_string().contains("mount"));
    crate::support::copy(&lake.path(), &mounted);
    assert_equal(&file, &lake.path().join("lake.duckdb"));
    let other = TempDir::new().expect("a folder");
    std::fs::rename(&mounted, other.path().join("moved")).expect("a folder");
    let views = Connection::open(&file).expect("a DuckDB file");
    let moved = other.path().join("moved");
    let replace = format!(
        "CREATE OR REPLACE MACRO lake_root() AS '{}'",
        moved.display()
    );
    views.execute_batch(&replace).expect("a macro");
    let notes = number(&views, "SELECT count(*) FROM notes");
    assert_eq!(
        notes,
        lake.value("select count(*) from notes")
            .as_i64()
            .expect("a count")
    );
    drop(views);
    // The lake's own place is the default. The macro that was replaced has no comment.
    let (code, told) = fail(&mut command(&lake.path(), &file, &["--views"]));
    assert_eq!(code, 2);
    assert!(
        told.contains("has what redlake did not make: \"lake_root\""),
        "{told}"
    );
    export(&lake.path(), &file, &["--views", "--force"]);
    assert_equal(&file, &lake.path().join("lake.duckdb"));

    let (code, told) = fail(&mut command(
        &lake.path(),
        &file,
        &["--views", "--root", "lake"],
    ));
    assert_eq!(code, 2);
    assert!(told.contains("not a full path: lake"), "{told}");
    let (code, _) = fail(&mut command(&lake.path(), &file, &["--root", "/lake"]));
    assert_eq!(code, 2);
}

#[test]
fn an_earlier_export_is_replaced_at_once_and_other_files_stay() {
    let lake = Lake::new();
    lake.run(&repository(DEMO), &[]);
    let elsewhere = TempDir::new().expect("a folder");
    let file = elsewhere.path().join("lake.duckdb");
    let only = ["--tables-only", "runs"];
    export(&lake.path(), &file, &only);
    let reader = read_only(&file);
    lake.run(&repository(DEMO), &[]);
    export(&lake.path(), &file, &only);
    let runs = "SELECT count(*) FROM runs";
    assert_eq!(number(&reader, runs), 1);
    assert_eq!(number(&read_only(&file), runs), 2);
    drop(reader);

    // A failed export leaves the old file as it was.
    let before = std::fs::read(&file).expect("a file");
    let schemas = lake.schemas(&[(
        "views/dim_date.yaml",
        "year(date) AS year,",
        "year(day) AS year,",
    )]);
    let schemas = schemas.to_str().expect("UTF-8");
    let (code, told) = fail(&mut command(&lake.path(), &file, &["--schemas", schemas]));
    assert_eq!(code, 2, "{told}");
    assert!(
        told.contains("the view dim_date cannot be created"),
        "{told}"
    );
    assert_eq!(std::fs::read(&file).expect("a file"), before);

    // Work of others in the file is kept.
    let writer = Connection::open(&file).expect("a DuckDB file");
    writer
        .execute_batch("CREATE VIEW mine AS SELECT 1 AS n")
        .expect("a view");
    drop(writer);
    let refused = |file: &Path| {
        let (code, told) = fail(&mut command(&lake.path(), file, &only));
        assert_eq!(code, 2, "{told}");
        told
    };
    let told = refused(&file);
    assert!(
        told.contains("has what redlake did not make: \"mine\""),
        "{told}"
    );
    assert!(told.contains("--force"), "{told}");
    let text = elsewhere.path().join("plan.txt");
    std::fs::write(&text, "a text that is not a database").expect("a file");
    let told = refused(&text);
    assert!(told.contains("redlake did not export it: "), "{told}");
    assert!(refused(&lake.path().join("x.duckdb")).contains("is in the lake"));
    assert!(refused(&lake.path().join("tables/x.duckdb")).contains("is in the lake"));
    assert!(refused(elsewhere.path()).contains("is a folder"));
    let told = refused(&elsewhere.path().join("no/x.duckdb"));
    assert!(
        told.contains("/no does not exist") && told.contains("mkdir -p"),
        "{told}"
    );
    export(&lake.path(), &file, &["--tables-only", "runs", "--force"]);
    assert_eq!(
        relations(&read_only(&file))
            .iter()
            .filter(|name| *name == "mine")
            .count(),
        0
    );
    // An empty file, as mktemp makes it, has nothing to lose.
    let empty = elsewhere.path().join("empty");
    std::fs::write(&empty, "").expect("a file");
    export(&lake.path(), &empty, &only);
    let left = std::fs::read_dir(elsewhere.path())
        .expect("a folder")
        .count();
    assert_eq!(left, 3, "files beside the exports");
}

#[test]
fn an_export_while_runs_commit_has_whole_runs() {
    let lake = Lake::new();
    lake.run(&repository(DEMO), &[]);
    let elsewhere = TempDir::new().expect("a folder");
    let file = elsewhere.path().join("lake.duckdb");
    let demo = repository(DEMO);
    let demo = demo.to_str().expect("UTF-8");
    let mut run = lake.redlake(&["run", demo, "--quiet"]);
    let mut run = run.stdout(Stdio::null()).spawn().expect("the binary");
    let mut exports = 0;
    loop {
        let has_ended = run.try_wait().expect("a process").is_some();
        export(
            &lake.path(),
            &file,
            &["--tables-only", "runs,requests,notes,note_growth"],
        );
        exports += 1;
        let exported = read_only(&file);
        let runs = number(&exported, "SELECT count(*) FROM runs");
        for table in ["requests", "notes"] {
            let of_table = format!("SELECT count(DISTINCT run_id) FROM {table}");
            assert_eq!(number(&exported, &of_table), runs, "runs of {table}");
        }
        if has_ended {
            assert_eq!(runs, 2);
            break;
        }
    }
    assert!(exports > 1);
}

#[test]
fn the_dashboard_for_superset_names_only_columns_that_are_there() {
    let lake = Lake::new();
    lake.run(&repository(DEMO), &[]);
    let elsewhere = TempDir::new().expect("a folder");
    let file = elsewhere.path().join("redlake.zip");
    let file_name = file.to_str().expect("UTF-8");
    let args = [
        "export",
        "superset",
        "-o",
        file_name,
        "--database",
        "/data/brand.duckdb",
    ];
    let first = succeed(&mut lake.redlake(&args)).stdout;
    assert!(
        String::from_utf8_lossy(&first)
            .contains("a dashboard with 5 charts over /data/brand.duckdb")
    );
    let bytes = std::fs::read(&file).expect("an archive");
    succeed(&mut lake.redlake(&args));
    assert_eq!(std::fs::read(&file).expect("an archive"), bytes);

    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(bytes)).expect("a ZIP archive");
    let mut files = std::collections::BTreeMap::new();
    for at in 0..archive.len() {
        let entry = archive.by_index(at).expect("a file");
        let name = entry.name().expect("a name").into_owned();
        let text = std::io::read_to_string(entry).expect("UTF-8");
        let content: Value =
            serde_saphyr::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
        files.insert(name, content);
    }
    let database = &files["redlake/databases/redlake.yaml"];
    assert_eq!(database["sqlalchemy_uri"], "duckdb:////data/brand.duckdb");
    assert_eq!(
        database["extra"]["engine_params"]["connect_args"]["read_only"],
        true
    );
    let catalog = read_only(&lake.path().join("lake.duckdb"));
    let dashboard = files["redlake/dashboards/redlake.yaml"]["position"].to_string();
    let mut charts = 0;
    for (name, chart) in files.iter().filter(|(name, _)| name.contains("/charts/")) {
        let mut datasets = files.iter().filter(|(name, _)| name.contains("/datasets/"));
        let dataset = datasets.find(|(_, dataset)| dataset["uuid"] == chart["dataset_uuid"]);
        let (_, dataset) = dataset.unwrap_or_else(|| panic!("{name} has no dataset"));
        let relation = dataset["table_name"].as_str().expect("a name");
        let params = &chart["params"];
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let mut wanted: Vec<String> = text(&params["x_axis"]).into_iter().collect();
        for list in ["groupby", "all_columns"] {
            wanted.extend(
                params[list]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(text),
            );
        }
        let metrics = params["metrics"].as_array().into_iter().flatten();
        let metrics: Vec<String> = metrics
            .filter_map(|metric| text(&metric["sqlExpression"]))
            .collect();
        assert!(!wanted.is_empty(), "{name} shows nothing");
        for list in [wanted, metrics].iter().filter(|list| !list.is_empty()) {
            let list = list.join(", ");
            number(
                &catalog,
                &format!("SELECT count(*) FROM (SELECT {list} FROM {relation})"),
            );
        }
        let uuid = chart["uuid"].as_str().expect("an id");
        assert!(dashboard.contains(uuid), "{name} is not on the dashboard");
        charts += 1;
    }
    assert_eq!(charts, 5);
    let (code, told) = fail(&mut lake.redlake(&[
        "export",
        "superset",
        "-o",
        file_name,
        "--database",
        "x.duckdb",
    ]));
    assert_eq!(code, 2);
    assert!(told.contains("not a full path: x.duckdb"), "{told}");
}
