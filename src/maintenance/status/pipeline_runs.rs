//! The newest runs of a pipeline, and what they tell about its shards.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::journals::UnclosedRun;
use super::state::{FAILING_RUNS, FailingSearch, KilledRun, LastRun, PipelineState, ShardStatus};
use crate::load::held::Held;
use crate::plan::Shard;
use crate::query::status::{FailedSearchRow, RunTotals};

/// Failed searches and drift of the last runs.
#[derive(Debug, Default)]
pub(super) struct RunDetails {
    pub failed: Vec<FailedSearchRow>,
    pub drift: BTreeMap<String, u64>,
}

/// The newest runs of a pipeline.
pub(super) struct PipelineRuns<'r> {
    /// Runs with a committed ledger, oldest snapshot first.
    pub rows: Vec<&'r RunTotals>,
    /// Runs with a journal that is not closed, oldest first.
    pub unclosed: Vec<&'r UnclosedRun>,
    pub held: Vec<&'r Held>,
    pub details: &'r RunDetails,
}

impl PipelineRuns<'_> {
    /// Returns snapshot time and shard of the newest run.
    pub fn newest(&self) -> Option<(DateTime<Utc>, Option<Shard>)> {
        let rows = self.rows.iter();
        let rows = rows.map(|row| (row.snapshot_at, row.run_id.as_str(), shard_of(row)));
        let counts = |run: &&&UnclosedRun| run.is_running || run.calls > 0;
        let open = self.unclosed.iter().filter(counts).map(|run| {
            let head = &run.head;
            (head.snapshot_at, head.run_id.as_str(), head.shard)
        });
        let newest = rows
            .chain(open)
            .max_by_key(|(at, run_id, _)| (*at, *run_id));
        newest.map(|(at, _, shard)| (at, shard))
    }

    fn rows_of(&self, shard: Option<Shard>) -> impl DoubleEndedIterator<Item = &RunTotals> {
        let rows = self.rows.iter().copied();
        rows.filter(move |row| shard_of(row) == shard)
    }

    pub fn shard(&self, shard: Option<Shard>) -> ShardStatus {
        let last = self.rows_of(shard).next_back();
        let open = self.unclosed.iter().filter(|run| run.head.shard == shard);
        let running = open.clone().rfind(|run| run.is_running);
        let killed = open.filter(|run| run.is_killed);
        let killed = killed.max_by_key(|run| (run.head.snapshot_at, &run.head.run_id));
        let key = |row: &RunTotals| (row.snapshot_at, row.run_id.clone());
        let killed = killed.filter(|run| {
            let of_run = (run.head.snapshot_at, run.head.run_id.clone());
            last.is_none_or(|last| of_run >= key(last))
        });
        let state = match (running, killed, last) {
            (Some(_), _, _) => PipelineState::Running,
            (None, Some(_), _) => PipelineState::Killed,
            (None, None, Some(last)) if self.is_held(&last.run_id) => PipelineState::Held,
            (None, None, Some(last)) => PipelineState::of_status(&last.status),
            (None, None, None) => PipelineState::NeverRun,
        };
        let open = running.or(killed).map(|run| &run.head);
        let snapshot_at = open.map(|head| head.snapshot_at);
        let started_at = open.map(|head| head.started_at);
        ShardStatus {
            shard,
            state,
            snapshot_at: snapshot_at.max(last.map(|row| row.snapshot_at)),
            started_at: started_at.max(last.map(|row| row.started_at)),
            data_at: self.data_at(shard),
            last_run: last.map(|row| self.last_run(row)),
            running: running.map(|run| run.head.run_id.clone()),
            failed_start: None,
        }
    }

    /// Returns the snapshot time of the newest data, whatever shards there were.
    pub fn newest_data(&self) -> Option<DateTime<Utc>> {
        let shards = self.rows.iter().map(|row| shard_of(row));
        shards.filter_map(|shard| self.data_at(shard)).max()
    }

    fn is_held(&self, run_id: &str) -> bool {
        self.held.iter().any(|held| held.run_id == run_id)
    }

    /// Returns the snapshot time of the newest complete or partial run.
    fn data_at(&self, shard: Option<Shard>) -> Option<DateTime<Utc>> {
        let has_data = |row: &&RunTotals| {
            let state = PipelineState::of_status(&row.status);
            matches!(state, PipelineState::Complete | PipelineState::Partial)
                && !self.is_held(&row.run_id)
        };
        self.rows_of(shard)
            .rfind(has_data)
            .map(|row| row.snapshot_at)
    }

    fn last_run(&self, row: &RunTotals) -> LastRun {
        let failed = self.details.failed.iter();
        LastRun {
            run_id: row.run_id.clone(),
            snapshot_at: row.snapshot_at,
            started_at: row.started_at,
            finished_at: row.finished_at,
            status: row.status.clone(),
            reason: row.reason.clone(),
            searches_planned: row.searches_planned,
            searches_done: row.searches_done,
            searches_failed: failed.filter(|search| search.run_id == row.run_id).count() as u64,
            requests: row.requests,
            billed_requests: row.billed_requests,
            cost: row.cost,
            currency: row.currency.clone(),
            rejects: row.rejects,
            drift: self.details.drift.get(&row.run_id).copied().unwrap_or(0),
        }
    }

    /// Returns the searches that failed in each of the last runs of a shard.
    pub fn failing(&self, shard: Option<Shard>) -> Vec<FailingSearch> {
        let last: Vec<&str> = self
            .rows_of(shard)
            .rev()
            .take(FAILING_RUNS)
            .map(|row| row.run_id.as_str())
            .collect();
        if last.len() < FAILING_RUNS {
            return Vec::new();
        }
        let failed = |run_id: &str, search: &FailedSearchRow| {
            let mut all = self.details.failed.iter();
            all.any(|other| other.run_id == run_id && other.search_id == search.search_id)
        };
        let newest = self
            .details
            .failed
            .iter()
            .filter(|row| row.run_id == last[0]);
        let failing = newest.filter(|row| last[1..].iter().all(|run_id| failed(run_id, row)));
        failing
            .map(|row| FailingSearch {
                shard,
                search_id: row.search_id.clone(),
                endpoint: row.endpoint.clone(),
                keyword: row.keyword.clone(),
                note_id: row.note_id.clone(),
                error: row.error.clone(),
            })
            .collect()
    }

    pub fn killed(&self) -> Vec<KilledRun> {
        let killed = self.unclosed.iter().filter(|run| run.is_killed);
        killed
            .map(|run| {
                let head = &run.head;
                let follows = |row: &RunTotals| {
                    row.status == PipelineState::Complete.as_str()
                        && row.snapshot_at >= head.snapshot_at
                        && row.run_id > head.run_id
                };
                KilledRun {
                    run_id: head.run_id.clone(),
                    shard: head.shard,
                    snapshot_at: head.snapshot_at,
                    started_at: head.started_at,
                    calls: run.calls,
                    pages_without_rows: run.pages_without_rows,
                    is_followed: self.rows_of(head.shard).any(follows),
                }
            })
            .collect()
    }
}

/// Returns the shard of a run.
pub(super) fn shard_of(row: &RunTotals) -> Option<Shard> {
    row.shard.as_deref().and_then(|shard| shard.parse().ok())
}
