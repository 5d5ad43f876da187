//! Running the binary, and reading what it left.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// A lake in a folder of its own, and the binary to work on it.
pub struct Lake {
    dir: TempDir,
}

impl Lake {
    pub fn new() -> Self {
        Lake {
            dir: TempDir::new().expect("a temporary folder"),
        }
    }

    /// Another lake that holds the same.
    pub fn fork(&self) -> Lake {
        let other = Lake::new();
        copy(&self.path(), &other.path());
        other
    }

    /// The number of rows of each table and a checksum of them, in whatever order they are.
    pub fn checksums(&self, tables: &[&str]) -> Value {
        let sum = |table: &&str| {
            format!(
                "(SELECT count(*) || ' ' || coalesce(sum(hash(t)::HUGEINT), 0) FROM {table} t) AS {table}"
            )
        };
        let sums: Vec<String> = tables.iter().map(sum).collect();
        let mut rows = self.query(&format!("SELECT {}", sums.join(", ")));
        rows.pop().expect("a row")
    }

    pub fn path(&self) -> PathBuf {
        self.dir.path().join("lake")
    }

    /// A file beside the lake.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).expect("a writable folder");
        path
    }

    /// The contracts with pieces of their text replaced, as (file, old, new).
    pub fn schemas(&self, changes: &[(&str, &str, &str)]) -> PathBuf {
        let schemas = self.dir.path().join("schemas");
        copy(&repository("schemas"), &schemas);
        for (file, old, new) in changes {
            let path = schemas.join(file);
            let text = std::fs::read_to_string(&path).expect("a contract");
            assert!(text.contains(old), "{file} does not say {old}");
            std::fs::write(&path, text.replace(old, new)).expect("a writable folder");
        }
        schemas
    }

    /// The binary with this lake, in a folder of its own, with nothing of our environment that
    /// redlake looks at.
    pub fn redlake(&self, args: &[&str]) -> Command {
        let mut command = redlake();
        command
            .args(args)
            .arg("--lake")
            .arg(self.path())
            .current_dir(self.dir.path());
        command
    }

    /// Runs a pipeline that must succeed; its report.
    pub fn run(&self, pipeline: &Path, more: &[&str]) -> Value {
        let mut args = vec![
            "run",
            pipeline.to_str().expect("a UTF-8 path"),
            "--format",
            "json",
        ];
        args.extend(more);
        let output = succeed(&mut self.redlake(&args));
        serde_json::from_slice(&output.stdout).expect("a JSON report")
    }

    /// The rows of a query, as JSON objects.
    pub fn query(&self, sql: &str) -> Vec<Value> {
        let output = succeed(&mut self.redlake(&["query", sql, "--format", "json"]));
        serde_json::from_slice(&output.stdout).expect("a JSON list")
    }

    /// The one value of a query.
    pub fn value(&self, sql: &str) -> Value {
        let rows = self.query(sql);
        assert_eq!(rows.len(), 1, "{sql} gives {} rows", rows.len());
        let row = rows[0].as_object().expect("an object");
        assert_eq!(row.len(), 1, "{sql} gives more than one column");
        row.values().next().cloned().expect("a column")
    }

    /// Every file of the tables with its bytes, by path below the lake.
    pub fn table_files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files = Vec::new();
        collect(&self.path().join("tables"), &mut files);
        files.sort();
        files
    }

    /// Every page of the raw zone, as JSON.
    pub fn raw_pages(&self) -> Vec<Value> {
        let mut pages = Vec::new();
        for path in self.raw_files() {
            let bytes = std::fs::read(&path).expect("a raw file");
            let lines = zstd::decode_all(bytes.as_slice()).expect("zstd");
            let lines = String::from_utf8(lines).expect("UTF-8");
            pages.extend(
                lines
                    .lines()
                    .map(|line| serde_json::from_str::<Value>(line).expect("JSON")),
            );
        }
        pages
    }

    pub fn raw_files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        collect(&self.path().join("raw"), &mut files);
        let mut paths: Vec<_> = files.into_iter().map(|(path, _)| path).collect();
        paths.sort();
        paths
    }
}

/// Every file below a folder, with its bytes.
pub fn collect(folder: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push((path.clone(), std::fs::read(&path).expect("a readable file")));
        }
    }
}

