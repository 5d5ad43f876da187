//! What the rules of a contract make of an answer.

use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;

use super::Tables;
use super::{flattened, page, rows};
use crate::plan::Privacy;
use crate::raw::RawPage;
use crate::spec::contracts::Contracts;
use crate::transform::Transform;

const COMMON: &str = "
every_table:
  run_id: {type: string, required: true, fill: run_id, description: .}
from_pages: {}
";

const TABLES: [(&str, &str); 3] = [
    (
        "things",
        "
table: things
description: .
rows_from: pages
sort_by: [id, part]
columns:
  id: {type: string, required: true, description: .}
  part: {type: int64, description: .}
  name: {type: string, description: .}
  size: {type: int64, description: .}
  rank: {type: int64, fill: rank, description: .}
",
    ),
    (
        "rejects",
        "
table: rejects
description: .
rows_from: redlake
sort_by: [item_index]
columns:
  table: {type: string, description: .}
  endpoint: {type: string, description: .}
  search_id: {type: string, description: .}
  page: {type: int64, description: .}
  item_index: {type: int64, description: .}
  column: {type: string, description: .}
  reason: {type: string, description: .}
  value: {type: string, description: .}
",
    ),
    (
        "drift",
        "
table: drift
description: .
rows_from: redlake
sort_by: [path]
columns:
  endpoint: {type: string, description: .}
  path: {type: string, description: .}
  kind: {type: string, description: .}
  json_type: {type: string, description: .}
  count: {type: int64, description: .}
",
    ),
];

/// A source with one endpoint whose items are `/data/items` and whose rules these are.
pub fn source(rules: &str) -> String {
    let rules = rules
        .lines()
        .map(|line| format!("      {line}\n"))
        .collect::<String>();
    format!(
        "source: shop
base_urls: {{prod: https://example.com}}
base_url_env: SHOP_URL
auth: {{in: bearer, env: SHOP_TOKEN}}
timeout: 1s
on_unknown_outcome: fail_search
envelope: {{code: /code, message: /message, success: [0]}}
codes: {{}}
endpoints:
  list:
    path: /list
    pagination: {{kind: page, items: /data/items}}
    rows:
{rules}"
    )
}

/// The contracts of a shop with these rules.
pub fn contracts(rules: &str) -> Contracts {
    let dir = TempDir::new().expect("a temporary folder");
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new(""))).expect("a folder");
        std::fs::write(path, text).expect("a writable folder");
    };
    write("common_columns.yaml", COMMON);
    write("sources/shop.yaml", &source(rules));
    for (name, text) in TABLES {
        write(&format!("tables/{name}.yaml"), text);
    }
    Contracts::load(Some(dir.path())).unwrap_or_else(|e| panic!("{e}"))
}

fn answer(items: &str) -> RawPage {
    page(
        "shop",
        "list",
        format!(r#"{{"code":0,"data":{{"items":{items}}}}}"#),
    )
}

fn tables(rules: &str, page: RawPage) -> Tables {
    let transform = Transform::new(Arc::new(contracts(rules)), &Privacy::default())
        .unwrap_or_else(|e| panic!("{e}"));
    flattened(&transform, &[page])
}

/// The rows of `things` that these rules make of these items, which fit them.
fn things(rules: &str, items: &str) -> Vec<String> {
    let tables = tables(rules, answer(items));
    assert_eq!(tables.rejects, []);
    rows(&tables, "things", &["id", "part", "name", "size", "rank"])
}

#[test]
fn each_element_of_a_list_gives_a_row() {
    let rules = "- {table: things, each: '/data/items[*]', columns: {id: /id, name: /a/b, size: {length: /l}}}";
    let items = r#"[{"id":"x","a":{"b":"deep"},"l":[1,[2]]}, {"l":null,"a":null,"id":7}, {"id":"y","l":[]}]"#;
    assert_eq!(things(rules, items), ["7||||2", "x||deep|2|1", "y|||0|3"]);
}

#[test]
fn a_rule_applies_only_when_its_conditions_hold() {
    let items = r#"[{"id":"a","kind":"note"}, {"id":"b","kind":"ads"}, {"id":"c","kind":""},
                    {"id":"d","kind":7}, {"id":"e","kind":null}, {"id":"f"}, {"id":"g","kind":{}}]"#;
    let cases = [
        ("note", "a"),
        ("[note, ads]", "a b"),
        ("'7'", "d"),
        ("{none_of: [note, ads]}", "c d e f g"),
        ("{exists: true}", "a b c d g"),
        ("{exists: false}", "e f"),
        ("{filled: true}", "a b d"),
        ("{filled: false}", "c e f g"),
    ];
    for (condition, expected) in cases {
        for when in ["when", "then_when"] {
            let rules = format!(
                "- {{table: things, each: '/data/items[*]', {when}: {{/kind: {condition}}}, columns: {{id: /id}}}}"
            );
            let ids: Vec<_> = things(&rules, items)
                .iter()
                .filter_map(|row| Some(row.split_once('|')?.0.to_owned()))
                .collect();
            assert_eq!(ids.join(" "), expected, "{when} {condition}");
        }
    }
}

