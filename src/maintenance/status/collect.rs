//! Collects the state of a lake and of its pipelines: from the commit records, the journals, and the
//! newest days of the ledger.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use chrono::{DateTime, TimeDelta, Utc};

use super::asked::AskedPipeline;
use super::journals::{UnclosedRun, unclosed_runs};
use super::pipeline_runs::{PipelineRuns, RunDetails, shard_of};
use super::spending::SpendingRecords;
use super::starts::failed_start;
use super::state::{
    DueTimes, FAILING_RUNS, HeldRun, LakeStatus, PipelineState, PipelineStatus, ShardStatus,
};
use crate::clock;
use crate::load::files::free_bytes;
use crate::load::held::Held;
use crate::load::inventory::live;
use crate::load::record::CommitRecord;
use crate::load::{Lake, LakeError};
use crate::maintenance::compact::{first_open_day, uncompacted_days};
use crate::plan::Shard;
use crate::plan::schedule::Schedule;
use crate::query::status::{
    self, RunTotals, RunsOfDates, drift, failed_searches, request_ids, totals,
};
use crate::run::catalog::{self, Opened};
use crate::run::error::RunError;
use crate::spec::contracts::Contracts;

/// Number of newest runs of a pipeline that are read, unless it has many shards.
const RECENT: usize = 48;

/// Collects the state of a lake and of these pipelines, or of all that the lake knows. A lake that
/// does not exist yet has no run of the pipelines that are asked for.
///
/// # Errors
/// The lake cannot be read.
pub fn collect(
    root: &Path,
    contracts: &Contracts,
    asked: Vec<AskedPipeline>,
) -> Result<LakeStatus, RunError> {
    let lake = match Lake::open_unchanged(root) {
        Err(LakeError::Missing(_)) if !asked.is_empty() => None,
        lake => Some(lake?),
    };
    let read = lake.as_ref().map(|lake| LakeRecords::read(lake, contracts));
    let records = read.transpose()?.unwrap_or_default();
    let asked = if asked.is_empty() {
        records.known_pipelines()
    } else {
        asked
    };
    let mut status = match &lake {
        Some(lake) => records.lake_status(lake, contracts)?,
        None => records.new_lake(root),
    };
    status.pipelines = records.pipelines(root, &asked)?;
    Ok(status)
}

/// Records of a lake about its runs.
#[derive(Default)]
struct LakeRecords {
    commits: Vec<CommitRecord>,
    held: Vec<Held>,
    unclosed: Vec<UnclosedRun>,
    database: Option<Opened>,
    unreadable: Vec<&'static str>,
}

impl LakeRecords {
    fn read(lake: &Lake, contracts: &Contracts) -> Result<Self, RunError> {
        let commits = {
            let _still = lake.lock_shared()?;
            lake.commits()?
        };
        let mut unreadable = Vec::new();
        let held = lake.held_if_readable()?;
        unreadable.extend(held.is_none().then_some("held runs"));
        let mut number: HashMap<&str, u64> = HashMap::new();
        for commit in commits.iter().filter(|commit| commit.applied) {
            *number.entry(commit.run_id.as_str()).or_default() += 1;
        }
        let unclosed = unclosed_runs(lake, &number)?;
        unreadable.extend(unclosed.is_none().then_some("journals"));
        let mut unclosed = unclosed.unwrap_or_default();
        let database = catalog::open_some(lake, &contracts.tables, &status::TABLES)?;
        leave_out_ledger(&mut unclosed, &database)?;
        Ok(LakeRecords {
            held: held.unwrap_or_default(),
            unclosed,
            database: Some(database),
            unreadable,
            commits,
        })
    }

    fn known_pipelines(&self) -> Vec<AskedPipeline> {
        let committed = self.commits.iter().map(|c| c.pipeline.as_str());
        let open = self.unclosed.iter().map(|run| run.head.pipeline.as_str());
        let names: BTreeSet<&str> = committed.chain(open).filter(|n| !n.is_empty()).collect();
        names.into_iter().map(AskedPipeline::named).collect()
    }

    fn new_lake(&self, root: &Path) -> LakeStatus {
        let existing = root.ancestors().find(|folder| folder.exists());
        LakeStatus {
            lake: root.to_owned(),
            exists: false,
            free_bytes: free_bytes(existing.unwrap_or(Path::new("."))),
            table_bytes: 0,
            raw_bytes: 0,
            files: 0,
            uncompacted_days: 0,
            oldest_uncompacted: None,
            verified: None,
            verify_age_seconds: None,
            unreadable: Vec::new(),
            pipelines: Vec::new(),
        }
    }

