//! Texts that show nothing, and so name nothing.

/// Returns whether a text shows nothing: it is empty, or has only blanks, control characters and
/// characters of no width.
pub fn is_blank(text: &str) -> bool {
    let has_no_width = |c| matches!(c, '\u{200B}'..='\u{200F}' | '\u{2060}' | '\u{FEFF}');
    text.chars()
        .all(|c| c.is_whitespace() || c.is_control() || has_no_width(c))
}
