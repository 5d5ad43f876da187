//! Transforms raw pages into tables. Pure: the same pages and contracts give the same rows, byte
//! for byte, on any number of threads.
//!
//! ```text
//! program/  contracts ─► compile ─► mapping: a tree of keys, and how each column is read
//!                                      │
//! page/     raw files ─► flatten ─► walk ─► captures ─► rows (coerced)
//!                                                         │
//! tables/                         accumulator: a worker's rows, sorted, spilled ─► merge ─► finish
//! ```
//!
//! An accumulator also keeps the rejects ([`quality::reject`]), the differences between answers and
//! their contract ([`quality::drift`]), and the counts that must balance ([`quality::tally`]).

pub mod common_columns;
pub mod contracts;
pub mod error;
pub mod page;
pub mod program;
pub mod quality;
pub mod suggest;
pub mod tables;
pub mod workers;

#[cfg(test)]
mod tests;

use crate::run_meta::RunMeta;
use crate::transform::page::flatten::Flattener;
use crate::transform::tables::finish::Flattened;

pub use contracts::Transform;
pub use error::TransformError;

impl Transform {
    /// Begins the tables of one run, in memory and on one thread.
    pub fn begin(&self, meta: RunMeta) -> Flattener<'_> {
        Flattener::new(self, meta, &[], None)
    }

    /// Returns the tables of a flattener that [`Transform::begin`] made.
    ///
    /// # Errors
    /// Items that are not accounted for; a contract whose tables cannot hold what it maps.
    pub fn end<'t>(
        &'t self,
        meta: RunMeta,
        flattener: Flattener<'t>,
    ) -> Result<Flattened<'t>, TransformError> {
        Flattened::new(self, meta, flattener.finish()?, None)
    }
}
