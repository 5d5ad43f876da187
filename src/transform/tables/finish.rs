//! Tables of a run, ready to be written.

use std::collections::BTreeMap;
use std::sync::Mutex;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;

use crate::run_meta::RunMeta;
use crate::transform::common_columns::common_cells;
use crate::transform::contracts::Transform;
use crate::transform::error::TransformError;
use crate::transform::quality::drift::{DriftKind, DriftRow};
use crate::transform::quality::reject::Reject;
use crate::transform::quality::tally::{Tallies, Tally};
use crate::transform::tables::accumulator::Finished;
use crate::transform::tables::builder::{TableBuilder, push_record};
use crate::transform::tables::merge::{
    Merge, Newest, NewestReader, NewestWriter, Part, reduce_parts,
};
use crate::transform::tables::shape::{DRIFT, Shape};
use crate::transform::tables::spill::Scratch;

/// Result of flattening a run's pages.
pub struct Flattened<'t> {
    transform: &'t Transform,
    meta: RunMeta,
    scratch: Option<&'t Scratch>,
    parts: Vec<Vec<Part>>,
    tallies: Vec<Tally>,
    pub rejects: u64,
    pub drift: Vec<DriftRow>,
    /// First item that breaks the contract, in the order of searches and pages.
    pub first_bad: Option<Reject>,
}

/// Counts of the tables of a run.
#[derive(Clone, Debug, Default)]
pub struct FlattenOutcome {
    pub rejects: u64,
    pub drift: Vec<DriftRow>,
    pub tallies: Tallies,
}

/// A run's tables, in memory.
#[derive(Debug, Default)]
pub struct Tables {
    pub batches: BTreeMap<String, RecordBatch>,
    pub outcome: FlattenOutcome,
}

/// The rows of one table, batch by batch, in order.
pub struct TableRows<'s> {
    shape: &'s Shape,
    meta: &'s RunMeta,
    merge: Merge<'s>,
    /// Upper bound of the number of rows.
    pub most: u64,
}

impl TableRows<'_> {
    pub fn table(&self) -> &str {
        &self.shape.name
    }

    pub fn schema(&self) -> SchemaRef {
        SchemaRef::clone(&self.shape.schema)
    }
}

impl Iterator for TableRows<'_> {
    type Item = Result<RecordBatch, ArrowError>;
    fn next(&mut self) -> Option<Self::Item> {
        let rows = self.merge.next_rows().transpose()?;
        Some(rows.and_then(|rows| self.shape.complete(&rows, self.meta)))
    }
}

impl<'t> Flattened<'t> {
    /// Checks that every item is accounted for.
    ///
    /// # Errors
    /// An item is not accounted for, or the contract's tables cannot hold the differences.
    pub fn new(
        transform: &'t Transform,
        meta: RunMeta,
        finished: Finished,
        scratch: Option<&'t Scratch>,
    ) -> Result<Self, TransformError> {
        let Finished {
            mut parts,
            tallies,
            rejects,
            drift,
            first_bad,
        } = finished;
        let drift: Vec<DriftRow> = drift
            .iter()
            .flat_map(|((source, endpoint), drift)| drift.rows(source, endpoint))
            .collect();
        let kept = |at: usize| parts[at].iter().map(Part::rows).sum::<u64>();
        let all_kept = |at: usize, tally: &Tally| kept(at) + tally.superseded == tally.written;
        let mut fed = transform.fed_by_pages().map(|at| (at, &tallies[at]));
        let unaccounted = fed
            .find(|(at, tally)| !(tally.balances() && all_kept(*at, tally)))
            .map(|(at, _)| at);
        if let Some(at) = unaccounted {
            return Err(TransformError::Unaccounted {
                table: transform.shapes[at].name.clone(),
                tally: tallies[at],
            });
        }
        if let Some(at) = transform.shapes.iter().position(|s| s.name == DRIFT)
            && !drift.is_empty()
        {
            let shape = &transform.shapes[at];
            let mut builder = TableBuilder::new(shape);
            // A user's own contract may be of the previous version, which had no column `value`.
            let has_values = shape.stored.iter().any(|column| column.name == "value");
            for row in &drift {
                let row = &DriftRow {
                    value: row.value.clone().filter(|_| has_values),
                    ..row.clone()
                };
                let rules = transform.redaction.of(DRIFT);
                push_record(
                    &mut builder,
                    shape,
                    rules,
                    &common_cells(&meta, &row.source),
                    row,
                )?;
            }
            parts[at].push(Part::Memory(builder.take(shape)?));
        }
        Ok(Flattened {
            transform,
            meta,
            scratch,
            parts,
            tallies,
            rejects,
            drift,
            first_bad,
        })
    }

    /// Returns the first difference that is an unknown field.
    pub fn unknown_field(&self) -> Option<&DriftRow> {
        self.drift
            .iter()
            .find(|row| row.kind == DriftKind::UnknownField)
    }

