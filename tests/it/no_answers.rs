//! Answers that are none: each kind is told apart in summary, log and ledger, costs no call more
//! than the contract says, and brings nothing into the tables.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Output;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::support::{FakeApi, Lake};

const TOKEN: &str = "a-token-of-some-length";

/// Two pages of one keyword.
const SEARCH: &str = "
version: 1
pipeline: none
source: {name: justoneapi}
keyword_sets: {words: [兰蔻]}
extract: [{endpoint: note_search, keywords: [words], pages: {max: 2}}]
limits: {requests_per_second: 1000, concurrency: 1, retries: 0}
price: {note_search: 0.1, currency: CNY}
";

/// One note of the open platform.
const DETAIL: &str = "
version: 1
pipeline: none
source: {name: xhs_open}
extract: [{endpoint: note_detail, notes: {ids: [649c46ab000000002702ad36]}}]
limits: {requests_per_second: 1000, concurrency: 1, retries: 0}
";

/// A run of one of the pipelines against an address.
struct Run {
    lake: Lake,
    /// Host and port that were asked.
    host: String,
    exit: Option<i32>,
    stderr: String,
}

fn run(url: &str, pipeline: &str) -> Run {
    let lake = Lake::new();
    let file = lake.write("none.yaml", pipeline);
    let args = ["run", file.to_str().expect("UTF-8"), "-v"];
    let Output { status, stderr, .. } = lake
        .redlake(&args)
        .env("JUSTONEAPI_BASE_URL", url)
        .env("XHS_OPEN_BASE_URL", url)
        .env("JUSTONEAPI_TOKEN", TOKEN)
        .env("XHS_OPEN_TOKEN", TOKEN)
        .env("NO_PROXY", "*")
        .output()
        .expect("the binary starts");
    let (_, host) = url.split_once("://").expect("a URL");
    Run {
        lake,
        host: host.to_owned(),
        exit: status.code(),
        stderr: String::from_utf8_lossy(&stderr).into_owned(),
    }
}

impl Run {
    /// A cause with the host that it is about.
    fn at_host(&self, cause: &str) -> String {
        format!("{}: {cause}", self.host)
    }

    /// The calls in their order: HTTP status, class, billed, error.
    fn calls(&self) -> Vec<Value> {
        let calls = "select http_status, class, billed::varchar as billed, item_count, error \
                     from requests order by started_at, request_id";
        let rows = self.lake.query(calls);
        let row = |row: &Value| {
            json!([
                row["http_status"],
                row["class"],
                row["billed"],
                row["item_count"],
                row["error"]
            ])
        };
        rows.iter().map(row).collect()
    }

    /// The summary and the log say it, and the tables have nothing.
    fn tells(&self, error: &str) {
        let stderr = &self.stderr;
        let line = |starts: &[&str]| {
            let is_meant = |line: &&str| {
                starts.iter().any(|start| line.starts_with(start)) && line.contains(error)
            };
            stderr.lines().any(|line| is_meant(&line))
        };
        assert!(line(&["failed:", "error:"]), "{error}\n{stderr}");
        let logged = stderr.lines().filter(|line| line.contains("attempt 1:"));
        assert!(
            logged.into_iter().any(|line| line.contains(error)),
            "{error}\n{stderr}"
        );
        let rows = "select (select count(*) from notes) + (select count(*) from search_pages)";
        assert_eq!(self.lake.value(rows), 0, "{error}");
        assert!(!stderr.contains(TOKEN), "{stderr}");
    }
}

/// A complete HTTP answer.
fn http(status: u16, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n"
    );
    [head.as_bytes(), body].concat()
}

fn notes() -> Vec<u8> {
    let note = json!({"id": "n1", "title": "t", "images_list": []});
    let items = json!([{"model_type": "note", "note": note}]);
    let body = json!({"code": 0, "data": {"items": items}});
    body.to_string().into_bytes()
}

