//! A run in progress, or one that is being closed.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use crate::extract::journal::Journal;
use crate::load::Lake;
use crate::plan::{Plan, Shard};
use crate::run::error::RunError;
use crate::run::flattening::flatten;
use crate::run_meta::RunMeta;
use crate::transform::contracts::Transform;
use crate::transform::tables::finish::Flattened;
use crate::transform::tables::spill::Scratch;
use crate::transform::workers::{RawRead, Resources, WorkerInput};

/// A run in progress, or one that is being closed.
pub(crate) struct ActiveRun<'a> {
    pub plan: &'a Plan,
    pub transform: &'a Transform,
    pub lake: Lake,
    pub meta: RunMeta,
    pub plan_hash: String,
    /// Request ids of an earlier process whose page cannot be read any more. Their searches have
    /// failed.
    pub lost: HashSet<String>,
    /// Shard of the pipeline that this run executes; `None` if the pipeline is not sharded.
    pub shard: Option<Shard>,
    /// Runs of the same logical time whose rows its tables replace.
    pub replaces: Vec<String>,
    /// Paths of its raw files.
    pub raw: Vec<PathBuf>,
    pub journal: Arc<Journal>,
    /// Resources for building tables.
    pub resources: Resources,
}

impl ActiveRun<'_> {
    /// Flattens all pages of the run. Builds the tables in `only`, or all tables if it is empty.
    pub(crate) fn flatten<'s>(
        &'s self,
        only: &[&str],
        scratch: &'s Scratch,
    ) -> Result<(Flattened<'s>, RawRead), RunError> {
        let work = WorkerInput {
            resources: self.resources,
            scratch,
        };
        flatten(self.transform, &self.meta, self.raw.clone(), only, work)
    }
}
