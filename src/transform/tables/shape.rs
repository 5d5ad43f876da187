//! Columns of a table as they are made and stored.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use indexmap::IndexMap;

use crate::raw::page::PageHeader;
use crate::spec::table::{ColumnType, Fill, Table};

/// Name of the table of rejected items.
pub const REJECTS: &str = "rejects";

/// Name of the table of differences.
pub(crate) const DRIFT: &str = "drift";

pub fn is_ours(table: &str) -> bool {
    [REJECTS, DRIFT].contains(&table)
}

/// A table of a run, until its rows are written.
#[derive(Debug)]
pub struct Shape {
    pub name: String,
    /// All columns, in the contract's order.
    pub schema: SchemaRef,
    /// The types of all columns.
    pub kinds: Vec<ColumnType>,
    /// The columns that differ from row to row. The others are equal in all rows of a run.
    pub stored: Vec<StoredColumn>,
    /// The layout of `stored`.
    pub layout: Layout,
    /// Table whose observations also outdate those of this one.
    pub parent: Option<usize>,
}

/// Columns and order of rows that are sorted and merged.
#[derive(Debug)]
pub struct Layout {
    /// The columns, with the observation time as the last one if `latest`.
    pub schema: SchemaRef,
    /// Key columns, as indexes. If `latest`, they are the columns of `latest_by`, and only the latest
    /// observation of each group is kept. Otherwise they are the sort columns, or all columns if the
    /// table has no order.
    pub group: Vec<usize>,
    pub latest: bool,
    /// The order of rows inside a group.
    pub order: Vec<usize>,
}

/// A column whose values differ from row to row.
#[derive(Debug)]
pub struct StoredColumn {
    /// Index among the contract's columns.
    pub at: usize,
    pub name: String,
    pub kind: ColumnType,
    pub fill: Option<Fill>,
    pub required: bool,
}

/// Returns the shapes of all tables, in the order of the contracts.
pub fn shapes(tables: &IndexMap<String, Table>) -> Vec<Shape> {
    let shape = |table: &Table| Shape {
        parent: table
            .latest_with
            .as_ref()
            .and_then(|parent| tables.get_index_of(&parent.value)),
        ..Shape::new(table)
    };
    tables.values().map(shape).collect()
}

/// Name of the internal column with a row's observation, until rows are written.
const OBSERVED: &str = " observed";

impl Shape {
    pub fn new(table: &Table) -> Self {
        let stored: Vec<StoredColumn> = table
            .columns
            .iter()
            .enumerate()
            .filter(|(_, (_, column))| !column.fill.is_some_and(is_of_run))
            .map(|(at, (name, column))| StoredColumn {
                at,
                name: name.clone(),
                kind: column.kind,
                fill: column.fill,
                required: column.required,
            })
            .collect();
        let places = |names: &[crate::spec::yaml::document::Spanned<String>]| -> Vec<usize> {
            let place = |name: &String| stored.iter().position(|c| c.name == *name);
            names.iter().filter_map(|n| place(&n.value)).collect()
        };
        let (group, sort) = (places(&table.latest_by), places(&table.sort_by));
        let latest = !group.is_empty();
        // Validated contracts: `sort_by` begins with the columns of `latest_by`.
        let (group, order) = if latest {
            (group.clone(), sort[group.len()..].to_vec())
        } else if sort.is_empty() {
            // Rows without an order are sorted by all columns: the files must not depend on the
            // order in which rows arrive.
            ((0..stored.len()).collect(), Vec::new())
        } else {
            (sort, Vec::new())
        };
        let mut fields: Vec<Field> = stored
            .iter()
            .map(|c| table.columns[c.at].to_arrow(&c.name))
            .collect();
        if latest {
            let kind = DataType::FixedSizeBinary(Observed::LEN as i32);
            fields.push(Field::new(OBSERVED, kind, false));
        }
        let layout = Layout {
            schema: Arc::new(Schema::new(fields)),
            group,
            latest,
            order,
        };
        Shape {
            name: table.name().to_owned(),
            schema: table.to_arrow(),
            kinds: table.columns.values().map(|c| c.kind).collect(),
            stored,
            layout,
            parent: None,
        }
    }
}

/// Returns whether a column is equal in all rows of a run.
fn is_of_run(fill: Fill) -> bool {
    matches!(
        fill,
        Fill::RunId | Fill::Pipeline | Fill::SnapshotAt | Fill::SnapshotDate
    )
}

impl StoredColumn {
    /// Returns what fills the column, if it is equal in all rows of a page.
    pub fn of_page(&self) -> Option<Fill> {
        self.fill
            .filter(|fill| !matches!(fill, Fill::Position | Fill::Rank))
    }
}

/// Observation of a row: fetch time, then page, then position on the page, then search id. The
/// search id orders two searches that fetched in the same microsecond. Compares as bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Observed(pub [u8; Observed::LEN]);

impl Observed {
    pub const LEN: usize = 28;

    /// Returns the observation of a whole page. See [`Observed::at`].
    pub fn page(header: &PageHeader) -> Self {
        // With the sign bit flipped, the bytes compare as the numbers do.
        let fetched_at = header.fetched_at.timestamp_micros() ^ i64::MIN;
        let search_id = &header.search.search_id;
        let search = u64::from_str_radix(search_id, 16).unwrap_or_default();
        let mut bytes = [0; Observed::LEN];
        bytes[..8].copy_from_slice(&fetched_at.to_be_bytes());
        bytes[8..12].copy_from_slice(&header.page.to_be_bytes());
        bytes[20..].copy_from_slice(&search.to_be_bytes());
        Observed(bytes)
    }

    /// Returns the observation at this position of the page.
    pub fn at(mut self, position: u64) -> Self {
        self.0[12..20].copy_from_slice(&position.to_be_bytes());
        self
    }
}
