//! What redlake says of broken pipelines and contracts, one a kind of mistake. The snapshots are a list to
//! read: does each message name the place, the cause and what to do?

use std::fmt::Write as _;

use encoding_rs::{Encoding, GBK};
use serde_json::Value;

use crate::support::{Lake, fail, repository};

const PIPELINE: &str = "\
version: 1
pipeline: watch
source: {name: justoneapi, base_url: sandbox}
timezone: Asia/Shanghai
keyword_sets:
  brands: [海蓝之谜, 兰蔻]
extract:
  - endpoint: note_search
    keywords: [brands]
    pages: {max: 2}
limits: {requests_per_second: 2}
price: {note_search: 0.10, currency: CNY}
";

/// Words of parsers and of Rust, which say nothing to those who write YAML.
const FORBIDDEN: [&str; 34] = [
    "expected",
    "struct",
    "enum ",
    "variant",
    "unit value",
    "unit struct",
    "invalid type",
    "invalid value",
    "invalid length",
    "DuplicateKey",
    "premature",
    "EOF",
    "end of input",
    "end of stream",
    "sequence",
    "scalar",
    "boolean",
    "string \"",
    "integer `",
    "floating point",
    "deserialize",
    "serde",
    "saphyr",
    "granit",
    "token",
    "simple key",
    "block mapping",
    "flow mapping",
    "mapping values",
    "while parsing",
    "while scanning",
    "u32",
    "Utf8Error",
    "ParseError",
];

/// A mistake: what it is, and the text that makes it.
type Mistake<'a> = (&'a str, &'a str, &'a str);

