//! What a pipeline expects of its tables, before they are committed.

use std::fmt;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::words::TimeSpan;
use crate::spec::yaml::document::Spanned;

/// A check of a run's rows before they are committed: exactly one of `not_null`, `unique`,
/// `min_rows`, `max_reject_share`, `accepted_values`, `freshness`, `row_count_change` (each with
/// `table`) and `sql`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// What messages call it. Default: the table and what is checked.
    pub name: Option<Spanned<String>>,
    /// What follows when it fails. Default: error.
    #[serde(default)]
    pub severity: Severity,
    /// The table whose rows of this run are looked at.
    pub table: Option<Spanned<String>>,
    /// Columns that have a value in every row.
    pub not_null: Option<Spanned<Vec<Spanned<String>>>>,
    /// Columns whose values together come once. Rows in which one of them is null do not count.
    pub unique: Option<Spanned<Vec<Spanned<String>>>>,
    /// The fewest rows.
    pub min_rows: Option<Spanned<u64>>,
    /// The largest share, from 0 to 1, of rows that were rejected because they broke the contract:
    /// rejected / (written + rejected), before the latest observations are chosen.
    pub max_reject_share: Option<Spanned<f64>>,
    /// The values that a column may have, by column. Null is accepted.
    #[schemars(with = "Option<IndexMap<String, Vec<CheckValue>>>")]
    pub accepted_values: Option<Spanned<AcceptedValues>>,
    /// How old the newest value of a column may be.
    pub freshness: Option<Spanned<Freshness>>,
    /// How far the number of rows may be from the median of the last runs.
    pub row_count_change: Option<Spanned<RowCountChange>>,
    /// A query whose rows are what is wrong; none is good. A table's name is the lake with this
    /// run's rows in it, `run.<table>` only the rows of this run.
    pub sql: Option<Spanned<String>>,
}

/// Values by column, as they are written: the type of the column says what they mean.
pub type AcceptedValues = IndexMap<Spanned<String>, Spanned<Vec<Spanned<String>>>>;

/// What follows when a check fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// No table of the run is committed; `redlake publish` and `discard` decide. Exit code 6.
    #[default]
    Error,
    /// It is told and counted; the tables are committed.
    Warn,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Freshness {
    /// A column with instants.
    pub column: Spanned<String>,
    /// The longest time from its newest value to the run's snapshot time. No value at all is not
    /// fresh.
    #[schemars(with = "String")]
    pub within: TimeSpan,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RowCountChange {
    /// How many runs of the pipeline before this one count: those that ended as complete or
    /// partial. Without any the check passes. Default: 7.
    #[serde(default = "default_last_runs")]
    pub last_runs: Spanned<u32>,
    /// The largest change from the median of their rows, as a share of it: 0.5 allows half as
    /// many and half as many more.
    pub at_most: Spanned<f64>,
}

fn default_last_runs() -> Spanned<u32> {
    Spanned::unplaced(7)
}

/// A value as YAML writes it.
#[derive(Clone, Debug, PartialEq, JsonSchema)]
#[schemars(untagged)]
pub enum CheckValue {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
}

impl fmt::Display for CheckValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CheckValue::Bool(value) => write!(f, "{value}"),
            CheckValue::Int(value) => write!(f, "{value}"),
            CheckValue::Float(value) => write!(f, "{value}"),
            CheckValue::Text(value) => f.write_str(value),
        }
    }
}
