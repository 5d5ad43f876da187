//! Addresses, the text of HTML, hashtags.

use std::borrow::Cow;
use std::sync::LazyLock;

use html2text::render::TrivialDecorator;
use memchr::memchr2;
use regex::Regex;

use super::Bad;

/// An address: a scheme and something after it, without spaces. One that begins with `//` is
/// https, as in a web page.
pub fn url(text: Cow<'_, str>) -> Result<Cow<'_, str>, Bad> {
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
    match text.starts_with("//") {
        true => Ok(Cow::Owned(format!("https:{text}"))),
        false => Ok(text),
    }
}

/// RFC 3986, 3.1.
fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
}

/// The text of an HTML fragment, a line for each block.
pub fn html_text(html: &str) -> Result<String, Bad> {
    // Laying deeply nested elements out takes time without bound.
    if html.len() > MOST_HTML || nesting(html) > DEEPEST_HTML {
        return Err("HTML that is too large or too deeply nested");
    }
    // Without the brackets and number signs that other decorators put around links and headings.
    let text = html2text::config::with_decorator(TrivialDecorator::new())
        .no_link_wrapping()
        .no_table_borders()
        .string_from_read(html.as_bytes(), LONG_LINE)
        .map_err(|_| "not HTML")?;
    Ok(text.trim_end().to_owned())
}

/// Bytes of HTML that are turned into text at most; a note has at most some thousand characters.
const MOST_HTML: usize = 1 << 20;
const DEEPEST_HTML: usize = 100;

/// How many elements are open at once at most. Those that need no closing tag do not count.
fn nesting(html: &str) -> usize {
    let light = ["br", "img", "hr", "p", "li"];
    let mut open = 0_usize;
    let mut deepest = 0;
    for tag in html.split('<').skip(1) {
        let closes = tag.starts_with('/');
        let name = tag.trim_start_matches('/');
        let end = name.find(|c: char| !c.is_ascii_alphanumeric());
        let name = name[..end.unwrap_or(name.len())].to_ascii_lowercase();
        match closes {
            _ if name.is_empty() || light.contains(&name.as_str()) => {}
            true => open = open.saturating_sub(1),
            false => open += 1,
        }
        deepest = deepest.max(open);
    }
    deepest
}

/// Wide enough that no line is wrapped.
const LONG_LINE: usize = 1 << 20;

/// The hashtags of a text, without `#`, in order: `#tag[话题]#` as the app writes a linked tag, or
/// `#tag` up to the first character that no tag has.
pub fn hashtags(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
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
            // A mark behind the sign belongs to it: the keycap emoji is no hashtag.
            if after.starts_with(is_mark) {
                rest = after;
                continue;
            }
            let linked = after.find(|c: char| NUMBER_SIGNS.contains(&c) || ends_a_link(c));
            let linked = linked.filter(|end| *end > 0 && after[*end..].starts_with(LINKED));
            if let Some(end) = linked {
                let behind = &after[end + LINKED.len()..];
                rest = behind.strip_prefix(NUMBER_SIGNS).unwrap_or(behind);
                return Some(&after[..end]);
            }
            let end = after.find(|c| !is_of_tag(c)).unwrap_or(after.len());
            rest = &after[end..];
            if end > 0 {
                return Some(&after[..end]);
            }
        }
    })
}

const NUMBER_SIGNS: [char; 2] = ['#', '\u{FF03}'];
const LINKED: &str = "[话题]";

fn ends_a_link(c: char) -> bool {
    c.is_whitespace() || c == '[' || c == ']'
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

/// Letters, digits and marks of all scripts, and what stands in names of products.
fn is_of_tag(c: char) -> bool {
    static RARE: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"^[\p{L}\p{N}\p{M}·・]$").expect("a constant pattern"));
    match c {
        // What most tags are.
        c if is_han(c) => true,
        c if c.is_ascii() => c.is_ascii_alphanumeric() || "_&+-".contains(c),
        c => RARE.is_match(c.encode_utf8(&mut [0; 4])),
    }
}
