//! `schedule:` in a pipeline, and what `plan` says about it.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::{Lake, SandboxProcess, fail, succeed};

/// A pipeline with at most six calls a run, 0.10 CNY each.
fn pipeline(lake: &Lake, more: &str) -> PathBuf {
    let limits = if more.contains("limits:") {
        ""
    } else {
        "limits: {requests_per_second: 1000}"
    };
    lake.write(
        "hourly.yaml",
        &format!(
            "version: 1\npipeline: hourly\nsource: {{name: justoneapi}}\n\
             keyword_sets: {{k: [防晒, 面霜, 精华]}}\nextract:\n  - {{endpoint: note_search, \
             keywords: [k], pages: {{max: 2}}}}\nprice: {{note_search: 0.10, currency: CNY}}\n\
             {more}\n{limits}\n"
        ),
    )
}

fn plan(lake: &Lake, pipeline: &std::path::Path) -> (Value, String) {
    let path = pipeline.to_str().expect("UTF-8");
    let json = succeed(&mut lake.redlake(&["plan", path, "--format", "json"]));
    let text = succeed(&mut lake.redlake(&["plan", path]));
    let report = serde_json::from_slice(&json.stdout).expect("JSON");
    let both = [text.stdout, text.stderr].concat();
    (report, String::from_utf8(both).expect("UTF-8"))
}

#[test]
fn a_scheduled_run_has_the_newest_due_time_and_a_retry_is_the_same_run() {
    let sandbox = SandboxProcess::with(&["--frozen"]);
    let lake = Lake::new();
    let pipeline = pipeline(&lake, "schedule: {cron: \"0 * * * *\"}");
    let path = pipeline.to_str().expect("UTF-8");
    let run = |now: &str| {
        let args = [
            "run",
            path,
            "--snapshot-at",
            "scheduled",
            "--format",
            "json",
        ];
        let mut command = sandbox.redlake(&lake, &args, "sandbox");
        let output = succeed(command.env("FAILPOINTS", format!("now=return({now})")));
        let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        (
            report["snapshot_at"].clone(),
            report["requests"]["sent"].clone(),
        )
    };
    let noon = json!("2026-03-09T04:00:00Z");
    assert_eq!(run("2026-03-09T04:00:07Z"), (noon.clone(), json!(6)));
    assert_eq!(run("2026-03-09T04:59:59Z"), (noon, json!(0)));
    let later = json!("2026-03-09T05:00:00Z");
    assert_eq!(run("2026-03-09T05:00:00Z"), (later, json!(6)));
    assert_eq!(lake.value("select count(*) from runs"), 2);
}

#[test]
fn a_rehearsal_goes_from_one_scheduled_time_to_the_next() {
    let lake = Lake::new();
    let text = std::fs::read_to_string(pipeline(&lake, "schedule: {cron: \"0 9,18 * * *\"}"));
    let text = text
        .expect("a file")
        .replace("justoneapi}", "justoneapi, base_url: sandbox}");
    let pipeline = lake.write("hourly.yaml", &text);
    let times: Vec<Value> = (0..3)
        .map(|_| lake.run(&pipeline, &["--snapshot-at", "scheduled"])["snapshot_at"].clone())
        .collect();
    // 09:00 and 18:00 in Shanghai, from 12:00 on the first day.
    let expected = [
        "2026-03-09T01:00:00Z",
        "2026-03-09T10:00:00Z",
        "2026-03-10T01:00:00Z",
    ];
    assert_eq!(times, expected);
}

#[test]
fn a_plan_says_calls_and_cost_of_a_day_and_a_month() {
    let lake = Lake::new();
    let pipeline = pipeline(&lake, "schedule: {cron: \"0 * * * *\"}");
    let (report, text) = plan(&lake, &pipeline);
    assert_eq!(report["schedule"]["runs_a_month"], 720);
    assert_eq!(report["schedule"]["a_day"]["calls"], 144.0);
    assert_eq!(report["schedule"]["a_month"]["calls"], 4320.0);
    let day = report["schedule"]["a_day"]["cost"]
        .as_f64()
        .expect("a cost");
    assert!((day - 14.4).abs() < 1e-9, "{day}");
    for part in [
        "schedule `0 * * * *`, Asia/Shanghai, next at ",
        "720 runs in 30 days",
        "a day    at most 144 calls, 14.40 CNY",
        "30 days  at most 4,320 calls, 432.00 CNY",
    ] {
        assert!(text.contains(part), "`{part}` is missing in:\n{text}");
    }
}

