//! What the webhooks of a pipeline were told, so that each event and each row is told once.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, TryLockError};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use chrono::{DateTime, Days, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use crate::extract::error::with_causes;
use crate::lake_layout::{STATE, notify_lock, notify_state, state};
use crate::load::Lake;
use crate::load::files::{create_private_dir, open_private_lock, replace_private_json};
use crate::spec::notify::NotifyEvent;

/// Number of days after which a row that its query no longer returned counts as new.
const FORGOTTEN_AFTER: u64 = 30;

/// State of a pipeline's notifications, over all of its shards. A file in the lake.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Told {
    /// By the name of the webhook.
    pub webhooks: BTreeMap<String, ToldTo>,
}

/// Events of a shard since its last complete run, of those that the webhook lists.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Unwell {
    pub since: DateTime<Utc>,
    pub events: BTreeSet<NotifyEvent>,
    /// Problem of the newest run.
    pub problem: Option<String>,
}

/// What one webhook was told.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ToldTo {
    /// Shards that are not well and whose recovery was not told, by their name. The pipeline itself is
    /// the shard without a name.
    pub unwell: BTreeMap<String, Unwell>,
    /// The last run of each shard that it was told about.
    pub runs: BTreeMap<String, ToldRun>,
    /// Fields that the contract does not know, as `endpoint path kind`.
    pub drift: BTreeSet<String>,
    /// Rows of each finding, as hashes of their keys, with the date on which the query last returned
    /// them.
    pub rows: BTreeMap<String, BTreeMap<String, NaiveDate>>,
    /// Findings whose query could not be run.
    pub broken: BTreeSet<String>,
    /// Problems that `redlake status` found and that last.
    pub health: BTreeSet<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToldRun {
    pub run: String,
    pub events: BTreeSet<NotifyEvent>,
}

impl ToldTo {
    /// Returns true if this event of a run was told.
    pub fn has(&self, shard: &str, run: &str, event: NotifyEvent) -> bool {
        let told = self.runs.get(shard).filter(|told| told.run == run);
        told.is_some_and(|told| told.events.contains(&event))
    }

    /// Records that events of a run were told.
    pub fn add(&mut self, shard: &str, run: &str, events: &[NotifyEvent]) {
        let told = self
            .runs
            .entry(shard.to_owned())
            .or_insert_with(|| ToldRun {
                run: run.to_owned(),
                events: BTreeSet::new(),
            });
        if told.run != run {
            told.run = run.to_owned();
            told.events.clear();
        }
        told.events.extend(events);
    }

    /// Removes rows that their queries have not returned for [`FORGOTTEN_AFTER`] days.
    fn forget(&mut self, today: NaiveDate) {
        let Some(first) = today.checked_sub_days(Days::new(FORGOTTEN_AFTER)) else {
            return;
        };
        for rows in self.rows.values_mut() {
            rows.retain(|_, last| *last >= first);
        }
    }
}

/// The state of a pipeline in its lake, locked.
pub struct ToldFile {
    lake: Lake,
    path: PathBuf,
    read: Told,
    _lock: File,
}

impl ToldFile {
    /// Locks and reads the state. Waits until `deadline` for another shard that is sending. Returns
    /// `None` and logs a warning if there is no usable lake: messages may then be repeated.
    pub async fn open(lake: Lake, pipeline: &str, deadline: Instant) -> Option<(Self, Told)> {
        let folder = lake.root().join(STATE).join(state::NOTIFY);
        let lock = create_private_dir(&folder, lake.access())
            .and_then(|()| open_private_lock(&folder.join(notify_lock(pipeline)), lake.access()));
        let lock = match lock {
            Ok(lock) => lock,
            Err(error) => {
                let reason = with_causes(&error);
                tracing::warn!("messages may be repeated: {reason}");
                return None;
            }
        };
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(error) => {
                    tracing::warn!("messages may be repeated: {error}");
                    return None;
                }
            }
        }
        let path = folder.join(notify_state(pipeline));
        let read = match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).unwrap_or_else(|error| {
                let path = path.display();
                tracing::warn!("messages may be repeated: {path} is damaged: {error}");
                Told::default()
            }),
            Err(_) => Told::default(),
        };
        let file = ToldFile {
            lake,
            path,
            read: read.clone(),
            _lock: lock,
        };
        Some((file, read))
    }

    /// Writes the state if it changed, atomically. A failure is logged.
    pub fn save(self, mut told: Told, today: NaiveDate) {
        for webhook in told.webhooks.values_mut() {
            webhook.forget(today);
        }
        if told == self.read {
            return;
        }
        if let Err(error) = replace_private_json(&self.path, &told, self.lake.access()) {
            let reason = with_causes(&error);
            tracing::warn!("messages may be repeated: {reason}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_told_once_a_run() {
        let mut told = ToldTo::default();
        told.add("1/2", "a", &[NotifyEvent::Partial]);
        assert!(told.has("1/2", "a", NotifyEvent::Partial));
        assert!(!told.has("1/2", "a", NotifyEvent::Failed));
        assert!(!told.has("2/2", "a", NotifyEvent::Partial));
        assert!(!told.has("1/2", "b", NotifyEvent::Partial));
        told.add("1/2", "b", &[NotifyEvent::Failed]);
        assert!(!told.has("1/2", "b", NotifyEvent::Partial));
        assert!(told.has("1/2", "b", NotifyEvent::Failed));
    }

    #[test]
    fn a_row_is_forgotten_after_thirty_days() {
        let date = |text: &str| text.parse::<NaiveDate>().expect("a date");
        let mut told = ToldTo::default();
        let rows = told.rows.entry("rising".to_owned()).or_default();
        rows.insert("old".to_owned(), date("2026-03-09"));
        rows.insert("new".to_owned(), date("2026-03-10"));
        told.forget(date("2026-04-09"));
        let left: Vec<&str> = told.rows["rising"].keys().map(String::as_str).collect();
        assert_eq!(left, ["new"]);
    }
}