/// Mistakes in a pipeline: a piece of it, and what stands there instead.
const PIPELINES: [Mistake<'_>; 66] = [
    ("a tab", "  brands: [", "\tbrands: ["),
    ("a tab in a later line", "    pages:", "\tpages:"),
    (
        "a key twice",
        "timezone: Asia/Shanghai",
        "timezone: Asia/Shanghai\ntimezone: UTC",
    ),
    (
        "a keyword set twice",
        "extract:",
        "  brands: [雅诗兰黛]\nextract:",
    ),
    ("a full-width colon", "pipeline: watch", "pipeline：watch"),
    (
        "a full-width colon in the first line",
        "version: 1\npipeline: watch",
        "version：1\npipeline：watch",
    ),
    ("a full-width colon in braces", "{max: 2}", "{max：2}"),
    (
        "a full-width colon below a key",
        "  brands: [海蓝之谜, 兰蔻]",
        "  brands：[海蓝之谜, 兰蔻]",
    ),
    (
        "no space after a colon",
        "pipeline: watch",
        "pipeline:watch",
    ),
    ("no space after a colon in braces", "{max: 2}", "{max:2}"),
    ("two documents", "extract:", "---\nextract:"),
    ("a set without words", "brands: [海蓝之谜, 兰蔻]", "brands:"),
    (
        "a set that is one word",
        "brands: [海蓝之谜, 兰蔻]",
        "brands: 海蓝之谜",
    ),
    ("an empty set", "[海蓝之谜, 兰蔻]", "[]"),
    ("a set of blanks", "[海蓝之谜, 兰蔻]", "['', ' ', '　']"),
    (
        "a set with another key",
        "[海蓝之谜, 兰蔻]",
        "{files: brands.txt}",
    ),
    (
        "a list that is not there",
        "[海蓝之谜, 兰蔻]",
        "{file: brands.txt}",
    ),
    (
        "sets that are a list",
        "keyword_sets:\n  brands: [海蓝之谜, 兰蔻]",
        "keyword_sets: [brands]",
    ),
    (
        "a keyword with `: `",
        "[海蓝之谜, 兰蔻]",
        "\n    - 兰蔻: 粉水",
    ),
    (
        "a keyword that is nothing",
        "[海蓝之谜, 兰蔻]",
        "\n    - 兰蔻\n    -\n",
    ),
    (
        "a hashtag as a keyword",
        "[海蓝之谜, 兰蔻]",
        "\n    - #兰蔻\n    - 海蓝之谜",
    ),
    ("a keyword with @", "[海蓝之谜, 兰蔻]", "[海蓝之谜, @兰蔻]"),
    ("a keyword with %", "[海蓝之谜, 兰蔻]", "\n    - %50"),
    ("a keyword with !", "[海蓝之谜, 兰蔻]", "\n    - !important"),
    ("a keyword with a backtick", "[海蓝之谜, 兰蔻]", "[`兰蔻`]"),
    (
        "a keyword with &",
        "[海蓝之谜, 兰蔻]",
        "\n    - &Other Stories",
    ),
    ("a keyword with *", "[海蓝之谜, 兰蔻]", "[*兰蔻]"),
    ("a keyword with >", "[海蓝之谜, 兰蔻]", "\n    - >50"),
    (
        "a list that contains itself",
        "[海蓝之谜, 兰蔻]",
        "&b [兰蔻, *b]",
    ),
    (
        "a bracket that is not closed",
        "[海蓝之谜, 兰蔻]",
        "[海蓝之谜, 兰蔻",
    ),
    ("a brace that is not closed", "{max: 2}", "{max: 2"),
    (
        "a bracket that is closed by another",
        "[海蓝之谜, 兰蔻]",
        "[海蓝之谜, 兰蔻}",
    ),
    ("a bracket too many", "{max: 2}", "{max: 2}}"),
    (
        "quotes that are not closed",
        "[海蓝之谜, 兰蔻]",
        "[\"海蓝之谜, 兰蔻]",
    ),
    (
        "text after quotes",
        "pipeline: watch",
        "pipeline: \"watch\" daily",
    ),
    (
        "a backslash in quotes",
        "pipeline: watch",
        "pipeline: \"C:\\watch\"",
    ),
    (
        "a line that is indented too far",
        "    keywords: [brands]",
        "      keywords: [brands]",
    ),
    (
        "a line that is indented too little",
        "    keywords: [brands]",
        "   keywords: [brands]",
    ),
    (
        "a line without a key",
        "timezone: Asia/Shanghai",
        "timezone",
    ),
    (
        "a second colon in a line",
        "pipeline: watch",
        "pipeline: watch: daily",
    ),
    (
        "a list on the line of its key",
        "keywords: [brands]",
        "keywords: - brands",
    ),
    (
        "an entry among keys",
        "    keywords: [brands]",
        "    - keywords: [brands]",
    ),
    ("a variable in braces", "max: 2", "max: ${PAGES}"),
    (
        "a variable that is not set",
        "pipeline: watch",
        "pipeline: ${NAME}",
    ),
    ("an unknown key", "timezone:", "timezon:"),
    (
        "an unknown key among words",
        "    pages:",
        "    filters: {srot: newest}\n    pages:",
    ),
    (
        "an unknown value",
        "    pages:",
        "    filters: {sort: newst}\n    pages:",
    ),
    (
        "an unknown word",
        "price:",
        "contract: {on_bad_value: rejct}\nprice:",
    ),
    ("a key that is missing", "pipeline: watch\n", ""),
    ("a number in quotes", "max: 2", "max: \"2\""),
    ("a number with `_`", "max: 2", "max: 1_000"),
    ("a word for a number", "max: 2", "max: all"),
    ("a number below 0", "max: 2", "max: -1"),
    ("a number that is not whole", "max: 2", "max: 2.5"),
    ("a number that is too large", "max: 2", "max: 5000000000"),
    (
        "a word for a switch",
        "price:",
        "load: {marts: never}\nprice:",
    ),
    (
        "nothing for a mapping",
        "limits: {requests_per_second: 2}",
        "limits:",
    ),
    (
        "a word for a mapping",
        "limits: {requests_per_second: 2}",
        "limits: fast",
    ),
    ("a list for a text", "pipeline: watch", "pipeline: [watch]"),
    (
        "a word for a list",
        "keywords: [brands]",
        "keywords: brands",
    ),
    (
        "a Chinese comma between names",
        "keywords: [brands]",
        "keywords: [brands，topics]",
    ),
    (
        "a length of time",
        "price:",
        "resume_within: 6 hours\nprice:",
    ),
    (
        "a city without a time zone of its own",
        "Asia/Shanghai",
        "Asia/Beijing",
    ),
    ("CST", "Asia/Shanghai", "CST"),
    ("RMB", "CNY", "RMB"),
    (
        "a clock without a zone",
        "sandbox}",
        "sandbox, sandbox: {clock: 2026-03-09T12:00:00}}",
    ),
];

