//! What `redlake schema` tells of tables and views.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::{Lake, fail, redlake, repository, succeed};

fn printed(args: &[&str]) -> String {
    let output = succeed(redlake().arg("schema").args(args)).stdout;
    String::from_utf8(output).expect("UTF-8")
}

#[test]
fn views_are_listed_below_their_tables() {
    let listed = printed(&["list"]);
    let names: Vec<&str> = listed
        .lines()
        .map(|line| &line[..line.trim_start().find(' ').unwrap_or(0) + indent(line)])
        .collect();
    let place = |name: &str| names.iter().position(|listed| *listed == name);
    let notes = place("notes").expect("the table");
    assert_eq!(names[notes + 1], "  notes_latest");
    let engagement = place("engagement").expect("the table");
    assert_eq!(
        names[engagement + 1..engagement + 5],
        [
            "  engagement_latest",
            "  engagement_latest_by_pipeline",
            "  engagement_delta",
            "  engagement_delta_by_endpoint"
        ]
    );
    // Sixteen tables, the views of four of them, eight marts, and eight views of several tables.
    assert_eq!(names.len(), 16 + 10 + 8 + 8);
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

#[test]
fn a_view_is_explained_as_a_table_is() {
    let latest = printed(&["show", "notes_latest"]);
    assert!(
        latest.starts_with("notes_latest: The newest observation of each note_id in notes"),
        "{latest}"
    );
    assert!(latest.contains("\n  title: string, may be null, personal, free text\n"));
    assert!(latest.contains("\n  endpoints: string\n"));
    assert!(!latest.contains("\n  endpoint: "));
    let delta = printed(&["show", "engagement_delta"]);
    assert!(
        delta.contains("\n  liked_per_hour: float64 [likes/h], may be null\n"),
        "{delta}"
    );

    let (code, told) = fail(redlake().args(["schema", "show", "notes_lates"]));
    assert_eq!(code, 2);
    assert!(
        told.contains("there is no table or view `notes_lates`"),
        "{told}"
    );
    assert!(told.contains("did you mean `notes_latest`?"), "{told}");
}

#[test]
fn sources_of_dbt_have_every_relation_with_types_and_tests() {
    let lake = Lake::new();
    lake.run(&repository("pipelines/demo.yaml"), &[]);
    let output = succeed(&mut lake.redlake(&["schema", "dbt", "--database", "red"]));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let catalog = lake.path().join("lake.duckdb");
    let attach = format!(
        "#   - path: {}\n#     alias: red\n#     read_only: true\n",
        catalog.display()
    );
    assert!(text.contains(&attach), "{}", &text[..400]);
    let sources: Value = serde_saphyr::from_str(&text).expect("YAML");
    let source = &sources["sources"][0];
    assert_eq!(source["database"], "red");
    let config = duckdb::Config::default().access_mode(duckdb::AccessMode::ReadOnly);
    let catalog = duckdb::Connection::open_with_flags(catalog, config.expect("a mode"));
    let catalog = catalog.expect("the catalog");
    let mut columns = catalog
        .prepare(
            "SELECT table_name || '.' || column_name || ' ' || lower(data_type) FROM duckdb_columns() \
             WHERE NOT internal AND table_name <> 'about' ORDER BY 1",
        )
        .expect("SQL");
    let columns = columns
        .query_map([], |row| row.get::<_, String>(0))
        .expect("rows");
    let columns: Vec<String> = columns.map(|column| column.expect("a text")).collect();
    let mut found = Vec::new();
    for table in source["tables"].as_array().expect("a list") {
        assert!(
            table["description"]
                .as_str()
                .is_some_and(|text| text.len() > 10),
            "{table}"
        );
        for column in table["columns"].as_array().expect("a list") {
            let text = |key: &str| {
                column[key]
                    .as_str()
                    .unwrap_or_else(|| panic!("{key} of {column}"))
            };
            assert!(!text("description").is_empty(), "{column}");
            let table = table["name"].as_str().expect("a name");
            found.push(format!("{table}.{} {}", text("name"), text("data_type")));
            let needs = column["data_tests"] == serde_json::json!(["not_null"]);
            assert_eq!(needs, !column["data_tests"].is_null(), "{column}");
        }
    }
    let (found, columns): (BTreeSet<_>, BTreeSet<_>) =
        (found.into_iter().collect(), columns.into_iter().collect());
    let other: Vec<_> = found.symmetric_difference(&columns).collect();
    assert!(other.is_empty() && columns.len() > 500, "{other:?}");
    let notes = source["tables"]
        .as_array()
        .expect("a list")
        .iter()
        .find(|t| t["name"] == "notes");
    let id = &notes.expect("a table")["columns"][0];
    assert_eq!(id["name"], "note_id");
    assert_eq!(id["data_tests"][0], "not_null");
}
