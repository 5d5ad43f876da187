//! Errors of commands: message, hint, exit code.

use std::fmt::Display;

use crate::cli::output::stderr::{note, note_as_is};
use crate::extract::client::ClientError;
use crate::extract::error::ExtractError;
use crate::extract::journal::JournalError;
use crate::load::LakeError;
use crate::query::duckdb::QueryError;
use crate::raw::page::RawError;
use crate::run::access::AccessError;
use crate::run::error::RunError;
use crate::run::marts::MartsError;
use crate::spec::yaml::diagnostic::Diagnostics;
use crate::transform::error::TransformError;

pub const INTERNAL: u8 = 1;
pub const USAGE: u8 = 2;
pub const PARTIAL: u8 = 3;
pub const DENIED: u8 = 4;
pub const STOPPED: u8 = 5;
pub const REFUSED: u8 = 6;
pub const BUSY: u8 = 7;

pub const ENVIRONMENT: &str = "\
Environment: JUSTONEAPI_TOKEN and XHS_OPEN_TOKEN hold the tokens. XHS_OPEN_APP_ID and \
XHS_OPEN_APP_SECRET sign the calls of the open platform if both are set. JUSTONEAPI_BASE_URL and \
XHS_OPEN_BASE_URL override the addresses; `sandbox` is also valid, and a pipeline with `base_url: \
sandbox` ignores them. REDLAKE_LAKE names the lake.

Exit codes: 0 complete, 1 internal error, 2 bad usage or configuration, 3 some searches failed, \
4 authentication or permission, 5 stopped by a budget, the quota or the balance, 6 the \
pipeline's `contract:` refused the data or a data check failed, 7 the pipeline is \
already running, 129 hung up, 130 or 143 interrupted. The next run continues an interrupted run (4, \
5, 129, 130, 143, a crash) that has a page.";

/// Hint for data that a `fail` rule of the contract refuses.
pub const MEND: &str = "the pages and the ledger are kept; fix the source contract (see `redlake schema \
                        suggest`) or the pipeline's `contract:`, then make the tables with `redlake \
                        transform PIPELINE --raw FILE…`";

/// Returns the hint for a run whose tables data checks held back.
pub fn decide(run_id: &str) -> String {
    format!(
        "run `redlake show {run_id}` to see the wrong rows, then `redlake publish {run_id}` to commit \
         them anyway, or `redlake discard {run_id}` to drop them"
    )
}

/// An error for the user, with exit code and hint.
#[derive(Debug)]
pub struct CliError {
    pub code: u8,
    error: anyhow::Error,
    hint: Option<String>,
    /// Diagnostics that have their own places and hints.
    rendered: Option<Diagnostics>,
}

impl CliError {
    pub fn new(code: u8, error: impl Into<anyhow::Error>, hint: Option<String>) -> Self {
        let error = error.into();
        let hint = hint.or_else(|| is_full(&error).then(|| MAKE_ROOM.to_owned()));
        CliError {
            code,
            error,
            hint,
            rendered: None,
        }
    }

    pub fn usage(message: impl Display, hint: impl Into<String>) -> Self {
        CliError::new(USAGE, anyhow::anyhow!("{message}"), Some(hint.into()))
    }

    /// Returns the error for a catalog that could not be written. All data is committed.
    pub fn no_catalog(error: RunError) -> Self {
        let hint = "the data is committed; `redlake query` works without that file";
        let error =
            anyhow::Error::new(error).context("the catalog lake.duckdb could not be written");
        CliError::new(INTERNAL, error, Some(hint.into()))
    }