#[test]
fn invalid_json_bodies_are_classified_and_kept() {
    let page = String::from_utf8(notes()).expect("UTF-8");
    let nan = page.replace("\"t\"", "NaN");
    let at = nan.find("NaN").expect("a place");
    let cases: [(u16, &str, String, String); 9] = [
        (
            200,
            "",
            String::new(),
            "HTTP 200: the answer is empty".into(),
        ),
        (
            204,
            "",
            String::new(),
            "HTTP 204: the answer is empty".into(),
        ),
        (
            200,
            "",
            " \n".into(),
            "HTTP 200: the answer is empty".into(),
        ),
        (
            200,
            "content-type: text/html\r\n",
            "\n<!doctype HTML><title>登录</title>".into(),
            "HTTP 200: the answer is HTML, not JSON".into(),
        ),
        (
            200,
            "content-type: application/json\r\n",
            format!("{page}\n<script>1</script>"),
            format!(
                "HTTP 200: the answer has text after its JSON, at byte {}: `<`",
                page.len() + 1
            ),
        ),
        (
            200,
            "",
            format!("{page}{page}"),
            format!(
                "HTTP 200: the answer has text after its JSON, at byte {}: `{{`",
                page.len()
            ),
        ),
        (
            200,
            "",
            nan,
            format!("HTTP 200: the answer is not JSON at byte {at}: `NaN`"),
        ),
        (
            200,
            "",
            page[..page.len() - 2].to_owned(),
            format!(
                "HTTP 200: the answer ends at byte {}, in the middle of its JSON",
                page.len() - 2
            ),
        ),
        (
            200,
            "content-encoding: br\r\n",
            "\u{b}\u{1}\u{3}".into(),
            "HTTP 200: the answer is encoded as br, which was not requested".into(),
        ),
    ];
    for (status, headers, body, cause) in cases {
        let answer = http(status, headers, body.as_bytes());
        let api = FakeApi::speaking(move |_| answer.clone());
        for pipeline in [SEARCH, DETAIL] {
            let run = run(&api.url, pipeline);
            assert_eq!(run.exit, Some(8), "{cause}\n{}", run.stderr);
            let error = run.at_host(&cause);
            let call = json!([status, "invalid", "unknown", null, error]);
            assert_eq!(run.calls(), [call]);
            run.tells(&error);
            let raw = run.lake.raw_pages();
            assert_eq!(
                (raw.len(), &raw[0]["accepted"]),
                (1, &json!(false)),
                "{error}"
            );
        }
    }
}

/// The page before it is kept.
#[test]
fn invalid_gzip_is_reported() {
    let api = FakeApi::speaking(|request| {
        if request.contains("page=1") {
            http(200, "", &notes())
        } else {
            http(200, "content-encoding: gzip\r\n", &notes())
        }
    });
    let run = run(&api.url, SEARCH);
    assert_eq!(run.exit, Some(3), "{}", run.stderr);
    let error = run.at_host("the answer is declared as gzip, but is not");
    let calls = [
        json!([200, "ok", "yes", 1, null]),
        json!([null, "invalid", "unknown", null, error]),
    ];
    assert_eq!(run.calls(), calls);
    assert_eq!(run.lake.value("select count(*) from notes"), 1);
    assert!(
        run.stderr
            .contains(&format!("failed: note_search 兰蔻: {error}")),
        "{}",
        run.stderr
    );
}

#[test]
fn data_that_is_null_ends_a_search_and_data_without_a_list_fails_it() {
    let second = |data: &'static str| {
        FakeApi::speaking(move |request| {
            if request.contains("page=1") {
                http(200, "", &notes())
            } else {
                http(200, "", format!(r#"{{"code":0,"data":{data}}}"#).as_bytes())
            }
        })
    };
    let stop = "select stop from search_pages where page = 2";
    let run_null = run(&second("null").url, SEARCH);
    assert_eq!(run_null.exit, Some(0), "{}", run_null.stderr);
    assert_eq!(run_null.lake.value(stop), "empty");
    assert_eq!(run_null.calls()[1], json!([200, "ok", "yes", 0, null]));

    let run_empty = run(&second("{}").url, SEARCH);
    assert_eq!(run_empty.exit, Some(3), "{}", run_empty.stderr);
    let error = "the answer has no list of items: `/data/items` is missing";
    assert_eq!(
        run_empty.calls()[1],
        json!([200, "invalid", "yes", null, error])
    );
    assert!(run_empty.stderr.contains(error), "{}", run_empty.stderr);
    assert_eq!(run_empty.lake.value("select count(*) from notes"), 1);
}

#[test]
fn a_detail_without_its_note_is_told() {
    for (data, why) in [
        ("null", "is null"),
        ("[]", "is not an object"),
        ("\"x\"", "is not an object"),
    ] {
        let answer = http(
            200,
            "",
            format!(r#"{{"code":200,"data":{data}}}"#).as_bytes(),
        );
        let api = FakeApi::speaking(move |_| answer.clone());
        let run = run(&api.url, DETAIL);
        assert_eq!(run.exit, Some(8), "{}", run.stderr);
        let error = format!("the answer has no item: `/data` {why}");
        assert_eq!(run.calls(), [json!([200, "invalid", "yes", null, error])]);
        run.tells(&error);
    }
}

#[test]
fn the_providers_words_are_told_and_kept_short() {
    let long = "访问频次异常".repeat(100);
    let kept: String = long.chars().take(499).chain(['…']).collect();
    for (body, said) in [
        (json!({"code": -1, "msg": "慢一点"}), "慢一点"),
        (json!({"code": -1, "message": null, "msg": "慢"}), "慢"),
        (json!({"code": -1, "message": long}), kept.as_str()),
        (json!({"code": -1, "msg": long}), kept.as_str()),
    ] {
        let answer = http(200, "", body.to_string().as_bytes());
        let api = FakeApi::speaking(move |_| answer.clone());
        for pipeline in [SEARCH, DETAIL] {
            let run = run(&api.url, pipeline);
            assert_eq!(run.exit, Some(8), "{}", run.stderr);
            let error = format!("code -1 (HTTP 200): {said}");
            assert_eq!(
                run.calls(),
                [json!([200, "unknown", "unknown", null, error])]
            );
            run.tells(&error);
            assert!(!run.stderr.contains(&long), "{}", run.stderr);
        }
    }
}

/// What a server that redirects was asked, and what it answers to paths other than `from`.
fn redirecting(
    from: &'static str,
    location: impl Fn(&str) -> String + Send + 'static,
    answer: Vec<u8>,
) -> (FakeApi, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    let api = FakeApi::speaking(move |request| {
        log.lock().expect("no panic").push(request.to_owned());
        let target = request.split(' ').nth(1).expect("a target");
        if target.starts_with(from) {
            http(302, &format!("location: {}\r\n", location(request)), b"")
        } else {
            answer.clone()
        }
    });
    (api, asked)
}

/// The address that a request came to.
fn own(request: &str) -> String {
    let host = request.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("host").then(|| value.to_owned())
    });
    host.expect("a host")
}

