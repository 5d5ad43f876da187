//! The prompt of `redlake query`: runs SQL that is typed on a terminal.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use chrono_tz::Tz;
use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::{Config, Editor};

use super::statement::Queries;
use super::typing::{Typing, is_command};
use super::zone;
use crate::cli::commands::schema::{columns_in_words, list_in_words};
use crate::cli::environment::variable;
use crate::cli::error::CliError;
use crate::cli::exit_code::ExitCode;
use crate::cli::output::print::print_text;
use crate::cli::output::stderr::{LogLevel, Notice};
use crate::cli::signals::on_interrupt;

const PROMPT: &str = "redlake> ";

const HELP: &str = "\
SELECT …;          run SQL; it may have several lines and ends with `;`
.tables            list tables, marts and views
.schema [TABLE]    show the columns of a table
.timezone [ZONE]   show or set the time zone, such as Asia/Shanghai
.expanded on|off   print each value on a line of its own
.help              show this help
.quit              end, as Ctrl-D does
The Tab key completes names. Ctrl-C drops the line, or cancels the statement that runs.
Each `;` opens the lake anew: it shows new commits, and temporary tables are gone.
";

/// Reads SQL and commands until the end of the input, and runs each. An error of one is printed, and the
/// next is read.
///
/// # Errors
/// The terminal cannot be read.
pub(super) fn read_and_run(
    mut queries: Queries,
    parameters: &BTreeMap<String, String>,
) -> Result<(), CliError> {
    let running = Arc::clone(&queries.running);
    let _caught = on_interrupt(move || running.cancel())
        .context("cannot catch Ctrl-C")
        .map_err(internal)?;
    let mut typed = TypedLines::new(&queries)?;
    greet(&queries);
    loop {
        // From here on a Ctrl-C cancels what is typed now.
        queries.running.reset();
        let Some(text) = typed.next()? else {
            return Ok(());
        };
        let text = text.trim();
        let done = if is_command(text) {
            PromptCommand::parse(text).and_then(|command| command.run(&mut queries))
        } else if text.trim_matches(';').trim().is_empty() {
            Ok(Next::Read)
        } else {
            let ran = queries.run(text, &parameters_in(text, parameters));
            ran.map(|()| Next::Read)
        };
        match done {
            Ok(Next::Read) => {}
            Ok(Next::Quit) => return Ok(()),
            Err(error) => error.print(),
        }
    }
}

