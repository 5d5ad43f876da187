//! Secrets in a pipeline file: they are never printed, in diagnostics neither.

use std::fmt;
use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;
use secrecy::{ExposeSecret, SecretString};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};

use crate::spec::yaml::diagnostic::{Diagnostic, SourceFile};
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

/// Keys below `notify` that hold no secret. All other texts there are hidden in diagnostics: a secret may
/// stand below a misspelt key.
const OPEN_KEYS: [&str; 5] = ["name", "format", "on", "when", "timeout"];

/// Returns true if a value is only a reference to an environment variable, such as
/// `"${REDLAKE_SALT}"`.
pub fn is_variable(text: &str) -> bool {
    static VARIABLE: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r#"^["']?\$\{[A-Za-z_][A-Za-z0-9_]*\}["']?$"#).expect("a constant pattern")
    });
    VARIABLE.is_match(text)
}

/// Returns the file with written secrets replaced by asterisks, for diagnostics. Every byte of a
/// secret gives one asterisk, so that all other places stay valid. A reference to a variable is kept.
///
/// Without a tree, the secrets are found by a pattern.
pub fn without_secrets(file: SourceFile, tree: Option<&Node>) -> (SourceFile, HiddenTexts) {
    static WRITTEN: LazyLock<Regex> = LazyLock::new(|| {
        let pattern =
            r"\b(?:salt|webhook|secret)\s*[:：]\s*(?<secret>[^\n]+)|(?<address>https?://[^\n]+)";
        Regex::new(pattern).expect("a constant pattern")
    });
    let mut spans = Vec::new();
    match tree {
        Some(tree) => {
            for (key, value) in entries(tree) {
                match key.text() {
                    Some("privacy") => {
                        let salts = entries(value).filter(|(key, _)| key.text() == Some("salt"));
                        spans.extend(salts.map(|(_, salt)| salt.span.clone()));
                    }
                    Some("notify") => {
                        collect_texts(value, &mut spans);
                        // The tree has only one value of a key that is written twice.
                        let written = &file.text()[value.span.clone()];
                        let start = value.span.start;
                        let found = ADDRESS.find_iter(written);
                        spans.extend(found.map(|at| start + at.start()..start + at.end()));
                    }
                    _ => {}
                }
            }
        }
        None => {
            let found = WRITTEN.captures_iter(file.text());
            spans.extend(found.filter_map(|found| {
                let secret = found.name("secret").or(found.name("address"));
                Some(secret?.range())
            }));
        }
    }
    let mut text = file.text().to_owned();
    let mut texts = HiddenTexts::default();
    for span in spans {
        let written = &file.text()[span.clone()];
        if !is_variable(written) {
            let bare = written.trim_matches(['"', '\'']);
            texts.0.push(SecretString::from(bare));
            let hide = |byte| if byte == b'\n' { '\n' } else { '*' };
            let hidden: String = written.bytes().map(hide).collect();
            text.replace_range(span, &hidden);
        }
    }
    (SourceFile::new(file.path(), text), texts)
}

/// Secrets that are written in a file.
#[derive(Default)]
pub struct HiddenTexts(Vec<SecretString>);

/// Length from which a secret is no word of a message.
const NO_WORD: usize = 8;

impl HiddenTexts {
    /// Replaces the secrets in messages.
    pub fn hide(&self, found: &mut [Diagnostic]) {
        let secrets = self.0.iter().map(ExposeSecret::expose_secret);
        for secret in secrets.filter(|secret| secret.len() >= NO_WORD) {
            for diagnostic in &mut *found {
                diagnostic.message = diagnostic.message.replace(secret, "***");
            }
        }
    }
}

static ADDRESS: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r#"https?://[^\s"',}\]]+"#).expect("a constant pattern"));

/// Returns the entries of a mapping. None of another node.
fn entries(node: &Node) -> impl Iterator<Item = &(Node, Node)> {
    let entries: &[(Node, Node)] = match &node.kind {
        NodeKind::Map(entries) => entries,
        NodeKind::Seq(_) | NodeKind::Plain(_) | NodeKind::Quoted(_) => &[],
    };
    entries.iter()
}

/// Adds the places of all texts below a node, except those of [`OPEN_KEYS`].
fn collect_texts(node: &Node, spans: &mut Vec<Range<usize>>) {
    match &node.kind {
        NodeKind::Plain(_) | NodeKind::Quoted(_) => spans.push(node.span.clone()),
        NodeKind::Seq(items) => items.iter().for_each(|item| collect_texts(item, spans)),
        NodeKind::Map(entries) => {
            for (key, value) in entries {
                let name = key.text().unwrap_or_default();
                if name.contains("://") {
                    spans.push(key.span.clone());
                }
                if !OPEN_KEYS.contains(&name) {
                    collect_texts(value, spans);
                }
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
