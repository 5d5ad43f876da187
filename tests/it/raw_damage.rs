//! The raw zone guards itself: damage costs its pages, replaces no good rows, and is told.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::support::{FakeApi, Lake, copy, fail, succeed};

/// Two keywords with three pages each and a note's detail: two sources, two raw files.
const PIPELINE: &str = "
version: 1
pipeline: guarded
source: {name: justoneapi, base_url: sandbox}
keyword_sets: {words: [兰蔻, 防晒]}
extract:
  - {endpoint: note_search, keywords: [words], pages: {max: 3}}
  - endpoint: note_detail
    source: {name: xhs_open, base_url: sandbox}
    notes: {found_by: note_search, top: 4, by: liked_count}
limits: {requests_per_second: 1000}
price: {note_search: 0.1, note_detail: 0, currency: CNY}
";

const TABLES: [&str; 6] = [
    "notes",
    "engagement",
    "users",
    "search_results",
    "search_pages",
    "note_images",
];

struct Guarded {
    lake: Lake,
    pipeline: PathBuf,
}

impl Guarded {
    fn new() -> Self {
        let lake = Lake::new();
        let pipeline = lake.write("guarded.yaml", PIPELINE);
        Guarded { lake, pipeline }
    }

    fn run(&self) -> Value {
        self.lake.run(&self.pipeline, &[])
    }

    /// The raw file of a source.
    fn raw(&self, source: &str) -> PathBuf {
        let folder = format!("source={source}");
        let mut files = self.lake.raw_files().into_iter();
        files
            .find(|path| path.iter().any(|part| *part == *folder))
            .expect("a raw file of the source")
    }

    /// Flattens the run anew; exit code and stderr.
    fn transform(&self, more: &[&str]) -> (Option<i32>, String) {
        let raw = self.raw("justoneapi");
        let mut args = vec!["transform", text(&self.pipeline), "--raw", text(&raw)];
        args.extend(more);
        let output = self
            .lake
            .redlake(&args)
            .output()
            .expect("the binary starts");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), stderr)
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a UTF-8 path")
}

/// Exit code of `verify`, and its problems as kind and path below the lake.
fn verify(lake: &Lake) -> (Option<i32>, Vec<(String, String)>, Value) {
    let mut command = lake.redlake(&["verify", "--format", "json"]);
    let output = command.output().expect("the binary starts");
    let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let problems = found["problems"].as_array().expect("a list");
    let problem = |problem: &Value| {
        let part = |name: &str| problem[name].as_str().expect("a text").to_owned();
        (part("kind"), part("path"))
    };
    let problems = problems.iter().map(problem).collect();
    (output.status.code(), problems, found)
}

/// Rows of `other` that are not rows of this lake. Without a page, an earlier observation of a note
/// may be its latest: what it says of the note is compared, not when it was fetched.
fn foreign_rows(lake: &Lake, other: &Lake) -> u64 {
    let tables = [
        ("search_results", "*"),
        ("search_pages", "*"),
        ("notes", "run_id, note_id, endpoint, title, content_hash"),
        (
            "engagement",
            "run_id, note_id, endpoint, liked_count, collected_count, comments_count",
        ),
        ("note_images", "run_id, note_id, image_index, width, height"),
    ];
    let count = |(table, columns): (&str, &str)| {
        let files = |lake: &Lake| {
            let folder = lake.path().join("tables").join(table);
            format!(
                "(select {columns} from read_parquet('{}/*/*.parquet'))",
                folder.display()
            )
        };
        let sql = format!(
            "select count(*) from ({} except {})",
            files(other),
            files(lake)
        );
        let mut command = lake.redlake(&["query", &sql, "--allow-files", "--format", "json"]);
        let rows: Value = serde_json::from_slice(&succeed(&mut command).stdout).expect("JSON");
        let count = rows[0]
            .as_object()
            .and_then(|row| row.values().next()?.as_u64());
        count.expect("a count")
    };
    tables.into_iter().map(count).sum()
}

