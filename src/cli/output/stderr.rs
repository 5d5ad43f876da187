//! Messages on stderr.

use std::fmt::Display;
use std::io::{self, Write};

use crate::spec::yaml::escape::escaped;

/// Writes a line to stderr, escaped. Write errors are ignored.
pub fn note(text: impl Display) {
    note_as_is(escaped(&text.to_string()));
}

/// Writes a line to stderr that is already escaped and may have colours. Write errors are ignored.
pub fn note_as_is(text: impl Display) {
    let _ = writeln!(io::stderr(), "{text}");
}
