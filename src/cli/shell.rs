//! Commands that messages suggest, as a shell takes them.

use std::path::Path;

use super::environment::variable;

/// Returns the command that started redlake: `cargo run --` or `redlake`.
pub fn program() -> &'static str {
    match variable("CARGO") {
        Some(_) => "cargo run --",
        None => "redlake",
    }
}

/// Quotes a word for the shell if it needs quotes.
pub fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "_./=-".contains(c);
    if word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// Returns the flag `--lake` for a suggested command. Empty for the default lake.
pub fn lake_flag(lake: &Path) -> String {
    match lake.to_str() {
        Some("lake") | None => String::new(),
        Some(lake) => format!(" --lake {}", shell_word(lake)),
    }
}
