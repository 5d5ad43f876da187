//! The exit code and the hint of every error, in one place. The matches are exhaustive, so a new
//! error does not compile until it has both.

use std::io;
use std::path::Path;

use crate::cli::environment::EnvFileError;
use crate::cli::exit_code::ExitCode::{self, Busy, Internal, Refused, Usage};
use crate::cli::output::relation::SameName;
use crate::cli::output::workbook::WorkbookError;
use crate::cli::shell::lake_flag;
use crate::extract::client::error::ClientError;
use crate::extract::error::ExtractError;
use crate::extract::journal::JournalError;
use crate::load::LakeError;
use crate::query::duckdb::QueryError;
use crate::raw::page::RawError;
use crate::report::error::ReportError;
use crate::run::access::AccessError;
use crate::run::error::RunError;
use crate::run::marts::error::MartsError;
use crate::spec::yaml::diagnostic::{Diagnostics, nearest};
use crate::transform::error::TransformError;

/// An error that a command may end with.
pub trait Explain: Into<anyhow::Error> {
    /// Returns the exit code, and the hint that says what to do next.
    fn explain(&self) -> (ExitCode, Option<String>);

    /// Returns the diagnostics of an error that consists of them.
    ///
    /// # Errors
    /// Any other error, unchanged.
    fn into_diagnostics(self) -> Result<Diagnostics, Self> {
        Err(self)
    }
}

/// An exit code with a hint.
pub(super) fn hint(code: ExitCode, hint: impl Into<String>) -> (ExitCode, Option<String>) {
    (code, Some(hint.into()))
}

/// Hint for data that a `fail` rule of the contract refuses.
pub const MEND: &str = "the pages and the ledger are kept; fix the source contract (see `redlake schema \
                        suggest`) or the pipeline's `contract:`, then make the tables with `redlake \
                        transform PIPELINE --raw FILE…`";

/// Returns the hint for a run whose tables data checks held back.
pub fn decide(run_id: &str, lake: &Path) -> String {
    let of_run = format!("{run_id}{}", lake_flag(lake));
    format!(
        "run `redlake show {of_run}` to see the wrong rows, then `redlake publish {of_run}` to commit \
         them anyway, or `redlake discard {of_run}` to drop them"
    )
}

/// Hint for a full disk.
pub const MAKE_ROOM: &str =
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

impl Explain for RunError {
    fn explain(&self) -> (ExitCode, Option<String>) {
        match self {
            RunError::Access(error) => error.explain(),
            RunError::Lake(error) => error.explain(),
            RunError::Client(error) => error.explain(),
            RunError::Raw(error) => error.explain(),
            RunError::Journal(error) => error.explain(),
            RunError::Extract(error) => error.explain(),
            RunError::Transform(error) => error.explain(),
            // The SQL is redlake's own, so no user can correct it.
            RunError::Query(error @ QueryError::View { .. }) => error.explain(),
            RunError::Query(_) => (Internal, None),
            RunError::ForeignRaw { .. } => hint(Usage, "give the pipeline that made the file"),
            RunError::Ledger(_) => hint(
                Usage,
                "give the tables requests and runs the columns of the built-in contracts",
            ),
            RunError::Scattered(_) => hint(
                Usage,
                "give the raw files of a run one after the other, each once: only the latest \
                 observation counts",
            ),
            RunError::NoSuchTable(_)
            | RunError::Scratch(_)
            | RunError::Rewrite(_)
            | RunError::Rewritten { .. } => (Internal, None),
            RunError::Refused(_) => hint(Refused, MEND),
            RunError::UnknownRun { near, .. } => hint(Usage, existing(near)),
            RunError::AmbiguousRun { ids, .. } => hint(Usage, more_of(ids)),
            RunError::OpenRun(_) => hint(Usage, "run its pipeline again to continue or close it"),
            RunError::EmptyRaw(_) => hint(Usage, "leave this file out"),
            RunError::UnreadableRaw { .. } => hint(
                Usage,
                "give raw files of redlake; restore a damaged one from a backup",
            ),
            RunError::OtherPages { .. } => hint(
                Refused,
                "restore the raw file from a backup, or give --without-damaged to keep only the \
                 rows of the pages that can be read",
            ),
            RunError::LogicalTime { .. } => hint(
                Usage,
                "no call was made; give --resume never for a new run, which replaces its rows and is \
                 paid again",
            ),
            RunError::FutureTime(_) => hint(
                Usage,
                "no call was made; give a time that has come, or set the clock of this machine",
            ),
            RunError::NoSchedule(_) => hint(
                Usage,
                "no call was made; add `schedule: {cron: \"0 * * * *\"}` to the pipeline, or give a time",
            ),
            RunError::NothingFailed(_) => hint(
                Usage,
                "no call was made; run without --resume failed. A run is continued with the same \
                 plan and within resume_within",
            ),
            RunError::MixedLake { .. } => hint(Usage, "give sandbox runs another lake with --lake"),
        }
    }

