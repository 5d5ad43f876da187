//! The shape of `schemas/sources/<source>.yaml`: all that redlake knows of a provider.

use std::fmt;
use std::time::Duration;

use indexmap::IndexMap;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::words::{Filter, TimeSpan};
use crate::spec::yaml::document::{Spanned, written};

/// An API provider.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    pub source: Spanned<String>,
    #[serde(default)]
    pub description: String,
    /// Addresses by name; a pipeline picks one by its name, the first is the default.
    pub base_urls: IndexMap<String, String>,
    /// Environment variable that overrides the address.
    pub base_url_env: String,
    pub auth: Auth,
    /// How calls are signed for an application that has a secret.
    pub signing: Option<Signing>,
    /// Headers sent with every call.
    #[serde(default)]
    pub headers: IndexMap<String, String>,
    /// A limit that the provider sets for everybody.
    pub rate_limit: Option<RateLimit>,
    /// How long an answer may take.
    pub timeout: TimeSpan,
    /// Whether a page may be asked for again, once, when nobody knows what became of the call.
    pub on_unknown_outcome: OnUnknownOutcome,
    pub envelope: EnvelopePaths,
    /// What each business code means.
    pub codes: IndexMap<String, Code>,
    pub endpoints: IndexMap<String, Endpoint>,
}

/// How a call says who asks.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    #[serde(rename = "in")]
    pub place: AuthPlace,
    /// Name of the query parameter, where the token travels in the query.
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

/// How calls are signed. They are where the environment has both the id and the secret.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signing {
    /// Environment variable that holds the application's id.
    pub app_id_env: String,
    /// Environment variable that holds the application's secret.
    pub secret_env: String,
    /// What `{version}` stands for.
    pub version: String,
    /// The text whose MD5 is the sign, with the names of [`SIGNED_PARTS`] in braces.
    pub text: Spanned<String>,
    /// Query parameter of the time of the call, in Unix seconds.
    pub timestamp: String,
    /// Query parameter of the sign, in hexadecimal digits.
    pub sign: String,
}

/// What the text that is signed can be made of.
pub const SIGNED_PARTS: [&str; 5] = ["method", "app_id", "timestamp", "version", "secret"];

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    pub requests: u32,
    pub per: TimeSpan,
}

/// What follows a call that may have been billed though its answer never came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnUnknownOutcome {
    /// Asking again might pay twice.
    FailSearch,
    /// Asking again costs nothing, or is worth it.
    RetryOnce,
}

/// Where the business result stands in an answer. Paths are JSON pointers.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnvelopePaths {
    pub code: String,
    /// The places of the provider's words; the first that has some counts.
    #[serde(deserialize_with = "one_or_many")]
    pub message: Vec<String>,
    pub request_id: Option<String>,
    /// Codes that mean success, as numbers or as text.
    pub success: Vec<String>,
}

/// What a business code means and what to do about it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Code {
    /// One of [`CLASSES`].
    pub class: Spanned<String>,
    pub action: Action,
    pub billed: Billed,
    pub meaning: String,
}

/// What a code can mean. The column `class` of the table `requests` has these and the outcomes
/// that are no codes.
pub const CLASSES: [&str; 11] = [
    "ok",
    "gone",
    "transient",
    "rate_limited",
    "quota",
    "auth",
    "permission",
    "balance",
    "bad_request",
    "not_found",
    "server",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// The answer is a page.
    Accept,
    /// The answer says that what was asked for is no more: an observation, not a failure.
    Gone,
    /// Ask again after a delay.
    Retry,
    /// Ask again after a delay, and all searches of the source more slowly: we asked too often.
    SlowDown,
    /// Give up this search; the others go on.
    FailSearch,
    /// Commit what is there and stop.
    StopRun,
    /// Every further call would fail too.
    AbortRun,
}

