//! Blank texts, which identify nothing.

/// Returns true if a text is blank: empty, or only whitespace, control characters and zero-width
/// characters.
pub fn is_blank(text: &str) -> bool {
    let has_no_width = |c| matches!(c, '\u{200B}'..='\u{200F}' | '\u{2060}' | '\u{FEFF}');
    text.chars()
        .all(|c| c.is_whitespace() || c.is_control() || has_no_width(c))
}
