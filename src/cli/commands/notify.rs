//! `redlake notify`: shows or tests what the webhooks of a pipeline are told.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use serde::Serialize;

use crate::cli::Common;
use crate::cli::error::CliError;
use crate::cli::exit_code::ExitCode;
use crate::cli::output::print::{counted, pretty};
use crate::lake_layout::is_lake;
use crate::notify::delivery::deliver;
use crate::notify::finding_messages::{finding_message, test_message};
use crate::notify::findings::{self, NewRows, with_database};
use crate::notify::formats::text::{Dialect, text};
use crate::notify::message::WebhookMessage;
use crate::plan::Plan;
use crate::plan::notify::{Finding, Notification};
use crate::run::access::is_rehearsal;
use crate::spec::notify::{NotifyEvent, WebhookFormat};

#[derive(Debug, Args)]
pub struct NotifyArgs {
    /// Pipeline whose webhooks are shown
    pipeline: PathBuf,
    /// Send a test message to each webhook, and the rows that its finding has now
    #[arg(long)]
    test: bool,
}

/// A webhook, and the result of a test.
#[derive(Serialize)]
struct WebhookReport {
    name: String,
    format: WebhookFormat,
    on: Vec<NotifyEvent>,
    finding: Option<FindingReport>,
    /// True if the webhook accepted the test. Left out without a test.
    #[serde(skip_serializing_if = "Option::is_none")]
    delivered: Option<bool>,
    /// Reason why it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// Rows that a finding has now, whether they were told or not.
#[derive(Serialize)]
struct FindingReport {
    name: String,
    /// Number of rows. Null if the query cannot be run, or there is no lake yet.
    rows: Option<u64>,
    /// Reason why there is no number.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// The message about the first rows, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

pub fn main(args: &NotifyArgs, common: &Common) -> Result<ExitCode, CliError> {
    let format = common.text_or_json()?;
    let (plan, environment) = common.plan(&args.pipeline)?;
    common.warn(&plan);
    if plan.notifications.is_empty() {
        let hint = "add `notify: [{webhook: \"${FEISHU_WEBHOOK}\", format: feishu, on: [failed, \
                    recovered]}]`";
        let pipeline = &plan.pipeline;
        return Err(CliError::usage(
            format!("the pipeline {pipeline} has no `notify`"),
            hint,
        ));
    }
    let lake = common.lake_of(&plan);
    let simulated = is_rehearsal(&plan, &|name| environment.get(name));
    let found = found(&plan, &lake);
    let mut reports = Vec::new();
    for (to, found) in plan.notifications.iter().zip(found) {
        reports.push(report(&plan, to, found, simulated, args.test)?);
    }
    format.print(&reports, || table(&reports))?;
    let failed = reports
        .iter()
        .filter(|report| report.delivered == Some(false));
    let failed: Vec<&str> = failed.map(|report| report.name.as_str()).collect();
    if failed.is_empty() {
        return Ok(ExitCode::Complete);
    }
    let message = format!("the test was not delivered to {}", failed.join(", "));
    let hint = "check the address and the secret in the environment, and the settings of the robot";
    let error = anyhow::anyhow!(message);
    Err(CliError::new(ExitCode::Internal, error, Some(hint.into())))
}

/// Rows of the finding of each webhook, or the reason why there are none.
type RowsNow = Option<Result<NewRows, String>>;

/// Runs the queries of all findings.
fn found(plan: &Plan, lake: &Path) -> Vec<RowsNow> {
    let declared = plan.notifications.iter();
    let all = |reason: &str| -> Vec<RowsNow> {
        let each = declared.clone().map(|one| one.finding.as_ref());
        each.map(|finding| finding.map(|_| Err(reason.to_owned())))
            .collect()
    };
    if plan.notifications.iter().all(|one| one.finding.is_none()) {
        return all("");
    }
    if !is_lake(lake) {
        return all("there is no lake yet");
    }
    let find = |database: &_, finding: &Finding| {
        let none = BTreeMap::new();
        let found = findings::find(database, finding, &none, plan.timezone);
        found.map_err(|error| error.to_string())
    };
    let found = with_database(plan, lake, |database| {
        let each = declared.clone().map(|one| one.finding.as_ref());
        each.map(|finding| finding.map(|finding| find(database, finding)))
            .collect()
    });
    found.unwrap_or_else(|error| all(&error.to_string()))
}

/// Returns the report of a webhook. Sends the test messages if `is_test`.
fn report(
    plan: &Plan,
    to: &Notification,
    found: RowsNow,
    simulated: bool,
    is_test: bool,
) -> Result<WebhookReport, CliError> {
    let mut messages = vec![test_message(plan, to)];
    let mut shown = None;
    if let (Some(finding), Some(found)) = (&to.finding, found) {
        shown = Some(match found {
            Ok(found) => {
                let rows = (found.rows.len() + found.more.len()) as u64;
                let message = finding_message(plan, finding, found, simulated);
                let text = (rows > 0).then(|| text(&message, Dialect::Plain, usize::MAX).text);
                if rows > 0 {
                    messages.push(message);
                }
                FindingReport {
                    name: finding.name.clone(),
                    rows: Some(rows),
                    reason: None,
                    text,
                }
            }
            Err(reason) => FindingReport {
                name: finding.name.clone(),
                rows: None,
                reason: Some(reason),
                text: None,
            },
        });
    }
    let sent = if is_test {
        Some(send(to, &messages)?)
    } else {
        None
    };
    Ok(WebhookReport {
        name: to.name.clone(),
        format: to.format,
        on: to.on.iter().copied().collect(),
        finding: shown,
        delivered: sent.as_ref().map(Result::is_ok),
        reason: sent.and_then(Result::err),
    })
}

/// Sends messages one after the other. The inner result is that of the webhook.
fn send(to: &Notification, messages: &[WebhookMessage]) -> Result<Result<(), String>, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    for message in messages {
        let sent = runtime.block_on(deliver(to, message, Instant::now() + to.timeout));
        if let Err(reason) = sent {
            return Ok(Err(reason));
        }
    }
    Ok(Ok(()))
}

fn table(reports: &[WebhookReport]) -> String {
    let is_test = reports.iter().any(|report| report.delivered.is_some());
    let mut columns = vec!["webhook", "format", "on", "finding"];
    if is_test {
        columns.push("test");
    }
    let row = |report: &WebhookReport| {
        let on: Vec<&str> = report.on.iter().map(|event| event.as_str()).collect();
        let finding = report.finding.as_ref();
        let finding = finding.map(|finding| match (finding.rows, &finding.reason) {
            (Some(rows), _) => format!("{}: {} now", finding.name, counted(rows, "row")),
            (None, reason) => {
                let reason = reason.as_deref().unwrap_or_default();
                format!("{}: {reason}", finding.name)
            }
        });
        let test = match (report.delivered, &report.reason) {
            (Some(true), _) => "delivered".to_owned(),
            (_, reason) => reason.clone().unwrap_or_default(),
        };
        vec![
            report.name.clone(),
            report.format.as_str().to_owned(),
            on.join(", "),
            finding.unwrap_or_default(),
            test,
        ]
    };
    let rows: Vec<_> = reports.iter().map(row).collect();
    let mut out = format!("{}\n", pretty(&columns, &rows));
    for finding in reports.iter().filter_map(|report| report.finding.as_ref()) {
        if let Some(text) = &finding.text {
            out.push_str(&format!("\n{}\n{text}\n", finding.name));
        }
    }
    out
}
