//! Everything on stderr: log lines, notes, errors and the progress line. Each is printed as text or
//! as a JSON object on a line of its own.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::SecondsFormat;
use clap::ValueEnum;
use indexmap::IndexMap;
use serde_json::Value;

use crate::cli::environment::variable;
use crate::cli::exit_code::ExitCode;
use crate::cli::output::columns::fit;
use crate::clock;
use crate::run_meta::RunMeta;
use crate::spec::yaml::diagnostic::Diagnostic;
use crate::spec::yaml::escape::escaped;

/// Format of stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people
    Text,
    /// One JSON object a line: log lines, notes, progress and errors
    Json,
}

/// Severity of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
}

/// State of stderr. One for the process, since stderr is.
struct Stderr {
    format: LogFormat,
    is_quiet: bool,
    /// Identity of the run under way, for every further JSON line.
    run: Option<RunIdentity>,
    /// Text of the progress line while it is shown.
    line: Option<String>,
}

struct RunIdentity {
    run_id: String,
    pipeline: String,
}

static STDERR: Mutex<Stderr> = Mutex::new(Stderr {
    format: LogFormat::Text,
    is_quiet: false,
    run: None,
    line: None,
});

fn stderr() -> MutexGuard<'static, Stderr> {
    // Nothing in here can be half done.
    STDERR.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sets the format, and whether only errors are printed. In JSON a panic is a line as well.
pub fn set_up(format: LogFormat, is_quiet: bool) {
    let mut stderr = stderr();
    (stderr.format, stderr.is_quiet) = (format, is_quiet);
    if format == LogFormat::Json {
        std::panic::set_hook(Box::new(|panic| {
            Notice::new(LogLevel::Error, panic).print();
        }));
    }
}

/// Adds the run to every further JSON line.
pub fn set_run(meta: &RunMeta) {
    stderr().run = Some(RunIdentity {
        run_id: meta.run_id.clone(),
        pipeline: meta.pipeline.clone(),
    });
}

/// Returns the format of stderr.
pub fn format() -> LogFormat {
    stderr().format
}

/// Returns true if stderr is a terminal.
pub fn is_terminal() -> bool {
    io::stderr().is_terminal()
}

/// Returns true if text on stderr may have colours.
pub fn has_colors() -> bool {
    let is_unwanted = variable("NO_COLOR").is_some_and(|value| !value.is_empty());
    is_terminal() && !is_unwanted
}

/// A message with its fields. The fields are printed in JSON only, so the text has to say what
/// people need.
pub struct Notice {
    level: LogLevel,
    text: String,
    fields: IndexMap<&'static str, Value>,
}

impl Notice {
    pub fn new(level: LogLevel, text: impl Display) -> Self {
        Notice {
            level,
            text: text.to_string(),
            fields: IndexMap::new(),
        }
    }

    /// Returns the message of a diagnostic, with its place.
    pub fn about(diagnostic: &Diagnostic) -> Self {
        let level = if diagnostic.is_warning {
            LogLevel::Warn
        } else {
            LogLevel::Error
        };
        let (line, column) = diagnostic.position().unzip();
        Notice::new(level, &diagnostic.message)
            .with("path", diagnostic.file.path().display().to_string())
            .with("line", line)
            .with("column", column)
            .with("hint", diagnostic.hint.as_deref())
    }

    /// Returns the message about a command that failed, with the fields of every error.
    pub fn failure(code: ExitCode, text: String, causes: Vec<String>, hint: Option<&str>) -> Self {
        Notice::new(LogLevel::Error, text)
            .with("code", code.number())
            .with("causes", causes)
            .with("hint", hint)
    }

    /// Adds a field.
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.fields.insert(name, value.into());
        self
    }

    /// Prints the message. Its text form is the message itself, escaped.
    pub fn print(self) {
        self.print_as(|message| escaped(message).into_owned());
    }

    /// Prints the message with another text form, which is escaped already and may have several
    /// lines. Write errors are ignored.
    pub fn print_as(self, text: impl FnOnce(&str) -> String) {
        let stderr = stderr();
        if stderr.is_quiet && self.level != LogLevel::Error {
            return;
        }
        let text = match stderr.format {
            LogFormat::Text => text(&self.text),
            LogFormat::Json => self.json(stderr.run.as_ref()),
        };
        let redrawn = stderr.line.as_deref().map(drawn).unwrap_or_default();
        let cleared = if redrawn.is_empty() {
            String::new()
        } else {
            erased()
        };
        write(&format!("{cleared}{text}\n{redrawn}"));
    }

    fn json(self, run: Option<&RunIdentity>) -> String {
        let now = clock::now().to_rfc3339_opts(SecondsFormat::Micros, true);
        let mut object: IndexMap<&str, Value> = IndexMap::new();
        object.insert("timestamp", now.into());
        object.insert("level", self.level.as_str().into());
        object.insert("message", self.text.into());
        if let Some(RunIdentity { run_id, pipeline }) = run {
            object.insert("run_id", run_id.as_str().into());
            object.insert("pipeline", pipeline.as_str().into());
        }
        object.extend(self.fields);
        serde_json::to_string(&object).unwrap_or_default()
    }
}

impl LogLevel {
    fn as_str(self) -> &'static str {
        match self {
            LogLevel::Error => "error",
            LogLevel::Warn => "warn",
            LogLevel::Info => "info",
            LogLevel::Debug => "debug",
        }
    }

    /// Returns the text form of a log line.
    ///
    /// Further lines of a message are indented, so that none of them looks like a log line of its
    /// own.
    pub fn log_line(self, message: &str) -> String {
        let (word, color) = match self {
            LogLevel::Error => ("ERROR", 31),
            LogLevel::Warn => (" WARN", 33),
            LogLevel::Info => (" INFO", 32),
            LogLevel::Debug => ("DEBUG", 34),
        };
        let message = escaped(message).replace('\n', "\n  ");
        if has_colors() {
            format!("\u{1b}[{color}m{word}\u{1b}[0m {message}")
        } else {
            format!("{word} {message}")
        }
    }
}

/// Prints the exit code of a command that ended without an error and not with 0, as JSON. People see it
/// in the result.
pub fn print_code(code: ExitCode) {
    if code != ExitCode::Complete && format() == LogFormat::Json {
        let text = format!("ended with exit code {}", code.number());
        Notice::failure(code, text, Vec::new(), None).print();
    }
}

/// Draws the progress line, in place of the one before. It stays below all further lines.
pub fn show_line(text: &str) {
    let mut stderr = stderr();
    if !stderr.is_quiet {
        stderr.line = Some(escaped(text).into_owned());
        write(&drawn(text));
    }
}

/// Removes the progress line.
pub fn remove_line() {
    if stderr().line.take().is_some() {
        write(&erased());
    }
}

/// Removes the progress line, unless another thread is printing.
pub fn try_remove_line() {
    if let Ok(mut stderr) = STDERR.try_lock()
        && stderr.line.take().is_some()
    {
        write(&erased());
    }
}

/// Returns what draws the progress line: over the one before, and never as wide as the terminal.
fn drawn(text: &str) -> String {
    format!("{}{}", erased(), fit(text, columns() - 1))
}

/// Returns what empties the line that the cursor is in. It has no escape sequence, so it works in
/// every terminal.
fn erased() -> String {
    format!("\r{}\r", " ".repeat(columns() - 1))
}

/// Returns the width of the terminal, or 80 if stderr is none.
fn columns() -> usize {
    let size = terminal_size::terminal_size_of(io::stderr());
    size.map_or(80, |(width, _)| usize::from(width.0).max(2))
}

fn write(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}
