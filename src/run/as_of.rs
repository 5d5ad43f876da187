//! The lake as it was: which runs were there at a moment.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::ledger;
use crate::load::commit::CommitRecord;
use crate::load::{Lake, LakeError};

/// The runs whose tables were committed by then. Rows that were flattened anew later are those of now.
///
/// # Errors
/// A commit record that cannot be read.
pub(super) fn runs_as_of(lake: &Lake, at: DateTime<Utc>) -> Result<BTreeSet<String>, LakeError> {
    Ok(of(&lake.commits()?, at))
}

fn of(commits: &[CommitRecord], at: DateTime<Utc>) -> BTreeSet<String> {
    let mut since: BTreeMap<&str, (bool, DateTime<Utc>)> = BTreeMap::new();
    for commit in commits.iter().filter(|c| !c.pipeline.is_empty()) {
        let is_data = |table: &str| !ledger::TABLES.contains(&table);
        let has_tables = commit.add.iter().any(|file| is_data(&file.table));
        let first = (has_tables, commit.committed_at);
        let known = since.entry(&commit.run_id).or_insert(first);
        // The ledger of a run may come before its tables.
        if has_tables && !known.0 {
            *known = first;
        }
    }
    let there = since.into_iter().filter(|(_, (_, since))| *since <= at);
    there.map(|(run_id, _)| run_id.to_owned()).collect()
}
