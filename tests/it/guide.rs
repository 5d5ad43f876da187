//! Each command of the guide in `pipelines/README.md`, one after the other, as a stranger types it.

use crate::support::{Lake, SandboxProcess, repository, shell};

/// The lines of the `sh` blocks of a section.
fn commands(section: &str) -> Vec<String> {
    let readme = std::fs::read_to_string(repository("pipelines/README.md")).expect("the README");
    let text = readme
        .split(&format!("\n## {section}\n"))
        .nth(1)
        .expect("the section");
    let text = text.split("\n## ").next().expect("its end");
    let blocks = text.split("```sh\n").skip(1);
    let lines = blocks.flat_map(|block| block.split("```").next().expect("its end").lines());
    lines.map(str::to_owned).collect()
}

/// Runs lines in one shell, which stops at the first that fails. `redlake` is the tested binary, and
/// the real API is a sandbox of another process.
fn run(lines: &[String], lake: &Lake, sandbox: &SandboxProcess) {
    let folder = lake.path().parent().expect("a folder").to_owned();
    let mut shell = shell();
    shell
        .args(["-exc", &lines.join("\n")])
        .current_dir(folder)
        .env("JUSTONEAPI_BASE_URL", &sandbox.url)
        .env("XHS_OPEN_BASE_URL", &sandbox.url)
        .env("JUSTONEAPI_TOKEN", "sandbox")
        .env("XHS_OPEN_TOKEN", "sandbox");
    let output = shell.output().expect("a shell");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
}

#[test]
fn each_command_of_the_guide_works() {
    let lines = commands("A first run");
    assert!(lines.len() > 20, "{lines:#?}");
    let lake = Lake::new();
    let sandbox = SandboxProcess::with(&["--frozen"]);
    run(&lines, &lake, &sandbox);
    let watch = lake.path().with_file_name("watch");
    for folder in ["rehearsal", "backup", "old-lake", "moved", "shared"] {
        assert!(watch.join(folder).join("_state").is_dir(), "{folder}");
    }
}

#[cfg(unix)]
#[test]
fn each_command_of_a_watched_schedule_works() {
    let lake = Lake::new();
    let sandbox = SandboxProcess::with(&["--frozen"]);
    let mut lines = vec![
        "redlake init watch".to_owned(),
        "cd watch".to_owned(),
        "printf '%s\\n' 露营 > keywords.txt".to_owned(),
        "printf '%s\\n' 'schedule: {cron: \"0 * * * *\"}' >> watch.yaml".to_owned(),
    ];
    let guide = commands("On a schedule, watched");
    assert!(guide.len() >= 5, "{guide:#?}");
    lines.extend(guide);
    run(&lines, &lake, &sandbox);
    let watch = lake.path().with_file_name("watch");
    assert!(watch.join("lake/_state").is_dir());
    assert!(watch.join("deploy/redlake-watch.crontab").is_file());
}

#[test]
fn each_command_of_upkeep_works() {
    let lake = Lake::new();
    let sandbox = SandboxProcess::with(&["--frozen"]);
    lake.run(&repository("pipelines/demo.yaml"), &[]);
    let lines = commands("Upkeep");
    assert!(lines.len() >= 3, "{lines:#?}");
    run(&lines, &lake, &sandbox);
}

#[test]
fn each_command_of_status_and_metrics_works() {
    let lake = Lake::new();
    let sandbox = SandboxProcess::with(&["--frozen"]);
    let mut lines: Vec<String> = [
        "redlake init watch",
        "cd watch",
        "printf '%s\\n' 露营 敏感肌 > keywords.txt",
        "redlake run watch.yaml",
    ]
    .map(str::to_owned)
    .to_vec();
    lines.extend(commands("Status"));
    lines.extend(commands("Metrics"));
    assert!(lines.len() >= 10, "{lines:#?}");
    run(&lines, &lake, &sandbox);
    let metrics = lake.path().with_file_name("watch").join("metrics");
    assert!(metrics.join("watch.prom").exists() && metrics.join("redlake_status.prom").exists());
}
