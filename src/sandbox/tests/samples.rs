//! `sample_data/generated/` is what the sandbox says. With `REDLAKE_UPDATE_SAMPLES=1` in the
//! environment the files are written anew.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{NOTES, USERS, answer, call, detail, json, noon, notes_at};
use crate::sandbox::request::ApiCall;

/// Chosen because almost every oddity of the world shows on its pages, and its last page is short.
const KEYWORD: &str = "减脂餐推荐";

#[test]
fn generated_samples_are_what_the_sandbox_says() {
    let update = std::env::var_os("REDLAKE_UPDATE_SAMPLES").is_some();
    for (name, call) in samples() {
        let path = folder().join(name);
        let text = indented(&answer(&call).body);
        if update {
            fs::write(&path, &text).unwrap();
        }
        let stored = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            stored == text,
            "{} differs: run the test with REDLAKE_UPDATE_SAMPLES=1",
            path.display()
        );
    }
}

#[test]
fn indenting_changes_no_value() {
    let body = r#"{"a":[],"b":{},"c":[1,{"d":"x\"{,\\"}],"e":"[ ]"}"#;
    let value = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    assert_eq!(value(body), value(&indented(body)));
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sample_data/generated")
}

/// Every file with the call that it answers.
fn samples() -> Vec<(String, ApiCall)> {
    let mut samples = Vec::new();
    for (sort, word, pages) in [("general", "general", 3), ("newest", "time_descending", 2)] {
        for page in 1..=pages {
            let page = page.to_string();
            let query = [("keyword", KEYWORD), ("page", &page), ("sort", word)];
            samples.push((
                format!("note_search.{sort}.page{page}.json"),
                call(NOTES, &query),
            ));
        }
    }
    for page in ["1", "2"] {
        let query = [("keyword", KEYWORD), ("page", page)];
        samples.push((format!("user_search.page{page}.json"), call(USERS, &query)));
    }
    let notes = notes_at(&[("keyword", KEYWORD)], noon());
    let mut add_detail = |name: &str, fits: &dyn Fn(&Value, &Value) -> bool| {
        let call = notes.iter().find_map(|note| {
            let call = detail(note["id"].as_str()?);
            let answer = json(&answer(&call));
            fits(note, &answer["data"]).then_some(call)
        });
        let call = call.unwrap_or_else(|| panic!("the first page has no note {name}"));
        samples.push((format!("note_detail.{name}.json"), call));
    };
    add_detail("video", &|note, _| note["type"] == "video");
    add_detail("image", &|note, detail| {
        note["type"] == "normal" && detail["location"].is_null()
    });
    add_detail("location", &|_, detail| detail["location"].is_object());
    samples
}

/// JSON text with line breaks and two spaces a level, its keys in the order they stand.
fn indented(json: &str) -> String {
    let (mut text, mut depth) = (String::new(), 0);
    let (mut in_string, mut escaped) = (false, false);
    let mut chars = json.chars().peekable();
    while let Some(c) = chars.next() {
        if in_string {
            in_string = escaped || c != '"';
            escaped = c == '\\' && !escaped;
            text.push(c);
            continue;
        }
        match c {
            '{' | '[' if matches!(chars.peek(), Some('}' | ']')) => {
                text.push(c);
                text.extend(chars.next());
            }
            '{' | '[' => {
                depth += 1;
                text.push(c);
                break_line(&mut text, depth);
            }
            '}' | ']' => {
                depth -= 1;
                break_line(&mut text, depth);
                text.push(c);
            }
            ',' => {
                text.push(c);
                break_line(&mut text, depth);
            }
            ':' => text.push_str(": "),
            '"' => {
                in_string = true;
                text.push(c);
            }
            _ => text.push(c),
        }
    }
    text.push('\n');
    text
}

fn break_line(text: &mut String, depth: usize) {
    text.push('\n');
    text.push_str(&"  ".repeat(depth));
}