/// The binary without anything of our environment that it looks at.
pub fn redlake() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_redlake"));
    for name in [
        "JUSTONEAPI_TOKEN",
        "JUSTONEAPI_BASE_URL",
        "XHS_OPEN_TOKEN",
        "XHS_OPEN_BASE_URL",
        "XHS_OPEN_APP_ID",
        "XHS_OPEN_APP_SECRET",
        "REDLAKE_LAKE",
        "REDLAKE_SCHEMAS",
        "REDLAKE_LOG_FORMAT",
        "CARGO",
        "http_proxy",
        "HTTP_PROXY",
        "https_proxy",
        "HTTPS_PROXY",
        "all_proxy",
        "ALL_PROXY",
    ] {
        command.env_remove(name);
    }
    command
}

/// A shell that finds the tested binary as `redlake`, with the variables of [`redlake`].
pub fn shell() -> Command {
    let binary = Path::new(env!("CARGO_BIN_EXE_redlake"));
    let bin = binary.parent().expect("a folder");
    let path = std::env::var("PATH").expect("a PATH");
    let mut shell = Command::new("sh");
    for (name, value) in redlake().get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell.env("PATH", format!("{}:{path}", bin.display()));
    shell
}

/// Runs a command that must exit 0.
pub fn succeed(command: &mut Command) -> Output {
    let output = command.output().expect("the binary starts");
    assert!(
        output.status.success(),
        "{command:?} ended with {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// Runs a command that must fail; its exit code and what it says on stderr.
pub fn fail(command: &mut Command) -> (i32, String) {
    let output = command.output().expect("the binary starts");
    assert!(!output.status.success(), "{command:?} succeeded");
    (
        output.status.code().unwrap_or(-1),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

/// A file of the repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The tables or marts that the built-in contracts declare: the names of the files in this folder of
/// `schemas/`, in alphabetical order.
pub fn declared(folder: &str) -> Vec<String> {
    let files = std::fs::read_dir(repository("schemas").join(folder)).expect("a folder");
    let mut names: Vec<String> = files
        .map(|file| {
            let path = file.expect("a file").path();
            let name = path.file_stem().expect("a name");
            name.to_str().expect("UTF-8").to_owned()
        })
        .collect();
    names.sort();
    names
}

/// A folder with all that is in it.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a writable folder");
    for entry in std::fs::read_dir(from).expect("a folder").flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("a copy");
        }
    }
}

/// `redlake sandbox` as a process of its own; ended when dropped.
pub struct SandboxProcess {
    child: Child,
    pub url: String,
}

impl SandboxProcess {
    /// A sandbox that expects this token.
    pub fn start(token: &str) -> Self {
        SandboxProcess::with(&["--token", token])
    }

    /// A sandbox with these flags.
    pub fn with(flags: &[&str]) -> Self {
        SandboxProcess::of(&mut redlake(), flags)
    }

    /// A sandbox with these flags, started by a command that has an environment.
    pub fn of(redlake: &mut Command, flags: &[&str]) -> Self {
        let mut child = redlake
            .args(["sandbox", "--port", "0", "--clock", "2026-03-09T04:00:00Z"])
            .args(flags)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the sandbox starts");
        let mut url = String::new();
        let stdout = child.stdout.take().expect("a pipe");
        BufReader::new(stdout)
            .read_line(&mut url)
            .expect("the sandbox says its address");
        SandboxProcess {
            child,
            url: url.trim().to_owned(),
        }
    }

    /// What a control route answers.
    pub fn control(&self, method: &str, path: &str, body: &str) -> String {
        let address = self.url.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).expect("the sandbox listens");
        let length = body.len();
        write!(
            stream,
            "{method} /_sandbox{path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
             content-length: {length}\r\n\r\n{body}"
        )
        .expect("the sandbox reads");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an answer");
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with("HTTP/1.1 20"), "{method} {path}: {answer}");
        match head.to_ascii_lowercase().contains("chunked") {
            true => unchunked(body),
            false => body.to_owned(),
        }
    }

    /// Lets calls go wrong; the calls so far are forgotten.
    pub fn set_faults(&self, faults: &Value) {
        self.control("POST", "/faults", &faults.to_string());
        self.control("DELETE", "/calls", "");
    }

    /// The calls since they were last forgotten.
    pub fn calls(&self) -> Vec<Value> {
        let calls = self.control("GET", "/calls", "");
        let lines = calls.lines().filter(|line| !line.is_empty());
        lines
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect()
    }

    /// How many of these calls the sandbox billed.
    pub fn billed(&self) -> usize {
        self.calls().iter().filter(|c| c["billed"] == true).count()
    }

    /// The binary with a lake, whose sources are all this sandbox.
    pub fn redlake(&self, lake: &Lake, args: &[&str], token: &str) -> Command {
        let mut command = lake.redlake(args);
        command
            .env("JUSTONEAPI_BASE_URL", &self.url)
            .env("XHS_OPEN_BASE_URL", &self.url)
            .env("JUSTONEAPI_TOKEN", token)
            .env("XHS_OPEN_TOKEN", token);
        command
    }
}

