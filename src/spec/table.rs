//! Types of `schemas/tables/<table>.yaml`: an output table.

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::spec::yaml::document::Spanned;

/// An output table, as its contract declares it. [`Table::columns`] includes the common columns.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    pub table: Spanned<String>,
    pub description: String,
    pub rows_from: RowsFrom,
    /// Sort key of the rows in a file. It identifies a row within a run.
    pub sort_by: Vec<Spanned<String>>,
    /// Key of an observation. Of several observations of a key in one run, only the latest is
    /// kept.
    #[serde(default)]
    pub latest_by: Vec<Spanned<String>>,
    /// A table with the same `latest_by`. Its later observations outdate rows of this table, too.
    pub latest_with: Option<Spanned<String>>,
    #[serde(default)]
    pub bloom_filter: Vec<Spanned<String>>,
    pub latest_view: Option<LatestView>,
    /// Key of the view `<table>_delta`, which shows each row beside the previous row of the same
    /// key.
    #[serde(default)]
    pub delta_by: Vec<Spanned<String>>,
    pub columns: IndexMap<String, Column>,
    /// Columns that files do not have. The view of the table computes them.
    #[serde(default)]
    pub view_columns: IndexMap<String, Column>,
    /// Removed columns, each with the reason. Older files may hold them; views leave them out.
    #[serde(default)]
    pub removed: IndexMap<Spanned<String>, String>,
    /// The query that gives the rows of a view.
    #[serde(skip)]
    pub query: Option<ViewQuery>,
}

/// The query of a view.
#[derive(Clone, Debug)]
pub struct ViewQuery {
    /// Tables and views that the query reads, with the columns.
    pub reads: IndexMap<String, Vec<String>>,
    /// A SELECT statement with the view's columns.
    pub sql: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowsFrom {
    /// Flattened from API answers.
    Pages,
    /// Written by redlake itself.
    Redlake,
    /// Computed from other tables: a mart.
    #[serde(skip)]
    Tables,
    /// Computed by a query whenever it is read: a view.
    #[serde(skip)]
    Query,
}

/// The folders of a lake that hold the table folders and the mart folders.
pub const FOLDERS: [&str; 2] = ["tables", "marts"];

impl RowsFrom {
    /// Returns the entry of [`FOLDERS`] that holds the table's folder. `None` for a view, which has
    /// no files.
    pub fn folder(self) -> Option<&'static str> {
        let [tables, marts] = FOLDERS;
        match self {
            RowsFrom::Pages | RowsFrom::Redlake => Some(tables),
            RowsFrom::Tables => Some(marts),
            RowsFrom::Query => None,
        }
    }
}

/// A view with one row per id. It merges the newest observation of each endpoint, column by
/// column.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LatestView {
    pub id: Spanned<String>,
    /// Endpoints by precedence: on equal snapshots the first one wins.
    pub endpoints: Vec<String>,
}

/// Kind of a view that is derived from one table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DerivedKind {
    /// One row per id: `<table>_latest`.
    Latest,
    /// One row per id and pipeline: `<table>_latest_by_pipeline`.
    LatestByPipeline,
    /// One row per id and snapshot, beside the snapshot before: `<table>_delta`.
    Delta,
    /// Each row beside the row before it with the same `delta_by`: `<table>_delta_by_endpoint`, or
    /// `<table>_delta` for a table without a latest view.
    DeltaByKey,
}

/// Name and kind of a view that is derived from one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DerivedName {
    pub name: String,
    pub kind: DerivedKind,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Column {
    #[serde(rename = "type")]
    pub kind: ColumnType,
    /// Earlier types of the column, which older files may hold.
    #[serde(default)]
    pub was: Vec<ColumnType>,
    #[serde(default)]
    pub required: bool,
    pub unit: Option<String>,
    /// Number of decimals of the column in views, which show it as a decimal. Sums of decimals are
    /// exact. Files have it as float64.
    pub decimals: Option<Spanned<u8>>,
    /// True if the column holds personal data: who a person is, what they wrote or show, where they
    /// are.
    #[serde(default)]
    pub personal: bool,
    /// True if the column holds text written by people, which may contain a telephone number.
    #[serde(default)]
    pub free_text: bool,
    /// Kind of id that the column holds. Columns with the same word hold the same ids.
    pub identity: Option<String>,
    /// The column that holds, in each row, the kind of id that this column has.
    pub identity_by: Option<Spanned<String>>,
    pub fill: Option<Fill>,
    /// SQL over other columns of the row, which gives the value of a view column.
    pub sql: Option<String>,
    pub description: String,
}

/// Number of digits of a column with [`Column::decimals`], those after the point included.
pub const DECIMAL_DIGITS: u8 = 18;

