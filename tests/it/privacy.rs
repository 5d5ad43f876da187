//! Personal data that the rules hide stands in no file, and what is left still joins.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{FakeApi, Lake, fail, redlake, repository, succeed};

const SALT: &str = "not-in-any-file-0123456789";

/// The demo with these lines at its end.
fn demo(lake: &Lake, more: &str) -> PathBuf {
    let demo = std::fs::read_to_string(repository("pipelines/demo.yaml")).expect("the demo");
    lake.write("demo.yaml", &format!("{demo}\n{more}\n"))
}

const RULES: &str = "
privacy:
  hash:
    - users.nickname
    - users.red_id
    - users.user_id
    - user_stats.user_id
    - notes.author_user_id
    - search_results.entity_id
  drop: [users.avatar_url, notes.latitude, notes.longitude]
  scrub_phone_numbers: true
  salt: \"${REDLAKE_SALT}\"
raw: none
";

/// Runs a pipeline with the salt in its environment; what it prints.
fn run(lake: &Lake, pipeline: &Path, args: &[&str]) -> (String, String) {
    let mut all = vec!["run", pipeline.to_str().expect("UTF-8")];
    all.extend(args);
    let output = succeed(lake.redlake(&all).env("REDLAKE_SALT", SALT));
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (text(output.stdout), text(output.stderr))
}

fn texts(lake: &Lake, sql: &str) -> BTreeSet<String> {
    let rows = lake.query(sql);
    let values = rows.iter().flat_map(|row| {
        let row = row.as_object().expect("an object");
        row.values().filter_map(Value::as_str).map(str::to_owned)
    });
    values.collect()
}

/// All rows of all tables, as text.
fn decoded(lake: &Lake) -> Vec<(String, String)> {
    let listed = succeed(redlake().args(["schema", "list"])).stdout;
    let listed = String::from_utf8(listed).expect("UTF-8");
    let rows = |line: &str| {
        let table = line.split_whitespace().next().expect("a name").to_owned();
        format!("select '{table}' as name, string_agg(t::varchar, ' ') as rows from {table} t")
    };
    let sql: Vec<String> = listed.lines().map(rows).collect();
    let tables = lake.query(&sql.join(" union all "));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    tables
        .iter()
        .map(|table| (text(&table["name"]), text(&table["rows"])))
        .collect()
}

/// Every file below a folder, in which nothing but the raw zone may be packed.
fn files(folder: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let bytes = std::fs::read(&path).expect("readable");
            let text = String::from_utf8_lossy(&bytes).into_owned();
            found.push((path.display().to_string(), text));
        }
    }
    found
}

#[test]
fn hidden_values_are_in_no_file_and_still_join() {
    let plain = Lake::new();
    plain.run(&demo(&plain, ""), &[]);
    let personal = texts(
        &plain,
        "select nickname, red_id, user_id, avatar_url from users union \
         select null, null, author_user_id, null from notes",
    );
    assert!(personal.len() > 500, "only {} values", personal.len());
    let mut values: Vec<&str> = personal.iter().map(String::as_str).collect();
    values.push("13800138000");
    let found = search(&values, &decoded(&plain));
    assert_eq!(found.len(), values.len(), "all are in a lake without rules");
    values.push(SALT);

    let lake = Lake::new();
    let pipeline = demo(&lake, RULES);
    for _ in 0..2 {
        let (stdout, stderr) = run(&lake, &pipeline, &["-vv", "--progress", "log"]);
        assert!(
            stdout.contains("  raw       2 files of answers removed"),
            "{stdout}"
        );
        assert!(!stdout.contains(SALT) && !stderr.contains(SALT));
    }
    assert_eq!(lake.raw_files(), [""; 0].map(PathBuf::from));
    let mut places = decoded(&lake);
    assert_eq!(places.len(), 16 + 10 + 8 + 8, "tables, views and marts");
    places.extend(files(&lake.path()));
    assert_eq!(search(&values, &places), BTreeMap::new());

    // What was equal is equal still, within a run and from run to run.
    let joined = joined(&lake);
    assert_eq!(joined, self::joined(&plain));
    assert!(
        joined.values().all(|n| n.as_u64() > Some(100)),
        "{joined:?}"
    );
    let in_both = "select count(*) > 100 from (select nickname from users group by nickname \
                   having count(distinct run_id) = 2)";
    assert_eq!(lake.value(in_both), true);
    let shape = "select count(*) from users where not regexp_full_match(nickname, '[0-9a-f]{32}') \
                 or not regexp_full_match(red_id, '[0-9a-f]{32}') or avatar_url is not null";
    assert_eq!(lake.value(shape), 0);
    let scrubbed = "select count(*) > 0 from notes where description like '%[phone]%'";
    assert_eq!(lake.value(scrubbed), true);
}

