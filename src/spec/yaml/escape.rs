//! Escapes foreign text for people: characters that act on a terminal, reorder the text or are
//! invisible are written as in Rust, such as `\u{1b}` and `\u{202e}`.
//!
//! Data and messages of providers are printed in tables, summaries, log lines and errors. The
//! formats `csv`, `json`, `ndjson` and `parquet`, which programs read, keep every character.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Escapes a text that may have several lines. Keeps line breaks and tabs.
pub fn escaped(text: &str) -> Cow<'_, str> {
    escape(text, |c| matches!(c, '\n' | '\t'))
}

/// Escapes a text that must stay on its line and in its column. Escapes line breaks and tabs, too.
pub fn escaped_line(text: &str) -> Cow<'_, str> {
    escape(text, |_| false)
}

/// Escapes a cell of a table. Keeps line breaks, which make the cell higher.
pub fn escaped_cell(text: &str) -> Cow<'_, str> {
    escape(text, |c| c == '\n')
}

fn escape(text: &str, stays: impl Fn(char) -> bool) -> Cow<'_, str> {
    let mut out: Option<String> = None;
    // True after a black flag and tags, which form the flag of a region, such as Scotland.
    let mut in_flag = false;
    for (at, c) in text.char_indices() {
        in_flag = c == '\u{1f3f4}' || in_flag && is_tag(c);
        if is_active(c) && !stays(c) && !in_flag {
            let out = out.get_or_insert_with(|| text[..at].to_owned());
            let _ = write!(out, "{}", c.escape_default());
        } else if let Some(out) = &mut out {
            out.push(c);
        }
    }
    out.map_or(Cow::Borrowed(text), Cow::Owned)
}

/// Returns true if a character acts on a terminal, reorders text or is invisible.
///
/// Characters that join emoji and letters (U+200C, U+200D) or select a form of a character (U+FE0F
/// and others) are not active: text looks different without them.
fn is_active(c: char) -> bool {
    // C0, DEL and C1: escape sequences and cursor movement.
    c.is_control()
        || matches!(
            c,
            // Invisible.
            '\u{ad}' | '\u{180e}' | '\u{200b}' | '\u{2060}'..='\u{2064}' | '\u{feff}'
            // Text direction.
            | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{206f}'
            // Line and paragraph separators.
            | '\u{2028}' | '\u{2029}'
            // Annotations, and tags.
            | '\u{fff9}'..='\u{fffb}' | '\u{e0001}'
        )
        || is_tag(c)
}

/// Returns true if a character is a tag: an invisible copy of an ASCII character.
fn is_tag(c: char) -> bool {
    matches!(c, '\u{e0020}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use crate::spec::yaml::escape::*;

    #[test]
    fn characters_that_act_on_a_terminal_are_escaped() {
        let told = escaped("\u{1b}[31mred\u{1b}[0m \u{9b}2J \u{7}\u{8}\u{0}\u{7f} a\rb");
        let expected = "\\u{1b}[31mred\\u{1b}[0m \\u{9b}2J \\u{7}\\u{8}\\u{0}\\u{7f} a\\rb";
        assert_eq!(told, expected);
        for c in (0..0x20_u32).chain(0x7f..0xa0).filter_map(char::from_u32) {
            let text = c.to_string();
            let stays = matches!(c, '\n' | '\t');
            assert_eq!(escaped(&text) == text, stays, "{c:?}");
            assert_ne!(escaped_line(&text), text, "{c:?}");
            assert_eq!(escaped_cell(&text) == text, c == '\n', "{c:?}");
        }
    }

    #[test]
    fn characters_that_reorder_or_hide_are_escaped() {
        assert_eq!(escaped("user\u{202e}gpj.exe"), "user\\u{202e}gpj.exe");
        let marks = "\u{61c}\u{200e}\u{200f}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\
                     \u{2068}\u{2069}\u{200b}\u{feff}\u{2028}\u{2029}\u{ad}\u{e0041}";
        for c in marks.chars() {
            let expected = format!("a\\u{{{:x}}}b", u32::from(c));
            assert_eq!(escaped(&format!("a{c}b")), expected);
        }
    }

    #[test]
    fn other_text_stays_as_it_is() {
        let flag = "\u{1f3f4}\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f}";
        let texts = [
            "兰蔻·防晒霜合集 ‼️",
            "👩‍👩‍👧‍👦 👍🏽 ❤️ 🇨🇳 1️⃣",
            "می\u{200c}خواهم שלום",
            "\\u{1b} is no escape",
            "two\nlines\tand a tab",
            flag,
        ];
        for text in texts {
            assert!(
                matches!(escaped(text), Cow::Borrowed(same) if same == text),
                "{text}"
            );
        }
        // A tag after the end of the flag is not part of it.
        assert_eq!(
            escaped(&format!("{flag}x\u{e0041}")),
            format!("{flag}x\\u{{e0041}}")
        );
    }
}
