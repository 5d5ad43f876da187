//! `--metrics-file`, read as the textfile collector of node_exporter reads it.

use std::path::{Path, PathBuf};
use std::process::Command;

use prometheus_parse::{Scrape, Value as Sample};
use serde_json::{Value, json};

use crate::support::{Lake, SandboxProcess, repository, succeed};

/// The value of the only sample of a gauge with these labels, among others.
fn gauge(metrics: &Scrape, name: &str, labels: &[(&str, &str)]) -> f64 {
    let fits = |sample: &&prometheus_parse::Sample| {
        let mut labels = labels.iter();
        sample.metric == name && labels.all(|(key, value)| sample.labels.get(key) == Some(value))
    };
    let found: Vec<_> = metrics.samples.iter().filter(fits).collect();
    assert_eq!(found.len(), 1, "{name} {labels:?} in {metrics:#?}");
    match found[0].value {
        Sample::Gauge(value) => value,
        ref other => panic!("{name} is {other:?}"),
    }
}

fn has(metrics: &Scrape, name: &str) -> bool {
    metrics.samples.iter().any(|sample| sample.metric == name)
}

/// Reads a file. Each gauge has one HELP and one TYPE line before its samples.
fn read(path: &Path) -> Scrape {
    let text = std::fs::read_to_string(path).expect("a metrics file");
    let mut current = "";
    for line in text.lines() {
        match line.strip_prefix("# HELP ") {
            Some(rest) => {
                current = rest.split(' ').next().expect("a name");
                assert_eq!(
                    text.matches(&format!("# HELP {current} ")).count(),
                    1,
                    "{current}"
                );
                assert!(rest.ends_with('.'), "{line}");
            }
            None if line.starts_with('#') => assert_eq!(line, format!("# TYPE {current} gauge")),
            None => assert_eq!(line.split(['{', ' ']).next(), Some(current)),
        }
    }
    let lines = text.lines().map(|line| Ok(line.to_owned()));
    Scrape::parse(lines).expect("the text format")
}

/// A lake with a metrics file beside it, and a pipeline that asks a sandbox.
struct Measured {
    sandbox: SandboxProcess,
    lake: Lake,
    pipeline: PathBuf,
    file: PathBuf,
}

impl Measured {
    fn new(more: &str) -> Self {
        let lake = Lake::new();
        let pipeline = lake.write(
            "hourly.yaml",
            &format!(
                "version: 1\npipeline: measured\nsource: {{name: justoneapi}}\n\
                 keyword_sets: {{words: [兰蔻, 防晒]}}\nextract:\n  - {{endpoint: note_search, \
                 keywords: [words], pages: {{max: 2}}}}\n\
                 price: {{note_search: 0.1, currency: CNY}}\n{more}\n\
                 limits: {{requests_per_second: 1000, retries: 0}}\n"
            ),
        );
        Measured {
            sandbox: SandboxProcess::with(&["--frozen"]),
            file: lake.write("redlake.prom", "old\n"),
            lake,
            pipeline,
        }
    }

    fn command(&self, more: &[&str]) -> Command {
        let mut args = vec!["run", self.pipeline.to_str().expect("UTF-8")];
        args.extend(["--format", "json", "--metrics-file"]);
        args.push(self.file.to_str().expect("UTF-8"));
        args.extend(more);
        self.sandbox.redlake(&self.lake, &args, "sandbox")
    }

    /// The exit code of a run and its metrics.
    fn run(&self, more: &[&str]) -> (Option<i32>, Scrape) {
        let output = self.command(more).output().expect("the binary starts");
        (output.status.code(), read(&self.file))
    }
}

