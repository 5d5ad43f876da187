//! The message about the events of a run.

use std::collections::BTreeSet;

use super::ended::EndedRun;
use super::message::{
    DriftField, MOST_ITEMS, MessageKind, RunSummary, Tone, WebhookMessage, places, titled,
};
use super::state::BadRun;
use crate::clock;
use crate::spec::notify::NotifyEvent;

/// News of a run for a webhook.
#[derive(Default)]
pub struct EventNews<'s> {
    /// The most urgent first.
    pub events: Vec<NotifyEvent>,
    /// Bad runs that are over.
    pub recovered: Vec<(&'s String, &'s BadRun)>,
    /// Other bad runs whose message was not delivered.
    pub late: Vec<(&'s String, &'s BadRun)>,
    /// True if the events are only those of earlier runs.
    pub is_of_earlier: bool,
    /// Fields that were not told yet.
    pub drift: Vec<DriftField>,
}

/// Returns the message about a run.
pub fn run_message(ended: &EndedRun<'_>, news: &EventNews<'_>) -> WebhookMessage {
    let first = news.events.first().copied().unwrap_or(NotifyEvent::Drift);
    let mut message = WebhookMessage::new(
        MessageKind::Run,
        &ended.plan.pipeline,
        title(ended, news, first),
        clock::now(),
    );
    message.events.clone_from(&news.events);
    message.tone = tone(first);
    message.is_simulated = ended.is_simulated();
    let report = ended.report().filter(|_| !news.is_of_earlier);
    message.run = report.map(|report| RunSummary::of(&report, ended.exit_code));
    if let Some(run) = &message.run {
        message.facts = run.facts(ended.plan.timezone);
    }
    message.facts.extend(places(ended.lake));
    let tells_own = ended
        .event
        .is_some_and(|event| news.events.contains(&event));
    if tells_own && !news.is_of_earlier {
        let code = ended.exit_code.to_string();
        message.facts.push(("exit code", code));
        add_problem(&mut message, ended);
    }
    let earlier = |word: &str, run: &BadRun, events: &BTreeSet<NotifyEvent>| {
        earlier(ended, word, run, events)
    };
    let over = news.recovered.iter().map(|(_, run)| {
        let events = run.told.union(&run.untold).copied().collect();
        earlier("before", run, &events)
    });
    let late = news.late.iter();
    let late = late.map(|(_, run)| earlier("not delivered before", run, &run.untold));
    message.paragraphs.extend(over.chain(late).take(MOST_ITEMS));
    if !news.drift.is_empty() {
        message.paragraphs.push(drift_text(&news.drift));
        message.drift.clone_from(&news.drift);
    }
    message
}

fn title(ended: &EndedRun<'_>, news: &EventNews<'_>, event: NotifyEvent) -> String {
    let shard = ended.shard();
    let shard = if shard.is_empty() {
        String::new()
    } else {
        format!(", shard {shard}")
    };
    let pipeline = &ended.plan.pipeline;
    let earlier = if news.is_of_earlier {
        "an earlier run: "
    } else {
        ""
    };
    let title = format!("redlake: {pipeline}{shard}: {earlier}{}", headline(event));
    titled(title, ended.is_simulated())
}

/// Adds what happened, the searches that failed, and what to do.
fn add_problem(message: &mut WebhookMessage, ended: &EndedRun<'_>) {
    message.paragraphs.extend(ended.problem.clone());
    if let Some(run) = &message.run {
        let failures = run.failures.iter();
        let items: Vec<String> = failures
            .map(|f| format!("{}: {}", f.search, f.reason))
            .collect();
        message.more = run.searches.failed.saturating_sub(items.len() as u64);
        message.items = items;
    }
    let hint = ended.hint.as_ref();
    message
        .paragraphs
        .extend(hint.map(|hint| format!("To do: {hint}")));
}

/// Returns the line about an earlier bad run.
fn earlier(
    ended: &EndedRun<'_>,
    word: &str,
    run: &BadRun,
    events: &BTreeSet<NotifyEvent>,
) -> String {
    let timezone = &ended.plan.timezone;
    let at = run
        .snapshot_at
        .with_timezone(timezone)
        .format("%F %H:%M %:z");
    let events: Vec<&str> = events.iter().map(|event| event.as_str()).collect();
    let problem = run.problem.as_ref();
    let problem = problem.map_or_else(String::new, |problem| format!(": {problem}"));
    format!("{word}: {}, snapshot {at}{problem}", events.join(", "))
}

fn drift_text(drift: &[DriftField]) -> String {
    let shown = drift.iter().take(MOST_ITEMS);
    let shown: Vec<String> = shown
        .map(|f| format!("{} {} ({}, {} times)", f.endpoint, f.path, f.kind, f.count))
        .collect();
    let rest = drift.len() - shown.len();
    let rest = if rest == 0 {
        String::new()
    } else {
        format!(", and {rest} more")
    };
    format!(
        "Fields or values that the contract does not know, in the table drift; `redlake schema suggest` \
         prints columns for them: {}{rest}",
        shown.join(", ")
    )
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
