//! Ids in the format of the provider: 24 hex digits, which encode all properties of their subject.

use std::fmt;

/// `{seconds:08x}00000000{topic:02x}{salt:04x}{last:02x}`: creation time, stream, and one byte that
/// tells real ids from invented ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Id {
    pub seconds: u32,
    pub topic: u8,
    pub salt: u16,
    pub last: u8,
}

const MIDDLE: &str = "00000000";

impl Id {
    /// Parses an id; `None` if the text has another format.
    pub fn parse(text: &str) -> Option<Self> {
        let is_digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() != 24 || !text.bytes().all(is_digit) || &text[8..16] != MIDDLE {
            return None;
        }
        Some(Id {
            seconds: u32::from_str_radix(&text[..8], 16).ok()?,
            topic: u8::from_str_radix(&text[16..18], 16).ok()?,
            salt: u16::from_str_radix(&text[18..22], 16).ok()?,
            last: u8::from_str_radix(&text[22..], 16).ok()?,
        })
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Id {
            seconds,
            topic,
            salt,
            last,
        } = self;
        write!(f, "{seconds:08x}{MIDDLE}{topic:02x}{salt:04x}{last:02x}")
    }
}
