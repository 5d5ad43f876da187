//! Merges the sorted parts of a table into its rows as they are written.

use std::collections::VecDeque;
use std::fs::File;
use std::io::BufReader;
use std::sync::Arc;

use arrow::array::{Array, AsArray, BinaryArray, FixedSizeBinaryArray, RecordBatch};
use arrow::compute::interleave_record_batch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;

use crate::transform::tables::shape::{Observed, Shape};
use crate::transform::tables::sort::Keys;
use crate::transform::tables::spill::{Scratch, SpillWriter, Spilled, in_small_batches};

/// Number of rows in a batch that a merge returns.
const ROWS: usize = 8_192;

/// Number of batches that a merge holds besides those that it reads.
const HELD: usize = 32;

/// Maximum number of parts merged at once. Each takes an open file and a batch in memory.
const PARTS: usize = 32;

/// Merges parts until few enough are left to merge at once. Returns the parts and the number of
/// rows that were outdated. Without `scratch` the parts are returned as they are.
///
/// # Errors
/// A part that cannot be read, or a disk that is full.
pub fn reduce_parts(
    shape: &Shape,
    mut parts: Vec<Part>,
    scratch: Option<&Scratch>,
) -> Result<(Vec<Part>, u64), ArrowError> {
    let mut superseded = 0;
    while let Some(scratch) = scratch
        && parts.len() > PARTS
    {
        let some: Vec<Part> = parts.drain(..PARTS).collect();
        let mut merge = Merge::new(shape, &some, None)?;
        let mut writer = scratch.writer(&shape.name, &shape.stored_schema)?;
        while let Some(rows) = merge.next_rows()? {
            for batch in in_small_batches(&rows) {
                writer.write(&batch)?;
            }
        }
        superseded += merge.superseded;
        parts.push(Part::Disk(writer.finish()?));
    }
    Ok((parts, superseded))
}

/// A sorted part of a table.
#[derive(Debug)]
pub enum Part {
    Memory(RecordBatch),
    Disk(Spilled),
}

impl Part {
    pub fn rows(&self) -> u64 {
        match self {
            Part::Memory(rows) => rows.num_rows() as u64,
            Part::Disk(spilled) => spilled.rows,
        }
    }

    /// Returns the approximate size in memory, in bytes.
    pub fn bytes(&self) -> u64 {
        match self {
            Part::Memory(rows) => rows.get_array_memory_size() as u64,
            Part::Disk(spilled) => spilled.bytes,
        }
    }
}

/// Reads a part batch by batch.
enum Source {
    Memory(VecDeque<RecordBatch>),
    Disk(StreamReader<BufReader<File>>),
}

impl Source {
    fn open(part: &Part) -> Result<Self, ArrowError> {
        Ok(match part {
            Part::Memory(rows) => Source::Memory(in_small_batches(rows).collect()),
            Part::Disk(spilled) => Source::Disk(spilled.read()?),
        })
    }

    fn next(&mut self) -> Result<Option<RecordBatch>, ArrowError> {
        match self {
            Source::Memory(batches) => Ok(batches.pop_front()),
            Source::Disk(reader) => reader.next().transpose(),
        }
    }
}

/// Reading position in a part.
struct Cursor {
    source: Source,
    /// Index of the current batch among those that the merge holds.
    batch: usize,
    keys: Keys,
    row: usize,
}

/// Position of a row: batch among those that the merge holds, and row in the batch.
type RowAt = (usize, usize);

/// Merges sorted parts and keeps the latest observation of each key.
pub struct Merge<'s> {
    shape: &'s Shape,
    cursors: Vec<Cursor>,
    /// Binary heap of the cursors. The cursor with the least row is first.
    heap: Vec<usize>,
    held: Vec<RecordBatch>,
    /// If more batches are held, those without a needed row are dropped. The limit grows with the
    /// batches that a large group keeps: a scan for each row would take quadratic time.
    release_at: usize,
    /// Rows to return next.
    chosen: Vec<RowAt>,
    group: Group,
    parent: Option<NewestReader>,
    newest: Option<NewestWriter>,
    /// Rows that were outdated.
    pub superseded: u64,
    pub given: u64,
}

