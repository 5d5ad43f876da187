//! States that a killed process leaves behind, built by hand.

use std::fs::{self, TryLockError};
use std::path::PathBuf;

use super::{META, add, closes, commit, file, files, lake, path_of, visible};
use crate::load::record::{AddedFile, CommitKind, CommitRecord};
use crate::load::{Lake, LakeError};

/// A record as it lies on disk before it is applied.
fn record(lake: &Lake, id: &str, add: &[&str], remove: &[&str]) {
    let added = |path: &&str| AddedFile {
        path: path.to_string(),
        table: "notes".to_owned(),
        rows: 3,
        bytes: 5,
        checksum: String::new(),
        runs: Default::default(),
    };
    let record = CommitRecord {
        format: 1,
        commit_id: id.to_owned(),
        kind: CommitKind::Run,
        pipeline: "test".to_owned(),
        run_id: "run".to_owned(),
        snapshot_at: META.snapshot_at,
        simulated: false,
        committed_at: META.snapshot_at,
        closes_run: true,
        add: add.iter().map(added).collect(),
        remove: remove.iter().map(|path| path.to_string()).collect(),
        raw: Vec::new(),
        applied: false,
    };
    let text = serde_json::to_string(&record).expect("JSON");
    write(lake, &format!("_commits/{id}.json"), &text);
}

fn write(lake: &Lake, path: &str, text: &str) -> PathBuf {
    let path = lake.root().join(path);
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    fs::write(&path, text).expect("writable");
    path
}

/// Opens the lake as the next command does, twice: the second time changes nothing.
fn reopened(lake: &Lake) -> Lake {
    let once = Lake::open(lake.root()).expect("the lake");
    let (tables, commits) = (visible(&once), files(&once, "_commits"));
    let twice = Lake::open(lake.root()).expect("the lake");
    assert_eq!(visible(&twice), tables);
    assert_eq!(files(&twice, "_commits"), commits);
    twice
}

#[test]
fn an_interrupted_commit_with_a_record_is_finished() {
    let (a, b, old) = (path_of("a"), path_of("b"), path_of("old"));
    // Which of the two files is in place already, and whether the old one is still there.
    let states = [
        ("all still staged", false, false, true),
        ("one renamed", true, false, true),
        ("all renamed", true, true, true),
        ("all done but for the mark", true, true, false),
    ];
    for (what, a_placed, b_placed, old_there) in states {
        let (_dir, lake) = lake();
        commit(&lake, "before", &[(&old, "old")], &[]);
        for (path, placed) in [(&a, a_placed), (&b, b_placed)] {
            let folder = if placed { "" } else { "_staging/cut/" };
            write(&lake, &format!("{folder}{path}"), "new");
        }
        if !old_there {
            fs::remove_file(lake.root().join(&old)).expect("the old file");
        }
        // It goes last, when the mark is on disk.
        write(&lake, "_staging/cut/.lock", "");
        record(&lake, "cut", &[&a, &b], &[&old]);

        let lake = reopened(&lake);
        assert_eq!(visible(&lake), [file(&a, "new"), file(&b, "new")], "{what}");
        let commits = lake.commits().expect("commits");
        assert!(commits.iter().all(|c| c.applied), "{what}");
        assert_eq!(files(&lake, "_staging"), [], "{what}");
    }
}

#[test]
fn a_replacement_that_was_cut_off_ends_with_the_new_file() {
    let (_dir, lake) = lake();
    let a = path_of("a");
    commit(&lake, "before", &[(&a, "old")], &[]);
    write(&lake, &format!("_staging/cut/{a}"), "new");
    record(&lake, "cut", &[&a], &[]);
    assert_eq!(visible(&reopened(&lake)), [file(&a, "new")]);
}

#[test]
fn a_finished_commit_is_not_done_again() {
    let (_dir, lake) = lake();
    let (a, b) = (path_of("a"), path_of("b"));
    commit(&lake, "1", &[(&a, "one")], &[&b]);
    commit(&lake, "2", &[(&b, "two")], &[&a]);
    assert_eq!(visible(&reopened(&lake)), [file(&b, "two")]);
}

#[test]
fn a_half_written_record_is_not_a_commit() {
    let (_dir, lake) = lake();
    let a = path_of("a");
    write(&lake, &format!("_staging/cut/{a}"), "new");
    write(&lake, "_commits/cut.json.tmp", "{\"format\": 1, \"comm");
    let lake = reopened(&lake);
    assert_eq!(visible(&lake), []);
    assert_eq!(files(&lake, "_staging"), []);
    commit(&lake, "cut", &[(&a, "again")], &[]);
    assert_eq!(visible(&lake), [file(&a, "again")]);
}