/// Mistakes in a contract: its file, a piece of it, and what stands there instead.
const CONTRACTS: [(&str, Mistake<'_>); 24] = [
    (
        "tables/notes.yaml",
        ("a table with a tab", "columns:\n  ", "columns:\n\t"),
    ),
    (
        "tables/notes.yaml",
        ("a column twice", "  title:", "  note_id:"),
    ),
    (
        "tables/notes.yaml",
        ("an unknown type", "type: string", "type: text"),
    ),
    (
        "tables/notes.yaml",
        (
            "an unknown key of a column",
            "required: true",
            "requird: true",
        ),
    ),
    (
        "tables/notes.yaml",
        ("a word for a switch", "required: true", "required: always"),
    ),
    (
        "tables/notes.yaml",
        ("a key that is missing", "rows_from: pages\n", ""),
    ),
    (
        "tables/notes.yaml",
        ("an unknown word", "rows_from: pages", "rows_from: page"),
    ),
    (
        "tables/notes.yaml",
        (
            "a word for a list",
            "sort_by: [note_id, endpoint]",
            "sort_by: note_id",
        ),
    ),
    (
        "tables/notes.yaml",
        (
            "an unknown column",
            "sort_by: [note_id, ",
            "sort_by: [noteid, ",
        ),
    ),
    (
        "tables/notes.yaml",
        ("another name", "table: notes", "table: note"),
    ),
    (
        "tables/notes.yaml",
        ("a full-width colon", "table: notes", "table：notes"),
    ),
    (
        "tables/notes.yaml",
        (
            "nothing for a list",
            "sort_by: [note_id, endpoint]",
            "sort_by:",
        ),
    ),
    (
        "sources/xhs_open.yaml",
        ("an unknown class", "class: auth,", "class: atuh,"),
    ),
    (
        "sources/xhs_open.yaml",
        ("an unknown key of a source", "timeout:", "time_out:"),
    ),
    (
        "sources/xhs_open.yaml",
        ("a length of time", "timeout: ", "timeout: 5 minutes #"),
    ),
    (
        "sources/xhs_open.yaml",
        ("an unknown action", "action: retry", "action: again"),
    ),
    (
        "sources/xhs_open.yaml",
        (
            "an unknown unit of time",
            "/data: {exists: true}",
            "/data: {exists: maybe}",
        ),
    ),
    (
        "sources/xhs_open.yaml",
        (
            "an unknown way to read",
            "empty_is_null: true",
            "empty_is_nul: true",
        ),
    ),
    (
        "sources/xhs_open.yaml",
        (
            "a bracket that is not closed",
            "/data: {exists: true}",
            "/data: {exists: true",
        ),
    ),
    (
        "marts/note_growth.yaml",
        (
            "a mart with an unknown key",
            "min_likes_gained:",
            "min_likes:",
        ),
    ),
    (
        "marts/note_growth.yaml",
        (
            "a mart with a word for a number",
            "min_likes_gained: 100",
            "min_likes_gained: many",
        ),
    ),
    (
        "marts/note_growth.yaml",
        (
            "a mart of an unknown table",
            "  engagement: [",
            "  engagements: [",
        ),
    ),
    (
        "marts/note_growth.yaml",
        (
            "a mart of a word",
            "  engagement: [",
            "  engagement: note_id #[",
        ),
    ),
    (
        "marts/note_growth.yaml",
        (
            "a mart that redlake cannot compute",
            "mart: note_growth",
            "mart: notes_growth",
        ),
    ),
];

/// Returns what is printed on stderr for a pipeline.
fn validated(lake: &Lake, more: &[&str]) -> String {
    let mut args = vec!["validate", "watch.yaml"];
    args.extend(more);
    let (code, text) = fail(&mut lake.redlake(&args));
    assert_eq!(code, 2, "{text}");
    text
}

fn replaced(text: &str, old: &str, new: &str) -> String {
    assert!(text.contains(old), "`{old}` is missing in:\n{text}");
    text.replacen(old, new, 1)
}

/// An entry of a snapshot: what is wrong, how it is written, what redlake prints.
fn entry(out: &mut String, name: &str, written: &str, printed: &str) {
    let _ = writeln!(out, "# {name}");
    for line in written.trim_end().lines().filter(|line| !line.is_empty()) {
        let _ = writeln!(out, "    {}", line.replace('\t', "→"));
    }
    let _ = writeln!(out, "\n{}\n", printed.trim_end());
}

/// Messages are in plain words, and each has a place and a hint.
fn assert_plain(name: &str, printed: &str) {
    // Without the lines of the file itself.
    let is_quoted = |line: &&str| line.trim_start().starts_with(|c: char| c.is_ascii_digit());
    let spoken: String = printed.lines().filter(|line| !is_quoted(line)).collect();
    for word in FORBIDDEN {
        assert!(!spoken.contains(word), "{name}: `{word}` in:\n{printed}");
    }
    let mistakes = printed.matches("error: ").count() - 1;
    let count = |part: &str| printed.matches(part).count();
    assert!(mistakes > 0, "{name}: {printed}");
    assert_eq!(
        count("--> "),
        mistakes + count("warning: "),
        "{name}: a place is missing in:\n{printed}"
    );
    assert_eq!(
        count("hint: "),
        mistakes + count("warning: "),
        "{name}: a hint is missing in:\n{printed}"
    );
    let plural = if mistakes == 1 { "" } else { "s" };
    assert!(printed.ends_with(&format!(
        "error: {mistakes} mistake{plural} found; nothing was done\n"
    )));
}

#[test]
fn a_mistake_in_a_pipeline() {
    let lake = Lake::new();
    let mut out = String::new();
    for (name, old, new) in PIPELINES {
        lake.write("watch.yaml", &replaced(PIPELINE, old, new));
        let printed = validated(&lake, &[]);
        assert_plain(name, &printed);
        entry(
            &mut out,
            name,
            if new.is_empty() { old } else { new },
            &printed,
        );
    }
    insta::assert_snapshot!("pipelines", out);
}

#[test]
fn a_mistake_in_a_contract() {
    let lake = Lake::new();
    lake.write("watch.yaml", PIPELINE);
    let schemas = lake.schemas(&[]);
    let mut out = String::new();
    for (file, (name, old, new)) in CONTRACTS {
        let path = schemas.join(file);
        let contract = std::fs::read_to_string(&path).expect("a contract");
        std::fs::write(&path, replaced(&contract, old, new)).expect("a writable folder");
        let printed = validated(&lake, &["--schemas", "schemas"]);
        std::fs::write(&path, contract).expect("a writable folder");
        assert_plain(name, &printed);
        entry(
            &mut out,
            name,
            if new.is_empty() { old } else { new },
            &printed,
        );
    }
    insta::assert_snapshot!("contracts", out);
}

fn encoded(text: &str, encoding: &'static Encoding) -> Vec<u8> {
    encoding.encode(text).0.into_owned()
}

fn utf16(text: &str) -> Vec<u8> {
    let units = text.encode_utf16().flat_map(u16::to_le_bytes);
    [0xff, 0xfe].into_iter().chain(units).collect()
}

#[test]
fn files_in_wrong_encodings_are_refused() {
    let lake = Lake::new();
    lake.write("watch.yaml", PIPELINE);
    let folder = lake.path().parent().expect("a folder").to_owned();
    let schemas = lake.schemas(&[]);
    let notes = std::fs::read_to_string(schemas.join("tables/notes.yaml")).expect("a contract");
    let notes = notes.replace("table: notes", "table: notes # 笔记");
    let latin = replaced(PIPELINE, "[海蓝之谜, 兰蔻]", "[caf\u{e9}]");
    let latin: Vec<u8> = latin
        .chars()
        .map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?'))
        .collect();
    let listed = replaced(PIPELINE, "[海蓝之谜, 兰蔻]", "{file: brands.txt}");
    let cases: [(&str, &str, Vec<u8>); 9] = [
        ("a pipeline in GBK", "watch.yaml", encoded(PIPELINE, GBK)),
        ("a pipeline in UTF-16", "watch.yaml", utf16(PIPELINE)),
        ("a pipeline in Latin-1", "watch.yaml", latin),
        (
            "a list in GBK",
            "brands.txt",
            encoded("海蓝之谜\n兰蔻\n", GBK),
        ),
        ("an empty pipeline", "watch.yaml", Vec::new()),
        (
            "a pipeline of comments",
            "watch.yaml",
            b"# version: 1\n".to_vec(),
        ),
        (
            "a contract in GBK",
            "schemas/tables/notes.yaml",
            encoded(&notes, GBK),
        ),
        (
            "a contract in UTF-16",
            "schemas/tables/notes.yaml",
            utf16(&notes),
        ),
        (
            "an empty contract",
            "schemas/tables/notes.yaml",
            b"\n".to_vec(),
        ),
    ];
    let mut out = String::new();
    for (name, file, bytes) in cases {
        let path = folder.join(file);
        let before = std::fs::read(&path).unwrap_or_default();
        let pipeline = if file == "brands.txt" {
            &listed
        } else {
            PIPELINE
        };
        lake.write("watch.yaml", pipeline);
        std::fs::write(&path, bytes).expect("a writable folder");
        let printed = validated(&lake, &["--schemas", "schemas"]);
        std::fs::write(&path, before).expect("a writable folder");
        assert_plain(name, &printed);
        entry(&mut out, name, "", &printed);
    }
    insta::assert_snapshot!("files", out);
}

#[test]
fn what_is_probably_not_meant() {
    let lake = Lake::new();
    let cases = [
        ("Chinese commas", "[海蓝之谜，兰蔻, 防晒、面霜]"),
        ("typographic quotes", "[“海蓝之谜”, 「兰蔻」]"),
        ("a blank keyword", "[海蓝之谜, '']"),
        ("a keyword twice", "[海蓝之谜, 兰蔻, ' 兰蔻']"),
        ("a hashtag after a keyword", "\n    - 兰蔻 #粉水"),
        ("a keyword in two lines", "\n    - 海蓝之谜\n      兰蔻"),
        ("a list with odd words", "{file: brands.txt}"),
    ];
    lake.write("brands.txt", "# brands\n海蓝之谜，兰蔻\n\n兰蔻\n 兰蔻 \n");
    let mut out = String::new();
    for (name, keywords) in cases {
        lake.write(
            "watch.yaml",
            &replaced(PIPELINE, "[海蓝之谜, 兰蔻]", keywords),
        );
        let output = lake
            .redlake(&["validate", "watch.yaml"])
            .output()
            .expect("the binary starts");
        assert_eq!(output.status.code(), Some(0));
        let printed = String::from_utf8_lossy(&output.stderr).into_owned()
            + &String::from_utf8_lossy(&output.stdout);
        entry(&mut out, name, keywords, &printed);
    }
    insta::assert_snapshot!("warnings", out);
}

/// Returns the output of `validate --format json` for a pipeline, and its exit code.
fn json(lake: &Lake, pipeline: &str) -> (Option<i32>, Value) {
    lake.write("watch.yaml", pipeline);
    let args = ["validate", "watch.yaml", "--format", "json"];
    let output = lake.redlake(&args).output().expect("the binary starts");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    let report = serde_json::from_slice(&output.stdout).expect("JSON");
    (output.status.code(), report)
}

#[test]
fn programs_are_told_the_same() {
    let lake = Lake::new();
    let calls = serde_json::json!([{"path": "watch.yaml", "calls": 4}]);
    let (code, report) = json(&lake, PIPELINE);
    let fine = serde_json::json!({"valid": true, "pipelines": calls, "diagnostics": []});
    assert_eq!((code, report), (Some(0), fine));

    let warned = replaced(PIPELINE, "海蓝之谜, ", "海蓝之谜，");
    let (code, report) = json(&lake, &warned);
    assert_eq!((code, &report["valid"]), (Some(0), &Value::Bool(true)));
    let told = &report["diagnostics"][0];
    assert_eq!(
        (&told["severity"], &told["line"], &told["column"]),
        (&"warning".into(), &6.into(), &12.into())
    );

    let wrong = replaced(&warned, "max: 2", "max: all").replace("watch", "Watch");
    let (code, report) = json(&lake, &wrong);
    assert_eq!((code, &report["valid"]), (Some(2), &Value::Bool(false)));
    assert_eq!(report["pipelines"], serde_json::json!([]));
    let diagnostics = report["diagnostics"].as_array().expect("a list");
    let severities: Vec<_> = diagnostics.iter().map(|told| &told["severity"]).collect();
    assert_eq!(severities, ["error", "warning", "error"]);
    assert_eq!(
        diagnostics[2],
        serde_json::json!({
            "path": "watch.yaml",
            "line": 10,
            "column": 18,
            "severity": "error",
            "message": "a whole number is needed here, not `all`",
            "hint": "write a whole number, such as 3",
        })
    );

    // Contracts, files that cannot be read, and files without a place.
    let (code, report) = json(&lake, "");
    assert_eq!(
        (code, &report["diagnostics"][0]["line"]),
        (Some(2), &Value::Null)
    );
    let args = [
        "validate",
        "watch.yaml",
        "none.yaml",
        "--format",
        "json",
        "--schemas",
        "nowhere",
    ];
    let output = lake.redlake(&args).output().expect("the binary starts");
    assert_eq!(output.status.code(), Some(2));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["diagnostics"][0]["path"], "nowhere");
}

