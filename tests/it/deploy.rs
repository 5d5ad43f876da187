//! `redlake deploy` and `redlake schedule`. `tests/deploy/check.sh` checks the files with the programs
//! that read them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{fail, redlake, succeed};

const SCHEDULERS: [&str; 5] = ["cron", "systemd", "airflow", "kubernetes", "github-actions"];

/// Time that the fake redlake of [`Site::fake`] says is due.
const DUE: &str = "2026-03-09T09:00:00+08:00";

/// A pipeline on the sandbox in a folder whose path needs quotes everywhere.
struct Site {
    dir: TempDir,
}

impl Site {
    fn new(more: &str) -> Self {
        let dir = TempDir::new().expect("a temporary folder");
        let site = Site { dir };
        fs::create_dir(site.folder()).expect("a new folder");
        site.write("关键词 1.txt", "露营\n敏感肌\n");
        site.write(".env", "JUSTONEAPI_TOKEN=very-secret-token\n");
        site.write(
            "我的 watch.yaml",
            &format!(
                "version: 1\npipeline: brand_watch\n\
                 source: {{name: justoneapi, base_url: sandbox}}\n\
                 keyword_sets: {{k: {{file: 关键词 1.txt}}}}\n\
                 extract:\n  - {{endpoint: note_search, keywords: [k], pages: {{max: 1}}}}\n\
                 limits: {{requests_per_second: 1000}}\nload: {{lake: ../湖}}\n{more}\n"
            ),
        );
        site
    }

    fn hourly() -> Self {
        Site::new("schedule: {cron: \"0 * * * *\"}")
    }

    fn folder(&self) -> PathBuf {
        self.dir.path().join("小红书 50% it's $HOME \"x\"")
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder().join(name);
        fs::write(&path, text).expect("a writable folder");
        path
    }

    fn redlake(&self, args: &[&str]) -> Command {
        let mut command = redlake();
        command.args(args).current_dir(self.folder());
        command.env("TZ", "Asia/Tokyo");
        command
    }

    fn deploy(&self, scheduler: &str, more: &[&str]) -> Command {
        let mut command = self.redlake(&["deploy", scheduler, "我的 watch.yaml"]);
        command.args(more);
        command
    }

    /// Returns the output of `deploy`.
    fn printed(&self, scheduler: &str, more: &[&str]) -> String {
        let output = succeed(&mut self.deploy(scheduler, more));
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// Writes the script that cron runs, with a fake redlake: it logs its arguments, and each run ends
    /// with the next of `codes`. Pauses take no time.
    fn fake(&self, codes: &[u8]) -> Fake {
        succeed(&mut self.deploy("cron", &["--output", "units", "--force"]));
        let script = self.folder().join("units/redlake-brand-watch.sh");
        Fake::of(&script, self.dir.path(), codes)
    }
}

/// A script with a fake redlake in the place of the real one.
struct Fake {
    script: PathBuf,
    folder: PathBuf,
}

impl Fake {
    fn of(script: &Path, folder: &Path, codes: &[u8]) -> Self {
        let executable = |name: &str, text: &str| {
            let path = folder.join(name);
            fs::write(&path, text).expect("a writable folder");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).expect("our file");
            path
        };
        let binary = executable(
            "fake",
            "#!/bin/sh\ncd \"${0%/*}\"\ncase $1 in\n\
             schedule) if [ \"${3:-}\" = --at ]; then echo \"$4\"; else cat due; fi; exit ;;\nesac\n\
             printf '<%s>' \"$@\" >> log; echo >> log\n\
             if [ -p started ]; then\n  trap 'exit 143' TERM\n  echo > started\n  \
             while :; do /bin/sleep 0.01; done\nfi\n\
             read code < codes; sed -i 1d codes\n[ ! -f later ] || mv later due\nexit \"$code\"\n",
        );
        executable("sleep", "#!/bin/sh\necho \"sleep $1\" >> \"${0%/*}/log\"\n");
        let codes: Vec<String> = codes.iter().map(|code| format!("{code}\n")).collect();
        fs::write(folder.join("codes"), codes.concat()).expect("a writable folder");
        fs::write(folder.join("due"), format!("{DUE}\n")).expect("a writable folder");
        let text = fs::read_to_string(script).expect("a script");
        let lines = text.lines().map(|line| {
            if line.starts_with("redlake=") {
                format!("redlake='{}'", binary.display())
            } else {
                line.to_owned()
            }
        });
        let lines: Vec<String> = lines.collect();
        fs::write(script, lines.join("\n") + "\n").expect("a writable folder");
        Fake {
            script: script.to_owned(),
            folder: folder.to_owned(),
        }
    }

