//! Answers that a JSON reader refuses, or reads inexactly, because of one value.

use serde_json::value::RawValue;

/// Returns the body with every lone surrogate replaced by U+FFFD, or `None` if it has none. A text
/// cut in the middle of an emoji must not lose the whole page.
pub fn without_lone_surrogates(body: &str) -> Option<String> {
    let unit = |at: usize| {
        let hex = body.get(at..at + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(hex, 16).ok()
    };
    let mut repaired = String::with_capacity(body.len());
    let mut changed = false;
    let mut at = 0;
    while let Some(found) = body[at..].find('\\') {
        let escape = at + found;
        repaired.push_str(&body[at..escape]);
        let (len, lone) = match (unit(escape), unit(escape + 6)) {
            (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => (12, false),
            (Some(0xD800..=0xDFFF), _) => (6, true),
            (Some(_), _) => (6, false),
            (None, _) => (2, false),
        };
        // An escape is ASCII. The text after a stray backslash may not be.
        let end = (escape + len..body.len()).find(|end| body.is_char_boundary(*end));
        let end = end.unwrap_or(body.len());
        repaired.push_str(if lone { "\\ufffd" } else { &body[escape..end] });
        changed |= lone;
        at = end;
    }
    repaired.push_str(&body[at..]);
    changed.then_some(repaired)
}

/// A body with quotes around every number that is neither an `i64` nor a `u64`.
#[derive(Debug)]
pub struct QuotedNumbers {
    pub text: String,
    /// Byte offset in `text` of each quoted number's first character, ascending.
    pub starts: Vec<usize>,
}

impl QuotedNumbers {
    /// Quotes the numbers; `None` if there is none to quote.
    pub fn new(body: &str) -> Option<Self> {
        let mut text = String::with_capacity(body.len() + 64);
        let mut starts = Vec::new();
        let bytes = body.as_bytes();
        let (mut at, mut copied) = (0, 0);
        while at < bytes.len() {
            match bytes[at] {
                b'"' => at = string_end(bytes, at),
                b'-' | b'0'..=b'9' => {
                    let start = at;
                    let is_part = |byte: &u8| matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E');
                    let length = bytes[start..]
                        .iter()
                        .take_while(|byte| byte.is_ascii_digit() || is_part(byte))
                        .count();
                    at += length;
                    let token = &body[start..at];
                    if !is_exact_integer(token) && is_number(token) && !is_key(&bytes[at..]) {
                        text.push_str(&body[copied..start]);
                        text.push('"');
                        starts.push(text.len());
                        text.push_str(token);
                        text.push('"');
                        copied = at;
                    }
                }
                _ => at += 1,
            }
        }
        text.push_str(&body[copied..]);
        (!starts.is_empty()).then_some(QuotedNumbers { text, starts })
    }
}

/// Returns whether `token` is written as an integer and fits an `i64` or a `u64`.
pub fn is_exact_integer(token: &str) -> bool {
    // JSON parsers read -0 as a float, because integers have no negative zero.
    token != "-0" && (token.parse::<i64>().is_ok() || token.parse::<u64>().is_ok())
}

fn is_number(token: &str) -> bool {
    serde_json::from_str::<&RawValue>(token).is_ok()
}

/// Returns whether a colon comes next: quotes would make a key of the number before it.
fn is_key(rest: &[u8]) -> bool {
    rest.trim_ascii_start().first() == Some(&b':')
}

/// Returns the offset after the end of the string that begins at `start`.
fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}
