//! Messages on stderr.

use crate::spec::yaml::escape::escaped;
use std::fmt::Display;
use std::io;
use std::io::Write;

/// Says something on stderr, escaped; nobody may be listening.
pub fn note(text: impl Display) {
    note_as_is(escaped(&text.to_string()));
}

/// Says something on stderr that is escaped already, and may have colours.
pub fn note_as_is(text: impl Display) {
    let _ = writeln!(io::stderr(), "{text}");
}
