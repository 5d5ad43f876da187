//! The checks of a pipeline, resolved against the tables that they check.

mod resolve;

use std::fmt;

use crate::spec::checks::{CheckValue, Severity};

pub(super) use resolve::checks;

/// A check of the rows of a run. Its tables and columns exist.
#[derive(Clone, Debug, PartialEq)]
pub struct DataCheck {
    pub name: String,
    pub severity: Severity,
    pub rule: CheckRule,
}

#[derive(Clone, Debug, PartialEq)]
pub enum CheckRule {
    NotNull {
        table: String,
        columns: Vec<String>,
    },
    Unique {
        table: String,
        columns: Vec<String>,
    },
    MinRows {
        table: String,
        rows: u64,
    },
    MaxRejectShare {
        table: String,
        /// From 0 to 1.
        share: f64,
    },
    AcceptedValues {
        table: String,
        /// Each column with its accepted values. They are of the column's type.
        values: Vec<(String, Vec<CheckValue>)>,
    },
    Freshness {
        table: String,
        column: String,
        within_s: u64,
    },
    RowCountChange {
        table: String,
        last_runs: u32,
        at_most: f64,
    },
    Sql(String),
}

/// Default name of a check.
impl fmt::Display for CheckRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CheckRule::NotNull { table, columns } => {
                write!(f, "{table}: not_null {}", columns.join(", "))
            }
            CheckRule::Unique { table, columns } => {
                write!(f, "{table}: unique {}", columns.join(", "))
            }
            CheckRule::MinRows { table, rows } => write!(f, "{table}: min_rows {rows}"),
            CheckRule::MaxRejectShare { table, share } => {
                write!(f, "{table}: max_reject_share {share}")
            }
            CheckRule::AcceptedValues { table, values } => {
                let columns: Vec<&str> = values.iter().map(|(c, _)| c.as_str()).collect();
                write!(f, "{table}: accepted_values {}", columns.join(", "))
            }
            CheckRule::Freshness { table, column, .. } => write!(f, "{table}: freshness {column}"),
            CheckRule::RowCountChange { table, .. } => write!(f, "{table}: row_count_change"),
            CheckRule::Sql(sql) => {
                let words: Vec<&str> = sql.split_whitespace().collect();
                let line = words.join(" ");
                match line.char_indices().nth(LONGEST_NAME) {
                    Some((end, _)) => write!(f, "sql: {}…", &line[..end]),
                    None => write!(f, "sql: {line}"),
                }
            }
        }
    }
}

/// Maximum length of a query in a name, in characters.
const LONGEST_NAME: usize = 60;
