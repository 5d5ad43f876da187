use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{file, told};
use crate::spec::yaml::document::{Spanned, decode, parse};

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
            "1:7 a text is needed here, not a list [write one text, without [ ] or `- `]",
            "2:1 unknown key `opne` [did you mean `open`?]",
            "5:19 a whole number from 0 to 4294967295 is needed here, not `-1` [write a whole number from 0 to 4294967295]",
            "6:22 unknown key `colour` [use one of: id, size]",
            "7:19 a whole number is needed here, not `zwei` [write a whole number, such as 3]",
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
            "3:5 the key `size` is missing here [add `size:`]",
            "4:5 the key `id` is missing here [add `id:`]",
        ]
    );
}

#[test]
fn a_wrong_value_is_not_also_a_missing_one() {
    let (_, found) = read::<Shelf>("id: a\nsize: large\n");
    assert_eq!(
        found,
        ["2:7 a whole number is needed here, not `large` [write a whole number, such as 3]"]
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
    assert_eq!(
        found,
        ["2:26 a whole number is needed here, not `x` [write a whole number, such as 3]"]
    );
}

#[test]
fn a_placed_value_knows_its_bytes() {
    let words: Vec<Spanned<String>> = value("[海, \"b c\"]");
    assert_eq!(words[0].span(), 1..4);
    assert_eq!(words[1].value, "b c");
    assert_eq!(words[1].span().start, 6);
}

#[test]
fn invalid_yaml_is_reported_with_its_place_and_a_hint() {
    let indent = "indent the lines of one list or mapping alike, with spaces";
    let cases = [
        ("a: 1\nb: [1, 2\n", "2:4 this `[` is not closed [close it with `]`, before the next key]".to_owned()),
        ("a: [1, 2\nb: 2\n", "1:4 this `[` is not closed [close it with `]`, before the next key]".into()),
        ("a: {x: 1\nb: 2\n", "1:4 this `{` is not closed [close it with `}`, before the next key]".into()),
        ("a: [1, 2}\n", "1:4 this `[` is closed by `}` [close each bracket with its own kind]".into()),
        ("a: ]\n", "1:4 no open bracket matches this one [remove it, or put the text in quotes]".into()),
        ("a: 1\na: 2\n", "2:1 duplicate key `a`, first in line 1 [remove one of them, or rename it]".into()),
        ("{a: 1, \"a\": 2}\n", "1:8 duplicate key `a`, first in line 1 [remove one of them, or rename \
          it]".into()),
        (
            "a: *nobody\n",
            "1:4 `*nobody` refers to a value marked `&nobody` above, and there is none [put the text in \
             quotes, as in \"@a\"]".into(),
        ),
        ("a: \"open\nb: 1\n", "1:4 the quotes that begin here are not closed [end the text with the same quotes]".into()),
        ("a: 'x' y\n", "1:8 the quotes before this end the text [put all of the text in quotes; inside \"…\" write a quote as \\\"]".into()),
        ("a: 1\n b: 2\n", format!("2:2 this line is indented like a part of the value above [{indent}]")),
        ("a:\n   b: 1\n  c: 2\n", format!("3:3 the indentation of this line matches no line above [{indent}]")),
        ("a: b: c\n", "1:5 a second `: ` in one line [put the text in quotes if `: ` belongs to it]".into()),
        ("a: 1\nb\nc: 2\n", "2:1 this line is not a `key: value` [write a colon and a space after the \
          key]".into()),
        ("a: 1\nb:2\nc: 3\n", "2:2 no space follows this colon, so that it does not end a key [write `: `, a colon and a space]".into()),
        ("a:\n\tb: 1\n", "2:1 this line is indented with a tab [indent it with spaces]".into()),
        ("a: 1\n\tb: 2\n", "2:1 this line is indented with a tab [indent it with spaces]".into()),
        ("a:\n  b: 1\n \tc: 2\n", "3:2 this line is indented with a tab [indent it with spaces]".into()),
        ("a：1\nb：2\nc: 1\n", "1:2 `：` is a full-width colon, which does not end a key [write `: `, an ASCII colon and a space]".into()),
        ("a: 1\nb：2\nc: 3\n", "2:2 `：` is a full-width colon, which does not end a key [write `: `, an ASCII colon and a space]".into()),
        ("a:\n  b：1\n  c: 2\n", "2:4 `：` is a full-width colon, which does not end a key [write `: `, an ASCII colon and a space]".into()),
        ("a:b\n", "1:2 no space follows this colon, so that it does not end a key [write `: `, a colon and a space]".into()),
        (
            "a: 1\n---\na: 2\n",
            "2:1 a second document begins here [a file has one: remove `---` and what follows, or move \
             that to its own file]".into(),
        ),
        ("a: - b\n", "1:4 a list cannot begin on the line of its key [write `- ` on a line of its own, or the list as [a, b]]".into()),
        ("", "0:0 this file is empty".into()),
        ("# nothing\n---\n", "0:0 this file holds only comments".into()),
        (
            "a: &x\n  b: *x\n",
            "2:6 `*x` refers to a value that contains it [write the value out]".into(),
        ),
    ];
    for (text, told) in cases {
        let (_, found) = read::<BTreeMap<String, String>>(text);
        assert_eq!(found, [told], "{text}");
    }
}

#[test]
fn characters_that_no_text_begins_with_need_quotes() {
    for (text, character) in [
        ("a: @b\n", "@"),
        ("a: %5\n", "%"),
        ("a: !b\n", "!b"),
        ("a: !b c\n", "!b"),
        ("a: &b c\n", "&b"),
    ] {
        let (_, found) = read::<BTreeMap<String, String>>(text);
        let told = format!(
            "1:4 a text cannot begin with `{character}` without quotes [put the text in quotes, as in \"@a\"]"
        );
        assert_eq!(found, [told], "{text}");
    }
    let (_, found) = read::<BTreeMap<String, String>>("a: `b`\n");
    assert!(
        found[0].starts_with("1:4 a text cannot begin with a backtick without quotes"),
        "{found:?}"
    );
    let texts: Vec<String> = value("['@b', \"%5\", '!b', !!str 007, !!str no]");
    assert_eq!(texts, ["@b", "%5", "!b", "007", "no"]);
    let (_, found) = read::<Vec<String>>("- #a\n- b\n");
    assert_eq!(
        found,
        [
            "1:1 `#a` is a comment: nothing is written before it [put the text in quotes, as in \"@a\"]"
        ]
    );
}

#[test]
fn aliases_cannot_make_a_file_large() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for at in 1..10 {
        let before = format!("*a{}", at - 1);
        text += &format!("a{at}: &a{at} [{}]\n", vec![before; 10].join(", "));
    }
    let (_, found) = read::<BTreeMap<String, Shelf>>(&text);
    assert!(
        found[0].contains("the aliases of this file make it too large"),
        "{found:?}"
    );
    let deep = format!("{}1{}", "[".repeat(5_000), "]".repeat(5_000));
    let (_, found) = read::<Vec<String>>(&deep);
    assert_eq!(found.len(), 1);
    assert!(found[0].contains("this is nested too deeply"), "{found:?}");
}