#[test]
fn a_whole_raw_zone_has_no_problem_and_commits_name_it() {
    let guarded = Guarded::new();
    guarded.run();
    let (code, problems, found) = verify(&guarded.lake);
    assert_eq!((code, problems), (Some(0), vec![]));
    assert_eq!(
        (&found["raw_files"], &found["raw_pages"]),
        (&json!(2), &json!(10))
    );
    assert_eq!(found["remarks"], json!([]));
    let mut records = Vec::new();
    crate::support::collect(&guarded.lake.path().join("_commits"), &mut records);
    let record = |(_, bytes): &(PathBuf, Vec<u8>)| serde_json::from_slice(bytes).expect("JSON");
    let records: Vec<Value> = records.iter().map(record).collect();
    let named: Vec<&Value> = records.iter().filter(|r| r["raw"].is_array()).collect();
    assert_eq!(named.len(), 1);
    let raw = named[0]["raw"].as_array().expect("a list");
    for source in ["justoneapi", "xhs_open"] {
        let path = guarded.raw(source);
        let bytes = fs::read(&path).expect("a raw file");
        let file = json!({
            "path": path.strip_prefix(guarded.lake.path()).expect("in the lake"),
            "bytes": bytes.len(),
            "checksum": blake3::hash(&bytes).to_hex().to_string(),
        });
        assert!(raw.contains(&file), "{raw:?}");
    }
}

/// Flipped bytes, cuts and files that are gone: each is told by `verify`, changes no row by itself,
/// and is refused by `transform`, which without the damaged pages makes no row that was not there.
#[test]
fn damage_of_a_committed_run_is_reported_and_keeps_good_rows() {
    let whole = Guarded::new();
    whole.run();
    let sums = whole.lake.checksums(&TABLES);
    let notes = whole.lake.value("select count(*) from search_results");
    let length = fs::metadata(whole.raw("justoneapi")).expect("a file").len() as usize;
    let mut random = fastrand::Rng::with_seed(12);
    let mut lost_rows = 0;
    for round in 0..8 {
        let lake = whole.lake.fork();
        let damaged = Guarded {
            lake,
            pipeline: whole.pipeline.clone(),
        };
        let raw = damaged.raw("justoneapi");
        let mut bytes = fs::read(&raw).expect("a raw file");
        let at = random.usize(..length);
        match round % 3 {
            0 | 1 => bytes[at] ^= 1 << random.u8(..8),
            _ => bytes.truncate(at),
        }
        fs::write(&raw, &bytes).expect("a writable file");
        let what = format!("round {round} at {at}");
        let (code, problems, _) = verify(&damaged.lake);
        assert_eq!(code, Some(6), "{what}");
        let name = text(raw.strip_prefix(damaged.lake.path()).expect("in the lake")).to_owned();
        assert!(
            problems
                .iter()
                .all(|p| *p == ("damaged".into(), name.clone())),
            "{problems:?}"
        );
        let (code, said) = damaged.transform(&[]);
        // A file without any readable page is refused before anything is compared.
        assert!(
            code == Some(6) || code == Some(2) && said.contains("raw file"),
            "{what}: {said}"
        );
        assert_eq!(damaged.lake.checksums(&TABLES), sums, "{what}");
        if code == Some(2) {
            continue;
        }
        assert!(
            said.contains("do not hold the pages that its ledger has"),
            "{said}"
        );
        assert!(said.contains("--without-damaged"), "{said}");
        let (code, said) = damaged.transform(&["--without-damaged"]);
        assert_eq!(code, Some(0), "{what}: {said}");
        assert_eq!(foreign_rows(&whole.lake, &damaged.lake), 0, "{what}");
        let left = damaged.lake.value("select count(*) from search_results");
        lost_rows += notes.as_u64().expect("a count") - left.as_u64().expect("a count");
        // Put back from a backup, the page makes its rows again.
        fs::copy(whole.raw("justoneapi"), &raw).expect("a copy");
        assert_eq!(damaged.transform(&[]).0, Some(0), "{what}");
        assert_eq!(damaged.lake.checksums(&TABLES), sums, "{what}");
        assert_eq!(verify(&damaged.lake).0, Some(0), "{what}");
    }
    assert!(lost_rows > 0, "no page was damaged");
}

