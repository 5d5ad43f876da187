//! A lake that was written with an older schema: what stays readable, what is refused, and how its
//! runs are written anew.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::{Lake, fail, repository, succeed};

const NOTES: &str = "tables/notes.yaml";
const ENGAGEMENT: &str = "tables/engagement.yaml";
const SOURCE: &str = "sources/justoneapi.yaml";

/// A column more, two of another type, one that is gone.
const CHANGES: [(&str, &str, &str); 8] = [
    (
        NOTES,
        "  xsec_token:",
        "  shown_likes: {type: string, description: The likes as the app shows them.}\n  xsec_token:",
    ),
    (
        SOURCE,
        "          xsec_token: /xsec_token\n",
        "          xsec_token: /xsec_token\n          shown_likes: /interaction_area/text\n",
    ),
    (SOURCE, "fields: [interaction_area]", "fields: []"),
    (
        NOTES,
        "image_count: {type: int64,",
        "image_count: {type: float64, was: [int64],",
    ),
    (
        ENGAGEMENT,
        "nice_count: {type: int64,",
        "nice_count: {type: string, was: [int64],",
    ),
    (NOTES, "  has_music: {", "  had_music: {"),
    (
        NOTES,
        "rows_from: pages\n",
        "rows_from: pages\nremoved: {has_music: it is had_music now}\n",
    ),
    (
        SOURCE,
        "          has_music: /has_music\n",
        "          had_music: /has_music\n",
    ),
];

