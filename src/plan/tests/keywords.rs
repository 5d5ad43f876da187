use super::mistakes::mistakes;
use super::{and, changed, planned, warnings};

/// The words that are searched for, and what is warned of.
fn searched(keywords: &str) -> (Vec<String>, Vec<String>) {
    let plan = planned(&changed("[海蓝之谜, 兰蔻]", keywords));
    let words = plan
        .searches
        .iter()
        .filter_map(|search| search.keyword.clone());
    (words.collect(), warnings(&plan))
}

#[test]
fn every_keyword_is_searched_for_as_it_is_written() {
    let words = [
        "No",
        "yes",
        "on",
        "OFF",
        "Y",
        "n",
        "true",
        "FALSE",
        "null",
        "Null",
        "~",
        "618",
        "2024",
        "007",
        "0755",
        "1_000",
        "+86",
        "-5",
        "12:30",
        "20:30:45",
        "0x1F",
        "0o17",
        "0b1",
        "3.0",
        "0.10",
        ".5",
        "1e3",
        "1.0e-3",
        ".inf",
        "-.Inf",
        ".nan",
        "2025-11-11",
        "2025-11-11T00:00:00Z",
        "12345678901234567890123",
        "C#",
        "a:b",
        "防晒#霜",
        "649e46",
        "=",
        "<<x",
        "🧴",
        "?a",
        "-a",
        ":a",
        "a b",
        "50%",
    ];
    let list: String = words.iter().map(|word| format!("\n    - {word}")).collect();
    assert_eq!(
        searched(&list),
        (words.map(str::to_owned).to_vec(), Vec::new())
    );
    // In brackets, too.
    let words = [
        "昂跑",
        "On",
        "HOKA",
        "no",
        "Y",
        "007",
        "12:30",
        "1e3",
        "null",
        "~",
        "3.0",
        "2025-11-11",
    ];
    let list = format!("[{}]", words.join(", "));
    assert_eq!(
        searched(&list),
        (words.map(str::to_owned).to_vec(), Vec::new())
    );
    // Quotes are no part of a word, and change nothing else.
    let list = "[\"no\", '007', \"a\\tb\", '~', '@兰蔻', \"%50\", '!a', '&b', '`c`']";
    let (words, _) = searched(list);
    assert_eq!(
        words,
        ["no", "007", "a\tb", "~", "@兰蔻", "%50", "!a", "&b", "`c`"]
    );
}

#[test]
fn names_are_as_they_are_written_too() {
    for name in ["n", "on", "no", "true", "007", "1e3", "null", "2024"] {
        let pipeline = changed("pipeline: test", &format!("pipeline: {name}"))
            .replace("brands:", &format!("{name}:"))
            .replace("[brands]", &format!("[{name}]"));
        let plan = planned(&pipeline);
        assert_eq!(plan.pipeline, name);
        let sets = plan
            .searches
            .iter()
            .map(|search| search.keyword_set.as_deref());
        assert_eq!(sets.collect::<Vec<_>>(), [Some(name); 2]);
    }
}

#[test]
fn suspicious_keywords_are_warned_about_at_their_place() {
    let cases = [
        (
            "[a, 防晒，面霜]",
            "6:15 the keyword `防晒，面霜` has a Chinese `，` in it and is searched for as one keyword [if several \
             are meant, write them with `, ` between them, or one a line]",
        ),
        (
            "[“防晒”]",
            "6:12 the typographic quote `“` is a part of the keyword `“防晒”` [if it is not meant to be searched \
             for, remove it; YAML's quotes are \" and ']",
        ),
        (
            "[a, ' ']",
            "6:15 this keyword is blank and left out [remove it]",
        ),
        (
            "[a, '　']",
            "6:15 this keyword is blank and left out [remove it]",
        ),
        (
            "[a, b,\n    ' a ']",
            "7:5 the keyword `a` is in the set `brands` twice, first in line 6; it is searched for once \
             [remove \
             it here]",
        ),
        (
            "\n    - a #b c\n",
            "7:7 `#b c` is a comment, not part of the keyword [put the keyword in quotes if it is one, or a \
             space after `#` if not]",
        ),
        (
            "\n    - a\n      b\n",
            "7:7 this keyword spans several lines [begin each keyword with `- `, or write it on one line]",
        ),
        (
            "[\"a\\u200bb\"]",
            "6:12 the keyword `a\\u{200b}b` has characters that cannot be seen [retype it without them]",
        ),
    ];
    for (keywords, warning) in cases {
        let (_, warned) = searched(keywords);
        assert_eq!(warned, [warning], "{keywords}");
    }
}

#[test]
fn nothing_is_asked_for_twice() {
    let (words, warned) = searched("[防晒, '防晒 ', 防晒, a]");
    assert_eq!(words, ["防晒", "a"]);
    assert_eq!(warned.len(), 2);
    // Two names of one list.
    let pipeline = changed("[海蓝之谜, 兰蔻]", "&b [防晒, 面霜]\n  same: *b");
    let plan = planned(&pipeline.replace("[brands]", "[brands, same, brands]"));
    assert_eq!(plan.searches.len(), 2);
    assert_eq!(
        warnings(&plan),
        [
            "6:15 the keyword `防晒` is in the sets `brands` and `same`; it is searched for once and counted for \
             `brands` [leave it out of one of them]",
            "6:19 the keyword `面霜` is in the sets `brands` and `same`; it is searched for once and counted for \
             `brands` [leave it out of one of them]",
            "10:30 the set `brands` is named here again; its keywords are searched for once [remove it here]",
        ]
    );
}

/// A comma in brackets parts keywords, also inside what was meant as one number.
#[test]
fn a_number_that_a_comma_splits_is_warned_of() {
    let (words, warnings) = searched("[1,000, 10,000件, 618,双11, a, 2, 3]");
    assert_eq!(
        words,
        ["1", "000", "10", "000件", "618", "双11", "a", "2", "3"]
    );
    let split = |warning: &&String| warning.contains("in brackets is two keywords");
    let told: Vec<_> = warnings.iter().filter(split).collect();
    assert_eq!(told.len(), 2, "{warnings:?}");
    assert!(
        told[0].contains("`1,000`") && told[1].contains("`10,000件`"),
        "{told:?}"
    );
}

#[test]
fn a_keyword_of_the_pipeline_has_one_label_at_most() {
    let plan = planned(&and(
        "keyword_labels: {own: ['兰蔻 '], rival: [海蓝之谜]}\n",
    ));
    let labels: Vec<(&str, &str)> = plan
        .keyword_labels
        .iter()
        .map(|(keyword, label)| (keyword.as_str(), label.as_str()))
        .collect();
    assert_eq!(labels, [("兰蔻", "own"), ("海蓝之谜", "rival")]);
    let hashes = (plan.hash, planned(&and("")).hash);
    assert_eq!(hashes.0, hashes.1, "labels change no search");

    let wrong =
        "keyword_labels:\n  own: [兰寇]\n  rival: [兰蔻]\n  other: [兰蔻]\n  ' ': [海蓝之谜]\n";
    let told: Vec<String> = mistakes(&and(wrong))
        .iter()
        .map(|mistake| mistake.split_once(' ').expect("a place").1.to_owned())
        .collect();
    assert_eq!(
        told,
        [
            "the keyword `兰寇` is in no keyword set [did you mean `兰蔻`?]",
            "the keyword `兰蔻` has the label `rival`, too [give it one label]",
            "the label is blank [name it, for example `own`]",
        ]
    );
}
