//! `redlake completions`.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::cli::error::CliError;
use crate::cli::exit_code::ExitCode;
use crate::cli::output::print::print_as_is;

#[derive(Debug, Args)]
pub struct CompletionsArgs {
    shell: Shell,
}

pub fn main(args: &CompletionsArgs) -> Result<ExitCode, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(
        args.shell,
        &mut crate::cli::Cli::command(),
        "redlake",
        &mut script,
    );
    print_as_is(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::Complete)
}
