//! What marts were computed from.

use std::collections::BTreeSet;
use std::fs;

use chrono::NaiveDate;

use super::{META, closes, commit, lake};
use crate::lake_layout::mart_path;
use crate::load::Lake;
use crate::load::marts::{Computed, FailedMart, Inputs};
use crate::load::record::CommitKind;
use crate::spec::mart::{ByPeriod, Period};

fn date(day: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 3, day).expect("a date")
}

fn inputs(lake: &Lake) -> Inputs {
    let tables = BTreeSet::from(["notes".to_owned()]);
    let inputs = lake.mart_inputs(&tables, "as defined").expect("records");
    // All dates of these tests are in this week, which changes with each of them.
    assert!(inputs.weeks.keys().all(|monday| *monday == date(9)));
    assert_eq!(inputs.weeks.is_empty(), inputs.days.is_empty());
    inputs.days
}

/// The dates whose hash is another one, or new.
fn changed(before: &Inputs, after: &Inputs) -> Vec<NaiveDate> {
    let changed = after
        .iter()
        .filter(|(date, hash)| before.get(date) != Some(hash));
    changed.map(|(date, _)| *date).collect()
}

const NINTH: &str = "tables/notes/dt=2026-03-09/a.parquet";
const TENTH: &str = "tables/notes/dt=2026-03-10/b.parquet";

#[test]
fn a_commit_changes_its_dates_and_those_after_them() {
    let (_dir, lake) = lake();
    let empty = inputs(&lake);
    assert_eq!(empty, Inputs::new());
    commit(&lake, "a", &[(NINTH, "a")], &[]);
    commit(&lake, "b", &[(TENTH, "b")], &[]);
    let two = inputs(&lake);
    assert_eq!(changed(&empty, &two), [date(9), date(10)]);
    assert_eq!(changed(&two, &inputs(&lake)), []);

    commit(&lake, "c", &[(TENTH, "c")], &[]);
    let replaced = inputs(&lake);
    assert_eq!(
        changed(&two, &replaced),
        [date(10)],
        "the same name, other rows"
    );
    commit(&lake, "d", &[], &[NINTH]);
    let removed = inputs(&lake);
    assert_eq!(changed(&replaced, &removed), [date(9), date(10)]);

    let others = "tables/runs/dt=2026-03-09/a.parquet";
    commit(
        &lake,
        "e",
        &[(others, "e"), ("tables/notes/stray.parquet", "e")],
        &[],
    );
    assert_eq!(
        changed(&removed, &inputs(&lake)),
        [],
        "no table that marts read"
    );
    let tables = BTreeSet::from(["notes".to_owned()]);
    let redefined = lake
        .mart_inputs(&tables, "in another way")
        .expect("records");
    assert_eq!(changed(&removed, &redefined.days), [date(9), date(10)]);
}

#[test]
fn commits_of_marts_change_nothing_that_marts_depend_on() {
    let (_dir, lake) = lake();
    commit(&lake, "a", &[(NINTH, "a")], &[]);
    let before = inputs(&lake);
    let staging = lake.stage("m").expect("a staging folder");
    let path = mart_path("note_growth", date(9), "m");
    super::add(&staging, &path, "m");
    let committed = staging.commit(CommitKind::Marts, closes(&META), Vec::new());
    committed.expect("a commit");
    assert_eq!(inputs(&lake), before);
    let files = lake.mart_files("note_growth", date(9)).expect("a folder");
    assert_eq!(files, ["marts/note_growth/dt=2026-03-09/m.parquet"]);
    assert!(lake.is_in_place(&files, Some(b"m")));
    assert!(!lake.is_in_place(&files, Some(b"n")));
    assert!(!lake.is_in_place(&files, None));
    assert_eq!(
        lake.mart_files("note_growth", date(10)).expect("none"),
        [""; 0]
    );
}

#[test]
fn a_damaged_memory_is_none() {
    let (_dir, lake) = lake();
    assert_eq!(lake.computed_marts(), Computed::default());
    let failed = FailedMart {
        date: date(9),
        period: Period::Day,
        mart: Some("note_growth".to_owned()),
        reason: "it panicked".to_owned(),
    };
    let computed = Computed {
        inputs: ByPeriod {
            days: Inputs::from([(date(9), "abc".to_owned())]),
            weeks: Inputs::from([(date(9), "def".to_owned())]),
        },
        failed: vec![failed],
    };
    lake.remember_marts(&computed).expect("a file");
    assert_eq!(lake.computed_marts(), computed);
    // As it was written before marts were remembered that failed.
    let path = lake.root().join("_state/marts.json");
    fs::write(&path, "{\"days\": {\"2026-03-09\": \"abc\"}}").expect("a file");
    assert_eq!(lake.computed_marts().inputs.days, computed.inputs.days);
    assert_eq!(lake.computed_marts().failed, []);
    assert_eq!(lake.computed_marts().inputs.weeks, Inputs::new());
    fs::write(path, "{\"days\": {\"2026").expect("a file");
    assert_eq!(lake.computed_marts(), Computed::default());
}

#[test]
fn who_takes_the_lock_finds_commits_finished() {
    let (_dir, lake) = lake();
    let path = mart_path("note_growth", date(9), "m");
    commit(&lake, "m", &[(&path, "m")], &[]);
    // As if its process had died before it renamed anything.
    let record = lake.root().join("_commits/m.json");
    let text = fs::read_to_string(&record).expect("a record");
    fs::write(
        &record,
        text.replace("\"applied\": true", "\"applied\": false"),
    )
    .expect("a file");
    let staged = lake.root().join("_staging/m").join(&path);
    fs::create_dir_all(staged.parent().expect("a folder")).expect("a folder");
    fs::rename(lake.root().join(&path), staged).expect("renamed");
    assert_eq!(
        lake.mart_files("note_growth", date(9)).expect("a folder"),
        [""; 0]
    );
    let _lock = lake.lock_marts().expect("the lock");
    let files = lake.mart_files("note_growth", date(9)).expect("a folder");
    assert_eq!(files, [path]);
}