/// The current group of rows with equal keys.
#[derive(Default)]
struct Group {
    key: Vec<u8>,
    newest: Vec<u8>,
    rows: Vec<RowAt>,
    begun: bool,
}

impl Group {
    fn begin(&mut self, key: &[u8]) {
        self.key.clear();
        self.key.extend_from_slice(key);
        self.newest.clear();
        self.begun = true;
    }
}

impl<'s> Merge<'s> {
    /// `parent` has the latest observations of the parent table, which outdate rows of this table,
    /// too.
    pub fn new(
        shape: &'s Shape,
        parts: &[Part],
        parent: Option<NewestReader>,
    ) -> Result<Self, ArrowError> {
        let mut merge = Merge {
            shape,
            cursors: Vec::new(),
            heap: Vec::new(),
            held: Vec::new(),
            release_at: 0,
            chosen: Vec::new(),
            group: Group::default(),
            parent,
            newest: None,
            superseded: 0,
            given: 0,
        };
        for part in parts {
            let mut source = Source::open(part)?;
            if let Some(rows) = source.next()? {
                let keys = Keys::of(&rows, shape)?;
                merge.held.push(rows);
                let batch = merge.held.len() - 1;
                merge.cursors.push(Cursor {
                    source,
                    batch,
                    keys,
                    row: 0,
                });
            }
        }
        merge.heap = (0..merge.cursors.len()).collect();
        merge.release_at = 2 * merge.cursors.len() + HELD;
        for at in (0..merge.heap.len() / 2).rev() {
            merge.sift_down(at);
        }
        Ok(merge)
    }

    /// Returns the next rows, in order. `None` at the end.
    ///
    /// # Errors
    /// A part that cannot be read.
    pub fn next_rows(&mut self) -> Result<Option<RecordBatch>, ArrowError> {
        while self.chosen.len() < ROWS {
            let Some(&first) = self.heap.first() else {
                self.close_group()?;
                break;
            };
            self.take_row(first)?;
            self.advance(first)?;
            // If nearly all rows are outdated, their batches must not accumulate.
            if self.held.len() > self.release_at {
                if !self.chosen.is_empty() {
                    break;
                }
                self.drop_unused_batches();
            }
        }
        if self.chosen.is_empty() {
            return Ok(None);
        }
        let held: Vec<&RecordBatch> = self.held.iter().collect();
        let rows = interleave_record_batch(&held, &self.chosen)?;
        self.chosen.clear();
        self.drop_unused_batches();
        self.given += rows.num_rows() as u64;
        Ok(Some(rows))
    }

    /// Returns the latest observation of each group instead of the rows.
    ///
    /// # Errors
    /// A part that cannot be read.
    pub fn newest(mut self, writer: NewestWriter) -> Result<Newest, ArrowError> {
        self.newest = Some(writer);
        while let Some(&first) = self.heap.first() {
            self.take_row(first)?;
            self.advance(first)?;
            if self.chosen.len() >= ROWS {
                self.chosen.clear();
                self.drop_unused_batches();
            }
        }
        self.close_group()?;
        match self.newest {
            Some(writer) => writer.finish(),
            None => Ok(Newest::Memory(Vec::new())),
        }
    }

    fn take_row(&mut self, cursor: usize) -> Result<(), ArrowError> {
        let Cursor { batch, row, .. } = self.cursors[cursor];
        let at = (batch, row);
        if !self.shape.latest {
            self.chosen.push(at);
            return Ok(());
        }
        let is_next = {
            let key = self.cursors[cursor].keys.group.row(row);
            !self.group.begun || self.group.key != key.data()
        };
        if is_next {
            self.close_group()?;
        }
        let (group, keys) = (&mut self.group, &self.cursors[cursor].keys);
        if is_next {
            group.begin(keys.group.row(row).data());
        }
        let observed = keys.observed(row);
        match observed.cmp(&group.newest) {
            std::cmp::Ordering::Less => self.superseded += 1,
            std::cmp::Ordering::Equal => group.rows.push(at),
            std::cmp::Ordering::Greater => {
                self.superseded += group.rows.len() as u64;
                group.rows.clear();
                group.rows.push(at);
                group.newest.clear();
                group.newest.extend_from_slice(observed);
            }
        }
        Ok(())
    }

