//! What a lake remembers of its files.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow::array::new_empty_array;
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use serde_json::{Value, json};

use super::{META, closes, lake, path_of};
use crate::load::Lake;
use crate::load::commit::Staging;
use crate::load::record::CommitKind;
use crate::spec::table::ColumnType;

fn schema(columns: &[(&str, DataType)]) -> Schema {
    let field = |(name, kind): &(&str, DataType)| Field::new(*name, kind.clone(), true);
    Schema::new(columns.iter().map(field).collect::<Vec<_>>())
}

/// A Parquet file without rows.
fn parquet(schema: &Schema) -> Vec<u8> {
    let columns = schema.fields().iter();
    let columns = columns.map(|field| new_empty_array(field.data_type()));
    let schema = Arc::new(schema.clone());
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns.collect()).expect("a batch");
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, schema, None).expect("a writer");
    writer.write(&batch).expect("no rows");
    writer.close().expect("a file");
    bytes
}

fn stage(staging: &mut Staging, run: &str, columns: &[(&str, DataType)]) {
    let schema = schema(columns);
    let bytes = parquet(&schema);
    let write = |out: &mut (dyn std::io::Write + Send)| {
        out.write_all(&bytes).map_err(|e| e.to_string())?;
        Ok(0)
    };
    let added = staging.add(path_of(run), "notes", &schema, write);
    added.expect("staging");
}

fn commit(lake: &Lake, id: &str, run: &str, columns: &[(&str, DataType)]) {
    let mut staging = lake.stage(id).expect("a staging folder");
    stage(&mut staging, run, columns);
    let committed = staging.commit(CommitKind::Run, closes(&META), Vec::new());
    committed.expect("a commit");
}

fn remembered(lake: &Lake) -> Value {
    let text = fs::read_to_string(lake.root().join("_state/columns.json")).expect("a summary");
    let on_disk: Value = serde_json::from_str(&text).expect("JSON");
    let read = serde_json::to_value(lake.columns().expect("columns")).expect("JSON");
    assert_eq!(on_disk, read);
    on_disk
}

#[test]
fn written_column_types_are_remembered_until_the_files_are_inspected_again() {
    let (_dir, lake) = lake();
    assert_eq!(remembered(&lake), json!({}));
    let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let old = [
        ("id", DataType::Utf8),
        ("size", DataType::Int64),
        ("at", utc),
    ];
    commit(&lake, "1", "a", &old);
    let new = [
        ("id", DataType::Utf8),
        ("size", DataType::Float64),
        ("liked", DataType::Boolean),
        ("day", DataType::Date32),
    ];
    commit(&lake, "2", "b", &new);
    let after = json!({"id": "string", "size": "float64", "liked": "bool", "day": "date"});
    let before = json!({"id": "string", "size": "int64", "at": "timestamp"});
    let both = json!({"notes": [before, after]});
    assert_eq!(remembered(&lake), both);
    let stored = lake.columns().expect("columns");
    assert_eq!(stored.uniform().next(), None);
    let kinds = |name: &str| stored.kinds("notes").remove(name).expect("the column");
    assert_eq!(
        kinds("size"),
        [ColumnType::Int64, ColumnType::Float64].into()
    );
    assert_eq!(kinds("at"), [ColumnType::Timestamp].into());

    commit(&lake, "3", "a", &new);
    assert_eq!(remembered(&lake), both);
    lake.recount_mixed(["other"]).expect("files");
    assert_eq!(remembered(&lake), both);
    lake.recount_mixed(["other", "notes"]).expect("files");
    assert_eq!(remembered(&lake), json!({"notes": [after]}));
    let stored = lake.columns().expect("columns");
    assert_eq!(stored.uniform().collect::<Vec<_>>(), ["notes"]);
}

