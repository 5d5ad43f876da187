//! Messages that are due.

use std::collections::BTreeSet;

use super::message::WebhookMessage;
use crate::spec::notify::NotifyEvent;

/// A message that is due, and what to record once it is delivered.
pub struct DueMessage {
    /// Place in the plan's notifications.
    pub to: usize,
    pub message: WebhookMessage,
    pub marks: Marks,
}

/// What a delivered message told.
pub enum Marks {
    Events {
        shard: String,
        run: String,
        events: Vec<NotifyEvent>,
        drift: BTreeSet<String>,
    },
    Rows {
        finding: String,
        keys: Vec<String>,
    },
    Broken {
        finding: String,
    },
    /// Problems that `redlake status` found.
    Problems {
        keys: Vec<String>,
    },
    /// No problem is left.
    Healthy,
}
