//! Secrets in a pipeline file: they are never printed, in diagnostics neither.

use std::fmt;
use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;
use secrecy::SecretString;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};

use crate::spec::yaml::diagnostic::SourceFile;
use crate::spec::yaml::node::{Node, NodeKind};

/// A text that is never printed.
#[derive(Clone, Debug)]
pub struct Secret(pub SecretString);

/// The places of secrets in a pipeline, as keys from the outermost. A list is passed through.
pub const SECRETS: [&[&str]; 3] = [
    &["privacy", "salt"],
    &["notify", "webhook"],
    &["notify", "secret"],
];

/// Returns true if a value is only a reference to an environment variable, such as
/// `"${REDLAKE_SALT}"`.
pub fn is_variable(text: &str) -> bool {
    let text = text.trim_matches(['"', '\'']);
    text.starts_with("${") && text.ends_with('}')
}

/// Returns the file with written secrets replaced by asterisks, for diagnostics. Every byte of a
/// secret gives one asterisk, so that all other places stay valid. A reference to a variable is kept.
///
/// Without a tree, the secrets are found by a pattern.
pub fn without_secrets(file: SourceFile, tree: Option<&Node>) -> SourceFile {
    static WRITTEN: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"\b(?:salt|webhook|secret)\s*[:：]\s*(?<secret>[^\n]+)")
            .expect("a constant pattern")
    });
    let mut spans = Vec::new();
    match tree {
        Some(tree) => SECRETS
            .iter()
            .for_each(|keys| collect_spans(tree, keys, &mut spans)),
        None => {
            let found = WRITTEN.captures_iter(file.text());
            spans.extend(found.filter_map(|found| Some(found.name("secret")?.range())));
        }
    }
    let mut text = file.text().to_owned();
    for span in spans {
        if !is_variable(&text[span.clone()]) {
            let hide = |byte| if byte == b'\n' { '\n' } else { '*' };
            let hidden: String = text[span.clone()].bytes().map(hide).collect();
            text.replace_range(span, &hidden);
        }
    }
    SourceFile::new(file.path(), text)
}

/// Adds the places of the values that these keys lead to.
fn collect_spans(node: &Node, keys: &[&str], spans: &mut Vec<Range<usize>>) {
    if let NodeKind::Seq(items) = &node.kind {
        for item in items {
            collect_spans(item, keys, spans);
        }
        return;
    }
    match keys {
        [] => spans.push(node.span.clone()),
        [key, rest @ ..] => {
            if let Some(value) = node.entry(key) {
                collect_spans(value, rest, spans);
            }
        }
    }
}

/// Returns the file with user names and passwords in addresses replaced by asterisks, in the same
/// way.
pub fn without_user_info(file: SourceFile) -> SourceFile {
    static USER_INFO: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r#"://(?<user>[^/?\#\s"']*)@"#).expect("a constant pattern"));
    let mut text = file.text().to_owned();
    for found in USER_INFO.captures_iter(file.text()) {
        let user = found.name("user").map_or(0..0, |user| user.range());
        let stars = "*".repeat(user.len());
        text.replace_range(user, &stars);
    }
    SourceFile::new(file.path(), text)
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SecretVisitor;
        impl Visitor<'_> for SecretVisitor {
            type Value = Secret;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("text")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Secret, E> {
                Ok(Secret(text.into()))
            }
        }
        deserializer.deserialize_str(SecretVisitor)
    }
}
