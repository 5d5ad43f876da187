//! stderr for programs: with `--log-format json` each line is a JSON object, whatever the command
//! comes to, and with `-q` there are only errors.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::{FakeApi, Lake, SandboxProcess, collect, redlake, repository};
use crate::upkeep::{PIPELINE, lake_with_runs};

const JSON: [&str; 2] = ["--log-format", "json"];

/// Every line of a text as an object with the keys of all lines.
fn lines(stderr: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(stderr).expect("UTF-8");
    let line = |line: &str| -> Value {
        let object: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        let keys: Vec<&String> = object.as_object().expect("an object").keys().collect();
        let text = |name: &str| {
            object[name]
                .as_str()
                .unwrap_or_else(|| panic!("{name}: {line}"))
        };
        let at = chrono::DateTime::parse_from_rfc3339(text("timestamp"));
        assert_eq!(at.expect("a time").offset().local_minus_utc(), 0, "{line}");
        assert!(
            ["error", "warn", "info", "debug"].contains(&text("level")),
            "{line}"
        );
        assert!(!text("message").is_empty(), "{line}");
        assert!(keys.len() >= 3, "{line}");
        object
    };
    text.lines().map(line).collect()
}

/// A pipeline of a search for each keyword.
fn pipeline(lake: &Lake, keywords: &str, more: &str) -> String {
    let path = lake.write(
        "logged.yaml",
        &format!(
            "
version: 1
pipeline: logged
source: {{name: justoneapi}}
keyword_sets: {{words: {keywords}}}
extract: [{{endpoint: note_search, keywords: [words], pages: {{max: 2}}}}]
price: {{note_search: 0.1, currency: CNY}}
{more}
"
        ),
    );
    path.to_str().expect("UTF-8").to_owned()
}

const QUICK: &str =
    "limits: {requests_per_second: 1000, concurrency: 1, retries: 1, retry_delay: 1ms}";

/// A command that says something on stderr.
struct Case {
    name: &'static str,
    code: i32,
    /// A line that it prints; its other fields do not matter.
    line: Value,
    command: Command,
}

/// A lake, a sandbox, and the commands that are run with them, in this order.
struct Cases {
    sandbox: SandboxProcess,
    lake: Lake,
    cases: Vec<Case>,
}

impl Cases {
    fn add(&mut self, name: &'static str, code: i32, line: Value, args: &[&str]) {
        let command = self.sandbox.redlake(&self.lake, args, "sandbox");
        self.cases.push(Case {
            name,
            code,
            line,
            command,
        });
    }
}

/// A line of an error that ends a command.
fn error(code: i32, message: &str) -> Value {
    json!({"level": "error", "code": code, "message": message})
}

/// Runs one case, whose pipeline is written just before.
fn check(case: Case, flags: &[&str]) -> (Vec<u8>, String) {
    let Case {
        name,
        code,
        line,
        mut command,
    } = case;
    let output = command.args(flags).output().expect("the binary starts");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{name}: {stderr}");
    let is_quiet = flags.contains(&"-q");
    if flags.contains(&"json") {
        let lines = lines(&output.stderr);
        let begins = |told: &Value, expected: &Value| match (told.as_str(), expected.as_str()) {
            (Some(told), Some(expected)) => told.starts_with(expected),
            _ => told == expected,
        };
        let expected = line.as_object().expect("an object");
        let fits = |told: &Value| {
            expected
                .iter()
                .all(|(name, value)| begins(&told[name], value))
        };
        let is_error = line["level"] == "error";
        assert_eq!(
            lines.iter().any(fits),
            is_error || !is_quiet,
            "{name}: {line}\n{stderr}"
        );
        for told in lines {
            assert!(!is_quiet || told["level"] == "error", "{name}: {told}");
            if told.get("code").is_some() {
                assert_eq!(told["code"], code, "{name}");
                assert!(
                    told["causes"].is_array() && told.get("hint").is_some(),
                    "{told}"
                );
            }
        }
    } else if is_quiet {
        for told in stderr.lines() {
            let words = [
                " WARN",
                " INFO",
                "DEBUG",
                "warning",
                "failed: ",
                "new lake: ",
                "stopped; ",
            ];
            let is_other = words.iter().any(|word| told.starts_with(word));
            assert!(
                !is_other && !told.contains(" searches"),
                "{name}: {told}\n{stderr}"
            );
        }
        assert_eq!(
            stderr.is_empty(),
            line["level"] != "error",
            "{name}: {stderr}"
        );
    }
    (output.stdout, stderr)
}

