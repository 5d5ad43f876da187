//! A token appears nowhere but in the request.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Lake, SandboxProcess};

/// With characters that a URL encodes.
const TOKEN: &str = "s3cr3t+t0ken/==";
const FORMS: [&str; 3] = [TOKEN, "s3cr3t%2Bt0ken%2F%3D%3D", "s3cr3t"];

const PIPELINE: &str = "
version: 1
pipeline: secretive
source: {name: justoneapi, base_url: prod-cn}
keyword_sets: {brands: [兰蔻, \"code:400\"]}
extract:
  - {endpoint: note_search, keywords: [brands], pages: {max: 2}}
  - endpoint: note_detail
    source: {name: xhs_open}
    notes: {found_by: note_search, top: 2, by: liked_count}
limits: {requests_per_second: 1000}
";

#[test]
fn no_file_and_no_output_holds_the_token() {
    // The right token, then one that is refused: failing is when secrets leak.
    for (accepted, exit_code) in [(TOKEN, 3), ("another", 4)] {
        let sandbox = SandboxProcess::start(accepted);
        let lake = Lake::new();
        let pipeline = lake.write("secretive.yaml", PIPELINE);
        let mut command = lake.redlake(&["run", pipeline.to_str().expect("UTF-8"), "-vv"]);
        command
            .args(["--progress", "log"])
            .env("JUSTONEAPI_BASE_URL", &sandbox.url)
            .env("XHS_OPEN_BASE_URL", &sandbox.url)
            .env("JUSTONEAPI_TOKEN", TOKEN)
            .env("XHS_OPEN_TOKEN", TOKEN);
        let output = command.output().expect("the binary starts");
        assert_eq!(output.status.code(), Some(exit_code));
        assert_clean(&output.stdout, Path::new("stdout"));
        assert_clean(&output.stderr, Path::new("stderr"));
        let searched = search(&lake.path());
        assert!(searched > 5, "only {searched} files were searched");
    }
}

/// Runs through every fault of the sandbox at every level of logging.
#[test]
fn no_fault_brings_the_token_to_light() {
    let sandbox = SandboxProcess::with(&["--frozen", "--token", TOKEN]);
    let lake = Lake::new();
    // With timeouts that a test can wait for, where answers never come as a whole.
    let impatient = lake.schemas(&[
        ("sources/justoneapi.yaml", "timeout: 120s", "timeout: 5s"),
        ("sources/xhs_open.yaml", "timeout: 60s", "timeout: 5s"),
    ]);
    let impatient = ["--schemas", impatient.to_str().expect("UTF-8")];
    let faults = [
        json!({"kind": "code", "code": 301}),
        json!({"kind": "code", "code": 302, "retry_after": {"date_in_seconds": 0}}),
        json!({"kind": "code", "code": 400, "status": 400}),
        json!({"kind": "code", "code": 999}),
        json!({"kind": "status", "status": 502, "body": "html"}),
        json!({"kind": "echo_token"}),
        json!({"kind": "timeout"}),
        json!({"kind": "timeout_in_body"}),
        json!({"kind": "reset"}),
        json!({"kind": "reset_in_body"}),
        json!({"kind": "truncated"}),
        json!({"kind": "garbage"}),
        json!({"kind": "html"}),
        json!({"kind": "empty"}),
        json!({"kind": "content_type", "content_type": "text/plain"}),
        json!({"kind": "gzip"}),
        json!({"kind": "false_gzip"}),
        json!({"kind": "trailing"}),
        json!({"kind": "nan"}),
        json!({"kind": "empty_data"}),
        json!({"kind": "null_data"}),
        json!({"kind": "code", "code": -1, "msg": "who"}),
        json!({"kind": "huge", "megabytes": 40}),
        json!({"kind": "bomb", "megabytes": 40}),
        json!({"kind": "drip", "bytes_per_second": 100}),
        json!({"kind": "redirect", "to": "same_host"}),
        json!({"kind": "duplicate"}),
        json!({"kind": "shift", "items": 3}),
    ];
    // Those end a run: each has one of its own.
    let last = [
        json!({"kind": "redirect", "to": "other_host"}),
        json!({"kind": "redirect", "to": "loop"}),
        json!({"kind": "code", "code": 303}),
        json!({"kind": "code", "code": 100}),
        json!({"kind": "status", "status": 401, "body": "html"}),
    ];
    let words: Vec<String> = (0..faults.len()).map(|n| format!("word {n}")).collect();
    let pipeline = PIPELINE
        .replace("[兰蔻, \"code:400\"]", &format!("[{}]", words.join(", ")))
        .replace("limits: {", "limits: {retries: 1, retry_delay: 1ms, ");
    let pipeline = lake.write("secretive.yaml", &pipeline);
    let run = |plan: &Value, flags: &[&str]| {
        sandbox.set_faults(plan);
        let mut args = vec![
            "run",
            pipeline.to_str().expect("UTF-8"),
            "--resume",
            "never",
        ];
        args.extend(flags);
        let output = sandbox.redlake(&lake, &args, TOKEN).output();
        let output = output.expect("the binary starts");
        assert_clean(&output.stdout, Path::new("stdout"));
        assert_clean(&output.stderr, Path::new("stderr"));
        output.status.code()
    };
    let on = |(word, fault): (&String, &Value)| json!({"keyword": word, "fault": fault});
    let all: Vec<Value> = words.iter().zip(&faults).map(on).collect();
    let plan = json!({"on": all});
    let quiet = [&["-q"], &impatient[..]].concat();
    assert_eq!(run(&plan, &quiet), Some(3));
    let log = ["-vv", "--log-format", "json", "--progress", "log"];
    assert_eq!(run(&plan, &[&log, &impatient[..]].concat()), Some(3));
    let kinds = "select count(distinct class) from requests";
    assert!(
        lake.value(kinds).as_u64().is_some_and(|n| n >= 7),
        "every fault struck"
    );
    for (fault, exit_code) in last.iter().zip([2, 2, 5, 4, 4]) {
        let plan = json!({"script": [fault]});
        assert_eq!(run(&plan, &["-v"]), Some(exit_code), "{fault}");
    }
    // No call brought it to another host, nor in a Referer.
    let searched = search(lake.path().parent().expect("a folder"));
    assert!(searched > 20, "only {searched} files were searched");
}

/// A redirect on the same host is followed; what follows it tells nobody where it came from.
#[test]
fn no_header_repeats_the_token_after_a_redirect() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let server = std::thread::spawn(move || {
        let mut heads = Vec::new();
        for stream in listener.incoming().flatten().take(2) {
            let mut reader = BufReader::new(stream);
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                reader.read_line(&mut head).expect("a request");
            }
            let answer = match heads.len() {
                0 => "HTTP/1.1 307 X\r\nlocation: /again\r\n",
                _ => "HTTP/1.1 500 X\r\n",
            };
            let rest = "content-length: 0\r\nconnection: close\r\n\r\n";
            let mut stream = reader.into_inner();
            write!(stream, "{answer}{rest}").expect("the client reads");
            heads.push(head);
        }
        heads
    });
    let lake = Lake::new();
    let pipeline = PIPELINE.replace("limits: {", "limits: {concurrency: 1, retries: 0, ");
    let pipeline = lake.write("secretive.yaml", &pipeline.replace(", \"code:400\"", ""));
    let mut command = lake.redlake(&["run", pipeline.to_str().expect("UTF-8")]);
    command
        .env("JUSTONEAPI_BASE_URL", &url)
        .env("XHS_OPEN_BASE_URL", &url)
        .env("JUSTONEAPI_TOKEN", TOKEN)
        .env("XHS_OPEN_TOKEN", TOKEN);
    assert_eq!(command.output().expect("it starts").status.code(), Some(8));
    let heads = server.join().expect("two requests");
    assert!(heads[0].contains("token=s3cr3t"), "{}", heads[0]);
    // A call of its own to the same origin: it says who asks as any other does.
    let (line, headers) = heads[1].split_once("\r\n").expect("a request line");
    assert!(line.starts_with("GET /again?token="), "{line}");
    assert_clean(
        headers.as_bytes(),
        Path::new("the request after a redirect"),
    );
    assert!(
        !heads[1].to_ascii_lowercase().contains("referer"),
        "{}",
        heads[1]
    );
}

/// Looks through every file, raw pages unpacked; how many.
fn search(folder: &Path) -> usize {
    let mut searched = 0;
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            searched += search(&path);
            continue;
        }
        let bytes = std::fs::read(&path).expect("a readable file");
        let bytes = match path.extension().is_some_and(|e| e == "zst") {
            true => zstd::decode_all(bytes.as_slice()).expect("a raw file"),
            false => bytes,
        };
        assert_clean(&bytes, &path);
        searched += 1;
    }
    searched
}

fn assert_clean(bytes: &[u8], place: &Path) {
    let text = String::from_utf8_lossy(bytes);
    for form in FORMS {
        assert!(!text.contains(form), "{} holds the token", place.display());
    }
}
