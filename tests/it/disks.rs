//! Disks without room, that cannot be written, or that hold the lake of a newer redlake: a clear
//! error, nothing paid, nothing lost.

use serde_json::json;

use crate::support::{Lake, SandboxProcess, fail, repository, succeed};

const MAKE_ROOM: &str =
    "hint: free space on that disk and run the command again; committed data is unchanged\n";

fn demo() -> String {
    let path = repository("pipelines/demo.yaml");
    path.to_str().expect("UTF-8").to_owned()
}

#[test]
fn a_run_without_disk_space_makes_no_call() {
    let sandbox = SandboxProcess::start("t");
    let lake = Lake::new();
    let pipeline = lake.write(
        "real.yaml",
        "
version: 1
pipeline: real
source: {name: justoneapi}
keyword_sets: {words: [兰蔻]}
extract:
  - {endpoint: note_search, keywords: [words], pages: {max: 1}}
",
    );
    let args = ["run", pipeline.to_str().expect("UTF-8")];
    let mut command = sandbox.redlake(&lake, &args, "t");
    let (code, error) = fail(command.env("FAILPOINTS", "free=return(5000000)"));
    assert_eq!(code, 2);
    assert_eq!(
        error,
        format!(
            "error: {} has 5 MB free, and about 16 MB are needed\n  hint: free space on that disk, \
             or choose another one with --lake DIR; nothing was changed\n",
            lake.path().display()
        )
    );
    assert_eq!(sandbox.calls(), [json!(null); 0]);
    // With room it goes on as if nothing had been.
    let mut command = sandbox.redlake(&lake, &args, "t");
    command.env("FAILPOINTS", "free=return(50000000)");
    succeed(&mut command);
    assert_eq!(sandbox.billed(), 1);
}

#[test]
fn a_compaction_that_finds_no_room_changes_nothing() {
    let lake = Lake::new();
    for _ in 0..2 {
        lake.run(&repository("pipelines/demo.yaml"), &[]);
    }
    let before = lake.table_files();
    let mut command = lake.redlake(&["compact"]);
    let (code, error) = fail(command.env("FAILPOINTS", "free=return(5000000)"));
    assert_eq!(code, 2);
    assert!(
        error.contains("has 5 MB free, and about 17 MB are needed"),
        "{error}"
    );
    assert_eq!(lake.table_files(), before);
}

#[test]
fn a_commit_that_meets_a_full_disk_keeps_the_pages() {
    let lake = Lake::new();
    let demo = demo();
    let mut command = lake.redlake(&["run", &demo]);
    // The folders of the lake are there by then; the commit has begun.
    let (code, error) = fail(command.env("FAILPOINTS", "disk=30*off->return(full)"));
    assert_eq!(code, 2, "{error}");
    assert!(error.ends_with(MAKE_ROOM), "{error}");
    assert_eq!(lake.raw_pages().len(), 67);
    // The next run needs no call: it finishes this one.
    let report = lake.run(&repository("pipelines/demo.yaml"), &[]);
    assert_eq!(report["status"], "complete");
    assert_eq!(lake.value("SELECT count(*) FROM requests"), 67);
    assert_eq!(lake.value("SELECT count(*) FROM notes"), 553);
}

#[test]
fn a_read_only_lake_is_reported_and_not_changed() {
    let lake = Lake::new();
    lake.run(&repository("pipelines/demo.yaml"), &[]);
    let before = lake.table_files();
    let demo = demo();
    for args in [
        &["run", demo.as_str()][..],
        &["prune", "--tables-older-than", "1d"],
    ] {
        let mut command = lake.redlake(args);
        let (code, error) = fail(command.env("FAILPOINTS", "disk=return(read-only)"));
        assert_eq!(code, 2, "{error}");
        let hint = "hint: choose another folder with --lake DIR or REDLAKE_LAKE, or make this one writable";
        assert!(error.contains(hint), "{error}");
        assert_eq!(lake.table_files(), before);
    }
    // Reading needs no writing.
    let count = "select count(*) as n from notes";
    let query: &[&str] = &["query", count, "--format", "csv"];
    for (args, told) in [
        (query, "n\n553\n"),
        (&["verify"], " 0 problems\n"),
        (&["runs"], "| complete |"),
    ] {
        let mut command = lake.redlake(args);
        command.env("FAILPOINTS", "disk=return(read-only)");
        let output = succeed(&mut command);
        let output = String::from_utf8_lossy(&output.stdout);
        assert!(output.contains(told), "{args:?}: {output}");
    }
}

#[test]
fn the_lake_of_a_newer_redlake_is_reported_and_not_changed() {
    let lake = Lake::new();
    lake.run(&repository("pipelines/demo.yaml"), &[]);
    let before = lake.table_files();
    let format = lake.path().join("_state/lake.json");
    std::fs::write(&format, "{\"format\": 2}").expect("written");
    let demo = demo();
    for args in [
        &["run", demo.as_str()][..],
        &["compact"],
        &["prune", "--raw-older-than", "0s"],
        &["verify"],
        &["query", "select 1"],
    ] {
        let (code, error) = fail(&mut lake.redlake(args));
        assert_eq!(code, 2, "{args:?}");
        let told = "has format 2; this redlake reads format 1\n  \
                    hint: use the redlake version that wrote it, or a newer one\n";
        assert!(error.ends_with(told), "{args:?}: {error}");
    }
    assert_eq!(lake.table_files(), before);
    assert_eq!(lake.raw_files().len(), 2);
}
