//! Shows long texts with a pager.

use std::io::{self, IsTerminal, Write};
use std::process::{Command, Stdio};

use crate::cli::environment::variable;
use crate::cli::error::CliError;
use crate::cli::output::print::print_as_is;
use crate::cli::signals::on_interrupt;

/// Pager of a system without a setting. Its flags chop long lines, keep colours, end with a short text,
/// and leave the text on the screen.
const DEFAULT: &str = "less -SRFX";

/// Exit code of a shell that does not find a command.
const NOT_FOUND: i32 = 127;

/// Prints a text. If it is longer than the screen, it goes through the pager that the environment
/// names, unless stdin or stdout is no terminal.
///
/// # Errors
/// stdout cannot be written. A pager that is missing or ends early is no error.
pub fn print_paged(text: &str) -> Result<(), CliError> {
    let pager = pager().filter(|_| is_longer_than_screen(text));
    match pager {
        Some(pager) if has_shown(&pager, text) => Ok(()),
        Some(_) | None => print_as_is(text),
    }
}

fn is_longer_than_screen(text: &str) -> bool {
    let Some((_, height)) = terminal_size::terminal_size_of(io::stdout()) else {
        return false;
    };
    // The line below the text belongs to the prompt of the shell.
    io::stdin().is_terminal() && text.lines().count() >= usize::from(height.0)
}

/// Returns the command of the pager. An empty variable turns it off.
fn pager() -> Option<String> {
    let named = variable("REDLAKE_PAGER").or_else(|| variable("PAGER"));
    let pager = named.unwrap_or_else(|| DEFAULT.to_owned());
    (!pager.trim().is_empty()).then_some(pager)
}

/// Runs the pager with a text as input. Returns false if there is no such pager.
fn has_shown(pager: &str, text: &str) -> bool {
    let (shell, flag) = if cfg!(windows) {
        ("cmd", "/C")
    } else {
        ("sh", "-c")
    };
    let mut command = Command::new(shell);
    command.args([flag, pager]).stdin(Stdio::piped());
    if variable("LESSCHARSET").is_none() {
        command.env("LESSCHARSET", "utf-8");
    }
    // Ctrl-C is for the pager, which goes on.
    let _caught = on_interrupt(|| {});
    let Ok(mut child) = command.spawn() else {
        return false;
    };
    if let Some(mut input) = child.stdin.take() {
        // The pager may end before it has read all.
        let _ = input.write_all(text.as_bytes());
    }
    let status = child.wait();
    status.is_ok_and(|status| status.code() != Some(NOT_FOUND))
}
