//! `redlake transform --in … --out …`: raw pages in, one table out, for engines with many machines.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Output, Stdio};

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::ipc::reader::StreamReader;
use arrow::util::display::array_value_to_string;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::json;

use crate::support::{Lake, fail, repository, succeed};

/// One search on the sandbox, three pages deep.
const SEARCH: &str = "
version: 1
pipeline: pipes
source: {name: justoneapi, base_url: sandbox}
keyword_sets: {words: [兰蔻]}
extract:
  - {endpoint: note_search, keywords: [words], pages: {max: 3}}
limits: {requests_per_second: 1000}
price: {note_search: 0.1, currency: CNY}
";

/// Half an hour after midnight where the business is; in UTC the day before.
const AFTER_MIDNIGHT: &str = "2026-03-10T00:30:00+08:00";

/// What a stream ends with once all is written.
const END: [u8; 8] = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];

/// A lake with a run of the search at each of these times.
fn searched(times: &[&str]) -> Lake {
    let lake = Lake::new();
    let pipeline = lake.write("pipes.yaml", SEARCH);
    for at in times {
        lake.run(&pipeline, &["--snapshot-at", at]);
    }
    lake
}

/// The raw files of a lake, run after run, as they are.
fn raw_bytes(lake: &Lake) -> Vec<Vec<u8>> {
    let mut files = lake.raw_files();
    files.sort_by_key(|path| path.file_name().map(ToOwned::to_owned));
    let read = |path: PathBuf| fs::read(path).expect("a raw file");
    files.into_iter().map(read).collect()
}

fn decompressed(pages: &[u8]) -> Vec<u8> {
    zstd::decode_all(pages).expect("zstd")
}

/// The lines of plain pages, each with its end.
fn lines(pages: &[u8]) -> Vec<&[u8]> {
    pages.split_inclusive(|byte| *byte == b'\n').collect()
}

/// `redlake transform` with these arguments, all its ends in our hands.
fn start(lake: &Lake, args: &[&str]) -> Child {
    lake.redlake(&[&["transform"][..], args].concat())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts")
}

/// `redlake transform` with these arguments and this on stdin.
fn transform(lake: &Lake, args: &[&str], input: &[u8]) -> Output {
    let mut child = start(lake, args);
    let mut stdin = child.stdin.take().expect("a pipe");
    std::thread::scope(|scope| {
        scope.spawn(move || {
            // What does not read all of it says so by its exit code.
            let _ = stdin.write_all(input);
        });
        child.wait_with_output().expect("an end")
    })
}

/// The arguments for a table from stdin to stdout, and more of them.
fn through<'a>(table: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["--in", "-", "--out", "-", "--table", table][..], more].concat()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The stream of a table, from pages that give no reason to say anything.
fn piped(lake: &Lake, table: &str, input: &[u8]) -> Vec<u8> {
    let output = transform(lake, &through(table, &[]), input);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(stderr(&output), "", "{table}");
    output.stdout
}

/// All rows of a stream.
fn rows_of(stream: &[u8]) -> RecordBatch {
    let reader = StreamReader::try_new(stream, None).expect("a stream");
    let schema = reader.schema();
    let batches: Vec<RecordBatch> = reader.map(|batch| batch.expect("a batch")).collect();
    concat_batches(&schema, &batches).expect("batches of one schema")
}

/// All rows of a table's files, by date and run; none if there are no files.
fn rows_in_lake(lake: &Lake, table: &str) -> Option<RecordBatch> {
    let folder = lake.path().join("tables").join(table);
    let mut batches: Vec<RecordBatch> = Vec::new();
    for (path, _) in lake.table_files() {
        if path.starts_with(&folder) {
            let file = File::open(&path).expect("a file");
            let builder = ParquetRecordBatchReaderBuilder::try_new(file).expect("Parquet");
            let reader = builder.build().expect("a reader");
            batches.extend(reader.map(|batch| batch.expect("rows")));
        }
    }
    let schema = batches.first()?.schema();
    Some(concat_batches(&schema, &batches).expect("files of one schema"))
}

/// Same columns, types and values, in the same order.
fn assert_same(table: &str, found: &RecordBatch, expected: &RecordBatch) {
    assert_eq!(found.num_rows(), expected.num_rows(), "rows of {table}");
    let (ours, theirs) = (found.schema(), expected.schema());
    assert_eq!(ours.fields(), theirs.fields(), "columns of {table}");
    for (at, field) in ours.fields().iter().enumerate() {
        let same = found.column(at) == expected.column(at);
        assert!(same, "{} of {table} differs", field.name());
    }
}

