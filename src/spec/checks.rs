//! Checks that a pipeline declares on its tables, run before the commit.

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
    /// Name in messages. Default: the table and what is checked.
    pub name: Option<Spanned<String>>,
    /// Effect of a failure. Default: error.
    #[serde(default)]
    pub severity: Severity,
    /// The table to check. Only its rows of this run count.
    pub table: Option<Spanned<String>>,
    /// Columns that must have a value in every row.
    pub not_null: Option<Spanned<Vec<Spanned<String>>>>,
    /// Columns whose combined values must be unique. Rows with a null in one of them do not count.
    pub unique: Option<Spanned<Vec<Spanned<String>>>>,
    /// Minimum number of rows.
    pub min_rows: Option<Spanned<u64>>,
    /// Maximum share, from 0 to 1, of rows that were rejected because they broke the contract:
    /// rejected / (written + rejected), before rows are reduced to the latest observations.
    pub max_reject_share: Option<Spanned<f64>>,
    /// Accepted values by column. Null is accepted.
    #[schemars(with = "Option<IndexMap<String, Vec<CheckValue>>>")]
    pub accepted_values: Option<Spanned<AcceptedValues>>,
    /// Maximum age of the newest value of a column.
    pub freshness: Option<Spanned<Freshness>>,
    /// Maximum distance of the row count from the median of the last runs.
    pub row_count_change: Option<Spanned<RowCountChange>>,
    /// A query that returns the faulty rows; the check passes if it returns none. A table's name
    /// stands for the lake's rows with this run's, `run.<table>` only for the rows of this run.
    pub sql: Option<Spanned<String>>,
}

/// Values by column, as text. The column's type decides how they are parsed.
pub type AcceptedValues = IndexMap<Spanned<String>, Spanned<Vec<Spanned<String>>>>;

/// Effect of a failed check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// No table of the run is committed; `redlake publish` and `discard` decide. Exit code 6.
    #[default]
    Error,
    /// The failure is reported and counted; the tables are committed.
    Warn,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Freshness {
    /// A timestamp column.
    pub column: Spanned<String>,
    /// Maximum time from the column's newest value to the run's snapshot time. A column without
    /// values fails the check.
    #[schemars(with = "String")]
    pub within: TimeSpan,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RowCountChange {
    /// Number of earlier runs of the pipeline to compare with. Only runs that ended as complete
    /// or partial count. Without such a run the check passes. Default: 7.
    #[serde(default = "default_last_runs")]
    pub last_runs: Spanned<u32>,
    /// Maximum change from the median row count of these runs, as a share of the median: 0.5
    /// allows from half to one and a half times the median.
    pub at_most: Spanned<f64>,
}

fn default_last_runs() -> Spanned<u32> {
    Spanned::unplaced(7)
}

/// An accepted value, parsed by the type of its column.
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
