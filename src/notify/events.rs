//! Which events of a run are due.

use std::collections::{BTreeMap, BTreeSet};

use super::due::{DueMessage, Marks};
use super::ended::EndedRun;
use super::message::DriftField;
use super::run_messages::{EventNews, run_message};
use super::state::{BadRun, NotifyState, WebhookState};
use crate::clock;
use crate::plan::notify::Notification;
use crate::spec::notify::NotifyEvent;
use crate::transform::quality::drift::DriftRow;

/// Returns the messages about a run, at most one for each webhook.
pub fn due(ended: &EndedRun<'_>, state: &NotifyState) -> Vec<DueMessage> {
    let none = WebhookState::default();
    let declared = ended.plan.notifications.iter().enumerate();
    let due = declared.filter_map(|(at, to)| {
        let before = state.webhooks.get(&to.name).unwrap_or(&none);
        let news = news(ended, to, before)?;
        Some(DueMessage {
            to: at,
            message: run_message(ended, &news),
            marks: marks(ended, &news),
        })
    });
    due.collect()
}

/// Records the event of a run for the webhooks that list it, until it is told. Ends runs that a complete
/// one ends, where no recovery is to be told.
pub fn remember(ended: &EndedRun<'_>, state: &mut NotifyState) {
    for to in &ended.plan.notifications {
        let webhook = state.webhooks.entry(to.name.clone()).or_default();
        // A new attempt takes the place of one that was to be retried.
        webhook
            .bad_runs
            .retain(|_, run| !(run.waits && is_same(ended, run)));
        match ended.event {
            Some(event) if to.on.contains(&event) => remember_bad(ended, event, webhook),
            Some(_) => {}
            None if to.on.contains(&NotifyEvent::Recovered) => {}
            None => {
                let over = webhook.bad_runs.values_mut();
                let over = over.filter(|run| run.untold.is_empty() && ends(ended, run));
                over.for_each(|run| run.is_over = true);
            }
        }
    }
}

fn remember_bad(ended: &EndedRun<'_>, event: NotifyEvent, webhook: &mut WebhookState) {
    let run = webhook.bad_runs.entry(ended.key());
    let run = run.or_insert_with(|| BadRun {
        shard: ended.shard(),
        snapshot_at: ended.snapshot_at,
        since: clock::now(),
        told: BTreeSet::new(),
        untold: BTreeSet::new(),
        waits: false,
        is_over: false,
        problem: None,
    });
    if !run.told.contains(&event) {
        run.untold.insert(event);
        run.is_over = false;
    }
    run.waits = ended.is_retried() && run.told.is_empty();
    run.problem.clone_from(&ended.problem);
}

fn is_same(ended: &EndedRun<'_>, bad: &BadRun) -> bool {
    bad.shard == ended.shard() && bad.snapshot_at == ended.snapshot_at
}

/// Returns true if a complete run ends a bad one: it is the same run, or a later one of its shard or of
/// the whole pipeline. A repeated call ends only its own run.
fn ends(ended: &EndedRun<'_>, bad: &BadRun) -> bool {
    let shard = ended.shard();
    let is_of_shard = bad.shard == shard || shard.is_empty();
    let is_earlier = bad.snapshot_at < ended.snapshot_at && !ended.is_repeated();
    let is_ended = is_same(ended, bad) || is_of_shard && is_earlier;
    ended.event.is_none() && !bad.is_over && is_ended
}

/// Returns what is new for a webhook. `None` if nothing is.
fn news<'s>(
    ended: &EndedRun<'_>,
    to: &Notification,
    before: &'s WebhookState,
) -> Option<EventNews<'s>> {
    let own = ended.key();
    let mut news = EventNews::default();
    let event = ended.event.filter(|_| !ended.is_retried());
    if let Some(event) = event.filter(|event| to.on.contains(event)) {
        let run = before.bad_runs.get(&own);
        if run.is_none_or(|run| !run.told.contains(&event)) {
            news.events.push(event);
        }
    }
    if to.on.contains(&NotifyEvent::Recovered) {
        let over = before.bad_runs.iter();
        // A run that an attempt of the same caller mends was not told.
        let is_silent = |run: &BadRun| run.waits && is_same(ended, run);
        let over = over.filter(|(_, run)| ends(ended, run) && !is_silent(run));
        news.recovered = over.collect();
        if !news.recovered.is_empty() {
            news.events.push(NotifyEvent::Recovered);
        }
    }
    let is_own = |key: &String| *key == own && ended.event.is_some();
    let is_over = |key: &String| news.recovered.iter().any(|(over, _)| *over == key);
    // Other shards tell their own events.
    let shard = ended.shard();
    let is_late = |run: &BadRun| run.shard == shard && !run.is_over && !run.untold.is_empty();
    let is_waiting = |run: &BadRun| run.waits && is_same(ended, run);
    let late = before.bad_runs.iter();
    let late =
        late.filter(|(key, run)| is_late(run) && !is_own(key) && !is_over(key) && !is_waiting(run));
    news.late = late.collect();
    if to.on.contains(&NotifyEvent::Drift) {
        let all = ended.outcome.map(|outcome| fields(&outcome.drift));
        news.drift = all.unwrap_or_default();
        news.drift
            .retain(|field| !before.drift.contains(&drift_key(field)));
    }
    if !news.drift.is_empty() {
        news.events.push(NotifyEvent::Drift);
    }
    if news.events.is_empty() {
        let late = news.late.iter().flat_map(|(_, run)| &run.untold);
        news.events = late.copied().collect();
        news.is_of_earlier = true;
    }
    (!news.events.is_empty()).then_some(news)
}

fn marks(ended: &EndedRun<'_>, news: &EventNews<'_>) -> Marks {
    let mut told: BTreeMap<String, BTreeSet<NotifyEvent>> = BTreeMap::new();
    if let Some(event) = ended.event.filter(|_| !ended.is_retried()) {
        told.entry(ended.key()).or_default().insert(event);
    }
    for (key, run) in &news.late {
        told.entry((*key).clone()).or_default().extend(&run.untold);
    }
    Marks::Events {
        told,
        recovered: news
            .recovered
            .iter()
            .map(|(key, _)| (*key).clone())
            .collect(),
        drift: news.drift.iter().map(drift_key).collect(),
    }
}

/// Returns the unknown fields, with the counts of all their values.
fn fields(drift: &[DriftRow]) -> Vec<DriftField> {
    let mut fields: Vec<DriftField> = Vec::new();
    for row in drift {
        let kind = row.kind.as_str();
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

fn drift_key(field: &DriftField) -> String {
    format!("{} {} {}", field.endpoint, field.path, field.kind)
}
