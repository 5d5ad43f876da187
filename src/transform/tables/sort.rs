//! Sorts the rows that are in memory, by their places: no row is copied.

use std::cell::OnceCell;
use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, FixedSizeBinaryArray, RecordBatch};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, Rows, SortField};

use crate::transform::tables::shape::Layout;

/// Place of a row: the index of its batch, and the row in the batch.
pub type RowPlace = (u32, u32);

/// Keys of a batch's rows, as comparable bytes.
pub struct Keys {
    pub group: Rows,
    order: Option<Rows>,
    /// Columns that are not keys. They break ties, so that the files do not depend on the order in
    /// which rows arrive.
    rest: Vec<ArrayRef>,
    rest_rows: OnceCell<Result<Rows, ArrowError>>,
    observed: Option<FixedSizeBinaryArray>,
}

impl Keys {
    /// # Errors
    /// Keys of a type that cannot be compared; there is none.
    pub fn of(rows: &RecordBatch, layout: &Layout) -> Result<Self, ArrowError> {
        let columns = |places: &[usize]| -> Vec<ArrayRef> {
            places.iter().map(|&c| Arc::clone(rows.column(c))).collect()
        };
        let is_key = |c: &usize| layout.group.contains(c) || layout.order.contains(c);
        let rest: Vec<usize> = (0..rows.num_columns() - usize::from(layout.latest))
            .filter(|c| !is_key(c))
            .collect();
        let order = if layout.order.is_empty() {
            None
        } else {
            Some(comparable(&columns(&layout.order))?)
        };
        let observed = rows.columns().last().filter(|_| layout.latest);
        Ok(Keys {
            group: comparable(&columns(&layout.group))?,
            order,
            rest: columns(&rest),
            rest_rows: OnceCell::new(),
            observed: observed.map(|column| column.as_fixed_size_binary().clone()),
        })
    }

    /// Returns the observation of a row. Empty if the table does not keep the latest.
    pub fn observed(&self, row: usize) -> &[u8] {
        self.observed.as_ref().map_or(&[], |o| o.value(row))
    }

    /// Compares a row with a row of the same or another batch.
    pub fn cmp(&self, row: usize, other: &Keys, other_row: usize) -> Ordering {
        let by_group = self.group.row(row).cmp(&other.group.row(other_row));
        by_group
            .then_with(|| match (&self.order, &other.order) {
                (Some(a), Some(b)) => a.row(row).cmp(&b.row(other_row)),
                _ => Ordering::Equal,
            })
            .then_with(|| match (self.rest(), other.rest()) {
                // Without columns there are no rows to compare.
                (Ok(a), Ok(b)) if !self.rest.is_empty() => a.row(row).cmp(&b.row(other_row)),
                _ => Ordering::Equal,
            })
    }

    /// Returns the bytes of the other columns, which are computed at the first tie.
    fn rest(&self) -> &Result<Rows, ArrowError> {
        self.rest_rows.get_or_init(|| comparable(&self.rest))
    }

    /// Returns the first bytes of a row's key, as a number that compares as they do.
    fn begin(&self, row: usize) -> u128 {
        let key = self.group.row(row);
        let key = key.data();
        let mut first = [0; 16];
        let known = key.len().min(first.len());
        first[..known].copy_from_slice(&key[..known]);
        u128::from_be_bytes(first)
    }
}

fn comparable(columns: &[ArrayRef]) -> Result<Rows, ArrowError> {
    let fields = columns
        .iter()
        .map(|c| SortField::new(c.data_type().clone()));
    let converter = RowConverter::new(fields.collect())?;
    if columns.is_empty() {
        // Without columns the number of rows is unknown.
        Ok(converter.empty_rows(0, 0))
    } else {
        converter.convert_columns(columns)
    }
}

/// Adjacent rows of a batch that are in order and whose keys begin with the same bytes, such as the
/// pictures of a note. They are sorted as one.
struct Stretch {
    begin: u128,
    batch: u32,
    first: u32,
    rows: u32,
}

/// Returns the places of all rows of these batches, in order.
///
/// # Errors
/// More than 2^32 rows in a batch, or as many batches.
pub fn in_order(batches: &[&Keys], rows: &[usize]) -> Result<Vec<RowPlace>, ArrowError> {
    let mut stretches = Vec::new();
    for (batch, (keys, rows)) in batches.iter().zip(rows).enumerate() {
        add_stretches(&mut stretches, number(batch)?, keys, number(*rows)?);
    }
    stretches.sort_unstable_by_key(|stretch: &Stretch| stretch.begin);
    let mut places = Vec::with_capacity(rows.iter().sum());
    for same in stretches.chunk_by(|a, b| a.begin == b.begin) {
        let from = places.len();
        for Stretch {
            batch, first, rows, ..
        } in same
        {
            places.extend((*first..first + rows).map(|row| (*batch, row)));
        }
        if same.len() > 1 {
            // Stable: it takes less time where rows are in order already.
            places[from..].sort_by(|(a_batch, a), (b_batch, b)| {
                let (a_keys, b_keys) = (batches[*a_batch as usize], batches[*b_batch as usize]);
                a_keys.cmp(*a as usize, b_keys, *b as usize)
            });
        }
    }
    Ok(places)
}

fn add_stretches(stretches: &mut Vec<Stretch>, batch: u32, keys: &Keys, rows: u32) {
    let from = stretches.len();
    for row in 0..rows {
        let begin = keys.begin(row as usize);
        let follows = |stretch: &&mut Stretch| {
            stretch.begin == begin && keys.cmp(row as usize - 1, keys, row as usize).is_le()
        };
        match stretches[from..].last_mut().filter(follows) {
            Some(stretch) => stretch.rows += 1,
            None => stretches.push(Stretch {
                begin,
                batch,
                first: row,
                rows: 1,
            }),
        }
    }
}

/// Returns a count of rows or batches as part of a [`RowPlace`].
///
/// # Errors
/// More than 2^32.
pub fn number(count: usize) -> Result<u32, ArrowError> {
    let too_many = |_| ArrowError::ComputeError("more than 2^32 rows at once".to_owned());
    u32::try_from(count).map_err(too_many)
}
