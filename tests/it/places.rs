//! The folder of a lake: relative to the pipeline, refused where it cannot be one, told when it is new.

use std::path::{Path, PathBuf};

use crate::support::{fail, redlake, succeed};

/// A temporary folder with `pipelines/watch.yaml`, a search of one page on the sandbox.
struct Folder(tempfile::TempDir);

const PIPELINE: &str = "pipelines/watch.yaml";

impl Folder {
    fn new(load: &str) -> Self {
        let folder = Folder(tempfile::TempDir::new().expect("a temporary folder"));
        folder.write(load);
        folder
    }

    fn write(&self, load: &str) {
        let text = format!(
            "version: 1\npipeline: watch\nsource: {{name: justoneapi, base_url: sandbox}}\n\
             keyword_sets: {{k: [防晒]}}\nextract:\n  - {{endpoint: note_search, keywords: [k], \
             pages: {{max: 1}}}}\n{load}\n"
        );
        let path = self.path(PIPELINE);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a writable folder");
        std::fs::write(path, text).expect("a writable folder");
    }

    fn path(&self, below: &str) -> PathBuf {
        self.0.path().join(below)
    }

    /// The binary with the folder `from`, below this one, as its working directory.
    fn redlake(&self, from: &str, args: &[&str]) -> std::process::Command {
        let mut command = redlake();
        command.args(args).current_dir(self.path(from));
        command
    }

    fn refused(&self, args: &[&str]) -> String {
        let (code, text) = fail(&mut self.redlake("", args));
        assert_eq!(code, 2, "{text}");
        text
    }

    fn is_lake(&self, below: &str) -> bool {
        self.path(below).join("_state/lake.json").exists()
    }
}

#[test]
fn a_lake_is_relative_to_the_pipeline_and_not_to_the_working_directory() {
    let folder = Folder::new("load: {lake: ../data/lake}");
    let cwd = folder.path("elsewhere/deep");
    std::fs::create_dir_all(&cwd).expect("a writable folder");
    let run = ["run", "../../pipelines/watch.yaml"];
    let first = succeed(&mut folder.redlake("elsewhere/deep", &run));
    let stderr = String::from_utf8(first.stderr).expect("UTF-8");
    assert!(stderr.starts_with("new lake: /"), "{stderr}");
    assert!(stderr.contains("data/lake\n"), "{stderr}");
    assert!(folder.is_lake("data/lake"));
    // The second run is at home in the same lake, and says nothing of a new one.
    let second = succeed(&mut folder.redlake("", &["run", PIPELINE]));
    assert_eq!(String::from_utf8(second.stderr).expect("UTF-8"), "");
    let count = [
        "query",
        "--lake",
        "data/lake",
        "--format",
        "csv",
        "select count(*) n from runs",
    ];
    let counted = succeed(&mut folder.redlake("", &count)).stdout;
    assert_eq!(String::from_utf8(counted).expect("UTF-8"), "n\n2\n");
}

#[test]
fn the_flag_the_environment_and_the_default_are_relative_to_the_working_directory() {
    let folder = Folder::new("");
    std::fs::create_dir(folder.path("cwd")).expect("a writable folder");
    let run = ["run", "../pipelines/watch.yaml"];
    succeed(&mut folder.redlake("cwd", &run));
    assert!(folder.is_lake("cwd/lake"));
    folder.write("load: {lake: ../other}");
    succeed(folder.redlake("cwd", &run).env("REDLAKE_LAKE", "second"));
    assert!(folder.is_lake("cwd/second"));
    succeed(&mut folder.redlake("cwd", &["run", run[1], "--lake", "third"]));
    assert!(folder.is_lake("cwd/third"));
    assert!(!folder.path("other").exists());
}

