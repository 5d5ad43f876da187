//! Characters that act on a terminal: in data and in what providers say, escaped for people and kept for programs.

use serde_json::{Value, json};

use crate::checks::checking;
use crate::support::{FakeApi, Lake, fail, repository, succeed};

/// Colours, a title of the window, a bidi override, C1, and what moves the cursor.
const ACTING: &str = "\u{1b}[31mred\u{1b}]0;x\u{7} \u{202e}olleh\u{2066} \u{9b}2J a\rb\u{200e}";
const SHOWN: &str = r"\u{1b}[31mred\u{1b}]0;x\u{7} \u{202e}olleh\u{2066} \u{9b}2J a\rb\u{200e}";

/// No character of a text acts on a terminal but line breaks.
fn assert_inert(text: &str) {
    let acts = |c: &char| {
        (c.is_control() && !"\n\t".contains(*c)) || "\u{202e}\u{2066}\u{200e}\u{61c}".contains(*c)
    };
    assert_eq!(text.chars().find(acts), None, "{text}");
}

fn demo() -> Lake {
    let lake = Lake::new();
    lake.run(&repository("pipelines/demo.yaml"), &[]);
    lake
}

fn printed(lake: &Lake, args: &[&str]) -> String {
    String::from_utf8(succeed(&mut lake.redlake(args)).stdout).expect("UTF-8")
}

#[test]
fn data_is_escaped_in_tables_and_kept_in_other_formats() {
    let lake = demo();
    let parameter = format!("text={ACTING}");
    let query = |format: &str| {
        let sql = "select $text as \"a\u{1b}b\", '兰蔻 👩‍👩‍👧 ❤️' as emoji";
        printed(&lake, &["query", sql, "-p", &parameter, "--format", format])
    };
    let table = query("table");
    assert_inert(&table);
    assert!(
        table.contains(SHOWN) && table.contains(r"| a\u{1b}b"),
        "{table}"
    );
    assert!(table.contains("兰蔻 👩‍👩‍👧 ❤️"), "{table}");
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 5, "{table}");
    let markdown = query("markdown");
    assert_inert(&markdown);
    // A line break of any kind would end the row.
    let shown = SHOWN.replace(r"\r", " ");
    assert!(markdown.contains(&shown), "{markdown}");

    assert!(query("csv").contains(ACTING));
    for format in ["json", "ndjson"] {
        let rows: Value = serde_json::from_str(query(format).trim()).expect("JSON");
        let row = if format == "json" { &rows[0] } else { &rows };
        assert_eq!(row["a\u{1b}b"], ACTING);
    }
    let file = lake.write("result.parquet", "");
    let file = file.to_str().expect("UTF-8");
    let sql = "select $text as text";
    printed(&lake, &["query", sql, "-p", &parameter, "-o", file]);
    let back = format!("select text from '{file}'");
    let args = ["query", &back, "--allow-files", "--format", "json"];
    let rows: Value = serde_json::from_str(&printed(&lake, &args)).expect("JSON");
    assert_eq!(rows, json!([{"text": ACTING}]));
}

#[test]
fn columns_of_a_table_stay_in_line() {
    let lake = demo();
    let sql = "select * from (values ('a\u{1b}b', 1), ('兰蔻', 22), ('tab\there', 333), ('two\nlines', 4)) t(a, b)";
    let expected = "\
+-----------+-----+
| a         | b   |
+-----------+-----+
| a\\u{1b}b  | 1   |
| 兰蔻      | 22  |
| tab\\there | 333 |
| two       | 4   |
| lines     |     |
+-----------+-----+
";
    assert_eq!(printed(&lake, &["query", sql]), expected);
}

#[test]
fn a_table_of_other_types_is_as_it_was() {
    let lake = demo();
    let sql = "select 1 as i, 1.5 as d, null as n, true as b, [1, 2] as l, {'a': 'x'} as s, \
               timestamp '2026-03-09 01:02:03' as t, date '2026-03-09' as day";
    let expected = "\
+---+-----+---+------+--------+--------+---------------------+------------+
| i | d   | n | b    | l      | s      | t                   | day        |
+---+-----+---+------+--------+--------+---------------------+------------+
| 1 | 1.5 |   | true | [1, 2] | {a: x} | 2026-03-09T01:02:03 | 2026-03-09 |
+---+-----+---+------+--------+--------+---------------------+------------+
";
    assert_eq!(printed(&lake, &["query", sql]), expected);
    let none = "select 1 as i, 'x' as s where false";
    let expected = "+---+---+\n| i | s |\n+---+---+\n+---+---+\n";
    assert_eq!(printed(&lake, &["query", none]), expected);
}

