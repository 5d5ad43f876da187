//! What the rules of a contract make of an answer.

use std::path::Path;
use std::sync::Arc;

use arrow::array::AsArray;
use tempfile::TempDir;

use super::{Tables, flattened, page, rows};
use crate::plan::Privacy;
use crate::raw::page::RawPage;
use crate::spec::contracts::Contracts;
use crate::transform::contracts::Transform;
use crate::transform::program::value::Cell;
use crate::transform::tables::builder::TableBuilder;
use crate::transform::tables::merge::{Merge, Part};
use crate::transform::tables::shape::{Observed, Shape};

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
  is_it: {type: bool, description: .}
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
sort_by: [path, kind, json_type, value]
columns:
  endpoint: {type: string, description: .}
  path: {type: string, description: .}
  kind: {type: string, description: .}
  json_type: {type: string, description: .}
  value: {type: string, description: .}
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

/// The contracts of a shop with these rules. What follows the rules in the endpoint stands behind a
/// line of dashes.
pub fn contracts(rules: &str) -> Contracts {
    let (rules, more) = rules.split_once("---\n").unwrap_or((rules, ""));
    let more: String = more.lines().map(|line| format!("    {line}\n")).collect();
    let dir = TempDir::new().expect("a temporary folder");
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new(""))).expect("a folder");
        std::fs::write(path, text).expect("a writable folder");
    };
    write("common_columns.yaml", COMMON);
    write("sources/shop.yaml", &(source(rules) + &more));
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
fn one_of_several_sets_of_conditions_has_to_hold() {
    let rules = "
- table: things
  each: /data/items[*]
  when: [{/kind: note, /live: {exists: false}}, {/body: {exists: true}}]
  columns: {id: /id, name: /body}";
    let items = r#"[{"id":"a","kind":"note"}, {"id":"b","kind":"note","live":1}, {"id":"c"},
                    {"id":"d","body":"x"}, {"id":"e","body":null}, {"id":"f","kind":"note","live":null}]"#;
    assert_eq!(things(rules, items), ["a||||1", "d||x||4", "f||||6"]);
}

#[test]
fn a_mapping_counts_where_its_conditions_hold() {
    let rules = "
- table: things
  each: /data/items[*]
  columns:
    id: /id
    name:
      - {const: paid, when: [{/mark: {is_set: true}}, {/info: {exists: true}}]}
      - {path: /name, when: {/mark: {is_set: false}}}
---
left_out:
  - {at: ['/data/items[*]'], fields: [info], reason: .}";
    let items = r#"[{"id":"a","mark":true}, {"id":"b","mark":1,"name":"n"}, {"id":"c","mark":"true"},
                    {"id":"d","mark":false,"name":"n"}, {"id":"e","mark":0}, {"id":"f","name":"n"},
                    {"id":"g","info":{"any":[1]}}, {"id":"h","info":null,"name":"n"}, {"id":"i","info":0}]"#;
    assert_eq!(
        things(rules, items),
        [
            "a||paid||1",
            "b||paid||2",
            "c||paid||3",
            "d||n||4",
            "e||||5",
            "f||n||6",
            "g||paid||7",
            "h||n||8",
            "i||paid||9"
        ]
    );
}

#[test]
fn a_list_is_asked_for_an_element() {
    let rules = "- {table: things, each: '/data/items[*]', columns: {id: /id, size: {has_in: /marks, has: goods}}}";
    let items = r#"[{"id":"a","marks":["x","goods"]}, {"id":"b","marks":[]}, {"id":"c"}, {"id":"d","marks":null},
                    {"id":"e","marks":["Goods", 7, null, {}]}]"#;
    let tables = tables(&rules.replace("size", "is_it"), answer(items));
    assert_eq!(tables.rejects, []);
    assert_eq!(
        rows(&tables, "things", &["id", "is_it"]),
        ["a|true", "b|false", "c|", "d|", "e|false"]
    );
    let told = rows(&tables, "drift", &["path", "kind", "value"]);
    let unknown =
        ["7", "Goods", "x"].map(|value| format!("/data/items[*]/marks[*]|unknown_value|{value}"));
    let told: Vec<_> = told
        .into_iter()
        .filter(|row| row.contains("unknown_value"))
        .collect();
    assert_eq!(told, unknown);
}

