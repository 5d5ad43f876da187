//! `${NAME}` in the scalars of a pipeline.
//!
//! Names are replaced in parsed values, never in YAML text, so that a value cannot change the
//! structure of the file; comments are not looked at.

use std::cell::RefCell;

use secrecy::{ExposeSecret, SecretString};

use super::diagnostic::{Diagnostic, SourceFile};
use super::yaml::{Kind, Node};

/// Replaces every `${NAME}` below `node`; `$${` stands for a literal `${`.
pub fn substitute(
    node: &mut Node,
    file: &SourceFile,
    lookup: &dyn Fn(&str) -> Option<String>,
    found: &mut Vec<Diagnostic>,
) {
    match &mut node.kind {
        Kind::String(text) if text.contains("${") => match expand(text, lookup) {
            Ok(expanded) => *text = expanded,
            Err(problem) => {
                let (message, hint) = match problem {
                    Problem::Missing(name) => (
                        format!("the environment variable `{name}` is not set"),
                        format!("set it before the run, for example: export {name}=…"),
                    ),
                    Problem::Unclosed => (
                        "`${` has no closing `}`".to_owned(),
                        "write ${NAME}, or $${ for the characters themselves".to_owned(),
                    ),
                };
                found.push(Diagnostic::error(file, Some(node.span.clone()), message).hint(hint));
            }
        },
        Kind::Seq(items) => {
            items
                .iter_mut()
                .for_each(|item| substitute(item, file, lookup, found));
        }
        Kind::Map(entries) => {
            entries
                .iter_mut()
                .for_each(|(_, value)| substitute(value, file, lookup, found));
        }
        _ => {}
    }
}

/// The variables that a file names and what they hold, which no message repeats: it may be a
/// secret that was put into a wrong place.
#[derive(Clone, Debug, Default)]
pub struct Variables(RefCell<Vec<(String, SecretString)>>);

impl Variables {
    /// Looks a variable up, and remembers it.
    pub fn look_up(&self, name: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Option<String> {
        let value = lookup(name)?;
        let held = SecretString::from(value.as_str());
        self.0.borrow_mut().push((name.to_owned(), held));
        Some(value)
    }

    /// In messages about a value that names variables, puts the names for what they hold.
    pub fn hide(&self, found: &mut [Diagnostic]) {
        for diagnostic in found {
            let text = diagnostic.file.text();
            let written = diagnostic.span.clone().and_then(|span| text.get(span));
            let written = written.unwrap_or_default().to_owned();
            for (name, held) in self.0.borrow().iter() {
                let (name, held) = (format!("${{{name}}}"), held.expose_secret());
                if !held.is_empty() && written.contains(&name) {
                    let quoted = held.escape_debug().to_string();
                    let message = diagnostic.message.replace(held, &name);
                    diagnostic.message = message.replace(&quoted, &name);
                }
            }
        }
    }
}

enum Problem {
    Missing(String),
    Unclosed,
}

fn expand(text: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Result<String, Problem> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        if let Some(before) = rest[..at].strip_suffix('$') {
            out.push_str(before);
            out.push_str("${");
            rest = &rest[at + 2..];
            continue;
        }
        out.push_str(&rest[..at]);
        let (name, after) = rest[at + 2..].split_once('}').ok_or(Problem::Unclosed)?;
        out.push_str(&lookup(name).ok_or_else(|| Problem::Missing(name.to_owned()))?);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}
