//! The messages of `redlake status --notify`.

use std::collections::BTreeSet;
use std::path::Path;

use super::due::{DueMessage, Marks};
use super::message::{KnownProblem, MOST_ITEMS, MessageKind, Tone, WebhookMessage, places, titled};
use super::state::NotifyState;
use crate::clock;
use crate::plan::Plan;
use crate::spec::notify::NotifyEvent;

/// Health of a pipeline and its lake, as `redlake status` found it.
pub struct Health<'a> {
    pub plan: &'a Plan,
    pub lake: &'a Path,
    pub problems: Vec<KnownProblem>,
    pub is_simulated: bool,
}

/// Returns the messages that are due: about problems that are new to a webhook, and about the end of all
/// problems that it knows.
pub(super) fn due(health: &Health<'_>, state: &NotifyState) -> Vec<DueMessage> {
    let declared = health.plan.notifications.iter().enumerate();
    let declared = declared.filter(|(_, to)| to.on.contains(&NotifyEvent::Unhealthy));
    let none = BTreeSet::new();
    let due = declared.filter_map(|(at, to)| {
        let told = state.webhooks.get(&to.name);
        let told = told.map_or(&none, |webhook| &webhook.problems);
        let is_new = |problem: &&KnownProblem| !told.contains(&problem.key);
        let new: Vec<&KnownProblem> = health.problems.iter().filter(is_new).collect();
        if !new.is_empty() {
            return Some(DueMessage {
                to: at,
                message: problems_message(health, &new),
                marks: Marks::Problems {
                    keys: new.iter().map(|problem| problem.key.clone()).collect(),
                },
            });
        }
        let is_over = !told.is_empty() && health.problems.is_empty();
        (is_over && to.on.contains(&NotifyEvent::Recovered)).then(|| DueMessage {
            to: at,
            message: healthy_message(health),
            marks: Marks::Healthy,
        })
    });
    due.collect()
}

/// Forgets problems that are over. The last ones stay until their end is told.
pub(super) fn remember(health: &Health<'_>, state: &mut NotifyState) {
    let now: BTreeSet<&String> = health.problems.iter().map(|problem| &problem.key).collect();
    for to in &health.plan.notifications {
        let is_told = now.is_empty() && to.on.contains(&NotifyEvent::Recovered);
        if let Some(webhook) = state.webhooks.get_mut(&to.name).filter(|_| !is_told) {
            webhook.problems.retain(|key| now.contains(key));
        }
    }
}

fn message(health: &Health<'_>, event: NotifyEvent, headline: &str) -> WebhookMessage {
    let title = format!("redlake: {}: {headline}", health.plan.pipeline);
    let title = titled(title, health.is_simulated);
    let (kind, now) = (MessageKind::Health, clock::now());
    let mut message = WebhookMessage::new(kind, &health.plan.pipeline, title, now);
    message.events = vec![event];
    message.is_simulated = health.is_simulated;
    message.facts = places(health.lake);
    message
}

fn problems_message(health: &Health<'_>, new: &[&KnownProblem]) -> WebhookMessage {
    let mut message = message(health, NotifyEvent::Unhealthy, "something is wrong");
    message.tone = Tone::Bad;
    let shown = new.iter().take(MOST_ITEMS);
    let lines = shown.map(|problem| format!("{}. To do: {}", problem.message, problem.hint));
    message.items = lines.collect();
    message.more = (new.len() - message.items.len()) as u64;
    message.problems = new.iter().map(|problem| (*problem).clone()).collect();
    message
}

fn healthy_message(health: &Health<'_>) -> WebhookMessage {
    let mut message = message(health, NotifyEvent::Recovered, "healthy again");
    message.tone = Tone::Good;
    message
}