#[test]
fn a_redirect_is_a_call_of_its_own() {
    let to = |request: &str| format!("http://{}/moved?next=1#top", own(request));
    for (pipeline, from) in [(SEARCH, "/api"), (DETAIL, "/v1")] {
        let html = http(200, "content-type: text/html\r\n", b"<html>log in</html>");
        let (api, asked) = redirecting(from, to, html);
        let host = api.url.trim_start_matches("http://").to_owned();
        let run = run(&api.url, pipeline);
        assert_eq!(run.exit, Some(8), "{}", run.stderr);
        let calls = [
            json!([
                302,
                "redirected",
                "no",
                null,
                run.at_host(&format!("redirected to {host}/moved"))
            ]),
            json!([
                200,
                "invalid",
                "unknown",
                null,
                run.at_host("HTTP 200: the answer is HTML, not JSON")
            ]),
        ];
        assert_eq!(run.calls(), calls);
        run.tells("the answer is HTML, not JSON");
        let numbers = "select distinct page, attempt from requests";
        assert_eq!(run.lake.query(numbers), [json!({"page": 1, "attempt": 1})]);
        let asked = asked.lock().expect("no panic");
        assert_eq!(asked.len(), 2);
        // The source's way to say who asks, once.
        let expected = if pipeline == SEARCH {
            format!("GET /moved?next=1&token={TOKEN} HTTP/1.1")
        } else {
            "GET /moved?next=1 HTTP/1.1".to_owned()
        };
        assert!(asked[1].starts_with(&expected), "{}", asked[1]);
        assert_eq!(asked[1].matches(TOKEN).count(), 1, "{}", asked[1]);
    }
}

#[test]
fn a_page_behind_a_redirect_is_a_page() {
    // Relative, with the token in its query.
    let to = |request: &str| {
        let target = request.split(' ').nth(1).expect("a target");
        target.replacen("/api/", "/v9/", 1)
    };
    let (api, asked) = redirecting("/api", to, http(200, "", &notes()));
    let run = run(&api.url, SEARCH);
    assert_eq!(run.exit, Some(0), "{}", run.stderr);
    assert_eq!(run.lake.value("select count(*) from notes"), 1);
    let host = api.url.trim_start_matches("http://");
    let path = "v9/xiaohongshu/search-note/v2";
    let hop = json!([
        302,
        "redirected",
        "no",
        null,
        run.at_host(&format!("redirected to {host}/{path}"))
    ]);
    let page = json!([200, "ok", "yes", 1, null]);
    assert_eq!(run.calls()[..2], [hop, page]);
    let asked = asked.lock().expect("no panic");
    assert!(
        asked[1].starts_with(&format!("GET /{path}?")),
        "{}",
        asked[1]
    );
    assert_eq!(asked[1].matches(TOKEN).count(), 1, "{}", asked[1]);
}

/// A budget counts each call of a chain of redirects before it is sent.
#[test]
fn redirects_are_under_the_budget() {
    let (api, asked) = redirecting("/", |_| "/again".to_owned(), Vec::new());
    let pipeline = SEARCH.replace("retries: 0", "retries: 0, requests_per_run: 3");
    let run = run(&api.url, &pipeline);
    assert_eq!(run.exit, Some(5), "{}", run.stderr);
    assert_eq!(asked.lock().expect("no panic").len(), 3);
    let journalled = "select count(*) from requests where class = 'redirected'";
    assert_eq!(run.lake.value(journalled), 3);
}

