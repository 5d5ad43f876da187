//! Rows, rejects, drift and counts of one worker.

use std::collections::BTreeMap;

use arrow::error::ArrowError;

use crate::run_meta::RunMeta;
use crate::transform::common_columns::common_cells;
use crate::transform::contracts::Transform;
use crate::transform::program::value::Cell;
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
    /// In the order of the tables in the contracts, as are the next three fields.
    builders: Vec<TableBuilder>,
    parts: Vec<Vec<Part>>,
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

    /// Appends a row, which has one cell for each stored column of the table.
    pub fn push(&mut self, table: usize, cells: &mut Vec<Option<Cell<'_>>>, observed: Observed) {
        self.builders[table].push(cells, observed);
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
        self.spill_if_full()
    }

    /// Spills the largest tables to disk until the rest fits in memory.
    fn spill_if_full(&mut self) -> Result<(), ArrowError> {
        let Some(Spill { scratch, memory }) = self.spill else {
            return Ok(());
        };
        while self.builders.iter().map(TableBuilder::bytes).sum::<usize>() > memory {
            let sizes = self.builders.iter().map(TableBuilder::bytes).enumerate();
            let Some((largest, _)) = sizes.max_by_key(|(_, bytes)| *bytes) else {
                break;
            };
            let part = self.spill(largest, scratch)?;
            self.parts[largest].push(part);
        }
        Ok(())
    }

    /// Writes the rows of a table that are in memory to disk, sorted, without outdated rows.
    fn spill(&mut self, table: usize, scratch: &Scratch) -> Result<Part, ArrowError> {
        let shape = &self.transform.shapes[table];
        let rows = Part::Memory(self.builders[table].take(shape)?);
        let (part, superseded) = merged(shape, &[rows], scratch)?;
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
            if self.builders[table].rows() > 0 {
                let rows = self.builders[table].take(&self.transform.shapes[table])?;
                self.parts[table].push(Part::Memory(rows));
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
