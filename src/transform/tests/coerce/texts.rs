use indexmap::IndexMap;
use proptest::prelude::*;
use regex::Regex;

use super::{converted, plain, text};
use crate::spec::source::{Form, Mapping};
use crate::spec::table::ColumnType;
use crate::transform::page::captures::Scalar;
use crate::transform::program::coerce::hashtags;
use crate::transform::program::value::{BadReason, Cell};

#[test]
fn an_id_is_text_whether_it_came_as_text_or_as_a_number() {
    let cases = [
        (text("0123"), Ok("0123")),
        (Scalar::Int(987_654_321), Ok("987654321")),
        (Scalar::Uint(u64::MAX), Ok("18446744073709551615")),
        (Scalar::Float(1.5), Err("not a text")),
        (Scalar::Bool(true), Err("not a text")),
        (Scalar::Nested("object"), Err("not a text")),
    ];
    for (value, expected) in cases {
        let expected = expected.map(|text| Some(Cell::Text(text.into())));
        assert_eq!(plain(ColumnType::String, value), expected, "{value:?}");
    }
    for kind in [
        ColumnType::String,
        ColumnType::Int64,
        ColumnType::Bool,
        ColumnType::Float64,
    ] {
        assert_eq!(plain(kind, Scalar::Absent), Ok(None));
    }
}

#[test]
fn html_becomes_its_text() {
    let cases = [
        ("<p>今天分享</p>", "今天分享"),
        ("a<br>b", "a\nb"),
        ("<p>a</p><p>b</p>", "a\n\nb"),
        ("1 &lt; 2 &amp; 3&nbsp;!", "1 < 2 & 3\u{a0}!"),
        ("<a href='https://example.com'>link</a>", "link"),
        ("<h2>Title</h2><ul><li>a</li><li>b</li></ul>", "Title\na\nb"),
        ("<table><tr><td>a</td><td>b</td></tr></table>", "a b"),
        // Here html2text 0.17.4 by itself panics: no column begins where the second cell ends.
        (
            "<table><tr><td colspan=2>a</td><td rowspan=2>b</td></tr></table>",
            "a b",
        ),
        (
            "<table><tr><th colspan=18446744073709551615>a<th colspan=2>b</table>",
            "a b",
        ),
        ("no tags", "no tags"),
        ("<b>open", "open"),
        ("", ""),
    ];
    for (html, expected) in cases {
        let form = Some(Form::HtmlText);
        let value = converted(
            ColumnType::String,
            Mapping {
                form,
                ..Mapping::default()
            },
            text(html),
        );
        assert_eq!(value, Ok(Some(Cell::Text(expected.into()))), "{html}");
    }
    let long = "海".repeat(5_000);
    let form = Some(Form::HtmlText);
    let value = converted(
        ColumnType::String,
        Mapping {
            form,
            ..Mapping::default()
        },
        text(&long),
    );
    assert_eq!(value, Ok(Some(Cell::Text(long.as_str().into()))));
}

#[test]
fn html_that_the_library_panics_on_is_bad() {
    // An overflow in html2text 0.17.4, which builds without debug assertions do not notice.
    let html = "<ol start=9223372036854775807><li>a</li><li>b</li></ol>";
    let mapping = Mapping {
        form: Some(Form::HtmlText),
        ..Mapping::default()
    };
    let value = converted(ColumnType::String, mapping, text(html));
    let bad = Err("HTML that cannot be laid out");
    assert!(!cfg!(debug_assertions) || value == bad, "{value:?}");
}

#[test]
fn a_pattern_takes_its_group_and_a_template_puts_text_around() {
    let fans = |value| {
        let mapping = Mapping {
            form: Some(Form::Count),
            pattern: Some(r"粉丝\s*(?<value>[\d.]+万?)".to_owned()),
            ..Mapping::default()
        };
        converted(ColumnType::Int64, mapping, value)
    };
    assert_eq!(fans(text("笔记 5 粉丝 1.2万")), Ok(Some(Cell::Int(12_000))));
    assert_eq!(fans(text("笔记 5")), Ok(None));
    assert_eq!(fans(text("粉丝 1.23456万")), Err("not a count"));
    assert_eq!(fans(Scalar::Absent), Ok(None));
    assert_eq!(fans(Scalar::Int(5)), Err("not a text"));

    let template = Mapping {
        template: Some("https://example.com/{value}/{value}".to_owned()),
        ..Mapping::default()
    };
    let url = converted(ColumnType::String, template, Scalar::Int(7));
    assert_eq!(url, Ok(Some(Cell::Text("https://example.com/7/7".into()))));
}

#[test]
fn the_words_of_a_provider_become_ours() {
    let ads = |value, otherwise: Option<&str>| {
        let mapping = Mapping {
            values: Some(IndexMap::from([("ads".to_owned(), "true".to_owned())])),
            otherwise: otherwise.map(str::to_owned),
            ..Mapping::default()
        };
        converted(ColumnType::Bool, mapping, value)
    };
    assert_eq!(ads(text("ads"), None), Ok(Some(Cell::Bool(true))));
    assert_eq!(ads(text("note"), None), Ok(None));
    assert_eq!(
        ads(text("note"), Some("false")),
        Ok(Some(Cell::Bool(false)))
    );
    assert_eq!(
        ads(Scalar::Absent, Some("false")),
        Ok(Some(Cell::Bool(false)))
    );
    assert_eq!(
        ads(Scalar::Nested("array"), Some("false")),
        Err("not a text")
    );
}