    fn command(&self, args: &[&str]) -> Command {
        let path = std::env::var("PATH").expect("a PATH");
        let mut command = Command::new("sh");
        command.arg(&self.script).args(args);
        command.env("PATH", format!("{}:{path}", self.folder.display()));
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("a shell")
    }

    /// The commands so far, which are forgotten then.
    fn log(&self) -> Vec<String> {
        let path = self.folder.join("log");
        let text = fs::read_to_string(&path).unwrap_or_default();
        let _ = fs::remove_file(path);
        text.lines().map(str::to_owned).collect()
    }
}

#[test]
fn a_script_retries_what_may_pass_and_nothing_else() {
    let site = Site::hourly();
    let folder = site.folder().canonicalize().expect("a folder");
    let lake = folder.parent().expect("a folder").join("湖");
    let run = format!(
        "<run><{}/我的 watch.yaml><--lake><{}><--snapshot-at><{DUE}>",
        site.folder().display(),
        lake.display()
    );
    for (codes, attempts, expected) in [
        (vec![0], 1, 0),
        (vec![1, 0], 2, 0),
        (vec![3, 8, 0], 3, 0),
        (vec![8, 8, 8, 8], 4, 8),
        (vec![3, 3, 3, 1], 4, 1),
        (vec![2], 1, 2),
        (vec![4], 1, 4),
        (vec![5], 1, 5),
        (vec![6], 1, 6),
        (vec![7], 1, 0),
        (vec![3, 7], 2, 0),
        (vec![129], 1, 129),
        (vec![130], 1, 130),
        (vec![143], 1, 143),
        (vec![101], 1, 101),
        // The process was killed, as by a machine without memory.
        (vec![137, 0], 2, 0),
    ] {
        let fake = site.fake(&codes);
        let output = fake.run(&[]);
        assert_eq!(output.status.code(), Some(expected), "{codes:?}");
        let log = fake.log();
        let runs: Vec<&String> = log.iter().filter(|line| **line != "sleep 360").collect();
        // Only the fourth attempt, the last one, tells its failure to webhooks.
        let expected: Vec<String> = (1..=attempts)
            .map(|attempt| match attempt {
                4 => run.clone(),
                _ => format!("{run}<--will-retry>"),
            })
            .collect();
        let runs: Vec<String> = runs.into_iter().cloned().collect();
        assert_eq!(runs, expected, "{codes:?}");
        assert_eq!(log.len(), attempts * 2 - 1, "{log:?}");
    }
}

#[test]
fn a_script_stops_its_retries_when_the_next_time_is_due() {
    let site = Site::hourly();
    let fake = site.fake(&[3, 3, 3, 3]);
    fs::write(site.dir.path().join("later"), "2026-03-09T10:00:00+08:00\n").expect("a file");
    let output = fake.run(&[]);
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(fake.log().len(), 2);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        told.contains("exit code 3 for 2026-03-09T09:00:00+08:00; attempt 2 of 4 follows in 360 s")
    );
    assert!(told.contains("the next time is due"), "{told}");
}

#[test]
fn a_script_passes_a_signal_on_and_waits() {
    let site = Site::hourly();
    let fake = site.fake(&[]);
    let pipe = site.dir.path().join("started");
    succeed(Command::new("mkfifo").arg(&pipe));
    let child = fake.command(&["2/4"]).stderr(Stdio::null()).spawn();
    let mut child = child.expect("a shell");
    fs::read(&pipe).expect("redlake starts");
    succeed(Command::new("kill").args(["-TERM", &child.id().to_string()]));
    let status = child.wait().expect("an exit code");
    assert_eq!(status.code(), Some(143));
    let log = fake.log();
    assert_eq!(log.len(), 1, "{log:?}");
    assert!(log[0].ends_with("<--shard><2/4><--will-retry>"), "{log:?}");
}

