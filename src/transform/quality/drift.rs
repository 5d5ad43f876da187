//! Differences between what an API sends and what its contract knows.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::transform::quality::privacy::Redaction;

/// Kind of a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DriftKind {
    /// A key that the contract neither maps nor lists as left out.
    UnknownField,
    /// A JSON type that the contract does not expect: a list or an object where there was a value,
    /// a text where there was a number.
    TypeChanged,
    /// A value that did not fit its column and became null, because of `on_bad_value: null`.
    BadValue,
    /// A value that the contract does not list, in a field whose values decide which rows are made.
    UnknownValue,
    /// A text in which invalid bytes or a lone surrogate were replaced by U+FFFD.
    ReplacedCharacter,
}

/// Maximum number of distinct differences of one endpoint. Keys that are data, such as ids, could
/// make any number of paths.
const MOST_PATHS: usize = 1_000;
const OTHER_PATHS: &str = "(other paths)";

/// Maximum number of distinct values of one field. The field may turn out to hold data.
const MOST_VALUES: usize = 20;

/// Path, kind, JSON type, and the value if the kind is [`DriftKind::UnknownValue`].
type Difference = (String, DriftKind, &'static str, Option<String>);

/// Counts of differences by path, for the pages of one endpoint. If there are too many paths, the
/// first in sort order are kept, so that the order of the pages does not matter.
#[derive(Clone, Debug, Default)]
pub struct Drift {
    paths: BTreeMap<Difference, u64>,
    others: BTreeMap<(DriftKind, &'static str), u64>,
}

/// One difference and its number of occurrences. Its fields are the columns of the table `drift`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DriftRow {
    #[serde(skip)]
    pub source: String,
    pub endpoint: String,
    pub path: String,
    pub kind: DriftKind,
    pub json_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    pub count: u64,
}

impl Drift {
    pub fn count(&mut self, path: &str, kind: DriftKind, json_type: &'static str) {
        self.add((path.to_owned(), kind, json_type, None), 1);
    }

    /// Counts a value that the contract does not list.
    pub fn count_value(&mut self, path: &str, json_type: &'static str, value: &str) {
        let value = Some(value.to_owned());
        self.add(
            (path.to_owned(), DriftKind::UnknownValue, json_type, value),
            1,
        );
    }

    /// Applies the privacy rules to paths and values, since both may contain personal data.
    pub fn redacted(self, redaction: &Redaction) -> Drift {
        let mut redacted = Drift {
            others: self.others,
            ..Drift::default()
        };
        for ((path, kind, json_type, value), count) in self.paths {
            let path = redaction.scrub(path.into()).into_owned();
            let value = value.and_then(|value| redaction.shown(&value));
            redacted.add((path, kind, json_type, value), count);
        }
        redacted
    }

    pub fn merge(&mut self, other: Drift) {
        for (difference, count) in other.paths {
            self.add(difference, count);
        }
        for (key, count) in other.others {
            *self.others.entry(key).or_default() += count;
        }
    }

    pub fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// Returns the counts so far and resets them.
    pub fn take(&mut self) -> Drift {
        std::mem::take(self)
    }

    fn add(&mut self, difference: Difference, count: u64) {
        let (path, kind, json_type, value) = &difference;
        let field = value
            .is_some()
            .then(|| (path.clone(), *kind, *json_type, None));
        *self.paths.entry(difference).or_default() += count;
        if let Some(field) = field {
            self.keep_few_values(&field);
        }
        if self.paths.len() > MOST_PATHS
            && let Some(((_, kind, json_type, _), count)) = self.paths.pop_last()
        {
            *self.others.entry((kind, json_type)).or_default() += count;
        }
    }

    /// Keeps the first [`MOST_VALUES`] values of a field in sort order.
    fn keep_few_values(&mut self, field: &Difference) {
        let of_field = |d: &Difference| (&d.0, d.1, d.2) == (&field.0, field.1, field.2);
        let values = self.paths.range(field..).map(|(difference, _)| difference);
        let too_many = values
            .take_while(|d| of_field(d))
            .filter(|d| d.3.is_some())
            .nth(MOST_VALUES);
        if let Some(last) = too_many.cloned()
            && let Some(count) = self.paths.remove(&last)
        {
            *self.others.entry((last.1, last.2)).or_default() += count;
        }
    }

    pub fn rows(&self, source: &str, endpoint: &str) -> impl Iterator<Item = DriftRow> {
        let row =
            move |path: &str, kind: DriftKind, json_type, value: Option<&String>, count| DriftRow {
                source: source.to_owned(),
                endpoint: endpoint.to_owned(),
                path: path.to_owned(),
                kind,
                json_type,
                value: value.cloned(),
                count,
            };
        let paths = self
            .paths
            .iter()
            .map(move |((path, kind, t, value), count)| {
                row(path, *kind, t, value.as_ref(), *count)
            });
        let others = self.others.iter();
        paths.chain(others.map(move |((kind, t), count)| row(OTHER_PATHS, *kind, t, None, *count)))
    }
}

impl DriftKind {
    pub fn as_str(self) -> &'static str {
        match self {
            DriftKind::UnknownField => "unknown_field",
            DriftKind::TypeChanged => "type_changed",
            DriftKind::BadValue => "bad_value",
            DriftKind::UnknownValue => "unknown_value",
            DriftKind::ReplacedCharacter => "replaced_character",
        }
    }
}
