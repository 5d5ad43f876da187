//! Parses URLs and hashtags.

use std::borrow::Cow;
use std::sync::LazyLock;

use memchr::memchr2;
use regex::Regex;

use crate::transform::program::value::BadReason;

/// Checks that a text is a URL: a scheme and a non-empty rest, without ASCII whitespace or control
/// characters. A URL that begins with `//` gets the scheme https.
pub fn url(text: Cow<'_, str>) -> Result<Cow<'_, str>, BadReason> {
    let rest = match text.split_once(':') {
        _ if text.starts_with("//") => &text[2..],
        Some((scheme, rest)) if is_scheme(scheme) => rest.trim_start_matches('/'),
        _ => return Err("not a URL"),
    };
    if rest.is_empty()
        || text
            .bytes()
            .any(|b| b.is_ascii_whitespace() || b.is_ascii_control())
    {
        return Err("not a URL");
    }
    if text.starts_with("//") {
        Ok(Cow::Owned(format!("https:{text}")))
    } else {
        Ok(text)
    }
}

/// Returns whether a text is a scheme (RFC 3986, 3.1).
fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
}

/// Returns the hashtags of a text in order, without `#`. A hashtag is `#tag[话题]#`, the app's form
/// of a linked tag, or `#tag` up to the first character that a tag cannot contain. A number sign
/// inside a word or a URL begins no hashtag.
pub fn hashtags(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    // End of the last tag. The next tag may follow directly.
    let mut begin = 0;
    std::iter::from_fn(move || {
        loop {
            // The full-width number sign begins with 0xEF.
            let at = memchr2(b'#', 0xEF, rest.as_bytes())?;
            rest = &rest[at..];
            let Some(after) = rest.strip_prefix(NUMBER_SIGNS) else {
                let mut chars = rest.chars();
                chars.next();
                rest = chars.as_str();
                continue;
            };
            let sign = text.len() - rest.len();
            if is_inside_word(&text[begin..sign]) {
                rest = after;
                continue;
            }
            // A combining mark after the sign belongs to it: the keycap emoji is not a hashtag.
            if after.starts_with(is_mark) {
                rest = after;
                continue;
            }
            let linked = after.find(|c: char| NUMBER_SIGNS.contains(&c) || ends_a_link(c));
            let linked = linked.filter(|end| *end > 0 && after[*end..].starts_with(LINKED));
            if let Some(end) = linked {
                let behind = &after[end + LINKED.len()..];
                rest = behind.strip_prefix(NUMBER_SIGNS).unwrap_or(behind);
                begin = text.len() - rest.len();
                return Some(&after[..end]);
            }
            let end = after.find(|c| !is_of_tag(c)).unwrap_or(after.len());
            rest = &after[end..];
            if end > 0 && !is_keycaps(&after[..end]) {
                begin = text.len() - rest.len();
                return Some(&after[..end]);
            }
        }
    })
}

/// Returns whether a text ends in a URL, or in a letter or digit of a script that separates words
/// by spaces: `C#语言`, `1#楼`, `https://x/#part`. Chinese, Japanese and Thai do not.
fn is_inside_word(before: &str) -> bool {
    static WORD: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"^[_\p{Nd}\p{Latin}\p{Greek}\p{Cyrillic}\p{Hangul}\p{Arabic}\p{Hebrew}\p{Devanagari}]$").expect("a constant pattern")
    });
    let Some(last) = before.chars().next_back() else {
        return false;
    };
    if last.is_ascii() {
        let start = before.rfind(|c: char| !c.is_ascii_graphic());
        let start = start.map_or(0, |at| {
            at + before[at..].chars().next().map_or(0, char::len_utf8)
        });
        let word = &before[start..];
        return last.is_ascii_alphanumeric()
            || last == '_'
            || word.contains("://")
            || word.starts_with("www.")
            // An HTML entity such as `&#39;`.
            || last == '&';
    }
    !is_han(last) && WORD.is_match(last.encode_utf8(&mut [0; 4]))
}

const NUMBER_SIGNS: [char; 2] = ['#', '\u{FF03}'];
const LINKED: &str = "[话题]";

fn ends_a_link(c: char) -> bool {
    c.is_whitespace() || c == '[' || c == ']'
}

/// Returns whether a text is one or several keycap emoji, such as the digit 1 on a key.
fn is_keycaps(text: &str) -> bool {
    let is_part = |c: char| c.is_ascii_digit() || matches!(c, '\u{FE0F}' | '\u{20E3}');
    text.ends_with('\u{20E3}') && text.chars().all(is_part)
}

fn is_mark(c: char) -> bool {
    static MARK: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"^\p{M}$").expect("a constant pattern"));
    let common = c.is_ascii() || is_han(c);
    !common && MARK.is_match(c.encode_utf8(&mut [0; 4]))
}

fn is_han(c: char) -> bool {
    matches!(c, '\u{4E00}'..='\u{9FFF}')
}

/// Returns whether a tag may contain a character: letters, digits and marks of all scripts, and
/// punctuation of product names.
fn is_of_tag(c: char) -> bool {
    static RARE: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"^[\p{L}\p{N}\p{M}·・]$").expect("a constant pattern"));
    match c {
        // The characters of most tags.
        c if is_han(c) => true,
        c if c.is_ascii() => c.is_ascii_alphanumeric() || "_&+-".contains(c),
        c => RARE.is_match(c.encode_utf8(&mut [0; 4])),
    }
}
