//! Messages to webhooks: their bodies, each once, and never a part of a run's result.

use std::process::{Command, Output};

use base64::Engine as _;
use redlake::signing::hmac_sha256;
use serde_json::{Value, json};

use crate::support::{FakeApi, Lake, SandboxProcess, collect, fail, repository, succeed};
use crate::webhook::{Posted, Webhook};

const SECRET: &str = "SECa-secret-of-a-robot";

/// A pipeline with one search of two pages, and its webhooks.
fn pipeline(notify: &str) -> String {
    format!(
        "version: 1\npipeline: watch\nsource: {{name: justoneapi}}\n\
         keyword_sets: {{words: [兰蔻]}}\n\
         extract: [{{endpoint: note_search, keywords: [words], pages: {{max: 2}}}}]\n\
         limits: {{requests_per_second: 1000, retries: 0}}\n\
         price: {{note_search: 0.1, currency: CNY}}\nload: {{marts: false}}\n\
         notify:\n{notify}"
    )
}

/// A lake, a sandbox and a webhook.
struct Watched {
    lake: Lake,
    sandbox: SandboxProcess,
    webhook: Webhook,
    pipeline: String,
}

impl Watched {
    fn new(notify: &str, webhook: Webhook) -> Self {
        Watched::of(&pipeline(notify), webhook)
    }

    fn of(pipeline: &str, webhook: Webhook) -> Self {
        let lake = Lake::new();
        let path = lake.write("watch.yaml", pipeline);
        Watched {
            pipeline: path.to_str().expect("UTF-8").to_owned(),
            lake,
            sandbox: SandboxProcess::with(&["--frozen"]),
            webhook,
        }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.sandbox.redlake(&self.lake, args, "sandbox");
        command
            .env(
                "WEBHOOK",
                format!("{}/hook/token-of-the-robot", self.webhook.url),
            )
            .env("WEBHOOK_SECRET", SECRET);
        command
    }

    /// Runs the pipeline for an hour of 2026-03-09.
    fn run(&self, hour: u32) -> Output {
        let at = format!("2026-03-09T{hour:02}:00:00Z");
        let args = ["run", &self.pipeline, "--snapshot-at", &at];
        self.command(&args).output().expect("the binary starts")
    }

    /// The exit code of a run, and what was posted.
    fn posted(&self, hour: u32) -> (Option<i32>, Vec<Posted>) {
        let code = self.run(hour).status.code();
        (code, self.webhook.take())
    }

    /// The exit code of a run, and the events of its messages.
    fn events(&self, hour: u32) -> (Option<i32>, Vec<Value>) {
        let (code, posted) = self.posted(hour);
        let events = posted.iter().map(|posted| posted.json()["events"].clone());
        (code, events.collect())
    }

    fn faults(&self, faults: &Value) {
        self.sandbox.control("POST", "/faults", &faults.to_string());
    }
}

fn page_two_fails(code: i32) -> Value {
    json!({"on": [{"page": 2, "fault": {"kind": "code", "code": code}}]})
}

fn outage() -> Value {
    let down = json!({"kind": "status", "status": 503, "body": "empty"});
    json!({"random": [{"share": 1.0, "fault": down}]})
}

