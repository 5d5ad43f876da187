//! One mistake, one clear error: what, where, what to do; the right exit code; no half-made lake.

use crate::support::{Lake, SandboxProcess, copy, fail, redlake, repository, succeed};

/// The demo pipeline with one thing changed.
fn demo_with(lake: &Lake, old: &str, new: &str) -> String {
    let demo = std::fs::read_to_string(repository("pipelines/demo.yaml")).expect("the demo");
    assert!(demo.contains(old), "the demo no longer says {old}");
    let path = lake.write("pipeline.yaml", &demo.replace(old, new));
    path.to_str().expect("UTF-8").to_owned()
}

fn assert_says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "`{part}` is missing in:\n{text}");
    }
}

#[test]
fn an_unknown_keyword_set() {
    let lake = Lake::new();
    let pipeline = demo_with(
        &lake,
        "keywords: [brands, topics]",
        "keywords: [brands, topcis]",
    );
    let (code, text) = fail(&mut lake.redlake(&["run", &pipeline]));
    assert_eq!(code, 2);
    assert_says(
        &text,
        &[
            "unknown keyword set `topcis`",
            "pipeline.yaml:31:24",
            "did you mean `topics`?",
        ],
    );
    assert!(!lake.path().exists());
}

#[test]
fn a_misspelt_key() {
    let lake = Lake::new();
    let pipeline = demo_with(&lake, "timezone:", "timezon:");
    let (code, text) = fail(&mut lake.redlake(&["run", &pipeline]));
    assert_eq!(code, 2);
    assert_says(
        &text,
        &[
            "unknown key `timezon`",
            "pipeline.yaml:22:1",
            "did you mean `timezone`?",
        ],
    );
    assert!(!lake.path().exists());
}

#[test]
fn a_missing_variable() {
    let lake = Lake::new();
    let pipeline = demo_with(&lake, "lake: ../lake,", "lake: \"${NO_SUCH_PLACE}\",");
    let (code, text) = fail(&mut lake.redlake(&["run", &pipeline]));
    assert_eq!(code, 2);
    assert_says(
        &text,
        &[
            "environment variable `NO_SUCH_PLACE` is not set",
            "pipeline.yaml:49:14",
            "export NO_SUCH_PLACE=",
        ],
    );
    assert!(!lake.path().exists());
}

#[test]
fn a_missing_token() {
    let lake = Lake::new();
    let pipeline = repository("pipelines/skincare_watch.yaml");
    let (code, text) = fail(&mut lake.redlake(&["run", pipeline.to_str().expect("UTF-8")]));
    assert_eq!(code, 2);
    assert_says(
        &text,
        &[
            "the token of justoneapi is missing",
            "export JUSTONEAPI_TOKEN=",
            "file .env beside the pipeline",
        ],
    );
    assert!(!lake.path().exists());
}

#[test]
fn a_wrong_token() {
    let sandbox = SandboxProcess::start("the-token");
    let lake = Lake::new();
    let pipeline = repository("pipelines/skincare_watch.yaml");
    let mut command = lake.redlake(&["run", pipeline.to_str().expect("UTF-8"), "--format", "json"]);
    command
        .env("JUSTONEAPI_BASE_URL", &sandbox.url)
        .env("XHS_OPEN_BASE_URL", &sandbox.url)
        .env("JUSTONEAPI_TOKEN", "not-the-token")
        .env("XHS_OPEN_TOKEN", "not-the-token");
    let (code, text) = fail(&mut command);
    assert_eq!(code, 4);
    assert_says(
        &text,
        &[
            "justoneapi refused: code 100 (HTTP 401)",
            "check the token in JUSTONEAPI_TOKEN",
        ],
    );
    assert!(!text.contains("not-the-token"));
    // Calls were made, so the ledger is there, and nothing else.
    assert_eq!(
        lake.value("select count(*) > 0 from requests where class = 'auth'"),
        true
    );
    assert_eq!(
        lake.value("select count(*) from requests where billed != 'no'"),
        0
    );
    assert_eq!(lake.value("select status from runs"), "failed");
    assert_eq!(lake.table_files().len(), 3);
}

