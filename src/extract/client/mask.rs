//! Hides the token in texts from answers.

use std::borrow::Cow;
use std::fmt;

use regex::bytes::{Regex, RegexBuilder};

use super::error::ClientError;

/// Hides secrets that an answer repeats, because answers are stored and errors quote them.
#[derive(Clone)]
pub struct Mask(Vec<Hidden>);

/// A secret: the token, the signing secret, or a signature.
#[derive(Clone)]
struct Hidden {
    /// Matches the secret in every spelling that a URL or a JSON writer produces.
    spellings: Regex,
    /// True if the secret is too long to be an ordinary word. A shorter one, such as the token of
    /// the sandbox, is not hidden in bodies, which are stored as received.
    is_long: bool,
}

/// Minimum length, in bytes, of a secret that cannot be an ordinary word.
pub(super) const LONG_SECRET: usize = 12;

impl Mask {
    pub(in crate::extract) fn new(token: &str) -> Result<Self, ClientError> {
        Mask(Vec::new()).and(token)
    }

    /// Adds a secret to hide.
    pub(super) fn and(mut self, secret: &str) -> Result<Self, ClientError> {
        let pattern: String = secret.chars().map(spellings).collect();
        let spellings = RegexBuilder::new(&pattern).case_insensitive(true).build();
        // The error of the pattern is dropped because it would show the secret.
        let too_long = |_| ClientError::Setup("the token or the secret is too long".into());
        self.0.push(Hidden {
            spellings: spellings.map_err(too_long)?,
            is_long: secret.len() >= LONG_SECRET,
        });
        Ok(self)
    }

    /// Hides the secrets in a body, except those short enough to be ordinary words.
    pub(in crate::extract) fn body(&self, body: &mut Vec<u8>) {
        for hidden in self.0.iter().filter(|hidden| hidden.is_long) {
            if let Cow::Owned(masked) = hidden.spellings.replace_all(body, &b"***"[..]) {
                *body = masked;
            }
        }
    }

    /// Hides the secrets in a text that was read from an answer.
    pub fn text(&self, text: &str) -> String {
        let mut masked = text.as_bytes().to_vec();
        for hidden in &self.0 {
            if let Cow::Owned(hidden) = hidden.spellings.replace_all(&masked, &b"***"[..]) {
                masked = hidden;
            }
        }
        String::from_utf8_lossy(&masked).into_owned()
    }
}

/// Shows no secret.
impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("Mask(..)")
    }
}

/// Returns a pattern for all ways to write a character: literal, percent-encoded any number of
/// times, escaped in JSON or in JSON inside a string, or as an HTML entity.
fn spellings(c: char) -> String {
    let plain = regex::escape(&c.to_string());
    let mut bytes = [0; 4];
    let percent: String = c
        .encode_utf8(&mut bytes)
        .bytes()
        .map(|byte| format!("%(?:25)*{byte:02X}"))
        .collect();
    let escape: String = c
        .encode_utf16(&mut [0; 2])
        .iter()
        .map(|unit| format!(r"\\+u{unit:04X}"))
        .collect();
    let code = u32::from(c);
    let entity = format!("&#(?:0*{code}|x0*{code:X});");
    let more = match c {
        '/' => r"|\\+/",
        ' ' => r"|\+",
        _ => "",
    };
    format!("(?:{plain}|{percent}|{escape}|{entity}{more})")
}
