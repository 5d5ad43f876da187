//! The columns that a text takes in a terminal.

use unicode_width::UnicodeWidthChar as _;

/// Sign at the end of a text that is cut.
const CUT: &str = "...";

/// Returns as much of a text as fits into so many columns of any terminal.
///
/// Terminals differ in the width of some characters. The widest counts here: a joined emoji may be
/// shown as its parts, and characters such as `①` take two columns in a Chinese terminal.
pub fn fit(text: &str, columns: usize) -> String {
    let mut used = 0;
    // End of the longest part that leaves room for the sign.
    let mut end = 0;
    for (at, c) in text.char_indices() {
        used += widest(c);
        if used > columns {
            return format!("{}{}", &text[..end], &CUT[..CUT.len().min(columns)]);
        }
        if used + CUT.len() <= columns {
            end = at + c.len_utf8();
        }
    }
    text.to_owned()
}

fn widest(c: char) -> usize {
    // U+FE0F widens the character before it, which then is an emoji.
    if c == '\u{fe0f}' {
        1
    } else {
        c.width_cjk().unwrap_or(0)
    }
}

/// Sign for what is cut or left out of a table.
pub const ELLIPSIS: char = '…';

/// Returns a text in at most `width` columns.
pub fn cut(text: &str, width: usize) -> String {
    if width_of(text) <= width {
        return text.to_owned();
    }
    let mut used = 0;
    let room = width.saturating_sub(1);
    let fits = |c: &char| {
        used += c.width().unwrap_or(0);
        used <= room
    };
    let mut part: String = text.chars().take_while(fits).collect();
    part.push(ELLIPSIS);
    part
}

/// Returns a text in parts of at most `width` columns, divided at spaces where that is possible.
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut parts = Vec::new();
    let mut rest = text;
    while width_of(rest) > width {
        let mut used = 0;
        let over = rest.char_indices().find(|(_, c)| {
            used += c.width().unwrap_or(0);
            used > width
        });
        let end = over.map_or(rest.len(), |(at, _)| at);
        // A character that is wider than the column is on a line of its own.
        let end = end.max(rest.chars().next().map_or(0, char::len_utf8));
        let space = rest[..end].rfind(' ').filter(|at| *at > 0);
        let (part, after) = rest.split_at(space.unwrap_or(end));
        parts.push(part.to_owned());
        rest = after.trim_start_matches(' ');
    }
    parts.push(rest.to_owned());
    parts
}

/// Returns the columns of a text whose characters do not join, if each has its usual width.
pub fn width_of(text: &str) -> usize {
    text.chars().map(|c| c.width().unwrap_or(0)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_where_the_widest_terminal_ends() {
        assert_eq!(fit("abcdef", 6), "abcdef");
        assert_eq!(fit("abcdefg", 6), "abc...");
        assert_eq!(fit("敏感肌", 6), "敏感肌");
        assert_eq!(fit("敏感肌面霜", 8), "敏感...");
        assert_eq!(fit("敏感肌面霜", 9), "敏感肌...");
        assert_eq!(fit("①②③④", 6), "①...");
        assert_eq!(fit("❤️❤️", 3), "...");
        assert_eq!(fit("👩‍👩‍👧 x", 8), "👩‍👩‍👧 x");
        assert_eq!(fit("👩‍👩‍👧 x", 7), "👩‍👩‍...");
        assert_eq!(fit("abc", 2), "..");
        assert_eq!(fit("", 0), "");
    }
}