#[test]
fn a_plan_warns_of_budgets_that_are_too_small_for_it() {
    let lake = Lake::new();
    let limits = "schedule: {cron: \"0 * * * *\"}\n\
                  limits: {requests_per_run: 4, requests_per_day: 1000, cost_per_day: 7.2}";
    let (report, text) = plan(&lake, &pipeline(&lake, limits));
    let short = json!([
        {"budget": "requests_per_run", "most": 4.0, "of": 6.0},
        {"budget": "cost_per_day", "most": 7.2, "of": report["shortfalls"][1]["of"]},
    ]);
    assert_eq!(report["shortfalls"], short);
    for part in [
        "`requests_per_run` stops after 4 of at most 6 calls",
        "`cost_per_day` stops after 7.20 of at most 14.40 CNY",
    ] {
        assert!(text.contains(part), "`{part}` is missing in:\n{text}");
    }
    let (report, text) = plan(&lake, &pipeline(&lake, "limits: {requests_per_run: 6}"));
    assert_eq!(report["shortfalls"], json!([]));
    assert!(!text.contains("stops after"), "{text}");
}

#[test]
fn a_plan_counts_the_run_that_is_continued() {
    let sandbox = SandboxProcess::with(&["--frozen"]);
    let lake = Lake::new();
    let limited = pipeline(&lake, "limits: {requests_per_run: 4}");
    let path = limited.to_str().expect("UTF-8");
    let mut stopped = sandbox.redlake(&lake, &["run", path, "--format", "json"], "sandbox");
    assert_eq!(
        stopped.output().expect("the binary starts").status.code(),
        Some(5)
    );
    let (report, text) = plan(&lake, &limited);
    assert_eq!(report["open_run"]["calls"], 4);
    assert_eq!(report["open_run"]["left"], 2);
    assert!(text.contains("4 calls made, at most 2 left"), "{text}");
    succeed(&mut sandbox.redlake(&lake, &["run", path], "sandbox"));
    let (report, _) = plan(&lake, &limited);
    assert_eq!(report["open_run"], Value::Null);
}

#[test]
fn a_logical_time_in_the_future_is_refused_before_any_call() {
    let sandbox = SandboxProcess::with(&["--frozen"]);
    let lake = Lake::new();
    let pipeline = pipeline(&lake, "");
    let run = |at: &str| {
        let args = [
            "run",
            pipeline.to_str().expect("UTF-8"),
            "--snapshot-at",
            at,
        ];
        let mut command = sandbox.redlake(&lake, &args, "sandbox");
        command.env("FAILPOINTS", "now=return(2026-03-09T04:00:00Z)");
        command
    };
    let (code, told) = fail(&mut run("2026-03-09T04:16:00Z"));
    assert_eq!(code, 2);
    assert!(
        told.contains("--snapshot-at 2026-03-09T04:16:00+00:00 is in the future"),
        "{told}"
    );
    assert_eq!(sandbox.calls().len(), 0);
    // The clocks of machines differ a little.
    succeed(&mut run("2026-03-09T04:14:00Z"));
}

#[test]
fn a_schedule_that_is_none_has_a_place_and_a_hint() {
    let lake = Lake::new();
    for (cron, reason) in [("0 0 30 2 *", "it never comes due"), ("61 * * * *", "61")] {
        let pipeline = pipeline(&lake, &format!("schedule: {{cron: \"{cron}\"}}"));
        let (code, text) =
            fail(&mut lake.redlake(&["validate", pipeline.to_str().expect("UTF-8")]));
        assert_eq!(code, 2);
        for part in [
            "hourly.yaml:8:18",
            "is not a schedule",
            reason,
            "write five fields",
        ] {
            assert!(text.contains(part), "`{part}` is missing in:\n{text}");
        }
    }
    let plain = pipeline(&lake, "");
    let run = [
        "run",
        plain.to_str().expect("UTF-8"),
        "--snapshot-at",
        "scheduled",
    ];
    let (code, text) = fail(lake.redlake(&run).env("JUSTONEAPI_TOKEN", "t"));
    assert_eq!(code, 2);
    assert!(
        text.contains("has no schedule") && text.contains("no call was made"),
        "{text}"
    );
    assert!(!lake.path().exists(), "a refused call makes no lake");
}