#[test]
fn hashtags_are_found_in_both_spellings() {
    let cases: [(&str, &[&str]); 24] = [
        ("#海信洗衣机 这是", &["海信洗衣机"]),
        ("#减脂餐[话题]# #早餐[话题]#", &["减脂餐", "早餐"]),
        ("#减脂餐[话题]##早餐[话题]#", &["减脂餐", "早餐"]),
        ("#a#b #c,d", &["a", "b", "c"]),
        ("\u{FF03}护肤[话题]\u{FF03}", &["护肤"]),
        (
            "#早C晚A&更多 #A+B #·点· #e\u{301}",
            &["早C晚A&更多", "A+B", "·点·", "e\u{301}"],
        ),
        ("#两个 词[话题]#", &["两个"]),
        // The keycap emoji.
        ("#\u{FE0F}\u{20E3}1 #\u{FE0F}\u{20E3}买[话题]#", &[]),
        ("# 空 ## #", &[]),
        ("#1\u{FE0F}\u{20E3} #2\u{20E3}3\u{FE0F}\u{20E3}", &[]),
        (
            "#第1\u{FE0F}\u{20E3}名 #618",
            &["第1\u{FE0F}\u{20E3}名", "618"],
        ),
        ("没有", &[]),
        ("#重复 #重复", &["重复", "重复"]),
        // Behind Chinese no blank is needed, nor behind another tag.
        ("好用#防晒#OOTD#穿搭", &["防晒", "OOTD", "穿搭"]),
        ("#a[话题]##b[话题]#c", &["a", "b"]),
        // Inside a word.
        ("C#语言 F\u{FF03}教程 a_#b é#c Я#d \u{FF11}#楼 1#楼", &[]),
        ("C# 语言", &[]),
        (
            "\u{D55C}\u{AD6D}#\u{D55C}\u{AD6D} \u{915}#\u{939} \u{627}#a",
            &[],
        ),
        ("&#39;真好&#39; &#x1F600;", &[]),
        // In an address.
        ("https://x/#frag http://x.cn/a-#b#c www.x.cn/#d", &[]),
        ("看https://x/#frag", &[]),
        ("https://x/ #tag", &["tag"]),
        ("https://x/a，#tag", &["tag"]),
        ("//#tag", &["tag"]),
    ];
    for (text, expected) in cases {
        assert_eq!(hashtags(text).collect::<Vec<_>>(), expected, "{text}");
    }
}

proptest! {
    /// The scan is quick; the pattern says what it has to find.
    #[test]
    fn hashtags_are_those_of_a_pattern(
        parts in prop::collection::vec(prop::sample::select(vec![
            "#", "\u{FF03}", "[话题]", "[", "]", " ", "\n", "好", "a", "1", "_", "·", "・", "&", "+", "-",
            "\u{301}", "\u{FE0F}", "\u{20E3}", "é", "，", "\u{FF01}", "。", "😀", "ا", "\u{FF11}",
        ]), 0..14),
    ) {
        let pattern = Regex::new(
            r"(?x) [_\p{Nd}\p{Latin}\p{Greek}\p{Cyrillic}\p{Hangul}\p{Arabic}\p{Hebrew}\p{Devanagari}&] [\#\x{FF03}] | [\#\x{FF03}] (?:
                ([^\#\x{FF03}\s\[\]\p{M}][^\#\x{FF03}\s\[\]]*) \[话题\] [\#\x{FF03}]?
                | ([\p{L}\p{N}_·・&+\-][\p{L}\p{N}\p{M}_·・&+\-]*)
            )",
        );
        let pattern = pattern.expect("a pattern");
        let keycaps = Regex::new(r"^[0-9\x{FE0F}\x{20E3}]*\x{20E3}$").expect("a pattern");
        let text = parts.concat();
        let expected: Vec<&str> = pattern
            .captures_iter(&text)
            .filter_map(|c| Some(c.get(1).or(c.get(2))?.as_str()))
            .filter(|tag| !keycaps.is_match(tag))
            .collect();
        prop_assert_eq!(hashtags(&text).collect::<Vec<_>>(), expected);
    }
}

/// A closing tag that closes nothing must not hide how deep the elements are.
#[test]
fn wrong_closing_tags_do_not_hide_the_depth() {
    fn html(html: &str) -> Result<Option<Cell<'_>>, BadReason> {
        let form = Some(Form::HtmlText);
        let mapping = Mapping {
            form,
            ..Mapping::default()
        };
        converted(ColumnType::String, mapping, text(html))
    }
    let deep = "<div></b>".repeat(2_000);
    let told = Err("HTML that is too large or too deeply nested");
    assert_eq!(html(&deep), told);
    assert_eq!(
        html("<div></b>text</div>"),
        Ok(Some(Cell::Text("text".into())))
    );
}