/// Returns the parameters that a statement names. Those of the command line are for all statements.
fn parameters_in(sql: &str, parameters: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let is_named = |name: &str| {
        let mut rests = sql
            .split('$')
            .skip(1)
            .filter_map(|rest| rest.strip_prefix(name));
        rests.any(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
    };
    let named = parameters.iter().filter(|(name, _)| is_named(name));
    named
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

fn greet(queries: &Queries) {
    let lake = queries.lake.root().display();
    let zone = queries.zone;
    let text = format!("lake {lake}, times in {zone}. End SQL with `;`. .help lists the commands");
    Notice::new(LogLevel::Info, text).print_as(|text| text.to_owned());
}

fn internal(error: anyhow::Error) -> CliError {
    CliError::new(ExitCode::Internal, error, None)
}

/// The step after a command.
enum Next {
    Read,
    Quit,
}

/// A command of the prompt.
#[derive(Debug, PartialEq, Eq)]
enum PromptCommand {
    Tables,
    Schema(Option<String>),
    TimeZone(Option<Tz>),
    Expanded(bool),
    Help,
    Quit,
}

impl PromptCommand {
    const NAMES: [&'static str; 6] = [
        ".expanded",
        ".help",
        ".quit",
        ".schema",
        ".tables",
        ".timezone",
    ];

    fn parse(text: &str) -> Result<Self, CliError> {
        let words = text.trim_end_matches(';').split_whitespace();
        let words: Vec<&str> = words.collect();
        const EXAMPLE: &str = "for example: .timezone Asia/Shanghai";
        let zone = |text: &str| {
            let wrong = |why| CliError::usage(format!("`{text}` is {why}"), EXAMPLE);
            zone::parse(text).map_err(wrong)
        };
        Ok(match words.as_slice() {
            [".tables"] => PromptCommand::Tables,
            [".schema"] => PromptCommand::Schema(None),
            [".schema", name] => PromptCommand::Schema(Some((*name).to_owned())),
            [".timezone"] => PromptCommand::TimeZone(None),
            [".timezone", text] => PromptCommand::TimeZone(Some(zone(text)?)),
            [".expanded", "on"] => PromptCommand::Expanded(true),
            [".expanded", "off"] => PromptCommand::Expanded(false),
            [".help" | "help"] => PromptCommand::Help,
            [".quit" | ".exit" | "quit" | "exit" | "\\q"] => PromptCommand::Quit,
            _ => {
                let message = format!("unknown command: {text}");
                return Err(CliError::usage(message, ".help lists the commands"));
            }
        })
    }

    fn run(self, queries: &mut Queries) -> Result<Next, CliError> {
        let text = match self {
            PromptCommand::Tables | PromptCommand::Schema(None) => {
                list_in_words(&queries.relations())
            }
            PromptCommand::Schema(Some(name)) => columns_in_words(&name, &queries.relations())?,
            PromptCommand::TimeZone(zone) => {
                queries.zone = zone.unwrap_or(queries.zone);
                format!("times are in {}\n", queries.zone)
            }
            PromptCommand::Expanded(is_on) => {
                queries.form.is_expanded = is_on;
                String::new()
            }
            PromptCommand::Help => HELP.to_owned(),
            PromptCommand::Quit => return Ok(Next::Quit),
        };
        print_text(&text)?;
        Ok(Next::Read)
    }
}

/// Texts that are typed, with their history.
struct TypedLines {
    editor: Editor<Typing, DefaultHistory>,
    /// File of the history. `None` if there is no place for it, or it cannot be written.
    history: Option<PathBuf>,
}

impl TypedLines {
    fn new(queries: &Queries) -> Result<Self, CliError> {
        let config = Config::builder()
            .auto_add_history(true)
            .history_ignore_space(true)
            .completion_type(rustyline::CompletionType::List)
            .build();
        let editor = Editor::with_config(config).context("cannot use this terminal");
        let mut editor = editor.map_err(internal)?;
        let tables = queries.relations();
        editor.set_helper(Some(Typing::new(&tables, &PromptCommand::NAMES)));
        let history = history_file();
        if let Some(path) = &history {
            // The first prompt has no history yet.
            let _ = editor.load_history(path);
        }
        Ok(TypedLines { editor, history })
    }

    /// Returns the next text, `None` at the end.
    fn next(&mut self) -> Result<Option<String>, CliError> {
        loop {
            match self.editor.readline(PROMPT) {
                Ok(text) => {
                    self.keep();
                    return Ok(Some(text));
                }
                Err(ReadlineError::Eof) => return Ok(None),
                Err(ReadlineError::Interrupted) => {}
                Err(ReadlineError::Io(error)) if error.kind() == io::ErrorKind::InvalidData => {
                    tracing::warn!(
                        "the line is not UTF-8 and is dropped; set the terminal to UTF-8"
                    );
                }
                Err(error) => {
                    let error = anyhow::Error::new(error).context("cannot read the terminal");
                    return Err(internal(error));
                }
            }
        }
    }

    /// Saves the last text in the file of the history.
    fn keep(&mut self) {
        let Some(path) = &self.history else { return };
        let folder = path.parent().map_or(Ok(()), create_private);
        let kept = folder.map_err(ReadlineError::from);
        if let Err(error) = kept.and_then(|()| self.editor.append_history(path)) {
            tracing::warn!("the history cannot be kept in {}: {error}", path.display());
            self.history = None;
        }
    }
}

/// Creates a folder, and those above it, for this account alone.
fn create_private(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    builder.create(folder)
}

/// Returns the file of the history, in the folder for the state of programs.
fn history_file() -> Option<PathBuf> {
    let folder = |name| {
        variable(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let state = folder("XDG_STATE_HOME");
    let state = state.or_else(|| Some(folder("HOME")?.join(".local/state")));
    Some(state?.join("redlake").join("history"))
}
