//! Messages to webhooks: events of runs, and findings in the tables. Each event and each row is told
//! once. A message that is not delivered never changes the result of a run.
//!
//! After a run, [`tell`] reads what each webhook was told before, makes the messages that are due,
//! sends them all at the same time, and records each one that was delivered. An event or a row that was
//! not delivered is told after the next run.

pub mod delivery;
mod due;
pub mod ended;
mod events;
pub mod finding_messages;
pub mod findings;
pub mod formats;
pub mod health;
pub mod message;
mod run_messages;
mod state;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::clock;
use crate::plan::Plan;
use crate::plan::notify::Finding;
use delivery::deliver;
use due::DueMessage;
use ended::EndedRun;
use finding_messages::due_finding;
use findings::{FindingError, NewRows, find, with_database};
use health::Health;
use state::{FindingState, StateFile};

/// Sends the messages that are due after a run. Takes at most the longest `timeout` of the webhooks,
/// and ends when `stop` becomes true. Failures are logged.
pub async fn tell(ended: &EndedRun<'_>, mut stop: watch::Receiver<bool>) {
    tokio::select! {
        // The events are recorded before the first wait.
        biased;
        () = tell_of_run(ended) => {}
        _ = stop.wait_for(|stop| *stop) => {
            tracing::warn!("stopped while messages were sent; the rest is told after the next run");
        }
    }
}

async fn tell_of_run(ended: &EndedRun<'_>) {
    let Some(mut sending) = Sending::begin(ended.plan, ended.lake) else {
        return;
    };
    let state = sending.read();
    let due = events::due(ended, &state);
    sending.update(|state| events::remember(ended, state));
    sending.send_all(due);
    if ended.has_new_rows() {
        tell_findings(ended, &mut sending).await;
    }
    sending.wait().await;
}

/// Sends the messages that are due after `redlake status`, as [`tell`] does.
pub async fn tell_health(health: &Health<'_>) {
    let Some(mut sending) = Sending::begin(health.plan, health.lake) else {
        return;
    };
    let due = health::due(health, &sending.read());
    sending.send_all(due);
    sending.update(|state| health::remember(health, state));
    sending.wait().await;
}

/// Messages that are being sent.
struct Sending<'a> {
    plan: &'a Plan,
    /// `None` if there is no lake yet: then nothing is recorded.
    file: Option<StateFile>,
    /// The time from which timeouts count.
    started: Instant,
    /// Longest `timeout` of the webhooks.
    longest: Duration,
    tasks: JoinSet<()>,
}

impl<'a> Sending<'a> {
    /// Returns `None` if a pipeline has no webhook.
    fn begin(plan: &'a Plan, lake: &Path) -> Option<Self> {
        Some(Sending {
            plan,
            longest: plan.notifications.iter().map(|one| one.timeout).max()?,
            file: StateFile::of(lake, &plan.pipeline),
            started: Instant::now(),
            tasks: JoinSet::new(),
        })
    }

    fn read(&self) -> state::NotifyState {
        let read = self.file.as_ref().map(StateFile::read);
        read.unwrap_or_default()
    }

    fn update(&self, change: impl FnOnce(&mut state::NotifyState)) {
        if let Some(file) = &self.file {
            file.update(change);
        }
    }

    /// Sends messages at the same time, each within the `timeout` of its webhook.
    fn send_all(&mut self, due: Vec<DueMessage>) {
        for message in due {
            let timeout = self.plan.notifications[message.to].timeout;
            self.send(message, timeout);
        }
    }

    /// Sends a message in a task of its own, at most `timeout` after the start, and records its delivery.
    fn send(&mut self, due: DueMessage, timeout: Duration) {
        let to = self.plan.notifications[due.to].clone();
        let file = self.file.clone();
        // A tenth of the time is left for the state.
        let deadline = self.started + timeout * 9 / 10;
        self.tasks.spawn(async move {
            match deliver(&to, &due.message, deadline).await {
                Ok(cards) => {
                    if let Some(file) = file {
                        file.update(|state| due.marks.record(state, &to.name, cards));
                    }
                }
                Err(reason) => {
                    let (name, title) = (&to.name, &due.message.title);
                    tracing::warn!(
                        "the webhook {name} did not take the message `{title}`: {reason}"
                    );
                }
            }
        });
    }

    /// Waits until all messages are delivered or refused.
    async fn wait(&mut self) {
        while let Some(sent) = self.tasks.join_next().await {
            if let Err(error) = sent {
                tracing::warn!("a message was not sent: {error}");
            }
        }
    }
}

/// Runs the queries of all findings, and sends the messages that are due. Queries may take half of the
/// longest `timeout`.
async fn tell_findings(ended: &EndedRun<'_>, sending: &mut Sending<'_>) {
    let plan = ended.plan;
    let mut waiting: BTreeMap<usize, &Finding> = plan.findings().collect();
    let Some(file) = sending.file.clone().filter(|_| !waiting.is_empty()) else {
        return;
    };
    let longest = sending.longest;
    let deadline = sending.started + longest / 2;
    let locking = file.clone();
    let lock = tokio::task::spawn_blocking(move || locking.lock_findings(deadline)).await;
    let Ok(Some(_lock)) = lock else {
        tracing::info!("another shard looks for the findings");
        return;
    };
    let state = file.read().findings;
    let none = FindingState::default();
    let mut results = look_for(Arc::clone(plan), ended.lake.to_owned(), state.clone());
    let mut tell = |at: usize, finding: &Finding, mut found: Result<NewRows, FindingError>| {
        if let Err(error) = &found {
            tracing::warn!("the finding {} was not looked for: {error}", finding.name);
        }
        let before = state.get(&finding.name).unwrap_or(&none);
        if let Ok(found) = &mut found {
            if finding.only_later && !before.is_begun {
                found.mark_seen();
            }
            file.update(|state| {
                let state = state.findings.entry(finding.name.clone()).or_default();
                (state.is_begun, state.is_broken) = (true, false);
                state.record_seen(&found.seen, clock::now().date_naive());
            });
        }
        let was_broken = before.is_broken;
        let simulated = ended.is_simulated();
        if let Some(due) = due_finding(plan, at, finding, found, was_broken, simulated) {
            sending.send(due, longest);
        }
    };
    while !waiting.is_empty() {
        match tokio::time::timeout_at(deadline.into(), results.recv()).await {
            Ok(Some((at, found))) => {
                if let Some(finding) = waiting.remove(&at) {
                    tell(at, finding, found);
                }
            }
            Ok(None) | Err(_) => break,
        }
    }
    for (at, finding) in waiting {
        tell(at, finding, Err(FindingError::Late));
    }
    // Under the lock, so that another shard sees these rows as told.
    sending.wait().await;
}

/// Runs the queries of all findings in a thread of their own, which ends with the process if a query
/// takes too long.
fn look_for(
    plan: Arc<Plan>,
    lake: PathBuf,
    state: BTreeMap<String, FindingState>,
) -> mpsc::UnboundedReceiver<(usize, Result<NewRows, FindingError>)> {
    let (results, receiver) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        let none = BTreeMap::new();
        let looked = with_database(&plan, &lake, |database| {
            for (at, finding) in plan.findings() {
                let told = state.get(&finding.name);
                let told = told.map_or(&none, |state| &state.rows);
                let found = find(database, finding, told, plan.timezone);
                // After the time limit the receiver is gone.
                let _ = results.send((at, found));
            }
        });
        if let Err(error) = looked {
            let error = error.to_string();
            for (at, _) in plan.findings() {
                let _ = results.send((at, Err(FindingError::Lake(error.clone()))));
            }
        }
    });
    receiver
}