    fn lake_status(&self, lake: &Lake, contracts: &Contracts) -> Result<LakeStatus, RunError> {
        let now = clock::now();
        let files = live(&self.commits);
        let held: BTreeSet<String> = self.held.iter().map(|held| held.run_id.clone()).collect();
        let uncompacted = uncompacted_days(&files, contracts, &held, first_open_day(now));
        let verified = lake.last_verification();
        Ok(LakeStatus {
            lake: lake.root().to_owned(),
            exists: true,
            free_bytes: free_bytes(lake.root()),
            table_bytes: files.values().map(|live| live.file.bytes).sum(),
            raw_bytes: self.raw_bytes(lake)?,
            files: files.len() as u64,
            uncompacted_days: uncompacted.len() as u64,
            oldest_uncompacted: uncompacted.first().copied(),
            verify_age_seconds: verified
                .as_ref()
                .map(|last| seconds(now - last.verified_at)),
            verified,
            unreadable: self.unreadable.clone(),
            pipelines: Vec::new(),
        })
    }

    /// Returns the size of the raw files that commits name and that were not removed.
    fn raw_bytes(&self, lake: &Lake) -> Result<u64, RunError> {
        let removed = match lake.removed_raw() {
            Err(error) if error.is_forbidden() => BTreeSet::new(),
            removed => removed?,
        };
        let raw = self.commits.iter().flat_map(|commit| &commit.raw);
        let newest: BTreeMap<&str, u64> = raw.map(|f| (f.path.as_str(), f.bytes)).collect();
        let there = newest
            .into_iter()
            .filter(|(path, _)| !removed.contains(*path));
        Ok(there.map(|(_, bytes)| bytes).sum())
    }

    fn pipelines(
        &self,
        root: &Path,
        asked: &[AskedPipeline],
    ) -> Result<Vec<PipelineStatus>, RunError> {
        let mut recent = RECENT;
        let rows = loop {
            let rows = self.recent_rows(asked, recent)?;
            let shards = rows.iter().filter_map(shard_of);
            let most = shards.map(|shard| shard.count as usize).max();
            let needed = 2 * FAILING_RUNS * most.unwrap_or(1);
            if needed <= recent {
                break rows;
            }
            recent = needed;
        };
        let details = self.details(&rows)?;
        let status = |asked| self.pipeline(root, asked, &rows, &details);
        asked.iter().map(status).collect()
    }

    /// Returns the rows of the newest runs of each pipeline, oldest snapshot first.
    fn recent_rows(
        &self,
        asked: &[AskedPipeline],
        most: usize,
    ) -> Result<Vec<RunTotals>, RunError> {
        let Some(database) = &self.database else {
            return Ok(Vec::new());
        };
        let mut of = RunsOfDates::default();
        for pipeline in asked {
            let commits = self.commits.iter();
            let ours = commits.filter(|commit| commit.pipeline == pipeline.pipeline);
            let runs: BTreeSet<(DateTime<Utc>, &str)> =
                ours.map(|c| (c.snapshot_at, c.run_id.as_str())).collect();
            of.run_ids
                .extend(runs.iter().rev().take(most).map(|run| run.1));
        }
        of.dates = self.dates_of(&of.run_ids);
        Ok(totals(database, &of)?)
    }

    /// Returns the business dates of the ledger rows of these runs.
    fn dates_of(&self, runs: &BTreeSet<&str>) -> BTreeSet<chrono::NaiveDate> {
        let commits = self.commits.iter();
        let ours = commits.filter(|commit| runs.contains(commit.run_id.as_str()));
        let files = ours.flat_map(|commit| &commit.add);
        let ledger = files.filter(|file| file.table == "runs");
        ledger.filter_map(|file| file.date()).collect()
    }

    /// Reads the failed searches and the drift of the last runs of each shard.
    fn details(&self, rows: &[RunTotals]) -> Result<RunDetails, RunError> {
        let Some(database) = &self.database else {
            return Ok(RunDetails::default());
        };
        let mut by_shard: BTreeMap<(&str, Option<&str>), Vec<&str>> = BTreeMap::new();
        for row in rows {
            let shard = (row.pipeline.as_str(), row.shard.as_deref());
            by_shard.entry(shard).or_default().push(&row.run_id);
        }
        let last = by_shard
            .values()
            .flat_map(|runs| runs.iter().rev().take(FAILING_RUNS));
        let mut of = RunsOfDates {
            run_ids: last.copied().collect(),
            ..RunsOfDates::default()
        };
        of.dates = self.dates_of(&of.run_ids);
        Ok(RunDetails {
            failed: failed_searches(database, &of)?,
            drift: drift(database, &of)?,
        })
    }

