//! Modes: what was paid for is for its owner alone, whatever the umask; tables are for everybody whom the umask lets.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::checks::{BLOCKING, checking};
use crate::support::{Lake, copy, redlake, succeed};

const PIPELINE: &str = "
version: 1
pipeline: private
source: {name: justoneapi, base_url: sandbox}
keyword_sets: {words: [兰蔻]}
extract:
  - {endpoint: user_search, keywords: [words], pages: {max: 1}}
";

/// A command of the binary with another umask.
fn with_umask(umask: &str, command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &format!("umask {umask}; exec \"$0\" \"$@\"")])
        .arg(command.get_program())
        .args(command.get_args());
    if let Some(folder) = command.get_current_dir() {
        shell.current_dir(folder);
    }
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell
}

fn mode(path: &Path) -> u32 {
    let found = fs::symlink_metadata(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    found.mode() & 0o777
}

/// Everything at and below a path, folders included.
fn all_below(path: &Path) -> Vec<PathBuf> {
    let mut all = vec![path.to_owned()];
    if path.is_dir() {
        for entry in fs::read_dir(path).expect("a folder").flatten() {
            all.extend(all_below(&entry.path()));
        }
    }
    all
}

/// Asserts the mode of every folder and of every file at and below these paths of a lake.
fn assert_modes(lake: &Lake, paths: &[&str], folders: u32, files: u32) {
    for path in paths {
        for found in all_below(&lake.path().join(path)) {
            let wanted = if found.is_dir() { folders } else { files };
            let mode = mode(&found);
            assert_eq!(mode, wanted, "{}: {mode:o}", found.display());
        }
    }
}

fn run_at(lake: &Lake, umask: &str, hour: u32, more: &str) {
    let pipeline = lake.write("private.yaml", &format!("{PIPELINE}{more}"));
    let at = format!("2026-03-08T{hour:02}:00:00+08:00");
    let args = [
        "run",
        pipeline.to_str().expect("UTF-8"),
        "--snapshot-at",
        &at,
    ];
    succeed(&mut with_umask(umask, &lake.redlake(&args)));
}

const PRIVATE: [&str; 3] = ["raw", "_staging", "_state/runs"];
const SHARED: [&str; 8] = [
    "tables",
    "marts",
    "_commits",
    "lake.duckdb",
    "_state/lake.json",
    "_state/columns.json",
    "_state/commit.lock",
    "_state/readers.lock",
];

#[test]
fn what_was_paid_for_is_private_whatever_the_umask() {
    for (umask, folders, files) in [
        ("000", 0o777, 0o666),
        ("022", 0o755, 0o644),
        ("077", 0o700, 0o600),
    ] {
        let lake = Lake::new();
        for hour in 1..=3 {
            run_at(&lake, umask, hour, "");
        }
        assert_modes(&lake, &PRIVATE, 0o700, 0o600);
        assert_modes(&lake, &SHARED, folders, files);
        assert_eq!(lake.raw_files().len(), 3);
        // The folder of a compacted day is a staged one.
        succeed(&mut with_umask(umask, &lake.redlake(&["compact"])));
        let table = lake.path().join("tables/users/dt=2026-03-08");
        assert_eq!(fs::read_dir(&table).expect("a folder").count(), 1);
        assert_modes(&lake, &PRIVATE, 0o700, 0o600);
        assert_modes(&lake, &SHARED, folders, files);
        assert_eq!(mode(&lake.path().join("_state")), folders);
    }
}

#[test]
fn what_is_held_is_private_until_it_is_published() {
    for (umask, folders, files) in [("000", 0o777, 0o666), ("022", 0o755, 0o644)] {
        let lake = Lake::new();
        let pipeline = checking(&lake, "", &[BLOCKING]);
        let run = lake.redlake(&["run", pipeline.to_str().expect("UTF-8")]);
        let held = with_umask(umask, &run).output().expect("it runs");
        assert_eq!(held.status.code(), Some(6));
        let staged = all_below(&lake.path().join("_staging"));
        assert!(staged.len() > 10, "{staged:?}");
        assert_modes(&lake, &PRIVATE, 0o700, 0o600);
        let run_id = lake.value("select run_id from runs");
        let publish = lake.redlake(&["publish", run_id.as_str().expect("an id")]);
        succeed(&mut with_umask(umask, &publish));
        assert_modes(&lake, &["tables", "marts"], folders, files);
        assert_eq!(lake.value("select count(*) from notes"), 36);
    }
}

#[test]
fn a_pipeline_may_share_what_was_paid_for_with_a_group() {
    for umask in ["000", "022", "077"] {
        let lake = Lake::new();
        run_at(&lake, umask, 1, "load: {group: true}\n");
        assert_modes(&lake, &PRIVATE, 0o750, 0o640);
        // Commands without a pipeline do as the lake does.
        run_at(&lake, umask, 2, "load: {group: true}\n");
        let stranger = "tables/users/dt=2026-03-08/stranger.parquet";
        fs::write(lake.path().join(stranger), "PAR1").expect("writable");
        succeed(&mut with_umask(
            "022",
            &lake.redlake(&["verify", "--quarantine"]),
        ));
        assert_modes(&lake, &["_state/quarantine"], 0o750, 0o640);
        let verified = json_of(&lake, &["verify"]);
        assert_eq!(verified["remarks"], json!([]));
        // A pipeline that does not share keeps its answers to itself.
        run_at(&lake, umask, 3, "");
        let newest = lake.raw_files().pop().expect("pages");
        assert_eq!(mode(&newest), 0o600);
    }
}

#[test]
fn folders_of_an_older_lake_keep_their_modes_and_are_told() {
    let lake = Lake::new();
    run_at(&lake, "022", 1, "");
    for (path, mode) in [("raw", 0o755), ("_staging", 0o775), ("_state/runs", 0o750)] {
        let path = lake.path().join(path);
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
    }
    run_at(&lake, "022", 2, "");
    assert_eq!(mode(&lake.path().join("raw")), 0o755);
    assert_eq!(mode(&lake.path().join("_staging")), 0o775);
    // What is new in them is private.
    for path in lake.raw_files() {
        assert_eq!(mode(&path), 0o600);
    }
    let verified = json_of(&lake, &["verify"]);
    let remark = |path: &str, mode: &str| {
        json!({
            "path": path,
            "detail": format!("its mode is {mode}: other accounts may enter it"),
            "hint": format!("chmod 0700 '{}'", lake.path().join(path).display()),
        })
    };
    let expected = json!([
        remark("raw", "0755"),
        remark("_staging", "0775"),
        remark("_state/runs", "0750"),
    ]);
    assert_eq!(verified["remarks"], expected);
    assert_eq!(verified["problems"], json!([]));
    let output = succeed(&mut lake.redlake(&["verify"]));
    let told = String::from_utf8(output.stdout).expect("UTF-8");
    let raw = lake.path().join("raw");
    let expected = format!(
        "remark: raw: its mode is 0755: other accounts may enter it\n  hint: chmod 0700 '{}'\n",
        raw.display()
    );
    assert!(told.contains(&expected), "{told}");
    // Its advice helps.
    for (path, _) in [("raw", 0), ("_staging", 0), ("_state/runs", 0)] {
        let path = lake.path().join(path);
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).expect("a mode");
    }
    assert_eq!(json_of(&lake, &["verify"])["remarks"], json!([]));
}

