//! Types of `schemas/sources/<source>.yaml`: the contract of a provider.

pub(in crate::spec) mod checks;
pub mod sandbox;

use std::fmt;
use std::time::Duration;

use indexmap::IndexMap;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::spec::class::CallClass;
use crate::spec::words::{Filter, TimeSpan};
use crate::spec::yaml::document::{Spanned, written};

/// An API provider.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    pub source: Spanned<String>,
    #[serde(default)]
    pub description: String,
    /// Addresses by name. A pipeline picks one by its name; the first is the default.
    pub base_urls: IndexMap<String, String>,
    /// Environment variable that overrides the address.
    pub base_url_env: String,
    pub auth: Auth,
    /// Signing of calls, for an application with a secret.
    pub signing: Option<Signing>,
    /// Headers sent with every call.
    #[serde(default)]
    pub headers: IndexMap<String, String>,
    /// Rate limit that the provider sets for every client.
    pub rate_limit: Option<RateLimit>,
    /// Maximum time for an answer.
    pub timeout: TimeSpan,
    /// Action after a call whose outcome is unknown.
    pub on_unknown_outcome: OnUnknownOutcome,
    pub envelope: EnvelopePaths,
    /// Business codes of answers, with their meaning.
    pub codes: IndexMap<String, Code>,
    pub endpoints: IndexMap<String, Endpoint>,
}

/// Authentication of a call.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    #[serde(rename = "in")]
    pub place: AuthPlace,
    /// Name of the query parameter, if the token is sent in the query.
    #[serde(default)]
    pub name: String,
    /// Environment variable that holds the token.
    pub env: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthPlace {
    Query,
    Bearer,
}

/// Signing of calls. Calls are signed if the environment has both the id and the secret.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signing {
    /// Environment variable that holds the application's id.
    pub app_id_env: String,
    /// Environment variable that holds the application's secret.
    pub secret_env: String,
    /// Value of `{version}` in the signed text.
    pub version: String,
    /// The signed text, with names of [`SIGNED_PARTS`] in braces. Its MD5 is the sign.
    pub text: Spanned<String>,
    /// Query parameter for the time of the call, in Unix seconds.
    pub timestamp: String,
    /// Query parameter for the sign, in hexadecimal digits.
    pub sign: String,
}

/// The parts that a signed text can contain.
pub const SIGNED_PARTS: [&str; 5] = ["method", "app_id", "timestamp", "version", "secret"];

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    pub requests: u32,
    pub per: TimeSpan,
}

/// Action after a call whose outcome is unknown: its answer never came, but it may be billed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnUnknownOutcome {
    /// Fails the search, because a retry might be billed twice.
    FailSearch,
    /// Retries the call once, because a retry costs nothing or is worth its price.
    RetryOnce,
}

/// Places of the business result in an answer. Paths are JSON pointers.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnvelopePaths {
    pub code: String,
    /// Paths of the provider's message. The first one with a text is used.
    #[serde(deserialize_with = "one_or_many")]
    pub message: Vec<String>,
    pub request_id: Option<String>,
    /// Codes that mean success, as numbers or as text.
    pub success: Vec<String>,
}

/// Meaning of a business code, and the action to take.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Code {
    /// One of [`CallClass::OF_CODES`].
    pub class: Spanned<CallClass>,
    pub action: Action,
    pub billed: Billed,
    pub meaning: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// The answer is a page.
    Accept,
    /// The answer says that the item no longer exists: an observation, not a failure.
    Gone,
    /// Retry after a delay.
    Retry,
    /// Retry after a delay and slow down all searches of the source: the calls exceeded a rate
    /// limit.
    SlowDown,
    /// Fail this search. Other searches continue.
    FailSearch,
    /// Commit the pages so far and stop the run.
    StopRun,
    /// Abort the run: every further call would fail, too.
    AbortRun,
}

/// Billing of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Billed {
    Yes,
    No,
    Unknown,
}