#[test]
fn every_table_of_a_run_has_the_rows_of_its_file_in_the_lake() {
    let lake = Lake::new();
    let report = lake.run(&repository("pipelines/demo.yaml"), &[]);
    // Pages of both sources.
    let pages = raw_bytes(&lake).concat();
    let file = lake.path().join("pages.ndjson.zst");
    fs::write(&file, pages).expect("a writable folder");
    let file = file.to_str().expect("UTF-8");

    let mut tables = 0;
    for (table, rows) in report["rows"].as_object().expect("rows by table") {
        if ["requests", "runs", "searches"].contains(&table.as_str()) {
            continue;
        }
        let args = [
            "transform",
            "--in",
            file,
            "--out",
            "-",
            "--table",
            table.as_str(),
        ];
        let output = succeed(&mut lake.redlake(&args));
        let found = rows_of(&output.stdout);
        assert_eq!(found.num_rows() as u64, *rows, "{table}");
        let expected = rows_in_lake(&lake, table).expect("files");
        assert_same(table, &found, &expected);
        tables += 1;
    }
    assert_eq!(tables, 11);
}

#[test]
fn piping_reports_rejects_and_drift_as_the_lake_does() {
    let lake = searched(&[AFTER_MIDNIGHT]);
    let plain = String::from_utf8(decompressed(&raw_bytes(&lake)[0])).expect("UTF-8");
    // One count is a number no more, and one field is new.
    let (old, new) = ("\"liked_count\":", "\"liked_count\":\"many\",\"new\":");
    // Frames without seals are of version 1.
    let broken = plain
        .replacen(old, new, 1)
        .replace("{\"v\":2,", "{\"v\":1,");
    let frame = |line: &[u8]| zstd::encode_all(line, 3).expect("zstd");
    let frames: Vec<Vec<u8>> = lines(broken.as_bytes()).into_iter().map(frame).collect();
    let pages = frames.concat();

    let raw = lake.raw_files().remove(0);
    fs::write(&raw, &pages).expect("a writable folder");
    let pipeline = lake.write("pipes.yaml", SEARCH);
    let (pipeline, raw) = (pipeline.to_str(), raw.to_str());
    let (pipeline, raw) = (pipeline.expect("UTF-8"), raw.expect("UTF-8"));
    succeed(&mut lake.redlake(&["transform", pipeline, "--raw", raw]));
    assert_eq!(
        lake.query("select \"table\", \"column\", value from rejects"),
        [json!({"table": "engagement", "column": "liked_count", "value": "many"})]
    );
    for table in ["rejects", "drift", "engagement", "notes", "search_results"] {
        let output = transform(&lake, &through(table, &[]), &pages);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let expected = rows_in_lake(&lake, table).expect("files");
        assert_same(table, &rows_of(&output.stdout), &expected);
    }
    let output = transform(&lake, &through("engagement", &[]), &pages);
    let warning = "1 item broke the contract; the table rejects lists each";
    assert!(stderr(&output).contains(warning), "{}", stderr(&output));
}

#[test]
fn plain_and_compressed_pages_give_the_same_bytes_wherever_they_come_from() {
    let lake = searched(&[AFTER_MIDNIGHT]);
    let compressed = raw_bytes(&lake).concat();
    let plain = decompressed(&compressed);
    let expected = piped(&lake, "notes", &compressed);
    let rows = lake.value("select count(*) from notes");
    assert_eq!(rows_of(&expected).num_rows() as u64, rows);
    assert!(expected.ends_with(&END));
    assert!(piped(&lake, "notes", &plain) == expected);

    let raw = lake.raw_files();
    let plain_file = lake.path().join("pages.ndjson");
    fs::write(&plain_file, plain).expect("a writable folder");
    let out = lake.path().join("notes.arrows");
    let out = out.to_str().expect("UTF-8");
    for file in [&raw[0], &plain_file] {
        let file = file.to_str().expect("UTF-8");
        let args = ["transform", "--in", file, "--out", out, "--table", "notes"];
        let output = succeed(&mut lake.redlake(&args));
        assert_eq!(output.stdout, b"");
        assert!(fs::read(out).expect("a file") == expected, "{file}");
    }
}

#[test]
fn runs_that_follow_each_other_keep_their_own_rows_and_dates() {
    let lake = searched(&["2026-03-09T12:00:00+08:00", AFTER_MIDNIGHT]);
    let both = raw_bytes(&lake).concat();
    for table in ["notes", "engagement", "note_images", "search_results"] {
        let expected = rows_in_lake(&lake, table).expect("files");
        let found = rows_of(&piped(&lake, table, &both));
        assert_same(table, &found, &expected);
    }
}

#[test]
fn a_page_that_comes_twice_counts_once() {
    let lake = searched(&[AFTER_MIDNIGHT]);
    let pages = raw_bytes(&lake).concat();
    let twice = [&pages[..], &pages[..]].concat();
    assert!(piped(&lake, "search_results", &twice) == piped(&lake, "search_results", &pages));
}

