//! `redlake query`: SQL in, rows out, in all formats.

use std::io::Write;
use std::path::PathBuf;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::{Lake, copy, fail, redlake, repository, succeed};

fn lake() -> Lake {
    let lake = Lake::new();
    lake.run(&repository("pipelines/demo.yaml"), &[]);
    lake
}

/// What a command prints.
fn said(lake: &Lake, args: &[&str]) -> String {
    let output = succeed(&mut lake.redlake(args));
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn parameters_are_texts_by_name() {
    let lake = lake();
    let sql = "select $word as word, count(*) as hits from search_results \
               where keyword = $word and position <= $most::bigint group by all";
    let args = [
        "query",
        sql,
        "-p",
        "word=防晒",
        "--param",
        "most=2",
        "--format",
        "json",
    ];
    let rows: Value = serde_json::from_str(&said(&lake, &args)).expect("JSON");
    let hits = "select count(*) from search_results where keyword = '防晒' and position <= 2";
    assert_eq!(rows, json!([{"word": "防晒", "hits": lake.value(hits)}]));
    assert!(rows[0]["hits"].as_u64() > Some(0));
    // A value is never SQL.
    let sly = [
        "query",
        "select $a as a",
        "-p",
        "a=' or 1=1 --",
        "--format",
        "ndjson",
    ];
    assert_eq!(said(&lake, &sly), "{\"a\":\"' or 1=1 --\"}\n");

    let (code, error) = fail(&mut lake.redlake(&["query", sql, "-p", "word=x"]));
    assert_eq!(code, 2);
    assert_eq!(
        error,
        "error: the statement has a parameter $most, and no value for it is given\n  \
         hint: give it with --param most=VALUE\n"
    );
    let (code, error) = fail(&mut lake.redlake(&["query", "select 1", "-p", "word=x"]));
    assert_eq!(code, 2);
    assert!(
        error.starts_with("error: the statement has no parameter $word\n"),
        "{error}"
    );
}

#[test]
fn sql_comes_from_a_file_or_stdin_and_may_have_several_statements() {
    let lake = lake();
    let sql = "create temp table n as select count(*) as n from notes;\n-- all\nselect n > 0 as any from n;\n";
    let file = lake.write("count.sql", sql);
    let args = [
        "query",
        "-f",
        file.to_str().expect("UTF-8"),
        "--format",
        "csv",
    ];
    assert_eq!(said(&lake, &args), "any\ntrue\n");
    let mut child = lake
        .redlake(&["query", "--format", "csv"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(sql.as_bytes()).expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("a child");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "any\ntrue\n");
}

#[test]
fn results_go_to_files_in_the_format_of_their_name() {
    let lake = lake();
    let sql = "select note_id, liked_count, snapshot_at from engagement order by all";
    for ending in ["parquet", "csv", "ndjson", "json"] {
        let path = lake.write(&format!("result.{ending}"), "what was there before");
        let path = path.to_str().expect("UTF-8");
        succeed(&mut lake.redlake(&["query", sql, "-o", path]));
        let back = format!(
            "select count(*) as n, sum(liked_count)::bigint as likes, epoch_us(min(snapshot_at::timestamptz)) as at \
             from '{path}'"
        );
        let back = said(
            &lake,
            // JSON has no instants: their texts are read as times of day in the zone of the query.
            &[
                "query",
                &back,
                "--allow-files",
                "--format",
                "json",
                "--timezone",
                "UTC",
            ],
        );
        let direct = "select count(*) as n, sum(liked_count)::bigint as likes, \
                      epoch_us(min(snapshot_at)) as at from engagement";
        let expected = said(&lake, &["query", direct, "--format", "json"]);
        assert_eq!(back, expected, "{ending}");
    }
    let path = lake.write("result.xls", "");
    let args = ["query", sql, "-o", path.to_str().expect("UTF-8")];
    let (code, error) = fail(&mut lake.redlake(&args));
    assert_eq!(code, 2);
    assert!(
        error.contains("use a name that ends with .parquet, .csv"),
        "{error}"
    );
}

#[test]
fn a_result_that_fails_half_way_leaves_the_file_as_it_was() {
    let lake = lake();
    let path = lake.write("result.csv", "yesterday's");
    let sql =
        "select case when i < 100000 then i else error('too many') end from range(1000000) r(i)";
    let args = ["query", sql, "-o", path.to_str().expect("UTF-8")];
    let (code, error) = fail(&mut lake.redlake(&args));
    assert_eq!(code, 2, "{error}");
    assert!(error.contains("too many"), "{error}");
    assert_eq!(std::fs::read_to_string(&path).expect("text"), "yesterday's");
    let folder = std::fs::read_dir(path.parent().expect("a folder")).expect("a folder");
    assert_eq!(folder.count(), 2, "the lake and the result");
    // On stdout, too, an error after the first rows is an error.
    let (code, _) = fail(&mut lake.redlake(&["query", sql, "--format", "csv"]));
    assert_eq!(code, 2);
}

#[test]
fn a_query_may_look_back() {
    let lake = lake();
    let two = "2026-03-09T13:00:00+08:00";
    let pipeline = repository("pipelines/demo.yaml");
    lake.run(&pipeline, &["--snapshot-at", two]);
    let commits = lake.path().join("_commits");
    let mut times: Vec<String> = std::fs::read_dir(commits)
        .expect("a folder")
        .flatten()
        .map(|entry| std::fs::read_to_string(entry.path()).expect("text"))
        .map(|text| serde_json::from_str::<Value>(&text).expect("JSON"))
        .filter(|commit| commit["kind"] == "run")
        .map(|commit| commit["committed_at"].as_str().expect("a time").to_owned())
        .collect();
    times.sort();
    let count = |at: &str| {
        let sql = "select count(distinct run_id) as runs, count(*) as rows from notes";
        said(&lake, &["query", sql, "--as-of", at, "--format", "csv"])
    };
    assert_eq!(count("2020-01-01T00:00:00Z"), "runs,rows\n0,0\n");
    assert_eq!(count(&times[0]), "runs,rows\n1,553\n");
    assert_eq!(count(&times[1]), "runs,rows\n2,1106\n");
    // Compaction changes files, not what was there when.
    succeed(&mut lake.redlake(&["compact"]));
    assert_eq!(count(&times[0]), "runs,rows\n1,553\n");
    let latest = "select max(snapshot_at)::timestamp as at from notes_latest";
    let args = ["query", latest, "--as-of", &times[0], "--format", "csv"];
    assert_eq!(said(&lake, &args), "at\n2026-03-09T12:00:00\n");
    // What was replaced since cannot be shown, and is told.
    let warning = |args: &[&str]| {
        let output = succeed(&mut lake.redlake(args));
        String::from_utf8(output.stderr).expect("UTF-8")
    };
    assert_eq!(warning(&args), "");
    let first = lake.value("select min(run_id) from runs");
    let first = first.as_str().expect("an id");
    let raw = lake.raw_files().into_iter();
    let raw = raw.filter(|path| path.to_string_lossy().contains(first));
    let mut transform = lake.redlake(&["transform"]);
    succeed(transform.arg(&pipeline).arg("--raw").args(raw));
    let told = format!("current rows are read for 1 of the runs, the first of them {first}");
    assert!(warning(&args).contains(&told), "{}", warning(&args));
}

#[test]
fn parquet_goes_to_a_pipe() {
    let lake = lake();
    let args = ["query", "select 1 as x", "--format", "parquet"];
    let output = succeed(&mut lake.redlake(&args));
    assert!(output.stdout.starts_with(b"PAR1") && output.stdout.ends_with(b"PAR1"));
}

#[test]
fn sql_reads_the_lake_and_nothing_else_unless_allowed() {
    let lake = lake();
    let secret = lake.write("secret.csv", "a\n1\n");
    let path = secret.to_str().expect("UTF-8");
    let read = format!("select a from '{path}'");
    let hint = "hint: a query reads tables and marts only; --allow-files lets it read and write other files";
    let mut write = format!("copy (select 2 as a) to '{path}'");
    // What was paid for is not to be had again.
    let page = &lake.raw_files()[0];
    let kept = std::fs::read(page).expect("pages");
    let spoil = format!("copy (select 2 as a) to '{}'", page.display());
    for sql in [&read, &write, &spoil] {
        let (code, error) = fail(&mut lake.redlake(&["query", sql]));
        assert_eq!(code, 2);
        assert!(error.contains(hint), "{error}");
    }
    assert_eq!(std::fs::read(page).expect("pages"), kept);
    let (_, error) = fail(&mut lake.redlake(&["query", "set enable_external_access = true"]));
    assert!(error.contains("configuration has been locked"), "{error}");
    let allowed = ["query", &read, "--allow-files", "--format", "csv"];
    assert_eq!(said(&lake, &allowed), "a\n1\n");
    write.push_str("; select 'done' as a");
    succeed(&mut lake.redlake(&["query", &write, "--allow-files"]));
    assert_eq!(std::fs::read_to_string(&secret).expect("text"), "a\n2\n");
}

/// A copy of the lake below a folder of this name.
fn moved_below(lake: &Lake, folder: &str) -> PathBuf {
    let moved = lake.path().with_file_name(folder).join("lake");
    copy(&lake.path(), &moved);
    moved
}

#[test]
fn a_lake_may_lie_where_names_look_like_globs() {
    let lake = lake();
    let sql = "select count(*) as n from notes";
    for folder in ["[1]*?", "it's {a}", "env=prod"] {
        let mut query = redlake();
        query.args(["query", sql, "--format", "csv", "--lake"]);
        let output = succeed(query.arg(moved_below(&lake, folder)));
        assert_eq!(String::from_utf8_lossy(&output.stdout), "n\n553\n");
    }
}

/// Readers of hive partitions would take the date, the keyword, the run from there.
#[test]
fn a_lake_below_the_name_of_a_column_is_refused() {
    let lake = lake();
    for (folder, column) in [("dt=2024-01-01", "dt"), ("Keyword=x", "Keyword")] {
        let moved = moved_below(&lake, folder);
        for args in [
            &["query", "select count(*) from search_results"][..],
            &["run", "demo.yaml"],
            &["compact"],
            &["marts", "--all"],
        ] {
            let mut command = redlake();
            command.current_dir(repository("pipelines")).args(args);
            let (code, told) = fail(command.arg("--lake").arg(&moved));
            assert_eq!(code, 2, "{args:?}");
            let expected = format!(
                "error: the lake {} is below the folder `{folder}`, which readers would parse as the \
                 column `{column}` of every row\n  hint: move the lake, or rename that folder; nothing was \
                 changed\n",
                moved.display()
            );
            assert_eq!(told, expected, "{args:?}");
        }
    }
}

#[test]
fn mistakes_in_sql_are_shown_with_their_place() {
    let lake = lake();
    let (code, error) = fail(&mut lake.redlake(&["query", "select likes from notes"]));
    assert_eq!(code, 2);
    let start = "error: Binder Error: Referenced column \"likes\" not found in FROM clause!";
    assert!(error.starts_with(start), "{error}");
    assert!(
        error.contains("LINE 1: select likes from notes\n               ^"),
        "{error}"
    );
}

#[test]
fn views_exist_for_dynamic_and_uppercase_names() {
    let lake = lake();
    let one = |sql: &str| said(&lake, &["query", sql, "--format", "csv"]);
    let count = one("select count(*) as n from notes");
    assert_eq!(
        one("select count(*) as n from query_table('no' || 'tes')"),
        count
    );
    assert_eq!(one("select count(*) as n from NOTES"), count);
    let views = one("select count(*) from (show tables)");
    assert_eq!(
        views,
        one("select count(*) from duckdb_views() where not internal").replace("\"", "")
    );
    // A statement that may change something is run once.
    let (code, _) = fail(&mut lake.redlake(&[
        "query",
        "attach 'log.duckdb' as d; create table if not exists d.log (n int); \
         insert into d.log values (1); select * from noets",
        "--allow-files",
    ]));
    assert_eq!(code, 2);
    let logged = "attach 'log.duckdb' as d; select count(*) from d.log";
    let logged = said(
        &lake,
        &["query", logged, "--allow-files", "--format", "csv"],
    );
    assert_eq!(logged.lines().last(), Some("1"));
    let (_, error) = fail(&mut lake.redlake(&["query", "select * from noets"]));
    assert!(error.contains("Did you mean \"notes"), "{error}");
}

/// A lake of two pipelines, in one time zone or in two.
fn lake_of_two(zone: &str) -> Lake {
    let lake = Lake::new();
    for (name, zone) in [("east", "Asia/Shanghai"), ("other", zone)] {
        let text = format!(
            "version: 1\npipeline: {name}\ntimezone: {zone}\n\
             source: {{name: justoneapi, base_url: sandbox, sandbox: {{clock: \"2026-03-09T23:30:00Z\"}}}}\n\
             keyword_sets: {{k: [防晒]}}\nkeyword_labels: {{own: [防晒]}}\n\
             extract: [{{endpoint: note_search, keywords: [k], pages: {{max: 1}}}}]\n\
             limits: {{requests_per_second: 1000}}\n"
        );
        let path = lake.write(&format!("{name}.yaml"), &text);
        lake.run(&path, &["--snapshot-at", "2026-03-09T23:30:00Z"]);
    }
    lake
}

const LOCAL: &str =
    "select distinct snapshot_at, snapshot_at::date as day, hour(snapshot_at) as hour from runs";

#[test]
fn times_are_in_the_zone_of_the_pipelines_and_the_same_in_every_format() {
    let lake = lake_of_two("Asia/Shanghai");
    let shown = |args: &[&str]| said(&lake, &[&["query", LOCAL], args].concat());
    assert_eq!(
        shown(&["--format", "markdown"]).lines().last(),
        Some("| 2026-03-10 07:30:00+08:00 | 2026-03-10 | 7 |")
    );
    // Programs get the same days and hours, and instants in UTC.
    assert_eq!(
        shown(&["--format", "csv"]).lines().last(),
        Some("2026-03-09T23:30:00Z,2026-03-10,7")
    );
    let json = |args: &[&str]| -> Value {
        serde_json::from_str(&shown(&[&["--format", "json"], args].concat())).expect("JSON")
    };
    assert_eq!(
        json(&[]),
        json!([{"snapshot_at": "2026-03-09T23:30:00Z", "day": "2026-03-10", "hour": 7}])
    );
    assert_eq!(
        json(&["--timezone", "America/New_York"]),
        json!([{"snapshot_at": "2026-03-09T19:30:00-04:00", "day": "2026-03-09", "hour": 19}])
    );
    let utc = "set timezone = 'UTC'; ".to_owned() + LOCAL;
    assert_eq!(
        said(&lake, &["query", &utc, "--format", "markdown"])
            .lines()
            .last(),
        Some("| 2026-03-09 23:30:00+00:00 | 2026-03-09 | 23 |")
    );
    let (code, error) = fail(&mut lake.redlake(&["query", "set threads = 1; select 1"]));
    assert_eq!(code, 2);
    assert!(
        error.contains("the configuration has been locked"),
        "{error}"
    );
    let (code, error) = fail(&mut lake.redlake(&["query", LOCAL, "--timezone", "Asia/Nowhere"]));
    assert_eq!(code, 2);
    assert!(error.contains("not an IANA time zone"), "{error}");
    let labels = "select distinct keyword, label from dim_keyword";
    assert_eq!(
        lake.query(labels),
        [json!({"keyword": "防晒", "label": "own"})]
    );
    let hours = "select count(*) from note_overview where published_hour <> \
                 hour(published_at at time zone 'Asia/Shanghai') or published_hour is null";
    assert_eq!(lake.value(hours), 0);
}

#[test]
fn pipelines_in_several_zones_are_shown_in_utc_with_a_warning() {
    let lake = lake_of_two("America/New_York");
    let sql = ["query", LOCAL, "--format", "markdown"];
    let output = succeed(&mut lake.redlake(&sql));
    let rows = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(
        rows.lines().last(),
        Some("| 2026-03-09 23:30:00+00:00 | 2026-03-09 | 23 |")
    );
    let told = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(
        told.contains("several time zones (America/New_York, Asia/Shanghai)"),
        "{told}"
    );
    let output = succeed(&mut lake.redlake(&[sql.as_slice(), &["--timezone", "UTC"]].concat()));
    assert_eq!(String::from_utf8(output.stderr).expect("UTF-8"), "");
    // A lake whose zones are lost finds them in its runs.
    let zones = lake.path().join("_state/time_zones.json");
    let stored = std::fs::read_to_string(&zones).expect("the zones");
    std::fs::remove_file(&zones).expect("a file");
    lake.run(
        &lake.path().with_file_name("east.yaml"),
        &["--snapshot-at", "2026-03-10T00:30:00Z"],
    );
    assert_eq!(std::fs::read_to_string(&zones).expect("the zones"), stored);
}