fn json_of(lake: &Lake, args: &[&str]) -> Value {
    let output = succeed(lake.redlake(args).args(["--format", "json"]));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// The binary and DuckDB's library where every account may read them: the caches of this one need not be.
fn public_binary(folder: &Path) -> PathBuf {
    let binary = folder.join("redlake");
    fs::copy(env!("CARGO_BIN_EXE_redlake"), &binary).expect("a copy");
    let linked = Command::new("ldd")
        .arg(env!("CARGO_BIN_EXE_redlake"))
        .output();
    let linked = linked.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    for line in linked.unwrap_or_default().lines() {
        let path = line.split_whitespace().nth(2).map(Path::new);
        if let (true, Some(path)) = (line.contains("libduckdb"), path) {
            let name = path.file_name().expect("a name");
            fs::copy(path, folder.join(name)).expect("a copy");
        }
    }
    binary
}

fn redlake_with(args: &[&str]) -> Command {
    let mut command = redlake();
    command.args(args);
    command
}

/// A command of the binary as the account nobody.
fn as_nobody(binary: &Path, command: &Command) -> Command {
    let mut other = Command::new("setpriv");
    other
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
        .arg(binary)
        .args(command.get_args())
        .env("LD_LIBRARY_PATH", binary.parent().expect("a folder"))
        .current_dir("/");
    other
}

#[test]
fn another_account_reads_tables_and_runs_and_no_pages() {
    let start = Lake::new();
    run_at(&start, "022", 1, "");
    // Temporary folders are private.
    let lake = Lake::new();
    copy(&start.path(), &lake.path());
    let folder = lake.path();
    let folder = folder.parent().expect("a folder");
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).expect("a mode");
    for path in ["raw", "_staging", "_state/runs"] {
        let path = lake.path().join(path);
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).expect("a mode");
    }
    let run_id = lake.value("select run_id from runs");
    let run_id = run_id.as_str().expect("an id");
    let users = lake.value("select count(*) from users");
    let count = [
        "query",
        "select count(*) as n from users",
        "--format",
        "csv",
    ];
    let binary = public_binary(folder);
    let version = redlake_with(&["--version"]);
    let can = as_nobody(&binary, &version).output();
    if !can.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: this account cannot become another one");
        return;
    }
    let as_nobody = |command: &Command| as_nobody(&binary, command);
    let query = lake.redlake(&count);
    let told = String::from_utf8(succeed(&mut as_nobody(&query)).stdout).expect("UTF-8");
    assert_eq!(told, format!("n\n{users}\n"));

    let mut runs = as_nobody(&lake.redlake(&["runs"]));
    let output = succeed(&mut runs);
    assert!(String::from_utf8_lossy(&output.stdout).contains("| complete |"));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("_staging is not readable by this account"),
        "{said}"
    );

    let show = lake.redlake(&["show", run_id, "--format", "json"]);
    let shown = succeed(&mut as_nobody(&show));
    let shown: Value = serde_json::from_slice(&shown.stdout).expect("JSON");
    assert_eq!(shown["run"]["status"], "complete");
    assert_eq!(shown["unreadable"], json!(["_staging", "raw"]));
    assert_eq!(shown["raw"], json!([]));
    let text = succeed(&mut as_nobody(&lake.redlake(&["show", run_id])));
    let text = String::from_utf8(text.stdout).expect("UTF-8");
    assert!(
        text.ends_with("Not readable by this account: _staging, raw\n"),
        "{text}"
    );
    // Its own account is told nothing of the sort.
    assert_eq!(json_of(&lake, &["show", run_id])["unreadable"], Value::Null);
}