/// Whether a call costs money.
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
    /// Path below the base address; `{name}` is filled with the parameter of that name.
    pub path: String,
    /// What `{method}` stands for in the text that is signed. Without it no call is signed.
    pub signing_method: Option<String>,
    #[serde(default)]
    pub params: IndexMap<String, Param>,
    pub pagination: Pagination,
    /// Where an answer names what it is about: parameters, each with the place of its value.
    #[serde(default)]
    pub about: IndexMap<Spanned<String>, String>,
    pub rows: Vec<Spanned<RowRule>>,
    #[serde(default)]
    pub left_out: Vec<LeftOut>,
    /// Values that are known and that no rule needs.
    #[serde(default)]
    pub known_values: Vec<KnownValues>,
}

/// A request parameter: filled by the engine (`from`) or by a canonical filter.
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
    /// The fields that can be asked for by name, where it is filled from `fields`.
    #[serde(default)]
    pub fields: Vec<String>,
    /// Those that are asked for beside the ones that a pipeline names.
    #[serde(default)]
    pub always: Vec<Spanned<String>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParamFrom {
    Keyword,
    Page,
    NoteId,
    /// The fields that an answer is to have, separated by commas. Not sent where all are wanted.
    Fields,
}

/// How an endpoint's answers follow each other.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pagination {
    pub kind: PaginationKind,
    #[serde(default)]
    pub start: u32,
    /// The list whose length is the number of items, and whose emptiness is the end.
    pub items: Option<String>,
    /// The object that is the one item of an answer without a list. An answer without it is none.
    pub item: Option<String>,
    /// What tells two items apart; the first path that is there.
    #[serde(default)]
    pub item_id: Vec<String>,
    /// When an item was published, in Unix seconds. Items that do not follow the order of the
    /// search, as advertisements, are not to be found at this path.
    pub item_published_s: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaginationKind {
    /// Pages are numbered; an empty one is the end.
    Page,
    /// One answer is all there is.
    Single,
}

/// How one kind of row is read from an answer. See `schemas/README.md` for the path language.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RowRule {
    pub table: Spanned<String>,
    /// The fields of the answer that the columns are read from. A search that asks for fields, and
    /// for none of these, gives no row.
    #[serde(default)]
    pub any_of_fields: Vec<Spanned<String>>,
    /// The list whose elements give rows; the whole answer gives one row without it.
    pub each: Option<String>,
    /// Elements that do not match give no row.
    #[serde(default)]
    pub when: Conditions,
    /// The object inside the element that the columns' paths start at: the first that is there.
    #[serde(default, deserialize_with = "one_or_many")]
    pub at: Vec<String>,
    /// A list inside that object; each of its elements gives a row.
    pub then_each: Option<String>,
    /// Like `when`, from where the columns' paths start.
    #[serde(default)]
    pub then_when: Conditions,
    /// Text that gives as many rows as it has parts.
    pub explode: Option<Explode>,
    pub columns: IndexMap<Spanned<String>, ColumnReads>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Explode {
    /// Texts whose hashtags are the parts, each tag once, in the order they stand.
    pub hashtags: Vec<String>,
}

/// Alternatives, each a set of conditions by path. They hold where all conditions of one alternative
/// do, and where there is no alternative.
#[derive(Clone, Debug, Default)]
pub struct Conditions(pub Vec<IndexMap<String, Condition>>);

/// What a value must be for a rule to apply.
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
    /// The value is there and not null.
    pub exists: Option<bool>,
    /// The value is a text that is not empty.
    pub filled: Option<bool>,
    /// The value is true, 1 or the text `true`.
    pub is_true: Option<bool>,
}

/// Where a column's value comes from: the first of these that has one.
#[derive(Clone, Debug)]
pub struct ColumnReads(pub Vec<Mapping>);

