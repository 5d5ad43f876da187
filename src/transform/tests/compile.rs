//! What is said of a source contract that makes no sense.

use super::rules::contracts;
use crate::transform::program::compile::compile;

/// Each mistake as `line:column message [hint]`.
fn mistakes(rules: &str) -> Vec<String> {
    let Err(found) = compile(&contracts(rules)) else {
        panic!("nothing is wrong with {rules}");
    };
    let told = found.0.iter().map(|diagnostic| {
        let (line, column) = diagnostic.position().expect("a place");
        let hint = diagnostic.hint.as_ref();
        let hint = hint.map_or(String::new(), |hint| format!(" [{hint}]"));
        format!("{line}:{column} {}{hint}", diagnostic.message)
    });
    told.collect()
}

const SELECTS: &str = "`list` and exactly one of `index_at` and `last: true` belong together";
const ORIGIN: &str = "exactly one of path, list, length, hash, const, index, index_equals, key, \
                      exploded and has_in says where a column comes from";

#[test]
fn each_mistake_has_its_place() {
    let columns = |columns: &str| format!("- {{table: things, columns: {{id: /id, {columns}}}}}");
    let cases = [
        (
            "- {table: thing, columns: {}}".to_owned(),
            "14:17 there is no table `thing` [did you mean `things`?]".to_owned(),
        ),
        (
            "- {table: drift, columns: {}}".to_owned(),
            "14:17 `drift` is written by redlake itself".to_owned(),
        ),
        (
            "- {table: things, columns: {}}".to_owned(),
            "14:17 the required column `id` of `things` is not read [add `id: /path`]".to_owned(),
        ),
        (
            columns("nam: /x"),
            "14:44 the table `things` has no column `nam` [did you mean `name`?]".to_owned(),
        ),
        (
            columns("run_id: /x"),
            "14:44 `run_id` is filled by redlake, not from the answer".to_owned(),
        ),
        (
            columns("name: {path: /x, const: y}"),
            format!("14:44 {ORIGIN}"),
        ),
        (columns("name: {as: text}"), format!("14:44 {ORIGIN}")),
        (
            columns("name: {list: /images, item: /url}"),
            format!("14:44 {SELECTS}"),
        ),
        (
            columns("name: {list: /images, item: /url, last: true, index_at: /cover}"),
            format!("14:44 {SELECTS}"),
        ),
        (
            columns("name: {path: /x, last: true}"),
            format!("14:44 {SELECTS}"),
        ),
        (
            columns("name: {list: '/images[*]', last: true, item: /url}"),
            "14:44 `list` is the path of the list itself, without `[*]`".to_owned(),
        ),
        (
            columns("name: {path: /x, item: /url}"),
            "14:44 `item` is a path in an element of `list`".to_owned(),
        ),
        (
            columns("name: {path: /x, item_when: {/a: b}}"),
            "14:44 `item_when` needs `last: true`".to_owned(),
        ),
        (
            columns("name: {list: /images, last: true, item: url}"),
            "14:44 `url` is not a path \
             [write a path such as /note/id, or ^/id for the parent object]"
                .to_owned(),
        ),
        (
            columns("name: {list: /images, last: true, item: /url, item_when: {^/id: a}}"),
            "14:44 `^/id` leads out of the answer".to_owned(),
        ),
        (
            columns("name: {path: /x, pattern: '('}"),
            "14:44 the pattern is wrong: regex parse error:\n    (\n    ^\nerror: unclosed group"
                .to_owned(),
        ),
        (
            columns("name: {path: /x, pattern: 'x'}"),
            "14:44 the pattern has no group (?<value>…)".to_owned(),
        ),
        (
            columns("name: {path: /x, within_window: true}"),
            "14:44 `within_window` makes a bool of an instant with a `unit`".to_owned(),
        ),
        (
            columns("name: ^/x"),
            "14:44 `^/x` leads out of the answer".to_owned(),
        ),
        (
            columns("name: x"),
            "14:44 `x` is not a path [write a path such as /note/id, or ^/id for the parent object]"
                .to_owned(),
        ),
        (
            "- {table: things, each: '/data/items[*]', columns: {id: ^^/x}}".to_owned(),
            "14:59 `^^/x` leads out of the answer".to_owned(),
        ),
        (
            "- {table: things, when: {/x: {exists: true, filled: true}}, columns: {id: /id}}"
                .to_owned(),
            "14:9 a test is exactly one of none_of, exists, filled and is_set".to_owned(),
        ),
        (
            "- {table: things, each: /data/items, columns: {id: /id}}".to_owned(),
            "14:9 `/data/items` names no elements [write `/data/items[*]` for each element of a list]"
                .to_owned(),
        ),
        (
            "- {table: things, each: '/data/items[*]', then_each: /list, columns: {id: ^/id}}".to_owned(),
            "14:9 `/list` names no elements [write `/list[*]` for each element of a list]".to_owned(),
        ),
        (
            columns("name: {has_in: /x}"),
            "14:44 `has_in` needs `has` [add `has: text`, the element that is looked for]"
                .to_owned(),
        ),
        (
            format!(
                "{}\n---\nknown_values: [{{at: [/id], values: [a], reason: .}}]",
                columns("name: /x")
            ),
            "15:26 no rule reads the values of `/id` [give `known_values` only where a `when` or \
             `values` reads the value]"
                .to_owned(),
        ),
        (
            "- {table: things, when: {/x: {}}, columns: {id: /id}}".to_owned(),
            "14:9 a test is exactly one of none_of, exists, filled and is_set".to_owned(),
        ),
    ];
    for (rules, told) in cases {
        assert_eq!(mistakes(&rules), [told], "{rules}");
    }
}