/// What a provider says of a failure is shown while it runs, in the summary, the error, the lists and the log.
#[test]
fn messages_of_providers_are_escaped() {
    for (code, status) in [(301, 200), (100, 401), (0, 500), (601, 200)] {
        let message = format!("{ACTING}\nERROR forged");
        let body = json!({"code": code, "message": message, "msg": message}).to_string();
        let api = FakeApi::start(move |_| (status, body.clone().into_bytes()));
        let lake = Lake::new();
        let (_, stderr) = api.search(&lake, 1);
        assert_inert(&stderr);
        assert!(
            !stderr.lines().any(|line| line.starts_with("ERROR forged")),
            "{stderr}"
        );
        let pipeline = lake.path().with_file_name("fake.yaml");
        for more in [
            &["--progress", "log"][..],
            &["--verbose", "--progress", "bar"],
        ] {
            let mut command = lake.redlake(&["run", pipeline.to_str().expect("UTF-8")]);
            command.args(more);
            command.env("JUSTONEAPI_BASE_URL", &api.url);
            command.env("JUSTONEAPI_TOKEN", "a-token-of-some-length");
            let output = command.output().expect("it runs");
            for text in [output.stdout, output.stderr] {
                let text = String::from_utf8(text).expect("UTF-8");
                // The bar moves the cursor by itself.
                let is_bar = more.contains(&"bar");
                assert!(is_bar || !text.contains('\u{1b}'), "{text}");
                assert!(
                    !text.contains('\u{202e}') && !text.contains("\u{1b}[31mred"),
                    "{text}"
                );
                assert!(
                    !text.lines().any(|line| line.starts_with("ERROR forged")),
                    "{text}"
                );
            }
        }
        if lake.path().join("_state/lake.json").exists() {
            assert_inert(&printed(&lake, &["runs"]));
            assert_inert(&printed(&lake, &["query", "select * from requests"]));
        }
    }
}

#[test]
fn a_note_with_such_characters_is_shown_without_effect() {
    let body = json!({"code": 0, "message": "ok", "data": {"items": [{
        "model_type": "note",
        "note": {"id": "69917d9400000000010000df", "title": ACTING, "strange\u{1b}[2J\u{202e}": 1},
    }], "has_more": false}});
    let body = body.to_string();
    let api = FakeApi::start(move |_| (200, body.clone().into_bytes()));
    let lake = Lake::new();
    let pipeline = checking(
        &lake,
        "",
        &["{sql: select title from run.notes, severity: warn}"],
    );
    let text = std::fs::read_to_string(&pipeline).expect("the pipeline");
    std::fs::write(&pipeline, text.replace(", base_url: sandbox", "")).expect("writable");
    let mut run = lake.redlake(&["run", pipeline.to_str().expect("UTF-8"), "-v"]);
    run.env("JUSTONEAPI_BASE_URL", &api.url);
    run.env("JUSTONEAPI_TOKEN", "a-token-of-some-length");
    let output = run.output().expect("it runs");
    for text in [&output.stdout, &output.stderr] {
        assert_inert(&String::from_utf8_lossy(text));
    }
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(stdout.contains(r"strange\u{1b}[2J\u{202e}"), "{stdout}");
    // The lake has it as it came.
    assert_eq!(lake.value("select title from notes"), ACTING);
    let told = printed(&lake, &["query", "select title from notes"]);
    assert!(told.contains(SHOWN), "{told}");
    let run_id = lake.value("select run_id from runs");
    assert_inert(&printed(&lake, &["show", run_id.as_str().expect("an id")]));
    assert_inert(&printed(&lake, &["schema", "suggest"]));
}

#[test]
fn mistakes_in_files_and_in_sql_are_told_without_effect() {
    let lake = demo();
    let sql = format!("select 1 as x from \"{}\"", ACTING);
    let (_, stderr) = fail(&mut lake.redlake(&["query", &sql]));
    assert_inert(&stderr);
    assert!(stderr.contains(r"\u{1b}[31mred"), "{stderr}");
    let pipeline = lake.write(
        "p\u{202e}q.yaml",
        "version: 1\npipeline: x\nsource: {name: \"just\u{202e}oneapi\u{200e}\"}\nextract: []\n",
    );
    let (code, stderr) = fail(&mut lake.redlake(&["validate", pipeline.to_str().expect("UTF-8")]));
    assert_eq!(code, 2);
    assert_inert(&stderr);
    let line = r#"3 | source: {name: "just\u{202e}oneapi\u{200e}"}"#;
    assert!(stderr.contains(line), "{stderr}");
    // The place stays below what it points to.
    let lines: Vec<&str> = stderr.lines().collect();
    let at = lines
        .iter()
        .position(|l| l.contains(line))
        .expect("the line");
    let text = lines[at].find("\"just").or_else(|| lines[at].find("just"));
    let mark = lines[at + 1].find('^').expect("a mark");
    assert!(
        text.is_some_and(|text| mark == text || mark == text + 1),
        "{stderr}"
    );
}