    /// Prints the error to stderr as `error:`, `Caused by:`, `hint:`.
    pub fn print(&self, color: bool) {
        if let Some(found) = &self.rendered {
            for diagnostic in &found.0 {
                note_as_is(format_args!("{}\n", diagnostic.render(color)));
            }
            let mistakes = found.mistakes();
            let plural = if mistakes == 1 { "" } else { "s" };
            note(format_args!(
                "error: {mistakes} mistake{plural} found; nothing was done"
            ));
            return;
        }
        note(format_args!("error: {}", self.error));
        for cause in self.error.chain().skip(1) {
            note(format_args!("  Caused by: {cause}"));
        }
        if let Some(hint) = &self.hint {
            note(format_args!("  hint: {hint}"));
        }
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

const MAKE_ROOM: &str =
    "free space on that disk and run the command again; committed data is unchanged";
/// Returns the hint for an unknown run.
fn existing(near: &[String]) -> String {
    match near {
        [] => "this lake has no run yet; run `redlake run PIPELINE`".to_owned(),
        near => format!(
            "run `redlake runs` to list them; the nearest are {}",
            near.join(", ")
        ),
    }
}

/// Returns the hint for an ambiguous run id.
fn more_of(ids: &[String]) -> String {
    let few = ids.iter().take(5).map(String::as_str);
    let few: Vec<&str> = few.collect();
    let rest = match ids.len() - few.len() {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    format!("give more of its id: {}{rest}", few.join(", "))
}

impl From<Diagnostics> for CliError {
    fn from(found: Diagnostics) -> Self {
        let error = anyhow::anyhow!("the configuration is wrong");
        CliError {
            code: USAGE,
            error,
            hint: None,
            rendered: Some(found),
        }
    }
}

impl From<LakeError> for CliError {
    fn from(error: LakeError) -> Self {
        let error = match error {
            LakeError::Contracts(found) => return found.into(),
            error => error,
        };
        let code = match &error {
            LakeError::Busy(_) => BUSY,
            LakeError::Encode { .. } => INTERNAL,
            LakeError::Damaged { .. } => REFUSED,
            _ => USAGE,
        };
        let hint = error.hint().map(str::to_owned);
        CliError::new(code, error, hint)
    }
}

impl From<QueryError> for CliError {
    fn from(error: QueryError) -> Self {
        let hint = match &error {
            QueryError::NoValue(name) => Some(format!("give it with --param {name}=VALUE")),
            QueryError::UnusedParameter(name) => Some(format!(
                "write ${name} where its value belongs, and put the SQL in single quotes for the shell"
            )),
            // DuckDB's message for a file that `Database::confine` blocks.
            QueryError::Sql(error) if error.to_string().contains("Permission Error") => Some(
                "a query reads tables and marts only; --allow-files lets it read and write other files"
                    .to_owned(),
            ),
            _ => None,
        };
        let code = match &error {
            QueryError::Sql(_)
            | QueryError::NoValue(_)
            | QueryError::UnusedParameter(_)
            | QueryError::NotSelect(_) => USAGE,
            QueryError::Io { .. } | QueryError::Rows { .. } => INTERNAL,
        };
        CliError::new(code, error, hint)
    }
}

impl From<MartsError> for CliError {
    fn from(error: MartsError) -> Self {
        match error {
            MartsError::Lake(error) => error.into(),
            MartsError::Failed(_) => {
                let hint = "fix the cause, such as the mart's file in the folder that --schemas names, \
                            and run `redlake marts` again; the tables and the other marts are complete";
                CliError::new(INTERNAL, error, Some(hint.to_owned()))
            }
            MartsError::Open(_) => CliError::new(INTERNAL, error, None),
        }
    }
}

impl From<RunError> for CliError {
    fn from(error: RunError) -> Self {
        let (code, hint) = match error {
            RunError::Lake(error) => return error.into(),
            RunError::Access(AccessError::NoToken { ref env, .. }) => (
                USAGE,
                Some(format!(
                    "export {env}=…; it is read from the environment only"
                )),
            ),
            RunError::Access(AccessError::Signing { .. }) => {
                (USAGE, Some("set both, or neither to send calls unsigned".into()))
            }
            RunError::Client(ClientError::Token(_)) => {
                (USAGE, Some("set it to the token alone, on one line".into()))
            }
            RunError::Client(_) | RunError::Access(AccessError::Address { .. }) => (
                USAGE,
                Some("give an address such as https://api.example.com or http://127.0.0.1:8080".into()),
            ),
            RunError::Transform(TransformError::UnknownEndpoint { .. }) => (
                USAGE,
                Some("add the endpoint to the contracts that --schemas names".into()),
            ),
            RunError::Raw(RawError::Format { .. }) => {
                (USAGE, Some("give files from the lake's folder raw/".into()))
            }
            RunError::Raw(RawError::Changed { .. })
            | RunError::Extract(ExtractError::Raw(RawError::Changed { .. })) => (
                INTERNAL,
                Some(
                    "put the file back, or run again: searches whose pages are lost fail, the others \
                     continue; no further call was made, and the ledger is committed"
                        .into(),
                ),
            ),
            RunError::Raw(RawError::Newer { .. }) => {
                (USAGE, Some("use the redlake version that wrote it, or a newer one".into()))
            }
            RunError::Raw(_) => (INTERNAL, None),
            RunError::Journal(JournalError::Format { .. }) => (
                USAGE,
                Some(
                    "use the redlake version that wrote it, or move the file away; \
                     `redlake transform --raw` makes the tables of its pages"
                        .into(),
                ),
            ),
            RunError::ForeignRaw { .. } => {
                (USAGE, Some("give the pipeline that made the file".into()))
            }
            RunError::Scattered(_) => (
                USAGE,
                Some(
                    "give the raw files of a run one after the other, each once: only the \
                     latest observation counts"
                        .into(),
                ),
            ),
            RunError::OpenRun(_) => (
                USAGE,
                Some("run its pipeline again to continue or close it".into()),
            ),
            RunError::UnknownRun { ref near, .. } => (USAGE, Some(existing(near))),
            RunError::AmbiguousRun { ref ids, .. } => (USAGE, Some(more_of(ids))),
            RunError::UnreadableRaw { .. } => {
                (USAGE, Some("give raw files of redlake; restore a damaged one from a backup".into()))
            }
            RunError::OtherPages { .. } => (
                REFUSED,
                Some(
                    "restore the raw file from a backup, or give --without-damaged to keep only the rows of \
                     the pages that can be read"
                        .into(),
                ),
            ),
            RunError::EmptyRaw(_) => (USAGE, Some("leave this file out".into())),
            RunError::Ledger(_) => (
                USAGE,
                Some(
                    "give the tables requests and runs the columns of the built-in contracts"
                        .into(),
                ),
            ),
            RunError::MixedLake { .. } => (
                USAGE,
                Some("give sandbox runs another lake with --lake".into()),
            ),
            RunError::Access(AccessError::Mixed { .. }) => (
                USAGE,
                Some("set base_url to sandbox for all sources or for none".into()),
            ),
            RunError::Refused(_) => (REFUSED, Some(MEND.to_owned())),
            _ => (INTERNAL, None),
        };
        CliError::new(code, error, hint)
    }
}

impl From<std::io::Error> for CliError {
    fn from(error: std::io::Error) -> Self {
        CliError::new(INTERNAL, error, None)
    }
}
