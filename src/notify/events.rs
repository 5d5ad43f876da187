//! Which events of a run are due, and the message about them.

use std::collections::BTreeSet;

use super::due::{DueMessage, Marks};
use super::ended::EndedRun;
use super::message::{
    DriftField, MOST_ITEMS, MessageKind, RunSummary, Tone, WebhookMessage, titled,
};
use super::state::{Told, Unwell};
use crate::clock;
use crate::plan::notify::Notification;
use crate::spec::notify::NotifyEvent;
use crate::transform::quality::drift::{DriftKind, DriftRow};

/// Returns the messages about a run, at most one for each webhook.
pub(super) fn due(ended: &EndedRun<'_>, told: &Told) -> Vec<DueMessage> {
    let declared = ended.plan.notifications.iter().enumerate();
    declared
        .filter_map(|(at, to)| due_to(ended, told, at, to))
        .collect()
}

fn due_to(ended: &EndedRun<'_>, told: &Told, at: usize, to: &Notification) -> Option<DueMessage> {
    let (shard, run) = (ended.shard(), ended.run_key());
    let before = told.webhooks.get(&to.name);
    let is_told = |event| before.is_some_and(|told| told.has(&shard, &run, event));
    let was_unwell = before.and_then(|told| told.unwell.get(&shard));
    let mut events = Vec::new();
    if let Some(event) = ended.event {
        if to.on.contains(&event) && !is_told(event) {
            events.push(event);
        }
    } else if was_unwell.is_some() && to.on.contains(&NotifyEvent::Recovered) {
        events.push(NotifyEvent::Recovered);
    }
    let known = before.map(|told| &told.drift);
    let is_new = |field: &DriftField| known.is_none_or(|known| !known.contains(&drift_key(field)));
    let mut drift = Vec::new();
    if to.on.contains(&NotifyEvent::Drift) {
        let all = ended.outcome.map(|outcome| fields(&outcome.drift));
        drift = all.unwrap_or_default();
        drift.retain(is_new);
    }
    if !drift.is_empty() {
        events.push(NotifyEvent::Drift);
    }
    if events.is_empty() {
        return None;
    }
    let drift_keys = drift.iter().map(drift_key).collect();
    Some(DueMessage {
        to: at,
        message: message(ended, &events, drift, was_unwell),
        marks: Marks::Events {
            shard,
            run,
            events,
            drift: drift_keys,
        },
    })
}

/// Records for each webhook whether the shard is well. A webhook that lists `recovered` keeps what it
/// knows of a complete run until the recovery is told.
pub(super) fn remember(ended: &EndedRun<'_>, told: &mut Told) {
    let shard = ended.shard();
    for to in &ended.plan.notifications {
        let Some(event) = ended.event else {
            if let Some(told) = told.webhooks.get_mut(&to.name)
                && !to.on.contains(&NotifyEvent::Recovered)
            {
                told.unwell.remove(&shard);
            }
            continue;
        };
        if !to.on.contains(&event) {
            continue;
        }
        let told = told.webhooks.entry(to.name.clone()).or_default();
        let unwell = told.unwell.entry(shard.clone());
        let unwell = unwell.or_insert_with(|| Unwell {
            since: clock::now(),
            events: BTreeSet::new(),
            problem: None,
        });
        unwell.events.insert(event);
        unwell.problem.clone_from(&ended.problem);
    }
}

/// Returns the unknown fields, with the counts of all their values.
fn fields(drift: &[DriftRow]) -> Vec<DriftField> {
    let mut fields: Vec<DriftField> = Vec::new();
    for row in drift {
        let kind = kind(row.kind);
        let same = |field: &&mut DriftField| {
            field.endpoint == row.endpoint && field.path == row.path && field.kind == kind
        };
        match fields.iter_mut().find(same) {
            Some(field) => field.count += row.count,
            None => fields.push(DriftField {
                endpoint: row.endpoint.clone(),
                path: row.path.clone(),
                kind: kind.to_owned(),
                count: row.count,
            }),
        }
    }
    fields
}

