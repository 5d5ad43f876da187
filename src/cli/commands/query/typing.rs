//! Help while SQL is typed: lines up to the `;`, and names with the Tab key.

use std::collections::BTreeSet;

use indexmap::IndexMap;
use rustyline::completion::Completer;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Helper};

use crate::query::views::derived;
use crate::spec::table::Table;

/// Names that the Tab key completes.
pub(super) struct Typing {
    names: BTreeSet<String>,
}

impl Typing {
    /// Returns the names of tables, views and columns, and the commands of the prompt.
    pub(super) fn new(tables: &IndexMap<String, Table>, commands: &[&str]) -> Self {
        let mut names: BTreeSet<String> = commands.iter().map(|name| (*name).to_owned()).collect();
        for table in tables.values() {
            names.insert(table.name().to_owned());
            names.extend(table.shown_columns().map(|(name, _)| name.clone()));
            for view in derived(table) {
                names.extend(view.columns.keys().cloned());
                names.insert(view.name);
            }
        }
        Typing { names }
    }
}

impl Validator for Typing {
    fn validate(&self, typed: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        Ok(if is_complete(typed.input()) {
            ValidationResult::Valid(None)
        } else {
            ValidationResult::Incomplete
        })
    }
}

impl Completer for Typing {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        at: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        let typed = &line[..at];
        let is_of_word = |c: char| c.is_alphanumeric() || c == '_';
        let word = typed.trim_end_matches(is_of_word);
        // The first dot of a line begins a command.
        let start = if word == "." { 0 } else { word.len() };
        let begun = typed[start..].to_lowercase();
        let names = self.names.iter().filter(|name| name.starts_with(&begun));
        Ok((start, names.cloned().collect()))
    }
}

impl Hinter for Typing {
    type Hint = String;
}

impl Highlighter for Typing {}

impl Helper for Typing {}

/// Returns true if a text can run: a command, nothing, or SQL that ends with `;` outside of quotes and
/// comments.
fn is_complete(text: &str) -> bool {
    let text = text.trim();
    text.is_empty() || is_command(text) || last_sign(text) == Some(';')
}

/// Returns true if a text is a command of the prompt: it begins with a dot, or it is one that other
/// prompts write without.
pub(super) fn is_command(text: &str) -> bool {
    let bare = text.trim_end_matches(';').trim();
    text.starts_with('.') || matches!(bare, "quit" | "exit" | "help" | "\\q")
}

/// Returns the last character of SQL that is not white space or a comment. An open quote is `None`.
fn last_sign(sql: &str) -> Option<char> {
    let mut last = None;
    let mut rest = sql;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        let dollar = || dollar_quote(rest);
        rest = if rest.starts_with("--") {
            after.split_once('\n').map_or("", |(_, rest)| rest)
        } else if let Some(comment) = rest.strip_prefix("/*") {
            comment.split_once("*/")?.1
        } else if c == '\'' || c == '"' {
            last = Some(c);
            after.split_once(c)?.1
        } else if let Some(quote) = dollar() {
            last = Some(c);
            rest[quote.len()..].split_once(quote)?.1
        } else {
            last = if c.is_whitespace() { last } else { Some(c) };
            after
        };
    }
    last
}

/// Returns the quote `$$` or `$name$` at the beginning of a text.
fn dollar_quote(text: &str) -> Option<&str> {
    let (name, _) = text.strip_prefix('$')?.split_once('$')?;
    let is_name = name.chars().all(|c| c.is_alphanumeric() || c == '_');
    is_name.then(|| &text[..name.len() + 2])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sql_ends_with_a_semicolon_outside_of_quotes_and_comments() {
        for text in [
            "",
            ".tables",
            "quit",
            "exit;",
            "select 1;",
            "select 1; -- the first\n",
            "select ';' as a, 'it''s' as \"b;\" /* ; */ ;\n",
            "select $$;'$$ ; ",
            "select $q$ ; $q$;",
            "select $least::bigint;",
        ] {
            assert!(is_complete(text), "{text}");
        }
        for text in [
            "select 1",
            "select ';",
            "select 1; select 2",
            "select 1 -- ;",
            "select 1 /* ;",
            "select \"a;",
            "select $$ ;",
            "select '防晒",
        ] {
            assert!(!is_complete(text), "{text}");
        }
    }

    #[test]
    fn names_are_completed() {
        let names = [".tables", ".timezone", "note_id", "notes"].map(str::to_owned);
        let typing = Typing {
            names: names.into(),
        };
        let history = rustyline::history::DefaultHistory::new();
        let completed = |line: &str| {
            let (at, names) = typing
                .complete(line, line.len(), &Context::new(&history))
                .expect("names");
            (at, names.join(" "))
        };
        assert_eq!(completed(".t"), (0, ".tables .timezone".to_owned()));
        assert_eq!(completed("select n.NOTE_"), (9, "note_id".to_owned()));
        assert_eq!(
            completed("from 防晒, note"),
            (13, "note_id notes".to_owned())
        );
    }
}
