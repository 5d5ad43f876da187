//! The metrics of a run. All are gauges of the last run: they do not add up over runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

use super::{Gauge, Gauges, Labels, MetricsFile, flag, labels, timestamp, write_or_warn};
use crate::cli::error::CliError;
use crate::cli::exit_code::ExitCode;
use crate::clock;
use crate::extract::error::with_causes;
use crate::maintenance::run_contents::new_notes;
use crate::maintenance::status::state::PipelineState;
use crate::plan::{Plan, Shard};
use crate::run::outcome::{RunOutcome, Status};
use crate::run::report::RunReport;

const BUILD: Gauge = Gauge("redlake_build_info", "Version of redlake; always 1.");
const STATUS: Gauge = Gauge(
    "redlake_run_last_status",
    "1 for the status of the last run, 0 for the others.",
);
const EXIT_CODE: Gauge = Gauge("redlake_run_exit_code", "Exit code of the last run.");
const START: Gauge = Gauge(
    "redlake_run_last_start_timestamp_seconds",
    "Start of the last run, by the clock of the machine.",
);
const END: Gauge = Gauge(
    "redlake_run_last_end_timestamp_seconds",
    "End of the last run, by the clock of the machine.",
);
const SNAPSHOT: Gauge = Gauge(
    "redlake_run_snapshot_timestamp_seconds",
    "Logical time of the last run; simulated in the sandbox.",
);
const DURATION: Gauge = Gauge("redlake_run_duration_seconds", "Duration of the last run.");
const STAGE: Gauge = Gauge(
    "redlake_run_stage_duration_seconds",
    "Duration of a stage of the last run.",
);
const SEARCHES: Gauge = Gauge(
    "redlake_run_searches",
    "Searches of the last run that ended: done, failed.",
);
const PLANNED: Gauge = Gauge(
    "redlake_run_searches_planned",
    "Searches that the last run was to make.",
);
const CALLS: Gauge = Gauge(
    "redlake_run_calls",
    "Calls of the last run by class of outcome, retries included.",
);
const BILLED: Gauge = Gauge(
    "redlake_run_calls_billed",
    "Calls of the last run by billing: yes, no, unknown.",
);
const RETRIED: Gauge = Gauge(
    "redlake_run_calls_retried",
    "Calls of the last run that were retries.",
);
const COST: Gauge = Gauge("redlake_run_cost", "Known charges of the last run.");
const PAGES: Gauge = Gauge("redlake_run_pages", "Pages that the last run has.");
const ITEMS: Gauge = Gauge("redlake_run_items", "Items in the pages of the last run.");
const ROWS: Gauge = Gauge(
    "redlake_run_rows",
    "Rows that the last run committed, by table.",
);
const NEW_NOTES: Gauge = Gauge(
    "redlake_run_new_notes",
    "Notes of the last run that no other run of the lake has.",
);
const REJECTS: Gauge = Gauge("redlake_run_rejects", "Rejects of the last run.");
const DRIFT: Gauge = Gauge(
    "redlake_run_drift",
    "Values of the last run that are not in the contract.",
);

/// States that a run can end in.
const ENDS: [PipelineState; 6] = [
    PipelineState::Complete,
    PipelineState::Partial,
    PipelineState::Stopped,
    PipelineState::Failed,
    PipelineState::Interrupted,
    PipelineState::Held,
];

/// The metrics of a run, collected while it is under way. Does nothing without a file.
#[derive(Debug)]
pub struct RunMetrics {
    file: Option<PathBuf>,
    pipeline: String,
    shard: Option<Shard>,
    started_at: DateTime<Utc>,
    /// `None` if the run could not be made.
    end: Option<PipelineState>,
    /// True if its logical time had a run with nothing left to do.
    is_repeated: bool,
    gauges: Gauges,
}

impl RunMetrics {
    /// Begins the metrics of a run. Until the pipeline is read, the name of its file stands for it.
    pub fn new(to: &MetricsFile, pipeline: &Path, shard: Option<Shard>) -> Self {
        let stem = pipeline.file_stem().unwrap_or_default();
        RunMetrics {
            file: to.metrics_file.clone(),
            pipeline: stem.to_string_lossy().into_owned(),
            shard,
            started_at: clock::now(),
            end: None,
            is_repeated: false,
            gauges: Gauges::default(),
        }
    }

