//! Finds mainland mobile numbers in free text.

use std::borrow::Cow;

/// Replaces each mainland mobile number by `[phone]`. A number is 1, then 3 to 9, then nine digits,
/// with no digit adjacent. Digits may be full-width or keycaps. Up to three spaces, dashes, dots or
/// HTML tags may separate two digits, in any grouping. A prefix 86 or 0086, with or without a plus,
/// belongs to the number.
pub fn scrub_phone_numbers(text: &str) -> Cow<'_, str> {
    if text.chars().filter_map(digit).take(DIGITS).count() < DIGITS {
        return Cow::Borrowed(text);
    }
    let mut scrubbed = String::new();
    let mut copied = 0;
    let mut at = 0;
    let mut follows_digit = false;
    while let Some(c) = text[at..].chars().next() {
        let number = if follows_digit {
            None
        } else {
            number_length(&text[at..])
        };
        if let Some(length) = number {
            scrubbed.push_str(&text[copied..at]);
            scrubbed.push_str(PLACEHOLDER);
            at += length;
            copied = at;
            continue;
        }
        follows_digit = digit(c).is_some() || follows_digit && is_keycap(c);
        at += c.len_utf8();
    }
    match copied {
        0 => Cow::Borrowed(text),
        _ => {
            scrubbed.push_str(&text[copied..]);
            Cow::Owned(scrubbed)
        }
    }
}

const PLACEHOLDER: &str = "[phone]";

/// Digits of a number without its country code.
const DIGITS: usize = 11;

/// Returns the length in bytes of the number that the text begins with.
fn number_length(text: &str) -> Option<usize> {
    let plus = text.starts_with(['+', '\u{FF0B}']);
    let start = if plus {
        text.chars().next().map_or(0, char::len_utf8)
    } else {
        0
    };
    let codes: &[&[u32]] = if plus {
        &[&[8, 6]]
    } else {
        &[&[], &[8, 6], &[0, 0, 8, 6]]
    };
    codes.iter().find_map(|code| {
        let mut digits = Digits { text, at: start };
        let is_number = code.iter().all(|known| digits.next() == Some(*known))
            && digits.next() == Some(1)
            && digits.next().is_some_and(|second| second >= 3)
            && digits.by_ref().take(DIGITS - 2).count() == DIGITS - 2;
        let next = text[digits.at..].chars().next();
        let ends = next.and_then(digit).is_none();
        (is_number && ends).then_some(digits.at)
    })
}

/// Reads adjacent or separated digits.
struct Digits<'t> {
    text: &'t str,
    at: usize,
}

impl Iterator for Digits<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let gap = match self.at {
            0 => 0,
            at => gap(&self.text[at..]),
        };
        let mut rest = self.text[self.at + gap..].chars();
        let found = rest.next()?;
        let value = digit(found)?;
        let keycap: usize = rest.take_while(|c| is_keycap(*c)).map(char::len_utf8).sum();
        self.at += gap + found.len_utf8() + keycap;
        Some(value)
    }
}

fn digit(c: char) -> Option<u32> {
    match c {
        '\u{FF10}'..='\u{FF19}' => Some(c as u32 - 0xFF10),
        c => c.to_digit(10),
    }
}

/// Returns whether a character makes a keycap emoji of the digit before it.
fn is_keycap(c: char) -> bool {
    matches!(c, '\u{FE0F}' | '\u{20E3}')
}

/// Returns the length in bytes of the gap between two digits of a number.
fn gap(text: &str) -> usize {
    (0..MOST_SEPARATORS).fold(0, |length, _| length + separator(&text[length..]))
}

fn separator(text: &str) -> usize {
    match text.chars().next() {
        Some('<') => {
            let end = text.bytes().take(LONGEST_TAG).position(|byte| byte == b'>');
            end.map_or(0, |end| end + 1)
        }
        Some('&') if text.starts_with(NBSP) => NBSP.len(),
        Some(c) if is_space(c) || is_dash_or_dot(c) => c.len_utf8(),
        _ => 0,
    }
}

const MOST_SEPARATORS: usize = 3;

/// Maximum length of a tag between two digits, in bytes.
const LONGEST_TAG: usize = 100;
const NBSP: &str = "&nbsp;";

/// Returns whether a character is a space within a line. Zero-width spaces count.
fn is_space(c: char) -> bool {
    let breaks_line = matches!(c, '\n'..='\r' | '\u{85}' | '\u{2028}' | '\u{2029}');
    let has_no_width = matches!(
        c,
        '\u{AD}' | '\u{200B}'..='\u{200D}' | '\u{2060}' | '\u{FEFF}'
    );
    has_no_width || c.is_whitespace() && !breaks_line
}

fn is_dash_or_dot(c: char) -> bool {
    matches!(
        c,
        '-' | '\u{2010}'
            ..='\u{2015}' | '\u{2212}' | '\u{FE63}' | '\u{FF0D}' | '.' | '\u{B7}' | '\u{FF0E}'
    )
}