    fn into_diagnostics(self) -> Result<Diagnostics, Self> {
        match self {
            RunError::Lake(error) => error.into_diagnostics().map_err(RunError::Lake),
            error => Err(error),
        }
    }
}

impl Explain for LakeError {
    fn explain(&self) -> (ExitCode, Option<String>) {
        match self {
            LakeError::Io { action, source, .. } => (Usage, lake_io(action, source.kind())),
            LakeError::Missing(_) => hint(
                Usage,
                "run a pipeline first, or name the lake with --lake DIR or REDLAKE_LAKE",
            ),
            LakeError::StateLost(_) => hint(
                Usage,
                "restore the folder _state from a backup. Without one, write {\"format\": 1} into \
                 _state/lake.json: committed data stays, and interrupted runs are not continued",
            ),
            LakeError::Newer { .. } => hint(Usage, NEWER),
            LakeError::Record { .. } | LakeError::Lost { .. } => hint(
                Usage,
                "restore the file from a backup; nothing else was changed",
            ),
            LakeError::NoRoom { .. } => hint(
                Usage,
                "free space on that disk, or choose another one with --lake DIR; nothing was \
                 changed",
            ),
            LakeError::Encode { .. } => (Internal, None),
            LakeError::Unreadable { .. } => hint(
                Refused,
                "it matches its checksum, but this version cannot read it; flatten its run again: \
                 redlake transform PIPELINE --raw FILE…",
            ),
            LakeError::Unfinished(_) => hint(Usage, "open it once as a user with write permission"),
            LakeError::Contracts(_) => (Usage, None),
            LakeError::Busy(_) => hint(
                Busy,
                "wait until it ends; the lock is released with its process",
            ),
            LakeError::NotHeld(_) => hint(
                Usage,
                "run `redlake runs` to list held runs; published and discarded runs are no longer \
                 held",
            ),
            LakeError::HeldFile { .. } | LakeError::Outdated(_) => hint(
                Usage,
                "discard the held tables, and make them again: redlake transform PIPELINE --raw \
                 FILE…",
            ),
            LakeError::BelowPartition { .. } => hint(
                Usage,
                "move the lake, or rename that folder; nothing was changed",
            ),
            LakeError::Damaged { .. } => hint(
                Refused,
                "run `redlake verify` to list all damage; restore the files from a backup, or flatten their \
                 run again: redlake transform PIPELINE --raw FILE…",
            ),
            LakeError::Link(_) => hint(
                Usage,
                "replace it by a folder, or move the file by hand; the link's target was not changed",
            ),
        }
    }

    fn into_diagnostics(self) -> Result<Diagnostics, Self> {
        match self {
            LakeError::Contracts(found) => Ok(found),
            error => Err(error),
        }
    }
}

fn lake_io(action: &str, kind: io::ErrorKind) -> Option<String> {
    use io::ErrorKind::{NotFound, PermissionDenied, QuotaExceeded, StorageFull};
    let hint = match kind {
        // `CliError::new` adds the hint for a full disk, wherever it happens.
        StorageFull | QuotaExceeded => return None,
        NotFound => {
            "a part of the lake was removed meanwhile: put it back, or check that the disk is mounted"
        }
        PermissionDenied if matches!(action, "read" | "list") => {
            "make it readable for this user, or name another lake with --lake DIR or REDLAKE_LAKE"
        }
        _ => "choose another folder with --lake DIR or REDLAKE_LAKE, or make this one writable",
    };
    Some(hint.to_owned())
}

impl Explain for AccessError {
    fn explain(&self) -> (ExitCode, Option<String>) {
        match self {
            AccessError::NoToken { env, .. } => hint(
                Usage,
                format!(
                    "export {env}=…, or write it into the file .env beside the pipeline; it is read from \
                     nowhere else"
                ),
            ),
            AccessError::Address { .. } => hint(Usage, ADDRESS),
            AccessError::Signing { .. } => {
                hint(Usage, "set both, or neither to send calls unsigned")
            }
            AccessError::Mixed { .. } => {
                hint(Usage, "set base_url to sandbox for all sources or for none")
            }
            AccessError::Sandbox(_) => (Internal, None),
        }
    }
}

const ADDRESS: &str = "give an address such as https://api.example.com or http://127.0.0.1:8080";

impl Explain for ClientError {
    fn explain(&self) -> (ExitCode, Option<String>) {
        match self {
            ClientError::Token(_) => hint(Usage, "set it to the token alone, on one line"),
            ClientError::Setup(_) => hint(
                Usage,
                "install the CA certificates of the system (package ca-certificates), or name a \
                 file of them in SSL_CERT_FILE",
            ),
            ClientError::Address(_) | ClientError::Header(_) => hint(Usage, ADDRESS),
        }
    }
}

impl Explain for RawError {
    fn explain(&self) -> (ExitCode, Option<String>) {
        match self {
            RawError::Io { .. } => (Internal, None),
            RawError::Format { .. } => hint(Usage, "give files from the lake's folder raw/"),
            RawError::Newer { .. } => hint(Usage, NEWER),
            RawError::Changed { .. } => hint(
                Internal,
                "put the file back, or run again: searches whose pages are lost fail, the others \
                 continue; no further call was made, and the ledger is committed",
            ),
        }
    }
}