/// All cases with these flags.
fn check_all(flags: &[&str]) {
    let sandbox = SandboxProcess::with(&["--frozen"]);
    let run = |name, code, line, (keywords, more): (&str, &str), args: &[&str]| {
        let lake = Lake::new();
        let path = pipeline(&lake, keywords, more);
        let args = [&["run", &path, "--resume", "never"], args].concat();
        let command = sandbox.redlake(&lake, &args, "sandbox");
        check(
            Case {
                name,
                code,
                line,
                command,
            },
            flags,
        );
        lake
    };

    let line = json!({"level": "warn", "message": "failed: note_search code:400", "pipeline": "logged",
        "search": "note_search code:400", "reason": "code 400"});
    let lake = run("failures", 3, line, ("[兰蔻, 'code:400']", QUICK), &[]);
    let line = json!({"level": "info", "message": "new lake: "});
    run("a new lake", 0, line, ("[兰蔻]", QUICK), &[]);
    sandbox.set_faults(&json!({"script": [{"kind": "code", "code": 301}]}));
    let verbose: &[&str] = if flags.contains(&"-q") { &[] } else { &["-v"] };
    let line = json!({"level": "info", "message": "note_search 兰蔻 page 1, attempt 1: ", "page": 1,
        "attempt": 1, "provider_code": "301", "search": "note_search 兰蔻"});
    run("retries", 0, line, ("[兰蔻]", QUICK), verbose);
    let item = json!({"model_type": "note", "surprise": 1, "note": {"id": "n1", "title": "x"}});
    let answer = json!({"code": 0, "message": "ok", "data": {"items": [item]}}).to_string();
    let api = FakeApi::start(move |_| (200, answer.clone().into_bytes()));
    let refusing = format!("{QUICK}\ncontract: {{on_unknown_field: fail}}");
    let drifting = Lake::new();
    let path = pipeline(&drifting, "[兰蔻]", &refusing);
    let mut command = drifting.redlake(&["run", &path]);
    command
        .env("JUSTONEAPI_BASE_URL", &api.url)
        .env("JUSTONEAPI_TOKEN", "a-token-of-some-length");
    let line = error(6, "");
    check(
        Case {
            name: "drift",
            code: 6,
            line,
            command,
        },
        flags,
    );
    sandbox.set_faults(&json!({}));
    let line = json!({"level": "error", "check": "notes: min_rows 9999"});
    let held = format!("{QUICK}\nchecks: [{{table: notes, min_rows: 9999}}]");
    run("held", 6, line, ("[兰蔻]", &held), &[]);
    let line = error(5, "the budget `requests_per_run` of 1 is used up");
    run(
        "a budget",
        5,
        line,
        ("[兰蔻]", "limits: {requests_per_run: 1}"),
        &[],
    );
    let mut command = sandbox.redlake(
        &lake,
        &["run", "logged.yaml", "--progress", "log"],
        "sandbox",
    );
    command.env("FAILPOINTS", "progress_ms=return(0)");
    let line = json!({"level": "info", "message": "1 of 2 searches (1 failed), 3 calls, ", "calls": 3,
        "searches_done": 1, "searches_failed": 1, "cost": 0.2, "currency": "CNY", "new_notes": null});
    check(
        Case {
            name: "progress",
            code: 3,
            line,
            command,
        },
        flags,
    );

    let path = pipeline(
        &lake,
        "[兰蔻]",
        "limits: {requests_per_second: fast}\nchekcs: []",
    );
    let mut cases = Cases {
        sandbox,
        lake,
        cases: Vec::new(),
    };
    let line = json!({"level": "error", "path": path, "line": 8, "column": 31});
    cases.add("mistakes", 2, line, &["validate", &path]);
    cases.add(
        "mistakes of a run",
        2,
        error(2, "2 mistakes found; nothing was done"),
        &["run", &path],
    );
    cases.add(
        "bad SQL",
        2,
        error(2, ""),
        &["query", "select nothing from notes"],
    );
    let unknown = json!({"level": "error", "code": 2,
        "message": "unexpected argument '--fromat' found", "hint": "tip: "});
    cases.add(
        "an unknown flag",
        2,
        unknown,
        &["query", "--fromat", "json", "select 1"],
    );
    cases.add(
        "a bad value",
        2,
        error(2, "invalid value 'xml' for '--format"),
        &["runs", "--format", "xml"],
    );
    cases.add(
        "no command",
        2,
        error(2, "the following required arguments"),
        &["schema", "show"],
    );
    cases.add("an unknown run", 2, error(2, ""), &["show", "nothing"]);
    cases.add("no file", 2, error(2, ""), &["plan", "missing.yaml"]);
    cases.add(
        "--pretty without JSON",
        2,
        error(2, "--pretty prints JSON only"),
        &["runs", "--pretty"],
    );
    for case in cases.cases.drain(..) {
        check(case, flags);
    }
    let path = pipeline(
        &cases.lake,
        "[兰蔻, '兰蔻，雅诗兰黛']",
        "limits: {requests_per_run: 1}",
    );
    let line = json!({"level": "warn", "path": path, "line": 5, "column": 28});
    cases.add("warnings of a plan", 0, line, &["plan", &path]);
    let line = json!({"level": "warn", "message": "`requests_per_run` stops after 1 of"});
    cases.add("a small budget", 0, line, &["plan", &path]);
    for case in cases.cases.drain(..) {
        check(case, flags);
    }
    let command = cases.lake.redlake(&["doctor", &path]);
    let (_, stderr) = check(
        Case {
            name: "doctor",
            code: 2,
            line: json!({"level": "debug"}),
            command,
        },
        &["-q"],
    );
    assert_eq!(stderr, "", "doctor prints its result");

    let (lake, _) = lake_with_runs(&[(8, 1), (8, 2)]);
    let command = lake.redlake(&["compact", "--progress", "log"]);
    let line = json!({"level": "info", "message": "2026-03-08 notes: 2 files to 1", "table": "notes",
        "dt": "2026-03-08", "files_before": 2, "files_after": 1});
    check(
        Case {
            name: "compact",
            code: 0,
            line,
            command,
        },
        flags,
    );
}

