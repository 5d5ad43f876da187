//! The shape of `pipelines/<name>.yaml`: what to collect.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};

use super::checks::Check;
use super::privacy::{PrivacyOptions, Raw};
use super::words::{Filter, TimeSpan};
use crate::spec::yaml::document::{Spanned, written};

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
    /// How hard the sources may be asked, and how much a run and a day may cost.
    #[serde(default)]
    pub limits: LimitOptions,
    /// For how long a run that was cut short is continued by the next one, under its own id and
    /// snapshot time. An older one is closed as it is, and a new run begins. Default: 6h.
    #[serde(default = "default_resume_within")]
    #[schemars(with = "String")]
    pub resume_within: TimeSpan,
    /// Price of a call by endpoint, and `currency`.
    #[serde(default)]
    #[schemars(with = "IndexMap<String, NumberOrText>")]
    pub price: IndexMap<Spanned<String>, Spanned<String>>,
    #[serde(default)]
    pub contract: ContractOptions,
    #[serde(default)]
    pub privacy: PrivacyOptions,
    /// How long the stored answers of a run are kept.
    pub raw: Option<Spanned<Raw>>,
    /// What the tables of a run must hold to be committed.
    #[serde(default)]
    pub checks: Vec<Spanned<Check>>,
    #[serde(default)]
    pub load: Load,
}

/// For the JSON Schema: an amount, or the currency.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "only its schema is used")]
enum NumberOrText {
    Number(f64),
    Text(String),
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
    /// The fields that answers are to have, where the endpoint takes them: such as `[title,
    /// content]`. What is not asked for is null. Without this, answers have all fields.
    pub fields: Option<Spanned<Vec<Spanned<String>>>>,
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
    /// The most pages that one search asks for.
    pub max: Spanned<u32>,
    /// What ends a search sooner.
    #[serde(default)]
    pub stop_when: StopWhen,
}

/// What ends a search before its last page. Whichever rule holds first ends it; a page that
/// repeats the one before it, and a second page in a row without anything new, always do. What was
/// found by a search that failed or was cut short is not known to later runs.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StopWhen {
    /// A page without items. Default: true.
    pub empty: bool,
    /// A page with fewer items than this.
    pub short_page: Option<Spanned<u32>>,
    /// A page of which this share of the notes (or users), above 0 and up to 1, was found by
    /// searches at this endpoint in earlier runs.
    pub known_share: Option<Spanned<f64>>,
    /// How long ago an earlier run may have found them. Default: 7d.
    #[schemars(with = "Option<String>")]
    pub known_within: Option<Spanned<TimeSpan>>,
    /// A page of which nine in ten notes were published longer ago than this. Only for searches
    /// with `sort: newest`; in another order old notes say nothing about the next page.
    #[schemars(with = "Option<String>")]
    pub older_than: Option<Spanned<TimeSpan>>,
}

/// Which notes to ask for: exactly one of `found_by`, `ids` and `file`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Notes {
    /// Notes that searches at this endpoint found: in this run, and with `seen_within` also in
    /// earlier ones.
    pub found_by: Option<Spanned<String>>,
    /// How many of them, the first by `by`.
    pub top: Option<Spanned<u32>>,
    /// Take notes from the lake, too, that were found no longer ago than this. Those that are
    /// gone are left out, unless they were found again since.
    #[schemars(with = "Option<String>")]
    pub seen_within: Option<Spanned<TimeSpan>>,
    /// Leave out notes that this endpoint has answered for in this time.
    #[schemars(with = "Option<String>")]
    pub not_refreshed_for: Option<Spanned<TimeSpan>>,
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
pub struct LimitOptions {
    /// Calls a second to one source; may be a fraction. Default: 2.
    pub requests_per_second: Spanned<f64>,
    /// Calls that may follow each other at once after a pause. Default: one for every 20
    /// `requests_per_second`, at least 1.
    pub burst: Option<Spanned<u32>>,
    /// Calls to one source under way at once. Default: 4.
    pub concurrency: Spanned<u32>,
    /// How often a page is asked for again when the provider says it may work. Default: 4.
    pub retries: u32,
    /// Longest wait before the first retry; it doubles with each one. Default: 1s.
    #[schemars(with = "String")]
    pub retry_delay: TimeSpan,
    /// The largest answer that is read, in MiB after decompression. Default: 32.
    pub max_answer_mib: Spanned<u32>,
    /// The most calls of one run, retries included. A run that reaches a budget commits what it
    /// has and ends with exit code 5; the next run continues it.
    pub requests_per_run: Option<Spanned<u64>>,
    /// The most calls of a day (in the pipeline's time zone), over all runs in the lake.
    pub requests_per_day: Option<Spanned<u64>>,
    /// The most money that one run may cost, in the currency of the price. A call counts when it
    /// is sent; one whose billing is unknown counts as billed.
    #[schemars(with = "Option<f64>")]
    pub cost_per_run: Option<Spanned<String>>,
    /// The most money that a day may cost, over all runs in the lake.
    #[schemars(with = "Option<f64>")]
    pub cost_per_day: Option<Spanned<String>>,
}