/// One source's file is gone: its rows must not be replaced by nothing.
#[test]
fn a_lost_raw_file_is_reported_and_a_pruned_one_is_not() {
    let guarded = Guarded::new();
    let run = guarded.run()["run_id"].as_str().expect("an id").to_owned();
    let sums = guarded.lake.checksums(&TABLES);
    let detail = guarded.raw("xhs_open");
    let kept = fs::read(&detail).expect("a raw file");
    fs::remove_file(&detail).expect("removable");
    let (code, problems, found) = verify(&guarded.lake);
    let name = text(
        detail
            .strip_prefix(guarded.lake.path())
            .expect("in the lake"),
    )
    .to_owned();
    assert_eq!(
        (code, problems),
        (Some(6), vec![("missing".to_owned(), name)])
    );
    assert_eq!(found["raw_pruned"], 0);
    let (code, said) = guarded.transform(&[]);
    assert_eq!(code, Some(6), "{said}");
    assert!(said.contains("4 of 10 are missing or damaged"), "{said}");
    assert_eq!(guarded.lake.checksums(&TABLES), sums);
    fs::write(&detail, kept).expect("writable");
    assert_eq!(verify(&guarded.lake).0, Some(0));
    // The same files, removed by redlake.
    succeed(&mut guarded.lake.redlake(&["prune", "--run", &run]));
    assert_eq!(guarded.lake.raw_files(), Vec::<PathBuf>::new());
    let (code, problems, found) = verify(&guarded.lake);
    assert_eq!((code, problems), (Some(0), vec![]));
    assert_eq!(found["raw_pruned"], 2);
}

#[test]
fn retention_leaves_a_record() {
    let guarded = Guarded::new();
    let pipeline = format!("{PIPELINE}raw: none\n");
    let guarded = Guarded {
        pipeline: guarded.lake.write("none.yaml", &pipeline),
        ..guarded
    };
    guarded.run();
    assert_eq!(guarded.lake.raw_files(), Vec::<PathBuf>::new());
    let (code, problems, found) = verify(&guarded.lake);
    assert_eq!((code, problems), (Some(0), vec![]));
    assert_eq!(found["raw_pruned"], 2);
}

/// The answer of a page with one note, whose id tells the page.
fn page(target: &str) -> (u16, Vec<u8>) {
    let number = target
        .split("page=")
        .nth(1)
        .and_then(|rest| rest.split('&').next());
    let id = format!("note{}", number.unwrap_or_default());
    let note = json!({"id": id, "title": "t", "liked_count": 7, "images_list": []});
    let body = json!({"code": 0, "data": {"items": [{"model_type": "note", "note": note}]}});
    (200, body.to_string().into_bytes())
}

/// An API that counts its calls, and does something to the lake's raw file before it answers the
/// second one.
fn meddling(lake: &Lake, meddle: fn(&Path)) -> (FakeApi, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let (counted, root) = (Arc::clone(&calls), lake.path());
    let api = FakeApi::start(move |target| {
        if counted.fetch_add(1, Ordering::Relaxed) == 1 {
            let mut files = Vec::new();
            crate::support::collect(&root.join("raw"), &mut files);
            assert_eq!(files.len(), 1);
            meddle(&files[0].0);
        }
        page(target)
    });
    (api, calls)
}

