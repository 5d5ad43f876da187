//! Rows, rejects, drift and counts of one worker.

use std::collections::BTreeMap;

use arrow::error::ArrowError;

use crate::run_meta::RunMeta;
use crate::transform::common_columns::common_cells;
use crate::transform::contracts::Transform;
use crate::transform::quality::drift::{Drift, DriftKind};
use crate::transform::quality::reject::{BadCell, Reject};
use crate::transform::quality::tally::Tally;
use crate::transform::tables::builder::{TableBuilder, push_record};
use crate::transform::tables::merge::{Part, merged};
use crate::transform::tables::shape::{Observed, REJECTS, Shape, is_ours};
use crate::transform::tables::spill::Scratch;

/// Rows, rejects and drift that one worker has made of its pages.
pub struct Accumulator<'t> {
    transform: &'t Transform,
    meta: RunMeta,
    /// In the order of the tables in the contracts, as are the next four fields.
    builders: Vec<TableBuilder>,
    parts: Vec<Vec<Part>>,
    /// Memory of the parts in bytes.
    in_parts: Vec<usize>,
    tallies: Vec<Tally>,
    wanted: Vec<bool>,
    rejects_at: Option<usize>,
    pub rejects: u64,
    /// Keyed by source and endpoint.
    pub drift: BTreeMap<(String, String), Drift>,
    /// Differences of the current page.
    pub page_drift: Drift,
    /// First item that breaks the contract, by [`Reject::place`].
    first_bad: Option<Reject>,
    /// Error of a row that the contracts cannot hold; reported at the end.
    broken: Option<ArrowError>,
    spill: Option<Spill<'t>>,
}

/// Size in bytes at which the rows of a builder become a part. A longer column would be copied as it
/// grows.
const CHUNK: usize = 2 << 20;

/// Destination of rows beyond a memory limit.
#[derive(Clone, Copy, Debug)]
pub struct Spill<'t> {
    pub scratch: &'t Scratch,
    /// Memory limit in bytes, for all tables of one worker.
    pub memory: usize,
}

impl<'t> Accumulator<'t> {
    /// `only` names the wanted tables. Empty means all.
    pub fn new(
        transform: &'t Transform,
        meta: RunMeta,
        only: &[&str],
        spill: Option<Spill<'t>>,
    ) -> Self {
        let shapes = &transform.shapes;
        // Rejects and drift depend on the rows of all tables.
        let all = only.is_empty() || only.iter().any(|name| is_ours(name));
        let asked = |name: &str| all || only.contains(&name);
        // The parent's rows determine which rows of its children are outdated.
        let is_parent = |at: usize| {
            let mut children = shapes.iter().filter(|shape| shape.parent == Some(at));
            children.any(|child| asked(&child.name))
        };
        let wanted = |(at, shape): (usize, &Shape)| asked(&shape.name) || is_parent(at);
        Accumulator {
            transform,
            meta,
            builders: shapes.iter().map(TableBuilder::new).collect(),
            parts: shapes.iter().map(|_| Vec::new()).collect(),
            in_parts: vec![0; shapes.len()],
            tallies: vec![Tally::default(); shapes.len()],
            wanted: shapes.iter().enumerate().map(wanted).collect(),
            rejects_at: shapes.iter().position(|s| s.name == REJECTS),
            rejects: 0,
            drift: BTreeMap::new(),
            page_drift: Drift::default(),
            first_bad: None,
            broken: None,
            spill,
        }
    }

    pub fn wants(&self, table: usize) -> bool {
        self.wanted[table]
    }

    pub fn tally(&mut self, table: usize) -> &mut Tally {
        &mut self.tallies[table]
    }

    /// Returns the builder of a table. Call [`Accumulator::end_row`] when a row has all its cells.
    pub fn builder(&mut self, table: usize) -> &mut TableBuilder {
        &mut self.builders[table]
    }

    /// Ends a row, which has one cell for each stored column of the table, but for those that
    /// [`TableBuilder::fill_column`] appends.
    pub fn end_row(&mut self, table: usize, observed: Observed) {
        self.builders[table].end_row(observed);
        self.tallies[table].written += 1;
    }

    pub fn nulled(&mut self, table: usize, bad: &BadCell<'_>) {
        self.tallies[table].nulled += 1;
        self.page_drift
            .count(bad.path, DriftKind::BadValue, bad.json_type());
    }

    /// Adds a reject of an item that breaks the contract.
    pub fn reject(&mut self, reject: &Reject) {
        self.keep(reject);
        let first = |known: &Reject| known.place() <= reject.place();
        if !self.first_bad.as_ref().is_some_and(first) {
            self.first_bad = Some(reject.clone());
        }
    }

    /// Adds a reject without marking the contract as broken, such as an answer that is not a page.
    pub fn keep(&mut self, reject: &Reject) {
        self.rejects += 1;
        let Some(at) = self.rejects_at else { return };
        let common = common_cells(&self.meta, &reject.source);
        let shape = &self.transform.shapes[at];
        let rules = self.transform.redaction.of(REJECTS);
        let pushed = push_record(&mut self.builders[at], shape, rules, &common, reject);
        self.broken = self.broken.take().or(pushed.err());
    }

