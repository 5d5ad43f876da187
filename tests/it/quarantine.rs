//! `verify --quarantine`: what no commit added goes out of the tables, and nothing else goes anywhere.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Lake, fail, repository, succeed};

fn lake() -> Lake {
    let lake = Lake::new();
    lake.run(&repository("pipelines/demo.yaml"), &[]);
    lake
}

fn verified(lake: &Lake, more: &[&str]) -> (Option<i32>, Value) {
    let output = lake
        .redlake(&["verify", "--format", "json"])
        .args(more)
        .output()
        .expect("it runs");
    let found = serde_json::from_slice(&output.stdout).expect("JSON");
    (output.status.code(), found)
}

fn is_there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

#[test]
fn what_was_moved_is_listed_and_nothing_in_quarantine_is_overwritten() {
    let lake = lake();
    let strangers = [
        "tables/notes/dt=2026-03-09/copy.parquet",
        "marts/keyword_daily/copy.parquet",
    ];
    for (round, suffix) in ["", ".1", ".2"].into_iter().enumerate() {
        for stranger in strangers {
            fs::write(lake.path().join(stranger), format!("PAR{round}")).expect("writable");
        }
        let (code, found) = verified(&lake, &["--quarantine"]);
        assert_eq!(code, Some(0), "{found}");
        assert_eq!(found["problems"], json!([]));
        let moved =
            |path: &str| json!({"from": path, "to": format!("_state/quarantine/{path}{suffix}")});
        assert_eq!(
            found["moved"],
            json!([moved(strangers[1]), moved(strangers[0])])
        );
    }
    for stranger in strangers {
        assert!(!is_there(&lake.path().join(stranger)));
        for (round, suffix) in ["", ".1", ".2"].into_iter().enumerate() {
            let path = lake
                .path()
                .join(format!("_state/quarantine/{stranger}{suffix}"));
            assert_eq!(
                fs::read_to_string(path).expect("text"),
                format!("PAR{round}")
            );
        }
    }
    fs::write(lake.path().join(strangers[0]), "PAR3").expect("writable");
    let output = succeed(&mut lake.redlake(&["verify", "--quarantine"]));
    let told = String::from_utf8(output.stdout).expect("UTF-8");
    let expected = format!("moved: {0} to _state/quarantine/{0}.3\n", strangers[0]);
    assert!(told.contains(&expected), "{told}");
    assert_eq!(verified(&lake, &[]).1["moved"], json!([]));
}

#[test]
fn links_are_moved_and_not_followed() {
    let lake = lake();
    let elsewhere = lake.write("elsewhere.parquet", "PAR1 of somebody else");
    let folder = lake.path().with_file_name("folder");
    fs::create_dir(&folder).expect("a folder");
    fs::write(folder.join("theirs.parquet"), "PAR1").expect("writable");
    let links = [
        ("tables/notes/dt=2026-03-09/file.parquet", &elsewhere),
        ("tables/users/dt=2026-03-10", &folder),
        ("marts/keyword_daily/circle", &lake.path()),
        ("tables/notes/dt=2026-03-09/dangling", &folder.join("none")),
    ];
    for (link, target) in &links {
        symlink(target, lake.path().join(link)).expect("a link");
    }
    let (code, found) = verified(&lake, &[]);
    assert_eq!(code, Some(6));
    let problem = |path: &str| {
        json!({"path": path, "kind": "stranger", "detail": "a symbolic link; its \
                                       target was not checked"})
    };
    let expected = json!([
        problem(links[2].0),
        problem(links[3].0),
        problem(links[0].0),
        problem(links[1].0),
    ]);
    assert_eq!(found["problems"], expected);

    let (code, found) = verified(&lake, &["--quarantine"]);
    assert_eq!(
        (code, found["moved"].as_array().map(Vec::len)),
        (Some(0), Some(4)),
        "{found}"
    );
    for (link, target) in &links {
        assert!(!is_there(&lake.path().join(link)), "{link}");
        let moved = lake.path().join("_state/quarantine").join(link);
        assert_eq!(fs::read_link(&moved).expect("a link"), **target);
    }
    let kept = fs::read_to_string(&elsewhere).expect("text");
    assert_eq!(kept, "PAR1 of somebody else");
    let kept = fs::read_to_string(folder.join("theirs.parquet"));
    assert_eq!(kept.expect("text"), "PAR1");
    assert_eq!(lake.value("select count(*) from notes"), 553);
}