/// The call under way is paid, its page kept; no other call follows, and the next run buys nothing
/// again.
#[test]
fn a_raw_file_that_goes_away_stops_the_run_at_once() {
    type Meddle = fn(&Path);
    let changes: [(&str, Meddle); 4] = [
        ("was removed", |path| {
            fs::remove_file(path).expect("removable")
        }),
        ("was removed", |path| {
            let folder = path.parent().and_then(Path::parent).expect("a folder");
            fs::remove_dir_all(folder).expect("removable");
        }),
        ("was replaced", |path| {
            let beside = path.with_extension("copy");
            fs::copy(path, &beside).expect("a copy");
            fs::rename(&beside, path).expect("a rename");
        }),
        ("was shortened", |path| {
            fs::write(path, b"").expect("writable")
        }),
    ];
    for (told, meddle) in changes {
        let lake = Lake::new();
        let (api, calls) = meddling(&lake, meddle);
        let (code, said) = api.search(&lake, 5);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(told), "{said}");
        assert_eq!(calls.load(Ordering::Relaxed), 2, "{told}");
        let ledger = "select count(*) as calls, count(*) filter (billed = 'yes') as billed, \
                      (select status from runs) as status from requests";
        assert_eq!(
            lake.query(ledger),
            [json!({"calls": 2, "billed": 2, "status": "failed"})]
        );
        let whole = told == "was replaced";
        assert_eq!(lake.raw_pages().len(), if whole { 2 } else { 1 }, "{told}");
        // Its first page is lost, and with it the search: nothing is paid twice.
        let (code, said) = api.search(&lake, 5);
        if !whole {
            assert_eq!(code, Some(3), "{said}");
            assert_eq!(calls.load(Ordering::Relaxed), 2, "{told}");
            assert_eq!(lake.value("select status from runs"), "partial");
            let reason = lake.value("select reason from runs");
            assert_eq!(reason, "1 of 1 pages is damaged and left out");
            assert_eq!(lake.value("select string_agg(note_id) from notes"), "note2");
            let (code, problems, _) = verify(&lake);
            assert_eq!((code, problems.len()), (Some(6), 1), "{problems:?}");
            // The next run is another one, and is not held up.
            assert_eq!(api.search(&lake, 2).0, Some(0));
        }
    }
}

