//! JSON as providers write it: keys in any order, characters escaped or not, some of it broken.

use fastrand::Rng;
use serde_json::Value;

/// Stand for halves of a surrogate pair, which no text of Rust can hold.
pub const HIGH_HALF: char = '\u{E000}';
pub const LOW_HALF: char = '\u{E001}';

/// Begins a text whose rest is written as it is: a number in another notation.
const AS_IT_IS: char = '\u{E002}';

/// A value that is written in exactly this way.
pub fn as_it_is(json: &str) -> Value {
    Value::from(format!("{AS_IT_IS}{json}"))
}

pub fn written(value: &Value, random: &mut Rng) -> String {
    let mut json = String::new();
    write(value, random, &mut json);
    json
}

fn write(value: &Value, random: &mut Rng, json: &mut String) {
    match value {
        Value::Array(elements) => {
            json.push('[');
            for (i, element) in elements.iter().enumerate() {
                comma(i, random, json);
                write(element, random, json);
            }
            json.push(']');
        }
        Value::Object(entries) => {
            let mut entries: Vec<_> = entries.iter().collect();
            random.shuffle(&mut entries);
            json.push('{');
            for (i, (key, value)) in entries.into_iter().enumerate() {
                comma(i, random, json);
                write_text(key, random, json);
                json.push(':');
                write(value, random, json);
            }
            json.push('}');
        }
        Value::String(text) => match text.strip_prefix(AS_IT_IS) {
            Some(rest) => json.push_str(rest),
            None => write_text(text, random, json),
        },
        other => json.push_str(&other.to_string()),
    }
}

fn comma(place: usize, random: &mut Rng, json: &mut String) {
    if place > 0 {
        json.push(',');
    }
    if random.u8(0..20) == 0 {
        json.push_str("\n  ");
    }
}

fn write_text(text: &str, random: &mut Rng, json: &mut String) {
    let escape_all = random.u8(0..20) == 0;
    json.push('"');
    for c in text.chars() {
        match c {
            HIGH_HALF => json.push_str("\\ud83d"),
            LOW_HALF => json.push_str("\\uDE00"),
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '/' if escape_all => json.push_str("\\/"),
            c if c < ' ' || (escape_all && !c.is_ascii()) => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    json.push_str(&format!("\\u{unit:04x}"));
                }
            }
            c => json.push(c),
        }
    }
    json.push('"');
}