#[test]
fn each_line_is_json() {
    check_all(&JSON);
}

#[test]
fn quiet_json_has_errors_only() {
    check_all(&[&JSON[..], &["-q"]].concat());
}

#[test]
fn quiet_text_has_errors_only() {
    check_all(&["-q"]);
}

/// A command line that cannot be parsed finds the format in its words, or else in the environment.
#[test]
fn mistakes_of_the_command_line_are_json_where_it_is_asked_for() {
    let told = |args: &[&str], variable: &str| {
        let mut command = redlake();
        let output = command
            .args(args)
            .env("REDLAKE_LOG_FORMAT", variable)
            .output();
        let output = output.expect("the binary starts");
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert_eq!(output.stdout, b"", "{args:?}");
        output.stderr
    };
    for (args, variable) in [
        (&["runs", "--log-format=json", "--x"][..], "text"),
        (&["--x", "runs", "--log-format", "json"], "text"),
        (
            &["runs", "--log-format", "text", "--log-format", "json"],
            "",
        ),
        (&["runs", "--x"], "json"),
        (&["--log-format", "json"], "text"),
    ] {
        let lines = lines(&told(args, variable));
        assert_eq!(lines.len(), 1, "{args:?}");
        assert_eq!(lines[0]["code"], 2, "{args:?}");
    }
    for (args, variable) in [
        (&["runs", "--x"][..], "text"),
        (&["runs", "--log-format", "text", "--x"], "json"),
        (&["runs", "--x", "--", "--log-format=json"], "text"),
    ] {
        let text = String::from_utf8(told(args, variable)).expect("UTF-8");
        assert!(
            text.starts_with("error: unexpected argument '--x' found\n"),
            "{text}"
        );
    }
    let output = redlake()
        .args(["--version", "--log-format", "json"])
        .output();
    let output = output.expect("the binary starts");
    assert!(output.status.success() && output.stdout.starts_with(b"redlake "));
}

/// The lines of a run say which run it is, from its first page to its end, also for a signal.
#[cfg(unix)]
#[test]
fn lines_of_a_run_carry_its_id() {
    use std::io::{BufRead, BufReader, Read};

    let lake = Lake::new();
    let path = pipeline(
        &lake,
        "[兰蔻, 雅诗兰黛]",
        "limits: {requests_per_second: 1, concurrency: 1}",
    )
    .replace("logged.yaml", "hourly.yaml");
    let slow = PIPELINE.replace(
        "requests_per_second: 1000",
        "requests_per_second: 1, burst: 1",
    );
    assert_ne!(slow, PIPELINE);
    lake.write("hourly.yaml", &slow);
    let args = ["run", &path, "-vv", "--progress", "log"];
    let mut child = lake
        .redlake(&args)
        .args(JSON)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut stderr = BufReader::new(child.stderr.take().expect("a pipe"));
    let mut told = Vec::new();
    while !String::from_utf8_lossy(&told).contains(" page 1: ") {
        assert_ne!(stderr.read_until(b'\n', &mut told).expect("a line"), 0);
    }
    let killed = Command::new("kill").arg(child.id().to_string()).status();
    assert!(killed.expect("kill is there").success());
    stderr.read_to_end(&mut told).expect("the rest");
    assert_eq!(child.wait().expect("an end").code(), Some(143));
    let lines = lines(&told);
    let of_calls: Vec<&Value> = lines
        .iter()
        .filter(|line| line.get("page").is_some())
        .collect();
    assert!(!of_calls.is_empty(), "{lines:#?}");
    for line in of_calls {
        let id = line["run_id"].as_str().expect("a run id");
        assert_eq!(lake.value("select run_id from runs"), id);
        assert!(line["search_id"].is_string(), "{line}");
    }
}

/// A line that is printed elsewhere would be no JSON, and `-q` would not hold it back.
#[test]
fn one_file_alone_prints_on_stderr() {
    let mut files = Vec::new();
    collect(&repository("src"), &mut files);
    assert!(files.len() > 100);
    for (path, text) in files {
        let text = String::from_utf8_lossy(&text);
        let prints = ["io::stderr", "eprint!", "eprintln!", "dbg!"]
            .iter()
            .any(|word| text.contains(word));
        assert_eq!(
            prints,
            path.ends_with("cli/output/stderr.rs"),
            "{}",
            path.display()
        );
    }
}
