//! Mistakes in the command line, which are found before any command runs.

use std::ffi::OsString;

use clap::error::ErrorKind;

use crate::cli::environment::variable;
use crate::cli::exit_code::ExitCode;
use crate::cli::output::stderr::{Notice, has_colors};

/// Returns true if a command line that cannot be parsed asks for JSON on stderr, or else the
/// environment.
pub fn is_json_requested(arguments: impl Iterator<Item = OsString>) -> bool {
    let arguments: Vec<OsString> = arguments.take_while(|word| word != "--").collect();
    let mut requested = None;
    for (at, word) in arguments.iter().enumerate() {
        let Some(word) = word.to_str() else { continue };
        if let Some(format) = word.strip_prefix("--log-format=") {
            requested = Some(format.to_owned());
        } else if word == "--log-format" {
            let next = arguments.get(at + 1).and_then(|next| next.to_str());
            requested = next.map(str::to_owned);
        }
    }
    let requested = requested.or_else(|| variable("REDLAKE_LOG_FORMAT"));
    requested.as_deref() == Some("json")
}

/// Prints what clap found, and returns the exit code: a mistake on stderr, or the help or the
/// version that were asked for on stdout.
pub fn misuse(found: &clap::Error) -> ExitCode {
    if !found.use_stderr() {
        let _ = found.print();
        return ExitCode::Complete;
    }
    let plain = found.render().to_string();
    let (message, hint) = parts(found.kind(), &plain);
    let told = Notice::failure(ExitCode::Usage, message, Vec::new(), hint.as_deref());
    told.print_as(|_| {
        let text = if has_colors() {
            found.render().ansi().to_string()
        } else {
            plain
        };
        text.trim_end().to_owned()
    });
    ExitCode::Usage
}

/// Splits the text of clap into the message and the hint: tips and the usage.
fn parts(kind: ErrorKind, text: &str) -> (String, Option<String>) {
    if kind == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        let hint = "run `redlake --help` to list the commands";
        return ("no command is given".to_owned(), Some(hint.to_owned()));
    }
    let joined = |part: &str| {
        let lines = part.lines().map(str::trim).filter(|line| !line.is_empty());
        lines.collect::<Vec<_>>().join(" ")
    };
    let text = text.strip_prefix("error: ").unwrap_or(text);
    let mut paragraphs = text.split("\n\n").map(joined);
    let message = paragraphs.next().unwrap_or_default();
    let hint: Vec<String> = paragraphs.filter(|part| !part.is_empty()).collect();
    let hint = (!hint.is_empty()).then(|| hint.join("; "));
    (message, hint)
}