    fn close_group(&mut self) -> Result<(), ArrowError> {
        let group = &mut self.group;
        if !group.begun {
            return Ok(());
        }
        if let Some(newest) = &mut self.newest {
            newest.push(&group.key, &group.newest)?;
        }
        let outdated = match &mut self.parent {
            Some(parent) => parent.newest(&group.key)? > Some(group.newest.as_slice()),
            None => false,
        };
        if outdated {
            self.superseded += group.rows.len() as u64
        } else {
            self.chosen.extend(&group.rows)
        }
        group.rows.clear();
        group.begun = false;
        Ok(())
    }

    /// Advances the first cursor of the heap to its next row.
    fn advance(&mut self, first: usize) -> Result<(), ArrowError> {
        let cursor = &mut self.cursors[first];
        cursor.row += 1;
        if cursor.row == self.held[cursor.batch].num_rows() {
            match cursor.source.next()? {
                Some(rows) => {
                    cursor.keys = Keys::of(&rows, self.shape)?;
                    self.held.push(rows);
                    cursor.batch = self.held.len() - 1;
                    cursor.row = 0;
                }
                None => {
                    self.heap.swap_remove(0);
                }
            }
        }
        self.sift_down(0);
        Ok(())
    }

    fn sift_down(&mut self, mut at: usize) {
        loop {
            let children = [2 * at + 1, 2 * at + 2];
            let smaller = |a: usize, b: usize| {
                if self.precedes(self.heap[b], self.heap[a]) {
                    b
                } else {
                    a
                }
            };
            let least = children
                .into_iter()
                .filter(|c| *c < self.heap.len())
                .fold(at, smaller);
            if least == at {
                return;
            }
            self.heap.swap(at, least);
            at = least;
        }
    }

    fn precedes(&self, a: usize, b: usize) -> bool {
        let (a, b) = (&self.cursors[a], &self.cursors[b]);
        a.keys.cmp(a.row, &b.keys, b.row).is_lt()
    }

    /// Drops the batches that no cursor and no row of the group refers to.
    fn drop_unused_batches(&mut self) {
        #[cfg(test)]
        RELEASES.with(|releases| releases.set(releases.get() + 1));
        let mut needed = vec![None; self.held.len()];
        let of_cursors = self.heap.iter().map(|c| self.cursors[*c].batch);
        let of_group = self.group.rows.iter().map(|(batch, _)| *batch);
        for batch in of_cursors.chain(of_group) {
            needed[batch] = Some(0);
        }
        let mut kept = Vec::new();
        for (old, place) in needed.iter_mut().enumerate() {
            if let Some(place) = place {
                *place = kept.len();
                kept.push(self.held[old].clone());
            }
        }
        self.held = kept;
        let new = |old: usize| needed[old].unwrap_or_default();
        for cursor in &mut self.cursors {
            cursor.batch = new(cursor.batch);
        }
        for (batch, _) in &mut self.group.rows {
            *batch = new(*batch);
        }
        self.release_at = (2 * self.held.len()).max(2 * self.cursors.len() + HELD);
    }
}