#[test]
fn no_pages_give_no_rows_but_the_columns() {
    let lake = searched(&[AFTER_MIDNIGHT]);
    for table in ["notes", "note_tags", "search_pages"] {
        let stream = piped(&lake, table, b"");
        assert!(stream.ends_with(&END));
        let nothing = rows_of(&stream);
        assert_eq!(nothing.num_rows(), 0);
        let expected = rows_in_lake(&lake, table).expect("files").schema();
        assert_eq!(nothing.schema().fields(), expected.fields());
    }
}

/// A reader of Arrow takes the end of its input for the end of the stream, so the exit code tells
/// that rows are missing; what is there are rows of whole runs, without the mark of the end.
#[test]
fn an_invalid_page_line_ends_the_stream_with_an_error() {
    let lake = searched(&["2026-03-09T12:00:00+08:00", AFTER_MIDNIGHT]);
    let raw = raw_bytes(&lake);
    let (first, second) = (decompressed(&raw[0]), decompressed(&raw[1]));
    let whole = piped(&lake, "notes", &first);
    let nothing = piped(&lake, "notes", b"");

    let no_page = &b"no page\n"[..];
    let cut_short = [&first[..], lines(&second)[0], no_page].concat();
    for (input, page, expected) in [
        (no_page, 1, nothing),
        (&cut_short[..], lines(&first).len() + 2, whole),
    ] {
        let output = transform(&lake, &through("notes", &[]), input);
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        let said = format!("the input is not a raw file of redlake: page {page}: ");
        assert!(stderr(&output).contains(&said), "{}", stderr(&output));
        assert!(stderr(&output).contains("hint: "), "{}", stderr(&output));
        assert!(output.stdout == expected[..expected.len() - END.len()]);
        assert!(rows_of(&output.stdout) == rows_of(&expected));
    }
}

#[test]
fn a_torn_end_leaves_the_rows_of_the_whole_pages() {
    let lake = searched(&[AFTER_MIDNIGHT]);
    let pages = raw_bytes(&lake).concat();
    let plain = decompressed(&pages);
    let lines = lines(&plain);
    assert_eq!(lines.len(), 3);
    let expected = piped(&lake, "notes", &lines[..2].concat());

    // Cut inside the last frame, in front of its seal.
    let torn = &pages[..pages.len() - redlake::raw::seal::SIZE - 10];
    let output = transform(&lake, &through("notes", &[]), torn);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let warning = "the input ends inside a page, which was left out";
    assert!(stderr(&output).contains(warning), "{}", stderr(&output));
    assert!(output.stdout == expected);
}

#[test]
fn who_has_seen_enough_may_stop_reading() {
    let lake = searched(&[AFTER_MIDNIGHT]);
    let mut child = start(&lake, &through("notes", &[]));
    // The rows are written once the last page was read, so nobody is there to read them.
    drop(child.stdout.take());
    let mut stdin = child.stdin.take().expect("a pipe");
    let _ = stdin.write_all(&raw_bytes(&lake).concat());
    drop(stdin);
    let output = child.wait_with_output().expect("an end");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(stderr(&output), "");
}

#[test]
fn the_business_date_is_that_of_the_pipeline_or_of_the_flag() {
    let lake = searched(&[AFTER_MIDNIGHT]);
    let pages = raw_bytes(&lake).concat();
    let elsewhere = lake.write("elsewhere.yaml", &format!("{SEARCH}timezone: Asia/Dubai\n"));
    let elsewhere = elsewhere.to_str().expect("UTF-8");
    for (more, date) in [
        (vec![], "2026-03-10"),
        (vec!["--timezone", "UTC"], "2026-03-09"),
        (vec![elsewhere], "2026-03-09"),
    ] {
        let output = transform(&lake, &through("notes", &more), &pages);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let rows = rows_of(&output.stdout);
        let dates = rows.column_by_name("snapshot_date").expect("a date");
        for row in 0..rows.num_rows() {
            let found = array_value_to_string(dates, row).expect("a text");
            assert_eq!(found, date, "{more:?}");
        }
        assert_ne!(rows.num_rows(), 0);
    }
}

#[test]
fn what_cannot_be_piped_is_told_before_anything_is_written() {
    let lake = Lake::new();
    let out = lake.write("out.arrows", "kept");
    let out = out.to_str().expect("UTF-8");
    for (input, more, says) in [
        ("-", "--table nots", "did you mean `notes`?"),
        ("-", "--table requests", "no table `requests`"),
        ("-", "--table wheather", "see `redlake schema list`"),
        ("-", "", "--table <TABLE>"),
        ("-", "--table notes --raw x", "cannot be used with"),
        ("-", "--table notes --format json", "use --format table"),
        ("no-file", "--table notes", "cannot open no-file"),
    ] {
        let mut args = vec!["transform", "--in", input, "--out", out];
        args.extend(more.split_whitespace());
        let (code, text) = fail(lake.redlake(&args).stdin(Stdio::null()));
        assert_eq!(code, 2, "{input} {more}: {text}");
        assert!(text.contains(says), "{input} {more}: {text}");
    }
    assert_eq!(fs::read(out).expect("the file"), b"kept");
}
