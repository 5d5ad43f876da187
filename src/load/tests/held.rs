//! Stagings that wait for a decision: what keeps them, and what becomes of them.

use std::fs;

use super::{META, add, closes, commit, file, files, lake, of_run, path_of, visible};
use crate::load::held::{CheckResult, HeldOutcome, Holding};
use crate::load::record::CommitKind;
use crate::load::{Lake, LakeError};
use crate::spec::checks::Severity;

fn result() -> CheckResult {
    CheckResult {
        name: "notes: min_rows 9".to_owned(),
        severity: Severity::Error,
        outcome: HeldOutcome::Failed,
        message: "row count 3; at least 9 expected".to_owned(),
        failing_rows: 1,
        rows: vec![[("rows".to_owned(), 3.into())].into_iter().collect()],
    }
}

/// Holds back files of a run, as (path, text).
fn hold(lake: &Lake, staged: &[(&str, &str)], remove: &[&str], ledger: Option<&str>) -> Holding {
    let staging = lake.stage("run").expect("a staging folder");
    for (path, text) in staged {
        add(&staging, path, text);
    }
    let remove = remove.iter().map(|path| path.to_string()).collect();
    let ledger = ledger.map(str::to_owned);
    staging
        .hold(closes(&META), remove, ledger, vec![result()])
        .expect("a held staging")
}

fn reopened(lake: &Lake) -> Lake {
    Lake::open(lake.root()).expect("the lake")
}

/// The runs that are held.
fn held(lake: &Lake) -> Vec<String> {
    let held = lake.held().expect("what is held").into_iter();
    held.map(|held| held.run_id).collect()
}

#[test]
fn what_is_held_stays_until_it_is_published() {
    let (_dir, lake) = lake();
    let (a, old) = (path_of("a"), path_of("old"));
    commit(&lake, "before", &[(&old, "old")], &[]);
    drop(hold(&lake, &[(&a, "new")], &[&old], None));
    for _ in 0..2 {
        let lake = reopened(&lake);
        assert_eq!(visible(&lake), [file(&old, "old")]);
        assert_eq!(held(&lake), ["run"]);
        let held = lake.held_of("run").expect("held");
        assert_eq!(held.checks, [result()]);
        assert_eq!((held.add.len(), held.remove), (1, vec![old.clone()]));
    }
    let record = lake.publish("run").expect("published");
    assert_eq!(record.kind, CommitKind::Replace);
    assert!(record.closes_run && record.applied);
    for lake in [&lake, &reopened(&lake)] {
        assert_eq!(visible(lake), [file(&a, "new")]);
        assert_eq!(held(lake), Vec::<String>::new());
        assert_eq!(files(lake, "_staging"), []);
        let again = lake.publish("run").expect_err("nothing is held");
        assert!(matches!(again, LakeError::NotHeld(id) if id == "run"));
    }
}

#[test]
fn what_is_discarded_leaves_nothing() {
    let (_dir, lake) = lake();
    let (a, old) = (path_of("a"), path_of("old"));
    commit(&lake, "before", &[(&old, "old")], &[]);
    drop(hold(&lake, &[(&a, "new")], &[&old], None));
    assert_eq!(lake.discard("run").expect("discarded").run_id, "run");
    assert_eq!(visible(&lake), [file(&old, "old")]);
    assert_eq!(files(&lake, "_staging"), []);
    let again = lake.discard("run").expect_err("nothing is held");
    assert!(matches!(again, LakeError::NotHeld(id) if id == "run"));
}

#[test]
fn without_its_ledger_a_staging_is_garbage_once_its_process_is_dead() {
    let (_dir, lake) = lake();
    let a = path_of("a");
    let holding = hold(&lake, &[(&a, "new")], &[], Some("ledger"));
    // Its process is about to commit the ledger.
    let lake = reopened(&lake);
    assert_eq!(held(&lake), Vec::<String>::new());
    assert_eq!(files(&lake, "_staging").len(), 3);
    // It is killed before it has.
    drop(holding);
    let lake = reopened(&lake);
    assert_eq!(files(&lake, "_staging"), []);

    // It is killed after it has.
    let ledger = path_of("ledger");
    let staged = [(a.as_str(), "new"), (ledger.as_str(), "paid, published")];
    drop(hold(&lake, &staged, &[], Some("ledger")));
    commit(&lake, "ledger", &[(&ledger, "paid, held")], &[]);
    let lake = reopened(&lake);
    assert_eq!(held(&lake), ["run"]);
    lake.publish("run").expect("published");
    let ledger = file(&ledger, "paid, published");
    assert_eq!(visible(&lake), [file(&a, "new"), ledger]);
}

#[test]
fn held_tables_are_outdated_once_their_rows_are_in_another_file() {
    let (_dir, lake) = lake();
    let (a, ledger, compacted) = (path_of("a"), path_of("ledger"), path_of("compacted"));
    drop(hold(&lake, &[(&a, "new"), (&ledger, "b")], &[], Some("1")));
    commit(&lake, "1", &[(&ledger, "a")], &[]);
    // Published as it is, the file `ledger` would come beside the rows in `compacted`.
    let staging = lake.stage("2").expect("a staging folder");
    add(&staging, &compacted, "a");
    staging.holds(&compacted, ["run", "other"].map(String::from).into());
    let maintenance = of_run("2", "");
    staging
        .commit(CommitKind::Compact, closes(&maintenance), vec![ledger])
        .expect("a commit");
    let error = lake.publish("run").expect_err("an error");
    assert!(matches!(error, LakeError::Outdated(id) if id == "run"));
    assert_eq!(visible(&lake), [file(&compacted, "a")]);
}

