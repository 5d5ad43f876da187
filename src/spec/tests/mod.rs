//! What is read from YAML, and what is said of what cannot be read.

mod contracts;
mod env;
mod marts;
mod words;
mod yaml;

use crate::spec::yaml::diagnostic::{Diagnostic, SourceFile};

fn file(text: &str) -> SourceFile {
    SourceFile::new("test.yaml", text)
}

/// Each diagnostic as `line:column message [hint]`.
fn told(found: &[Diagnostic]) -> Vec<String> {
    let told = |diagnostic: &Diagnostic| {
        let (line, column) = diagnostic.position().unwrap_or_default();
        let hint = diagnostic.hint.as_ref();
        let hint = hint.map_or(String::new(), |hint| format!(" [{hint}]"));
        format!("{line}:{column} {}{hint}", diagnostic.message)
    };
    found.iter().map(told).collect()
}
