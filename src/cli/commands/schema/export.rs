//! `redlake schema export`.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::commands::init::write_new;
use crate::cli::error::CliError;
use crate::cli::exit_code::ExitCode;
use crate::cli::output::print::print_text;
use crate::spec::contracts::embedded;

#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Folder to write to; it must be empty or missing
    dir: PathBuf,
}

pub fn main(args: &ExportArgs) -> Result<ExitCode, CliError> {
    let dir = &args.dir;
    let is_used = std::fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some());
    if is_used {
        return Err(CliError::usage(
            format!("the folder {} is not empty", dir.display()),
            "nothing was written; give another folder, or empty it",
        ));
    }
    let files = embedded();
    for (path, file) in &files {
        write_new(&dir.join(path), file.text())?;
    }
    print_text(&next(dir, files.len()))?;
    Ok(ExitCode::Complete)
}

fn next(dir: &Path, files: usize) -> String {
    let dir = dir.display();
    format!(
        "wrote {files} contracts to {dir}\n\nNext:\n  write `schemas: {dir}` into a pipeline, relative \
         to its file, and set REDLAKE_SCHEMAS for the commands without a pipeline\n"
    )
}
