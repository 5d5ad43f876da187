//! The exit codes and hints of exports.

use super::explain::{Explain, MAKE_ROOM, hint};
use crate::cli::exit_code::ExitCode::{self, Internal, Usage};
use crate::maintenance::export::ExportError;
use crate::query::duckdb::QueryError;
use crate::spec::yaml::diagnostic::Diagnostics;

impl Explain for ExportError {
    fn explain(&self) -> (ExitCode, Option<String>) {
        match self {
            ExportError::InsideLake { .. } => hint(
                Usage,
                "give a file in another folder; redlake owns all in the lake's",
            ),
            ExportError::NoFolder(folder) => {
                hint(Usage, format!("create it: mkdir -p {}", folder.display()))
            }
            ExportError::IsFolder(_) => hint(Usage, "give the name of a file"),
            ExportError::NoExport { .. } | ExportError::Foreign { .. } => hint(
                Usage,
                "nothing was written; give another name, or add --force to replace the file with all \
                 that is in it",
            ),
            ExportError::UnknownTable { near, .. } => hint(
                Usage,
                near.as_ref().map_or_else(
                    || "see `redlake schema list`".to_owned(),
                    |near| format!("did you mean `{near}`?"),
                ),
            ),
            ExportError::IsView { reads, .. } => hint(
                Usage,
                format!(
                    "name the tables that it reads, and the file has the view, too: --tables-only {}",
                    reads.join(",")
                ),
            ),
            ExportError::RelativeRoot(_) => hint(
                Usage,
                "write it as the readers see it, such as /mnt/lake or s3://bucket/lake",
            ),
            ExportError::Unreadable { .. } => hint(
                Usage,
                "or leave the table out: --tables-only with the others",
            ),
            ExportError::Query(error) if error.is_of_full_disk() => hint(Internal, MAKE_ROOM),
            ExportError::Query(error @ QueryError::View { .. }) => error.explain(),
            // The SQL is redlake's own.
            ExportError::Query(_) => (Internal, None),
            ExportError::Run(error) => error.explain(),
        }
    }

    fn into_diagnostics(self) -> Result<Diagnostics, Self> {
        match self {
            ExportError::Run(error) => error.into_diagnostics().map_err(ExportError::Run),
            error => Err(error),
        }
    }
}