#[test]
fn times_need_a_zone() {
    let lake = Lake::new();
    let demo = repository("pipelines/demo.yaml");
    let demo = demo.to_str().expect("UTF-8");
    for args in [
        &["run", demo, "--snapshot-at", "2026-03-09T12:00:00"][..],
        &["query", "select 1", "--as-of", "2026-03-09T12:00:00"],
        &["sandbox", "--port", "0", "--clock", "2026-03-09T12:00:00"],
    ] {
        let (code, text) = fail(&mut lake.redlake(args));
        assert_eq!(code, 2, "{text}");
        let told =
            "`2026-03-09T12:00:00` has no time zone; write it as in 2026-03-09T12:00:00+08:00";
        assert!(text.contains(told), "{text}");
    }
}

#[test]
fn a_mart_as_of_a_time_is_told() {
    let lake = Lake::new();
    lake.run(&repository("pipelines/demo.yaml"), &[]);
    let at = "2100-01-01T00:00:00Z";
    let (code, text) =
        fail(&mut lake.redlake(&["query", "select * from keyword_daily", "--as-of", at]));
    assert_eq!(code, 2);
    let told = "error: `keyword_daily` is a mart, and --as-of supports only tables and their views\n  \
                hint: leave out --as-of, or query the tables that the mart reads: ";
    assert!(text.contains(told), "{text}");
    let (code, text) =
        fail(&mut lake.redlake(&["query", "select * from keyword_dayly", "--as-of", at]));
    assert_eq!(code, 2);
    assert!(
        text.contains("keyword_dayly") && !text.contains("is a mart"),
        "{text}"
    );
}

/// A line with a salt is not shown, also where the file cannot be read.
#[test]
fn a_salt_is_not_shown_where_yaml_is_broken() {
    let lake = Lake::new();
    for salt in [
        "@only-seen-here-9",
        "\"only-seen-here-9",
        "only-seen-here-9]: x",
    ] {
        let privacy = format!("privacy: {{salt: {salt}}}\nprice:");
        lake.write("watch.yaml", &replaced(PIPELINE, "price:", &privacy));
        let printed = validated(&lake, &[]);
        assert!(!printed.contains("only-seen-here"), "{printed}");
    }
}
