//! Options of a pipeline for personal data and for the retention of stored answers.

use std::fmt;
use std::sync::LazyLock;

use regex::Regex;
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

use super::words::TimeSpan;
use crate::spec::yaml::diagnostic::SourceFile;
use crate::spec::yaml::document::{Spanned, written};
use crate::spec::yaml::node::Node;

/// Treatment of personal data before tables are written. The stored answers keep it: see `raw`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PrivacyOptions {
    /// Text columns, as `table.column`, whose values are replaced by pseudonyms. Equal texts give
    /// equal pseudonyms in every table and run, as long as the salt is the same.
    pub hash: Vec<Spanned<String>>,
    /// Columns, as `table.column`, whose values are replaced by null.
    pub drop: Vec<Spanned<String>>,
    /// True if mainland mobile numbers in free text are replaced by `[phone]`. Default: false.
    pub scrub_phone_numbers: bool,
    /// Secret salt of at least 16 characters, from the environment: `"${REDLAKE_SALT}"`. Required
    /// to hash. It must be hard to guess. Another salt gives other pseudonyms.
    #[schemars(with = "Option<String>")]
    pub salt: Option<Spanned<Secret>>,
}

/// `none`: the stored answers of a run are removed once its tables are committed and the run has
/// nothing left to do. `{keep: 30d}`: they are removed when they are older than this. Without this
/// key, they are kept forever.
#[derive(Clone, Copy, Debug, JsonSchema)]
#[schemars(untagged)]
pub enum Raw {
    Keep(KeepRaw),
    Word(RawWord),
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeepRaw {
    /// Retention time, from the run's first commit.
    #[schemars(with = "String")]
    pub keep: TimeSpan,
}

#[derive(Clone, Copy, Debug, JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub enum RawWord {
    None,
}

/// A text that is never printed.
#[derive(Clone, Debug)]
pub struct Secret(pub SecretString);

/// Returns true if a value is only a reference to an environment variable, such as
/// `"${REDLAKE_SALT}"`.
pub fn is_variable(text: &str) -> bool {
    let text = text.trim_matches(['"', '\'']);
    text.starts_with("${") && text.ends_with('}')
}

/// Returns the file with a written salt replaced by asterisks, for diagnostics. Every byte of the
/// salt gives one asterisk, so that all other places stay valid. A reference to a variable is kept.
///
/// Without a tree, the salt is found by a pattern.
pub fn without_salt(file: SourceFile, tree: Option<&Node>) -> SourceFile {
    static SALT: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"\bsalt\s*[:：]\s*(?<salt>[^\n]+)").expect("a constant pattern")
    });
    let salt = match tree {
        Some(tree) => tree
            .entry("privacy")
            .and_then(|privacy| privacy.entry("salt"))
            .map(|salt| salt.span.clone()),
        None => SALT
            .captures(file.text())
            .and_then(|found| Some(found.name("salt")?.range())),
    };
    let Some(span) = salt else {
        return file;
    };
    let text = file.text();
    if is_variable(&text[span.clone()]) {
        return file;
    }
    let hide = |byte| if byte == b'\n' { '\n' } else { '*' };
    let hidden: String = text[span.clone()].bytes().map(hide).collect();
    let text = format!("{}{hidden}{}", &text[..span.start], &text[span.end..]);
    SourceFile::new(file.path(), text)
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
            fn visit_str<E>(self, text: &str) -> Result<Secret, E> {
                Ok(Secret(text.into()))
            }
        }
        deserializer.deserialize_str(SecretVisitor)
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RawVisitor;
        impl<'de> Visitor<'de> for RawVisitor {
            type Value = Raw;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("`none` or {keep: 30d}")
            }
            fn visit_str<E: de::Error>(self, word: &str) -> Result<Raw, E> {
                match word {
                    "none" => Ok(Raw::Word(RawWord::None)),
                    other => Err(E::invalid_value(Unexpected::Str(other), &self)),
                }
            }
            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Raw, A::Error> {
                KeepRaw::deserialize(MapAccessDeserializer::new(map)).map(Raw::Keep)
            }
        }
        written(deserializer, RawVisitor)
    }
}