/// The days of a table may lie on another disk.
#[test]
fn a_link_that_leads_to_committed_files_stays() {
    for linked in ["tables/notes/dt=2026-03-09", "tables/notes", "tables"] {
        let lake = lake();
        let moved = lake.path().with_file_name("disk");
        fs::rename(lake.path().join(linked), &moved).expect("a rename");
        symlink(&moved, lake.path().join(linked)).expect("a link");
        let (code, found) = verified(&lake, &["--quarantine"]);
        assert_eq!(code, Some(6), "{found}");
        assert_eq!(found["moved"], json!([]), "{linked}");
        assert_eq!(found["problems"][0]["path"], linked);
        let files = fs::read_dir(lake.path().join("tables/notes/dt=2026-03-09"));
        assert_eq!(files.expect("a folder").count(), 1);
    }
}

#[test]
fn nothing_is_moved_through_a_link() {
    for linked in [
        "_state/quarantine",
        "_state/quarantine/tables",
        "_state/quarantine/tables/notes",
    ] {
        let lake = lake();
        let elsewhere = lake.path().with_file_name("elsewhere");
        fs::create_dir(&elsewhere).expect("a folder");
        let link = lake.path().join(linked);
        fs::create_dir_all(link.parent().expect("a folder")).expect("a folder");
        symlink(&elsewhere, &link).expect("a link");
        let stranger = lake.path().join("tables/notes/dt=2026-03-09/copy.parquet");
        fs::write(&stranger, "PAR1").expect("writable");
        let first = lake.path().join("marts/keyword_daily/copy.parquet");
        fs::write(&first, "PAR1").expect("writable");
        let output = lake
            .redlake(&["verify", "--quarantine"])
            .output()
            .expect("it runs");
        assert_eq!(output.status.code(), Some(2));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let expected = format!(
            "error: {} is a symbolic link or not a folder, so no file is moved through it\n  hint: \
             replace it by a folder",
            link.display()
        );
        assert!(said.contains(&expected), "{said}");
        assert!(is_there(&stranger));
        assert_eq!(fs::read_dir(&elsewhere).expect("a folder").count(), 0);
        // What was moved before that is told all the same.
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let is_moved = told.contains("moved: marts/keyword_daily/copy.parquet to ");
        assert_eq!(is_moved, linked != "_state/quarantine", "{told}");
        assert_eq!(is_there(&first), !is_moved);
    }
}

#[test]
fn other_strangers_than_files_of_tables_are_moved_too() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let lake = lake();
    let folder = lake.path().join("tables/notes/dt=2026-03-09");
    let name = OsStr::from_bytes(b"not-utf8-\xff.parquet");
    fs::write(folder.join(name), "PAR1").expect("writable");
    let acting = "red\u{1b}[31m\u{202e}.parquet";
    fs::write(folder.join(acting), "PAR1").expect("writable");
    let kept = lake.path().with_file_name("kept.parquet");
    fs::write(&kept, "PAR1").expect("writable");
    fs::hard_link(&kept, folder.join("second-name.parquet")).expect("a link");
    let before = fs::metadata(&kept).expect("a file").permissions();
    let output = succeed(&mut lake.redlake(&["verify", "--quarantine"]));
    let told = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(told.contains("red\\u{1b}[31m\\u{202e}.parquet"), "{told}");
    assert!(
        !told.contains('\u{1b}') && !told.contains('\u{202e}'),
        "{told}"
    );
    assert_eq!(told.matches("moved: ").count(), 3);
    let target = lake
        .path()
        .join("_state/quarantine/tables/notes/dt=2026-03-09");
    for name in [name, OsStr::new(acting), OsStr::new("second-name.parquet")] {
        assert!(is_there(&target.join(name)) && !is_there(&folder.join(name)));
    }
    assert_eq!(fs::metadata(&kept).expect("a file").permissions(), before);
}

#[test]
fn a_dry_run_moves_nothing() {
    let lake = lake();
    let stranger = lake.path().join("tables/notes/dt=2026-03-09/copy.parquet");
    fs::write(&stranger, "PAR1").expect("writable");
    let (code, found) = verified(&lake, &["--quarantine", "--dry-run"]);
    assert_eq!((code, &found["moved"]), (Some(0), &json!([])));
    assert!(is_there(&stranger));
    let (code, _) = fail(&mut lake.redlake(&["verify"]));
    assert_eq!(code, 6);
}
