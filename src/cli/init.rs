//! `redlake init`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::error::{CliError, USAGE};
use super::output::print_text;

/// A commented pipeline on the sandbox; the repository's own demo.
const TEMPLATE: &str = include_str!("../../pipelines/demo.yaml");

#[derive(Debug, Args)]
pub struct InitArgs {
    /// Folder to write pipelines/demo.yaml in
    #[arg(default_value = ".")]
    dir: PathBuf,
}

pub fn main(args: &InitArgs) -> Result<ExitCode, CliError> {
    let path = args.dir.join("pipelines").join("demo.yaml");
    if path.exists() {
        let hint = "remove it, or name another folder";
        return Err(CliError::usage(
            format!("{} is already there", path.display()),
            hint,
        ));
    }
    let write = || {
        std::fs::create_dir_all(args.dir.join("pipelines"))?;
        std::fs::write(&path, TEMPLATE)
    };
    write().map_err(|e: std::io::Error| {
        let error = anyhow::anyhow!("cannot write {}: {e}", path.display());
        CliError::new(USAGE, error, Some("name a folder that is writable".into()))
    })?;
    print_text(&format!(
        "wrote {0}\n\nNext:\n  redlake run {0}\n",
        path.display()
    ))?;
    Ok(ExitCode::SUCCESS)
}