fn says(text: &Value, parts: &[&str]) {
    let text = text.as_str().expect("a text");
    for part in parts {
        assert!(text.contains(part), "`{part}` is missing in:\n{text}");
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

const GENERIC: &str = "  - {webhook: \"${WEBHOOK}\", format: generic, secret: \"${WEBHOOK_SECRET}\", \
     on: [failed, partial, budget, check_failed, drift, recovered]}\n";

#[test]
fn each_format_has_the_body_and_the_signature_of_its_document() {
    let notify: String = ["generic", "feishu", "dingtalk", "wecom", "slack"]
        .map(|format| {
            let secret = match format {
                "wecom" | "slack" => "",
                _ => "secret: \"${WEBHOOK_SECRET}\", ",
            };
            format!(
                "  - {{webhook: \"${{WEBHOOK}}/{format}?key=1\", format: {format}, {secret}on: [partial]}}\n"
            )
        })
        .concat();
    let watched = Watched::new(&notify, Webhook::start());
    watched.faults(&page_two_fails(400));
    let (code, posted) = watched.posted(4);
    assert_eq!((code, posted.len()), (Some(3), 5));
    let of = |format: &str| {
        let target = format!("/hook/token-of-the-robot/{format}?key=1");
        let found = posted
            .iter()
            .find(|posted| posted.target.starts_with(&target));
        let found = found.expect("a message");
        let kind = found.header("content-type");
        assert_eq!(kind, Some("application/json; charset=utf-8"));
        found
    };
    let base64 = base64::engine::general_purpose::STANDARD;
    let title = "redlake: watch: some searches failed";
    let parts = [
        "note_search 兰蔻",
        "0.10 CNY",
        "0 of 1 done, 1 failed",
        "2 sent, 1 billed",
    ];

    let generic = of("generic");
    let body = generic.json();
    assert_eq!(body["version"], 1);
    assert_eq!(body["kind"], "run");
    assert_eq!(body["events"], json!(["partial"]));
    assert_eq!(body["pipeline"], "watch");
    assert_eq!(body["simulated"], false);
    assert_eq!(body["title"], title);
    assert_eq!(body["run"]["status"], "partial");
    assert_eq!(body["run"]["exit_code"], 3);
    assert_eq!(body["run"]["cost"], 0.1);
    assert_eq!(body["run"]["snapshot_at"], "2026-03-09T04:00:00Z");
    assert_eq!(
        body["run"]["searches"],
        json!({"planned": 1, "done": 0, "failed": 1})
    );
    assert_eq!(body["finding"], Value::Null);
    says(&body["text"], &parts);
    let timestamp = generic.header("x-redlake-timestamp").expect("a timestamp");
    let signed = [timestamp.as_bytes(), b".", &generic.body].concat();
    let hmac = hmac_sha256(SECRET.as_bytes(), &signed);
    let digits: String = hmac.iter().map(|byte| format!("{byte:02x}")).collect();
    let expected = format!("sha256={digits}");
    assert_eq!(
        generic.header("x-redlake-signature"),
        Some(expected.as_str())
    );

    let body = of("feishu").json();
    assert_eq!(body["msg_type"], "interactive");
    assert_eq!(
        body["card"]["header"]["title"],
        json!({"tag": "plain_text", "content": title})
    );
    assert_eq!(body["card"]["header"]["template"], "orange");
    assert_eq!(body["card"]["elements"][0]["tag"], "markdown");
    says(&body["card"]["elements"][0]["content"], &parts);
    let timestamp = body["timestamp"].as_str().expect("seconds as a text");
    let key = format!("{timestamp}\n{SECRET}");
    let sign = base64.encode(hmac_sha256(key.as_bytes(), b""));
    assert_eq!(body["sign"], sign);

    let dingtalk = of("dingtalk");
    let body = dingtalk.json();
    assert_eq!(body["msgtype"], "markdown");
    assert_eq!(body["markdown"]["title"], title);
    says(&body["markdown"]["text"], &["#### redlake: watch", "  \n"]);
    says(&body["markdown"]["text"], &parts);
    let address = format!("http://x{}", dingtalk.target);
    let address = url::Url::parse(&address).expect("an address");
    let value = |name: &str| {
        let mut pairs = address.query_pairs();
        pairs
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    };
    let timestamp = value("timestamp").expect("milliseconds");
    assert_eq!(timestamp.len(), 13);
    let text = format!("{timestamp}\n{SECRET}");
    let sign = base64.encode(hmac_sha256(SECRET.as_bytes(), text.as_bytes()));
    assert_eq!(value("sign"), Some(sign));
    assert_eq!(value("key").as_deref(), Some("1"));

    let body = of("wecom").json();
    assert_eq!(body["msgtype"], "markdown");
    says(
        &body["markdown"]["content"],
        &["**redlake: watch: some searches failed**\n"],
    );
    says(&body["markdown"]["content"], &parts);

    let body = of("slack").json();
    assert_eq!(body["text"], title);
    let header = json!({"type": "plain_text", "text": title, "emoji": false});
    assert_eq!(body["blocks"][0], json!({"type": "header", "text": header}));
    assert_eq!(body["blocks"][1]["type"], "section");
    assert_eq!(body["blocks"][1]["text"]["type"], "mrkdwn");
    says(
        &body["blocks"][1]["text"]["text"],
        &["*snapshot* 2026-03-09 12:00 +08:00"],
    );
    says(&body["blocks"][1]["text"]["text"], &parts);
}

#[test]
fn each_event_of_a_run_is_told_once_and_a_good_run_never() {
    let watched = Watched::new(GENERIC, Webhook::start());
    let none = json!({});
    let steps: [(u32, Value, i32, Option<&str>); 9] = [
        (4, none.clone(), 0, None),
        (5, outage(), 8, Some("failed")),
        // The scheduler repeats it: the same run with the same end.
        (5, outage(), 8, None),
        (5, page_two_fails(400), 3, Some("partial")),
        (5, none.clone(), 0, Some("recovered")),
        (6, none.clone(), 0, None),
        (7, page_two_fails(303), 5, Some("budget")),
        // Another run recovers, too.
        (8, none.clone(), 0, Some("recovered")),
        (8, none, 0, None),
    ];
    for (step, (hour, faults, code, event)) in steps.into_iter().enumerate() {
        watched.faults(&faults);
        let expected: Vec<Value> = event.iter().map(|event| json!([event])).collect();
        assert_eq!(watched.events(hour), (Some(code), expected), "step {step}");
    }
}

#[test]
fn other_logical_times_neither_repeat_nor_end_a_message() {
    let watched = Watched::new(GENERIC, Webhook::start());
    let none = json!({});
    let steps: [(u32, Value, i32, Option<&str>); 8] = [
        (4, none.clone(), 0, None),
        (5, page_two_fails(400), 3, Some("partial")),
        (6, page_two_fails(400), 3, Some("partial")),
        (5, page_two_fails(400), 3, None),
        (6, page_two_fails(400), 3, None),
        // The scheduler repeats an hour that was good: nothing recovers.
        (4, none.clone(), 0, None),
        // The earlier hour is well, the later one is not.
        (5, none.clone(), 0, Some("recovered")),
        (6, none, 0, Some("recovered")),
    ];
    for (step, (hour, faults, code, event)) in steps.into_iter().enumerate() {
        watched.faults(&faults);
        let expected: Vec<Value> = event.iter().map(|event| json!([event])).collect();
        assert_eq!(watched.events(hour), (Some(code), expected), "step {step}");
    }
}

#[test]
fn a_bad_run_whose_message_was_not_delivered_is_told_after_a_later_one() {
    let refusing = Webhook::answering(|number, _| match number {
        0 => Some((403, "", "")),
        _ => Some((200, "", "")),
    });
    let notify = GENERIC.replace(", recovered]", "]");
    let watched = Watched::new(&notify, refusing);
    watched.faults(&page_two_fails(400));
    assert_eq!(watched.events(4), (Some(3), vec![json!(["partial"])]));
    watched.faults(&json!({}));
    let (code, posted) = watched.posted(5);
    assert_eq!((code, posted.len()), (Some(0), 1));
    let body = posted[0].json();
    assert_eq!(body["events"], json!(["partial"]));
    assert_eq!(
        body["title"],
        "redlake: watch: an earlier run: some searches failed"
    );
    assert_eq!(body["run"], Value::Null);
    says(
        &body["text"],
        &["not delivered before: partial, snapshot 2026-03-09 12:00 +08:00"],
    );
    assert_eq!(watched.events(6), (Some(0), Vec::new()));
}

#[test]
fn what_a_service_answers_reveals_no_secret() {
    let answers = [
        (
            "slack",
            Some((404, "", "Cannot POST /hook/token-of-the-robot")),
        ),
        (
            "dingtalk",
            Some((
                200,
                "",
                r#"{"errcode":1,"errmsg":"bad /hook/token-of-the-robot\n\u001b[31m"}"#,
            )),
        ),
    ];
    for (format, answer) in answers {
        let webhook = Webhook::answering(move |_, _| answer);
        let notify = format!("  - {{webhook: \"${{WEBHOOK}}\", format: {format}, on: [failed]}}\n");
        let watched = Watched::new(&notify, webhook);
        let mut command =
            watched.command(&["notify", &watched.pipeline, "--test", "--format", "json"]);
        let output = command.output().expect("the binary starts");
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(!said.contains("token-of-the-robot"), "{said}");
        assert!(!said.contains('\u{1b}'), "{said}");
    }
}

#[test]
fn a_recovery_says_what_was_wrong() {
    let watched = Watched::new(GENERIC, Webhook::start());
    watched.faults(&outage());
    let (_, posted) = watched.posted(4);
    let body = posted[0].json();
    assert_eq!(body["title"], "redlake: watch: the run failed");
    says(
        &body["text"],
        &["no search delivered", "To do: ", "--resume failed"],
    );
    watched.faults(&json!({}));
    let (_, posted) = watched.posted(4);
    let body = posted[0].json();
    assert_eq!(body["title"], "redlake: watch: recovered");
    says(
        &body["text"],
        &["before: failed, snapshot 2026-03-09 12:00 +08:00: no search delivered"],
    );
}

#[test]
fn a_run_that_cannot_begin_is_told_once_for_its_logical_time() {
    let watched = Watched::new(GENERIC, Webhook::start());
    succeed(&mut watched.command(&["run", &watched.pipeline]));
    let without_token = |hour: u32| {
        let at = format!("2026-03-09T{hour:02}:00:00Z");
        let mut command = watched.command(&["run", &watched.pipeline, "--snapshot-at", &at]);
        let (code, _) = fail(command.env_remove("JUSTONEAPI_TOKEN"));
        (code, watched.webhook.take())
    };
    let (code, posted) = without_token(4);
    assert_eq!((code, posted.len()), (2, 1));
    let body = posted[0].json();
    assert_eq!(body["events"], json!(["failed"]));
    assert_eq!(body["run"], Value::Null);
    says(&body["text"], &["JUSTONEAPI_TOKEN", "To do: "]);
    let (code, posted) = without_token(4);
    assert_eq!((code, posted.len()), (2, 0));
    let (code, posted) = without_token(5);
    assert_eq!((code, posted.len()), (2, 1));
    let (code, events) = watched.events(5);
    assert_eq!((code, events), (Some(0), vec![json!(["recovered"])]));
}

#[test]
fn held_tables_are_told_and_no_notify_sends_nothing() {
    let checks = "checks: [{name: many, table: notes, min_rows: 1000000}]\n";
    let text = format!("{}{checks}", pipeline(GENERIC));
    let watched = Watched::of(&text, Webhook::start());
    let (code, _) = fail(&mut watched.command(&["run", &watched.pipeline, "--no-notify"]));
    assert_eq!((code, watched.webhook.take().len()), (6, 0));
    let (code, posted) = watched.posted(4);
    assert_eq!((code, posted.len()), (Some(6), 1));
    let body = posted[0].json();
    assert_eq!(body["events"], json!(["check_failed"]));
    assert_eq!(body["run"]["held"], true);
    says(&body["text"], &["many", "redlake publish "]);
}

#[test]
fn new_drift_is_told_once() {
    let note = |fields: &str| {
        format!(
            r#"{{"code":0,"data":{{"items":[{{"model_type":"note","note":{{"id":"n","title":"t","images_list":[],{fields}}}}}]}}}}"#
        )
    };
    let first = note(r#""mood":{"x":1}"#);
    let second = note(r#""mood":{"x":2},"weather":3"#);
    let watched = Watched::new(GENERIC, Webhook::start());
    let run = |hour: u32, answer: &str| {
        let answer = answer.to_owned();
        let api = FakeApi::start(move |_| (200, answer.clone().into_bytes()));
        let at = format!("2026-03-09T{hour:02}:00:00Z");
        let mut command = watched.command(&["run", &watched.pipeline, "--snapshot-at", &at]);
        succeed(command.env("JUSTONEAPI_BASE_URL", &api.url));
        watched.webhook.take()
    };
    let posted = run(4, &first);
    assert_eq!(posted.len(), 1);
    let body = posted[0].json();
    assert_eq!(body["events"], json!(["drift"]));
    let mood = json!({"endpoint": "note_search", "path": "/data/items[*]/note/mood",
                      "kind": "unknown_field", "count": 2});
    assert_eq!(body["drift"], json!([mood]));
    says(&body["text"], &["redlake schema suggest"]);
    assert_eq!(run(5, &first).len(), 0);
    let posted = run(6, &second);
    assert_eq!(posted.len(), 1);
    assert_eq!(
        posted[0].json()["drift"][0]["path"],
        "/data/items[*]/note/weather"
    );
    assert_eq!(posted[0].json()["drift"].as_array().map(Vec::len), Some(1));
}

#[test]
fn an_error_of_the_webhook_is_retried_once_and_told_again_by_the_next_attempt() {
    let recovers = Webhook::answering(|number, _| match number {
        0..=2 => Some((500, "", "oops")),
        _ => Some((200, "", "")),
    });
    let watched = Watched::new(GENERIC, recovers);
    watched.faults(&page_two_fails(400));
    let output = watched.run(4);
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(watched.webhook.take().len(), 2);
    let expected = "the webhook generic 1 did not take the message `redlake: watch: some searches \
                    failed`: status 500, twice";
    assert!(stderr(&output).contains(expected), "{}", stderr(&output));
    // The third answer is an error, too; its retry is accepted.
    let (code, posted) = watched.posted(4);
    assert_eq!((code, posted.len()), (Some(3), 2));
    let (code, posted) = watched.posted(4);
    assert_eq!((code, posted.len()), (Some(3), 0));
}

#[test]
fn a_recovery_that_was_not_delivered_is_told_after_the_next_run() {
    // The messages: failed, recovered (refused), recovered.
    let refusing = Webhook::answering(|number, _| match number {
        1 => Some((403, "", "")),
        _ => Some((200, "", "")),
    });
    let watched = Watched::new(GENERIC, refusing);
    watched.faults(&outage());
    assert_eq!(watched.events(4), (Some(8), vec![json!(["failed"])]));
    watched.faults(&json!({}));
    assert_eq!(watched.events(4), (Some(0), vec![json!(["recovered"])]));
    assert_eq!(watched.events(5), (Some(0), vec![json!(["recovered"])]));
    assert_eq!(watched.events(6), (Some(0), Vec::new()));
}

#[test]
fn a_refused_message_is_not_retried() {
    let refusals = [
        (
            Some((302, "location: /elsewhere\r\n", "")),
            "generic",
            "redirects are not followed",
        ),
        (Some((404, "", "no_team")), "slack", "status 404: no_team"),
        (
            Some((200, "", r#"{"code":19021,"msg":"sign match fail"}"#)),
            "feishu",
            "code 19021: sign match fail",
        ),
        (
            Some((
                200,
                "",
                r#"{"errcode":310000,"errmsg":"keywords not in content"}"#,
            )),
            "dingtalk",
            "errcode 310000: keywords",
        ),
        (Some((200, "", "<html>")), "wecom", "the answer is not JSON"),
    ];
    for (answer, format, expected) in refusals {
        let webhook = Webhook::answering(move |_, _| answer);
        let notify = format!("  - {{webhook: \"${{WEBHOOK}}\", format: {format}, on: [failed]}}\n");
        let watched = Watched::new(&notify, webhook);
        watched.faults(&outage());
        let output = watched.run(4);
        assert_eq!(output.status.code(), Some(8), "{format}");
        assert!(stderr(&output).contains(expected), "{}", stderr(&output));
        let posted = watched.webhook.take();
        assert_eq!(posted.len(), 1, "{format}");
        assert_eq!(posted[0].target, "/hook/token-of-the-robot");
    }
}

#[test]
fn a_webhook_without_an_answer_changes_no_result() {
    let notify = "  - {webhook: \"${WEBHOOK}\", format: feishu, on: [recovered, partial], timeout: 200ms}\n\
                  \x20 - {webhook: \"http://127.0.0.1:1/\", format: slack, on: [partial], timeout: 200ms}\n";
    let watched = Watched::new(notify, Webhook::answering(|_, _| None));
    watched.faults(&page_two_fails(400));
    let output = watched.run(4);
    assert_eq!(output.status.code(), Some(3));
    let said = stderr(&output);
    assert!(said.contains("feishu 1 did not take"), "{said}");
    assert!(said.contains("no answer within 0."), "{said}");
    assert!(said.contains("slack 1 did not take"), "{said}");
    assert!(said.contains("refused"), "{said}");
    succeed(&mut watched.command(&["verify"]));
}

#[test]
fn ten_megabytes_of_rows_are_a_short_message() {
    let sql = "select i as id, repeat('长', 700000) as title, repeat('x', 900000) as note_url, \
               [repeat('y', 100000)] as list from range(12) t(i)";
    let formats = ["generic", "feishu", "dingtalk", "wecom", "slack"];
    let notify: Vec<String> = formats
        .iter()
        .map(|format| {
            format!(
                "  - {{webhook: \"${{WEBHOOK}}/{format}\", format: {format}, timeout: 60s, \
                 when: {{name: large {format}, sql: \"{sql}\", at_most: 10}}}}\n"
            )
        })
        .collect();
    let watched = Watched::new(&notify.concat(), Webhook::start());
    let (code, posted) = watched.posted(4);
    assert_eq!((code, posted.len()), (Some(0), 5));
    // The ids of the rows in a text.
    let numbers = |text: &str| -> Vec<u32> {
        let ids = text.split("id ").skip(1);
        let digits = ids.map(|rest| rest.split(' ').next().unwrap_or_default());
        digits.filter_map(|digits| digits.parse().ok()).collect()
    };
    let mut wecom_rows = Vec::new();
    for posted in posted {
        let (target, size) = (posted.target.as_str(), posted.body.len());
        let body = posted.json();
        match target.rsplit('/').next() {
            Some("generic") => {
                assert_eq!(body["finding"]["rows"].as_array().map(Vec::len), Some(10));
                assert_eq!(body["finding"]["more"], 2);
                assert!(size < 100_000, "{target} {size}");
            }
            Some("wecom") => {
                let text = body["markdown"]["content"].as_str().expect("a text");
                assert!(text.len() <= 4_096, "{}", text.len());
                wecom_rows.extend(numbers(text));
                assert!(text.ends_with(" more"), "{text}");
            }
            _ => assert!(size < 20_000, "{target} {size}"),
        }
    }
    let (_, posted) = watched.posted(5);
    let rows = |posted: &Posted| posted.json()["finding"]["rows"].as_array().map(Vec::len);
    let generic = posted
        .iter()
        .find(|posted| posted.target.ends_with("/generic"));
    assert_eq!(generic.and_then(rows), Some(2));
}

#[test]
fn a_rising_note_is_reported_once() {
    let sql = "select n.note_id, n.title, u.nickname as author, n.note_url, g.liked_delta, g.published_at \
               from note_growth g join notes_latest n using (note_id) \
               left join users_latest u on u.user_id = n.author_user_id \
               where g.is_rising order by g.liked_delta desc";
    let notify = format!(
        "  - {{webhook: \"${{WEBHOOK}}\", format: generic, when: {{name: 上升的笔记, sql: \"{sql}\", at_most: 50}}}}\n"
    );
    let yaml = pipeline(&notify).replace("load: {marts: false}\n", "");
    let lake = Lake::new();
    let path = lake.write("watch.yaml", &yaml);
    let webhook = Webhook::start();
    let sandbox = SandboxProcess::with(&["--frozen"]);
    let mut told: Vec<Value> = Vec::new();
    let mut messages = 0;
    // A row of note_growth compares dates, so each day has a run or two.
    let mut now = chrono::DateTime::parse_from_rfc3339("2026-03-09T04:00:00Z").expect("a time");
    for hours in [0, 24, 2, 22, 3] {
        now += chrono::TimeDelta::hours(hours);
        let advance = format!("{{\"advance_seconds\": {}}}", hours * 3600);
        sandbox.control("POST", "/clock", &advance);
        let at = &now.to_rfc3339();
        let args = ["run", path.to_str().expect("UTF-8"), "--snapshot-at", at];
        succeed(
            sandbox
                .redlake(&lake, &args, "sandbox")
                .env("WEBHOOK", &webhook.url),
        );
        for posted in webhook.take() {
            let body = posted.json();
            assert_eq!(body["title"], "redlake: watch: 上升的笔记");
            messages += 1;
            let rows = body["finding"]["rows"].as_array().expect("rows").clone();
            told.extend(rows.iter().map(|row| row["note_id"].clone()));
            says(
                &body["text"],
                &["liked_delta ", "https://www.xiaohongshu.com/"],
            );
        }
    }
    let mut once: Vec<String> = told.iter().map(Value::to_string).collect();
    once.sort();
    once.dedup();
    assert_eq!(once.len(), told.len(), "a row was told twice");
    let rising = lake.value("select count(distinct note_id) from note_growth where is_rising");
    assert_eq!(rising, told.len());
    assert!(messages >= 1 && !told.is_empty(), "no note is rising");
}

#[test]
fn a_query_that_stops_working_is_told_once() {
    let notify = "  - {webhook: \"${WEBHOOK}\", format: generic, when: {name: quick, sql: \"select note_id::int from notes\"}}\n";
    let watched = Watched::new(notify, Webhook::start());
    let (code, posted) = watched.posted(4);
    assert_eq!((code, posted.len()), (Some(0), 1));
    let body = posted[0].json();
    assert_eq!(body["kind"], "finding_failed");
    assert_eq!(body["title"], "redlake: watch: quick cannot be looked for");
    says(&body["text"], &["Conversion Error", "correct its `sql`"]);
    assert_eq!(watched.posted(5).1.len(), 0);
}

#[test]
fn no_secret_is_printed_or_stored() {
    let watched = Watched::new(GENERIC, Webhook::answering(|_, _| Some((500, "", "no"))));
    watched.faults(&outage());
    let mut said = Vec::new();
    for args in [
        &["run", &watched.pipeline, "-vv", "--log-format", "json"][..],
        &["notify", &watched.pipeline, "--test", "-vv"],
        &["plan", &watched.pipeline, "--format", "json"],
    ] {
        let output = watched.command(args).output().expect("the binary starts");
        said.extend([output.stdout, output.stderr].concat());
    }
    let mut files = Vec::new();
    collect(&watched.lake.path(), &mut files);
    assert!(
        files
            .iter()
            .any(|(path, _)| path.ends_with("_state/notify/watch.json"))
    );
    files.push(("stdout and stderr".into(), said));
    for (path, bytes) in files {
        let text = String::from_utf8_lossy(&bytes);
        for secret in [SECRET, "token-of-the-robot"] {
            assert!(!text.contains(secret), "{}", path.display());
        }
    }
}

#[test]
fn notify_shows_and_tests_the_webhooks() {
    let notify = format!(
        "{GENERIC}  - {{webhook: \"${{WEBHOOK}}/2\", name: team, format: wecom, \
         when: {{name: notes, sql: \"select note_id, title from notes_latest\", at_most: 3}}}}\n"
    );
    let watched = Watched::new(&notify, Webhook::start());
    let json = ["notify", &watched.pipeline, "--format", "json"];
    let report = |args: &[&str]| -> Value {
        let output = watched.command(args).output().expect("the binary starts");
        serde_json::from_slice(&output.stdout).expect("JSON")
    };
    let before = report(&json);
    assert_eq!(before[0]["name"], "generic 1");
    assert_eq!(before[1]["name"], "team");
    assert_eq!(before[1]["finding"]["reason"], "there is no lake yet");
    watched.run(4);
    let told = watched.webhook.take().len();
    assert_eq!(told, 1, "the rows of the finding");
    let shown = report(&json);
    let notes = watched.lake.value("select count(*) from notes_latest");
    assert_eq!(shown[1]["finding"]["rows"], notes);
    says(&shown[1]["finding"]["text"], &["1. ", "3. ", " more"]);
    assert_eq!(watched.webhook.take().len(), 0);
    let tested = report(&[&json[..], &["--test"]].concat());
    assert_eq!(tested[0]["delivered"], true);
    assert_eq!(tested[1]["delivered"], true);
    assert_eq!(watched.webhook.take().len(), 3);
    let refusing = Webhook::answering(|_, _| Some((403, "", "")));
    let mut command = watched.command(&["notify", &watched.pipeline, "--test"]);
    let (code, said) = fail(command.env("WEBHOOK", &refusing.url));
    assert_eq!(code, 1);
    assert!(
        said.contains("the test was not delivered to generic 1, team"),
        "{said}"
    );
}

#[test]
fn mistakes_in_notify_have_places_and_show_no_secret() {
    let wrong = [
        (
            "{webhook: \"${WEBHOOK}\", format: feishu}",
            "nothing is sent to this webhook",
        ),
        (
            "{webhook: \"${WEBHOOK}\", format: teams, on: [failed]}",
            "teams",
        ),
        (
            "{webhook: \"${WEBHOOK}\", format: wecom, secret: \"${WEBHOOK_SECRET}\", on: [failed]}",
            "messages to wecom are not signed",
        ),
        (
            "{webhook: \"ftp://x/token-of-the-robot\", format: slack, on: [failed]}",
            "the webhook is not an http(s) address",
        ),
        (
            "{webhook: \"token-of-the-robot\", format: slack, on: [failed]}",
            "the webhook cannot be read as an address",
        ),
        (
            "{webhook: \"${NO_WEBHOOK}\", format: slack, on: [failed]}",
            "the environment variable `NO_WEBHOOK` is not set",
        ),
        (
            "{webhook: \"${WEBHOOK}\", format: slack, on: [fail]}",
            "fail",
        ),
        (
            "{webhook: \"${WEBHOOK}\", format: slack, on: [failed], timeout: 5min}",
            "at most 60s",
        ),
        (
            "{webhook: \"${WEBHOOK}\", format: slack, when: {name: a, sql: \"select 1 as x; select 2\"}}",
            "this query cannot run",
        ),
        (
            "{webhook: \"${WEBHOOK}\", format: slack, when: {name: a, sql: \"select nope from notes\"}}",
            "nope",
        ),
        (
            "{webhook: \"${WEBHOOK}\", format: slack, when: {name: a, sql: \"select title from notes\", key: [note_id]}}",
            "its key names the column `note_id`, and the query returns title",
        ),
        (
            "{webhook: \"${WEBHOOK}\", format: slack, when: {name: a, sql: \"-- none\"}}",
            "there is no SQL to run",
        ),
        (
            "{webhook: \"${WEBHOOK}\", format: slack, when: {name: a, sql: \"select 1\", at_most: 51}}",
            "`at_most` must be from 1 to 50",
        ),
        (
            "{webhook: \"${WEBHOOK}\", format: slack, when: {name: a, sql: \"select * from read_csv('/etc/passwd')\"}}",
            "can read only the tables",
        ),
    ];
    let misplaced = [
        (
            "{webhok: \"https://x.com/token-of-the-robot\", format: slack, on: [failed]}",
            "unknown key `webhok`",
        ),
        (
            "{Webhook: \"https://x.com/token-of-the-robot\", format: slack, on: [failed]}",
            "unknown key `Webhook`",
        ),
        (
            "{webhook: \"${WEBHOOK}\", webhook: \"https://x.com/token-of-the-robot\", format: slack, on: [failed]}",
            "webhook",
        ),
        ("\"https://x.com/token-of-the-robot\"", "a mapping"),
        (
            "{webhook: \"${A:-https://x.com/token-of-the-robot}\", format: slack, on: [failed]}",
            "does not hold the name of a variable",
        ),
        (
            "{webhook: \"${WEBHOOK}/token-of-the-robot${WEBHOOK}\", format: slack}",
            "nothing is sent to this webhook",
        ),
        (
            "{name: slack 2, webhook: \"${WEBHOOK}\", format: slack, on: [failed]}\n  - {webhook: \"${WEBHOOK}\", format: slack, on: [failed]}\n  - {webhook: \"${WEBHOOK}\", format: slack, on: [failed]}",
            "two webhooks are named `slack 2`",
        ),
    ];
    for (notify, expected) in wrong.into_iter().chain(misplaced) {
        let lake = Lake::new();
        let path = lake.write("watch.yaml", &pipeline(&format!("  - {notify}\n")));
        let mut command = lake.redlake(&["validate", path.to_str().expect("UTF-8")]);
        let command = command
            .env("WEBHOOK", "https://example.com/token-of-the-robot")
            .env("WEBHOOK_SECRET", SECRET);
        let (code, said) = fail(command);
        assert_eq!(code, 2, "{notify}");
        assert!(said.contains(expected), "{said}");
        assert!(said.contains("watch.yaml:1"), "{said}");
        assert!(!said.contains("token-of-the-robot"), "{said}");
        assert!(!said.contains(SECRET), "{said}");
    }
}

#[test]
fn a_webhook_in_the_file_is_warned_of_and_its_variable_stays_there() {
    let lake = Lake::new();
    let path = lake.write(
        "watch.yaml",
        &pipeline("  - {webhook: \"http://bots.example.com/token-of-the-robot\", format: slack, on: [failed]}\n"),
    );
    let path = path.to_str().expect("UTF-8");
    let output = succeed(&mut lake.redlake(&["validate", path]));
    let said = stderr(&output);
    assert!(
        said.contains("the webhook is written in the pipeline file"),
        "{said}"
    );
    assert!(said.contains("the webhook is plain HTTP"), "{said}");
    assert!(!said.contains("token-of-the-robot"), "{said}");

    let elsewhere = pipeline(GENERIC).replace("[兰蔻]", "[\"${WEBHOOK_SECRET}\"]");
    lake.write("watch.yaml", &elsewhere);
    let mut command = lake.redlake(&["validate", path]);
    let command = command
        .env("WEBHOOK", "https://example.com/x")
        .env("WEBHOOK_SECRET", SECRET);
    let (code, said) = fail(command);
    assert_eq!(code, 2);
    assert!(
        said.contains("the variable WEBHOOK_SECRET holds the secret of a webhook"),
        "{said}"
    );
    assert!(!said.contains(SECRET), "{said}");
}

#[test]
fn the_example_of_the_documentation_is_valid() {
    let text = std::fs::read_to_string(repository("pipelines/README.md")).expect("the document");
    let (_, section) = text.split_once("## Messages").expect("a section");
    let (_, block) = section
        .split_once("```yaml\nnotify:\n")
        .expect("an example");
    let (example, _) = block.split_once("```").expect("its end");
    let lake = Lake::new();
    let path = lake.write("watch.yaml", &pipeline(example));
    let mut command = lake.redlake(&["notify", path.to_str().expect("UTF-8"), "--format", "json"]);
    let command = command
        .env(
            "FEISHU_WEBHOOK",
            "https://open.feishu.cn/open-apis/bot/v2/hook/x",
        )
        .env("FEISHU_SECRET", SECRET);
    let report: Value = serde_json::from_slice(&succeed(command).stdout).expect("JSON");
    assert_eq!(report[0]["on"].as_array().map(Vec::len), Some(6));
    assert_eq!(report[1]["finding"]["name"], "rising notes");
}

#[test]
fn a_killed_run_is_told_by_status_once_and_its_end_too() {
    let notify = "  - {webhook: \"${WEBHOOK}\", format: generic, on: [unhealthy, recovered]}\n";
    let watched = Watched::new(notify, Webhook::start());
    let mut killed = watched.command(&["run", &watched.pipeline]);
    let killed = killed.env("FAILPOINTS", "disk=40*off->return").output();
    assert_eq!(killed.expect("the binary starts").status.code(), None);
    assert_eq!(watched.webhook.take().len(), 0);
    let status = || {
        let args = ["status", &watched.pipeline, "--notify"];
        let output = watched.command(&args).output().expect("the binary starts");
        (output.status.code(), watched.webhook.take())
    };
    let (code, posted) = status();
    assert_eq!((code, posted.len()), (Some(9), 1));
    let body = posted[0].json();
    assert_eq!(body["kind"], "health");
    assert_eq!(body["events"], json!(["unhealthy"]));
    says(&body["text"], &["was killed after ", "To do: run `"]);
    let (code, posted) = status();
    assert_eq!((code, posted.len()), (Some(9), 0));
    succeed(&mut watched.command(&["run", &watched.pipeline]));
    let (code, posted) = status();
    assert_eq!((code, posted.len()), (Some(0), 1));
    assert_eq!(posted[0].json()["title"], "redlake: watch: healthy again");
    let (code, posted) = status();
    assert_eq!((code, posted.len()), (Some(0), 0));
}

#[test]
fn a_finding_that_names_an_unknown_column_does_not_stop_a_run() {
    let notify = "  - {webhook: \"${WEBHOOK}\", format: generic, when: {name: old, sql: \"select nope from notes\"}}\n";
    let watched = Watched::new(notify, Webhook::start());
    let output = watched.run(4);
    assert_eq!(output.status.code(), Some(0));
    let said = stderr(&output);
    assert!(
        said.contains("this query cannot run: Binder Error"),
        "{said}"
    );
    let posted = watched.webhook.take();
    assert_eq!(posted.len(), 1);
    assert_eq!(posted[0].json()["kind"], "finding_failed");
    let (code, _) = fail(&mut watched.command(&["validate", &watched.pipeline]));
    assert_eq!(code, 2);
}

#[cfg(unix)]
#[test]
fn a_signal_while_messages_are_sent_changes_no_result() {
    use std::io::Read as _;
    let (asked, is_asked) = std::sync::mpsc::channel();
    let webhook = Webhook::answering(move |_, _| {
        let _ = asked.send(());
        None
    });
    let notify = "  - {webhook: \"${WEBHOOK}\", format: generic, on: [drift], timeout: 60s, \
                  when: {name: all, sql: \"select note_id from notes\"}}\n";
    let watched = Watched::new(notify, webhook);
    let args = ["run", &watched.pipeline, "--format", "json"];
    let mut command = watched.command(&args);
    let command = command.stdout(std::process::Stdio::piped());
    let mut child = command.spawn().expect("the binary starts");
    let mut stdout = child.stdout.take().expect("a pipe");
    // The report is printed before the messages are sent.
    let mut report = vec![0; 1];
    stdout.read_exact(&mut report).expect("a report");
    is_asked.recv().expect("a message");
    let pid = child.id().to_string();
    succeed(Command::new("kill").args(["-TERM", &pid]));
    stdout.read_to_end(&mut report).expect("a report");
    assert_eq!(child.wait().expect("an end").code(), Some(0));
}

#[test]
fn a_failure_that_is_retried_is_told_by_the_last_attempt() {
    let watched = Watched::new(GENERIC, Webhook::start());
    let attempt = |hour: u32, faults: &Value, more: &[&str]| {
        watched.faults(faults);
        let at = format!("2026-03-09T{hour:02}:00:00Z");
        let args = ["run", &watched.pipeline, "--snapshot-at", &at];
        let mut command = watched.command(&[&args[..], more].concat());
        let code = command.output().expect("the binary starts").status.code();
        let posted = watched.webhook.take();
        let events: Vec<Value> = posted
            .iter()
            .map(|posted| posted.json()["events"].clone())
            .collect();
        (code, events)
    };
    let (good, retry) = (json!({}), ["--will-retry"]);
    // Mended by a retry: nothing is told.
    assert_eq!(attempt(4, &outage(), &retry), (Some(8), Vec::new()));
    assert_eq!(
        attempt(4, &page_two_fails(400), &retry),
        (Some(3), Vec::new())
    );
    assert_eq!(attempt(4, &good, &retry), (Some(0), Vec::new()));
    assert_eq!(attempt(5, &good, &[]), (Some(0), Vec::new()));
    // The last attempt tells.
    assert_eq!(attempt(6, &outage(), &retry), (Some(8), Vec::new()));
    assert_eq!(
        attempt(6, &outage(), &[]),
        (Some(8), vec![json!(["failed"])])
    );
    assert_eq!(
        attempt(7, &good, &[]),
        (Some(0), vec![json!(["recovered"])])
    );
    // A budget is not retried.
    let budget = vec![json!(["budget"])];
    assert_eq!(attempt(8, &page_two_fails(303), &retry), (Some(5), budget));
    assert_eq!(
        attempt(9, &good, &[]),
        (Some(0), vec![json!(["recovered"])])
    );
    // A retry that never came is told by the next run.
    assert_eq!(attempt(10, &outage(), &retry), (Some(8), Vec::new()));
    assert_eq!(
        attempt(11, &good, &[]),
        (Some(0), vec![json!(["recovered"])])
    );
    assert_eq!(attempt(12, &good, &[]), (Some(0), Vec::new()));
}

#[test]
fn a_finding_can_begin_with_what_comes_later() {
    let notify = "  - {webhook: \"${WEBHOOK}\", format: generic, when: {name: new, only_later: true, \
                  sql: \"select run_id as note_id, snapshot_at from runs\"}}\n";
    let watched = Watched::new(notify, Webhook::start());
    assert_eq!(watched.posted(4).1.len(), 0);
    let (_, posted) = watched.posted(5);
    assert_eq!(posted.len(), 1);
    let rows = posted[0].json()["finding"]["rows"].clone();
    assert_eq!(rows.as_array().map(Vec::len), Some(1));
    assert_eq!(rows[0]["snapshot_at"], "2026-03-09T05:00:00Z");
}

#[test]
fn a_run_without_a_page_tells_no_finding() {
    let notify = "  - {webhook: \"${WEBHOOK}\", format: generic, when: {name: notes, sql: \"select 1 as one\"}}\n";
    let watched = Watched::new(notify, Webhook::start());
    watched.faults(&outage());
    let (code, posted) = watched.posted(4);
    assert_eq!((code, posted.len()), (Some(8), 0));
    watched.faults(&json!({}));
    let (code, posted) = watched.posted(4);
    assert_eq!((code, posted.len()), (Some(0), 1));
}

#[test]
fn a_bad_run_is_told_once_also_after_a_later_good_one() {
    let watched = Watched::new(GENERIC, Webhook::start());
    let none = json!({});
    let steps: [(u32, Value, i32, Option<&str>); 6] = [
        (4, page_two_fails(400), 3, Some("partial")),
        (5, none.clone(), 0, Some("recovered")),
        (4, page_two_fails(400), 3, None),
        (6, none.clone(), 0, None),
        (4, outage(), 3, None),
        (4, none, 0, None),
    ];
    for (step, (hour, faults, code, event)) in steps.into_iter().enumerate() {
        watched.faults(&faults);
        let expected: Vec<Value> = event.iter().map(|event| json!([event])).collect();
        assert_eq!(watched.events(hour), (Some(code), expected), "step {step}");
    }
}

#[test]
fn a_retried_attempt_is_not_told_later() {
    let notify = GENERIC.replace(", recovered]", "]");
    let watched = Watched::new(&notify, Webhook::start());
    let attempt = |hour: u32, faults: &Value, more: &[&str]| {
        watched.faults(faults);
        let at = format!("2026-03-09T{hour:02}:00:00Z");
        let args = ["run", &watched.pipeline, "--snapshot-at", &at];
        let mut command = watched.command(&[&args[..], more].concat());
        command.output().expect("the binary starts");
        watched.webhook.take()
    };
    assert_eq!(attempt(4, &outage(), &["--will-retry"]).len(), 0);
    let posted = attempt(4, &page_two_fails(400), &[]);
    assert_eq!(posted.len(), 1);
    assert_eq!(posted[0].json()["events"], json!(["partial"]));
    let posted = attempt(5, &page_two_fails(400), &[]);
    assert_eq!(posted.len(), 1);
    let body = posted[0].json();
    assert_eq!(body["events"], json!(["partial"]));
    let text = body["text"].as_str().expect("a text");
    assert!(!text.contains("not delivered"), "{text}");
    assert_eq!(attempt(6, &json!({}), &[]).len(), 0);
}