    /// Takes the name of the pipeline.
    pub fn of_plan(&mut self, plan: &Plan) {
        self.pipeline.clone_from(&plan.pipeline);
    }

    /// Takes the figures of a run.
    pub fn of_run(&mut self, outcome: &RunOutcome, report: &RunReport<'_>, plan: &Plan) {
        if self.file.is_none() {
            return;
        }
        self.is_repeated = report.repeated;
        self.end = Some(match report.status {
            _ if report.held => PipelineState::Held,
            Status::Complete => PipelineState::Complete,
            Status::Partial => PipelineState::Partial,
            Status::Stopped => PipelineState::Stopped,
            Status::Failed => PipelineState::Failed,
            Status::Interrupted => PipelineState::Interrupted,
        });
        self.add(SNAPSHOT, &[], timestamp(report.snapshot_at));
        self.add(DURATION, &[], report.seconds);
        for (stage, seconds) in report.stages.each() {
            self.add(STAGE, &[("stage", stage)], seconds);
        }
        let searches = report.searches;
        for (state, number) in [("done", searches.done), ("failed", searches.failed)] {
            self.add(SEARCHES, &[("state", state)], number as f64);
        }
        self.add(PLANNED, &[], searches.planned as f64);
        let mut classes = BTreeMap::from([("ok", 0_u64)]);
        for call in &outcome.extraction.extracted.calls {
            *classes.entry(call.class.as_str()).or_default() += 1;
        }
        for (class, number) in classes {
            self.add(CALLS, &[("class", class)], number as f64);
        }
        let requests = report.requests;
        let free = requests.sent - requests.billed - requests.unknown;
        for (billed, number) in [
            ("yes", requests.billed),
            ("no", free),
            ("unknown", requests.unknown),
        ] {
            self.add(BILLED, &[("billed", billed)], number as f64);
        }
        self.add(RETRIED, &[], requests.retried as f64);
        if let Some(cost) = report.cost {
            let currency = report.currency.as_deref().unwrap_or_default();
            self.add(COST, &[("currency", currency)], cost);
        }
        self.add(PAGES, &[], report.pages as f64);
        self.add(ITEMS, &[], report.items as f64);
        for (table, rows) in report.rows {
            self.add(ROWS, &[("table", table)], *rows as f64);
        }
        self.add(REJECTS, &[], report.rejects as f64);
        self.add(DRIFT, &[], report.drift as f64);
        if outcome.has_committed_tables {
            self.new_notes(outcome, plan);
        }
    }

    fn new_notes(&mut self, outcome: &RunOutcome, plan: &Plan) {
        match new_notes(&outcome.lake, &plan.contracts, &outcome.meta) {
            Ok(Some(new)) => self.add(NEW_NOTES, &[], new as f64),
            Ok(None) => {}
            Err(error) => tracing::warn!(
                "the metrics lack redlake_run_new_notes: {}",
                with_causes(&error)
            ),
        }
    }

    /// Writes the file when the run is over. A call for a pipeline that is running, and a repeated call
    /// that had nothing to do, leave the file about the last run as it is.
    pub fn write(&mut self, ended: &Result<ExitCode, CliError>) {
        let Some(file) = self.file.take() else {
            return;
        };
        let code = match ended {
            Ok(code) => *code,
            Err(error) => error.code,
        };
        let has_news = !(self.is_repeated && code == ExitCode::Complete && file.exists());
        if code == ExitCode::Busy || !has_news {
            return;
        }
        // Without an outcome it failed.
        let end = self.end.unwrap_or(PipelineState::Failed);
        for state in ENDS {
            self.add(STATUS, &[("status", state.as_str())], flag(state == end));
        }
        self.add(EXIT_CODE, &[], f64::from(code.number()));
        self.add(START, &[], timestamp(self.started_at));
        self.add(END, &[], timestamp(clock::now()));
        self.add(BUILD, &[("version", env!("CARGO_PKG_VERSION"))], 1.0);
        write_or_warn(&file, std::mem::take(&mut self.gauges));
    }

    fn add(&mut self, gauge: Gauge, more: &[(&str, &str)], value: f64) {
        let shard = self.shard.map(|shard| shard.to_string());
        let shard = shard.unwrap_or_default();
        let mut all: Labels = labels(&[("pipeline", &self.pipeline), ("shard", &shard)]);
        all.extend(labels(more));
        self.gauges.add(gauge, all, value);
    }
}
