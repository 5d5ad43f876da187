//! Where the columns of unknown fields belong, and what they are called.

use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::super::{note_search, page};
use super::{suggested, suggested_by, with_fields};
use crate::spec::contracts::Contracts;
use crate::transform::contracts::Transform;
use crate::transform::suggest::SuggestedLine;

#[test]
fn a_column_belongs_to_the_nearest_rule_and_to_its_like() {
    let found = suggested(&[with_fields(&[json!({
        "view_count": 5,
        "user": {"userid": "u", "level": 3},
        "images_list": [{"fileid": "f", "blur": 0.5}],
        "tag_info": {"title": "t", "heat": 7},
        "mood": "x",
    })])]);
    let columns: Vec<_> = found
        .iter()
        .map(|field| field.column.as_ref().expect("a column"))
        .map(|column| (column.table.as_str(), column.mapping.text.trim()))
        .collect();
    assert_eq!(
        columns,
        [
            ("note_images", "blur: /blur"),
            ("notes", "mood: /mood"),
            ("notes", "heat: /tag_info/heat"),
            ("users", "level: /level"),
            ("engagement", "view_count: /view_count"),
        ]
    );
}

#[test]
fn what_stands_outside_of_all_rows_belongs_to_the_page() {
    let body = json!({"code": 0, "data": {"items": [], "mood": 5}}).to_string();
    let found = suggested(&[note_search(body)]);
    let column = found[0].column.as_ref().expect("a column");
    assert_eq!(column.table, "search_pages");
    assert_eq!(column.mapping.text.trim(), "mood: /data/mood");
}

#[test]
fn a_field_of_two_places_is_one_column() {
    let body = json!({"code": 0, "data": {"items": [
        {"model_type": "note", "note": {"id": "a", "mood": 1}},
        {"model_type": "ads", "ads": {"note": {"id": "b", "mood": 0.5}}},
    ]}});
    let found = suggested(&[note_search(body.to_string())]);
    assert_eq!(found.len(), 1);
    assert_eq!(
        found[0].paths,
        ["/data/items[*]/ads/note/mood", "/data/items[*]/note/mood"]
    );
    let column = found[0].column.as_ref().expect("a column");
    assert_eq!(column.kind.as_str(), "float64");
}

#[test]
fn endpoints_share_a_column_and_a_table_keeps_the_one_it_has() {
    let detail = |fields: Value| {
        let mut data = json!({"note_id": "n"});
        let all = data.as_object_mut().expect("an object");
        all.extend(fields.as_object().expect("an object").clone());
        let body = json!({"code": 200, "data": data});
        page("xhs_open", "note_detail", body.to_string())
    };
    let search = with_fields(&[json!({"mood": "x"})]);
    let found = suggested(&[search, detail(json!({"mood": "y", "nice_count": 5}))]);
    let lines: Vec<_> = found
        .iter()
        .map(|field| field.column.as_ref().expect("a column"))
        .map(|c| {
            (
                c.table.as_str(),
                c.mapping.text.trim(),
                c.contract.is_some(),
            )
        })
        .collect();
    assert_eq!(
        lines,
        [
            ("notes", "mood: /mood", true),
            ("notes", "mood: /mood", false),
            ("engagement", "nice_count: /nice_count", false),
        ]
    );
    // Of another type it is another column.
    let search = with_fields(&[json!({"mood": {"deep": "x"}, "Title": 5, "dt": 1})]);
    let found = suggested(&[search, detail(json!({"title_": {}}))]);
    let names: Vec<_> = found
        .iter()
        .filter_map(|field| Some(field.column.as_ref()?.name.as_str()))
        .collect();
    assert_eq!(names, ["title_2", "dt_2"]);
}

#[test]
fn a_name_that_is_taken_is_told_with_what_it_is_part_of() {
    let found = suggested(&[with_fields(&[
        json!({"tag_info": {"title": "t", "latitude": "x"}}),
    ])]);
    let column = found[0].column.as_ref().expect("a column");
    assert_eq!(column.name, "tag_info_latitude");
}

#[test]
fn lines_stand_before_the_first_column_as_it_is_indented() {
    let dir = TempDir::new().expect("a temporary folder");
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("a writable folder");
    };
    write(
        "common_columns.yaml",
        "every_table:\n  run_id: {type: string, description: .}\nfrom_pages: {}\n",
    );
    let table = |name: &str, columns: &str| {
        format!("table: {name}\ndescription: .\nrows_from: pages\nsort_by: []\n{columns}")
    };
    write(
        "tables/a.yaml",
        &table("a", "columns:\n    id: {type: string, description: .}\n"),
    );
    write(
        "tables/b.yaml",
        &table("b", "columns: {id: {type: string, description: .}}\n"),
    );
    write("tables/c.yaml", &table("c", "columns: {}\n"));
    write(
        "sources/shop.yaml",
        "\
source: shop
base_urls: {a: \"http://x\"}
base_url_env: X
auth: {in: query, name: t, env: T}
timeout: 1s
on_unknown_outcome: fail_search
envelope: {code: /code, message: /message, success: [0]}
codes: {}
endpoints:
  list:
    path: /list
    pagination: {kind: page, items: /as}
    rows:
      - table: a
        each: /as[*]
        columns:

            id: /id
      - {table: b, each: '/bs[*]', columns: {id: /id}}
      - table: c
        columns: {}
",
    );
    let contracts = Contracts::load(Some(dir.path())).unwrap_or_else(|e| panic!("{e}"));
    let transform = Transform::new(contracts.into(), &crate::plan::Privacy::default())
        .unwrap_or_else(|e| panic!("{e}"));
    let body = json!({"code": 0, "as": [{"m": 1}], "bs": [{"m": 1}], "m": 1});
    let found = suggested_by(&transform, &[page("shop", "list", body.to_string())], false);
    let place = |line: &SuggestedLine| {
        let file = line
            .file
            .strip_prefix(dir.path())
            .expect("below the folder");
        let text = line.text.split(": ").next().expect("a name");
        (file.to_owned(), line.before_line, text.to_owned())
    };
    let lines: Vec<_> = found
        .iter()
        .map(|field| field.column.as_ref().expect("a column"))
        .map(|c| {
            (
                place(c.contract.as_ref().expect("a line")),
                place(&c.mapping),
            )
        })
        .collect();
    let line =
        |file: &str, before, text: &str| (Path::new(file).to_owned(), before, text.to_owned());
    assert_eq!(
        lines,
        [
            (
                line("tables/a.yaml", Some(6), "    m"),
                line("sources/shop.yaml", Some(18), "            m")
            ),
            (
                line("tables/b.yaml", None, "  m"),
                line("sources/shop.yaml", None, "          m")
            ),
            (
                line("tables/c.yaml", None, "  m"),
                line("sources/shop.yaml", None, "          m")
            ),
        ]
    );
}