#[test]
fn a_staging_that_was_cut_off_while_it_was_held_back_is_garbage() {
    let (_dir, lake) = lake();
    drop(hold(&lake, &[(&path_of("a"), "new")], &[], None));
    let (json, _) = files(&lake, "_staging")
        .into_iter()
        .find(|(path, _)| path.ends_with("held.json"))
        .expect("held.json");
    let json = lake.root().join(json);
    fs::rename(&json, json.with_extension("json.tmp")).expect("a rename");
    assert_eq!(files(&reopened(&lake), "_staging"), []);
}

#[test]
fn what_cannot_be_read_is_kept_and_told() {
    let (_dir, lake) = lake();
    drop(hold(&lake, &[(&path_of("a"), "new")], &[], None));
    let folder = fs::read_dir(lake.root().join("_staging")).expect("a folder");
    let folder = folder.flatten().next().expect("a staging").path();
    fs::write(folder.join("held.json"), "{\"format\": 1").expect("writable");
    let lake = reopened(&lake);
    assert_eq!(files(&lake, "_staging").len(), 3);
    assert!(matches!(lake.held(), Err(LakeError::Record { .. })));
    fs::write(folder.join("held.json"), "{\"format\": 2}").expect("writable");
    let lake = reopened(&lake);
    assert_eq!(files(&lake, "_staging").len(), 3);
    assert!(matches!(
        lake.held(),
        Err(LakeError::Newer { found: 2, .. })
    ));
}

#[test]
fn only_whole_files_are_published() {
    for text in ["nev", "newer", ""] {
        let (_dir, lake) = lake();
        let a = path_of("a");
        let commit_id = hold(&lake, &[(&a, "new")], &[], None).held.commit_id;
        let staged = lake.root().join("_staging").join(commit_id).join(&a);
        match text {
            "" => fs::remove_file(&staged).expect("a file"),
            text => fs::write(&staged, text).expect("writable"),
        }
        let error = lake.publish("run").expect_err("a damaged file");
        assert!(
            matches!(&error, LakeError::HeldFile { path, .. } if *path == staged),
            "{error}"
        );
        assert_eq!(visible(&lake), []);
        assert_eq!(held(&lake), ["run"]);
    }
}

#[test]
fn tables_that_were_made_again_are_not_overwritten() {
    let (_dir, lake) = lake();
    let a = path_of("a");
    drop(hold(&lake, &[(&a, "held")], &[], None));
    // As `transform --raw` does, killed before it drops what is held.
    commit(&lake, "anew", &[(&a, "mended")], &[]);
    let error = lake.publish("run").expect_err("it is outdated");
    assert!(matches!(error, LakeError::Outdated(id) if id == "run"));
    assert_eq!(visible(&lake), [file(&a, "mended")]);
    lake.supersede("run", None).expect("dropped");
    assert_eq!(held(&lake), Vec::<String>::new());
}

#[test]
fn of_a_run_the_newest_is_held() {
    let (_dir, lake) = lake();
    let a = path_of("a");
    drop(hold(&lake, &[(&a, "one")], &[], None));
    let newer = hold(&lake, &[(&a, "two")], &[], None).held.commit_id;
    assert_eq!(lake.held().expect("what is held").len(), 1);
    lake.supersede("run", Some(&newer)).expect("dropped");
    assert_eq!(files(&lake, "_staging").len(), 3);
    lake.publish("run").expect("published");
    assert_eq!(visible(&lake), [file(&a, "two")]);
}

#[test]
fn a_publication_that_was_cut_off_is_finished() {
    let (_dir, lake) = lake();
    let a = path_of("a");
    let id = hold(&lake, &[(&a, "new")], &[], None).held.commit_id;
    let staging = format!("_staging/{id}");
    let before: Vec<_> = files(&lake, &staging);
    lake.publish("run").expect("published");
    // As it was between the record and the first rename.
    for (path, text) in before {
        let path = lake.root().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("writable");
    }
    fs::remove_file(lake.root().join(&a)).expect("the table");
    let record = lake.root().join(format!("_commits/{id}.json"));
    let text = fs::read_to_string(&record).expect("the record");
    let text = text.replace("\"applied\": true", "\"applied\": false");
    fs::write(&record, text).expect("writable");

    let lake = reopened(&lake);
    assert_eq!(visible(&lake), [file(&a, "new")]);
    assert_eq!(held(&lake), Vec::<String>::new());
    assert_eq!(files(&lake, "_staging"), []);
}

#[test]
fn other_runs_are_left_alone() {
    let (_dir, lake) = lake();
    drop(hold(&lake, &[(&path_of("a"), "one")], &[], None));
    let staging = lake.stage("other").expect("a staging folder");
    add(&staging, &path_of("b"), "two");
    let other = of_run("other", "test");
    drop(staging.hold(closes(&other), Vec::new(), None, Vec::new()));
    assert_eq!(held(&lake), ["run", "other"]);
    lake.discard("other").expect("discarded");
    assert_eq!(held(&lake), ["run"]);
}