#[test]
fn columns_are_recorded_before_the_commit() {
    let (_dir, lake) = lake();
    let mut staging = lake.stage("1").expect("a staging folder");
    stage(&mut staging, "a", &[("id", DataType::Utf8)]);
    assert_eq!(remembered(&lake), json!({}));
    // A record that cannot be written.
    fs::create_dir(lake.root().join("_commits/1.json.tmp")).expect("a folder");
    let committed = staging.commit(CommitKind::Run, closes(&META), Vec::new());
    committed.expect_err("no record");
    assert_eq!(remembered(&lake), json!({"notes": [{"id": "string"}]}));
}

/// A lake that two commits were made in, the second of which was cut off after its record, without
/// what it remembers.
fn forgetful() -> (tempfile::TempDir, Lake) {
    let (dir, lake) = lake();
    commit(&lake, "1", "a", &[("old", DataType::Int64)]);
    commit(&lake, "2", "b", &[("new", DataType::Utf8)]);
    let record = lake.root().join("_commits/2.json");
    let text = fs::read_to_string(&record).expect("a record");
    let unapplied = text.replace("\"applied\": true", "\"applied\": false");
    assert_ne!(unapplied, text);
    fs::write(&record, unapplied).expect("writable");
    let staged = lake.root().join("_staging/2").join(path_of("b"));
    fs::create_dir_all(staged.parent().expect("a folder")).expect("a folder");
    fs::rename(lake.root().join(path_of("b")), staged).expect("a rename");
    (dir, lake)
}

#[test]
fn a_lake_that_remembers_nothing_reads_every_footer() {
    let (_dir, lake) = forgetful();
    let summary = lake.root().join("_state/columns.json");
    let place = |name: &str| {
        lake.root()
            .join(Path::new("tables/notes/dt=2026-03-10"))
            .join(name)
    };
    fs::create_dir_all(place("")).expect("a folder");
    fs::write(place("torn.parquet"), "no Parquet").expect("writable");
    fs::write(place("notes.txt"), "no Parquet either").expect("writable");
    let unsigned = schema(&[("foreign", DataType::UInt8), ("old", DataType::Boolean)]);
    fs::write(place("other.parquet"), parquet(&unsigned)).expect("writable");

    // The columns of the torn file are unknown.
    let (torn, foreign) = (json!({"": null}), json!({"foreign": null, "old": "bool"}));
    let all = json!({"notes": [torn, foreign, {"new": "string"}, {"old": "int64"}]});
    for damage in [
        None,
        Some("{\"notes\": [{\"old\": \"int6"),
        // As an earlier redlake wrote it.
        Some("{\"notes\": {\"old\": [\"int64\"]}}"),
    ] {
        match damage {
            None => fs::remove_file(&summary).expect("a summary"),
            Some(text) => fs::write(&summary, text).expect("writable"),
        }
        let lake = Lake::open(lake.root()).expect("the lake");
        assert_eq!(remembered(&lake), all, "{damage:?}");
    }
}

#[test]
fn a_commit_that_was_cut_off_is_not_forgotten() {
    let (_dir, lake) = forgetful();
    lake.recount_columns(["notes"]).expect("files");
    let both = json!({"notes": [{"new": "string"}, {"old": "int64"}]});
    assert_eq!(remembered(&lake), both);
}

#[test]
fn a_file_that_cannot_be_read_for_a_while_is_not_forgotten() {
    let (_dir, lake) = lake();
    commit(&lake, "1", "a", &[("old", DataType::Int64)]);
    commit(&lake, "2", "b", &[("new", DataType::Utf8)]);
    let (path, aside) = (lake.root().join(path_of("a")), lake.root().join("aside"));
    fs::rename(&path, &aside).expect("a rename");
    fs::write(&path, "torn").expect("writable");
    lake.recount_mixed(["notes"]).expect("files");
    fs::rename(&aside, &path).expect("a rename");
    let stored = lake.columns().expect("columns");
    assert_eq!(stored.uniform().next(), None);
    assert!(stored.kinds("notes").contains_key("old"));
    lake.recount_mixed(["notes"]).expect("files");
    let both = json!({"notes": [{"new": "string"}, {"old": "int64"}]});
    assert_eq!(remembered(&lake), both);
}
