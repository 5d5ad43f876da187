//! Sorts rows and keeps the latest observation of each key.

use std::cell::OnceCell;
use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, FixedSizeBinaryArray, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::error::ArrowError;
use arrow::row::{RowConverter, Rows, SortField};

use crate::transform::tables::shape::Shape;

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
    pub fn of(rows: &RecordBatch, shape: &Shape) -> Result<Self, ArrowError> {
        let columns = |places: &[usize]| -> Vec<ArrayRef> {
            places.iter().map(|&c| Arc::clone(rows.column(c))).collect()
        };
        let is_key = |c: &usize| shape.group.contains(c) || shape.order.contains(c);
        let rest: Vec<usize> = (0..shape.stored.len()).filter(|c| !is_key(c)).collect();
        let order = if shape.order.is_empty() {
            None
        } else {
            Some(comparable(&columns(&shape.order))?)
        };
        let observed = rows.columns().last().filter(|_| shape.latest);
        Ok(Keys {
            group: comparable(&columns(&shape.group))?,
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
                (Ok(a), Ok(b)) => a.row(row).cmp(&b.row(other_row)),
                _ => Ordering::Equal,
            })
    }

    /// Returns the bytes of the other columns, which are computed at the first tie.
    fn rest(&self) -> &Result<Rows, ArrowError> {
        self.rest_rows.get_or_init(|| comparable(&self.rest))
    }
}

fn comparable(columns: &[ArrayRef]) -> Result<Rows, ArrowError> {
    let fields = columns
        .iter()
        .map(|c| SortField::new(c.data_type().clone()));
    let converter = RowConverter::new(fields.collect())?;
    if columns.is_empty() {
        // Without columns the number of rows is unknown. No row is ever read.
        Ok(converter.empty_rows(0, 0))
    } else {
        converter.convert_columns(columns)
    }
}

/// Returns the rows in order, without those outdated by a later observation in the same batch, and
/// the number of outdated rows.
///
/// # Errors
/// Keys of a type that cannot be compared; there is none.
pub fn sorted(rows: &RecordBatch, shape: &Shape) -> Result<(RecordBatch, u64), ArrowError> {
    let keys = Keys::of(rows, shape)?;
    let count = u32::try_from(rows.num_rows())
        .map_err(|_| ArrowError::ComputeError("more than 2^32 rows at once".to_owned()))?;
    let order = if shape.group.is_empty() {
        (0..count).collect()
    } else {
        in_order(&keys, count)
    };
    let kept = if shape.latest {
        latest(&order, &keys)
    } else {
        order
    };
    let superseded = u64::from(count) - kept.len() as u64;
    let kept = take_record_batch(rows, &UInt32Array::from(kept))?;
    Ok((kept, superseded))
}

/// Returns the row numbers in order. The first bytes of the keys decide most comparisons. They are
/// stored next to the row numbers, which avoids random memory access.
fn in_order(keys: &Keys, count: u32) -> Vec<u32> {
    let begin = |row: u32| {
        let key = keys.group.row(row as usize);
        let key = key.data();
        let mut first = [0; 16];
        let known = key.len().min(first.len());
        first[..known].copy_from_slice(&key[..known]);
        (u128::from_be_bytes(first), row)
    };
    let mut rows: Vec<(u128, u32)> = (0..count).map(begin).collect();
    rows.sort_unstable_by(|(a_begin, a), (b_begin, b)| {
        let by_begin = a_begin.cmp(b_begin);
        by_begin.then_with(|| keys.cmp(*a as usize, keys, *b as usize))
    });
    rows.into_iter().map(|(_, row)| row).collect()
}

/// Returns the rows of the latest observation of each group.
fn latest(order: &[u32], keys: &Keys) -> Vec<u32> {
    let same = |a: &u32, b: &u32| keys.group.row(*a as usize) == keys.group.row(*b as usize);
    let mut kept = Vec::with_capacity(order.len());
    for group in order.chunk_by(same) {
        let observed = |row: &u32| keys.observed(*row as usize);
        let newest = group.iter().map(observed).max().expect("a group has rows");
        kept.extend(group.iter().filter(|row| observed(row) == newest));
    }
    kept
}
