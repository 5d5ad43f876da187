//! Commit of a run's tables to the lake: staged, checked, then committed or held.

pub mod checks;
pub mod ledger;
pub mod rewrite;
pub mod searches;

use std::collections::BTreeMap;
use std::time::Instant;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use uuid::Uuid;

use crate::extract::error::with_causes;
use crate::lake_layout::table_path;
use crate::load::commit::Staging;
use crate::load::locks::RewriteLock;
use crate::load::raw_zone::RawFile;
use crate::load::record::{CommitKind, CommitRecord, CommitSource};
use crate::load::{Lake, LakeError, encode};
use crate::plan::Plan;
use crate::run::active::ActiveRun;
use crate::run::error::RunError;
use crate::run::outcome::{RunOutcome, Status};
use crate::run_meta::RunMeta;
use crate::transform::tables::finish::{FlattenOutcome, Flattened};
use checks::{Audit, Subject};
use ledger::{LedgerRows, RunRecord};
use rewrite::take_rows_out;
use searches::search_records;

/// A commit in progress.
struct NextCommit {
    kind: CommitKind,
    id: String,
    closes: bool,
    /// Lock on rewrites. Held if the run already has files.
    rewriting: Option<RewriteLock>,
}

impl ActiveRun<'_> {
    /// Commits the tables and the ledger atomically. Replaces what the run committed before. If a
    /// data check fails, only the ledger is committed. The tables are then held if the run is
    /// finished; a run that continues is checked again.
    pub(crate) fn commit(
        &self,
        tables: Option<Flattened<'_>>,
        outcome: &mut RunOutcome,
        closes: bool,
    ) -> Result<(), RunError> {
        let next = self.next(closes)?;
        let staging = self.lake.stage(&next.id)?;
        let has_tables = tables.is_some();
        if let Some(tables) = tables {
            // Tables take about as much disk space as their pages.
            let raw = self.raw.iter().filter_map(|path| path.metadata().ok());
            self.lake.require_room(raw.map(|raw| raw.len()).sum())?;
            let began = Instant::now();
            let written = stage(
                &staging,
                self.plan,
                &self.meta,
                tables,
                self.resources.threads,
            )?;
            outcome.stages.transform += began.elapsed().as_secs_f64();
            outcome.tally = written.tallies;
        }
        // The checks read the ledger, too.
        self.stage_ledger(&staging, outcome)?;
        if has_tables
            && !outcome.damaged_pages.is_empty()
            && has_committed_rows(&self.lake, &self.meta.run_id)?
        {
            let reason = format!(
                "{} of the run's pages cannot be read, and their rows were committed before",
                outcome.damaged_pages.len()
            );
            return self.hold(staging, next, reason, outcome);
        }
        // A run that was cut short before its first page has nothing to check.
        let is_cut = outcome.extraction.extracted.cut.is_some();
        if has_tables && !(is_cut && outcome.raw.is_empty()) {
            let began = Instant::now();
            outcome.audit = self.audit(&staging, outcome)?;
            outcome.stages.checks = began.elapsed().as_secs_f64();
            if let Some(reason) = outcome.audit.blocks() {
                return self.hold(staging, next, reason, outcome);
            }
        }
        let gone = self.gone(&staging, &next, has_tables)?;
        let raw = self.lake.measure_raw(&self.raw)?;
        let record = staging.commit(next.kind, self.source(closes, &raw), gone)?;
        outcome.rows = rows(&record);
        outcome.has_committed_tables = has_tables;
        if has_tables {
            supersede(&self.lake, &self.meta.run_id, None);
            for replaced in &self.replaces {
                supersede(&self.lake, replaced, None);
            }
        }
        Ok(())
    }

    /// Commits the ledger without the tables. Holds the tables if the commit closes the run, else
    /// discards them.
    fn hold(
        &self,
        staging: Staging,
        next: NextCommit,
        reason: String,
        outcome: &mut RunOutcome,
    ) -> Result<(), RunError> {
        if next.closes {
            // Reason in the held row of `runs`, which becomes visible when it is published.
            outcome.reasons.push(format!("published although {reason}"));
            self.stage_ledger(&staging, outcome)?;
            outcome.reasons.pop();
            outcome.status = Status::Failed;
        }
        outcome.reasons.push(reason.clone());
        outcome.blocked = Some(reason);
        let raw = self.lake.measure_raw(&self.raw)?;
        let source = self.source(next.closes, &raw);
        let holding = if next.closes {
            let gone = self.gone(&staging, &next, true)?;
            let results = outcome.audit.results.clone();
            Some(staging.hold(source, gone, Some(next.id.clone()), results)?)
        } else {
            staging.abandon()?;
            None
        };
        let staging = self.lake.stage(&next.id)?;
        self.stage_ledger(&staging, outcome)?;
        let gone = self.gone(&staging, &next, false)?;
        let record = staging.commit(next.kind, source, gone)?;
        outcome.rows = rows(&record);
        if let Some(holding) = holding {
            outcome.is_held = true;
            let but = Some(holding.held.commit_id.as_str());
            supersede(&self.lake, &self.meta.run_id, but);
        }
        Ok(())
    }

    fn next(&self, closes: bool) -> Result<NextCommit, RunError> {
        let run_id = &self.meta.run_id;
        let is_first = !self.lake.has_commit(run_id);
        let rewriting = if is_first && self.replaces.is_empty() {
            None
        } else {
            Some(self.lake.lock_rewrites()?)
        };
        Ok(NextCommit {
            kind: if is_first {
                CommitKind::Run
            } else {
                CommitKind::Replace
            },
            id: if is_first {
                run_id.clone()
            } else {
                Uuid::now_v7().to_string()
            },
            closes,
            rewriting,
        })
    }

    /// Returns the paths of the files that the staged files replace: the run's ledger, and if
    /// `has_tables` the tables of the run and of those that it replaces.
    fn gone(
        &self,
        staging: &Staging,
        next: &NextCommit,
        has_tables: bool,
    ) -> Result<Vec<String>, RunError> {
        let Some(rewriting) = &next.rewriting else {
            return Ok(Vec::new());
        };
        let own = self.meta.run_id.as_str();
        let replaced = self.replaces.iter().map(String::as_str);
        let runs: Vec<&str> = std::iter::once(own).chain(replaced).collect();
        let leaving = |table: &str| {
            if ledger::is_ledger(table) {
                &runs[..1]
            } else if has_tables {
                &runs[..]
            } else {
                &[]
            }
        };
        let tables = &self.plan.contracts.tables;
        take_rows_out(&self.lake, tables, staging, leaving, rewriting)
    }

    fn source<'r>(&'r self, closes: bool, raw: &'r [RawFile]) -> CommitSource<'r> {
        let meta = &self.meta;
        CommitSource { meta, closes, raw }
    }

    fn audit(&self, staging: &Staging, outcome: &RunOutcome) -> Result<Audit, RunError> {
        let subject = Subject {
            lake: &self.lake,
            staging,
            meta: &self.meta,
            replaces: &|_| true,
            leaving: &self.replaces,
            leaves: &|table| !ledger::is_ledger(table),
            tallies: &outcome.tally,
        };
        Audit::of(self.plan, &subject)
    }

    /// Writes the ledger, as the outcome is now, to the staging folder.
    fn stage_ledger(&self, staging: &Staging, outcome: &RunOutcome) -> Result<(), RunError> {
        let ledger = self.ledger(outcome)?;
        for (table, batch) in ledger.iter().filter(|(_, b)| b.num_rows() > 0) {
            let rows = encode::Rows {
                schema: batch.schema(),
                most: batch.num_rows() as u64,
                batches: &mut std::iter::once(Ok(batch.clone())),
            };
            add(staging, self.plan, &self.meta, table, rows)?;
        }
        Ok(())
    }

    fn ledger(&self, outcome: &RunOutcome) -> Result<BTreeMap<String, RecordBatch>, RunError> {
        let charges = outcome.charges(self.plan);
        let (searches, totals) = (outcome.searches(), outcome.totals());
        let extraction = &outcome.extraction;
        let run = RunRecord {
            started_at: extraction.started_at,
            finished_at: extraction.finished_at,
            status: outcome.status,
            reason: outcome.reason(),
            plan_hash: &self.plan_hash,
            version: env!("CARGO_PKG_VERSION"),
            shard: self.shard,
            timezone: self.plan.timezone.name(),
            searches_planned: searches.planned,
            searches_done: searches.done,
            requests: totals.sent,
            billed_requests: totals.billed,
            cost: charges.cost,
            currency: charges.currency.as_deref(),
            rejects: outcome.rejects,
        };
        let contracts = &self.plan.contracts;
        let redaction = Some(self.transform.redaction());
        let rows = LedgerRows {
            calls: &extraction.extracted.calls,
            searches: &search_records(extraction, &self.plan.keyword_labels),
            run: &run,
            source: &self.plan.source,
        };
        ledger::tables(contracts, redaction, &self.meta, &rows).map_err(RunError::Ledger)
    }
}

/// Returns true if the lake has rows that were made from pages of a run.
pub(crate) fn has_committed_rows(lake: &Lake, run_id: &str) -> Result<bool, LakeError> {
    let mut files = lake.files_of(run_id)?.into_iter();
    Ok(files.any(|live| !ledger::is_ledger(&live.file.table)))
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
    meta: &RunMeta,
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
        add(staging, plan, meta, &table, rows)
    })
}

fn add(
    staging: &Staging,
    plan: &Plan,
    meta: &RunMeta,
    table: &str,
    rows: encode::Rows<'_>,
) -> Result<(), RunError> {
    let Some(contract) = plan.contracts.tables.get(table) else {
        return Ok(());
    };
    let path = table_path(table, meta.snapshot_date, &meta.run_id);
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