#[test]
fn an_unreadable_schema() {
    let lake = Lake::new();
    let pipeline = repository("pipelines/demo.yaml");
    let pipeline = pipeline.to_str().expect("UTF-8");
    let (code, text) = fail(&mut lake.redlake(&["run", pipeline, "--schemas", "no/such/folder"]));
    assert_eq!(code, 2);
    assert_says(
        &text,
        &[
            "cannot read this",
            "no/such/folder",
            "--schemas names a folder",
        ],
    );

    let broken = lake.path().with_file_name("schemas");
    copy(&repository("schemas"), &broken);
    let notes = broken.join("tables/notes.yaml");
    let text = std::fs::read_to_string(&notes).expect("a contract");
    std::fs::write(&notes, text.replacen("type: string", "type: strign", 1)).expect("writable");
    let schemas = broken.to_str().expect("UTF-8");
    let (code, text) = fail(&mut lake.redlake(&["run", pipeline, "--schemas", schemas]));
    assert_eq!(code, 2);
    assert_says(
        &text,
        &[
            "unknown value `strign`",
            "tables/notes.yaml:",
            "did you mean `string`?",
        ],
    );
    assert!(!lake.path().exists());
}

#[test]
fn an_unwritable_lake() {
    let lake = Lake::new();
    lake.write("lake", "a file where the folder should be");
    let pipeline = repository("pipelines/demo.yaml");
    let (code, text) = fail(&mut lake.redlake(&["run", pipeline.to_str().expect("UTF-8")]));
    assert_eq!(code, 2);
    assert_says(
        &text,
        &[
            "cannot create the folder",
            "Caused by:",
            "choose another folder with --lake",
        ],
    );
}

#[test]
fn all_mistakes_at_once() {
    let lake = Lake::new();
    let pipeline = lake.write(
        "bad.yaml",
        "version: 2
pipeline: Bad Name
source: {name: justonapi}
timezone: Asia/Shangai
extract:
  - {endpoint: note_serch, keywords: [x]}
limits: {requests_per_second: 0, concurency: 3}
load: {compression: brotli}
",
    );
    let (code, text) = fail(redlake().args(["validate", pipeline.to_str().expect("UTF-8")]));
    assert_eq!(code, 2);
    assert_says(
        &text,
        &[
            "bad.yaml:1:10",
            "write `version: 1`",
            "bad.yaml:2:11",
            "did you mean `justoneapi`?",
            "did you mean `Asia/Shanghai`?",
            "`requests_per_second` must be above 0",
            "did you mean `concurrency`?",
            "unknown compression `brotli`",
            "7 mistakes found",
        ],
    );
}

#[test]
fn a_mistake_in_sql_keeps_the_caret_of_duckdb() {
    let lake = Lake::new();
    lake.run(&repository("pipelines/demo.yaml"), &[]);
    let (code, text) = fail(&mut lake.redlake(&["query", "select * from notez"]));
    assert_eq!(code, 2);
    assert_says(
        &text,
        &[
            "Did you mean \"notes\"?",
            "LINE 1: select * from notez",
            "^",
        ],
    );
}

#[test]
fn a_lake_that_is_not_there() {
    let lake = Lake::new();
    let (code, text) = fail(&mut lake.redlake(&["query", "select 1"]));
    assert_eq!(code, 2);
    assert_says(&text, &["there is no lake at", "run a pipeline first"]);
    assert!(!lake.path().exists());
}

#[test]
fn a_lake_without_its_state_is_reported_and_not_recreated() {
    let lake = Lake::new();
    let demo = repository("pipelines/demo.yaml");
    lake.run(&demo, &[]);
    let demo = demo.to_str().expect("UTF-8");
    let count = "select count(*) from notes";
    let notes = lake.value(count);
    let state = lake.path().join("_state");
    for without in ["_state/lake.json", "_state"] {
        let path = lake.path().join(without);
        if path.is_dir() {
            std::fs::remove_dir_all(&path).expect("the folder");
        } else {
            std::fs::remove_file(&path).expect("the file");
        }
        for args in [&["run", demo][..], &["query", count], &["runs"], &["marts"]] {
            let (code, text) = fail(&mut lake.redlake(args));
            assert_eq!(code, 2);
            let told = [
                "lacks _state/lake.json\n",
                "hint: restore the folder _state from a backup.",
                "write {\"format\": 1} into _state/lake.json",
            ];
            assert_says(&text, &told);
        }
        assert!(!path.exists(), "{without} is made anew");
    }
    // What the hint says.
    std::fs::create_dir(&state).expect("a folder");
    std::fs::write(state.join("lake.json"), "{\"format\": 1}").expect("a file");
    assert_eq!(lake.value(count), notes);
    succeed(&mut lake.redlake(&["run", demo]));
}

#[test]
fn an_empty_folder_is_no_lake_yet() {
    let lake = Lake::new();
    for folder in ["tables", "raw", "_commits", "_state"] {
        std::fs::create_dir_all(lake.path().join(folder)).expect("a folder");
    }
    let (code, text) = fail(&mut lake.redlake(&["query", "select 1"]));
    assert_eq!(code, 2);
    assert_says(&text, &["there is no lake at"]);
    lake.run(&repository("pipelines/demo.yaml"), &[]);
}

