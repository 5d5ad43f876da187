use super::{file, told};
use crate::spec::yaml::document::{decode, parse};
use crate::spec::yaml::env::substitute;
use crate::spec::yaml::node::{Node, NodeKind};

fn lookup(name: &str) -> Option<String> {
    match name {
        "CITY" => Some("上海".to_owned()),
        "EMPTY" => Some(String::new()),
        "TRICKY" => Some("${CITY}: [x]".to_owned()),
        _ => None,
    }
}

/// The tree of `text` with its variables replaced, and what is wrong with it.
fn substituted(text: &str) -> (Node, Vec<String>) {
    let file = file(text);
    let mut tree = parse(&file).unwrap_or_else(|d| panic!("{}", d.message));
    let mut found = Vec::new();
    substitute(&mut tree, &file, &lookup, &mut found);
    (tree, told(&found))
}

#[test]
fn variables_are_replaced_in_values() {
    let cases = [
        ("${CITY}", "上海"),
        ("in ${CITY} or ${CITY}!", "in 上海 or 上海!"),
        ("<${EMPTY}>", "<>"),
        // A value is never looked at again, and cannot change what the file means.
        ("${TRICKY}", "${CITY}: [x]"),
        ("$${CITY}", "${CITY}"),
        ("$$${CITY}", "$${CITY}"),
        ("$${CITY} in ${CITY}", "${CITY} in 上海"),
        ("$CITY costs 5$", "$CITY costs 5$"),
        ("$${", "${"),
    ];
    for (written, meant) in cases {
        let (tree, found) = substituted(&format!("[\"{written}\"]"));
        assert_eq!(found, Vec::<String>::new(), "{written}");
        let values: Option<Vec<String>> = decode(tree, &file(""), &mut Vec::new());
        assert_eq!(values, Some(vec![meant.to_owned()]), "{written}");
    }
}

#[test]
fn what_cannot_be_replaced_is_told_with_its_place() {
    let (_, found) = substituted("a: ok\nb:\n  - \"${NOBODY}\"\n  - \"${CITY\"\n  - \"${}\"\n");
    assert_eq!(
        found,
        [
            "3:5 the environment variable `NOBODY` is not set \
             [set it before the run, for example: export NOBODY=…]",
            "4:5 `${` has no closing `}` [write ${NAME}, or $${ for the characters themselves]",
            "5:5 `${…}` does not hold the name of a variable \
             [write ${NAME}, with letters, digits and _; there are no default values]",
        ]
    );
}

#[test]
fn keys_and_comments_are_left_alone() {
    let (tree, found) = substituted("# needs ${NOBODY}\n\"${NOBODY}\": 1 # ${NOBODY}\n");
    assert_eq!(found, Vec::<String>::new());
    let NodeKind::Map(entries) = &tree.kind else {
        panic!("no mapping: {tree:?}");
    };
    assert!(matches!(&entries[0].0.kind, NodeKind::Quoted(key) if key == "${NOBODY}"));
}