    /// Calls `write` with the rows of every non-empty table, on `threads` threads.
    ///
    /// # Errors
    /// `write` fails, or rows were lost.
    pub fn write<E: From<TransformError> + Send>(
        self,
        threads: usize,
        write: impl Fn(&mut TableRows<'_>) -> Result<(), E> + Sync,
    ) -> Result<FlattenOutcome, E> {
        let Flattened {
            transform,
            meta,
            scratch,
            parts,
            tallies,
            rejects,
            drift,
            first_bad: _,
        } = self;
        let shapes = &transform.shapes;
        let broken = |error: ArrowError| E::from(TransformError::from(error));
        let (mut parts, mut tallies) = (parts, tallies);
        for ((parts, tally), shape) in parts.iter_mut().zip(&mut tallies).zip(shapes) {
            let few =
                reduce_parts(&shape.layout, std::mem::take(parts), scratch).map_err(broken)?;
            tally.superseded += few.1;
            *parts = few.0;
        }
        let parents = newest_of_parents(shapes, &parts, scratch).map_err(broken)?;
        let mut tasks: Vec<(usize, Vec<Part>)> = parts.into_iter().enumerate().collect();
        tasks.retain(|(_, parts)| !parts.is_empty());
        // The last task is taken first, so the largest table starts first.
        tasks.sort_by_key(|(_, parts)| parts.iter().map(Part::bytes).sum::<u64>());
        let tallies = Mutex::new(tallies);
        side_by_side(threads, tasks, |(at, parts)| {
            let shape = &shapes[at];
            let most: u64 = parts.iter().map(Part::rows).sum();
            let parent = shape.parent.and_then(|parent| parents.get(&parent));
            let parent = parent.map(NewestReader::open).transpose().map_err(broken)?;
            let merge = Merge::new(&shape.layout, &parts, parent).map_err(broken)?;
            // Spilled parts lack the rows that were outdated before. The bound must not depend on them,
            // since it determines the size of Bloom filters.
            let written = lock(&tallies)[at].written;
            let mut rows = TableRows {
                shape,
                meta: &meta,
                merge,
                most: most.max(written),
            };
            write(&mut rows)?;
            let Merge {
                given, superseded, ..
            } = rows.merge;
            if given + superseded != most {
                return Err(E::from(TransformError::Lost {
                    table: shape.name.clone(),
                    rows: most,
                    given,
                    superseded,
                }));
            }
            lock(&tallies)[at].superseded += superseded;
            Ok(())
        })?;
        let tallies = tallies.into_inner().unwrap_or_else(|e| e.into_inner());
        let named = transform
            .fed_by_pages()
            .map(|at| (shapes[at].name.clone(), tallies[at]));
        Ok(FlattenOutcome {
            rejects,
            drift,
            tallies: named.collect(),
        })
    }

    /// Calls `write` with the rows of one table.
    ///
    /// # Errors
    /// `write` fails, or as [`Flattened::write`].
    pub fn write_one(
        self,
        table: &str,
        write: impl FnMut(RecordBatch) -> Result<(), ArrowError> + Send,
    ) -> Result<(), TransformError> {
        let write = Mutex::new(write);
        self.write(1, |rows| {
            let wanted = rows.table() == table;
            for batch in rows {
                let batch = batch?;
                if wanted {
                    lock(&write)(batch)?;
                }
            }
            Ok::<_, TransformError>(())
        })?;
        Ok(())
    }

    /// Returns all tables that pages feed, with `rejects` and `drift`, in memory.
    ///
    /// # Errors
    /// As [`Flattened::write`].
    pub fn collect(self) -> Result<Tables, TransformError> {
        let transform = self.transform;
        let batches = Mutex::new(BTreeMap::new());
        let outcome = self.write(1, |rows| {
            let all = rows.collect::<Result<Vec<_>, _>>()?;
            let all = concat_batches(&rows.schema(), &all)?;
            lock(&batches).insert(rows.table().to_owned(), all);
            Ok::<_, TransformError>(())
        })?;
        let mut batches = batches.into_inner().unwrap_or_else(|e| e.into_inner());
        let fed = transform.contracts.tables.values().zip(&transform.shapes);
        for (_, shape) in fed.filter(|(t, _)| transform.makes(t.name())) {
            let empty = || RecordBatch::new_empty(SchemaRef::clone(&shape.schema));
            batches.entry(shape.name.clone()).or_insert_with(empty);
        }
        Ok(Tables { batches, outcome })
    }
}

/// Returns the latest observation of each group, for every table that outdates rows of another.
fn newest_of_parents(
    shapes: &[Shape],
    parts: &[Vec<Part>],
    scratch: Option<&Scratch>,
) -> Result<BTreeMap<usize, Newest>, ArrowError> {
    let mut newest = BTreeMap::new();
    let children = shapes.iter().zip(parts);
    let asked = children.filter(|(_, parts)| !parts.is_empty());
    for parent in asked.filter_map(|(shape, _)| shape.parent) {
        if newest.contains_key(&parent) {
            continue;
        }
        let (shape, parts) = (&shapes[parent], &parts[parent]);
        // Rows that fit in memory need no disk.
        let on_disk = parts.iter().any(|part| matches!(part, Part::Disk(_)));
        let writer = NewestWriter::new(scratch.filter(|_| on_disk))?;
        newest.insert(
            parent,
            Merge::new(&shape.layout, parts, None)?.newest(writer)?,
        );
    }
    Ok(newest)
}

/// Runs all tasks, the last first, on `threads` threads. A thread stops at its first error, and the
/// first error in thread order is returned.
fn side_by_side<T: Send, E: Send>(
    threads: usize,
    tasks: Vec<T>,
    work: impl Fn(T) -> Result<(), E> + Sync,
) -> Result<(), E> {
    let threads = threads.clamp(1, tasks.len().max(1));
    let queue = Mutex::new(tasks);
    let worker = || -> Result<(), E> {
        loop {
            let task = lock(&queue).pop();
            match task {
                Some(task) => work(task)?,
                None => return Ok(()),
            }
        }
    };
    if threads == 1 {
        return worker();
    }
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        let ended = workers.into_iter().map(|w| w.join());
        let results: Vec<Result<(), E>> = ended
            .map(|end| end.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect();
        results.into_iter().collect()
    })
}

/// Ignores poisoning: a thread that panicked ends the program, and the data is consistent.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}
