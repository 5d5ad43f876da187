//! Types of `schemas/marts/<mart>.yaml`: a table that is computed from tables of the lake.

use std::collections::BTreeMap;

use chrono::{Days, NaiveDate};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::table::{Column, LatestView, RowsFrom, Table};
use crate::spec::references::{known_columns, near_or};
use crate::spec::yaml::diagnostic::{Diagnostic, SourceFile, nearest};
use crate::spec::yaml::document::Spanned;

/// A mart, as its contract declares it: its columns and what they mean. The computation is code, so
/// only the marts of the built-in contracts can be computed.
#[derive(Clone, Debug)]
pub struct Mart {
    /// The mart's table in the lake.
    pub table: Table,
    /// Dates that one partition covers.
    pub period: Period,
    /// Input columns by table.
    pub reads: BTreeMap<String, Vec<String>>,
    /// Thresholds above which a note counts as rising.
    pub rising: Option<Rising>,
    /// Endpoints by input table, highest precedence first. Tables without a latest view are absent.
    pub endpoints: BTreeMap<String, Vec<String>>,
}

/// The dates that one partition of a mart covers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    #[default]
    Day,
    /// The days from Monday to Sunday. The partition has the date of the Monday.
    Week,
}

impl Period {
    /// Returns true for a single date.
    pub fn is_day(&self) -> bool {
        match self {
            Period::Day => true,
            Period::Week => false,
        }
    }

    /// Returns the span of this period that contains a date.
    pub fn span_of(self, date: NaiveDate) -> DateSpan {
        let (first, days) = match self {
            Period::Day => (date, 0),
            Period::Week => (date.week(chrono::Weekday::Mon).first_day(), 6),
        };
        let last = first.checked_add_days(Days::new(days)).unwrap_or(date);
        DateSpan {
            period: self,
            first,
            last,
        }
    }
}

/// A value for each period.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByPeriod<T: Default> {
    pub days: T,
    #[serde(default)]
    pub weeks: T,
}

impl<T: Default> ByPeriod<T> {
    pub fn of(&self, period: Period) -> &T {
        match period {
            Period::Day => &self.days,
            Period::Week => &self.weeks,
        }
    }

    pub fn of_mut(&mut self, period: Period) -> &mut T {
        match period {
            Period::Day => &mut self.days,
            Period::Week => &mut self.weeks,
        }
    }
}

/// The dates of one partition of a mart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DateSpan {
    pub period: Period,
    /// The date of the partition.
    pub first: NaiveDate,
    /// Equal to `first` for a day.
    pub last: NaiveDate,
}

/// Thresholds of a rising note: it must meet all of them.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rising {
    /// Likes since the previous snapshot.
    pub min_likes_gained: i64,
    pub min_likes_per_hour: f64,
    /// Hours since the note was published.
    pub max_age_hours: f64,
}

/// A mart file, as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MartFile {
    mart: Spanned<String>,
    #[serde(default)]
    period: Period,
    description: String,
    reads: IndexMap<Spanned<String>, Vec<Spanned<String>>>,
    sort_by: Vec<Spanned<String>>,
    #[serde(default)]
    bloom_filter: Vec<Spanned<String>>,
    rising: Option<Rising>,
    columns: IndexMap<String, Column>,
}

impl MartFile {
    pub(super) fn name(&self) -> &Spanned<String> {
        &self.mart
    }

    /// Returns the mart over these tables; `computable` are the marts that redlake can compute. Adds a diagnostic to `found` for each mistake.
    pub(super) fn over(
        self,
        tables: &IndexMap<String, Table>,
        computable: &[&str],
        file: &SourceFile,
        found: &mut Vec<Diagnostic>,
    ) -> Mart {
        known_mart(&self.mart, tables, computable, file, found);
        for (name, columns) in &self.reads {
            readable(name, columns, tables, file, found);
        }
        let words = |names: Vec<Spanned<String>>| names.into_iter().map(|name| name.value);
        let reads = self.reads.into_iter();
        let reads: BTreeMap<String, Vec<String>> = reads
            .map(|(table, columns)| (table.value, words(columns).collect()))
            .collect();
        let endpoints = reads.keys().filter_map(|name| {
            let LatestView { endpoints, .. } = tables.get(name)?.latest_view.as_ref()?;
            Some((name.clone(), endpoints.clone()))
        });
        let table = Table {
            table: self.mart,
            description: self.description,
            rows_from: RowsFrom::Tables,
            sort_by: self.sort_by,
            latest_by: Vec::new(),
            latest_with: None,
            bloom_filter: self.bloom_filter,
            latest_view: None,
            delta_by: Vec::new(),
            columns: self.columns,
            view_columns: IndexMap::new(),
            removed: IndexMap::new(),
            query: None,
        };
        known_columns(&table, file, found);
        Mart {
            endpoints: endpoints.collect(),
            period: self.period,
            table,
            reads,
            rising: self.rising,
        }
    }
}

fn known_mart(
    name: &Spanned<String>,
    tables: &IndexMap<String, Table>,
    computable: &[&str],
    file: &SourceFile,
    found: &mut Vec<Diagnostic>,
) {
    if tables.contains_key(&name.value) {
        let message = format!("`{}` is a table, too", name.value);
        let hint = "rename the mart, and its file";
        found.push(Diagnostic::error(file, Some(name.span()), message).hint(hint));
    }
    if !computable.contains(&name.as_str()) {
        let message = format!("redlake cannot compute a mart `{}`", name.value);
        let hint = match nearest(name, computable.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("use one of: {}", computable.join(", ")),
        };
        found.push(Diagnostic::error(file, Some(name.span()), message).hint(hint));
    }
}

/// Checks that the columns that a mart reads exist.
fn readable(
    name: &Spanned<String>,
    columns: &[Spanned<String>],
    tables: &IndexMap<String, Table>,
    file: &SourceFile,
    found: &mut Vec<Diagnostic>,
) {
    let Some(table) = tables.get(&name.value) else {
        let message = format!("there is no table `{}`", name.value);
        let hint = near_or(
            name,
            tables.keys(),
            "read a table that `redlake schema list` names",
        );
        found.push(Diagnostic::error(file, Some(name.span()), message).hint(hint));
        return;
    };
    for column in columns {
        if !table.columns.contains_key(&column.value) {
            let message = format!("`{}` has no column `{}`", name.value, column.value);
            let hint = "correct the name, or remove the mart's file";
            found.push(Diagnostic::error(file, Some(column.span()), message).hint(hint));
        }
    }
}