    fn pipeline(
        &self,
        root: &Path,
        asked: &AskedPipeline,
        rows: &[RunTotals],
        details: &RunDetails,
    ) -> Result<PipelineStatus, RunError> {
        let name = asked.pipeline.as_str();
        let rows: Vec<&RunTotals> = rows.iter().filter(|row| row.pipeline == name).collect();
        let unclosed = self.unclosed.iter();
        let unclosed: Vec<&UnclosedRun> = unclosed.filter(|r| r.head.pipeline == name).collect();
        let held: Vec<&Held> = self.held.iter().filter(|h| h.pipeline == name).collect();
        let runs = PipelineRuns {
            rows,
            unclosed,
            held,
            details,
        };
        let newest = runs.newest();
        let last_commit = self.commits.iter().rev().find(|c| c.pipeline == name);
        let of_journal = || runs.unclosed.last().map(|run| run.head.simulated);
        let simulated = last_commit.map(|c| c.simulated).or_else(of_journal);
        let simulated = simulated.unwrap_or(asked.simulated);
        let now = match newest {
            Some((snapshot_at, _)) if simulated => snapshot_at,
            _ => clock::now(),
        };
        let mut shards: Vec<ShardStatus> = match newest.and_then(|(_, shard)| shard) {
            None => vec![runs.shard(None)],
            Some(Shard { count, .. }) => {
                let shards = (1..=count).map(|index| Shard { index, count });
                let states = shards.map(|shard| (shard, runs.shard(Some(shard))));
                let counts = |(shard, state): &(Shard, ShardStatus)| {
                    state.state != PipelineState::NeverRun || asked.has_work(*shard)
                };
                states.filter(counts).map(|(_, state)| state).collect()
            }
        };
        for shard in &mut shards {
            shard.failed_start = failed_start(root, name, shard.shard);
        }
        // The oldest. A shard without data is a problem of its own.
        let data_at = shards.iter().filter_map(|shard| shard.data_at).min();
        let data_at = data_at.or_else(|| runs.newest_data());
        let records = SpendingRecords {
            database: self.database.as_deref(),
            commits: &self.commits,
            unclosed: &self.unclosed,
        };
        let spent = records.spent(asked, simulated, now)?;
        let state = shards.iter().map(|shard| shard.state).max();
        Ok(PipelineStatus {
            pipeline: asked.pipeline.clone(),
            file: asked.file.clone(),
            lake: root.to_owned(),
            state: state.unwrap_or(PipelineState::NeverRun),
            simulated,
            now,
            data_at,
            age_seconds: data_at.map(|at| seconds(now - at)),
            schedule: asked
                .schedule
                .as_ref()
                .and_then(|schedule| due_times(schedule, now)),
            failing_searches: shards.iter().flat_map(|s| runs.failing(s.shard)).collect(),
            shards,
            timezone: asked.timezone.name(),
            today: spent.today,
            month: spent.month,
            budgets: spent.budgets,
            held_runs: runs.held.iter().map(|held| held_run(held)).collect(),
            killed_runs: runs.killed(),
            changed_at: asked.changed_at,
        })
    }
}

/// Leaves out the calls that the ledger has: a process may have died between the two.
fn leave_out_ledger(unclosed: &mut [UnclosedRun], database: &Opened) -> Result<(), RunError> {
    let open = unclosed.iter().filter(|run| !run.uncommitted.is_empty());
    let mut of = RunsOfDates::default();
    for head in open.map(|run| &run.head) {
        of.run_ids.insert(&head.run_id);
        // The time zone of a pipeline moves its date by a day at most.
        let days = [-1, 0, 1].map(TimeDelta::days);
        let at = |days| head.snapshot_at.checked_add_signed(days);
        of.dates
            .extend(days.into_iter().filter_map(at).map(|at| at.date_naive()));
    }
    if of.run_ids.is_empty() {
        return Ok(());
    }
    let in_ledger = request_ids(database, &of)?;
    for run in unclosed {
        run.uncommitted
            .retain(|call| !in_ledger.contains(&call.request_id));
    }
    Ok(())
}

fn held_run(held: &Held) -> HeldRun {
    HeldRun {
        run_id: held.run_id.clone(),
        snapshot_at: held.snapshot_at,
        held_at: held.held_at,
    }
}

fn due_times(schedule: &Schedule, now: DateTime<Utc>) -> Option<DueTimes> {
    let due_at = schedule.newest_due(now)?;
    let before = due_at.checked_sub_signed(TimeDelta::seconds(1))?;
    Some(DueTimes {
        cron: schedule.as_str().to_owned(),
        previous_at: schedule.newest_due(before),
        next_at: schedule.next_after(now),
        due_at,
    })
}

/// Returns a length of time in whole seconds. A time in the future has no age.
fn seconds(age: TimeDelta) -> i64 {
    age.num_seconds().max(0)
}
