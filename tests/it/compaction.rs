//! `compact`: the rows of a day are the same afterwards, in the order of their table.

use serde_json::{Value, json};

use crate::support::{repository, succeed};
use crate::upkeep::{
    PIPELINE, TABLES, files, flatten_anew, json_of, json_of_any, lake_with_runs, run, text,
};

#[test]
fn many_small_files_become_one_with_the_same_rows_in_order() {
    let at: Vec<(u32, u32)> = (1..=3).map(|hour| (8, hour)).collect();
    let (lake, _) = lake_with_runs(&at);
    let ordered = |table: &str| {
        let key = format!("{}, snapshot_at, run_id", sort_key(table));
        let rows = lake.query(&format!("SELECT * FROM {table} ORDER BY {key}"));
        assert!(!rows.is_empty(), "{table}");
        rows
    };
    let before = TABLES.map(ordered);
    let output = succeed(&mut lake.redlake(&["compact", "--progress", "log"]));
    // Without the commas of numbers.
    let said = String::from_utf8_lossy(&output.stderr).replace(',', "");
    for (table, before) in TABLES.iter().zip(before) {
        assert_eq!(files(&lake, table, 8).len(), 1, "{table}");
        // The rows as they are in the file.
        let rows = lake.query(&format!("SELECT * FROM {table}"));
        assert!(rows == before, "{table}");
        let line = format!("2026-03-08 {table}: 3 files to 1 {} rows\n", rows.len());
        assert!(said.contains(&line), "{line}: {said}");
    }
    assert!(said.starts_with("36 files to compact\n"), "{said}");
}

/// The columns that the contract of a table sorts by, with commas.
fn sort_key(table: &str) -> String {
    let path = repository(&format!("schemas/tables/{table}.yaml"));
    let contract = std::fs::read_to_string(path).expect("a contract");
    let mut lines = contract.lines();
    let key = lines.find_map(|line| line.strip_prefix("sort_by: ["));
    let key = key.and_then(|key| key.strip_suffix(']')).expect("a key");
    let columns = key
        .split(", ")
        .map(|column| format!("{column} NULLS FIRST"));
    columns.collect::<Vec<_>>().join(", ")
}

#[test]
fn a_compaction_is_silent_where_nobody_looks() {
    for flags in [&[][..], &["--quiet", "--progress", "log"]] {
        let (lake, _) = lake_with_runs(&[(8, 1), (8, 2)]);
        let output = succeed(lake.redlake(&["compact"]).args(flags));
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{flags:?}");
    }
}

/// The cache would hold the bytes of all files that a query or a compaction reads.
#[test]
fn files_are_not_cached_in_memory() {
    let (lake, _) = lake_with_runs(&[]);
    let pipeline = lake.write("hourly.yaml", PIPELINE);
    lake.run(&pipeline, &[]);
    let setting = lake.value("SELECT current_setting('enable_external_file_cache')");
    assert_eq!(setting, false);
}

#[test]
fn compaction_puts_the_files_of_a_day_together_and_keeps_every_row() {
    let (lake, _) = lake_with_runs(&[(8, 1), (8, 2), (8, 3), (9, 1)]);
    let before = lake.checksums(&TABLES);
    let forecast = json_of(&lake, &["compact", "--before", "2026-03-09", "--dry-run"]);
    assert_eq!(files(&lake, "notes", 8).len(), 3);

    let days = json_of(&lake, &["compact", "--before", "2026-03-09"]);
    let days = days.as_array().expect("a list");
    assert_eq!(days.len(), TABLES.len());
    for (day, expected) in days.iter().zip(forecast.as_array().expect("a list")) {
        assert_eq!(day["files_before"], 3, "{day}");
        assert_eq!(day["files_after"], 1, "{day}");
        for same in ["dt", "table", "rows", "files_before", "bytes_before"] {
            assert_eq!(day[same], expected[same], "{day}");
        }
    }
    assert_eq!(lake.checksums(&TABLES), before);
    for table in TABLES {
        let names = files(&lake, table, 8);
        assert_eq!(names.len(), 1, "{table}");
        assert!(names[0].starts_with("compact-"), "{}", names[0]);
        assert_eq!(files(&lake, table, 9).len(), 1, "{table}");
    }
    // A run that comes late is put together with the rest.
    assert_eq!(
        json_of(&lake, &["compact", "--before", "2026-03-09"]),
        json!([])
    );
    run(&lake, 8, 4);
    let before = lake.checksums(&TABLES);
    let days = json_of(&lake, &["compact", "--before", "2026-03-09"]);
    assert_eq!(days[0]["files_before"], 2);
    assert_eq!(lake.checksums(&TABLES), before);
    assert_eq!(json_of(&lake, &["verify"])["problems"], json!([]));
}