/// One operation of a source.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    #[serde(default)]
    pub description: String,
    /// Path below the base address. `{name}` is replaced by the parameter of that name.
    pub path: String,
    /// Value of `{method}` in the signed text. Without it, calls to the endpoint are not signed.
    pub signing_method: Option<String>,
    #[serde(default)]
    pub params: IndexMap<String, Param>,
    pub pagination: Pagination,
    /// Parameters that an answer repeats, each with the path of its value in the answer.
    #[serde(default)]
    pub about: IndexMap<Spanned<String>, String>,
    pub rows: Vec<Spanned<RowRule>>,
    #[serde(default)]
    pub left_out: Vec<LeftOut>,
    /// Known values that no rule needs.
    #[serde(default)]
    pub known_values: Vec<KnownValues>,
}

/// A request parameter, filled by the engine (`from`) or by a canonical filter.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Param {
    pub from: Option<ParamFrom>,
    pub filter: Option<Filter>,
    /// Canonical word → the provider's word.
    #[serde(default)]
    pub values: IndexMap<String, String>,
    /// Other spellings of the provider's words, by dialect name.
    #[serde(default)]
    pub dialects: IndexMap<String, IndexMap<String, String>>,
    /// Fields that a request can name. Only for a parameter with `from: fields`.
    #[serde(default)]
    pub fields: Vec<String>,
    /// Fields that every request names, in addition to the pipeline's.
    #[serde(default)]
    pub always: Vec<Spanned<String>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParamFrom {
    Keyword,
    Page,
    NoteId,
    /// The requested fields, separated by commas. Not sent if all fields are requested.
    Fields,
}

/// Pagination of an endpoint.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pagination {
    pub kind: PaginationKind,
    #[serde(default)]
    pub start: u32,
    /// Path of the list of items. An empty list ends the search.
    pub items: Option<String>,
    /// Path of the only item of an answer without a list. An answer without it is rejected.
    pub item: Option<String>,
    /// Paths of an item's id. The first path with a value is used.
    #[serde(default)]
    pub item_id: Vec<String>,
    /// Path of an item's publication time, in Unix seconds. Items outside the order of the
    /// search, such as advertisements, must have no value at this path.
    pub item_published_s: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaginationKind {
    /// Numbered pages. An empty page is the last one.
    Page,
    /// A single answer.
    Single,
}

/// Rule that reads one kind of row from an answer. See `schemas/README.md` for the path
/// language.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RowRule {
    pub table: Spanned<String>,
    /// Fields of the answer that the columns are read from. A search that names fields, but none
    /// of these, gives no row.
    #[serde(default)]
    pub any_of_fields: Vec<Spanned<String>>,
    /// Path of the list whose elements give rows. Without it, the whole answer gives one row.
    pub each: Option<String>,
    /// Conditions on an element. An element that does not match gives no row.
    #[serde(default)]
    pub when: Conditions,
    /// Paths of the object inside the element that the columns' paths start at. The first path
    /// that exists is used.
    #[serde(default, deserialize_with = "one_or_many")]
    pub at: Vec<String>,
    /// Path of a list inside that object. Each of its elements gives a row.
    pub then_each: Option<String>,
    /// Conditions like `when`, evaluated where the columns' paths start.
    #[serde(default)]
    pub then_when: Conditions,
    /// Texts to split. Each part gives a row.
    pub explode: Option<Explode>,
    pub columns: IndexMap<Spanned<String>, ColumnReads>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Explode {
    /// Paths of texts. Their hashtags are the parts: each tag once, in order of appearance.
    pub hashtags: Vec<String>,
}

/// Alternatives, each a set of conditions by path. They hold if all conditions of one alternative
/// hold, or if there is no alternative.
#[derive(Clone, Debug, Default)]
pub struct Conditions(pub Vec<IndexMap<String, Condition>>);