/// One way to get a column's value. Exactly one of the first ten keys says what is read; the
/// others say when it counts and what becomes of it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    /// A value in the answer.
    pub path: Option<String>,
    /// A list of which `index_at` picks an element and `item` a value in it.
    pub list: Option<String>,
    /// The number of elements of a list.
    pub length: Option<String>,
    /// BLAKE3 of these texts.
    pub hash: Option<Vec<String>>,
    /// A fixed value.
    #[serde(rename = "const")]
    pub constant: Option<String>,
    /// The row's place in its list, from 0.
    pub index: Option<bool>,
    /// Whether the row's place in its list is the number at this path.
    pub index_equals: Option<String>,
    /// The key under which the row's list stands, where the rule goes over all keys (`*`).
    pub key: Option<bool>,
    /// The part that `explode` found.
    pub exploded: Option<bool>,
    /// Whether a list of texts has the text `has`; no value where there is no list.
    pub has_in: Option<String>,

    /// The text that is looked for in the list at `has_in`.
    pub has: Option<String>,
    /// The mapping has a value only where these conditions hold.
    #[serde(default)]
    pub when: Conditions,
    pub index_at: Option<String>,
    pub item: Option<String>,
    /// How an instant is written.
    pub unit: Option<Unit>,
    #[serde(default)]
    pub zero_is_null: bool,
    #[serde(default)]
    pub empty_is_null: bool,
    #[serde(rename = "as")]
    pub form: Option<Form>,
    /// The text is JSON; the value stands at this path in it.
    pub json: Option<String>,
    /// A named group of this regular expression; no match is no value.
    pub pattern: Option<String>,
    /// Name of the group. Default: `value`.
    pub group: Option<String>,
    /// Text around the value: `{value}` stands for it.
    pub template: Option<String>,
    /// The provider's word → ours; a word that is not listed is no value.
    pub values: Option<IndexMap<String, String>>,
    /// The value where `values` has none.
    pub otherwise: Option<String>,
    /// A number to multiply with.
    pub scale: Option<f64>,
    /// Whether this instant lies in the time window that the search asked for.
    #[serde(default)]
    pub within_window: bool,
    /// The fields of the answer that the value is made of. A search that asks for fields, and not
    /// for all of these, has no value here.
    #[serde(default)]
    pub all_of_fields: Vec<Spanned<String>>,
}

/// How an instant is written.
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

/// What a value is read as, where its column's type alone does not say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// A count that may be shortened: `1.2万`, `10万+`.
    Count,
    /// A number or a text, as it is written.
    Text,
    /// The text of an HTML fragment.
    HtmlText,
    /// An address with a scheme.
    Url,
}

/// Fields that are known and make no column.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeftOut {
    /// Objects that have these fields.
    pub at: Vec<String>,
    pub fields: Vec<String>,
    pub reason: String,
}

/// Values of fields whose values rules look at, beside those that the rules list. Any other value is
/// drift.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownValues {
    /// The fields.
    pub at: Vec<Spanned<String>>,
    pub values: Vec<String>,
    pub reason: String,
}

impl Source {
    /// The address that a pipeline means by `name`: one of ours, or any URL.
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
    /// Whether they hold for everything.
    pub fn is_empty(&self) -> bool {
        self.0.iter().any(IndexMap::is_empty) || self.0.is_empty()
    }

    /// All conditions with their paths.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &Condition)> {
        self.0.iter().flatten()
    }
}

impl Condition {
    /// The values that the condition names.
    pub fn values(&self) -> &[String] {
        match self {
            Condition::Is(word) => std::slice::from_ref(word),
            Condition::OneOf(words) => words,
            Condition::Test(test) => test.none_of.as_deref().unwrap_or_default(),
        }
    }
}

impl Endpoint {
    /// Returns the parameter that says which fields an answer is to have.
    pub fn fields_param(&self) -> Option<&Param> {
        let mut params = self.params.values();
        params.find(|param| param.from == Some(ParamFrom::Fields))
    }
}

impl RowRule {
    /// The paths of all lists and objects that rows are read from, for the error messages.
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
