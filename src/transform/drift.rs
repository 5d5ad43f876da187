//! Differences between what an API sends and what its contract knows.

use std::collections::BTreeMap;

use serde::Serialize;

use super::privacy::Redaction;

/// What is different.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A key that the contract neither maps nor lists as left out.
    UnknownField,
    /// A JSON type that the contract does not expect: a list or an object where there was a value,
    /// a text where there was a number.
    TypeChanged,
    /// A value that did not fit its column and became null, as `on_bad_value: null` asks.
    BadValue,
    /// A text in which bytes that are no character, or half of a surrogate pair, were replaced by
    /// U+FFFD.
    ReplacedCharacter,
}

/// Most differences of one endpoint that are told apart: keys that are data, such as ids, could make
/// any number of paths.
const MOST_PATHS: usize = 1_000;
const OTHER_PATHS: &str = "(other paths)";

/// Counts differences by path, while the pages of one endpoint are walked. Of too many paths the
/// first in order are told apart, so that the order of the pages does not matter.
#[derive(Clone, Debug, Default)]
pub struct Drift {
    paths: BTreeMap<(String, Kind, &'static str), u64>,
    others: BTreeMap<(Kind, &'static str), u64>,
}

/// One difference and how often it was seen; its fields are the columns of the table `drift`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DriftRow {
    #[serde(skip)]
    pub source: String,
    pub endpoint: String,
    pub path: String,
    pub kind: Kind,
    pub json_type: &'static str,
    pub count: u64,
}

impl Drift {
    pub fn count(&mut self, path: &str, kind: Kind, json_type: &'static str) {
        self.add(path.to_owned(), kind, json_type, 1);
    }

    /// Keys may be data: what may not be kept of them is taken out.
    pub fn redacted(self, redaction: &Redaction) -> Drift {
        let mut redacted = Drift {
            others: self.others,
            ..Drift::default()
        };
        for ((path, kind, json_type), count) in self.paths {
            let path = redaction.scrub(path.into()).into_owned();
            redacted.add(path, kind, json_type, count);
        }
        redacted
    }

    pub fn merge(&mut self, other: Drift) {
        for ((path, kind, json_type), count) in other.paths {
            self.add(path, kind, json_type, count);
        }
        for (key, count) in other.others {
            *self.others.entry(key).or_default() += count;
        }
    }

    pub fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// What was counted so far, taken out.
    pub fn take(&mut self) -> Drift {
        std::mem::take(self)
    }

    fn add(&mut self, path: String, kind: Kind, json_type: &'static str, count: u64) {
        *self.paths.entry((path, kind, json_type)).or_default() += count;
        if self.paths.len() > MOST_PATHS
            && let Some(((_, kind, json_type), count)) = self.paths.pop_last()
        {
            *self.others.entry((kind, json_type)).or_default() += count;
        }
    }

    pub fn rows(&self, source: &str, endpoint: &str) -> impl Iterator<Item = DriftRow> {
        let row = move |path: &str, kind: Kind, json_type, count| DriftRow {
            source: source.to_owned(),
            endpoint: endpoint.to_owned(),
            path: path.to_owned(),
            kind,
            json_type,
            count,
        };
        let paths = self.paths.iter();
        let paths = paths.map(move |((path, kind, t), count)| row(path, *kind, t, *count));
        let others = self.others.iter();
        paths.chain(others.map(move |((kind, t), count)| row(OTHER_PATHS, *kind, t, *count)))
    }
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::UnknownField => "unknown_field",
            Kind::TypeChanged => "type_changed",
            Kind::BadValue => "bad_value",
            Kind::ReplacedCharacter => "replaced_character",
        }
    }
}
