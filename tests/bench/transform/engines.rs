//! Who does which job, and how each is run.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::python::Python;
use crate::{Data, process, support};

/// Whether `redlake transform` can be told how many threads to take. Where it cannot, only the
/// cores that it may use are limited, as they are for all.
const HAS_THREADS_FLAG: bool = true;

/// What `redlake transform` is told to make only the tables of notes and their counts, once it can.
const NOTES_ONLY: Option<&[&str]> = None;

/// What is to be made of the pages.
pub struct Job {
    pub name: &'static str,
    pub title: &'static str,
    /// What redlake is told besides.
    redlake: &'static [&'static str],
    /// How `check.py` calls the form in which redlake writes it.
    check_redlake: &'static str,
}

pub const JOBS: [Job; 2] = [
    Job {
        name: "tables",
        title: "eight tables: search results, notes, counts, users, images, videos, tags, badges",
        redlake: &[],
        check_redlake: "tables",
    },
    Job {
        name: "notes",
        title: match NOTES_ONLY {
            Some(_) => "notes and their counts only",
            None => "notes and their counts only, but redlake makes all its tables",
        },
        redlake: match NOTES_ONLY {
            Some(args) => args,
            None => &[],
        },
        check_redlake: "joined",
    },
];

pub struct Engine {
    pub name: &'static str,
    /// Where an engine has several ways to do the job.
    pub form: &'static str,
    /// None is redlake.
    script: Option<&'static str>,
    jobs: &'static [&'static str],
}

pub const ENGINES: [Engine; 8] = [
    Engine {
        name: "redlake",
        form: "",
        script: None,
        jobs: &["tables", "notes"],
    },
    Engine {
        name: "redlake",
        form: LEVEL_3,
        script: None,
        jobs: &["tables"],
    },
    Engine {
        name: "DuckDB",
        form: "read_json",
        script: Some("duckdb_rival.py"),
        jobs: &["tables", "notes"],
    },
    Engine {
        name: "DuckDB",
        form: LEVEL_1,
        script: Some("duckdb_rival.py"),
        jobs: &["tables"],
    },
    Engine {
        name: "Polars",
        form: "scan_ndjson",
        script: Some("polars_rival.py"),
        jobs: &["tables", "notes"],
    },
    Engine {
        name: "Polars",
        form: "json_decode",
        script: Some("polars_rival.py"),
        jobs: &["tables", "notes"],
    },
    Engine {
        name: "dlt",
        form: "nested",
        script: Some("dlt_rival.py"),
        jobs: &["tables"],
    },
    Engine {
        name: "dlt",
        form: "rows",
        script: Some("dlt_rival.py"),
        jobs: &["tables", "notes"],
    },
];

/// The forms with the other's level of zstd. As they come, redlake has level 1 and DuckDB 3.
const LEVEL_3: &str = "zstd(3)";
const LEVEL_1: &str = "level 1";

/// The goals on two threads: an engine, and the least speed of redlake as a multiple of its speed. The
/// fastest form of the engine counts, or the one that is named.
pub const GOALS: [(&str, Option<&str>, f64); 4] = [
    ("DuckDB", Some("read_json"), 1.8),
    ("DuckDB", Some(LEVEL_1), 1.5),
    ("Polars", None, 2.0),
    ("dlt", None, 15.0),
];

/// One run of an engine.
pub struct Run {
    pub seconds: f64,
    pub peak_bytes: u64,
    pub version: String,
}

impl Engine {
    pub fn does(&self, job: &Job) -> bool {
        self.jobs.contains(&job.name)
    }

    pub fn is_redlake(&self) -> bool {
        self.script.is_none()
    }

    /// Does the job, into `out`, which is emptied before.
    ///
    /// # Errors
    /// An engine that fails.
    pub fn run(
        &self,
        job: &Job,
        data: &Data,
        python: Option<&Python>,
        threads: usize,
        out: &Path,
    ) -> Result<Run, String> {
        let _ = std::fs::remove_dir_all(out);
        std::fs::create_dir_all(out).map_err(|e| format!("{}: {e}", out.display()))?;
        match (self.script, python) {
            (None, _) => {
                let pipeline = match self.form {
                    LEVEL_3 => &data.pipeline_with_level_3,
                    _ => &data.pipeline,
                };
                redlake(job.redlake, data, pipeline, threads, out)
            }
            (Some(script), Some(python)) => {
                let (pages, out_dir) = (data.plain.to_string_lossy(), out.to_string_lossy());
                let args = [job.name, self.form, &pages, &out_dir, &threads.to_string()];
                rival(&python.script(script, &args), threads, &data.folder)
            }
            (Some(script), None) => Err(format!("{script} needs Python")),
        }
    }

    /// What it wrote, in numbers that are the same for all engines.
    ///
    /// # Errors
    /// Files that cannot be read.
    pub fn check(&self, job: &Job, python: &Python, out: &Path) -> Result<Value, String> {
        let (form, folder) = match self.script {
            None => (job.check_redlake, out.join("tables")),
            Some(_) => (job.name, out.to_owned()),
        };
        let mut check = python.script("check.py", &[form, &folder.to_string_lossy()]);
        let output = check.output().map_err(|e| e.to_string())?;
        let problem = || {
            let said = String::from_utf8_lossy(&output.stderr);
            format!(
                "cannot check what {} {} wrote: {said}",
                self.name, self.form
            )
        };
        serde_json::from_slice(&output.stdout).map_err(|_| problem())
    }
}

/// The whole process, as people run it: from its start until the rows are committed.
pub fn redlake(
    more: &[&str],
    data: &Data,
    pipeline: &Path,
    threads: usize,
    lake: &Path,
) -> Result<Run, String> {
    let mut command = support::redlake();
    command
        .arg("transform")
        .arg(pipeline)
        .arg("--raw")
        .arg(&data.raw)
        .arg("--lake")
        .arg(lake)
        .args(["--format", "json"])
        .args(more);
    if HAS_THREADS_FLAG {
        command.args(["--threads", &threads.to_string()]);
    }
    let ended = process::run(&command, threads, &data.folder)?;
    check_report(&ended.stdout)?;
    Ok(Run {
        seconds: ended.seconds,
        peak_bytes: ended.peak_bytes,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}

/// The pages are what the contract says: else rows would be missing.
fn check_report(report: &str) -> Result<(), String> {
    let report: Value = serde_json::from_str(report).map_err(|e| e.to_string())?;
    match (&report[0]["rejects"], &report[0]["drift"]) {
        (rejects, drift) if rejects == 0 && drift == 0 => Ok(()),
        (rejects, drift) => Err(format!(
            "the generated pages do not fit the contract: {rejects} rejects, {drift} drift"
        )),
    }
}

/// The time that it says itself, without the imports; the memory of the whole process.
fn rival(command: &Command, threads: usize, scratch: &Path) -> Result<Run, String> {
    let ended = process::run(command, threads, scratch)?;
    let last = ended.stdout.lines().last().unwrap_or_default();
    let said: Value = serde_json::from_str(last).map_err(|e| format!("{command:?}: {e}"))?;
    Ok(Run {
        seconds: said["seconds"].as_f64().unwrap_or(ended.seconds),
        peak_bytes: ended.peak_bytes,
        version: said["version"].as_str().unwrap_or_default().to_owned(),
    })
}