#[test]
fn redirects_without_end_stop_the_run() {
    for pipeline in [SEARCH, DETAIL] {
        let (api, asked) = redirecting("/", |_| "/again".to_owned(), Vec::new());
        let run = run(&api.url, pipeline);
        assert_eq!(run.exit, Some(2), "{}", run.stderr);
        assert_eq!(asked.lock().expect("no panic").len(), 6);
        let host = api.url.trim_start_matches("http://");
        let error =
            format!("the redirect to {host}/again is refused: 5 redirects in a row were followed");
        let error = run.at_host(&error);
        let hop = json!([
            302,
            "redirected",
            "no",
            null,
            run.at_host(&format!("redirected to {host}/again"))
        ]);
        let mut calls = vec![hop; 5];
        calls.push(json!([302, "invalid", "no", null, error]));
        assert_eq!(run.calls(), calls);
        run.tells(&error);
    }
}

#[test]
fn a_redirect_that_leaves_the_origin_is_refused() {
    let (elsewhere, visitors) = redirecting("/never", |_| String::new(), Vec::new());
    let port = elsewhere.url.rsplit(':').next().expect("a port").to_owned();
    let cases = [
        (
            "127.0.0.1",
            "it leads to another port, which must not get the token",
        ),
        (
            "localhost",
            "it leads to another host, which must not get the token",
        ),
    ];
    for (host, why) in cases {
        for pipeline in [SEARCH, DETAIL] {
            let to = format!("http://{host}:{port}/x?token={TOKEN}");
            let (api, asked) = redirecting("/", move |_| to.clone(), Vec::new());
            let run = run(&api.url, pipeline);
            assert_eq!(run.exit, Some(2), "{}", run.stderr);
            let error = format!("the redirect to {host}:{port}/x is refused: {why}");
            let error = run.at_host(&error);
            assert_eq!(run.calls(), [json!([302, "invalid", "no", null, error])]);
            run.tells(&error);
            assert_eq!(asked.lock().expect("no panic").len(), 1);
        }
    }
    assert_eq!(visitors.lock().expect("no panic").len(), 0);
}

#[test]
fn a_redirect_to_nowhere_fails_its_search() {
    let cases = [
        ("", "HTTP 302: the redirect is refused: it has no Location"),
        (
            "location: http://[\r\n",
            "HTTP 302: the redirect is refused: its Location is not an address",
        ),
        (
            "location: mailto:a@b\r\n",
            "HTTP 302: the redirect is refused: its Location is not an address",
        ),
    ];
    for (headers, cause) in cases {
        let answer = http(302, headers, b"");
        let api = FakeApi::speaking(move |_| answer.clone());
        let run = run(&api.url, SEARCH);
        assert_eq!(run.exit, Some(8), "{}", run.stderr);
        let error = run.at_host(cause);
        assert_eq!(
            run.calls(),
            [json!([302, "bad_request", "no", null, error])]
        );
        run.tells(&error);
    }
}

/// A server that reads what comes first, answers with these bytes and hangs up.
fn saying(bytes: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten().take(100) {
            let mut hello = [0; 4096];
            let _ = stream.read(&mut hello);
            let _ = stream.write_all(bytes);
        }
    });
    address.to_string()
}

#[test]
fn a_connection_that_is_not_made_names_host_and_cause() {
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let closed = free.local_addr().expect("an address").to_string();
    drop(free);
    // Longer than a name in the DNS can be: no resolver asks for it.
    let unknown = format!("{}.invalid", "a".repeat(64));
    let cases = [
        (format!("http://{closed}"), closed, "connection refused"),
        (format!("http://{unknown}"), unknown, "host not found"),
    ];
    let tls = [
        (
            &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
            "TLS refused: the server does not speak TLS",
        ),
        // A fatal alert: handshake_failure.
        (
            &[0x15, 3, 3, 0, 2, 2, 40][..],
            "TLS refused: received fatal alert: HandshakeFailure",
        ),
        (
            &b""[..],
            "TLS refused: the server closed the connection during the handshake",
        ),
    ];
    let tls = tls.map(|(bytes, why)| {
        let address = saying(bytes);
        (format!("https://{address}"), address, why)
    });
    for (url, address, why) in cases.into_iter().chain(tls) {
        for pipeline in [SEARCH, DETAIL] {
            let run = run(&url, pipeline);
            assert_eq!(run.exit, Some(8), "{}", run.stderr);
            let error = format!("{address}: {why}");
            assert_eq!(run.calls(), [json!([null, "transport", "no", null, error])]);
            run.tells(&error);
        }
    }
}