fn kind(kind: DriftKind) -> &'static str {
    match kind {
        DriftKind::UnknownField => "unknown_field",
        DriftKind::TypeChanged => "type_changed",
        DriftKind::BadValue => "bad_value",
        DriftKind::UnknownValue => "unknown_value",
        DriftKind::ReplacedCharacter => "replaced_character",
    }
}

fn drift_key(field: &DriftField) -> String {
    format!("{} {} {}", field.endpoint, field.path, field.kind)
}

fn message(
    ended: &EndedRun<'_>,
    events: &[NotifyEvent],
    drift: Vec<DriftField>,
    was_unwell: Option<&Unwell>,
) -> WebhookMessage {
    let plan = ended.plan;
    let simulated = ended.is_simulated();
    let first = events.first().copied().unwrap_or(NotifyEvent::Drift);
    let shard = ended.shard();
    let shard = if shard.is_empty() {
        String::new()
    } else {
        format!(", shard {shard}")
    };
    let title = format!("redlake: {}{shard}: {}", plan.pipeline, headline(first));
    let title = titled(title, simulated);
    let mut message = WebhookMessage::new(MessageKind::Run, &plan.pipeline, title, clock::now());
    message.events = events.to_vec();
    message.tone = tone(first);
    message.is_simulated = simulated;
    message.run = ended
        .report()
        .map(|report| RunSummary::of(&report, ended.exit_code));
    if let Some(run) = &message.run {
        message.facts = run.facts(plan.timezone);
    }
    message
        .facts
        .push(("lake", ended.lake.display().to_string()));
    if first == NotifyEvent::Recovered {
        message.paragraphs.extend(was_unwell.map(|unwell| {
            let since = unwell.since.with_timezone(&plan.timezone);
            let events: Vec<&str> = unwell.events.iter().map(|event| event.as_str()).collect();
            let problem = unwell.problem.as_ref();
            let problem = problem.map(|problem| format!(": {problem}"));
            format!(
                "before: {} since {}{}",
                events.join(", "),
                since.format("%F %H:%M %:z"),
                problem.unwrap_or_default()
            )
        }));
    } else if ended.event.is_some() {
        message.paragraphs.extend(ended.problem.clone());
        let failures = message.run.as_ref().map(|run| run.failures.as_slice());
        let failures = failures.unwrap_or_default();
        let items = failures
            .iter()
            .map(|f| format!("{}: {}", f.search, f.reason));
        message.items = items.collect();
        let failed = message.run.as_ref().map_or(0, |run| run.searches.failed);
        message.more = failed.saturating_sub(message.items.len() as u64);
        let hint = ended.hint.as_ref();
        message
            .paragraphs
            .extend(hint.map(|hint| format!("To do: {hint}")));
    }
    if !drift.is_empty() {
        let text = "Fields or values that the contract does not know, in the table drift; \
                    `redlake schema suggest` prints columns for them:";
        let shown: Vec<String> = drift
            .iter()
            .take(MOST_ITEMS)
            .map(|f| format!("{} {} ({}, {} times)", f.endpoint, f.path, f.kind, f.count))
            .collect();
        let rest = drift.len() - shown.len();
        let rest = if rest == 0 {
            String::new()
        } else {
            format!(", and {rest} more")
        };
        message
            .paragraphs
            .push(format!("{text} {}{rest}", shown.join(", ")));
        message.drift = drift;
    }
    message
}

fn headline(event: NotifyEvent) -> &'static str {
    match event {
        NotifyEvent::Failed => "the run failed",
        NotifyEvent::Partial => "some searches failed",
        NotifyEvent::Budget => "a budget, the quota or the balance is used up",
        NotifyEvent::CheckFailed => "the tables were not committed",
        NotifyEvent::Drift => "answers have something new",
        NotifyEvent::Unhealthy => "something is wrong",
        NotifyEvent::Recovered => "recovered",
    }
}

fn tone(event: NotifyEvent) -> Tone {
    match event {
        NotifyEvent::Failed | NotifyEvent::CheckFailed | NotifyEvent::Unhealthy => Tone::Bad,
        NotifyEvent::Partial | NotifyEvent::Budget => Tone::Warning,
        NotifyEvent::Drift => Tone::Neutral,
        NotifyEvent::Recovered => Tone::Good,
    }
}
