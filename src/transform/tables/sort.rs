//! Rows in their order, and of several observations of the same thing the latest.

use std::cell::OnceCell;
use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, FixedSizeBinaryArray, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::error::ArrowError;
use arrow::row::{RowConverter, Rows, SortField};

use crate::transform::tables::shape::Shape;

/// The keys of a batch's rows, as comparable bytes.
pub struct Keys {
    pub group: Rows,
    order: Option<Rows>,
    /// The columns that are no keys: they break ties, so that equal rows that came in any order
    /// give equal files.
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

    /// When a row was observed; nothing where that does not matter.
    pub fn observed(&self, row: usize) -> &[u8] {
        self.observed.as_ref().map_or(&[], |o| o.value(row))
    }

    /// Compares a row with one of another batch, or of the same.
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

    /// Made when the first tie asks for it.
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
        // Rows without columns know no number of rows; none are ever asked for.
        Ok(converter.empty_rows(0, 0))
    } else {
        converter.convert_columns(columns)
    }
}

/// The rows in order, without those that a later observation in the same batch outdates, and how
/// many these are.
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

/// The rows in order. Most comparisons are decided by the first bytes of the keys, which are kept
/// beside the rows' numbers: that spares looking the keys up all over the memory.
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
        let newest = group.iter().map(observed).max().unwrap_or_default();
        kept.extend(group.iter().filter(|row| observed(row) == newest));
    }
    kept
}
