//! The runs that a lake held at an earlier time.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use crate::load::record::{CommitKind, CommitRecord};
use crate::load::{Lake, LakeError};
use crate::run::commit::ledger;

/// Returns the ids of the runs whose tables were committed by `at`. Runs that were continued or
/// retransformed after `at` have today's rows; a warning reports them.
///
/// # Errors
/// A commit record that cannot be read.
pub(crate) fn runs_as_of(lake: &Lake, at: DateTime<Utc>) -> Result<BTreeSet<String>, LakeError> {
    let commits = lake.commits()?;
    let runs = of(&commits, at);
    let changed = changed_since(&commits, &runs, at);
    if let Some(first) = changed.first() {
        tracing::warn!(
            "current rows are read for {} of the runs, the first of them {first}: they were continued or \
             flattened again later",
            changed.len()
        );
    }
    Ok(runs)
}

fn changed_since<'c>(
    commits: &'c [CommitRecord],
    runs: &BTreeSet<String>,
    at: DateTime<Utc>,
) -> BTreeSet<&'c str> {
    let changed = commits.iter().filter(|commit| {
        let is_later = commit.committed_at > at && runs.contains(&commit.run_id);
        is_later && commit.kind == CommitKind::Replace && has_tables(commit)
    });
    changed.map(|commit| commit.run_id.as_str()).collect()
}

fn of(commits: &[CommitRecord], at: DateTime<Utc>) -> BTreeSet<String> {
    let mut since: BTreeMap<&str, (bool, DateTime<Utc>)> = BTreeMap::new();
    for commit in commits.iter().filter(|c| !c.pipeline.is_empty()) {
        let has_tables = has_tables(commit);
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

/// Returns true if the commit added rows of pages, not only the ledger.
fn has_tables(commit: &CommitRecord) -> bool {
    let is_data = |table: &str| !ledger::is_ledger(table);
    commit.add.iter().any(|file| is_data(&file.table))
}