#[test]
fn the_first_object_that_is_there_has_the_columns() {
    let rules =
        "- {table: things, each: '/data/items[*]', at: [/note, /ads/note], columns: {id: /id}}";
    let items = r#"[{"note":{"id":"a"}}, {"ads":{"note":{"id":"b"}}},
                    {"ads":{"note":{"id":"c"}},"note":null},
                    {"ads":{"note":{"id":"no"}},"note":{"id":"d"}}]"#;
    assert_eq!(
        things(rules, items),
        ["a||||1", "b||||2", "c||||3", "d||||4"]
    );

    let tables = tables(rules, answer(r#"[{"card":1}, {"note":{"id":"a"}}]"#));
    let columns = ["table", "item_index", "column", "reason", "value"];
    assert_eq!(
        rows(&tables, "rejects", &columns),
        ["things|0|/note or /ads/note|missing|"]
    );
    assert_eq!(rows(&tables, "things", &["id"]), ["a"]);
}

#[test]
fn a_list_inside_an_item_gives_a_row_for_each_of_its_elements() {
    let rules = "
- table: things
  each: /data/items[*]
  at: /note
  then_each: /images[*]
  columns: {id: ^/id, name: /url, part: {index: true}, size: ^^/width}";
    // The keys around a list may stand behind it.
    let items = r#"[{"note":{"images":[{"url":"u1"},{"url":"u2"}],"id":"a"},"width":4},
                    {"note":{"id":"b","images":[]}}, {"note":{"id":"c"}}, {"note":{"id":"d","images":null}}]"#;
    assert_eq!(things(rules, items), ["a|0|u1|4|1", "a|1|u2|4|1"]);
}

