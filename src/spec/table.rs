//! The shape of `schemas/tables/<table>.yaml`: an output table.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::spec::yaml::document::Spanned;

/// An output table, as its contract declares it; [`Table::columns`] includes the common ones.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    pub table: Spanned<String>,
    pub description: String,
    pub rows_from: RowsFrom,
    /// The order of rows in a file, and what tells two rows of a run apart.
    pub sort_by: Vec<Spanned<String>>,
    /// Of several observations in one run, only the latest of each such group is kept.
    #[serde(default)]
    pub latest_by: Vec<Spanned<String>>,
    /// A table with the same `latest_by`: what it observed last outdates rows here too.
    pub latest_with: Option<Spanned<String>>,
    #[serde(default)]
    pub bloom_filter: Vec<Spanned<String>>,
    pub latest_view: Option<LatestView>,
    /// Makes the view `<table>_delta`: each row beside the one before it of the same such group.
    #[serde(default)]
    pub delta_by: Vec<Spanned<String>>,
    pub columns: IndexMap<String, Column>,
    /// Columns that older files may hold and views leave out, each with the reason.
    #[serde(default)]
    pub removed: IndexMap<Spanned<String>, String>,
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
}

/// The folders of a lake in which those of tables and marts lie.
pub const FOLDERS: [&str; 2] = ["tables", "marts"];

impl RowsFrom {
    /// The one of [`FOLDERS`] in which a table's folder lies.
    pub fn folder(self) -> &'static str {
        let [tables, marts] = FOLDERS;
        match self {
            RowsFrom::Pages | RowsFrom::Redlake => tables,
            RowsFrom::Tables => marts,
        }
    }
}

/// A view with one row an id: the newest observation of each endpoint, merged column by column.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LatestView {
    pub id: Spanned<String>,
    /// On equal snapshots the endpoint named first wins.
    pub endpoints: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Column {
    #[serde(rename = "type")]
    pub kind: ColumnType,
    /// Types that older files may hold it with.
    #[serde(default)]
    pub was: Vec<ColumnType>,
    #[serde(default)]
    pub required: bool,
    pub unit: Option<String>,
    /// Tells who somebody is, or what they wrote, show or where they are.
    #[serde(default)]
    pub personal: bool,
    /// Text as people write it, in which a telephone number may stand.
    #[serde(default)]
    pub free_text: bool,
    /// Whose id it is: all columns with the same word hold the same ids.
    pub identity: Option<String>,
    /// The column that says, in each row, whose id stands here.
    pub identity_by: Option<Spanned<String>>,
    pub fill: Option<Fill>,
    pub description: String,
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

/// What redlake knows of a row besides the answer it was read from.
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
    /// Place on the page, from 1.
    Position,
    /// Place in the search over its pages, from 1.
    Rank,
    ItemCount,
    NewItemCount,
    Sort,
    NoteTypeFilter,
    PublishedWithin,
    NoteId,
    /// Why the search asked for no further page after this one.
    Stop,
}

/// `schemas/common_columns.yaml`: columns that many tables have.
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

    /// Whether every value of the type `other` can be read as one of this type, always the same:
    /// DuckDB does so where files of both types lie side by side. A whole number is exact as a
    /// float up to 2^53.
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

    /// Whether the contract says that it no longer has this column.
    pub fn has_removed(&self, column: &str) -> bool {
        self.removed.keys().any(|name| name.value == column)
    }

    /// Appends the columns that this kind of table has in common with others.
    pub fn with_common(mut self, common: &CommonColumns) -> Self {
        let pages = match self.rows_from {
            RowsFrom::Pages => Some(&common.from_pages),
            RowsFrom::Redlake | RowsFrom::Tables => None,
        };
        for columns in [Some(&common.every_table), pages].into_iter().flatten() {
            self.columns.extend(columns.clone());
        }
        self
    }
}
