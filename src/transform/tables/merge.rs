//! Merges the sorted parts of a table into its rows as they are written.

use std::fs::File;
use std::io::BufReader;
use std::rc::Rc;
use std::sync::Arc;

use arrow::array::{Array, AsArray, BinaryArray, FixedSizeBinaryArray, RecordBatch};
use arrow::compute::interleave_record_batch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;

use crate::transform::tables::shape::{Layout, Observed};
use crate::transform::tables::sort::{Keys, RowPlace, in_order, number};
use crate::transform::tables::spill::{Scratch, SpillWriter, Spilled};

/// Number of rows in a batch that a merge returns.
const ROWS: usize = 4_096;

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
    layout: &Layout,
    mut parts: Vec<Part>,
    scratch: Option<&Scratch>,
) -> Result<(Vec<Part>, u64), ArrowError> {
    let mut superseded = 0;
    while let Some(scratch) = scratch
        && parts.iter().filter(|part| part.is_on_disk()).count() > PARTS
    {
        let (disk, memory): (Vec<Part>, Vec<Part>) = parts.drain(..).partition(Part::is_on_disk);
        let mut disk = disk.into_iter();
        let some: Vec<Part> = disk.by_ref().take(PARTS).collect();
        parts.extend(disk.chain(memory));
        let (part, outdated) = merged(layout, &some, scratch)?;
        superseded += outdated;
        parts.push(part);
    }
    Ok((parts, superseded))
}

/// Merges parts to one on disk. Returns it and the number of rows that were outdated.
///
/// # Errors
/// A part that cannot be read, or a disk that is full.
pub fn merged(
    layout: &Layout,
    parts: &[Part],
    scratch: &Scratch,
) -> Result<(Part, u64), ArrowError> {
    let mut merge = Merge::new(layout, parts, None)?;
    let mut writer = scratch.writer(&layout.schema)?;
    while let Some(rows) = merge.next_rows()? {
        writer.write_small(&rows)?;
    }
    Ok((Part::Disk(writer.finish()?), merge.superseded))
}

/// A part of a table.
#[derive(Debug)]
pub enum Part {
    /// Rows in the order in which they were made.
    Memory(RecordBatch),
    /// Sorted rows.
    Disk(Spilled),
}

impl Part {
    pub fn rows(&self) -> u64 {
        match self {
            Part::Memory(rows) => rows.num_rows() as u64,
            Part::Disk(spilled) => spilled.rows,
        }
    }

    pub fn is_on_disk(&self) -> bool {
        matches!(self, Part::Disk(_))
    }

    /// Returns the approximate size in memory, in bytes.
    pub fn bytes(&self) -> u64 {
        match self {
            Part::Memory(rows) => rows.get_array_memory_size() as u64,
            Part::Disk(spilled) => spilled.bytes,
        }
    }
}

/// A batch that a merge holds, with the keys of its rows.
#[derive(Clone)]
struct Held {
    rows: RecordBatch,
    keys: Rc<Keys>,
}

impl Held {
    fn new(rows: RecordBatch, layout: &Layout) -> Result<Self, ArrowError> {
        let keys = Rc::new(Keys::of(&rows, layout)?);
        Ok(Held { rows, keys })
    }
}

/// Reading position in sorted rows.
struct Cursor {
    source: Source,
    /// Place of the current row. The batch is one of those that the merge holds.
    at: RowPlace,
}

enum Source {
    /// Places of the rows in memory that follow. Their batches are always held.
    Memory(std::vec::IntoIter<RowPlace>),
    Disk {
        reader: StreamReader<BufReader<File>>,
        /// Rows of the current batch that follow.
        left: u32,
    },
}

impl Cursor {
    /// Returns a cursor before the first row.
    fn new(source: Source) -> Self {
        Cursor { source, at: (0, 0) }
    }

    /// Moves to the next row, and holds the batch that it is in. Returns `false` at the end.
    fn advance(&mut self, held: &mut Vec<Held>, layout: &Layout) -> Result<bool, ArrowError> {
        let next = match &mut self.source {
            Source::Memory(places) => places.next(),
            Source::Disk { left, .. } if *left > 0 => {
                *left -= 1;
                Some((self.at.0, self.at.1 + 1))
            }
            Source::Disk { reader, left } => match reader.next().transpose()? {
                Some(rows) => {
                    *left = number(rows.num_rows())?.saturating_sub(1);
                    held.push(Held::new(rows, layout)?);
                    Some((number(held.len() - 1)?, 0))
                }
                None => None,
            },
        };
        self.at = next.unwrap_or_default();
        Ok(next.is_some())
    }
}

