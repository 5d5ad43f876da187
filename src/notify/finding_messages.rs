//! The messages about findings.

use std::collections::BTreeMap;
use std::time::Instant;

use super::due::{DueMessage, Marks};
use super::ended::EndedRun;
use super::findings::{self, FindingError, NewRows, with_database};
use super::message::{FindingRows, MessageKind, Tone, WebhookMessage, titled};
use super::state::{Told, ToldTo};
use crate::clock;
use crate::plan::Plan;
use crate::plan::notify::{Finding, Notification};

/// Runs the queries of all findings, and returns the messages that are due.
pub(super) fn due_findings(
    ended: &EndedRun<'_>,
    told: &mut Told,
    started: Instant,
) -> Vec<DueMessage> {
    let plan = ended.plan;
    let declared = plan.notifications.iter().enumerate();
    let declared = declared.filter_map(|(at, one)| Some((at, one, one.finding.as_ref()?)));
    let declared: Vec<(usize, &Notification, &Finding)> = declared.collect();
    if declared.is_empty() {
        return Vec::new();
    }
    let simulated = ended.is_simulated();
    let found = with_database(plan, ended.lake, |database| {
        let due = declared.iter().filter_map(|(at, to, finding)| {
            let told = told.webhooks.entry(to.name.clone()).or_default();
            let limit = (started + to.timeout).saturating_duration_since(Instant::now()) / 2;
            let none = BTreeMap::new();
            let rows = told.rows.get(&finding.name).unwrap_or(&none);
            let found = findings::find(database, finding, rows, plan.timezone, limit);
            due_finding(plan, *at, finding, found, told, simulated)
        });
        due.collect()
    });
    found.unwrap_or_else(|error| {
        tracing::warn!("findings were not looked for: {error}");
        Vec::new()
    })
}

/// Returns the message about the rows of a finding, or about its failure. `None` without anything new.
fn due_finding(
    plan: &Plan,
    to: usize,
    finding: &Finding,
    found: Result<NewRows, FindingError>,
    told: &mut ToldTo,
    simulated: bool,
) -> Option<DueMessage> {
    let name = finding.name.clone();
    let found = match found {
        Ok(found) => found,
        Err(error) => {
            tracing::warn!("the finding {name} was not looked for: {error}");
            if told.broken.contains(&name) {
                return None;
            }
            return Some(DueMessage {
                to,
                message: broken_message(plan, finding, &error, simulated),
                marks: Marks::Broken { finding: name },
            });
        }
    };
    let today = clock::now().date_naive();
    if let Some(rows) = told.rows.get_mut(&name) {
        for key in &found.seen {
            rows.insert(key.clone(), today);
        }
    }
    told.broken.remove(&name);
    if found.rows.is_empty() {
        return None;
    }
    let keys = found.rows.iter().map(|row| row.key.clone()).collect();
    Some(DueMessage {
        to,
        message: finding_message(plan, finding, found, simulated),
        marks: Marks::Rows {
            finding: name,
            keys,
        },
    })
}

/// Returns the message with the rows of a finding.
pub fn finding_message(
    plan: &Plan,
    finding: &Finding,
    found: NewRows,
    simulated: bool,
) -> WebhookMessage {
    let title = format!("redlake: {}: {}", plan.pipeline, finding.name);
    let title = titled(title, simulated);
    let mut message =
        WebhookMessage::new(MessageKind::Finding, &plan.pipeline, title, clock::now());
    message.is_simulated = simulated;
    message.more = found.more;
    let (cards, rows) = found
        .rows
        .into_iter()
        .map(|row| (row.card, row.values))
        .unzip();
    message.cards = cards;
    message.finding = Some(FindingRows {
        name: finding.name.clone(),
        rows,
        more: found.more,
    });
    message
}

fn broken_message(
    plan: &Plan,
    finding: &Finding,
    error: &FindingError,
    simulated: bool,
) -> WebhookMessage {
    let title = format!(
        "redlake: {}: {} cannot be looked for",
        plan.pipeline, finding.name
    );
    let (kind, title) = (MessageKind::FindingFailed, titled(title, simulated));
    let mut message = WebhookMessage::new(kind, &plan.pipeline, title, clock::now());
    message.is_simulated = simulated;
    message.tone = Tone::Warning;
    let text = error.to_string();
    let first = text.split("\n\nLINE").next().unwrap_or_default();
    message.paragraphs.push(first.to_owned());
    let hint =
        "correct its `sql` in the pipeline; this message is not repeated until it works again";
    message.paragraphs.push(hint.to_owned());
    message
}

/// Returns the message of `redlake notify --test`.
pub fn test_message(plan: &Plan, to: &Notification) -> WebhookMessage {
    let title = format!("redlake: {}: a test", plan.pipeline);
    let mut message = WebhookMessage::new(MessageKind::Test, &plan.pipeline, title, clock::now());
    let events: Vec<&str> = to.on.iter().map(|event| event.as_str()).collect();
    if !events.is_empty() {
        message.facts.push(("events", events.join(", ")));
    }
    if let Some(finding) = &to.finding {
        message.facts.push(("finding", finding.name.clone()));
    }
    let text = "This webhook gets the messages of this pipeline.";
    message.paragraphs.push(text.to_owned());
    message
}
