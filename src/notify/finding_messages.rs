//! The messages about findings.

use super::due::{DueMessage, Marks};
use super::findings::{FindingError, NewRows};
use super::message::{FindingRows, MessageKind, Tone, WebhookMessage, titled};
use crate::clock;
use crate::plan::Plan;
use crate::plan::notify::{Finding, Notification};

/// Returns the message about the rows of a finding, or about its failure. `None` without anything new.
pub fn due_finding(
    plan: &Plan,
    to: usize,
    finding: &Finding,
    found: Result<NewRows, FindingError>,
    was_broken: bool,
    simulated: bool,
) -> Option<DueMessage> {
    let name = finding.name.clone();
    match found {
        Ok(found) if found.rows.is_empty() => None,
        Ok(found) => Some(DueMessage {
            to,
            marks: Marks::Rows {
                finding: name,
                keys: found.rows.iter().map(|row| row.key.clone()).collect(),
            },
            message: finding_message(plan, finding, found, simulated),
        }),
        Err(_) if was_broken => None,
        Err(error) => Some(DueMessage {
            to,
            message: broken_message(plan, finding, &error, simulated),
            marks: Marks::Broken { finding: name },
        }),
    }
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
    let more = found.more.len() as u64;
    message.more = more;
    let (cards, rows) = found
        .rows
        .into_iter()
        .map(|row| (row.card, row.values))
        .unzip();
    message.cards = cards;
    message.finding = Some(FindingRows {
        name: finding.name.clone(),
        rows,
        more,
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