/// Merges sorted parts and keeps the latest observation of each key.
pub struct Merge<'s> {
    layout: &'s Layout,
    cursors: Vec<Cursor>,
    /// Binary heap of the cursors. The cursor with the least row is first.
    heap: Vec<usize>,
    held: Vec<Held>,
    /// The first batches, which the rows in memory are in.
    in_memory: usize,
    /// If more batches are held, those without a needed row are dropped. The limit grows with the
    /// batches that a large group keeps: a scan for each row would take quadratic time.
    release_at: usize,
    /// Rows to return next.
    chosen: Vec<(usize, usize)>,
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
    rows: Vec<RowPlace>,
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
        layout: &'s Layout,
        parts: &[Part],
        parent: Option<NewestReader>,
    ) -> Result<Self, ArrowError> {
        let mut merge = Merge {
            layout,
            cursors: Vec::new(),
            heap: Vec::new(),
            held: Vec::new(),
            in_memory: 0,
            release_at: 0,
            chosen: Vec::new(),
            group: Group::default(),
            parent,
            newest: None,
            superseded: 0,
            given: 0,
        };
        let memory = merge.open_memory(parts)?;
        let disk = parts.iter().filter_map(|part| match part {
            Part::Disk(spilled) => Some(spilled),
            Part::Memory(_) => None,
        });
        let disk = disk.map(|spilled| {
            let reader = spilled.read();
            reader.map(|reader| Source::Disk { reader, left: 0 })
        });
        for source in std::iter::once(Ok(memory)).chain(disk) {
            let mut cursor = Cursor::new(source?);
            if cursor.advance(&mut merge.held, layout)? {
                merge.cursors.push(cursor);
            }
        }
        merge.heap = (0..merge.cursors.len()).collect();
        merge.release_at = merge.release_limit();
        for at in (0..merge.heap.len() / 2).rev() {
            merge.sift_down(at);
        }
        Ok(merge)
    }

    /// Holds the batches of all parts in memory, and returns the places of their rows, in order.
    fn open_memory(&mut self, parts: &[Part]) -> Result<Source, ArrowError> {
        for part in parts {
            if let Part::Memory(rows) = part {
                self.held.push(Held::new(rows.clone(), self.layout)?);
            }
        }
        self.in_memory = self.held.len();
        let keys: Vec<&Keys> = self.held.iter().map(|held| &*held.keys).collect();
        let rows: Vec<usize> = self.held.iter().map(|held| held.rows.num_rows()).collect();
        Ok(Source::Memory(in_order(&keys, &rows)?.into_iter()))
    }

    /// Returns the number of held batches that is normal now.
    fn release_limit(&self) -> usize {
        (2 * self.held.len()).max(2 * self.cursors.len() + HELD)
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
        let held: Vec<&RecordBatch> = self.held.iter().map(|held| &held.rows).collect();
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
            if self.chosen.len() >= ROWS || self.held.len() > self.release_at {
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
        let at = self.cursors[cursor].at;
        if !self.layout.latest {
            self.chosen.push((at.0 as usize, at.1 as usize));
            return Ok(());
        }
        let keys = Rc::clone(&self.held[at.0 as usize].keys);
        let row = at.1 as usize;
        let key = keys.group.row(row);
        if !self.group.begun || self.group.key != key.data() {
            self.close_group()?;
            self.group.begin(key.data());
        }
        let group = &mut self.group;
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
            self.superseded += group.rows.len() as u64;
        } else {
            let rows = group.rows.iter();
            self.chosen
                .extend(rows.map(|(batch, row)| (*batch as usize, *row as usize)));
        }
        group.rows.clear();
        group.begun = false;
        Ok(())
    }

    /// Advances the first cursor of the heap to its next row.
    fn advance(&mut self, first: usize) -> Result<(), ArrowError> {
        if !self.cursors[first].advance(&mut self.held, self.layout)? {
            self.heap.swap_remove(0);
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
        let [a, b] = [a, b].map(|cursor| self.cursors[cursor].at);
        let keys = |at: RowPlace| &self.held[at.0 as usize].keys;
        keys(a).cmp(a.1 as usize, keys(b), b.1 as usize).is_lt()
    }

    /// Drops the batches from disk that no cursor and no row of the group refers to.
    fn drop_unused_batches(&mut self) {
        #[cfg(test)]
        RELEASES.with(|releases| releases.set(releases.get() + 1));
        let mut needed = vec![None; self.held.len()];
        needed[..self.in_memory].fill(Some(0));
        let of_cursors = self.heap.iter().map(|c| self.cursors[*c].at.0);
        let of_group = self.group.rows.iter().map(|(batch, _)| *batch);
        for batch in of_cursors.chain(of_group) {
            needed[batch as usize] = Some(0);
        }
        let mut kept = Vec::new();
        for (old, place) in needed.iter_mut().enumerate() {
            if let Some(place) = place {
                *place = kept.len() as u32;
                kept.push(self.held[old].clone());
            }
        }
        self.held = kept;
        let cursors = self.cursors.iter_mut().map(|cursor| &mut cursor.at.0);
        for batch in cursors.chain(self.group.rows.iter_mut().map(|(batch, _)| batch)) {
            *batch = needed[*batch as usize].unwrap_or_default();
        }
        self.release_at = self.release_limit();
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
    Disk(Box<SpillWriter>),
}

impl NewestWriter {
    /// Writes to disk if `scratch` is given, else to memory.
    pub fn new(scratch: Option<&Scratch>) -> Result<Self, ArrowError> {
        let to = match scratch {
            Some(scratch) => WriteTo::Disk(Box::new(scratch.writer(&newest_schema())?)),
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