/// How many ids of the first run are found in another table.
fn joined(lake: &Lake) -> serde_json::Map<String, Value> {
    let count = |id: &str, table: &str, other: &str| {
        format!(
            "(select count(distinct {id}) from {table} where run_id = (select min(run_id) from runs) \
             and {id} in (select {other}))"
        )
    };
    let sql = format!(
        "select {} as authors, {} as counted, {} as found_users, {} as found_notes",
        count("author_user_id", "notes", "user_id from users"),
        count("user_id", "user_stats", "user_id from users"),
        count("entity_id", "search_results", "user_id from user_stats"),
        count("entity_id", "search_results", "note_id from notes"),
    );
    let row = lake.query(&sql).remove(0);
    row.as_object().expect("an object").clone()
}

/// Which of the values stand in one of these texts, and where.
fn search<'v>(values: &[&'v str], places: &[(String, String)]) -> BTreeMap<&'v str, String> {
    let begin = |text: &[u8]| <[u8; 4]>::try_from(&text[..4]).expect("four bytes");
    let mut by_begin: HashMap<[u8; 4], Vec<&'v str>> = HashMap::new();
    for value in values {
        by_begin
            .entry(begin(value.as_bytes()))
            .or_default()
            .push(value);
    }
    let mut found = BTreeMap::new();
    for (place, text) in places {
        for (at, window) in text.as_bytes().windows(4).enumerate() {
            for value in by_begin.get(&begin(window)).into_iter().flatten() {
                if text.as_bytes()[at..].starts_with(value.as_bytes()) {
                    found.insert(*value, place.clone());
                }
            }
        }
    }
    found
}

/// A pipeline on an API of one's own, with these lines at its end.
fn on(api: &FakeApi, lake: &Lake, more: &str) -> Command {
    let pipeline = lake.write(
        "fake.yaml",
        &format!(
            "
version: 1
pipeline: fake
source: {{name: justoneapi}}
keyword_sets: {{words: [兰蔻]}}
extract: [{{endpoint: note_search, keywords: [words], pages: {{max: 1}}}}]
limits: {{requests_per_second: 1000, retries: 0}}
{more}
"
        ),
    );
    let mut command = lake.redlake(&["run", pipeline.to_str().expect("UTF-8")]);
    command
        .env("JUSTONEAPI_BASE_URL", &api.url)
        .env("JUSTONEAPI_TOKEN", "a-token-of-some-length")
        .env("REDLAKE_SALT", SALT);
    command
}

const NUMBER: &str = "139 1234-5678";

#[test]
fn odd_answers_show_no_number_either() {
    let note = json!({"id": "n", "title": NUMBER, "desc": format!("#{NUMBER}"), "liked_count": NUMBER,
        NUMBER: 1, "user": {"userid": "u", "nickname": NUMBER},
        "tag_info": {"title": NUMBER}, "corner_tag_info": [{"type": "poi", "text": NUMBER}]});
    let items = json!([{"model_type": "note", "note": note}, {"model_type": "note"}]);
    let page = json!({"code": 0, "data": {"items": items}}).to_string();
    let refused = json!({"code": 400, "message": format!("call {NUMBER}")}).to_string();
    let html = format!("<html>call {NUMBER}</html>");
    let quota = json!({"code": 303, "message": format!("pay {NUMBER}")}).to_string();
    for (body, exit_code) in [(page, 0), (refused, 8), (html, 8), (quota, 5)] {
        let answer = body.clone();
        let api = FakeApi::start(move |_| (200, answer.clone().into_bytes()));
        let lake = Lake::new();
        let output = on(&api, &lake, "privacy: {scrub_phone_numbers: true}").output();
        assert_eq!(
            output.expect("it starts").status.code(),
            Some(exit_code),
            "{body}"
        );
        let tables = decoded(&lake);
        let held: Vec<&str> = tables
            .iter()
            .filter(|(_, rows)| rows.contains("1234"))
            .map(|(table, _)| table.as_str())
            .collect();
        assert_eq!(held, [""; 0], "{body}");
        assert!(
            tables.iter().any(|(_, rows)| rows.contains("[phone]")),
            "{body}"
        );
    }
}