fn demo() -> PathBuf {
    repository("pipelines/demo.yaml")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// The rows of a query, read with these contracts.
fn query(lake: &Lake, schemas: &Path, sql: &str) -> Vec<Value> {
    let args = ["query", sql, "--schemas", text(schemas), "--format", "json"];
    let output = succeed(&mut lake.redlake(&args));
    serde_json::from_slice(&output.stdout).expect("a JSON list")
}

/// Flattens raw files anew with these contracts; what is told on stderr.
fn transform(lake: &Lake, schemas: &Path, raw: &[PathBuf]) -> String {
    let pipeline = demo();
    let mut args = vec![
        "transform",
        text(&pipeline),
        "--schemas",
        text(schemas),
        "--raw",
    ];
    args.extend(raw.iter().map(|path| text(path)));
    let output = succeed(&mut lake.redlake(&args));
    String::from_utf8(output.stderr).expect("UTF-8")
}

fn commits(lake: &Lake) -> usize {
    let commits = std::fs::read_dir(lake.path().join("_commits"));
    commits.expect("commits").count()
}

/// The types that the lake remembers of a column, in the order of their names; null for files without it.
fn remembered(lake: &Lake, table: &str, column: &str) -> Vec<Value> {
    let path = lake.path().join("_state/columns.json");
    let text = std::fs::read_to_string(path).expect("a summary");
    let stored: Value = serde_json::from_str(&text).expect("JSON");
    let files = stored[table].as_array().into_iter().flatten();
    let mut types: Vec<Value> = files.map(|columns| columns[column].clone()).collect();
    types.sort_by_key(Value::to_string);
    types
}

/// Every note that a search found, with the run and the likes that the answer shows.
fn shown_in_answers(lake: &Lake) -> BTreeSet<(String, String, String)> {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let mut shown = BTreeSet::new();
    for page in lake.raw_pages() {
        let items = page["body"]["data"]["items"].as_array().cloned();
        for item in items.unwrap_or_default() {
            for note in [&item["note"], &item["ads"]["note"]] {
                if let Some(id) = note["id"].as_str() {
                    let likes = text(&note["interaction_area"]["text"]);
                    shown.insert((text(&page["run_id"]), id.to_owned(), likes));
                }
            }
        }
    }
    shown
}

/// The same of the table's rows.
fn shown_in_rows(rows: &[Value]) -> BTreeSet<(String, String, String)> {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let row = |row: &Value| {
        (
            text(&row["run_id"]),
            text(&row["note_id"]),
            text(&row["shown_likes"]),
        )
    };
    rows.iter().map(row).collect()
}

#[test]
fn an_old_lake_is_readable_with_a_new_schema_and_rewritten_run_by_run() {
    let lake = Lake::new();
    let pipeline = demo();
    lake.run(&pipeline, &[]);
    lake.run(&pipeline, &[]);
    let schemas = lake.schemas(&CHANGES);
    let by_note = "endpoint = 'note_search' order by run_id, note_id";
    let old_counts = format!("select note_id, image_count::double as n from notes where {by_note}");
    let new_counts = format!("select note_id, image_count as n from notes where {by_note}");
    let counts = lake.query(&old_counts);
    let nice =
        "select sum(nice_count::bigint)::bigint as n, count(nice_count) as k from engagement";
    let nice_before = lake.query(nice);
    let music = |column: &str| format!("select count(*) as n from notes where {column}");
    let had_music = lake.query(&music("has_music"));
    let likes = "select sum(liked_delta)::bigint as n from engagement_delta";
    let likes_before = lake.query(likes);

    // The old files, before anything was written anew.
    succeed(&mut lake.redlake(&["validate", text(&pipeline), "--schemas", text(&schemas)]));
    let types = "select distinct typeof(image_count) as i, typeof(nice_count) as n, \
                 typeof(shown_likes) as s from notes_latest join engagement_latest using (note_id)";
    let new_types = [json!({"i": "DOUBLE", "n": "VARCHAR", "s": "VARCHAR"})];
    assert_eq!(query(&lake, &schemas, types), new_types);
    assert_eq!(query(&lake, &schemas, &new_counts), counts);
    assert_eq!(query(&lake, &schemas, nice), nice_before);
    assert_eq!(query(&lake, &schemas, likes), likes_before);
    let nulls = "select count(shown_likes) + count(had_music) as n from notes";
    assert_eq!(query(&lake, &schemas, nulls), [json!({"n": 0})]);
    assert_eq!(
        query(&lake, &schemas, &nulls.replace("notes", "notes_latest")),
        [json!({"n": 0})]
    );
    let gone = "select column_name from duckdb_columns() \
                where column_name in ('has_music', 'nice_delta')";
    assert_eq!(query(&lake, &schemas, gone), [] as [Value; 0]);

    // Old and new files beside each other.
    lake.run(&pipeline, &["--schemas", text(&schemas)]);
    assert_eq!(query(&lake, &schemas, types), new_types);
    let of_runs = "select count(distinct run_id) as runs, count(distinct run_id) filter \
                   (where shown_likes is not null) as filled, count(*) as rows from notes \
                   where endpoint = 'note_search'";
    let mixed = &query(&lake, &schemas, of_runs)[0];
    assert_eq!((&mixed["runs"], &mixed["filled"]), (&json!(3), &json!(1)));
    let types_of = |table: &str, column: &str| remembered(&lake, table, column);
    assert_eq!(types_of("notes", "image_count"), ["float64", "int64"]);
    assert_eq!(types_of("engagement", "nice_count"), ["int64", "string"]);
    assert_eq!(types_of("notes", "has_music"), [json!("bool"), Value::Null]);
    let by_note = &by_note.replace(
        "order",
        "and run_id in (select run_id from runs \
                   order by started_at limit 2) order",
    );
    let new_counts = format!("select note_id, image_count as n from notes where {by_note}");
    assert_eq!(query(&lake, &schemas, &new_counts), counts);

    // All runs written anew, one commit each.
    let before = commits(&lake);
    assert_eq!(transform(&lake, &schemas, &lake.raw_files()), "");
    assert_eq!(commits(&lake), before + 3);
    let whole = &query(&lake, &schemas, of_runs)[0];
    assert_eq!((&whole["runs"], &whole["filled"]), (&json!(3), &json!(3)));
    assert_eq!(whole["rows"], mixed["rows"]);
    let shown = "select run_id, note_id, shown_likes from notes where endpoint = 'note_search'";
    let rows = query(&lake, &schemas, shown);
    let (rows_count, shown) = (rows.len(), shown_in_rows(&rows));
    assert_eq!(shown.len(), rows_count);
    let answers = shown_in_answers(&lake);
    let missing: Vec<_> = shown.difference(&answers).collect();
    assert!(missing.is_empty(), "no answer says {missing:?}");
    assert!(
        shown
            .iter()
            .map(|(_, _, likes)| likes)
            .collect::<BTreeSet<_>>()
            .len()
            > 50
    );
    assert_eq!(query(&lake, &schemas, &new_counts), counts);
    let first_two = format!(
        "{} and run_id in (select run_id from runs order by started_at limit 2)",
        music("had_music")
    );
    assert_eq!(query(&lake, &schemas, &first_two), had_music);

    // Nothing is left of the old schema, so nothing needs to be said of it.
    assert_eq!(types_of("notes", "image_count"), ["float64"]);
    assert_eq!(types_of("engagement", "nice_count"), ["string"]);
    assert_eq!(types_of("notes", "has_music"), [Value::Null]);
    for file in [NOTES, ENGAGEMENT] {
        let path = schemas.join(file);
        let text = std::fs::read_to_string(&path).expect("a contract");
        let text = text.replace(" was: [int64],", "");
        let text = text.replace("removed: {has_music: it is had_music now}\n", "");
        std::fs::write(path, text).expect("writable");
    }
    succeed(&mut lake.redlake(&["validate", text(&pipeline), "--schemas", text(&schemas)]));
}

#[test]
fn lake_columns_without_a_contract_are_refused_before_any_call() {
    let lake = Lake::new();
    let pipeline = demo();
    lake.run(&pipeline, &[]);
    let untold: Vec<_> = CHANGES
        .iter()
        .filter(|(_, _, new)| !new.contains("removed:"))
        .map(|(file, old, new)| (*file, *old, new.replace(" was: [int64],", "")))
        .collect();
    let untold = untold
        .iter()
        .map(|(file, old, new)| (*file, *old, new.as_str()));
    let schemas = lake.schemas(&untold.collect::<Vec<_>>());
    let (schemas, pipeline) = (text(&schemas), text(&pipeline));
    let raw = lake.raw_files();
    let before = commits(&lake);
    let commands: [&[&str]; 4] = [
        &["validate", pipeline],
        &["run", pipeline],
        &["extract", pipeline],
        &["transform", pipeline, "--raw", text(&raw[0])],
    ];
    for command in commands {
        let (code, told) = fail(lake.redlake(command).args(["--schemas", schemas]));
        assert_eq!(code, 2, "{command:?}: {told}");
        let expected = [
            "the column `image_count` of `notes` is float64 here, and int64 in files of the lake",
            "add `was: [int64]` to the column, and its old values are read as float64",
            "the lake holds the column `has_music` of `notes` (bool), which its contract no longer has",
            "put it back, or add `removed: {has_music: why}` to leave it out of views",
            "the column `nice_count` of `engagement` is string here, and int64 in files of the lake",
            "tables/notes.yaml:1:8",
            "tables/engagement.yaml:19:3",
            "error: 3 mistakes found; nothing was done",
        ];
        for part in expected {
            assert!(
                told.contains(part),
                "{command:?} does not say {part}: {told}"
            );
        }
    }
    assert_eq!(commits(&lake), before);
    assert_eq!(lake.raw_files(), raw);
    // Reading is not hindered.
    let sql = "select count(*) as n from notes where image_count > 1.5";
    let rows = query(&lake, Path::new(schemas), sql);
    assert_eq!(
        rows,
        lake.query("select count(*) as n from notes where image_count > 1")
    );
    // The contracts that the lake was written with still fit.
    succeed(&mut lake.redlake(&["validate", pipeline]));
}

#[test]
fn values_that_cannot_be_cast_are_rewritten_before_the_next_run() {
    let lake = Lake::new();
    let pipeline = demo();
    lake.run(&pipeline, &[]);
    lake.run(&pipeline, &[]);
    let schemas = lake.schemas(&[(
        NOTES,
        "updated_at: {type: timestamp,",
        "updated_at: {type: string, was: [timestamp],",
    )]);
    let still = "the column `updated_at` of `notes` is string here, and files of the lake still hold \
                 timestamp, which cannot be read as string";
    let run = ["run", text(&pipeline), "--schemas", text(&schemas)];
    let (code, told) = fail(&mut lake.redlake(&run));
    assert_eq!(code, 2);
    assert!(told.contains(still), "{told}");
    assert!(told.contains("flatten all runs again"), "{told}");

    let raw = lake.raw_files();
    let first = raw[0].file_name().expect("a name").to_string_lossy();
    let (old, new): (Vec<_>, Vec<_>) = raw
        .iter()
        .cloned()
        .partition(|path| path.file_name().is_some_and(|name| *name == *first));
    assert_eq!((old.len(), new.len()), (2, 2));
    let told = transform(&lake, &schemas, &old);
    assert!(told.contains(still), "{told}");
    // One run is done, the other not: only queries of the column fail.
    let counted = query(&lake, &schemas, "select count(*) as n from notes_latest");
    assert!(counted[0]["n"].as_i64() > Some(0));
    let sql = "select updated_at from notes limit 1";
    let (code, told) = fail(&mut lake.redlake(&["query", sql, "--schemas", text(&schemas)]));
    assert_eq!(code, 2);
    assert!(told.contains(still), "{told}");
    assert_eq!(fail(&mut lake.redlake(&run)).0, 2);

    assert_eq!(transform(&lake, &schemas, &new), "");
    let sql = "select count(*) as n from notes where regexp_full_match(updated_at, '[0-9]{13}')";
    assert!(query(&lake, &schemas, sql)[0]["n"].as_i64() > Some(900));
    succeed(&mut lake.redlake(&run));
}

#[test]
fn a_lake_from_before_the_summary_is_held_to_the_same_rules() {
    let lake = Lake::new();
    let pipeline = demo();
    lake.run(&pipeline, &[]);
    std::fs::remove_file(lake.path().join("_state/columns.json")).expect("the summary");
    let without = lake.schemas(&[
        (NOTES, "  has_music: {", "  had_music: {"),
        (SOURCE, "          has_music: /has_music\n", ""),
    ]);
    let validate = ["validate", text(&pipeline), "--schemas", text(&without)];
    let (code, told) = fail(&mut lake.redlake(&validate));
    assert_eq!(code, 2);
    assert!(
        told.contains("the lake holds the column `has_music`"),
        "{told}"
    );
    assert_eq!(remembered(&lake, "notes", "has_music"), ["bool"]);
}

#[test]
fn a_table_without_a_contract_is_told_of() {
    let lake = Lake::new();
    let pipeline = demo();
    lake.run(&pipeline, &[]);
    let old = lake.path().join("tables/note_badges");
    let new = lake.path().join("tables/note_labels");
    std::fs::rename(old, new).expect("a rename");
    std::fs::remove_file(lake.path().join("_state/columns.json")).expect("the summary");
    let output = succeed(&mut lake.redlake(&["validate", text(&pipeline)]));
    let told = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(
        told.contains("holds the table `note_labels`, which no contract declares"),
        "{told}"
    );
}

#[test]
fn compaction_by_new_contracts_gives_the_catalog_their_views() {
    let lake = Lake::new();
    let pipeline = demo();
    lake.run(&pipeline, &[]);
    lake.run(&pipeline, &[]);
    let schemas = lake.schemas(&[(
        ENGAGEMENT,
        "nice_count: {type: int64,",
        "nice_count: {type: string, was: [int64],",
    )]);
    let compact = [
        "compact",
        "--before",
        "2026-04-01",
        "--schemas",
        text(&schemas),
    ];
    succeed(&mut lake.redlake(&compact));
    let catalog = duckdb::Connection::open(lake.path().join("lake.duckdb")).expect("the catalog");
    let sql = "select any_value(typeof(nice_count)), (select count(*) from engagement_delta) \
               from engagement";
    let found = catalog.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)));
    let (kind, changes): (String, i64) = found.expect("an answer");
    assert_eq!(kind, "VARCHAR");
    assert!(changes > 0);
}