impl Column {
    /// Returns the type in words, for people: the type in files, and the type in views if it is
    /// another.
    pub fn type_in_words(&self) -> String {
        let kind = self.kind.as_str();
        match &self.decimals {
            Some(decimals) => {
                let decimals = decimals.value;
                format!("{kind}, in views decimal({DECIMAL_DIGITS},{decimals})")
            }
            None => kind.to_owned(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnType {
    String,
    Int64,
    Float64,
    Bool,
    /// Microseconds UTC.
    Timestamp,
    Date,
}

/// A value that redlake fills in from the context of a row, not from the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fill {
    RunId,
    Pipeline,
    Source,
    SnapshotAt,
    SnapshotDate,
    FetchedAt,
    Endpoint,
    SearchId,
    Keyword,
    KeywordSet,
    Page,
    /// Position on the page, from 1.
    Position,
    /// Position in the search across its pages, from 1.
    Rank,
    ItemCount,
    NewItemCount,
    Sort,
    NoteTypeFilter,
    PublishedWithin,
    NoteId,
    /// Reason why the search ended after this page.
    Stop,
}

/// `schemas/common_columns.yaml`: columns that several tables have.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommonColumns {
    pub every_table: IndexMap<String, Column>,
    pub from_pages: IndexMap<String, Column>,
}

impl ColumnType {
    pub fn as_str(self) -> &'static str {
        match self {
            ColumnType::String => "string",
            ColumnType::Int64 => "int64",
            ColumnType::Float64 => "float64",
            ColumnType::Bool => "bool",
            ColumnType::Timestamp => "timestamp",
            ColumnType::Date => "date",
        }
    }

    /// Returns true if every value of type `other` has one reading as this type. DuckDB converts
    /// so where files of both types lie side by side.
    ///
    /// A whole number is exact as a float up to 2^53.
    pub fn can_read(self, other: ColumnType) -> bool {
        use ColumnType::{Bool, Date, Float64, Int64, String};
        matches!(
            (other, self),
            (Int64, Float64) | (Int64 | Float64 | Bool | Date, String)
        )
    }
}

impl Table {
    pub fn name(&self) -> &str {
        &self.table.value
    }

    /// Returns all columns of the table's view, but for the folder `dt`.
    pub fn shown_columns(&self) -> impl Iterator<Item = (&String, &Column)> {
        self.columns.iter().chain(&self.view_columns)
    }

    /// Returns the views that are derived from the table.
    pub fn derived_views(&self) -> Vec<DerivedName> {
        let has_latest = self.latest_view.is_some();
        let has_delta = !self.delta_by.is_empty();
        let views = [
            (has_latest, "latest", DerivedKind::Latest),
            (
                has_latest,
                "latest_by_pipeline",
                DerivedKind::LatestByPipeline,
            ),
            (has_latest && has_delta, "delta", DerivedKind::Delta),
            (
                has_latest && has_delta,
                "delta_by_endpoint",
                DerivedKind::DeltaByKey,
            ),
            (!has_latest && has_delta, "delta", DerivedKind::DeltaByKey),
        ];
        let there = views.into_iter().filter(|(is_there, ..)| *is_there);
        let named = there.map(|(_, ending, kind)| DerivedName {
            name: format!("{}_{ending}", self.name()),
            kind,
        });
        named.collect()
    }

    /// Removes the views that are derived from the table.
    pub fn leave_out_derived_views(&mut self) {
        self.latest_view = None;
        self.delta_by.clear();
    }

    /// Returns true if the contract lists this column as removed.
    pub fn has_removed(&self, column: &str) -> bool {
        self.removed.keys().any(|name| name.value == column)
    }

    /// Appends the common columns of this kind of table.
    pub fn with_common(mut self, common: &CommonColumns) -> Self {
        let pages = match self.rows_from {
            RowsFrom::Pages => Some(&common.from_pages),
            RowsFrom::Redlake | RowsFrom::Tables | RowsFrom::Query => None,
        };
        for columns in [Some(&common.every_table), pages].into_iter().flatten() {
            self.columns.extend(columns.clone());
        }
        self
    }
}

/// Reasons, by (table, column), why a column cannot be read while old files are there.
pub type Unreadable = BTreeMap<(String, String), String>;

/// Effects that the columns of a lake's files have on its readers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FileColumns {
    pub unreadable: Unreadable,
    /// Tables whose files all have the same columns. The schema of one file stands for all.
    pub uniform: BTreeSet<String>,
}

/// Returns the table of this name, or the one that a view of this name is derived from, with the kind
/// of the view.
pub fn owner<'t>(
    relation: &str,
    tables: &'t IndexMap<String, Table>,
) -> Option<(&'t Table, Option<DerivedKind>)> {
    if let Some(table) = tables.get(relation) {
        return Some((table, None));
    }
    tables.values().find_map(|table| {
        let mut views = table.derived_views().into_iter();
        let view = views.find(|view| view.name == relation)?;
        Some((table, Some(view.kind)))
    })
}