#[test]
fn with_hidden_columns_a_reject_has_no_value() {
    let note =
        json!({"id": "n", "liked_count": "Ann's", "user": {"userid": "u", "nickname": "Ann"}});
    let items = json!([{"model_type": "note", "note": note}]);
    let page = json!({"code": 0, "data": {"items": items}}).to_string();
    let api = FakeApi::start(move |_| (200, page.clone().into_bytes()));
    let lake = Lake::new();
    succeed(&mut on(&api, &lake, "privacy: {drop: [users.nickname]}"));
    assert_eq!(
        lake.query("select \"column\", reason, value from rejects"),
        [json!({"column": "liked_count", "reason": "not a whole number", "value": null})]
    );
    assert_eq!(lake.value("select nickname from users"), Value::Null);
    assert_eq!(
        lake.raw_files().len(),
        1,
        "verbatim, for `raw` does not say otherwise"
    );
}

#[test]
fn flattening_again_keeps_the_rules() {
    let lake = Lake::new();
    let pipeline = demo(&lake, &RULES.replace("raw: none", ""));
    run(&lake, &pipeline, &[]);
    let before = lake.table_files();
    let raw = lake.raw_files();
    let path = pipeline.to_str().expect("UTF-8");
    let args = ["transform", path, "--raw", raw[0].to_str().expect("UTF-8")];
    succeed(lake.redlake(&args).env("REDLAKE_SALT", SALT));
    assert_eq!(lake.table_files(), before);
    succeed(
        lake.redlake(&args)
            .env("REDLAKE_SALT", "another salt of some length"),
    );
    assert_ne!(lake.table_files(), before);
}

#[test]
fn a_short_salt_is_told_of_and_not_shown() {
    let lake = Lake::new();
    let pipeline = demo(&lake, RULES);
    let args = ["run", pipeline.to_str().expect("UTF-8")];
    let (code, text) = fail(lake.redlake(&args).env("REDLAKE_SALT", "short-salt"));
    assert_eq!(code, 2);
    assert!(text.contains("the salt is too short"), "{text}");
    assert!(
        text.contains("${REDLAKE_SALT}") && !text.contains("short-salt"),
        "{text}"
    );
    assert!(!lake.path().exists());
}

#[test]
fn the_docs_name_every_column_and_all_that_is_personal() {
    let printed = |args: &[&str]| {
        let output = succeed(redlake().arg("schema").args(args)).stdout;
        String::from_utf8(output).expect("UTF-8")
    };
    let docs = printed(&["docs"]);
    let (tables, personal) = docs.split_once("\n## Personal data\n").expect("both parts");
    // Views stand indented below their tables.
    let listed = printed(&["list"]);
    for table in listed.lines().filter(|line| !line.starts_with(' ')) {
        let table = table.split_whitespace().next().expect("a name");
        let section = tables
            .split_once(&format!("\n## {table}\n"))
            .expect(table)
            .1;
        let section = section.split("\n## ").next().expect("a section");
        let row = personal
            .lines()
            .find(|line| line.starts_with(&format!("| {table} |")));
        let columns = printed(&["show", table]);
        let columns = columns
            .lines()
            .filter_map(|line| line.strip_prefix("  ")?.split_once(": "));
        for (column, kind) in columns.filter(|(name, _)| !name.starts_with(' ')) {
            assert!(
                section.contains(&format!("| `{column}` | ")),
                "{table}.{column}"
            );
            let is_personal = kind.contains(", personal");
            let is_listed = row.is_some_and(|row| row.contains(&format!("`{column}`")));
            assert_eq!(is_personal, is_listed, "{table}.{column}");
        }
    }
    for said in [
        "`users_latest`",
        "`engagement_delta`",
        "| users | `user_id`, `red_id`, `nickname`",
    ] {
        assert!(docs.contains(said), "{said}");
    }
}