const NEWER: &str = "use the redlake version that wrote it, or a newer one";

impl Explain for JournalError {
    fn explain(&self) -> (ExitCode, Option<String>) {
        match self {
            JournalError::Io { .. } => (Internal, None),
            JournalError::Format { .. } => hint(
                Usage,
                "use the redlake version that wrote it, or move the file away; \
                 `redlake transform --raw` makes the tables of its pages",
            ),
        }
    }
}

impl Explain for ExtractError {
    fn explain(&self) -> (ExitCode, Option<String>) {
        match self {
            ExtractError::Raw(error @ RawError::Changed { .. }) => error.explain(),
            ExtractError::Raw(_)
            | ExtractError::Journal(_)
            | ExtractError::Disk(_)
            | ExtractError::Task(_) => (Internal, None),
        }
    }
}

impl Explain for TransformError {
    fn explain(&self) -> (ExitCode, Option<String>) {
        match self {
            TransformError::UnknownEndpoint { .. } => hint(
                Usage,
                "add the endpoint to the contracts that --schemas names",
            ),
            TransformError::Raw(error) => error.explain(),
            TransformError::Arrow(_)
            | TransformError::Unaccounted { .. }
            | TransformError::Lost { .. } => (Internal, None),
        }
    }
}

impl Explain for SameName {
    fn explain(&self) -> (ExitCode, Option<String>) {
        hint(
            Usage,
            "name the columns in the SQL, and give one of them another name with `as`",
        )
    }
}

impl Explain for WorkbookError {
    fn explain(&self) -> (ExitCode, Option<String>) {
        match self {
            WorkbookError::Rows => hint(
                Usage,
                "return fewer rows, such as with `limit`, or write a .csv or .parquet file",
            ),
            WorkbookError::Columns(_) => hint(
                Usage,
                "select fewer columns, or write a .csv or .parquet file",
            ),
            WorkbookError::Text { column, .. } => hint(
                Usage,
                format!(
                    "cut it in the SQL, such as with left({column}, 10000), or write a .csv or \
                     .parquet file"
                ),
            ),
        }
    }
}

impl Explain for QueryError {
    fn explain(&self) -> (ExitCode, Option<String>) {
        match self {
            QueryError::NoValue(name) => hint(Usage, format!("give it with --param {name}=VALUE")),
            QueryError::UnusedParameter(name) => hint(
                Usage,
                format!(
                    "write ${name} where its value belongs, and put the SQL in single quotes for \
                     the shell"
                ),
            ),
            // DuckDB's message for a file that `Database::confine` blocks.
            QueryError::Sql(error) if error.to_string().contains("Permission Error") => hint(
                Usage,
                "a query reads tables and marts only; --allow-files lets it read and write other \
                 files",
            ),
            QueryError::View { view, .. } => hint(
                Usage,
                format!("correct views/{view}.yaml in the folder of contracts, or remove the file"),
            ),
            QueryError::Sql(_) | QueryError::NotSelect(_) | QueryError::Cancelled => (Usage, None),
            QueryError::Rows { .. } | QueryError::Io { .. } => (Internal, None),
        }
    }
}

impl Explain for ReportError {
    fn explain(&self) -> (ExitCode, Option<String>) {
        let known = |name: &str, known: &[String]| {
            if known.is_empty() {
                return "run a pipeline into the lake first".to_owned();
            }
            let near = nearest(name, known.iter().map(String::as_str));
            near.map_or(format!("it has {}", known.join(", ")), |near| {
                format!("did you mean `{near}`?")
            })
        };
        match self {
            ReportError::UnknownPipeline { name, known: names }
            | ReportError::UnknownKeyword { name, known: names } => hint(Usage, known(name, names)),
            ReportError::Query(error) => error.explain(),
            ReportError::Chart(_) | ReportError::Page(_) => (Internal, None),
        }
    }
}

impl Explain for MartsError {
    fn explain(&self) -> (ExitCode, Option<String>) {
        match self {
            MartsError::Lake(error) => error.explain(),
            MartsError::Failed(_) => hint(
                Internal,
                "fix the cause, such as the mart's file in the folder that --schemas names, and run \
                 `redlake marts` again; the tables and the other marts are complete",
            ),
            MartsError::Open(_) => (Internal, None),
        }
    }

    fn into_diagnostics(self) -> Result<Diagnostics, Self> {
        match self {
            MartsError::Lake(error) => error.into_diagnostics().map_err(MartsError::Lake),
            error => Err(error),
        }
    }
}

impl Explain for EnvFileError {
    fn explain(&self) -> (ExitCode, Option<String>) {
        hint(
            Usage,
            "save it as a UTF-8 text with one NAME=VALUE a line, or remove it",
        )
    }
}

impl Explain for io::Error {
    fn explain(&self) -> (ExitCode, Option<String>) {
        (Internal, None)
    }
}