#[cfg(test)]
thread_local! {
    /// Number of scans for unused batches on this thread.
    static RELEASES: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

#[cfg(test)]
pub(in crate::transform) fn releases() -> usize {
    RELEASES.with(std::cell::Cell::get)
}

/// Latest observation of each group of a table, in the order of the groups.
#[derive(Debug)]
pub enum Newest {
    Memory(Vec<RecordBatch>),
    Disk(Spilled),
}

/// Writes [`Newest`].
pub struct NewestWriter {
    keys: Vec<Vec<u8>>,
    observed: Vec<u8>,
    to: WriteTo,
}

enum WriteTo {
    Memory(Vec<RecordBatch>),
    Disk(SpillWriter),
}

impl NewestWriter {
    /// Writes to disk if `scratch` is given, else to memory.
    pub fn new(shape: &Shape, scratch: Option<&Scratch>) -> Result<Self, ArrowError> {
        let name = format!("{}-newest", shape.name);
        let to = match scratch {
            Some(scratch) => WriteTo::Disk(scratch.writer(&name, &newest_schema())?),
            None => WriteTo::Memory(Vec::new()),
        };
        Ok(NewestWriter {
            keys: Vec::new(),
            observed: Vec::new(),
            to,
        })
    }

    fn push(&mut self, key: &[u8], observed: &[u8]) -> Result<(), ArrowError> {
        self.keys.push(key.to_vec());
        self.observed.extend_from_slice(observed);
        if self.keys.len() < ROWS {
            Ok(())
        } else {
            self.flush()
        }
    }

    fn flush(&mut self) -> Result<(), ArrowError> {
        let keys = BinaryArray::from_iter_values(self.keys.drain(..));
        let observed = std::mem::take(&mut self.observed);
        let observed = FixedSizeBinaryArray::try_new(Observed::LEN as i32, observed.into(), None)?;
        let columns: Vec<Arc<dyn Array>> = vec![Arc::new(keys), Arc::new(observed)];
        let rows = RecordBatch::try_new(newest_schema(), columns)?;
        match &mut self.to {
            WriteTo::Memory(batches) => batches.push(rows),
            WriteTo::Disk(writer) => writer.write(&rows)?,
        }
        Ok(())
    }

    pub fn finish(mut self) -> Result<Newest, ArrowError> {
        if !self.keys.is_empty() {
            self.flush()?;
        }
        Ok(match self.to {
            WriteTo::Memory(batches) => Newest::Memory(batches),
            WriteTo::Disk(writer) => Newest::Disk(writer.finish()?),
        })
    }
}

fn newest_schema() -> SchemaRef {
    let observed = DataType::FixedSizeBinary(Observed::LEN as i32);
    Arc::new(Schema::new(vec![
        Field::new("key", DataType::Binary, false),
        Field::new("observed", observed, false),
    ]))
}

/// Reads [`Newest`] in step with a table that has the same groups.
pub struct NewestReader {
    from: ReadFrom,
    batch: Option<RecordBatch>,
    row: usize,
}

enum ReadFrom {
    Memory(std::vec::IntoIter<RecordBatch>),
    Disk(StreamReader<BufReader<File>>),
}

impl NewestReader {
    pub fn open(newest: &Newest) -> Result<Self, ArrowError> {
        let from = match newest {
            Newest::Memory(batches) => ReadFrom::Memory(batches.clone().into_iter()),
            Newest::Disk(spilled) => ReadFrom::Disk(spilled.read()?),
        };
        Ok(NewestReader {
            from,
            batch: None,
            row: 0,
        })
    }

    /// Returns the latest observation of a group, or `None` if it has none. Call it in the order of
    /// the groups.
    fn newest(&mut self, key: &[u8]) -> Result<Option<&[u8]>, ArrowError> {
        loop {
            let rows = self.batch.as_ref().map_or(0, RecordBatch::num_rows);
            if self.row == rows {
                self.batch = match &mut self.from {
                    ReadFrom::Memory(batches) => batches.next(),
                    ReadFrom::Disk(reader) => reader.next().transpose()?,
                };
                self.row = 0;
                if self.batch.is_none() {
                    return Ok(None);
                }
                continue;
            }
            let found = self.batch.as_ref().map(|b| {
                let keys: &BinaryArray = b.column(0).as_binary();
                keys.value(self.row).cmp(key)
            });
            match found {
                Some(std::cmp::Ordering::Less) => self.row += 1,
                Some(std::cmp::Ordering::Equal) => break,
                _ => return Ok(None),
            }
        }
        let observed = self.batch.as_ref().map(|b| b.column(1));
        Ok(observed.map(|column| column.as_fixed_size_binary().value(self.row)))
    }
}
