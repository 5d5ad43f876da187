//! Types of `pipelines/<name>.yaml`, which declares the data to collect.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::checks::Check;
use super::notify::NotifyOptions;
use super::privacy::{PrivacyOptions, Raw};
use super::source::sandbox::SandboxOptions;
use super::words::{Filter, Language, TimeSpan};
use crate::spec::yaml::document::{Spanned, written};

/// A redlake pipeline: its searches, its limits and its tables.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pipeline {
    /// Version of this file format; 1.
    pub version: Spanned<u32>,
    /// Name of the pipeline: lower-case letters, digits, `_` and `-`.
    pub pipeline: Spanned<String>,
    /// Source of the searches, unless an `extract` entry names another.
    pub source: SourceRef,
    /// IANA time zone that decides the business date of a run. Default: Asia/Shanghai.
    #[serde(default = "default_timezone")]
    pub timezone: Spanned<String>,
    /// Keywords by the name of their set.
    #[serde(default)]
    pub keyword_sets: IndexMap<String, Spanned<KeywordSet>>,
    /// Keywords by a label of yours, such as `own` and `rival`. Queries find it in `dim_keyword`. A
    /// keyword has one label at most.
    #[serde(default)]
    #[schemars(with = "IndexMap<String, Vec<String>>")]
    pub keyword_labels: IndexMap<Spanned<String>, Vec<Spanned<String>>>,
    /// Endpoints to call, each with its searches.
    pub extract: Vec<Spanned<Extract>>,
    /// Rate limits of the sources, and budgets of a run and a day.
    #[serde(default)]
    pub limits: LimitOptions,
    /// Times at which the pipeline is to run. `run --snapshot-at scheduled` takes the newest one.
    pub schedule: Option<ScheduleOptions>,
    /// Maximum age of an interrupted run that the next run continues, under the same id and
    /// snapshot time. An older run is closed as it is, and a new run begins. Default: 6h.
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
    /// Retention of the stored answers of a run.
    pub raw: Option<Spanned<Raw>>,
    /// Checks that the tables of a run must pass to be committed.
    #[serde(default)]
    pub checks: Vec<Spanned<Check>>,
    /// Messages about runs and findings, sent to webhooks. They never change the result of a run.
    #[serde(default)]
    pub notify: Vec<Spanned<NotifyOptions>>,
    /// Report of the lake that is written after each run.
    pub report: Option<ReportOptions>,
    #[serde(default)]
    pub load: Load,
    /// Folder of source and table contracts that replace the built-in ones, relative to this file. `redlake
    /// schema export` writes such a folder.
    pub schemas: Option<Spanned<PathBuf>>,
}

/// The schedule of a pipeline. redlake starts nothing by itself.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScheduleOptions {
    /// Cron expression with five fields, in the pipeline's time zone, such as `0 * * * *`.
    pub cron: Spanned<String>,
}

/// The report that a run writes at its end. It covers this pipeline.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReportOptions {
    /// HTML file, relative to this file. `{date}` stands for the business date of the run, and
    /// `{pipeline}` for the name of the pipeline. Folders are created.
    pub file: Spanned<String>,
    /// `zh` or `en`. Default: `zh` if the time zone is in China.
    pub lang: Option<Language>,
}

/// An amount or the currency, for the JSON Schema.
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
    /// Spelling of filter values that is sent to the source, if its contract has several.
    pub dialect: Option<Spanned<String>>,
    /// Options of the built-in simulator.
    pub sandbox: Option<SandboxOptions>,
}

/// Keywords, here or in a file.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(untagged)]
pub enum KeywordSet {
    Words(Vec<Spanned<String>>),
    File(ListFile),
}

/// A text file with one entry per line. Blank lines and lines that begin with `#` are skipped.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListFile {
    /// Path, relative to the pipeline file.
    pub file: Spanned<PathBuf>,
}

/// An endpoint and the searches to make there.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Extract {
    /// `note_search`, `user_search`, `note_detail` or another endpoint of the source.
    pub endpoint: Spanned<String>,
    /// Another source than the pipeline's.
    pub source: Option<SourceRef>,
    /// Names of keyword sets. Each of their keywords is searched for.
    #[serde(default)]
    pub keywords: Vec<Spanned<String>>,
    /// Values by filter. Every combination is a search of its own.
    #[serde(default)]
    pub filters: IndexMap<Filter, FilterValues>,
    /// Fields to request, such as `[title, content]`, if the endpoint takes fields. Other fields
    /// are null. Without this key, answers have all fields.
    pub fields: Option<Spanned<Vec<Spanned<String>>>>,
    /// Paging of the searches.
    pub pages: Option<Pages>,
    /// Notes to request, if the endpoint takes a note id.
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
    /// Maximum number of pages of a search.
    pub max: Spanned<u32>,
    /// Rules that end a search earlier.
    #[serde(default)]
    pub stop_when: StopWhen,
}

/// Rules that end a search before its last page. The first rule that holds ends it. A page that
/// repeats the previous one, and a second page in a row without a new item, always end it. Items of
/// a search that failed or was interrupted are not known to later runs.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StopWhen {
    /// A page without items. Default: true.
    pub empty: bool,
    /// A page with fewer items than this.
    pub short_page: Option<Spanned<u32>>,
    /// A page with at least this share of known notes (or users), above 0 and up to 1. Known items
    /// were found by searches at this endpoint in earlier runs.
    pub known_share: Option<Spanned<f64>>,
    /// Maximum age of the earlier runs that `known_share` considers. Default: 7d.
    #[schemars(with = "Option<String>")]
    pub known_within: Option<Spanned<TimeSpan>>,
    /// Lets a search look deeper than `known_share` now and then, for notes that the provider showed
    /// late. Without it, `known_share` holds on every page.
    pub recheck: Option<Spanned<RecheckOptions>>,
    /// A page on which 9 of 10 notes were published longer ago than this. Only for searches with
    /// `sort: newest`: in another order, old notes say nothing about the next page.
    #[schemars(with = "Option<String>")]
    pub older_than: Option<Spanned<TimeSpan>>,
}