#[test]
fn a_column_that_was_pruned_needs_no_word_in_the_contracts() {
    let lake = Lake::new();
    let pipeline = demo();
    lake.run(&pipeline, &[]);
    let schemas = lake.schemas(&[(
        NOTES,
        "  has_music: {",
        "  trial: {type: bool, description: Tried once.}\n  has_music: {",
    )]);
    let tried = lake.run(&pipeline, &["--schemas", text(&schemas)]);
    let validate = ["validate", text(&pipeline)];
    let (_, told) = fail(&mut lake.redlake(&validate));
    assert!(told.contains("the lake holds the column `trial`"), "{told}");
    let tried = tried["run_id"].as_str().expect("an id");
    succeed(&mut lake.redlake(&["prune", "--run", tried]));
    succeed(&mut lake.redlake(&validate));
    assert_eq!(remembered(&lake, "notes", "has_music"), ["bool"]);
}

/// Columns that this version added, with the table whose contract lists them.
const ADDED: [(&str, &str); 11] = [
    ("notes", "has_goods"),
    ("note_images", "is_live_photo"),
    ("note_images", "live_photo_file_id"),
    ("note_videos", "avg_bitrate_bps"),
    ("note_videos", "quality_type"),
    ("note_videos", "hdr_type"),
    ("note_videos", "video_id"),
    ("note_videos", "first_frame_url"),
    ("users", "shop_category"),
    ("users", "last_activity_text"),
    ("search_pages", "has_more"),
];

