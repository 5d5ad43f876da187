//! `redlake man`.

use std::path::PathBuf;

use clap::{Args, CommandFactory};

use crate::cli::error::CliError;
use crate::cli::exit_code::ExitCode;
use crate::cli::output::print::print_text;

#[derive(Debug, Args)]
pub struct ManArgs {
    /// Folder for the pages, such as /usr/local/share/man/man1
    dir: PathBuf,
}

pub fn main(args: &ManArgs) -> Result<ExitCode, CliError> {
    let cannot = |action: &str, error: std::io::Error| {
        let error =
            anyhow::Error::new(error).context(format!("cannot {action} {}", args.dir.display()));
        CliError::new(
            ExitCode::Usage,
            error,
            Some("name a folder that is writable".into()),
        )
    };
    std::fs::create_dir_all(&args.dir).map_err(|e| cannot("create the folder", e))?;
    clap_mangen::generate_to(crate::cli::Cli::command(), &args.dir)
        .map_err(|e| cannot("write to", e))?;
    print_text(&format!("man pages written to {}\n", args.dir.display()))?;
    Ok(ExitCode::Complete)
}
