//! Record of the events and rows that the webhooks of a pipeline were told, so that each is told once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use chrono::{DateTime, Days, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::extract::error::with_causes;
use crate::lake_layout::{findings_lock, notify_lock, notify_state, state};
use crate::load::LakeError;
use crate::load::shared_state::{SharedState, StateLock};
use crate::spec::notify::NotifyEvent;

/// Number of days after which a row that its query no longer returned counts as new, and a bad run is
/// forgotten.
const FORGOTTEN_AFTER: u64 = 30;

/// State of a pipeline's notifications, over all of its shards.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NotifyState {
    /// States of the webhooks, by name.
    pub webhooks: BTreeMap<String, WebhookState>,
    /// States of the findings, by name.
    pub findings: BTreeMap<String, FindingState>,
}

/// State of one webhook.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct WebhookState {
    /// Runs that ended with an event that the webhook lists, and whose recovery was not told, by their
    /// key.
    pub bad_runs: BTreeMap<String, BadRun>,
    /// Fields that the contract does not know and that were told, as `endpoint path kind`.
    pub drift: BTreeSet<String>,
    /// Problems that `redlake status` found, that were told and that last.
    pub problems: BTreeSet<String>,
}

/// A run that ended with an event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BadRun {
    /// Empty for a whole pipeline.
    pub shard: String,
    pub snapshot_at: DateTime<Utc>,
    /// Time of its first event.
    pub since: DateTime<Utc>,
    pub told: BTreeSet<NotifyEvent>,
    /// Events whose message was not delivered.
    pub untold: BTreeSet<NotifyEvent>,
    /// True if its caller tries again, so that nothing is told yet.
    #[serde(default)]
    pub waits: bool,
    /// True once a complete run ended it. It is kept, so that no event of it is told again.
    #[serde(default)]
    pub is_over: bool,
    /// Problem of its newest attempt.
    pub problem: Option<String>,
}

/// State of a finding.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FindingState {
    /// Rows that were told, as hashes of their keys, with the date on which the query last returned
    /// them.
    pub rows: BTreeMap<String, NaiveDate>,
    /// True once the query was run.
    pub is_begun: bool,
    /// True if it was told that the query cannot be run.
    pub is_broken: bool,
}

impl FindingState {
    /// Records the told rows that the query returned today. Removes those that it did not return for
    /// [`FORGOTTEN_AFTER`] days.
    pub fn record_seen(&mut self, seen: &BTreeSet<String>, today: NaiveDate) {
        let seen = seen.iter().cloned();
        self.rows.extend(seen.map(|key| (key, today)));
        if let Some(first) = today.checked_sub_days(Days::new(FORGOTTEN_AFTER)) {
            self.rows.retain(|_, last| *last >= first);
        }
    }
}

impl NotifyState {
    /// Removes bad runs that are older than [`FORGOTTEN_AFTER`] days.
    fn forget(&mut self, today: NaiveDate) {
        let Some(first) = today.checked_sub_days(Days::new(FORGOTTEN_AFTER)) else {
            return;
        };
        for webhook in self.webhooks.values_mut() {
            webhook
                .bad_runs
                .retain(|_, run| run.since.date_naive() >= first);
        }
    }
}

/// The file of a pipeline's state, in its lake.
#[derive(Clone, Debug)]
pub struct StateFile {
    shared: SharedState,
    pipeline: String,
}

/// Time to wait for another process that writes the state, which takes it some milliseconds.
const PATIENCE: Duration = Duration::from_secs(1);

impl StateFile {
    /// Returns the file of a pipeline. `None` if there is no lake yet.
    pub fn of(lake: &Path, pipeline: &str) -> Option<Self> {
        Some(StateFile {
            shared: SharedState::of(lake, state::NOTIFY)?,
            pipeline: pipeline.to_owned(),
        })
    }

    /// Reads the state. A state that cannot be read is empty, and a warning is logged.
    pub fn read(&self) -> NotifyState {
        let read = self.shared.read(&notify_state(&self.pipeline));
        read.unwrap_or_else(|error| {
            warn(&error);
            None
        })
        .unwrap_or_default()
    }

    /// Changes the state. A failure is logged.
    pub fn update(&self, change: impl FnOnce(&mut NotifyState)) {
        let update = || -> Result<(), LakeError> {
            let lock = notify_lock(&self.pipeline);
            let lock = self.shared.lock(&lock, Instant::now() + PATIENCE)?;
            if lock.is_none() {
                tracing::warn!("messages may be repeated: another process holds their state");
                return Ok(());
            }
            let before = self.read();
            let mut state = before.clone();
            change(&mut state);
            state.forget(clock::now().date_naive());
            if state == before {
                return Ok(());
            }
            self.shared.write(&notify_state(&self.pipeline), &state)
        };
        if let Err(error) = update() {
            warn(&error);
        }
    }

    /// Takes the lock of the findings, so that no other shard tells the same rows. `None` if another
    /// shard holds it until `deadline`.
    pub fn lock_findings(&self, deadline: Instant) -> Option<StateLock> {
        let lock = self.shared.lock(&findings_lock(&self.pipeline), deadline);
        lock.unwrap_or_else(|error| {
            warn(&error);
            None
        })
    }
}

fn warn(error: &LakeError) {
    tracing::warn!("messages may be repeated: {}", with_causes(error));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_a_query_no_longer_returns_are_forgotten_after_thirty_days() {
        let date = |text: &str| text.parse::<NaiveDate>().expect("a date");
        let mut finding = FindingState::default();
        for (key, last) in [
            ("old", "2026-03-09"),
            ("kept", "2026-03-10"),
            ("seen", "2026-01-01"),
        ] {
            finding.rows.insert(key.to_owned(), date(last));
        }
        let seen = BTreeSet::from(["seen".to_owned()]);
        finding.record_seen(&seen, date("2026-04-09"));
        let rows: Vec<&String> = finding.rows.keys().collect();
        assert_eq!(rows, ["kept", "seen"]);
        assert_eq!(finding.rows["seen"], date("2026-04-09"));
    }

    #[test]
    fn bad_runs_are_forgotten_after_thirty_days() {
        let date = |text: &str| text.parse::<NaiveDate>().expect("a date");
        let mut state = NotifyState::default();
        let webhook = state.webhooks.entry("feishu 1".to_owned()).or_default();
        for at in ["2026-03-09T23:00:00Z", "2026-03-10T00:00:00Z"] {
            let time: DateTime<Utc> = at.parse().expect("a time");
            let run = BadRun {
                shard: String::new(),
                snapshot_at: time,
                since: time,
                told: BTreeSet::new(),
                untold: BTreeSet::new(),
                waits: false,
                is_over: false,
                problem: None,
            };
            webhook.bad_runs.insert(at.to_owned(), run);
        }
        state.forget(date("2026-04-09"));
        let runs: Vec<&String> = state.webhooks["feishu 1"].bad_runs.keys().collect();
        assert_eq!(runs, ["2026-03-10T00:00:00Z"]);
    }
}
