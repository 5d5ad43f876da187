//! Decodes the body of an answer from bytes to text.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8};

/// The text of a body.
#[derive(Clone, Debug, PartialEq)]
pub struct BodyText<'a> {
    pub text: Cow<'a, str>,
    /// True if undecodable bytes were replaced by U+FFFD.
    pub is_replaced: bool,
}

/// Decodes a body. Valid UTF-8 is taken as it is. Other bytes are read in the charset that
/// `content_type` declares (`text/html; charset=gbk`), or else as UTF-8 with replacements. A byte
/// order mark takes precedence over both and is removed.
pub fn decode<'a>(bytes: &'a [u8], content_type: Option<&str>) -> BodyText<'a> {
    if let Ok(text) = simdutf8::basic::from_utf8(bytes) {
        return BodyText {
            text: Cow::Borrowed(text.strip_prefix('\u{feff}').unwrap_or(text)),
            is_replaced: false,
        };
    }
    let declared = content_type.and_then(declared_charset).unwrap_or(UTF_8);
    let (text, _, is_replaced) = declared.decode(bytes);
    BodyText { text, is_replaced }
}

/// Returns the charset that a `Content-Type` names, if it is one of the WHATWG encodings.
fn declared_charset(content_type: &str) -> Option<&'static Encoding> {
    let parameters = content_type.split(';').skip(1);
    let mut pairs = parameters.filter_map(|parameter| parameter.split_once('='));
    let (_, label) = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"))?;
    Encoding::for_label(label.trim().trim_matches(['"', '\'']).as_bytes())
}
