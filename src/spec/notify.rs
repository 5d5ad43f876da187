//! Notifications that a pipeline declares.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::words::TimeSpan;
use crate::spec::yaml::document::Spanned;
use crate::spec::yaml::secret::Secret;

/// A webhook, and what is sent to it: events of runs (`on`), findings in the tables (`when`), or both.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NotifyOptions {
    /// Name in messages of redlake. Default: the format and its count in the list, such as `feishu 1`.
    pub name: Option<Spanned<String>>,
    /// Address of the webhook, from the environment: `"${FEISHU_WEBHOOK}"`. It is a secret.
    #[schemars(with = "String")]
    pub webhook: Spanned<Secret>,
    /// Format of the messages.
    pub format: Spanned<WebhookFormat>,
    /// Secret that signs the messages, from the environment. For generic, feishu and dingtalk.
    #[schemars(with = "Option<String>")]
    pub secret: Option<Spanned<Secret>>,
    /// Events of runs. A message tells each of them once.
    #[serde(default)]
    pub on: Vec<Spanned<NotifyEvent>>,
    /// A query after each commit. A message tells each of its rows once.
    pub when: Option<Spanned<FindingOptions>>,
    /// Time limit for a message, a retry included. A run ends at most this much later. Default: 10s.
    #[schemars(with = "Option<String>")]
    pub timeout: Option<Spanned<TimeSpan>>,
}

/// Format of the messages that a webhook takes.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum WebhookFormat {
    /// A JSON object of redlake's own, for other services.
    Generic,
    /// A custom bot of a Feishu or Lark group.
    Feishu,
    /// A custom robot of a DingTalk group.
    Dingtalk,
    /// A robot of a WeCom (企业微信) group.
    Wecom,
    /// An incoming webhook of Slack.
    Slack,
}

/// An event of a run.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum NotifyEvent {
    /// The run failed: exit codes 1, 2, 4 and 8.
    Failed,
    /// Some searches failed: exit code 3.
    Partial,
    /// A budget, the quota or the balance is used up: exit code 5.
    Budget,
    /// The tables are refused or held: exit code 6.
    CheckFailed,
    /// Answers have fields or values that the contract does not know, and that no message has told.
    Drift,
    /// `redlake status --notify` found a problem that no message has told.
    Unhealthy,
    /// The first complete run after a run that was told, or the end of all problems that were told.
    Recovered,
}

/// A query whose rows are worth a message.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FindingOptions {
    /// Title of the messages. Unique in the pipeline.
    pub name: Spanned<String>,
    /// One SELECT over tables, views and marts. A column `title` is the heading of a row, the first
    /// column whose name ends in `url` its link.
    pub sql: Spanned<String>,
    /// Columns that identify a row: a row is told once. Default: the first column.
    pub key: Option<Spanned<Vec<Spanned<String>>>>,
    /// True if the rows that the query returns at first are not told, only those that come later.
    /// Default: false.
    #[serde(default)]
    pub only_later: bool,
    /// Maximum number of rows of a message. The next run tells further rows. Default: 10, at most 50.
    pub at_most: Option<Spanned<u32>>,
}

impl WebhookFormat {
    pub fn as_str(self) -> &'static str {
        match self {
            WebhookFormat::Generic => "generic",
            WebhookFormat::Feishu => "feishu",
            WebhookFormat::Dingtalk => "dingtalk",
            WebhookFormat::Wecom => "wecom",
            WebhookFormat::Slack => "slack",
        }
    }

    /// Returns true if messages of this format can be signed.
    pub fn is_signable(self) -> bool {
        match self {
            WebhookFormat::Generic | WebhookFormat::Feishu | WebhookFormat::Dingtalk => true,
            WebhookFormat::Wecom | WebhookFormat::Slack => false,
        }
    }
}

impl NotifyEvent {
    pub fn as_str(self) -> &'static str {
        match self {
            NotifyEvent::Failed => "failed",
            NotifyEvent::Partial => "partial",
            NotifyEvent::Budget => "budget",
            NotifyEvent::CheckFailed => "check_failed",
            NotifyEvent::Drift => "drift",
            NotifyEvent::Unhealthy => "unhealthy",
            NotifyEvent::Recovered => "recovered",
        }
    }
}
