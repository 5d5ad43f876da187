//! Commit of a run's tables to the lake: staged, checked, then committed or held.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use uuid::Uuid;

use super::checks::{Audit, Subject};
use super::finish::{Done, Run};
use super::ledger;
use super::report::{RunReport, Status};
use crate::extract::error::with_causes;
use crate::load::commit::Staging;
use crate::load::inventory::{LiveFile, RewriteLock};
use crate::load::raw_zone::RawFile;
use crate::load::record::{CommitKind, CommitRecord, RunRef};
use crate::load::{Lake, encode, table_path};
use crate::plan::Plan;
use crate::run::error::RunError;
use crate::run::rewrite::take_rows_out;
use crate::transform::stamp::RunStamp;
use crate::transform::tables::finish::{FlattenOutcome, Flattened};

/// A commit in progress.
struct Next {
    kind: CommitKind,
    id: String,
    closes: bool,
    /// Lock on rewrites. Held if the run already has files.
    rewriting: Option<RewriteLock>,
}

impl Run<'_> {
    /// Commits the tables and the ledger atomically. Replaces what the run committed before. If a
    /// data check fails, only the ledger is committed. The tables are then held if the run is
    /// finished; a run that continues is checked again.
    pub(crate) fn commit(
        &self,
        tables: Option<Flattened<'_>>,
        done: &Done,
        report: &mut RunReport,
        closes: bool,
    ) -> Result<(), RunError> {
        let next = self.next(closes)?;
        let staging = self.lake.stage(&next.id)?;
        let has_tables = tables.is_some();
        if let Some(tables) = tables {
            // Tables take about as much disk space as their pages.
            let raw = self.raw.iter().filter_map(|path| path.metadata().ok());
            self.lake.require_room(raw.map(|raw| raw.len()).sum())?;
            let outcome = stage(&staging, self.plan, &self.stamp, tables, self.threads)?;
            report.tally = outcome.tallies;
        }
        // The checks read the ledger, too.
        self.stage_ledger(&staging, &self.ledger(done, report)?)?;
        if has_tables && !report.damaged_pages.is_empty() && self.has_committed_rows()? {
            let reason = format!(
                "{} of the run's pages cannot be read, and their rows were committed before",
                report.damaged_pages.len()
            );
            return self.hold(staging, next, &Audit::default(), reason, done, report);
        }
        // A run that was cut short before its first page has nothing to check.
        if has_tables && (report.cut.is_none() || !report.raw.is_empty()) {
            let audit = self.audit(&staging, report)?;
            report.add(&audit);
            if let Some(reason) = audit.blocks() {
                return self.hold(staging, next, &audit, reason, done, report);
            }
        }
        let gone = self.gone(&staging, &next, has_tables)?;
        let raw = self.lake.measure_raw(&self.raw)?;
        let record = staging.commit(next.kind, &self.run_ref(closes, &raw), gone)?;
        report.rows = rows(&record);
        report.committed = has_tables;
        if has_tables {
            supersede(&self.lake, &self.stamp.run_id, None);
        }
        Ok(())
    }

    /// Commits the ledger without the tables. Holds the tables if the commit closes the run, else
    /// discards them.
    fn hold(
        &self,
        staging: Staging,
        next: Next,
        audit: &Audit,
        reason: String,
        done: &Done,
        report: &mut RunReport,
    ) -> Result<(), RunError> {
        let before = report.reason.clone();
        if next.closes {
            // Reason in the held row of `runs`, which becomes visible when it is published.
            report.reason = also(&before, &format!("published although {reason}"));
            self.stage_ledger(&staging, &self.ledger(done, report)?)?;
            report.status = Status::Failed;
        }
        report.reason = also(&before, &reason);
        report.blocked = Some(reason);
        let ledger = self.ledger(done, report)?;
        let raw = self.lake.measure_raw(&self.raw)?;
        let run = self.run_ref(next.closes, &raw);
        let holding = if next.closes {
            let gone = self.gone(&staging, &next, true)?;
            let results = audit.results.clone();
            Some(staging.hold(&run, gone, Some(next.id.clone()), results)?)
        } else {
            staging.abandon()?;
            None
        };
        let staging = self.lake.stage(&next.id)?;
        self.stage_ledger(&staging, &ledger)?;
        let gone = self.gone(&staging, &next, false)?;
        let record = staging.commit(next.kind, &run, gone)?;
        report.rows = rows(&record);
        if let Some(holding) = holding {
            report.held = true;
            let but = Some(holding.held.commit_id.as_str());
            supersede(&self.lake, &self.stamp.run_id, but);
        }
        Ok(())
    }

    /// Returns true if an earlier commit of the run added rows of pages.
    fn has_committed_rows(&self) -> Result<bool, RunError> {
        let files = self.lake.files_of(&self.stamp.run_id)?;
        let is_data = |live: &LiveFile| !ledger::TABLES.contains(&live.file.table.as_str());
        Ok(files.iter().any(is_data))
    }

    fn next(&self, closes: bool) -> Result<Next, RunError> {
        let run_id = &self.stamp.run_id;
        Ok(if self.lake.has_commit(run_id) {
            Next {
                kind: CommitKind::Replace,
                id: Uuid::now_v7().to_string(),
                closes,
                rewriting: Some(self.lake.rewrite_lock()?),
            }
        } else {
            Next {
                kind: CommitKind::Run,
                id: run_id.clone(),
                closes,
                rewriting: None,
            }
        })
    }

    /// Returns the paths of the run's files that the staged files replace: the ledger, or all
    /// tables if `has_tables`.
    fn gone(
        &self,
        staging: &Staging,
        next: &Next,
        has_tables: bool,
    ) -> Result<Vec<String>, RunError> {
        if next.rewriting.is_none() {
            return Ok(Vec::new());
        }
        let ours = |table: &str| has_tables || ledger::TABLES.contains(&table);
        let tables = &self.plan.contracts.tables;
        take_rows_out(&self.lake, tables, staging, &self.stamp.run_id, ours)
    }

    fn run_ref<'r>(&'r self, closes: bool, raw: &'r [RawFile]) -> RunRef<'r> {
        RunRef {
            closes,
            raw,
            ..run_ref(&self.stamp, self.simulated)
        }
    }

    fn audit(&self, staging: &Staging, report: &RunReport) -> Result<Audit, RunError> {
        let subject = Subject {
            lake: &self.lake,
            staging,
            stamp: &self.stamp,
            replaces: &|_| true,
            tallies: &report.tally,
        };
        Audit::of(self.plan, &subject)
    }

    fn stage_ledger(
        &self,
        staging: &Staging,
        ledger: &BTreeMap<String, RecordBatch>,
    ) -> Result<(), RunError> {
        for (table, batch) in ledger.iter().filter(|(_, b)| b.num_rows() > 0) {
            let rows = encode::Rows {
                schema: batch.schema(),
                most: batch.num_rows() as u64,
                batches: &mut std::iter::once(Ok(batch.clone())),
            };
            add(staging, self.plan, &self.stamp, table, rows)?;
        }
        Ok(())
    }
}

