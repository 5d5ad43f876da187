//! Messages, whatever the webhook: the formats make bodies of them.

use std::path::Path;

use chrono::{DateTime, Utc};
use indexmap::IndexMap;
use serde::Serialize;
use serde_json::Value;

use crate::lake_layout::full_path;
use crate::plan::Money;
use crate::run::outcome::{FailedSearch, SearchCounts, Status};
use crate::run::report::RunReport;
use crate::spec::notify::NotifyEvent;

/// Kind of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageKind {
    /// Events of a run.
    Run,
    /// Rows of a finding.
    Finding,
    /// The query of a finding cannot be run.
    FindingFailed,
    /// Problems that `redlake status` found, or their end.
    Health,
    /// A test, from `redlake notify --test`.
    Test,
}

/// Urgency of a message. Feishu shows it as the colour of the title.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    Good,
    Neutral,
    Warning,
    Bad,
}

/// A message about a run or a finding.
#[derive(Clone, Debug)]
pub struct WebhookMessage {
    pub kind: MessageKind,
    /// Events of the run, the most urgent first. Empty for findings.
    pub events: Vec<NotifyEvent>,
    pub tone: Tone,
    pub pipeline: String,
    /// Begins with `redlake`, so that a robot that wants a keyword accepts it.
    pub title: String,
    /// Short values by name.
    pub facts: Vec<(&'static str, String)>,
    /// Sentences: what happened, and what to do.
    pub paragraphs: Vec<String>,
    /// Items that belong together, such as the failed searches.
    pub items: Vec<String>,
    pub cards: Vec<RowCard>,
    /// Number of further items or rows, which the message leaves out.
    pub more: u64,
    pub run: Option<RunSummary>,
    pub drift: Vec<DriftField>,
    pub finding: Option<FindingRows>,
    /// Problems of a health check.
    pub problems: Vec<KnownProblem>,
    pub sent_at: DateTime<Utc>,
    pub is_simulated: bool,
}

/// A row of a finding, for people.
#[derive(Clone, Debug, PartialEq)]
pub struct RowCard {
    pub heading: String,
    /// An http(s) address.
    pub link: Option<String>,
    /// The other columns of the row that have a value.
    pub values: Vec<(String, String)>,
}

/// A run in a generic message.
#[derive(Clone, Debug, Serialize)]
pub struct RunSummary {
    pub run_id: String,
    pub snapshot_at: DateTime<Utc>,
    pub status: Status,
    pub exit_code: u8,
    pub searches: SearchCounts,
    /// Number of calls sent, and of those that were billed.
    pub calls: u64,
    pub billed: u64,
    pub cost: Option<f64>,
    pub currency: Option<String>,
    pub pages: u64,
    pub items: u64,
    pub rejects: u64,
    pub held: bool,
    pub reason: Option<String>,
    /// At most [`MOST_ITEMS`].
    pub failures: Vec<FailedSearch>,
}

/// A problem that `redlake status` found.
#[derive(Clone, Debug, Serialize)]
pub struct KnownProblem {
    /// Identity: the same problem keeps it while its numbers change.
    pub key: String,
    /// Description of the problem.
    pub message: String,
    /// Remedy.
    pub hint: String,
}

/// A field that the contract does not know.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DriftField {
    pub endpoint: String,
    pub path: String,
    /// Kind of the difference, as in the table `drift`.
    pub kind: String,
    pub count: u64,
}

/// Rows of a finding in a generic message.
#[derive(Clone, Debug, Serialize)]
pub struct FindingRows {
    pub name: String,
    pub rows: Vec<IndexMap<String, Value>>,
    /// Number of further rows, which the next runs tell.
    pub more: u64,
}

/// Maximum number of items of a message.
pub const MOST_ITEMS: usize = 5;

impl WebhookMessage {
    pub fn new(kind: MessageKind, pipeline: &str, title: String, sent_at: DateTime<Utc>) -> Self {
        WebhookMessage {
            kind,
            events: Vec::new(),
            tone: Tone::Neutral,
            pipeline: pipeline.to_owned(),
            title,
            facts: Vec::new(),
            paragraphs: Vec::new(),
            items: Vec::new(),
            cards: Vec::new(),
            more: 0,
            run: None,
            drift: Vec::new(),
            finding: None,
            problems: Vec::new(),
            sent_at,
            is_simulated: false,
        }
    }
}

impl RunSummary {
    pub fn of(report: &RunReport<'_>, exit_code: u8) -> Self {
        RunSummary {
            run_id: report.run_id.to_owned(),
            snapshot_at: report.snapshot_at,
            status: report.status,
            exit_code,
            searches: report.searches,
            calls: report.requests.sent,
            billed: report.requests.billed,
            cost: report.cost,
            currency: report.currency.clone(),
            pages: report.pages,
            items: report.items,
            rejects: report.rejects,
            held: report.held,
            reason: report.reason.clone(),
            failures: report.failures.iter().take(MOST_ITEMS).cloned().collect(),
        }
    }

    /// Returns the facts for people.
    pub fn facts(&self, timezone: chrono_tz::Tz) -> Vec<(&'static str, String)> {
        let SearchCounts {
            planned,
            done,
            failed,
        } = self.searches;
        let snapshot = self.snapshot_at.with_timezone(&timezone);
        let mut facts = vec![
            ("snapshot", snapshot.format("%F %H:%M %:z").to_string()),
            (
                "searches",
                format!("{done} of {planned} done, {failed} failed"),
            ),
            (
                "calls",
                format!("{} sent, {} billed", self.calls, self.billed),
            ),
        ];
        if let (Some(cost), Some(currency)) = (self.cost, &self.currency) {
            facts.push(("cost", format!("{} {currency}", Money::of(cost))));
        }
        facts.push(("run", self.run_id.clone()));
        facts
    }
}

/// Returns the facts about where something happened: the lake and the machine.
pub fn places(lake: &Path) -> Vec<(&'static str, String)> {
    let mut places = vec![("lake", full_path(lake).display().to_string())];
    let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if !machine.trim().is_empty() {
        places.push(("machine", machine.trim().to_owned()));
    }
    places
}

/// Marks the title of a message about simulated data.
pub fn titled(title: String, simulated: bool) -> String {
    if simulated {
        format!("{title} (simulated)")
    } else {
        title
    }
}