/// Values that decide what rows are made, in every place where a contract can name some.
#[test]
fn a_value_that_no_rule_lists_is_drift() {
    let rules = "
- table: things
  each: /data/items[*]
  when: {/kind: [note, ads]}
  then_when: {/form: {none_of: [noise]}}
  columns: {id: /id, name: {path: /word, values: {a: b}}}
- table: things
  each: /data/items[*]
  when: {/kind: card}
  columns: {id: /id, part: {const: 7}}
---
known_values:
  - {at: ['/data/items[*]/kind'], values: [live], reason: .}
  - {at: ['/data/items[*]/form'], values: [plain, ''], reason: .}";
    let items = r#"[{"id":"a","kind":"note","form":"plain","word":"a"}, {"id":"b","kind":"ads","form":""},
                    {"id":"c","kind":"card"}, {"id":"d","kind":"live","form":null},
                    {"id":"e","kind":"note","form":"new","word":"b"}, {"id":"f","kind":"note_v2"},
                    {"id":"g","kind":"note_v2"}, {"id":"h","kind":""}, {"id":"i","kind":7}, {"id":"j"}]"#;
    let tables = tables(rules, answer(items));
    assert_eq!(
        rows(&tables, "things", &["id", "name"]),
        ["a|b", "b|", "c|", "e|"]
    );
    let columns = ["path", "kind", "json_type", "value", "count"];
    let told = rows(&tables, "drift", &columns);
    let expected = [
        "/form|unknown_value|string|new|1",
        "/kind|type_changed|integer||1",
        "/kind|unknown_value|integer|7|1",
        "/kind|unknown_value|string||1",
        "/kind|unknown_value|string|note_v2|2",
        "/word|unknown_value|string|b|1",
    ];
    assert_eq!(told, expected.map(|row| format!("/data/items[*]{row}")));
}