#[test]
fn compaction_without_a_day_takes_those_that_are_over() {
    let (lake, _) = lake_with_runs(&[(8, 1), (8, 2)]);
    succeed(&mut lake.redlake(&["compact"]));
    assert_eq!(files(&lake, "notes", 8).len(), 1);
}

#[test]
fn compacted_files_are_sorted_and_tell_how() {
    let (lake, _) = lake_with_runs(&[(8, 1), (8, 2), (8, 3)]);
    succeed(&mut lake.redlake(&["compact", "--before", "2026-03-09"]));
    let keys = lake.query("SELECT note_id, endpoint, run_id FROM notes");
    assert!(keys.len() > 60, "{} rows", keys.len());
    let key = |row: &Value| ["note_id", "endpoint", "run_id"].map(|name| row[name].to_string());
    assert!(keys.is_sorted_by_key(key));
    let path = lake.path().join("tables/notes/dt=2026-03-08");
    let path = path.join(&files(&lake, "notes", 8)[0]);
    let blooms = format!(
        "SELECT path_in_schema AS name FROM parquet_metadata('{}') \
         WHERE bloom_filter_offset IS NOT NULL ORDER BY 1",
        path.display()
    );
    let names = lake.query(&blooms);
    assert_eq!(
        names,
        [
            json!({"name": "author_user_id"}),
            json!({"name": "note_id"})
        ]
    );
}

#[test]
fn a_run_inside_a_compacted_file_is_replaced_not_doubled() {
    let (lake, _) = lake_with_runs(&[(8, 1), (8, 2)]);
    let before = lake.checksums(&TABLES);
    succeed(&mut lake.redlake(&["compact", "--before", "2026-03-09"]));
    let raw = lake.raw_files();
    let pipeline = lake.write("hourly.yaml", PIPELINE);
    let rows = "select count(*) from notes where run_id = (select min(run_id) from runs)";
    let (of_run, of_both) = (lake.value(rows), lake.value("select count(*) from notes"));
    assert_ne!(of_run, of_both);
    let done = json_of(
        &lake,
        &["transform", text(&pipeline), "--raw", text(&raw[0])],
    );
    assert_eq!(done[0]["rows"]["notes"], of_run, "{done}");
    assert_eq!(lake.checksums(&TABLES), before);
    // The ledger is not made of pages.
    assert_eq!(files(&lake, "requests", 8).len(), 1);
    assert_eq!(files(&lake, "notes", 8).len(), 2);
    succeed(&mut lake.redlake(&["compact", "--before", "2026-03-09"]));
    assert_eq!(lake.checksums(&TABLES), before);
    assert_eq!(json_of(&lake, &["verify"])["problems"], json!([]));
}

#[test]
fn what_is_damaged_is_not_compacted_into_good_files() {
    let (lake, runs) = lake_with_runs(&[(8, 1), (8, 2), (9, 1), (9, 2)]);
    let path = lake.path().join(format!(
        "tables/engagement/dt=2026-03-08/{}.parquet",
        runs[0]
    ));
    let whole = std::fs::read(&path).expect("a file");
    // One bit, in the pages: most readers do not notice.
    let mut bytes = whole.clone();
    bytes[800] ^= 1;
    std::fs::write(&path, bytes).expect("writable");
    let output = lake.redlake(&["compact"]).output().expect("it runs");
    assert_eq!(output.status.code(), Some(6));
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    let expected = format!(
        "error: the file {} differs from what was committed: its contents differ from what was committed\n",
        path.display()
    );
    assert!(said.contains(&expected), "{said}");
    assert!(
        said.contains("hint: run `redlake verify` to list all damage"),
        "{said}"
    );
    // All but the table of that day.
    assert_eq!(files(&lake, "engagement", 8).len(), 2);
    assert_eq!(files(&lake, "notes", 8).len(), 1);
    assert_eq!(files(&lake, "engagement", 9).len(), 1);
    let problems = || json_of_any(&lake, &["verify"])["problems"].clone();
    assert_eq!(problems()[0]["kind"], "damaged");
    // Flattened anew, the run is whole again.
    flatten_anew(&lake, &runs[0]);
    assert_eq!(problems(), json!([]));
    assert_eq!(std::fs::read(&path).expect("a file"), whole);
    succeed(&mut lake.redlake(&["compact"]));
    assert_eq!(files(&lake, "engagement", 8).len(), 1);
}
