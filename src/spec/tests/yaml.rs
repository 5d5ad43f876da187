use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{file, told};
use crate::spec::yaml::{Spanned, decode, parse};

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
struct Shop {
    name: String,
    open: bool,
    kind: Kind,
    shelves: Vec<Shelf>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Shelf {
    id: String,
    size: u32,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Kind {
    #[default]
    Small,
    Large,
}

/// What `text` says, and what is wrong with it.
fn read<T: DeserializeOwned>(text: &str) -> (Option<T>, Vec<String>) {
    let file = file(text);
    let mut found = Vec::new();
    let value = match parse(&file) {
        Ok(node) => decode(node, &file, &mut found),
        Err(diagnostic) => {
            found.push(*diagnostic);
            None
        }
    };
    (value, told(&found))
}

/// What `text` says; nothing may be wrong with it.
fn value<T: DeserializeOwned>(text: &str) -> T {
    let (value, found) = read(text);
    assert_eq!(found, Vec::<String>::new());
    value.expect("a value")
}

#[test]
fn every_mistake_is_found_with_its_place() {
    let (shop, found) = read::<Shop>(
        "name: [1]
opne: true
kind: large
shelves:
  - {id: a, size: -1}
  - {id: b, size: 2, colour: red}
  - {id: c, size: zwei}
",
    );
    assert_eq!(
        found,
        [
            "1:7 expected text, found a list",
            "2:1 unknown key `opne` [did you mean `open`?]",
            "5:19 expected a whole number, found integer `-1`",
            "6:22 unknown key `colour` [use one of: id, size]",
            "7:19 expected a whole number, found string \"zwei\"",
        ]
    );
    // What was right is read all the same, so that planning can look at it too.
    let shop = shop.expect("a shop");
    assert_eq!(shop.kind, Kind::Large);
    assert_eq!(shop.shelves.last().map(|s| s.id.as_str()), Some("b"));
}

#[test]
fn a_missing_key_is_told_where_its_mapping_begins() {
    let (_, found) = read::<Shop>("name: x\nshelves:\n  - {id: a}\n  - size: 1\n");
    assert_eq!(
        found,
        [
            "3:5 the key `size` is missing here",
            "4:5 the key `id` is missing here",
        ]
    );
}

#[test]
fn a_wrong_value_is_not_also_a_missing_one() {
    let (_, found) = read::<Shelf>("id: a\nsize: large\n");
    assert_eq!(
        found,
        ["2:7 expected a whole number, found string \"large\""]
    );
}

#[test]
fn columns_are_counted_in_characters() {
    let (_, found) = read::<Shop>("{name: 海蓝之谜, opne: true}\n");
    assert_eq!(found, ["1:14 unknown key `opne` [did you mean `open`?]"]);
}

#[test]
fn an_unknown_word_gets_the_nearest_right_one() {
    let (_, found) = read::<Shop>("kind: larg\n");
    assert_eq!(found, ["1:7 unknown value `larg` [did you mean `large`?]"]);
}

#[test]
fn what_looks_like_a_number_keeps_its_characters_as_text() {
    let ids = "[649e46, 0123, 1_000, 0x1F, 1.50, 12345678901234567890123, +7, \"5\", true]";
    assert_eq!(
        value::<Vec<String>>(ids),
        [
            "649e46",
            "0123",
            "1_000",
            "0x1F",
            "1.50",
            "12345678901234567890123",
            "+7",
            "5",
            "true"
        ]
    );
}

#[test]
fn keys_that_look_like_numbers_are_text_too() {
    let codes: BTreeMap<String, String> = value("{0: ok, 0100: auth}");
    assert_eq!(codes.keys().collect::<Vec<_>>(), ["0", "0100"]);
}

#[test]
fn an_anchor_stands_for_its_value_and_a_merge_for_its_keys() {
    let shop: Shop = value(
        "name: x
shelves:
  - &first {id: a, size: 3}
  - *first
  - {<<: *first, id: b}
",
    );
    let shelf = |id: &str| Shelf {
        id: id.to_owned(),
        size: 3,
    };
    assert_eq!(shop.shelves, [shelf("a"), shelf("a"), shelf("b")]);
}

#[test]
fn a_mistake_behind_an_alias_is_told_once_where_it_is_written() {
    let (_, found) = read::<Shop>(
        "shelves:
  - &first {id: a, size: x}
  - *first
",
    );
    assert_eq!(found, ["2:26 expected a whole number, found string \"x\""]);
}

#[test]
fn a_placed_value_knows_its_bytes() {
    let words: Vec<Spanned<String>> = value("[海, \"b c\"]");
    assert_eq!(words[0].span(), 1..4);
    assert_eq!(words[1].value, "b c");
    assert_eq!(words[1].span().start, 6);
}

#[test]
fn what_is_no_yaml_is_told_with_its_place() {
    let cases = [
        ("a: 1\nb: [1, 2\n", "2:4"),
        ("a: 1\na: 2\n", "2:1"),
        ("a: *nobody\n", "1:4"),
        ("a: \"open\n", "2:1"),
        ("a: 1\n b: 2\n", "2:3"),
    ];
    for (text, place) in cases {
        let (value, found) = read::<BTreeMap<String, String>>(text);
        assert_eq!(value, None, "{text}");
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        let start = format!("{place} this is not valid YAML: ");
        assert!(found[0].starts_with(&start), "{text}: {found:?}");
    }
}

#[test]
fn an_unquoted_variable_in_braces_gets_a_hint() {
    let (_, found) = read::<BTreeMap<String, String>>("load: {lake: ${PLACE}}\n");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].ends_with("[inside {…} and […] write \"${NAME}\" in quotes]"),
        "{found:?}"
    );
}
