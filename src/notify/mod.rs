//! Messages to webhooks: events of runs, and findings in the tables. Each event and each row is told
//! once. A message that is not delivered never changes the result of a run.
//!
//! After a run, [`tell`] reads what each webhook was told before, makes the messages that are due,
//! sends them all at the same time, and records what was delivered. What was not delivered is due again
//! after the next run.

pub mod delivery;
mod due;
pub mod ended;
mod events;
pub mod finding_messages;
pub mod findings;
pub mod formats;
pub mod health;
pub mod message;
mod state;

use std::path::Path;
use std::time::Instant;

use tokio::task::JoinSet;

use crate::clock;
use crate::load::Lake;
use crate::plan::Plan;
use crate::spec::notify::NotifyEvent;
use delivery::deliver;
use due::{DueMessage, Marks};
use ended::EndedRun;
use finding_messages::due_findings;
use health::Health;
use state::{Told, ToldFile};

/// Sends the messages that are due after a run. Takes at most the longest `timeout` of the webhooks.
/// Failures are logged.
pub async fn tell(ended: &EndedRun<'_>) {
    tell_due(ended.plan, ended.lake, |told, is_kept, started| {
        let mut due = events::due(ended, told);
        // Without a state, each row would be told after each run.
        if is_kept && ended.has_new_rows() {
            due.extend(due_findings(ended, told, started));
        }
        events::remember(ended, told);
        due
    })
    .await;
}

/// Sends the messages that are due after `redlake status`, as [`tell`] does.
pub async fn tell_health(health: &Health<'_>) {
    tell_due(health.plan, health.lake, |told, _, _| {
        health::due(health, told)
    })
    .await;
}

/// Sends the messages that `find_due` returns. It gets the state, true if the state is kept, and the
/// time from which the timeouts count.
async fn tell_due(
    plan: &Plan,
    lake: &Path,
    find_due: impl FnOnce(&mut Told, bool, Instant) -> Vec<DueMessage>,
) {
    let Some(longest) = plan.notifications.iter().map(|one| one.timeout).max() else {
        return;
    };
    let started = Instant::now();
    let file = match Lake::open_existing(lake) {
        Ok(lake) => ToldFile::open(lake, &plan.pipeline, started + longest / 2).await,
        Err(_) => None,
    };
    let (file, told) = file.unzip();
    let mut told = told.unwrap_or_default();
    let due = find_due(&mut told, file.is_some(), started);
    for one in send_all(plan, due, started).await {
        record(plan, &mut told, one);
    }
    if let Some(file) = file {
        file.save(told, clock::now().date_naive());
    }
}

/// Sends messages at the same time. Returns those that were delivered, and logs a warning for each
/// other.
async fn send_all(plan: &Plan, due: Vec<DueMessage>, started: Instant) -> Vec<DueMessage> {
    let mut sending = JoinSet::new();
    for one in due {
        let to = plan.notifications[one.to].clone();
        sending.spawn(async move {
            // A tenth of the time is left for the state.
            let deadline = started + to.timeout * 9 / 10;
            let sent = deliver(&to, &one.message, deadline).await;
            (one, to.name, sent)
        });
    }
    let mut delivered = Vec::new();
    while let Some(sent) = sending.join_next().await {
        match sent {
            Ok((one, _, Ok(()))) => delivered.push(one),
            Ok((one, name, Err(reason))) => {
                let title = &one.message.title;
                tracing::warn!("the webhook {name} did not take the message `{title}`: {reason}");
            }
            Err(error) => tracing::warn!("a message was not sent: {error}"),
        }
    }
    delivered
}

/// Records what a delivered message told.
fn record(plan: &Plan, told: &mut Told, delivered: DueMessage) {
    let name = plan.notifications[delivered.to].name.clone();
    let to = told.webhooks.entry(name).or_default();
    match delivered.marks {
        Marks::Events {
            shard,
            run,
            events,
            drift,
        } => {
            if events.contains(&NotifyEvent::Recovered) {
                to.unwell.remove(&shard);
            }
            to.add(&shard, &run, &events);
            to.drift.extend(drift);
        }
        Marks::Rows { finding, keys } => {
            let today = clock::now().date_naive();
            let rows = to.rows.entry(finding.clone()).or_default();
            rows.extend(keys.into_iter().map(|key| (key, today)));
            to.broken.remove(&finding);
        }
        Marks::Broken { finding } => {
            to.broken.insert(finding);
        }
        Marks::Problems { keys } => to.health.extend(keys),
        Marks::Healthy => to.health.clear(),
    }
}