#[test]
fn the_metrics_of_a_run_are_the_figures_of_its_report() {
    let lake = Lake::new();
    let file = lake.write("demo.prom", "");
    let path = file.to_str().expect("UTF-8");
    let report = lake.run(
        &repository("pipelines/demo.yaml"),
        &["--metrics-file", path],
    );
    let metrics = read(&file);
    let of = |name: &str, labels: &[(&str, &str)]| {
        let mut all = vec![("pipeline", "demo"), ("shard", "")];
        all.extend(labels);
        gauge(&metrics, name, &all)
    };
    assert_eq!(
        of("redlake_run_last_status", &[("status", "complete")]),
        1.0
    );
    assert_eq!(of("redlake_run_last_status", &[("status", "failed")]), 0.0);
    assert_eq!(of("redlake_run_exit_code", &[]), 0.0);
    for (name, labels, figure) in [
        (
            "redlake_run_calls",
            &[("class", "ok")][..],
            "/requests/sent",
        ),
        (
            "redlake_run_calls_billed",
            &[("billed", "yes")],
            "/requests/billed",
        ),
        ("redlake_run_calls_retried", &[], "/requests/retried"),
        ("redlake_run_cost", &[("currency", "CNY")], "/cost"),
        ("redlake_run_pages", &[], "/pages"),
        ("redlake_run_items", &[], "/items"),
        (
            "redlake_run_searches",
            &[("state", "done")],
            "/searches/done",
        ),
        ("redlake_run_rejects", &[], "/rejects"),
        ("redlake_run_drift", &[], "/drift"),
        ("redlake_run_duration_seconds", &[], "/seconds"),
    ] {
        let expected = report.pointer(figure).and_then(Value::as_f64);
        assert_eq!(Some(of(name, labels)), expected, "{name}");
    }
    for (table, rows) in report["rows"].as_object().expect("an object") {
        assert_eq!(
            Some(of("redlake_run_rows", &[("table", table)])),
            rows.as_f64()
        );
    }
    let notes = lake.value("select count(distinct note_id) from notes");
    assert_eq!(Some(of("redlake_run_new_notes", &[])), notes.as_f64());
    let stages = report["stages"].as_object().expect("an object");
    assert_eq!(
        stages.keys().collect::<Vec<_>>(),
        [
            "checks",
            "commit",
            "extract",
            "marts",
            "prepare",
            "transform"
        ]
    );
    let mut sum = 0.0;
    for (stage, seconds) in stages {
        let seconds = seconds.as_f64().expect("a number");
        assert_eq!(
            of("redlake_run_stage_duration_seconds", &[("stage", stage)]),
            seconds
        );
        sum += seconds;
    }
    let whole = report["seconds"].as_f64().expect("a number");
    assert!(sum <= whole && sum > whole * 0.8, "{sum} of {whole}");
    let end = of("redlake_run_last_end_timestamp_seconds", &[]);
    let start = of("redlake_run_last_start_timestamp_seconds", &[]);
    assert!(start > 1.7e9 && end >= start, "{start} {end}");
}

#[test]
fn notes_are_new_once() {
    let measured = Measured::new("");
    let (code, first) = measured.run(&[]);
    assert_eq!(code, Some(0));
    assert!(gauge(&first, "redlake_run_new_notes", &[]) > 0.0);
    // The clock of the sandbox stands still: the same notes again.
    let (_, second) = measured.run(&[]);
    assert_eq!(gauge(&second, "redlake_run_new_notes", &[]), 0.0);
    assert!(gauge(&second, "redlake_run_rows", &[("table", "notes")]) > 0.0);
}

#[test]
fn a_run_that_fails_writes_them_too() {
    let measured = Measured::new("");
    let down = json!({"kind": "status", "status": 503, "body": "empty"});
    let faults = json!({"random": [{"share": 1.0, "fault": down}]});
    measured.sandbox.set_faults(&faults);
    let (code, metrics) = measured.run(&[]);
    assert_eq!(code, Some(8));
    assert_eq!(
        gauge(
            &metrics,
            "redlake_run_exit_code",
            &[("pipeline", "measured")]
        ),
        8.0
    );
    assert_eq!(
        gauge(&metrics, "redlake_run_last_status", &[("status", "failed")]),
        1.0
    );
    assert_eq!(
        gauge(&metrics, "redlake_run_calls", &[("class", "transient")]),
        2.0
    );
    assert_eq!(gauge(&metrics, "redlake_run_new_notes", &[]), 0.0);
    measured.sandbox.set_faults(&json!({}));

    // A run that cannot be made has no figures but these.
    let mut command = measured.command(&[]);
    let output = command.env_remove("JUSTONEAPI_TOKEN").output();
    assert_eq!(output.expect("the binary starts").status.code(), Some(2));
    let metrics = read(&measured.file);
    assert_eq!(
        gauge(
            &metrics,
            "redlake_run_exit_code",
            &[("pipeline", "measured")]
        ),
        2.0
    );
    assert_eq!(
        gauge(&metrics, "redlake_run_last_status", &[("status", "failed")]),
        1.0
    );
    assert!(!has(&metrics, "redlake_run_calls"));

    // Nor has a pipeline that cannot be read: it has the name of its file.
    std::fs::write(&measured.pipeline, "pipeline: [").expect("a writable file");
    let (_, metrics) = measured.run(&[]);
    assert_eq!(
        gauge(&metrics, "redlake_run_exit_code", &[("pipeline", "hourly")]),
        2.0
    );
}

