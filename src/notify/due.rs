//! Messages that are due, and what is recorded once they are delivered.

use std::collections::{BTreeMap, BTreeSet};

use super::message::WebhookMessage;
use super::state::NotifyState;
use crate::clock;
use crate::spec::notify::NotifyEvent;

/// A message that is due.
pub struct DueMessage {
    /// Place in the plan's notifications.
    pub to: usize,
    pub message: WebhookMessage,
    pub marks: Marks,
}

/// Contents of a message, to be recorded.
pub enum Marks {
    Events {
        /// Events of runs, by the key of the run.
        told: BTreeMap<String, BTreeSet<NotifyEvent>>,
        /// Keys of the runs whose recovery it tells.
        recovered: Vec<String>,
        drift: BTreeSet<String>,
    },
    Rows {
        finding: String,
        /// Hashes of the rows, in the order of the cards.
        keys: Vec<String>,
    },
    Broken {
        finding: String,
    },
    /// Problems that `redlake status` found.
    Problems {
        keys: Vec<String>,
    },
    /// No problem is left.
    Healthy,
}

impl Marks {
    /// Records that the message was delivered to a webhook. `cards` is the number of rows in it.
    pub fn record(self, state: &mut NotifyState, webhook: &str, cards: usize) {
        let of_webhook = state.webhooks.entry(webhook.to_owned()).or_default();
        match self {
            Marks::Events {
                told,
                recovered,
                drift,
            } => {
                for (key, events) in told {
                    if let Some(run) = of_webhook.bad_runs.get_mut(&key) {
                        run.untold.retain(|event| !events.contains(event));
                        run.told.extend(events);
                        run.waits = false;
                    }
                }
                for key in recovered {
                    if let Some(run) = of_webhook.bad_runs.get_mut(&key) {
                        run.is_over = true;
                        run.untold.clear();
                    }
                }
                of_webhook.drift.extend(drift);
            }
            Marks::Rows { finding, keys } => {
                let today = clock::now().date_naive();
                let finding = state.findings.entry(finding).or_default();
                let shown = keys.into_iter().take(cards);
                finding.rows.extend(shown.map(|key| (key, today)));
            }
            Marks::Broken { finding } => {
                state.findings.entry(finding).or_default().is_broken = true;
            }
            Marks::Problems { keys } => of_webhook.problems.extend(keys),
            Marks::Healthy => of_webhook.problems.clear(),
        }
    }
}