/// A field whose values decide may turn out to hold data: the first values are told, in any order
/// of the pages.
#[test]
fn the_first_values_in_order_get_their_own_drift_rows() {
    let rules =
        "- {table: things, each: '/data/items[*]', when: {/kind: note}, columns: {id: /id}}";
    let items: Vec<String> = (0..30)
        .map(|n| format!(r#"{{"kind":"k{:02}"}}"#, 29 - n))
        .collect();
    let tables = tables(rules, answer(&format!("[{}]", items.join(","))));
    let told = rows(&tables, "drift", &["path", "value", "count"]);
    assert_eq!(told.len(), 21);
    assert_eq!(told[0], "(other paths)||10");
    assert_eq!(told[1], "/data/items[*]/kind|k00|1");
    assert_eq!(told[20], "/data/items[*]/kind|k19|1");
}

#[test]
fn an_element_that_is_not_an_object_makes_no_row() {
    let objects = "- {table: things, each: '/data/items[*]', then_each: '/list[*]', columns: {id: ^/id, name: /name, part: {index: true}}}";
    let items = r#"[{"id":"a","list":[null, "x", 5, [1], {"name":"n"}, {}]}, null, "x"]"#;
    let made = tables(objects, answer(items));
    assert_eq!(rows(&made, "things", &["id", "part", "name"]), ["a|4|n"]);
    let columns = ["item_index", "column", "reason", "value"];
    assert_eq!(
        rows(&made, "rejects", &columns),
        [
            "0|/list[*]|an object without a known value|<object>",
            "0|/list[*]|not an object|<array>",
            "0|/list[*]|not an object|<integer>",
            "0|/list[*]|not an object|<string>",
            "0|/list[*]|null in a list|<null>",
        ]
    );

    let items_themselves =
        "- {table: things, each: '/data/items[*]', columns: {id: {const: x}, name: /name}}";
    let made = tables(items_themselves, answer(r#"[{"name":"n"}, null, true]"#));
    assert_eq!(rows(&made, "things", &["id", "name", "rank"]), ["x|n|1"]);
    assert_eq!(
        rows(&made, "rejects", &columns),
        [
            "1|/data/items[*]|null in a list|<null>",
            "2|/data/items[*]|not an object|<boolean>"
        ]
    );

    // Where the elements are the values, a null is none.
    let texts = "- {table: things, each: '/data/items[*]', columns: {id: {const: x}, name: '', part: {index: true}}}";
    let made = tables(texts, answer(r#"["n", null, ""]"#));
    assert_eq!(rows(&made, "things", &["part", "name"]), ["0|n", "2|"]);
    assert_eq!(
        rows(&made, "rejects", &columns),
        ["1|/data/items[*]|null in a list|<null>"]
    );
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
fn the_last_element_with_a_valid_value_is_read() {
    let rules = "
- table: things
  columns:
    id: {const: page}
    size:
      list: /data/items
      last: true
      item_when: {/kind: {none_of: [ad]}, /hidden: {is_set: false}}
      item: /size
      zero_is_null: true";
    let last = |items: &str| {
        let tables = tables(rules, answer(items));
        assert_eq!(tables.rejects, [], "{items}");
        rows(&tables, "things", &["id", "size"]).join(" ")
    };
    assert_eq!(last(r#"[{"size":1}, {"size":2}]"#), "page|2");
    assert_eq!(
        last(r#"[{"size":1}, {"kind":"ad","size":2}, {"hidden":1,"size":3}]"#),
        "page|1"
    );
    assert_eq!(
        last(r#"[{"size":1}, {"size":0}, {"size":"many"}, {}, null, 5]"#),
        "page|1"
    );
    assert_eq!(last(r#"[{"kind":"ad","size":2}]"#), "page|");
    assert_eq!(last("[]"), "page|");
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

#[test]
fn a_drift_contract_of_the_version_before_still_works() {
    let rules =
        "- {table: things, each: '/data/items[*]', when: {/kind: note}, columns: {id: /id}}";
    let mut contracts = contracts(rules);
    let drift = contracts.tables.get_mut("drift").expect("a contract");
    drift.columns.shift_remove("value");
    drift.sort_by.pop();
    let transform = Transform::new(Arc::new(contracts), &Privacy::default()).expect("rules");
    let tables = flattened(&transform, &[answer(r#"[{"kind":"a"},{"kind":"b"}]"#)]);
    assert_eq!(
        rows(&tables, "drift", &["kind", "count"]),
        ["unknown_value|1", "unknown_value|1"]
    );
}

#[test]
fn equal_rows_of_a_table_without_an_order_are_all_kept() {
    let rules = "- {table: things, each: '/data/items[*]', columns: {id: /id}}";
    let mut table = contracts(rules).tables["things"].clone();
    table.sort_by.clear();
    let shape = Shape::new(&table);
    let part = || {
        let mut builder = TableBuilder::new(&shape);
        for id in ["b", "a", "b"] {
            let cell = |name: &str| (name == "id").then(|| Cell::Text(id.into()));
            let cells = shape.stored.iter().map(|column| cell(&column.name));
            builder.append_all(&mut cells.collect());
            builder.end_row(Observed::default());
        }
        Part::Memory(builder.take(&shape).expect("rows"))
    };
    for parts in [vec![part()], vec![part(), part()]] {
        let mut merge = Merge::new(&shape.layout, &parts, None).expect("a merge");
        let rows = merge.next_rows().expect("rows").expect("a batch");
        let ids = rows.column(0).as_string::<i32>().iter().flatten();
        let expected = "a".repeat(parts.len()) + &"bb".repeat(parts.len());
        assert_eq!(ids.collect::<String>(), expected);
    }
}
