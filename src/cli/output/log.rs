//! Log lines: the events of redlake's own code, on stderr.

use std::fmt::Debug;

use indexmap::IndexMap;
use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::cli::output::stderr::{LogLevel, Notice};

/// Prints the events up to this level. Only redlake's own events are logged: those of an HTTP
/// library might contain a URL with the token.
pub fn set_up(level: LevelFilter) {
    let own = Targets::new().with_target("redlake", level);
    tracing_subscriber::registry()
        .with(LogLines.with_filter(own))
        .init();
}

struct LogLines;

impl<S: Subscriber> Layer<S> for LogLines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut recorded = Recorded::default();
        event.record(&mut recorded);
        let level = match *event.metadata().level() {
            Level::ERROR => LogLevel::Error,
            Level::WARN => LogLevel::Warn,
            Level::INFO => LogLevel::Info,
            Level::DEBUG | Level::TRACE => LogLevel::Debug,
        };
        let mut message = Notice::new(level, recorded.message);
        for (name, value) in recorded.fields {
            message = message.with(name, value);
        }
        message.print_as(|text| level.log_line(text));
    }
}

/// The fields of an event.
#[derive(Default)]
struct Recorded {
    message: String,
    fields: IndexMap<&'static str, Value>,
}

impl Recorded {
    fn add(&mut self, field: &Field, value: impl Into<Value>) {
        self.fields.insert(field.name(), value.into());
    }
}

impl Visit for Recorded {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let text = format!("{value:?}");
        if field.name() == "message" {
            self.message = text;
        } else {
            self.add(field, text);
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else {
            self.add(field, value);
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value);
    }
}
