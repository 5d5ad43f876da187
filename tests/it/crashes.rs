//! Whatever step of a commit the process dies at, or the disk fails at, the lake is as before or as
//! after, and nothing in between.

use std::process::Stdio;

use serde_json::Value;

use crate::support::{Lake, succeed};
use crate::upkeep::{PIPELINE, TABLES, lake_with_runs};

/// A lake, and a command that changes it.
struct Change {
    lake: Lake,
    args: Vec<String>,
}

impl Change {
    /// A lake that was forked before the command.
    fn start(&self, lake: &Lake, failpoint: Option<String>) -> std::process::Output {
        let pipeline = lake.write("hourly.yaml", PIPELINE);
        let raw = lake.raw_files();
        let args = self.args.iter().map(|arg| match arg.as_str() {
            "PIPELINE" => pipeline.to_str().expect("UTF-8"),
            "RAW" => raw[0].to_str().expect("UTF-8"),
            arg => arg,
        });
        let args: Vec<&str> = args.collect();
        let mut command = lake.redlake(&args);
        if let Some(failpoint) = failpoint {
            command.env("FAILPOINTS", failpoint);
        }
        command.stdout(Stdio::null());
        command.output().expect("the binary starts")
    }

    /// Lets every step fail once; how many there are.
    fn fails_everywhere(&self, how: &str) -> u32 {
        let before = self.lake.checksums(&TABLES);
        let done = self.lake.fork();
        assert!(self.start(&done, None).status.success());
        let after = done.checksums(&TABLES);
        for step in 0.. {
            let lake = self.lake.fork();
            let failpoint = format!("disk={step}*off->1*return{how}->off");
            let output = self.start(&lake, Some(failpoint));
            if output.status.success() {
                // All steps were done, or what was left to do does no harm.
                assert_eq!(lake.checksums(&TABLES), after, "step {step}");
                if !reached(&output) {
                    return step;
                }
                continue;
            }
            check(&lake, step, &before, &after, &output);
        }
        unreachable!("a process has an end")
    }
}

/// Whether the step was one: beyond the last, the failpoint is not met.
fn reached(output: &std::process::Output) -> bool {
    !output.stderr.is_empty()
}

fn check(lake: &Lake, step: u32, before: &Value, after: &Value, output: &std::process::Output) {
    let now = lake.checksums(&TABLES);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        now == *before || now == *after,
        "step {step}: {now}\n{said}"
    );
    let verified = succeed(&mut lake.redlake(&["verify", "--format", "json"]));
    let verified: Value = serde_json::from_slice(&verified.stdout).expect("JSON");
    assert_eq!(verified["problems"], serde_json::json!([]), "step {step}");
    let staged = std::fs::read_dir(lake.path().join("_staging")).expect("a folder");
    assert_eq!(staged.count(), 0, "step {step}: something is left behind");
}

fn compaction() -> Change {
    let (lake, _) = lake_with_runs(&[(8, 1), (8, 2)]);
    Change {
        lake,
        args: ["compact", "--before", "2026-03-09"]
            .map(String::from)
            .into(),
    }
}

#[test]
fn a_compaction_that_dies_at_any_step_has_happened_or_not() {
    let steps = compaction().fails_everywhere("");
    println!("{steps} steps of a compaction");
    assert!(steps > 50, "{steps} steps");
}