#[test]
fn a_call_that_is_no_run_keeps_the_metrics_of_the_last_run() {
    let measured = Measured::new("");
    let at = ["--snapshot-at", "2026-03-09T04:00:00Z"];
    let (code, _) = measured.run(&at);
    assert_eq!(code, Some(0));
    let before = std::fs::read(&measured.file).expect("a file");
    let (code, _) = measured.run(&at);
    assert_eq!(code, Some(0));
    let lock = measured.lake.path().join("_state/pipeline-measured.lock");
    let lock = std::fs::File::open(lock).expect("the lock");
    lock.lock().expect("nobody else holds it");
    let (code, _) = measured.run(&[]);
    assert_eq!(code, Some(7));
    assert_eq!(std::fs::read(&measured.file).expect("a file"), before);
}

#[test]
fn shards_and_held_runs_have_labels() {
    let measured = Measured::new("checks: [{table: notes, min_rows: 1000000}]");
    let (code, metrics) = measured.run(&["--shard", "1/1"]);
    assert_eq!(code, Some(6));
    let labels = [
        ("pipeline", "measured"),
        ("shard", "1/1"),
        ("status", "held"),
    ];
    assert_eq!(gauge(&metrics, "redlake_run_last_status", &labels), 1.0);
}

#[test]
fn a_file_that_cannot_be_written_is_a_warning() {
    let mut measured = Measured::new("");
    measured.file = measured
        .lake
        .path()
        .with_file_name("none")
        .join("redlake.prom");
    let output = succeed(&mut measured.command(&[]));
    let text = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(
        text.contains("none/redlake.prom cannot be written"),
        "{text}"
    );
}

#[cfg(unix)]
#[test]
fn other_accounts_can_read_the_file_and_no_other_file_is_left() {
    use std::os::unix::fs::PermissionsExt;
    let measured = Measured::new("");
    std::fs::remove_file(&measured.file).expect("a file");
    let command = measured.command(&[]);
    let mut shell = Command::new("sh");
    shell.args(["-c", "umask 022; exec \"$0\" \"$@\""]);
    shell.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    succeed(&mut shell);
    let mode = std::fs::metadata(&measured.file)
        .expect("a file")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o644);
    let folder = measured.file.parent().expect("a folder");
    let names = std::fs::read_dir(folder).expect("a folder").flatten();
    let names: Vec<String> = names
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .collect();
    assert!(
        names.iter().all(|name| !name.ends_with(".tmp")),
        "{names:?}"
    );
}

#[test]
fn the_metrics_of_status_are_the_figures_of_its_report() {
    let measured = Measured::new("");
    assert_eq!(measured.run(&[]).0, Some(0));
    let file = measured.file.to_str().expect("UTF-8");
    let args = ["status", "--metrics-file", file, "--format", "json"];
    let status = |more: &[&str]| {
        let mut command = measured.lake.redlake(&[&args[..], more].concat());
        let output = command.output().expect("the binary starts");
        let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        (report, read(&measured.file))
    };
    let (report, metrics) = status(&[]);
    assert_eq!(
        gauge(
            &metrics,
            "redlake_status_healthy",
            &[("pipeline", "measured")]
        ),
        1.0
    );
    let of = [("pipeline", "measured"), ("state", "complete")];
    assert_eq!(gauge(&metrics, "redlake_pipeline_state", &of), 1.0);
    let calls = report
        .pointer("/pipelines/0/today/calls")
        .and_then(Value::as_f64);
    let today = gauge(&metrics, "redlake_pipeline_calls", &[("period", "today")]);
    assert_eq!(Some(today), calls);
    assert_eq!(today, 4.0);
    let month = [("period", "month"), ("currency", "CNY")];
    assert_eq!(gauge(&metrics, "redlake_pipeline_cost", &month), 0.4);
    let bytes = report
        .pointer("/lakes/0/table_bytes")
        .and_then(Value::as_f64);
    assert_eq!(
        Some(gauge(&metrics, "redlake_lake_table_bytes", &[])),
        bytes
    );
    let (_, metrics) = status(&["--max-verify-age", "8d"]);
    assert_eq!(
        gauge(
            &metrics,
            "redlake_status_healthy",
            &[("pipeline", "measured")]
        ),
        0.0
    );
    assert_eq!(
        gauge(
            &metrics,
            "redlake_status_problems",
            &[("kind", "verify_age")]
        ),
        1.0
    );
}