    /// Adds the drift of the current page, with the privacy rules applied. Spills rows to disk if
    /// the memory limit is exceeded.
    pub fn end_page(&mut self, source: &str, endpoint: &str) -> Result<(), ArrowError> {
        if !self.page_drift.is_empty() {
            let key = (source.to_owned(), endpoint.to_owned());
            let drift = self.page_drift.take().redacted(&self.transform.redaction);
            self.drift.entry(key).or_default().merge(drift);
        }
        for table in 0..self.builders.len() {
            if self.builders[table].bytes() > CHUNK {
                self.close_chunk(table)?;
            }
        }
        self.spill_if_full()
    }

    /// Moves the rows of a builder to the parts, if it has any.
    fn close_chunk(&mut self, table: usize) -> Result<(), ArrowError> {
        if self.builders[table].rows() == 0 {
            return Ok(());
        }
        let rows = self.builders[table].take(&self.transform.shapes[table])?;
        self.in_parts[table] += rows.get_array_memory_size();
        self.parts[table].push(Part::Memory(rows));
        Ok(())
    }

    /// Spills the largest tables to disk until the rest fits in memory.
    fn spill_if_full(&mut self) -> Result<(), ArrowError> {
        let Some(Spill { scratch, memory }) = self.spill else {
            return Ok(());
        };
        // A spill fragments the memory that it frees, so less of it can be used again.
        let has_spilled = self.parts.iter().flatten().any(Part::is_on_disk);
        let limit = if has_spilled {
            memory - memory / 16
        } else {
            memory
        };
        loop {
            let sizes = self.builders.iter().zip(&self.in_parts);
            let sizes = sizes.map(|(builder, in_parts)| match builder.rows() {
                // What it has allocated is for the rows that follow.
                0 => *in_parts,
                _ => builder.allocated() + in_parts,
            });
            let sizes: Vec<usize> = sizes.collect();
            if sizes.iter().sum::<usize>() <= limit {
                return Ok(());
            }
            let sizes = sizes.into_iter().enumerate();
            let Some((largest, _)) = sizes.max_by_key(|(_, bytes)| *bytes) else {
                return Ok(());
            };
            let part = self.spill(largest, scratch)?;
            self.parts[largest].push(part);
        }
    }

    /// Writes the rows of a table that are in memory to disk, sorted, without outdated rows.
    fn spill(&mut self, table: usize, scratch: &Scratch) -> Result<Part, ArrowError> {
        self.close_chunk(table)?;
        self.in_parts[table] = 0;
        let parts = std::mem::take(&mut self.parts[table]);
        let (disk, memory): (Vec<Part>, _) = parts.into_iter().partition(Part::is_on_disk);
        self.parts[table] = disk;
        let shape = &self.transform.shapes[table];
        let (part, superseded) = merged(&shape.layout, &memory, scratch)?;
        self.tallies[table].superseded += superseded;
        Ok(part)
    }

    /// Returns all parts by table, and the tallies.
    ///
    /// # Errors
    /// A contract whose tables cannot hold what it maps.
    pub fn finish(mut self) -> Result<Finished, ArrowError> {
        if let Some(broken) = self.broken.take() {
            return Err(broken);
        }
        for table in 0..self.builders.len() {
            self.close_chunk(table)?;
            // Writing takes memory of its own. So rows of a spilled table do not stay in memory.
            let is_spilled = self.parts[table].iter().any(Part::is_on_disk);
            let is_in_memory = !self.parts[table].iter().all(Part::is_on_disk);
            if let Some(Spill { scratch, .. }) = self.spill
                && is_spilled
                && is_in_memory
            {
                let part = self.spill(table, scratch)?;
                self.parts[table].push(part);
            }
        }
        Ok(Finished {
            parts: self.parts,
            tallies: self.tallies,
            rejects: self.rejects,
            drift: self.drift,
            first_bad: self.first_bad,
        })
    }
}

/// Result of a worker.
#[derive(Debug, Default)]
pub struct Finished {
    pub parts: Vec<Vec<Part>>,
    pub tallies: Vec<Tally>,
    pub rejects: u64,
    pub drift: BTreeMap<(String, String), Drift>,
    pub first_bad: Option<Reject>,
}

impl Finished {
    /// Merges two results. The operation is commutative.
    pub fn and(mut self, other: Finished) -> Self {
        if self.parts.is_empty() {
            return other;
        }
        for (mine, more) in self.parts.iter_mut().zip(other.parts) {
            mine.extend(more);
        }
        for (mine, more) in self.tallies.iter_mut().zip(other.tallies) {
            *mine += more;
        }
        self.rejects += other.rejects;
        let bad = self.first_bad.into_iter().chain(other.first_bad);
        self.first_bad = bad.min_by(|a, b| a.place().cmp(&b.place()));
        for (key, drift) in other.drift {
            self.drift.entry(key).or_default().merge(drift);
        }
        self
    }
}
