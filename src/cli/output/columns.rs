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
