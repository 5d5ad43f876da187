//! Options of a pipeline for personal data and for the retention of stored answers.

use std::fmt;

use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

use super::words::TimeSpan;
use crate::spec::yaml::document::{Spanned, written};
use crate::spec::yaml::secret::Secret;

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