/// What to do when answers differ from the source contract.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ContractOptions {
    /// What follows a field that the source contract does not know.
    pub on_unknown_field: OnUnknownField,
    /// What follows a value that does not fit its column.
    #[schemars(with = "Option<OnBadValue>")]
    pub on_bad_value: OnBadValue,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnBadValue {
    /// Its row goes to the table `rejects`, with the reason.
    #[default]
    Reject,
    /// The value is null, and counted in the table `drift`. A required column rejects the row.
    Null,
    /// No table of the run is committed. Its pages and its ledger are kept.
    Fail,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnUnknownField {
    /// Count it in the table `drift`.
    Ignore,
    /// Count it and say so at the end of the run.
    #[default]
    Warn,
    /// No table of the run is committed. Its pages and its ledger are kept.
    Fail,
}

/// Where and how tables are written.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Load {
    /// Folder of the lake, relative to the working directory. Default: lake.
    pub lake: PathBuf,
    /// `zstd(1)` to `zstd(22)`, `snappy` or `uncompressed`. Default: zstd(3).
    pub compression: Spanned<String>,
    /// Whether marts are brought up to date after each commit. Default: true. They cover all
    /// pipelines of the lake: others, and `redlake marts`, still do so.
    pub marts: bool,
    /// Whether answers, journals and staged files may also be read by the group of the lake's owner: folders
    /// are made with mode 0750 and files with 0640, instead of 0700 and 0600. Folders that exist keep their
    /// modes. Default: false.
    pub group: bool,
}

fn default_timezone() -> Spanned<String> {
    Spanned::unplaced("Asia/Shanghai".to_owned())
}

fn default_seed() -> u64 {
    1
}

fn default_resume_within() -> TimeSpan {
    TimeSpan::Exact(Duration::from_secs(6 * 3_600))
}

impl Default for StopWhen {
    fn default() -> Self {
        StopWhen {
            empty: true,
            short_page: None,
            known_share: None,
            known_within: None,
            older_than: None,
        }
    }
}

impl Default for LimitOptions {
    fn default() -> Self {
        LimitOptions {
            requests_per_second: Spanned::unplaced(2.0),
            burst: None,
            concurrency: Spanned::unplaced(4),
            retries: 4,
            retry_delay: TimeSpan::Exact(Duration::from_secs(1)),
            max_answer_mib: Spanned::unplaced(32),
            requests_per_run: None,
            requests_per_day: None,
            cost_per_run: None,
            cost_per_day: None,
        }
    }
}

impl Default for Load {
    fn default() -> Self {
        Load {
            lake: "lake".into(),
            compression: Spanned::unplaced("zstd(3)".to_owned()),
            marts: true,
            group: false,
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
        written(deserializer, KeywordSetVisitor)
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
                written(deserializer, ValuesVisitor)
            }
        }
        let values = Spanned::<Values>::deserialize(deserializer)?;
        Ok(match values.replace(()) {
            (place, Values::One(value)) => FilterValues::One(place.replace(value).0),
            (_, Values::Many(values)) => FilterValues::Many(values),
        })
    }
}