fn unchunked(body: &str) -> String {
    let mut rest = body;
    let mut whole = String::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).expect("a chunk's size");
        if size == 0 {
            break;
        }
        whole.push_str(&after[..size]);
        rest = after[size..].trim_start_matches("\r\n");
    }
    whole
}

impl Drop for SandboxProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An API of one's own on loopback: answers each request with what `answer` says of its target
/// (path and query), as status and body.
pub struct FakeApi {
    pub url: String,
}

impl FakeApi {
    /// Answers the target of each request with a status and a body.
    pub fn start(answer: impl Fn(&str) -> (u16, Vec<u8>) + Send + 'static) -> Self {
        FakeApi::with_headers(move |target| {
            let (status, body) = answer(target);
            (status, String::new(), body)
        })
    }

    /// As [`FakeApi::start`], with more headers, each with its line end.
    pub fn with_headers(answer: impl Fn(&str) -> (u16, String, Vec<u8>) + Send + 'static) -> Self {
        FakeApi::speaking(move |request| {
            let target = request.split(' ').nth(1).unwrap_or_default();
            let (status, headers, body) = answer(target);
            let head = format!(
                "HTTP/1.1 {status} X\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            [head.into_bytes(), body].concat()
        })
    }

    /// Answers the head of each request with these bytes.
    pub fn speaking(answer: impl Fn(&str) -> Vec<u8> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        // The thread ends with the test's process; it serves a bounded number of calls.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten().take(1_000) {
                let mut reader = BufReader::new(stream);
                let mut request = String::new();
                while reader.read_line(&mut request).is_ok_and(|n| n > 2) {}
                let _ = reader.into_inner().write_all(&answer(&request));
            }
        });
        FakeApi { url }
    }

    /// Runs a note search for one keyword against it; exit code and stderr.
    pub fn search(&self, lake: &Lake, pages: u32) -> (Option<i32>, String) {
        let pipeline = lake.write(
            "fake.yaml",
            &format!(
                "
version: 1
pipeline: fake
source: {{name: justoneapi}}
keyword_sets: {{words: [兰蔻]}}
extract:
  - {{endpoint: note_search, keywords: [words], pages: {{max: {pages}}}}}
limits: {{requests_per_second: 1000, retries: 0}}
price: {{note_search: 0.1, currency: CNY}}
"
            ),
        );
        let mut command = lake.redlake(&["run", pipeline.to_str().expect("UTF-8")]);
        command.env("JUSTONEAPI_BASE_URL", &self.url);
        command.env("JUSTONEAPI_TOKEN", "a-token-of-some-length");
        let output = command.output().expect("the binary starts");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), stderr)
    }

    /// Asks it for the detail of one note, which must work out.
    pub fn detail(&self, lake: &Lake) {
        succeed(&mut self.ask_for_detail(lake));
    }

    /// The command that asks it for the detail of one note.
    pub fn ask_for_detail(&self, lake: &Lake) -> Command {
        let pipeline = lake.write(
            "detail.yaml",
            "
version: 1
pipeline: detail
source: {name: xhs_open}
extract: [{endpoint: note_detail, notes: {ids: ['n']}}]
",
        );
        let mut command = lake.redlake(&["run", pipeline.to_str().expect("UTF-8")]);
        command
            .env("XHS_OPEN_BASE_URL", &self.url)
            .env("XHS_OPEN_TOKEN", "t");
        command
    }
}