#[test]
fn a_script_runs_the_pipeline_once_for_a_time() {
    let site = Site::hourly();
    let written = succeed(&mut site.deploy("cron", &["-o", "units"]));
    let told = String::from_utf8(written.stdout).expect("UTF-8");
    assert!(
        told.contains("wrote ") && told.contains("crontab"),
        "{told}"
    );
    let script = site.folder().join("units/redlake-brand-watch.sh");
    for _ in 0..2 {
        succeed(Command::new("sh").arg(&script));
    }
    let sql = "select count(*) as runs, min(status) as status from runs";
    let mut query = site.redlake(&["query", sql, "--format", "json", "--lake", "../湖"]);
    let rows: Value = serde_json::from_slice(&succeed(&mut query).stdout).expect("JSON");
    assert_eq!(rows, json!([{"runs": 1, "status": "complete"}]));
    let upkeep = site.folder().join("units/redlake-brand-watch-upkeep.sh");
    succeed(Command::new("sh").arg(&upkeep).arg("daily"));
    let (code, told) = fail(Command::new("sh").arg(&upkeep));
    assert_eq!(code, 2);
    assert!(told.contains("give `daily` or `status`"), "{told}");
}

#[test]
fn a_pod_takes_its_time_from_the_name_of_its_job() {
    let site = Site::hourly();
    let manifests = site.printed("kubernetes", &["--shards", "3"]);
    let block = manifests.split("\n  run.sh: |\n").nth(1).expect("a script");
    let lines = block
        .lines()
        .take_while(|line| line.is_empty() || line.starts_with("    "));
    let lines: Vec<&str> = lines
        .map(|line| line.get(4..).unwrap_or_default())
        .collect();
    let script = site.write("run.sh", &(lines.join("\n") + "\n"));
    let at = |job: &str| {
        let fake = Fake::of(&script, site.dir.path(), &[0]);
        let mut command = fake.command(&[]);
        command
            .env("JOB_NAME", job)
            .env("JOB_COMPLETION_INDEX", "2");
        succeed(&mut command);
        fake.log()
    };
    let now = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .expect("a clock");
    let minutes = now.as_secs() / 60 - 5;
    let due = chrono::DateTime::from_timestamp(minutes as i64 * 60, 0).expect("a time");
    let run = |at: &str| {
        vec![format!(
            "<run></etc/redlake/pipeline/我的 watch.yaml><--lake></data/lake><--snapshot-at><{at}>\
             <--shard><3/3><--will-retry>"
        )]
    };
    let of_job = run(&due.format("%Y-%m-%dT%H:%M:%SZ").to_string());
    assert_eq!(at(&format!("redlake-brand-watch-{minutes}")), of_job);
    for by_hand in [
        "redlake-brand-watch-trial",
        "a-20261127",
        "a-012",
        "a-99999999",
    ] {
        assert_eq!(at(by_hand), run(DUE), "{by_hand}");
    }
}

#[test]
fn each_scheduler_gets_its_form_of_the_times() {
    let site = Site::new("schedule: {cron: \"30 6,9 * * mon-fri\"}");
    for (scheduler, lines) in [
        // This machine is in Tokyo, an hour before Shanghai.
        ("cron", vec!["\n30 7,10 * * 1-5 /bin/sh '"]),
        (
            "systemd",
            vec!["\nOnCalendar=Mon,Tue,Wed,Thu,Fri *-*-* 6,9:30:00 Asia/Shanghai\n"],
        ),
        (
            "airflow",
            vec![
                "timetable(\"30 6,9 * * 1-5\")",
                "TIMEZONE = \"Asia/Shanghai\"",
            ],
        ),
        (
            "kubernetes",
            vec![
                "\n  schedule: \"30 6,9 * * 1-5\"\n  timeZone: \"Asia/Shanghai\"\n",
                "\n  concurrencyPolicy: Forbid\n",
            ],
        ),
        (
            "github-actions",
            vec![
                "    - cron: \"30 1 * * 1-5\"\n",
                "    - cron: \"30 22 * * 0-4\"\n",
            ],
        ),
    ] {
        let text = site.printed(scheduler, &[]);
        for line in lines {
            assert!(text.contains(line), "`{line}` is missing in:\n{text}");
        }
    }
}

#[test]
fn files_have_absolute_paths_and_no_secret() {
    let site = Site::hourly();
    for scheduler in SCHEDULERS {
        let text = site.printed(scheduler, &[]);
        assert!(!text.contains("very-secret-token"), "{scheduler}");
        assert!(text.contains("--max-age"), "{scheduler}");
        assert!(text.contains("2h"), "{scheduler}");
        if scheduler != "kubernetes" {
            assert!(text.contains(env!("CARGO_BIN_EXE_redlake")), "{scheduler}");
        }
    }
    let manifests = site.printed("kubernetes", &[]);
    assert!(
        manifests.contains("path: \"pipeline/关键词 1.txt\""),
        "{manifests}"
    );
    assert!(
        manifests.contains("\n  file-1: |\n    露营\n    敏感肌\n"),
        "{manifests}"
    );
}

