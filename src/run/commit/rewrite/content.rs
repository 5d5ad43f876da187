//! RowContent of files, to compare before and after a rewrite.

use std::collections::BTreeSet;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};
use twox_hash::XxHash64;

/// Row count, checksum and runs of rows, in any order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RowContent {
    pub rows: u64,
    /// Sum of the hashes of all rows.
    checksum: u64,
    /// Values of the column `run_id`.
    pub runs: BTreeSet<String>,
}

impl RowContent {
    /// Adds rows. The contents to compare have the same columns.
    ///
    /// # Errors
    /// A column has a type that cannot be compared.
    pub fn add(&mut self, rows: &RecordBatch) -> Result<(), ArrowError> {
        let mut hashes = vec![0; rows.num_rows()];
        for column in rows.columns() {
            add_column(&mut hashes, column)?;
        }
        let sum = hashes.into_iter().fold(0, u64::wrapping_add);
        self.checksum = self.checksum.wrapping_add(sum);
        self.rows += rows.num_rows() as u64;
        let runs = rows.column_by_name("run_id");
        let runs = runs.and_then(|column| column.as_string_opt::<i32>());
        for run in runs.into_iter().flatten().flatten() {
            if !self.runs.contains(run) {
                self.runs.insert(run.to_owned());
            }
        }
        Ok(())
    }

    /// Adds the rows of another content.
    pub fn merge(&mut self, other: RowContent) {
        self.rows += other.rows;
        self.checksum = self.checksum.wrapping_add(other.checksum);
        self.runs.extend(other.runs);
    }
}

/// Adds a value to the hash of each row.
fn add_column(hashes: &mut [u64], column: &ArrayRef) -> Result<(), ArrowError> {
    match column.data_type() {
        DataType::Utf8 => {
            let texts = column.as_string::<i32>();
            add_values(hashes, column, |row| texts.value(row).as_bytes());
        }
        DataType::Boolean => {
            let flags = column.as_boolean();
            add_values(hashes, column, |row| [u8::from(flags.value(row))]);
        }
        kind => match kind.primitive_width() {
            Some(width) => {
                let data = column.to_data();
                let values = &data.buffers()[0].as_slice()[data.offset() * width..];
                add_values(hashes, column, |row| &values[row * width..][..width]);
            }
            None => {
                let field = SortField::new(kind.clone());
                let values = std::slice::from_ref(column);
                let values = RowConverter::new(vec![field])?.convert_columns(values)?;
                add_values(hashes, column, |row| values.row(row).data().to_vec());
            }
        },
    }
    Ok(())
}

fn add_values<B: AsRef<[u8]>>(hashes: &mut [u64], column: &dyn Array, value: impl Fn(usize) -> B) {
    for (row, hash) in hashes.iter_mut().enumerate() {
        *hash = if column.is_null(row) {
            XxHash64::oneshot(!*hash, &[])
        } else {
            XxHash64::oneshot(*hash, value(row).as_ref())
        };
    }
}
