//! Sorts any number of rows in bounded memory.

use arrow::array::RecordBatch;
use arrow::error::ArrowError;

use crate::transform::tables::merge::{Merge, Part, merged, reduce_parts};
use crate::transform::tables::shape::Layout;
use crate::transform::tables::spill::Scratch;

/// Collects rows in any order. Beyond a limit of memory, they are sorted and spilled to disk.
pub struct Sorter<'s> {
    layout: &'s Layout,
    scratch: &'s Scratch,
    /// Limit of the rows in memory, in bytes.
    memory: usize,
    in_memory: usize,
    parts: Vec<Part>,
}

impl<'s> Sorter<'s> {
    pub fn new(layout: &'s Layout, scratch: &'s Scratch, memory: usize) -> Self {
        Sorter {
            layout,
            scratch,
            memory,
            in_memory: 0,
            parts: Vec::new(),
        }
    }

    /// Adds rows of the layout's schema.
    ///
    /// # Errors
    /// The disk is full.
    pub fn push(&mut self, rows: RecordBatch) -> Result<(), ArrowError> {
        self.in_memory += rows.get_array_memory_size();
        self.parts.push(Part::Memory(rows));
        if self.in_memory > self.memory {
            self.spill()?;
        }
        Ok(())
    }

    fn spill(&mut self) -> Result<(), ArrowError> {
        let parts = std::mem::take(&mut self.parts);
        let (disk, memory): (Vec<Part>, _) = parts.into_iter().partition(Part::is_on_disk);
        self.parts = disk;
        let (part, _) = merged(self.layout, &memory, self.scratch)?;
        self.parts.push(part);
        self.in_memory = 0;
        Ok(())
    }

    /// Begins to read the rows in order.
    ///
    /// # Errors
    /// A spilled part cannot be read, or the disk is full.
    pub fn finish(self) -> Result<SortedRows<'s>, ArrowError> {
        let (parts, _) = reduce_parts(self.layout, self.parts, Some(self.scratch))?;
        let merge = Merge::new(self.layout, &parts, None)?;
        Ok(SortedRows {
            merge,
            _parts: parts,
        })
    }
}

/// Sorted rows, batch by batch.
pub struct SortedRows<'s> {
    merge: Merge<'s>,
    /// Removed from the disk on drop.
    _parts: Vec<Part>,
}

impl Iterator for SortedRows<'_> {
    type Item = Result<RecordBatch, ArrowError>;
    fn next(&mut self) -> Option<Self::Item> {
        self.merge.next_rows().transpose()
    }
}