#[cfg(unix)]
#[test]
fn a_state_that_cannot_be_looked_at_is_not_taken_for_no_lake() {
    let lake = Lake::new();
    std::fs::create_dir(lake.path()).expect("a folder");
    // Unreadable for every user, root included.
    std::os::unix::fs::symlink("_state", lake.path().join("_state")).expect("a link");
    let (code, text) = fail(&mut lake.redlake(&["query", "select 1"]));
    assert_eq!(code, 2);
    assert_says(
        &text,
        &["error: cannot read ", "_state/lake.json\n  Caused by: "],
    );
    assert!(!text.contains("there is no lake"), "{text}");
}

#[test]
fn a_logical_time_of_another_century_is_refused() {
    let lake = Lake::new();
    let pipeline = repository("pipelines/demo.yaml");
    let pipeline = pipeline.to_str().expect("UTF-8");
    for (at, limit) in [
        ("1989-12-31T23:59:59Z", "before 1990"),
        ("0001-01-01T00:00:00Z", "before 1990"),
        ("2101-01-01T00:00:00+00:00", "after 2100"),
        ("9999-12-31T23:59:59Z", "after 2100"),
    ] {
        for command in ["run", "extract"] {
            let args = [command, pipeline, "--snapshot-at", at];
            let (code, text) = fail(&mut lake.redlake(&args));
            assert_eq!(code, 2, "{text}");
            let told = [
                &format!("is {limit}\n")[..],
                "hint: give a time of the years 1990 to 2100",
            ];
            assert_says(&text, &told);
        }
        let (code, text) = fail(&mut lake.redlake(&["sandbox", "--port", "0", "--clock", at]));
        assert_eq!(code, 2, "{text}");
        assert_says(&text, &["--clock ", limit]);
    }
    assert!(!lake.path().exists());
}

#[test]
fn the_first_and_the_last_year_make_whole_lakes() {
    let lake = Lake::new();
    let pipeline = repository("pipelines/demo.yaml");
    for at in ["1990-01-01T00:00:00Z", "2100-12-31T23:59:59Z"] {
        let report = lake.run(&pipeline, &["--snapshot-at", at]);
        assert_eq!(report["status"], "complete", "{at}");
        assert_eq!(report.get("marts_error"), None, "{at}");
    }
    let dates =
        "select string_agg(distinct dt::varchar, ' ' order by dt::varchar) from search_pages";
    assert_eq!(lake.value(dates), "1990-01-01 2101-01-01");
}

/// Files that never end, or block when they are opened.
#[cfg(unix)]
#[test]
fn only_regular_files_are_read() {
    let lake = Lake::new();
    let pipe = lake.write("pipe", "");
    std::fs::remove_file(&pipe).expect("a file");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.expect("mkfifo is there").success());
    let pipe = pipe.to_str().expect("UTF-8");
    let large = lake.write("large", "");
    let file = std::fs::File::create(&large).expect("a file");
    file.set_len((64 << 20) + 1).expect("a sparse file");
    let large = large.to_str().expect("UTF-8");
    for (path, told) in [
        (pipe, "it is a FIFO, not a regular file"),
        ("/dev/zero", "it is a device, not a regular file"),
        ("/", "it is a folder, not a regular file"),
        (large, "it is larger than 64 MiB"),
    ] {
        let list = format!("{{file: {path}}}");
        let keywords = demo_with(&lake, "[海蓝之谜, 兰蔻, 雅诗兰黛]", &list);
        let (code, text) = fail(&mut lake.redlake(&["run", &keywords]));
        assert_eq!(code, 2, "{text}");
        assert_says(
            &text,
            &["pipeline.yaml:", &format!("cannot read {path}: {told}")],
        );
        for args in [&["validate", path][..], &["query", "-f", path]] {
            let (code, text) = fail(&mut lake.redlake(args));
            assert_eq!(code, 2, "{text}");
            assert_says(&text, &["cannot read ", told]);
        }
        let (code, text) = fail(&mut lake.redlake(&["sandbox", "--port", "0", "--faults", path]));
        assert_eq!(code, 2, "{text}");
        assert_says(&text, &[told]);
    }
    let schemas = lake.schemas(&[]);
    std::os::unix::fs::symlink(pipe, schemas.join("tables/pipe.yaml")).expect("a link");
    let schemas = schemas.to_str().expect("UTF-8");
    let (code, text) = fail(&mut lake.redlake(&["schema", "list", "--schemas", schemas]));
    assert_eq!(code, 2, "{text}");
    assert_says(&text, &["pipe.yaml", "it is a FIFO, not a regular file"]);
    assert!(!lake.path().exists());
}