#[test]
fn parts_are_units_of_their_own() {
    let site = Site::hourly();
    let shards = ["--shards", "2"];
    let cron = site.printed("cron", &shards);
    assert_eq!(
        cron.matches("redlake-brand-watch.sh' 1/2 >").count(),
        2,
        "{cron}"
    );
    assert_eq!(
        cron.matches("redlake-brand-watch.sh' 2/2 >").count(),
        2,
        "{cron}"
    );
    let systemd = site.printed("systemd", &shards);
    assert!(
        systemd.contains("/redlake-brand-watch@.timer <=="),
        "{systemd}"
    );
    assert!(
        systemd.contains("redlake-brand-watch.sh\" %i/2\n"),
        "{systemd}"
    );
    let airflow = site.printed("airflow", &shards);
    assert!(
        airflow.contains("run.override(task_id=\"run_2\")(\"2/2\")"),
        "{airflow}"
    );
    let kubernetes = site.printed("kubernetes", &shards);
    for line in [
        "completionMode: Indexed",
        "completions: 2",
        "action: \"FailIndex\"",
    ] {
        assert!(kubernetes.contains(line), "{kubernetes}");
    }
    let github = site.printed("github-actions", &shards);
    assert!(github.contains("shard: [\"1/2\", \"2/2\"]"), "{github}");
    let few = Site::new("schedule: {cron: \"0 * * * *\"}").printed("cron", &[]);
    assert!(!few.contains("1/1"), "{few}");
}

#[test]
fn changed_files_are_replaced_only_by_force() {
    let site = Site::hourly();
    succeed(&mut site.deploy("systemd", &["-o", "units"]));
    let again = succeed(&mut site.deploy("systemd", &["-o", "units"]));
    let again = String::from_utf8(again.stdout).expect("UTF-8");
    assert!(again.contains("all files are there already"), "{again}");
    assert!(
        again.contains("systemctl enable --now redlake-brand-watch.timer"),
        "{again}"
    );
    let changed = site.write("units/redlake-brand-watch.timer", "mine\n");
    let (code, told) = fail(&mut site.deploy("systemd", &["-o", "units"]));
    assert_eq!(code, 2);
    assert!(
        told.contains("exists and differs") && told.contains("--force"),
        "{told}"
    );
    assert_eq!(fs::read_to_string(&changed).expect("a file"), "mine\n");
    succeed(&mut site.deploy("systemd", &["-o", "units", "--force"]));
    assert_ne!(fs::read_to_string(&changed).expect("a file"), "mine\n");
}

#[test]
fn a_pipeline_without_times_or_with_special_days_is_refused() {
    for (more, part) in [
        (
            "",
            "add its times to the pipeline, such as: schedule: {cron: \"0 * * * *\"}",
        ),
        ("schedule: {cron: \"0 9 L * *\"}", "not L, W, # or +"),
        ("schedule: {cron: \"0 9 29 2 *\"}", "less than twice a year"),
    ] {
        let site = Site::new(more);
        for scheduler in SCHEDULERS {
            let (code, told) = fail(&mut site.deploy(scheduler, &[]));
            assert_eq!(code, 2, "{told}");
            assert!(told.contains(part), "{told}");
        }
    }
    let salt = "privacy: {hash: [users.nickname], salt: 0123456789abcdef0123}";
    let site = Site::new(&format!("schedule: {{cron: \"0 * * * *\"}}\n{salt}"));
    let (code, told) = fail(&mut site.deploy("kubernetes", &[]));
    assert_eq!(code, 2, "{told}");
    assert!(told.contains("a ConfigMap is no place for it"), "{told}");
    assert!(!told.contains("0123456789abcdef"), "{told}");
    let (code, told) = fail(&mut site.deploy("cron", &["--schemas", "."]));
    assert_eq!(code, 2, "{told}");
    assert!(
        told.contains("name the folder in the pipeline: schemas: DIR"),
        "{told}"
    );
    let site = Site::new("");
    let (code, told) = fail(&mut site.redlake(&["schedule", "我的 watch.yaml"]));
    assert_eq!(code, 2, "{told}");
    assert!(told.contains("has no `schedule`"), "{told}");
}

