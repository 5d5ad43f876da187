//! The shape of `pipelines/<name>.yaml`: what to collect.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};

use super::words::{Filter, Span};
use super::yaml::Spanned;

/// A redlake pipeline: which searches to make, how often to ask, where the tables go.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pipeline {
    /// Version of this file format; 1.
    pub version: Spanned<u32>,
    /// Name of the pipeline: lower-case letters, digits, `_` and `-`.
    pub pipeline: Spanned<String>,
    /// Where the searches are made, unless an `extract` entry says otherwise.
    pub source: SourceRef,
    /// IANA time zone that decides the business date of a run. Default: Asia/Shanghai.
    #[serde(default = "default_timezone")]
    pub timezone: Spanned<String>,
    /// Keywords by the name of their set.
    #[serde(default)]
    pub keyword_sets: IndexMap<String, Spanned<KeywordSet>>,
    /// What to ask for.
    pub extract: Vec<Spanned<Extract>>,
    #[serde(default)]
    pub limits: Limits,
    /// Price of a call by endpoint, and `currency`.
    #[serde(default)]
    pub price: IndexMap<Spanned<String>, Spanned<String>>,
    #[serde(default)]
    pub contract: Contract,
    #[serde(default)]
    pub load: Load,
}

/// A source and the address it is reached at.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceRef {
    /// Name of a source contract, such as `justoneapi`.
    pub name: Spanned<String>,
    /// Name of one of the source's addresses, any http(s) URL, or `sandbox` for the built-in
    /// simulator. Default: the source's first address.
    pub base_url: Option<Spanned<String>>,
    /// Which spelling of filter values the source is sent, where its contract knows several.
    pub dialect: Option<Spanned<String>>,
    /// How the built-in simulator behaves.
    pub sandbox: Option<SandboxOptions>,
}

/// The world that `base_url: sandbox` simulates.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SandboxOptions {
    /// Equal seeds give equal worlds. Default: 1.
    #[serde(default = "default_seed")]
    pub seed: u64,
    /// The simulated time (RFC 3339) of the first run into a lake. Each further run takes place
    /// one hour after the last one.
    pub clock: Option<Spanned<String>>,
}

/// Keywords, here or in a file.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(untagged)]
pub enum KeywordSet {
    Words(Vec<Spanned<String>>),
    File(ListFile),
}

/// A text file with one entry a line; blank lines and lines that begin with `#` are skipped.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListFile {
    /// Path, relative to the pipeline file.
    pub file: Spanned<PathBuf>,
}

/// One endpoint and what to ask it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Extract {
    /// `note_search`, `user_search`, `note_detail` or another endpoint of the source.
    pub endpoint: Spanned<String>,
    /// Another source than the pipeline's.
    pub source: Option<SourceRef>,
    /// Names of keyword sets; each of their words is searched for.
    #[serde(default)]
    pub keywords: Vec<Spanned<String>>,
    /// Values by filter; every combination is a search of its own.
    #[serde(default)]
    pub filters: IndexMap<Filter, FilterValues>,
    /// How far to page.
    pub pages: Option<Pages>,
    /// The notes to ask for, where the endpoint takes a note id.
    pub notes: Option<Spanned<Notes>>,
}

/// One value or a list of them.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(untagged)]
pub enum FilterValues {
    One(Spanned<String>),
    Many(Vec<Spanned<String>>),
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pages {
    /// The most pages that one search asks for. An empty page ends it sooner.
    pub max: Spanned<u32>,
}

/// Which notes to ask for: exactly one of `found_by`, `ids` and `file`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Notes {
    /// Notes that this run's searches at this endpoint found.
    pub found_by: Option<Spanned<String>>,
    /// How many of them, the first by `by`.
    pub top: Option<Spanned<u32>>,
    /// The count of `engagement` that ranks them, largest first.
    pub by: Option<Spanned<String>>,
    /// Note ids.
    pub ids: Option<Vec<Spanned<String>>>,
    /// File with a note id a line, relative to the pipeline file.
    pub file: Option<Spanned<PathBuf>>,
}

/// How hard a source may be asked.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Calls a second to one source. Default: 2.
    pub requests_per_second: Spanned<u32>,
    /// Calls under way at once. Default: 4.
    pub concurrency: Spanned<u32>,
    /// How often a page is asked for again when the provider says it may work. Default: 4.
    pub retries: u32,
    /// Longest wait before the first retry; it doubles with each one. Default: 1s.
    #[schemars(with = "String")]
    pub retry_delay: Span,
}

/// What to do when answers differ from the source contract.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Contract {
    pub on_unknown_field: OnUnknownField,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnUnknownField {
    /// Count it in the table `drift`.
    Ignore,
    /// Count it and say so at the end of the run.
    #[default]
    Warn,
}

/// Where and how tables are written.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Load {
    /// Folder of the lake, relative to the working directory. Default: lake.
    pub lake: PathBuf,
    /// `zstd(1)` to `zstd(22)`, `snappy` or `uncompressed`. Default: zstd(3).
    pub compression: Spanned<String>,
}

fn default_timezone() -> Spanned<String> {
    Spanned::unplaced("Asia/Shanghai".to_owned())
}

fn default_seed() -> u64 {
    1
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            requests_per_second: Spanned::unplaced(2),
            concurrency: Spanned::unplaced(4),
            retries: 4,
            retry_delay: Span::Exact(Duration::from_secs(1)),
        }
    }
}

impl Default for Load {
    fn default() -> Self {
        Load {
            lake: "lake".into(),
            compression: Spanned::unplaced("zstd(3)".to_owned()),
        }
    }
}

impl FilterValues {
    pub fn as_slice(&self) -> &[Spanned<String>] {
        match self {
            FilterValues::One(value) => std::slice::from_ref(value),
            FilterValues::Many(values) => values,
        }
    }
}

impl<'de> Deserialize<'de> for KeywordSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeywordSetVisitor;
        impl<'de> Visitor<'de> for KeywordSetVisitor {
            type Value = KeywordSet;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a list of keywords or {file: path}")
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, seq: A) -> Result<KeywordSet, A::Error> {
                let words = de::value::SeqAccessDeserializer::new(seq);
                Deserialize::deserialize(words).map(KeywordSet::Words)
            }
            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<KeywordSet, A::Error> {
                let file = de::value::MapAccessDeserializer::new(map);
                Deserialize::deserialize(file).map(KeywordSet::File)
            }
        }
        deserializer.deserialize_any(KeywordSetVisitor)
    }
}

impl<'de> Deserialize<'de> for FilterValues {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        enum Values {
            One(String),
            Many(Vec<Spanned<String>>),
        }
        struct ValuesVisitor;
        impl<'de> Visitor<'de> for ValuesVisitor {
            type Value = Values;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a filter value or a list of them")
            }
            fn visit_str<E>(self, value: &str) -> Result<Values, E> {
                Ok(Values::One(value.to_owned()))
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, seq: A) -> Result<Values, A::Error> {
                let values = de::value::SeqAccessDeserializer::new(seq);
                Deserialize::deserialize(values).map(Values::Many)
            }
        }
        impl<'de> Deserialize<'de> for Values {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(ValuesVisitor)
            }
        }
        let values = Spanned::<Values>::deserialize(deserializer)?;
        Ok(match values.replace(()) {
            (place, Values::One(value)) => FilterValues::One(place.replace(value).0),
            (_, Values::Many(values)) => FilterValues::Many(values),
        })
    }
}