/// The contracts without these columns, and without the lines that read them.
fn without_added(lake: &Lake) -> PathBuf {
    let schemas = lake.schemas(&[]);
    let files = ADDED
        .iter()
        .map(|(table, _)| format!("tables/{table}.yaml"));
    for file in files.chain([SOURCE.to_owned()]) {
        let path = schemas.join(file);
        let contract = std::fs::read_to_string(&path).expect("a contract");
        let mut kept = String::new();
        let mut left_out = usize::MAX;
        for line in contract.lines() {
            let indent = line.len() - line.trim_start().len();
            let key = line.trim_start().split(':').next().expect("a text");
            if indent > left_out && !line.trim().is_empty() {
                continue;
            }
            left_out = usize::MAX;
            if ADDED.iter().any(|(_, column)| *column == key) {
                left_out = indent;
            } else {
                kept.push_str(line);
                kept.push('\n');
            }
        }
        let kept = kept.replace("columns:\n      - ", "columns: {}\n      - ");
        std::fs::write(&path, kept).expect("a writable folder");
    }
    schemas
}

#[test]
fn new_columns_are_null_in_older_rows_until_they_are_flattened_again() {
    let lake = Lake::new();
    let old = without_added(&lake);
    let pipeline = demo();
    let args = ["run", text(&pipeline), "--schemas", text(&old)];
    succeed(&mut lake.redlake(&args));
    let filled = |table: &str, column: &str| {
        let sql = format!("select count({column}) as n, count(*) > 0 as any from {table}");
        let row = lake.query(&sql).remove(0);
        assert_eq!(row["any"], true, "{table}");
        row["n"].as_i64().expect("a number")
    };
    for (table, column) in ADDED {
        assert_eq!(filled(table, column), 0, "{table}.{column}");
    }
    let rows = |table: &str| lake.value(&format!("select count(*) as n from {table}"));
    let before = ADDED.map(|(table, _)| rows(table));
    let raw = lake.raw_files();
    let mut args = vec!["transform", text(&pipeline), "--raw"];
    args.extend(raw.iter().map(|file| text(file)));
    succeed(&mut lake.redlake(&args));
    for (table, column) in ADDED {
        assert!(filled(table, column) > 0, "{table}.{column}");
    }
    assert_eq!(ADDED.map(|(table, _)| rows(table)), before);
    assert_eq!(rows("drift"), 0);
}
