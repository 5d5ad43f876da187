//! Errors of commands: message, hint, exit code. The table of all errors is in `explain`.

pub mod command_line;
pub mod explain;
mod explain_export;

use std::fmt::Display;

use crate::cli::exit_code::ExitCode;
use crate::cli::output::stderr::{Notice, has_colors};
use crate::run::error::RunError;
use crate::spec::yaml::diagnostic::Diagnostics;
use crate::spec::yaml::escape::escaped;
use explain::Explain;

pub const ENVIRONMENT: &str = "\
Environment: JUSTONEAPI_TOKEN and XHS_OPEN_TOKEN hold the tokens. XHS_OPEN_APP_ID and \
XHS_OPEN_APP_SECRET sign the calls of the open platform if both are set. JUSTONEAPI_BASE_URL and \
XHS_OPEN_BASE_URL override the addresses; `sandbox` is also valid, and a pipeline with `base_url: \
sandbox` ignores them. REDLAKE_LAKE names the lake, REDLAKE_SCHEMAS the contracts. \
REDLAKE_LOG_FORMAT=json prints stderr as JSON, one object a line. REDLAKE_PAGER, or else PAGER, \
shows long results; an empty one turns it off.

Exit codes: 0 complete, 1 internal error, 2 bad usage or configuration, 3 some searches failed, \
4 authentication or permission, 5 stopped by a budget, the quota or the balance, 6 the \
pipeline's `contract:` refused the data or a data check failed, 7 the pipeline is \
already running, 8 no search delivered, 9 `status` found something wrong, 129 hung up, 130 or 143 interrupted. The next run continues an interrupted run (4, \
5, 129, 130, 143, a crash) that has a page.";

/// An error for the user, with exit code and hint.
#[derive(Debug)]
pub struct CliError {
    pub code: ExitCode,
    error: anyhow::Error,
    hint: Option<String>,
    /// Diagnostics that have their own places and hints.
    rendered: Option<Diagnostics>,
}

impl CliError {
    pub fn new(code: ExitCode, error: impl Into<anyhow::Error>, hint: Option<String>) -> Self {
        let error = error.into();
        let hint = hint.or_else(|| is_full(&error).then(|| explain::MAKE_ROOM.to_owned()));
        CliError {
            code,
            error,
            hint,
            rendered: None,
        }
    }

    pub fn usage(message: impl Display, hint: impl Into<String>) -> Self {
        CliError::new(
            ExitCode::Usage,
            anyhow::anyhow!("{message}"),
            Some(hint.into()),
        )
    }

    /// Returns the error for a catalog that could not be written. All data is committed.
    pub fn no_catalog(error: RunError) -> Self {
        let hint = "the data is committed; `redlake query` works without that file";
        let error =
            anyhow::Error::new(error).context("the catalog lake.duckdb could not be written");
        CliError::new(ExitCode::Internal, error, Some(hint.into()))
    }

    /// Returns the error with its causes, on one line.
    pub fn with_causes(&self) -> String {
        let causes = self.error.chain().skip(1);
        let causes: Vec<String> = causes.map(|cause| format!(": {cause}")).collect();
        format!("{}{}", self.error, causes.concat())
    }

    /// Returns what to do next.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Prints the error to stderr. The text form is `error:`, `Caused by:`, `hint:`.
    pub fn print(&self) {
        if let Some(found) = &self.rendered {
            for diagnostic in &found.0 {
                let rendered = |_: &str| format!("{}\n", diagnostic.render(has_colors()));
                Notice::about(diagnostic).print_as(rendered);
            }
            let mistakes = found.mistakes();
            let plural = if mistakes == 1 { "" } else { "s" };
            let told = format!("{mistakes} mistake{plural} found; nothing was done");
            return self.message(told).print_as(|told| format!("error: {told}"));
        }
        self.message(self.error.to_string())
            .print_as(|_| self.text());
    }

    /// Returns the error with the fields of every error.
    fn message(&self, text: String) -> Notice {
        let causes = self.error.chain().skip(1).map(ToString::to_string);
        Notice::failure(self.code, text, causes.collect(), self.hint.as_deref())
    }

    fn text(&self) -> String {
        let mut text = format!("error: {}", self.error);
        for cause in self.error.chain().skip(1) {
            text.push_str(&format!("\n  Caused by: {cause}"));
        }
        if let Some(hint) = &self.hint {
            text.push_str(&format!("\n  hint: {hint}"));
        }
        escaped(&text).into_owned()
    }
}

/// Returns `true` if a full disk or a full quota caused the error.
fn is_full(error: &anyhow::Error) -> bool {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    let mut causes = error
        .chain()
        .filter_map(|e| e.downcast_ref::<std::io::Error>());
    causes.any(|e| matches!(e.kind(), StorageFull | QuotaExceeded))
}

impl From<Diagnostics> for CliError {
    fn from(found: Diagnostics) -> Self {
        let error = anyhow::anyhow!("the configuration is wrong");
        CliError {
            code: ExitCode::Usage,
            error,
            hint: None,
            rendered: Some(found),
        }
    }
}

impl<E: Explain> From<E> for CliError {
    fn from(error: E) -> Self {
        match error.into_diagnostics() {
            Ok(found) => found.into(),
            Err(error) => {
                let (code, hint) = error.explain();
                CliError::new(code, error, hint)
            }
        }
    }
}
