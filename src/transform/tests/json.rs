//! JSON is read as `serde_json` reads it, whatever the text is.

use proptest::prelude::*;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use super::any_json::json;
use crate::transform::page::json::{Json, NotJson, Number};

/// Reads a text with [`Json`], as the walk does.
fn read(text: &str) -> Result<Value, NotJson> {
    let mut json = Json::new(text);
    let value = value(&mut json)?;
    json.end()?;
    Ok(value)
}

fn value(json: &mut Json<'_>) -> Result<Value, NotJson> {
    Ok(match json.peek()? {
        b'{' => {
            json.open()?;
            let mut object = Map::new();
            while json.has_next(b'}', object.is_empty())? {
                let key = if json.skip_key("id")? {
                    "id".to_owned()
                } else {
                    json.key()?.as_str().to_owned()
                };
                object.insert(key, value(json)?);
            }
            Value::Object(object)
        }
        b'[' => {
            json.open()?;
            let mut list = Vec::new();
            while json.has_next(b']', list.is_empty())? {
                list.push(value(json)?);
            }
            Value::Array(list)
        }
        b'"' => json.string()?.as_str().into(),
        b't' => json.word("true").map(|()| true.into())?,
        b'f' => json.word("false").map(|()| false.into())?,
        b'n' => json.word("null").map(|()| Value::Null)?,
        _ => match json.number()? {
            Number::Int(number) => number.into(),
            Number::Uint(number) => number.into(),
            Number::Float(number) => number.into(),
        },
    })
}

fn skip(text: &str) -> Result<&str, NotJson> {
    let mut json = Json::new(text);
    let skipped = json.skip()?;
    json.end()?;
    Ok(skipped)
}

fn assert_read_alike(text: &str) {
    let theirs: Option<Value> = serde_json::from_str(text).ok();
    assert_eq!(read(text).ok(), theirs, "{text}");
    let is_json = serde_json::from_str::<IgnoredAny>(text).is_ok();
    let skipped = skip(text).ok();
    let value = text.trim_matches([' ', '\t', '\n', '\r']);
    assert_eq!(skipped, is_json.then_some(value), "{text}");
}

#[test]
fn texts_are_accepted_and_refused_as_serde_json_does() {
    for text in [
        "",
        " ",
        "1",
        " 1 ",
        "1 2",
        "-",
        "-0",
        "-0.0",
        "0",
        "00",
        "01",
        "-1",
        "+1",
        "1.",
        ".5",
        "1.5",
        "1e5",
        "1E+5",
        "1e-5",
        "1e",
        "1e+",
        "1e999",
        "-1e999",
        "1e-999",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775808",
        "-9223372036854775809",
        "18446744073709551615",
        "18446744073709551616",
        "0.1",
        "123456789.123456789",
        "tru",
        "true",
        "truee",
        "null",
        "nul",
        "false",
        "\"\"",
        "\"a",
        "\"a\"",
        "\"\\\"\"",
        "\"\\x\"",
        "\"\\\"",
        "\"\\u00e9\"",
        "\"\\u00g9\"",
        "\"\\u12\"",
        "\"\\ud83d\"",
        "\"\\ud83d\\ude00\"",
        "\"\\",
        "\"\n\"",
        "\"\u{7f}\"",
        "\"笔记\"",
        "[]",
        "[ ]",
        "[1]",
        "[1,]",
        "[,1]",
        "[1 2]",
        "[1, 2]",
        "[",
        "]",
        "[}",
        "{}",
        "{ }",
        "{\"a\":1}",
        "{\"a\" : 1 , \"id\" :2}",
        "{\"a\":1,}",
        "{,}",
        "{\"a\"}",
        "{\"a\":}",
        "{a:1}",
        "{1:1}",
        "{\"id\":1,\"id\":2}",
        "{\"id\" 1}",
        "{\"id",
        "{\"i\\u0064\":1}",
        "{\"a\":1]",
        "\u{feff}1",
        "\n\t\r 1",
        "\u{a0}1",
        "[\n1\n]",
        "{\"a\":{\"b\":[{}, [], [[1]]]}}",
        "[\"a\\n\", 1]",
        "{\"a\\n\":1}",
        "{\"a\n\":1}",
        "//",
        "NaN",
        "Infinity",
        "[1]x",
        "{}{}",
    ] {
        assert_read_alike(text);
        // Somewhere else, there is a line break between values.
        assert_read_alike(&format!("[\n{text}\n]"));
    }
}

#[test]
fn values_are_nested_as_deeply_as_in_serde_json_and_skipped_at_any_depth() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    for depth in [1, 126, 127, 128, 129, 1_000] {
        assert_read_alike(&nested(depth));
    }
    assert!(read(&nested(127)).is_ok());
    assert!(read(&nested(128)).is_err());
    assert!(skip(&nested(100_000)).is_ok());
}

proptest! {
    #[test]
    fn any_json_is_read_alike(value in json(), pretty: bool) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
        assert_read_alike(&text.expect("JSON"));
    }

    #[test]
    fn damaged_json_is_refused_alike(
        value in json(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), "[\"\\\\{}\\[\\],:0-9eE+.u-]{0,2}"), 1..4),
    ) {
        let mut text: Vec<char> = serde_json::to_string(&value).expect("JSON").chars().collect();
        for (place, instead) in damage {
            let place = place.index(text.len().max(1));
            text.splice(place..(place + 1).min(text.len()), instead.chars());
        }
        assert_read_alike(&text.into_iter().collect::<String>());
    }
}