/// Condition on a value.
#[derive(Clone, Debug)]
pub enum Condition {
    /// The value is this text.
    Is(String),
    /// The value is one of these texts.
    OneOf(Vec<String>),
    Test(Test),
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Test {
    /// The value is none of these texts.
    pub none_of: Option<Vec<String>>,
    /// The value exists and is not null.
    pub exists: Option<bool>,
    /// The value is a text that is not empty.
    pub filled: Option<bool>,
    /// True if the value is set: anything but null, false, 0, a blank text, an empty list or object,
    /// and the texts `0`, `false` and `no`.
    pub is_set: Option<bool>,
}

/// Mappings of a column, in order of precedence. The first one with a value is used.
#[derive(Clone, Debug)]
pub struct ColumnReads(pub Vec<Mapping>);

/// A mapping from an answer to a column's value. Exactly one of the first ten keys selects what is
/// read. The others restrict when it applies and convert the value.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    /// Path of a value in the answer.
    pub path: Option<String>,
    /// Path of a list. `item` is a path in one of its elements: the one whose index is at the path
    /// `index_at`, or the last one with a valid value if `last` is true.
    pub list: Option<String>,
    /// Path of a list. The value is its number of elements.
    pub length: Option<String>,
    /// Paths of texts. The value is their BLAKE3 hash.
    pub hash: Option<Vec<String>>,
    /// A fixed value.
    #[serde(rename = "const")]
    pub constant: Option<String>,
    /// The row's index in its list, from 0.
    pub index: Option<bool>,
    /// Path of a number. The value is true if the row's index in its list equals it.
    pub index_equals: Option<String>,
    /// The key of the row's list, if the rule iterates over all keys (`*`).
    pub key: Option<bool>,
    /// The row's part from `explode`.
    pub exploded: Option<bool>,
    /// Path of a list of texts. The value is true if the list contains the text `has`; there is no
    /// value without a list.
    pub has_in: Option<String>,

    /// Text to find in the list at `has_in`.
    pub has: Option<String>,
    /// Conditions of the mapping. It has no value if they do not hold.
    #[serde(default)]
    pub when: Conditions,
    pub index_at: Option<String>,
    /// True to read the last element with a valid value.
    #[serde(default)]
    pub last: bool,
    /// Conditions on the elements that `last` selects from. Their paths begin at the element.
    #[serde(default)]
    pub item_when: Conditions,
    pub item: Option<String>,
    /// Format of an instant.
    pub unit: Option<Unit>,
    #[serde(default)]
    pub zero_is_null: bool,
    #[serde(default)]
    pub empty_is_null: bool,
    #[serde(rename = "as")]
    pub form: Option<Form>,
    /// Path of the value inside the text, which is parsed as JSON.
    pub json: Option<String>,
    /// Regular expression with a named group, which is the value. No match is no value.
    pub pattern: Option<String>,
    /// Name of the group. Default: `value`.
    pub group: Option<String>,
    /// Template of the final text. `{value}` stands for the value.
    pub template: Option<String>,
    /// Canonical word by the provider's word. A word that is not listed is no value.
    pub values: Option<IndexMap<String, String>>,
    /// Value for words that are not in `values`.
    pub otherwise: Option<String>,
    /// Factor that the number is multiplied by.
    pub scale: Option<f64>,
    /// True to convert the instant to a bool: whether it lies in the search's time window.
    #[serde(default)]
    pub within_window: bool,
    /// Fields of the answer that the value is computed from. A search that names fields, but not
    /// all of these, gives no value.
    #[serde(default)]
    pub all_of_fields: Vec<Spanned<String>>,
}

/// Format of an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Unix seconds.
    S,
    /// Unix milliseconds.
    Ms,
    /// ISO 8601 with an offset.
    Iso8601,
}

/// Form of a value, if its column's type alone does not determine it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// A count that may be shortened: `1.2万`, `10万+`.
    Count,
    /// A number or a text, as written.
    Text,
    /// The text of an HTML fragment.
    HtmlText,
    /// An address with a scheme.
    Url,
}

/// Known fields that have no column.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeftOut {
    /// Paths of the objects that have these fields.
    pub at: Vec<String>,
    pub fields: Vec<String>,
    pub reason: String,
}

/// Known values of fields that rules compare, in addition to those that the rules list. Any other
/// value is drift.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownValues {
    /// Paths of the fields.
    pub at: Vec<Spanned<String>>,
    pub values: Vec<String>,
    pub reason: String,
}

impl Source {
    /// Returns the address that `name` stands for: a named address of this source, or any http(s)
    /// URL.
    pub fn base_url(&self, name: &str) -> Option<String> {
        match self.base_urls.get(name) {
            Some(url) => Some(url.clone()),
            None if name.starts_with("http://") || name.starts_with("https://") => {
                Some(name.trim_end_matches('/').to_owned())
            }
            None => None,
        }
    }