#[test]
fn schedule_prints_the_newest_due_time_or_the_next_ones() {
    let site = Site::new("schedule: {cron: \"0 9,18 * * *\"}");
    let printed = |more: &[&str]| {
        let mut command = site.redlake(&["schedule", "我的 watch.yaml"]);
        command
            .args(more)
            .env("FAILPOINTS", "now=return(2026-03-09T04:00:00Z)");
        String::from_utf8(succeed(&mut command).stdout).expect("UTF-8")
    };
    assert_eq!(printed(&[]), "2026-03-09T09:00:00+08:00\n");
    assert_eq!(
        printed(&["--next", "2"]),
        "2026-03-09T18:00:00+08:00\n2026-03-10T09:00:00+08:00\n"
    );
    let at = ["--at", "2026-03-09T00:59:59Z"];
    assert_eq!(printed(&at), "2026-03-08T18:00:00+08:00\n");
    let report = printed(&["--next", "1", "--format", "json"]);
    let report: Value = serde_json::from_str(&report).expect("JSON");
    let expected = json!({
        "pipeline": "brand_watch",
        "cron": "0 9,18 * * *",
        "timezone": "Asia/Shanghai",
        "due": "2026-03-09T09:00:00+08:00",
        "next": ["2026-03-09T18:00:00+08:00"],
    });
    assert_eq!(report, expected);
    let run = succeed(&mut site.redlake(&[
        "run",
        "我的 watch.yaml",
        "--snapshot-at",
        printed(&[]).trim(),
        "--format",
        "json",
    ]));
    let run: Value = serde_json::from_slice(&run.stdout).expect("JSON");
    assert_eq!(run["snapshot_at"], "2026-03-09T01:00:00Z");
}

#[test]
fn a_script_of_parts_wants_a_part() {
    let site = Site::hourly();
    let written = succeed(&mut site.deploy("cron", &["-o", "units", "--shards", "2"]));
    let told = String::from_utf8(written.stdout).expect("UTF-8");
    assert!(told.contains(" 1/2 ") && told.contains(" 2/2 "), "{told}");
    let script = site.folder().join("units/redlake-brand-watch.sh");
    let (code, told) = fail(Command::new("sh").arg(&script));
    assert_eq!(code, 2);
    assert!(
        told.contains("give the part of the searches, such as 1/2"),
        "{told}"
    );
}

#[test]
fn an_unhealthy_status_says_its_problems_on_stderr() {
    let site = Site::hourly();
    succeed(&mut site.deploy("cron", &["-o", "units"]));
    let upkeep = site.folder().join("units/redlake-brand-watch-upkeep.sh");
    succeed(&mut site.redlake(&["run", "我的 watch.yaml", "--lake", "../湖"]));
    let held = fs::read_to_string(&upkeep).expect("a script");
    let held = held.replace("--notify", "--notify --max-verify-age 1h");
    fs::write(&upkeep, held).expect("a writable folder");
    let (code, told) = fail(Command::new("sh").args([upkeep.to_str().expect("UTF-8"), "status"]));
    assert_eq!(code, 9);
    assert!(told.contains("problem: "), "{told}");
    assert!(told.contains("the lake was never verified"), "{told}");
}

#[test]
fn pipelines_with_the_same_beginning_have_units_of_their_own() {
    let unit = |name: &str| {
        let site = Site::new("schedule: {cron: \"0 * * * *\"}");
        let path = site.folder().join("我的 watch.yaml");
        let text = fs::read_to_string(&path).expect("a pipeline");
        fs::write(
            &path,
            text.replace("pipeline: brand_watch", &format!("pipeline: {name}")),
        )
        .expect("a writable folder");
        let printed = site.printed("cron", &[]);
        let begin = printed.find("redlake-brand").expect("a unit");
        let rest = &printed[begin..];
        rest[..rest.find('.').unwrap_or(rest.len())].to_owned()
    };
    let long = "brand_watch_for_the_european_market_skincare";
    let (de, fr) = (unit(&format!("{long}_de")), unit(&format!("{long}_fr")));
    assert_ne!(de, fr);
    assert!(de.len() <= 52, "{de}");
    assert_eq!(unit("brand_x"), "redlake-brand-x");
}