/// Appends a reason to the existing one.
fn also(reason: &Option<String>, more: &str) -> Option<String> {
    let all = reason.as_deref().into_iter().chain([more]);
    Some(all.collect::<Vec<_>>().join("; "))
}

/// Removes the held tables of a run whose tables were rebuilt, except the commit `but`. A failure
/// is logged; outdated held tables cannot be published.
pub(crate) fn supersede(lake: &Lake, run_id: &str, but: Option<&str>) {
    if let Err(error) = lake.supersede(run_id, but) {
        tracing::warn!(
            "cannot remove the outdated held tables of the run {run_id}: {}",
            with_causes(&error)
        );
    }
}

/// Writes the tables that have rows to the staging folder.
pub(crate) fn stage(
    staging: &Staging,
    plan: &Plan,
    stamp: &RunStamp,
    tables: Flattened<'_>,
    threads: usize,
) -> Result<FlattenOutcome, RunError> {
    tables.write(threads, |rows| {
        let (table, schema, most) = (rows.table().to_owned(), rows.schema(), rows.most);
        let mut batches = rows.peekable();
        // Later observations may have superseded all rows.
        if batches.peek().is_none() {
            return Ok(());
        }
        let rows = encode::Rows {
            schema,
            most,
            batches: &mut batches,
        };
        add(staging, plan, stamp, &table, rows)
    })
}

fn add(
    staging: &Staging,
    plan: &Plan,
    stamp: &RunStamp,
    table: &str,
    rows: encode::Rows<'_>,
) -> Result<(), RunError> {
    let Some(contract) = plan.contracts.tables.get(table) else {
        return Ok(());
    };
    let path = table_path(table, stamp.snapshot_date, &stamp.run_id);
    let schema = SchemaRef::clone(&rows.schema);
    staging.add(path, table, &schema, |out| {
        encode::write_parquet(rows, contract, plan.compression, out)
    })?;
    Ok(())
}

/// Returns the number of rows that a commit adds, by table. Rewritten files of other runs do not
/// count.
pub(crate) fn rows(record: &CommitRecord) -> BTreeMap<String, u64> {
    let mut rows = BTreeMap::new();
    for file in record.add.iter().filter(|file| file.runs.is_empty()) {
        *rows.entry(file.table.clone()).or_default() += file.rows;
    }
    rows
}

pub(crate) fn run_ref(stamp: &RunStamp, simulated: bool) -> RunRef<'_> {
    RunRef {
        run_id: &stamp.run_id,
        pipeline: &stamp.pipeline,
        snapshot_at: stamp.snapshot_at,
        simulated,
        closes: false,
        raw: &[],
    }
}