/// A file that goes away after the last call, before its pages become tables, is no complete run.
#[test]
fn a_raw_file_that_is_gone_before_the_tables_are_made_fails_the_run() {
    let guarded = Guarded::new();
    succeed(&mut guarded.lake.redlake(&["extract", text(&guarded.pipeline)]));
    let sums = guarded.lake.value("select count(*) from requests");
    assert_eq!(sums, 10);
    let raw = guarded.raw("justoneapi");
    let bytes = fs::read(&raw).expect("a raw file");
    fs::write(&raw, &bytes[..bytes.len() / 2]).expect("writable");
    let (code, said) = guarded.transform(&[]);
    assert_eq!(code, Some(6), "{said}");
    let (code, said) = guarded.transform(&["--without-damaged"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(verify(&guarded.lake).0, Some(6));
}

/// A run that stopped at its budget has committed the rows of its first page. When that page is
/// damaged and the run goes on, the committed rows stay until the user decides.
#[test]
fn a_continued_run_does_not_replace_rows_of_pages_that_were_damaged_since() {
    let budget = PIPELINE.replace(
        "limits: {requests_per_second: 1000}",
        "limits: {requests_per_second: 1000, requests_per_run: 3, concurrency: 1}",
    );
    let lake = Lake::new();
    let pipeline = lake.write("guarded.yaml", &budget);
    let guarded = Guarded { lake, pipeline };
    let args = ["run", text(&guarded.pipeline)];
    let (code, _) = fail(&mut guarded.lake.redlake(&args));
    assert_eq!(code, 5);
    let before = guarded.lake.fork();
    let notes = guarded.lake.value("select count(*) from notes");
    let raw = guarded.raw("justoneapi");
    let mut bytes = fs::read(&raw).expect("a raw file");
    bytes[200] ^= 0x40;
    fs::write(&raw, &bytes).expect("writable");
    let mut said = String::new();
    let mut code = 5;
    for _ in 0..6 {
        if code == 5 {
            (code, said) = fail(&mut guarded.lake.redlake(&args));
        }
    }
    assert_eq!(code, 6, "{said}");
    assert!(said.contains("their rows were committed before"), "{said}");
    assert_eq!(guarded.lake.value("select count(*) from notes"), notes);
    assert_eq!(foreign_rows(&before, &guarded.lake), 0);
    let run = guarded.lake.value("select run_id from runs");
    succeed(
        &mut guarded
            .lake
            .redlake(&["publish", run.as_str().expect("an id")]),
    );
    assert!(
        guarded
            .lake
            .value("select count(*) from search_pages")
            .as_u64()
            > Some(2)
    );
    // No page was asked for twice.
    let twice = "select count(*) from (select search_id, page from requests group by all \
                 having count(*) > 1)";
    assert_eq!(guarded.lake.value(twice), 0);
}

/// As the version before wrote it: no checksums in raw files, none in commit records.
fn make_old(lake: &Lake) {
    for path in lake.raw_files() {
        let bytes = fs::read(&path).expect("a raw file");
        let lines = zstd::decode_all(bytes.as_slice()).expect("zstd");
        let lines = String::from_utf8(lines)
            .expect("UTF-8")
            .replace("{\"v\":2,", "{\"v\":1,");
        let frames = lines
            .lines()
            .map(|line| zstd::encode_all(format!("{line}\n").as_bytes(), 3).expect("a frame"));
        fs::write(&path, frames.collect::<Vec<_>>().concat()).expect("writable");
    }
    let mut records = Vec::new();
    crate::support::collect(&lake.path().join("_commits"), &mut records);
    for (path, bytes) in records {
        let mut record: Value = serde_json::from_slice(&bytes).expect("JSON");
        record.as_object_mut().expect("an object").remove("raw");
        fs::write(&path, record.to_string()).expect("writable");
    }
}

#[test]
fn a_lake_of_the_previous_version_opens_verifies_and_takes_runs() {
    let guarded = Guarded::new();
    guarded.run();
    make_old(&guarded.lake);
    let sums = guarded.lake.checksums(&TABLES);
    let (code, problems, found) = verify(&guarded.lake);
    assert_eq!((code, problems), (Some(0), vec![]));
    let remark = found["remarks"][0]["detail"].as_str().expect("a remark");
    assert!(
        remark.starts_with("files with pages without checksums"),
        "{remark}"
    );
    let (code, said) = guarded.transform(&[]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(said.matches("without checksums").count(), 1, "{said}");
    assert_eq!(guarded.lake.checksums(&TABLES), sums);
    guarded.run();
    assert_eq!(guarded.lake.value("select count(*) from runs"), 2);
    assert_eq!(verify(&guarded.lake).0, Some(0));
}

/// `run_id` becomes the name of files: a raw file from elsewhere must not choose a path.
#[test]
fn a_run_id_that_is_a_path_writes_nothing() {
    let guarded = Guarded::new();
    guarded.run();
    let bytes = fs::read(guarded.raw("justoneapi")).expect("a raw file");
    let lines = zstd::decode_all(bytes.as_slice()).expect("zstd");
    let lines = String::from_utf8(lines).expect("UTF-8");
    let run = guarded.lake.value("select run_id from runs");
    for id in [
        "../../../../pwn",
        "",
        "pwn",
        "{01a1ffd8-344f-70ea-82f1-ffa903442969}",
    ] {
        let forged = lines
            .replace(run.as_str().expect("an id"), id)
            .replace("\"v\":2", "\"v\":1");
        let forged = zstd::encode_all(forged.lines().next().expect("a line").as_bytes(), 3);
        let path = guarded.lake.write("forged.ndjson.zst", "");
        fs::write(&path, forged.expect("a frame")).expect("writable");
        let args = ["transform", text(&guarded.pipeline), "--raw", text(&path)];
        let (code, said) = fail(&mut guarded.lake.redlake(&args));
        assert_eq!(code, 2, "{said}");
        assert!(
            said.contains(&format!("its run_id `{id}` is not a UUID")),
            "{said}"
        );
        let args = [
            "transform",
            "--in",
            text(&path),
            "--out",
            "-",
            "--table",
            "notes",
        ];
        let (code, said) = fail(&mut guarded.lake.redlake(&args));
        assert_eq!(code, 2, "{said}");
        assert!(said.contains("is not a UUID"), "{said}");
    }
    let copied = Lake::new();
    copy(&guarded.lake.path(), &copied.path());
    assert_eq!(guarded.lake.value("select count(*) from runs"), 1);
}
