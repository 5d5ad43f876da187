//! Texts that were cut in the middle of an emoji.

/// The body with U+FFFD for every half of a surrogate pair that stands alone, if there is one: a
/// text cut in the middle of an emoji must not cost the page it stands on.
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
        // An escape is ASCII, but what follows a stray backslash need not be.
        let end = (escape + len..body.len()).find(|end| body.is_char_boundary(*end));
        let end = end.unwrap_or(body.len());
        repaired.push_str(if lone { "\\ufffd" } else { &body[escape..end] });
        changed |= lone;
        at = end;
    }
    repaired.push_str(&body[at..]);
    changed.then_some(repaired)
}
