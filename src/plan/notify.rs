//! Resolves the key `notify`: webhooks and the queries for findings.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::address::travels_unencrypted;
use super::check::Checker;
use crate::spec::load::LoadedPipeline;
use crate::spec::notify::{FindingOptions, NotifyEvent, NotifyOptions, WebhookFormat};
use crate::spec::yaml::document::Spanned;
use crate::spec::yaml::secret::{Secret, is_variable};

/// A webhook and what is sent to it.
#[derive(Clone, Debug)]
pub struct Notification {
    /// Unique in the pipeline.
    pub name: String,
    pub webhook: SecretString,
    pub format: WebhookFormat,
    /// Key of the signatures; `None` if messages are not signed.
    pub secret: Option<SecretString>,
    pub on: BTreeSet<NotifyEvent>,
    pub finding: Option<Finding>,
    /// Time limit for a message, a retry included.
    pub timeout: Duration,
}

/// A query whose rows are told.
#[derive(Clone, Debug)]
pub struct Finding {
    pub name: String,
    /// One SELECT statement.
    pub sql: String,
    /// Columns that identify a row. Empty: the first column.
    pub key: Vec<String>,
    /// True if the rows that the query returns at first are not told.
    pub only_later: bool,
    /// Maximum number of rows of a message.
    pub at_most: usize,
}

const TIMEOUT: Duration = Duration::from_secs(10);
const LONGEST_TIMEOUT: Duration = Duration::from_secs(60);
const AT_MOST: u32 = 10;
/// Largest `at_most`: more rows make no readable message.
const MOST_ROWS: u32 = 50;

/// Resolves the key `notify`.
pub(super) fn notifications(check: &mut Checker<'_>, loaded: &LoadedPipeline) -> Vec<Notification> {
    let mut names = BTreeSet::new();
    let mut findings = BTreeSet::new();
    let mut counts: BTreeMap<WebhookFormat, u32> = BTreeMap::new();
    let resolved = loaded.pipeline.notify.iter().map(|one| {
        let count = counts.entry(one.format.value).or_default();
        *count += 1;
        let notification = notification(check, loaded, *count, one);
        if !names.insert(notification.name.clone()) {
            let message = format!("two webhooks are named `{}`", notification.name);
            check.error(one, message, "give each its own `name`");
        }
        if let Some(finding) = &one.when
            && !findings.insert(finding.name.value.clone())
        {
            let message = format!("two findings are named `{}`", finding.name.value);
            check.error(&finding.name, message, "give each its own name");
        }
        notification
    });
    resolved.collect()
}

fn notification(
    check: &mut Checker<'_>,
    loaded: &LoadedPipeline,
    count: u32,
    one: &Spanned<NotifyOptions>,
) -> Notification {
    let format = one.format.value;
    webhook(check, loaded, &one.webhook);
    if let Some(secret) = &one.secret {
        warn_of_written(check, loaded, secret, "secret");
        if !format.is_signable() {
            let message = format!("messages to {} are not signed", format.as_str());
            check.error(secret, message, "remove `secret`");
        }
    }
    if one.on.is_empty() && one.when.is_none() {
        let hint = "add `on: [failed, partial, budget, check_failed, recovered]` or `when:`";
        check.error(one, "nothing is sent to this webhook", hint);
    }
    Notification {
        name: match &one.name {
            Some(name) => name.value.clone(),
            None => format!("{} {count}", format.as_str()),
        },
        webhook: trimmed(&one.webhook.value),
        format,
        secret: one.secret.as_ref().map(|secret| trimmed(&secret.value)),
        on: one.on.iter().map(|event| event.value).collect(),
        finding: one.when.as_ref().and_then(|when| finding(check, when)),
        timeout: timeout(check, one),
    }
}

fn trimmed(secret: &Secret) -> SecretString {
    SecretString::from(secret.0.expose_secret().trim())
}

/// Checks the address of a webhook. Messages never repeat it.
fn webhook(check: &mut Checker<'_>, loaded: &LoadedPipeline, webhook: &Spanned<Secret>) {
    let address = webhook.value.0.expose_secret().trim();
    // A variable that is not set is reported already.
    if is_variable(address) {
        return;
    }
    warn_of_written(check, loaded, webhook, "webhook");
    let hint = "give the address that the group's robot shows, from the environment: \
                webhook: \"${FEISHU_WEBHOOK}\"";
    let reason = match Url::parse(address) {
        Ok(url) if !matches!(url.scheme(), "http" | "https") || !url.has_host() => {
            Some("is not an http(s) address")
        }
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            Some("has a user name or a password in it")
        }
        Ok(_) => None,
        Err(_) => Some("cannot be read as an address"),
    };
    if let Some(reason) = reason {
        check.error(webhook, format!("the webhook {reason}"), hint);
    } else if travels_unencrypted(address) {
        let message = "the webhook is plain HTTP: messages and its address travel unencrypted";
        check.warn(&loaded.file, webhook.span(), message, "use https");
    }
}

/// Warns of a secret that is written in the file.
fn warn_of_written(
    check: &mut Checker<'_>,
    loaded: &LoadedPipeline,
    secret: &Spanned<Secret>,
    key: &str,
) {
    let written = loaded.file.text().get(secret.span()).unwrap_or_default();
    if !is_variable(written) {
        let message =
            format!("the {key} is written in the pipeline file: its readers can send messages");
        let name = key.to_uppercase();
        let hint = format!("put it into the environment and write {key}: \"${{MY_{name}}}\"");
        check.warn(&loaded.file, secret.span(), message, hint);
    }
}

fn timeout(check: &mut Checker<'_>, one: &NotifyOptions) -> Duration {
    let Some(timeout) = &one.timeout else {
        return TIMEOUT;
    };
    let duration = timeout.value.as_duration();
    if duration.is_zero() || duration > LONGEST_TIMEOUT {
        let message = "`timeout` must be above 0 and at most 60s: a run waits for it";
        check.error(timeout, message, "write a time such as 10s");
    }
    duration.min(LONGEST_TIMEOUT)
}

fn finding(check: &mut Checker<'_>, when: &FindingOptions) -> Option<Finding> {
    if when.name.trim().is_empty() {
        check.error(
            &when.name,
            "the name is empty",
            "write the title of the messages",
        );
    }
    let example =
        "select note_id, title from note_growth join notes_latest using (note_id) where is_rising";
    let sql = check.query(&when.sql, &format!("write a query such as {example}"))?;
    let at_most = when.at_most.as_ref().map_or(AT_MOST, |most| {
        if !(1..=MOST_ROWS).contains(&most.value) {
            let message = format!("`at_most` must be from 1 to {MOST_ROWS}");
            check.error(most, message, "the next run tells further rows");
        }
        most.value
    });
    let key = when.key.as_ref();
    if let Some(key) = key.filter(|key| key.is_empty()) {
        check.error(
            key,
            "the key has no column",
            "name the columns that identify a row",
        );
    }
    let key = key.map(|key| key.iter().map(|column| column.value.clone()).collect());
    Some(Finding {
        name: when.name.value.clone(),
        sql,
        key: key.unwrap_or_default(),
        only_later: when.only_later,
        at_most: at_most as usize,
    })
}