#[test]
fn a_lake_at_its_place_of_before_is_not_left_behind() {
    let folder = Folder::new("load: {lake: lake}");
    let run = ["run", PIPELINE];
    // As an earlier version wrote it: relative to the working directory.
    succeed(&mut folder.redlake("", &["run", PIPELINE, "--lake", "lake"]));
    let text = folder.refused(&run);
    let (new, old) = (folder.path("pipelines/lake"), folder.path("lake"));
    for part in [
        "pipelines/watch.yaml:7:",
        &shown(&new),
        &shown(&old),
        "--lake lake",
    ] {
        assert!(text.contains(part), "`{part}` is missing in:\n{text}");
    }
    assert!(!new.exists());
    // Another pipeline is not kept from beginning a lake of its own.
    let text_of = std::fs::read_to_string(folder.path(PIPELINE)).expect("the pipeline");
    let other = text_of.replace("pipeline: watch", "pipeline: other");
    std::fs::write(
        folder.path("pipelines/other.yaml"),
        other.replace("lake: lake", "lake: own"),
    )
    .expect("a writable folder");
    std::fs::create_dir_all(folder.path("pipelines")).expect("a folder");
    succeed(&mut folder.redlake("", &["run", "pipelines/other.yaml"]));
    // The flag decides, and so does a lake at the new place.
    succeed(&mut folder.redlake("", &["run", PIPELINE, "--lake", "lake"]));
    succeed(&mut folder.redlake("", &["run", PIPELINE, "--lake", "pipelines/lake"]));
    succeed(&mut folder.redlake("", &run));
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[test]
fn the_folder_of_the_pipeline_itself_can_be_the_lake() {
    let folder = Folder::new("load: {lake: .}");
    succeed(&mut folder.redlake("pipelines", &["run", "watch.yaml"]));
    assert!(folder.is_lake("pipelines"));
    folder.write("load: {lake: ..}");
    succeed(&mut folder.redlake("", &["run", PIPELINE]));
    assert!(folder.is_lake(""));
    let plan = ["plan", PIPELINE];
    succeed(&mut folder.redlake("", &plan));
}

#[test]
fn a_home_folder_is_expanded() {
    let folder = Folder::new("load: {lake: ~/lakes/red}");
    let home = folder.path("home");
    succeed(folder.redlake("", &["run", PIPELINE]).env("HOME", &home));
    assert!(folder.is_lake("home/lakes/red"));
    let run = ["run", PIPELINE, "--lake", "~/second"];
    succeed(folder.redlake("", &run).env("HOME", &home));
    assert!(folder.is_lake("home/second"));
    assert!(!folder.path("~").exists());
    let (code, text) = fail(folder.redlake("", &["run", PIPELINE]).env_remove("HOME"));
    assert_eq!(code, 2);
    assert!(text.contains("needs the variable HOME"), "{text}");
}

#[test]
fn what_cannot_be_a_folder_is_refused_with_a_hint() {
    let cases = [
        ("s3://bucket/lake", "this is an address"),
        ("\"\"", "the path is empty"),
        ("'a\\b'", "the path has a backslash"),
        ("~bob/lake", "the home folder of another account"),
    ];
    for (lake, message) in cases {
        let folder = Folder::new(&format!("load: {{lake: {lake}}}"));
        let text = folder.refused(&["run", PIPELINE]);
        for part in [message, "watch.yaml:7:14", "name a local folder"] {
            assert!(
                text.contains(part),
                "{lake}: `{part}` is missing in:\n{text}"
            );
        }
        let flag = lake.trim_matches(['\'', '"']);
        let folder = Folder::new("");
        let text = folder.refused(&["run", PIPELINE, "--lake", flag]);
        assert!(text.contains(message), "{lake}: {text}");
        assert!(!folder.path("lake").exists());
    }
}

#[test]
#[cfg(unix)]
fn any_other_name_of_a_folder_works_and_so_does_its_catalog() {
    let folder = Folder::new("load: {lake: \"../数据 湖'[1]*{a}?$x/lake\"}");
    succeed(&mut folder.redlake("", &["run", PIPELINE]));
    succeed(&mut folder.redlake("", &["run", PIPELINE]));
    let lake = "数据 湖'[1]*{a}?$x/lake";
    let value = |args: &[&str]| {
        let all = [args, &["--lake", lake, "--format", "csv"]].concat();
        String::from_utf8(succeed(&mut folder.redlake("", &all)).stdout).expect("UTF-8")
    };
    let sql = "select count(distinct run_id) n from notes";
    assert_eq!(value(&["query", sql]), "n\n2\n");
    let catalog = duckdb::Connection::open(folder.path(lake).join("lake.duckdb"));
    let runs: i64 = catalog
        .and_then(|catalog| catalog.query_row(sql, [], |row| row.get(0)))
        .expect("a catalog");
    assert_eq!(runs, 2);
    let maintain = |args: &[&str]| {
        succeed(&mut folder.redlake("", &[args, &["--lake", lake]].concat()));
    };
    maintain(&["compact", "--before", "2026-03-10"]);
    maintain(&["verify"]);
    assert_eq!(value(&["query", sql]), "n\n2\n");
}