#[test]
fn switches_and_numbers_are_read_where_they_are_expected() {
    for (word, meant) in [
        ("true", true),
        ("True", true),
        ("yes", true),
        ("on", true),
        ("Y", true),
        ("false", false),
        ("NO", false),
        ("off", false),
        ("n", false),
    ] {
        assert_eq!(
            value::<Shop>(&format!("open: {word}")).open,
            meant,
            "{word}"
        );
    }
    let wrong = [
        (
            "open: \"true\"",
            "1:7 true or false is needed here, not the text `true` [remove the quotes]",
        ),
        (
            "open: ja",
            "1:7 true or false is needed here, not `ja` [write true or false]",
        ),
        (
            "open: 1",
            "1:7 true or false is needed here, not `1` [write true or false]",
        ),
        (
            "open:",
            "1:1 true or false is needed here, and nothing is written [write true or false, or remove the line]",
        ),
        (
            "shelves: a",
            "1:10 a list is needed here, not `a` [write `[a]`]",
        ),
        (
            "shelves: [a]",
            "1:11 a mapping (`key: value`) is needed here, not `a` [write a mapping (`key: value`)]",
        ),
        (
            "name: {a: b}",
            "1:7 a text is needed here, not a mapping [put the text in quotes if `: ` belongs to it]",
        ),
        (
            "name:",
            "1:1 a text is needed here, and nothing is written [write a text, or remove the line]",
        ),
        (
            "{name：x}",
            "1:2 unknown key `name：x` [`：` is a full-width colon: write `: `, an ASCII colon and a space]",
        ),
        (
            "{name:x}",
            "1:2 unknown key `name:x` [write a space after the colon: `name: …`]",
        ),
        (
            "kind: [small]",
            "1:7 one of the words small, large is needed here, not a list [write one of the words small, large]",
        ),
    ];
    for (text, told) in wrong {
        assert_eq!(read::<Shop>(text).1, [told], "{text}");
    }
    let sizes = [
        (
            "\"3\"",
            "1:15 a whole number is needed here, not the text `3` [remove the quotes]",
        ),
        (
            "1_000",
            "1:15 a whole number is needed here, not `1_000` [write 1000]",
        ),
        (
            "0x1F",
            "1:15 a whole number is needed here, not `0x1F` [write a whole number, such as 3]",
        ),
        (
            "3.0",
            "1:15 a whole number is needed here, not `3.0` [write a whole number, such as 3]",
        ),
        (
            "5000000000",
            "1:15 a whole number from 0 to 4294967295 is needed here, not `5000000000` [write a whole number from 0 to 4294967295]",
        ),
    ];
    for (size, told) in sizes {
        assert_eq!(
            read::<Shelf>(&format!("{{id: a, size: {size}}}")).1,
            [told],
            "{size}"
        );
    }
    assert_eq!(value::<Option<f64>>("0.5"), Some(0.5));
    assert_eq!(value::<Option<f64>>("3"), Some(3.0));
    for none in ["~", "null", "Null"] {
        assert_eq!(value::<Option<f64>>(none), None);
    }
    for text in [".inf", "nan", "inf", "1e999"] {
        assert_eq!(read::<f64>(text).1.len(), 1, "{text}");
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