#[test]
fn an_abandoned_staging_is_cleared_but_not_a_living_one() {
    let (_dir, lake) = lake();
    let a = path_of("a");
    write(&lake, &format!("_staging/dead/{a}"), "dead");
    write(&lake, "_staging/dead/.lock", "");
    let living = lake.stage("living").expect("a staging folder");
    add(&living, &a, "living");
    let lake = reopened(&lake);
    let staged: Vec<_> = files(&lake, "_staging")
        .into_iter()
        .map(|(path, _)| path)
        .collect();
    let expected = [
        "_staging/living/.lock".to_owned(),
        format!("_staging/living/{a}"),
    ];
    assert_eq!(staged, expected);
    living
        .commit(CommitKind::Run, closes(&META), Vec::new())
        .expect("a commit");
    assert_eq!(visible(&lake), [file(&a, "living")]);
}

#[test]
fn a_file_in_the_staging_folder_does_not_block_commits() {
    let (_dir, lake) = lake();
    // What a process leaves that was killed while it wrote the catalog.
    write(&lake, "_staging/catalog-1.duckdb", "half a catalog");
    reopened(&lake);
}

#[test]
fn a_lost_file_is_told_with_its_commit() {
    let (_dir, lake) = lake();
    let (a, b) = (path_of("a"), path_of("b"));
    write(&lake, &format!("_staging/cut/{a}"), "new");
    record(&lake, "cut", &[&a, &b], &[]);
    let error = Lake::open(lake.root()).expect_err("an error");
    let lost = lake.root().join(&b);
    assert_eq!(
        error.to_string(),
        format!(
            "the commit cut names {}, which is neither staged nor in place",
            lost.display()
        )
    );
    // Once it is back, the commit is finished.
    write(&lake, &b, "from a backup");
    let lake = reopened(&lake);
    assert_eq!(visible(&lake), [file(&a, "new"), file(&b, "from a backup")]);
}

#[test]
fn a_damaged_record_is_told_with_its_name() {
    let (_dir, lake) = lake();
    write(&lake, "_staging/bad/.lock", "");
    let path = write(&lake, "_commits/bad.json", "{}");
    let error = Lake::open(lake.root()).expect_err("an error").to_string();
    let start = format!("the record {} is damaged: ", path.display());
    assert!(error.starts_with(&start), "{error}");
}

#[test]
fn many_records_are_read_and_of_several_damaged_ones_the_first_is_told() {
    let (_dir, lake) = lake();
    let ids: Vec<String> = (0..300).map(|at| format!("{at:03}")).collect();
    for id in &ids {
        record(&lake, id, &[], &[]);
    }
    let read = lake.commits().expect("commits");
    let read: Vec<&String> = read.iter().map(|commit| &commit.commit_id).collect();
    assert_eq!(read, ids.iter().collect::<Vec<_>>());
    for id in ["299", "120", "121"] {
        write(&lake, &format!("_commits/{id}.json"), "{}");
    }
    let error = lake.commits().expect_err("an error").to_string();
    assert!(error.contains("_commits/120.json is damaged: "), "{error}");
}

#[test]
fn a_record_of_a_newer_format_is_told_whatever_its_fields() {
    let (_dir, lake) = lake();
    record(&lake, "1", &[], &[]);
    let path = lake.root().join("_commits/1.json");
    let text = fs::read_to_string(&path).expect("the record");
    let same_fields = text.replace("\"format\":1", "\"format\":2");
    for text in [same_fields.as_str(), "{\"format\": 2, \"commits\": []}"] {
        fs::write(&path, text).expect("writable");
        let error = lake.commits().expect_err("an error");
        assert!(
            matches!(error, LakeError::Newer { found: 2, .. }),
            "{error}"
        );
    }
}

#[test]
fn a_commit_frees_its_lock() {
    let (_dir, lake) = lake();
    commit(&lake, "1", &[(&path_of("a"), "one")], &[]);
    let lock = fs::File::open(lake.root().join("_state/commit.lock")).expect("the lock");
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => panic!("the commit kept its lock"),
        Err(TryLockError::Error(error)) => panic!("{error}"),
    }
}