#[test]
fn a_star_goes_over_the_keys_of_an_object() {
    let rules = "
- table: things
  each: /data/items[*]
  then_each: /stream/*[*]
  columns: {id: ^^/id, name: {key: true}, part: {index: true}, size: /width}";
    let items = r#"[{"id":"a","stream":{"h264":[{"width":1},{"width":2}],"av1":[],"new":[{"width":3}]}},
                    {"id":"b","stream":{}}, {"id":"c"}]"#;
    assert_eq!(
        things(rules, items),
        ["a|0|h264|1|1", "a|0|new|3|1", "a|1|h264|2|1"]
    );
}

#[test]
fn an_element_is_picked_by_a_number_elsewhere() {
    let rules = "
- table: things
  each: /data/items[*]
  columns:
    id: /id
    name:
      - {list: /images, index_at: /cover, item: /url, empty_is_null: true}
      - {list: /images, index_at: /cover, item: /large}";
    let items = r#"[{"id":"a","cover":1,"images":[{"url":"u0"},{"url":"u1"}]},
                    {"id":"b","cover":0,"images":[{"url":"","large":"l0"}]},
                    {"id":"c","cover":9,"images":[{"url":"u0"}]},
                    {"id":"d","cover":-1,"images":[{"url":"u0"}]},
                    {"id":"e","cover":"0","images":[{"url":"u0"}]},
                    {"id":"f","images":[{"url":"u0"}]}, {"id":"g","cover":0}]"#;
    let tables = tables(rules, answer(items));
    assert_eq!(tables.rejects, []);
    assert_eq!(
        rows(&tables, "things", &["id", "name"]),
        ["a|u1", "b|l0", "c|", "d|", "e|", "f|", "g|"]
    );
}

#[test]
fn hashtags_give_a_row_each_and_each_once() {
    let rules = "
- table: things
  each: /data/items[*]
  explode: {hashtags: [/title, /text]}
  columns: {id: /id, name: {exploded: true}, part: {index: true}}";
    let items = r##"[{"id":"a","title":"#x","text":"#y #x[话题]# #z"}, {"id":"b","text":"none"}, {"id":"c","title":7}]"##;
    assert_eq!(things(rules, items), ["a|0|x||1", "a|1|y||1", "a|2|z||1"]);
}

#[test]
fn a_rule_without_a_list_gives_one_row_an_answer() {
    let rules = "- {table: things, columns: {id: {const: page}, name: /data/total}}";
    assert_eq!(things(rules, "[]"), ["page||||"]);
    let page = page("shop", "list", r#"{"data":{"total":"9","items":[1]}}"#);
    let tables = tables(rules, page);
    assert_eq!(rows(&tables, "things", &["id", "name"]), ["page|9"]);
}

#[test]
fn the_element_itself_may_be_the_value() {
    let rules = "- {table: things, each: '/data/items[*]', columns: {id: '', part: {index: true}}}";
    assert_eq!(things(rules, r#"["a", 7]"#), ["7|1|||2", "a|0|||1"]);
}

#[test]
fn a_bad_value_rejects_its_row_only() {
    let rules = "- {table: things, each: '/data/items[*]', columns: {id: /id, size: /size}}";
    let long = "9".repeat(250);
    let items = format!(
        r#"[{{"id":"a","size":1}}, {{"id":"b","size":2.9}}, {{"id":"c","size":"{long}"}},
            {{"id":"d","size":[1]}}, {{"size":5}}, {{"id":null}}, {{"id":"e"}}]"#
    );
    let tables = tables(rules, answer(&items));
    assert_eq!(rows(&tables, "things", &["id", "size"]), ["a|1", "e|"]);
    let columns = ["table", "item_index", "column", "reason", "value"];
    assert_eq!(
        rows(&tables, "rejects", &columns),
        [
            "things|1|size|not a whole number|2.9",
            &format!("things|2|size|larger than int64|{}…", "9".repeat(200)),
            "things|3|size|not a whole number|<array>",
            "things|4|id|missing|",
            "things|5|id|missing|",
        ]
    );
    assert_eq!(tables.rejects[0].search_id, "24382dd2e0be3a01");
}

#[test]
fn what_the_contract_does_not_know_is_drift() {
    let rules = "- {table: things, each: '/data/items[*]', columns: {id: /id, name: /user/name}}";
    let body = r#"{"code":0,"message":null,"extra":true,"data":{"more":null,"items":[
        {"id":"a","user":{"name":"n","age":7}},
        {"id":"b","user":"gone"},
        {"id":"c","user":{"name":{"first":"x"},"age":7.5}},
        {"id":"d","user":{"age":8},"new":[{"deep":1}],"big":{}},
        9
    ]}}"#;
    let tables = tables(rules, page("shop", "list", body));
    assert_eq!(
        rows(&tables, "drift", &["path", "kind", "json_type", "count"]),
        [
            "/data/items[*]|type_changed|integer|1",
            "/data/items[*]/big|unknown_field|object|1",
            "/data/items[*]/new|unknown_field|array|1",
            "/data/items[*]/user|type_changed|string|1",
            "/data/items[*]/user/age|unknown_field|integer|2",
            "/data/items[*]/user/age|unknown_field|number|1",
            "/data/items[*]/user/name|type_changed|object|1",
            "/data/items[*]/user/name/first|unknown_field|string|1",
            "/data/more|unknown_field|null|1",
            "/extra|unknown_field|boolean|1",
        ]
    );
    assert_eq!(rows(&tables, "things", &["id"]), ["a", "b", "d"]);
}