/// Deep looks of a search with `known_share`. On a deep look the rule holds from page `pages` on only.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecheckOptions {
    /// Minimum time between two deep looks of a search, by the snapshot times of the runs.
    #[schemars(with = "String")]
    pub every: Spanned<TimeSpan>,
    /// Number of pages that a deep look requests at least, unless another rule ends it. From 2 to
    /// `max`.
    pub pages: Spanned<u32>,
}

/// Notes to request: exactly one of `found_by`, `ids` and `file`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Notes {
    /// Endpoint whose searches found the notes: in this run, and with `seen_within` also in
    /// earlier runs.
    pub found_by: Option<Spanned<String>>,
    /// Number of notes to request, the largest by `by` first.
    pub top: Option<Spanned<u32>>,
    /// Includes notes from the lake that were found no longer ago than this. Notes that are gone
    /// are left out, unless they were found again since.
    #[schemars(with = "Option<String>")]
    pub seen_within: Option<Spanned<TimeSpan>>,
    /// Leaves out notes that this endpoint has answered for within this time.
    #[schemars(with = "Option<String>")]
    pub not_refreshed_for: Option<Spanned<TimeSpan>>,
    /// Count in `engagement` that ranks the notes, largest first.
    pub by: Option<Spanned<String>>,
    /// Note ids.
    pub ids: Option<Vec<Spanned<String>>>,
    /// File with one note id per line, relative to the pipeline file.
    pub file: Option<Spanned<PathBuf>>,
}

/// Rate limits, retries and budgets.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LimitOptions {
    /// Calls per second to one source. May be a fraction. Default: 2.
    pub requests_per_second: Spanned<f64>,
    /// Number of calls that may be sent at once after a pause. Default: one for every 20
    /// `requests_per_second`, at least 1.
    pub burst: Option<Spanned<u32>>,
    /// Maximum number of concurrent calls to one source. Default: 4.
    pub concurrency: Spanned<u32>,
    /// Maximum number of retries of a page, if the provider says that a retry may succeed.
    /// Default: 4.
    pub retries: u32,
    /// Maximum delay before the first retry. It doubles with each retry. Default: 1s.
    #[schemars(with = "String")]
    pub retry_delay: TimeSpan,
    /// Action after a call that may have been billed but has no usable answer: it timed out, its
    /// connection broke, or its answer has no business code. With `retry_once` each such call can be
    /// paid twice. Default: that of the source contract.
    pub on_unknown_outcome: Option<Spanned<UnknownOutcomeAction>>,
    /// Maximum size of an answer, in MiB after decompression. Default: 32.
    pub max_answer_mib: Spanned<u32>,
    /// Maximum number of calls of a run, retries included. A run that reaches a budget commits
    /// what it has and ends with exit code 5. The next run continues it.
    pub requests_per_run: Option<Spanned<u64>>,
    /// Maximum number of calls of a day (in the pipeline's time zone), over all runs in the lake.
    pub requests_per_day: Option<Spanned<u64>>,
    /// Maximum cost of a run, in the currency of the price. A call counts when it is sent. A call
    /// whose billing is unknown counts as billed.
    #[schemars(with = "Option<f64>")]
    pub cost_per_run: Option<Spanned<String>>,
    /// Maximum cost of a day, over all runs in the lake whose prices are in the same currency.
    #[schemars(with = "Option<f64>")]
    pub cost_per_day: Option<Spanned<String>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UnknownOutcomeAction {
    /// The search fails. The page is not requested again by this run.
    Fail,
    /// The call is sent once more.
    RetryOnce,
}

/// Actions for answers that differ from the source contract.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ContractOptions {
    /// Action for a field that the source contract does not declare.
    pub on_unknown_field: OnUnknownField,
    /// Action for a value that does not fit its column.
    #[schemars(with = "Option<OnBadValue>")]
    pub on_bad_value: OnBadValue,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnBadValue {
    /// The row goes to the table `rejects`, with the reason.
    #[default]
    Reject,
    /// The value becomes null and is counted in the table `drift`. In a required column, the row
    /// is rejected.
    Null,
    /// No table of the run is committed. Its pages and its ledger are kept.
    Fail,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnUnknownField {
    /// The field is counted in the table `drift`.
    Ignore,
    /// The field is counted, and reported at the end of the run.
    #[default]
    Warn,
    /// No table of the run is committed. Its pages and its ledger are kept.
    Fail,
}

/// Location and format of the tables.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Load {
    /// Folder of the lake, relative to the pipeline's file; `~` is the home folder. Default: lake
    /// in the working directory.
    pub lake: Option<Spanned<PathBuf>>,
    /// `zstd(1)` to `zstd(22)`, `snappy` or `uncompressed`. Default: zstd(1).
    pub compression: Spanned<String>,
    /// True if marts are updated after each commit. Default: true. Marts cover all pipelines of
    /// the lake: other pipelines, and `redlake marts`, still update them.
    pub marts: bool,
    /// True if the group of the lake's owner may read answers, journals and staged files: folders
    /// are created with mode 0750 and files with 0640, instead of 0700 and 0600. Existing folders
    /// keep their modes. Default: false.
    pub group: bool,
}

fn default_timezone() -> Spanned<String> {
    Spanned::unplaced("Asia/Shanghai".to_owned())
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
            recheck: None,
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
            on_unknown_outcome: None,
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
            lake: None,
            compression: Spanned::unplaced("zstd(1)".to_owned()),
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