    pub fn timeout(&self) -> Duration {
        self.timeout.as_duration()
    }
}

impl Conditions {
    /// Returns true if the conditions hold for every value.
    pub fn is_empty(&self) -> bool {
        self.0.iter().any(IndexMap::is_empty) || self.0.is_empty()
    }

    /// Returns all conditions with their paths.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &Condition)> {
        self.0.iter().flatten()
    }
}

impl Condition {
    /// Returns the values that the condition names.
    pub fn values(&self) -> &[String] {
        match self {
            Condition::Is(word) => std::slice::from_ref(word),
            Condition::OneOf(words) => words,
            Condition::Test(test) => test.none_of.as_deref().unwrap_or_default(),
        }
    }
}

impl Endpoint {
    /// Returns the parameter that carries the requested fields.
    pub fn fields_param(&self) -> Option<&Param> {
        let mut params = self.params.values();
        params.find(|param| param.from == Some(ParamFrom::Fields))
    }
}

impl RowRule {
    /// Returns the joined paths of the lists and objects that rows are read from, for messages.
    pub fn place(&self) -> String {
        let mut place = self.each.clone().unwrap_or_default();
        if let Some(at) = self.at.first() {
            place.push_str(at);
        }
        if let Some(then) = &self.then_each {
            place.push_str(then);
        }
        place
    }
}

fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    struct Words;
    impl<'de> Visitor<'de> for Words {
        type Value = Vec<String>;
        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str("a text or a list of texts")
        }
        fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
            Ok(vec![value.to_owned()])
        }
        fn visit_seq<A: de::SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
            Deserialize::deserialize(de::value::SeqAccessDeserializer::new(seq))
        }
    }
    written(deserializer, Words)
}

impl<'de> Deserialize<'de> for Conditions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ConditionsVisitor;
        impl<'de> Visitor<'de> for ConditionsVisitor {
            type Value = Conditions;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("conditions by path such as {/kind: note}, or a list of these")
            }
            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Conditions, A::Error> {
                let all = de::value::MapAccessDeserializer::new(map);
                Ok(Conditions(vec![Deserialize::deserialize(all)?]))
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, seq: A) -> Result<Conditions, A::Error> {
                let any = de::value::SeqAccessDeserializer::new(seq);
                Deserialize::deserialize(any).map(Conditions)
            }
        }
        deserializer.deserialize_any(ConditionsVisitor)
    }
}

impl<'de> Deserialize<'de> for Condition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ConditionVisitor;
        impl<'de> Visitor<'de> for ConditionVisitor {
            type Value = Condition;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a text, a list of texts, or a test such as {exists: true}")
            }
            fn visit_str<E>(self, value: &str) -> Result<Condition, E> {
                Ok(Condition::Is(value.to_owned()))
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, seq: A) -> Result<Condition, A::Error> {
                let words = de::value::SeqAccessDeserializer::new(seq);
                Deserialize::deserialize(words).map(Condition::OneOf)
            }
            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Condition, A::Error> {
                let test = de::value::MapAccessDeserializer::new(map);
                Deserialize::deserialize(test).map(Condition::Test)
            }
        }
        written(deserializer, ConditionVisitor)
    }
}

impl<'de> Deserialize<'de> for ColumnReads {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ColumnsVisitor;
        impl<'de> Visitor<'de> for ColumnsVisitor {
            type Value = ColumnReads;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a path, a mapping such as {path: /x, unit: s}, or a list of these")
            }
            fn visit_str<E>(self, path: &str) -> Result<ColumnReads, E> {
                Ok(ColumnReads(vec![Mapping {
                    path: Some(path.to_owned()),
                    ..Mapping::default()
                }]))
            }
            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<ColumnReads, A::Error> {
                let mapping = de::value::MapAccessDeserializer::new(map);
                Ok(ColumnReads(vec![Deserialize::deserialize(mapping)?]))
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<ColumnReads, A::Error> {
                let mut all = Vec::new();
                while let Some(ColumnReads(some)) = seq.next_element()? {
                    all.extend(some);
                }
                Ok(ColumnReads(all))
            }
        }
        written(deserializer, ColumnsVisitor)
    }
}
