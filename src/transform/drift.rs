//! Differences between what an API sends and what its contract knows.

use std::collections::BTreeMap;

use serde::Serialize;

/// What is different.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A key that the contract neither maps nor lists as left out.
    UnknownField,
    /// A list or an object where there was a value, or the other way round.
    TypeChanged,
}

/// Most differences of one endpoint that are told apart.
const MOST_PATHS: usize = 1_000;
const OTHER_PATHS: &str = "(other paths)";

/// Counts differences by path, while the pages of one endpoint are walked.
#[derive(Clone, Debug, Default)]
pub struct Drift(BTreeMap<(String, Kind, &'static str), u64>);

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

    pub fn merge(&mut self, other: Drift) {
        for ((path, kind, json_type), count) in other.0 {
            self.add(path, kind, json_type, count);
        }
    }

    fn add(&mut self, path: String, kind: Kind, json_type: &'static str, count: u64) {
        // Keys that are data, such as ids, could make any number of paths.
        let known = self.0.len() < MOST_PATHS;
        let path = match known || self.0.contains_key(&(path.clone(), kind, json_type)) {
            true => path,
            false => OTHER_PATHS.to_owned(),
        };
        *self.0.entry((path, kind, json_type)).or_default() += count;
    }

    pub fn rows(&self, source: &str, endpoint: &str) -> impl Iterator<Item = DriftRow> {
        self.0
            .iter()
            .map(move |((path, kind, json_type), count)| DriftRow {
                source: source.to_owned(),
                endpoint: endpoint.to_owned(),
                path: path.clone(),
                kind: *kind,
                json_type,
                count: *count,
            })
    }
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::UnknownField => "unknown_field",
            Kind::TypeChanged => "type_changed",
        }
    }
}
