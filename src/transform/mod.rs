//! From raw pages to tables. Pure: the same pages and contracts give the same rows, byte for byte,
//! on any number of threads.
//!
//! ```text
//! contracts ─► compile ─► mapping: a tree of keys, and how each column is read
//!                           │
//! raw files ─► workers ─► flatten: a page ─► decode ─► captures ─► emit ─► sink: a worker's rows
//!                                            (walk)                (coerce)   │ sorted, spill
//!                                                                             ▼
//!                                            tables ◄─ flattened ◄─ merge ◄─ parts
//! ```
//!
//! Beside the rows a sink keeps what was rejected ([`reject`]), how answers differ from their
//! contract ([`drift`]), and the counts that have to balance ([`tally`]).

pub mod page;
pub mod program;
pub mod quality;
pub mod suggest;
pub mod tables;
pub mod workers;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use arrow::error::ArrowError;
use chrono::{DateTime, Datelike, NaiveDate, Utc};
use chrono_tz::Tz;
use thiserror::Error;

use crate::plan::{Plan, Privacy};
use crate::raw::RawError;
use crate::spec::contracts::Contracts;
use crate::spec::pipeline::OnBadValue;
use crate::spec::table::{RowsFrom, Table};
use crate::spec::yaml::diagnostic::Diagnostics;
use crate::transform::page::flatten::Flattener;
use crate::transform::program::coerce::Cell;
use crate::transform::program::mapping::Programs;
use crate::transform::quality::privacy::Redaction;
use crate::transform::quality::tally::Tally;
use crate::transform::tables::finish::Flattened;
use crate::transform::tables::shape::{Shape, shapes};

/// The compiled contracts: turns any number of runs into tables.
pub struct Transform {
    contracts: Arc<Contracts>,
    programs: Programs,
    /// By the tables' order in the contracts.
    shapes: Vec<Shape>,
    redaction: Redaction,
    on_bad_value: OnBadValue,
}

/// What the rows of a run have in common.
#[derive(Clone, Debug, PartialEq)]
pub struct RunStamp {
    pub run_id: String,
    pub pipeline: String,
    pub snapshot_at: DateTime<Utc>,
    /// The business date of `snapshot_at`.
    pub snapshot_date: NaiveDate,
}

#[derive(Debug, Error)]
pub enum TransformError {
    #[error("the page asks for {endpoint} of {source_name}, which no source contract declares")]
    UnknownEndpoint {
        source_name: String,
        endpoint: String,
    },
    #[error("a table could not be built")]
    Arrow(#[from] ArrowError),
    #[error(transparent)]
    Raw(#[from] RawError),
    #[error(
        "the items of the table {table} do not add up: {} given, {} written, {} rejected, {} skipped",
        tally.given, tally.written, tally.rejected, tally.skipped
    )]
    Unaccounted { table: String, tally: Tally },
    #[error(
        "rows of the table {table} were lost: {rows} made, {given} given, {superseded} outdated"
    )]
    Lost {
        table: String,
        rows: u64,
        given: u64,
        superseded: u64,
    },
}

impl RunStamp {
    pub fn new(run_id: &str, pipeline: &str, snapshot_at: DateTime<Utc>, timezone: Tz) -> Self {
        RunStamp {
            run_id: run_id.to_owned(),
            pipeline: pipeline.to_owned(),
            snapshot_at,
            snapshot_date: snapshot_at.with_timezone(&timezone).date_naive(),
        }
    }

    /// The cells of the columns that every table has, by name.
    pub fn cells<'a>(&'a self, source: &'a str) -> HashMap<&'static str, Cell<'a>> {
        HashMap::from([
            ("run_id", Cell::Text(self.run_id.as_str().into())),
            ("pipeline", Cell::Text(self.pipeline.as_str().into())),
            ("source", Cell::Text(source.into())),
            (
                "snapshot_at",
                Cell::Instant(self.snapshot_at.timestamp_micros()),
            ),
            ("snapshot_date", Cell::Date(days(self.snapshot_date))),
        ])
    }
}

/// Days since 1970-01-01.
fn days(date: NaiveDate) -> i32 {
    date.num_days_from_ce() - NaiveDate::default().num_days_from_ce()
}

impl Transform {
    /// # Errors
    /// Every mistake in the mappings of the source contracts.
    pub fn new(contracts: Arc<Contracts>, privacy: &Privacy) -> Result<Self, Diagnostics> {
        let programs = program::compile::compile(&contracts)?;
        let shapes = shapes(&contracts.tables);
        Ok(Transform {
            redaction: Redaction::new(&contracts, &shapes, privacy),
            on_bad_value: OnBadValue::default(),
            contracts,
            programs,
            shapes,
        })
    }

    /// With what a pipeline asks for.
    ///
    /// # Errors
    /// As [`Transform::new`].
    pub fn of(plan: &Plan) -> Result<Self, Diagnostics> {
        Ok(Transform {
            on_bad_value: plan.on_bad_value,
            ..Transform::new(Arc::clone(&plan.contracts), &plan.privacy)?
        })
    }

    /// What becomes of every row.
    pub fn redaction(&self) -> &Redaction {
        &self.redaction
    }

    /// Begins the tables of one run, in memory and on one thread.
    pub fn begin(&self, stamp: RunStamp) -> Flattener<'_> {
        Flattener::new(self, stamp, &[], None)
    }

    /// What has become of the pages of a flattener that [`Transform::begin`] made.
    ///
    /// # Errors
    /// Items that are not accounted for; a contract whose tables cannot hold what it maps.
    pub fn end<'t>(
        &'t self,
        stamp: RunStamp,
        flattener: Flattener<'t>,
    ) -> Result<Flattened<'t>, TransformError> {
        Flattened::new(self, stamp, flattener.finish()?, None)
    }

    /// Whether flattening makes this table.
    pub fn makes(&self, table: &str) -> bool {
        self.table(table).is_some()
    }

    /// A table that flattening makes.
    pub fn table(&self, name: &str) -> Option<&Table> {
        let contract = self.contracts.tables.get(name)?;
        let made = tables::shape::is_ours(name) || contract.rows_from == RowsFrom::Pages;
        made.then_some(contract)
    }

    /// The names of all tables that flattening makes.
    pub fn tables(&self) -> impl Iterator<Item = &str> {
        let names = self.contracts.tables.keys().map(String::as_str);
        names.filter(|name| self.makes(name))
    }

    /// The tables that pages feed, by their place in the contracts.
    fn fed_by_pages(&self) -> impl Iterator<Item = usize> {
        let tables = self.contracts.tables.values().enumerate();
        tables
            .filter(|(_, table)| table.rows_from == RowsFrom::Pages)
            .map(|(at, _)| at)
    }
}
