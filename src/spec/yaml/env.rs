//! Substitutes `${NAME}` in the scalars of a pipeline.
//!
//! Names are replaced in parsed values, never in YAML text. So a value cannot change the structure
//! of the file, and names in comments are ignored.

use std::cell::RefCell;
use std::ops::Range;

use secrecy::{ExposeSecret, SecretString};

use crate::spec::yaml::diagnostic::{Diagnostic, SourceFile};
use crate::spec::yaml::node::{Node, NodeKind, is_null};

/// Replaces every `${NAME}` below `node`. `$${` stands for a literal `${`. Adds a diagnostic to
/// `found` for a missing variable and for an unclosed `${`.
pub fn substitute(
    node: &mut Node,
    file: &SourceFile,
    lookup: &dyn Fn(&str) -> Option<String>,
    found: &mut Vec<Diagnostic>,
) {
    match &mut node.kind {
        NodeKind::Plain(text) | NodeKind::Quoted(text) if text.contains("${") => {
            match expand(text, lookup) {
                // The value of a variable is never null, even if it looks like a null.
                Ok(expanded) if is_null(&expanded) => node.kind = NodeKind::Quoted(expanded),
                Ok(expanded) => *text = expanded,
                Err(problem) => {
                    let (message, hint) = match problem {
                        Problem::Missing(name) => (
                            format!("the environment variable `{name}` is not set"),
                            format!("set it before the run, for example: export {name}=…"),
                        ),
                        Problem::NoName => (
                            "`${…}` does not hold the name of a variable".to_owned(),
                            "write ${NAME}, with letters, digits and _; there are no default values"
                                .to_owned(),
                        ),
                        Problem::Unclosed => (
                            "`${` has no closing `}`".to_owned(),
                            "write ${NAME}, or $${ for the characters themselves".to_owned(),
                        ),
                    };
                    found
                        .push(Diagnostic::error(file, Some(node.span.clone()), message).hint(hint));
                }
            }
        }
        NodeKind::Seq(items) => {
            items
                .iter_mut()
                .for_each(|item| substitute(item, file, lookup, found));
        }
        NodeKind::Map(entries) => {
            entries
                .iter_mut()
                .for_each(|(_, value)| substitute(value, file, lookup, found));
        }
        _ => {}
    }
}

/// The variables that a file names, with their values. No message repeats a value: it may be a
/// secret in a wrong place.
#[derive(Clone, Debug, Default)]
pub struct Variables(RefCell<Vec<(String, SecretString)>>);

/// Use of a variable in a scalar.
#[derive(Clone, Debug, PartialEq)]
pub struct VariableUse {
    pub name: String,
    /// The keys above the scalar, from the outermost.
    pub keys: Vec<String>,
    /// The scalar's byte range in the file.
    pub span: Range<usize>,
}

/// Returns the uses of variables in a file, before they are replaced.
pub fn uses(node: &Node) -> Vec<VariableUse> {
    let mut found = Vec::new();
    collect_uses(node, &mut Vec::new(), &mut found);
    found
}

fn collect_uses(node: &Node, keys: &mut Vec<String>, found: &mut Vec<VariableUse>) {
    match &node.kind {
        NodeKind::Plain(text) | NodeKind::Quoted(text) => {
            let names = RefCell::new(Vec::new());
            let note = |name: &str| {
                names.borrow_mut().push(name.to_owned());
                Some(String::new())
            };
            // `substitute` reports the mistakes.
            let _ = expand(text, &note);
            found.extend(names.into_inner().into_iter().map(|name| VariableUse {
                name,
                keys: keys.clone(),
                span: node.span.clone(),
            }));
        }
        NodeKind::Seq(items) => items
            .iter()
            .for_each(|item| collect_uses(item, keys, found)),
        NodeKind::Map(entries) => {
            for (key, value) in entries {
                keys.push(key.text().unwrap_or_default().to_owned());
                collect_uses(value, keys, found);
                keys.pop();
            }
        }
    }
}

impl Variables {
    /// Looks up a variable and records its value.
    pub fn look_up(&self, name: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Option<String> {
        let value = lookup(name)?;
        let held = SecretString::from(value.as_str());
        self.0.borrow_mut().push((name.to_owned(), held));
        Some(value)
    }

    /// Replaces the values of variables by their names, in the messages and hints of diagnostics
    /// whose place names these variables.
    pub fn hide(&self, found: &mut [Diagnostic]) {
        for diagnostic in found {
            let text = diagnostic.file.text();
            let written = diagnostic.span.clone().and_then(|span| text.get(span));
            let written = written.unwrap_or_default().to_owned();
            for (name, held) in self.0.borrow().iter() {
                let (name, held) = (format!("${{{name}}}"), held.expose_secret());
                if !held.is_empty() && written.contains(&name) {
                    diagnostic.message = hidden(&diagnostic.message, held, &name);
                    let hint = diagnostic.hint.take();
                    diagnostic.hint = hint.map(|hint| hidden(&hint, held, &name));
                }
            }
        }
    }
}

/// Replaces a value by its name in a message. A long value, or one with a quote, is replaced
/// everywhere. Any other value may be an ordinary word, and is replaced in quoted parts only.
fn hidden(message: &str, value: &str, name: &str) -> String {
    let escaped = value.escape_debug().to_string();
    let hide = |text: &str| text.replace(value, name).replace(&escaped, name);
    if value.chars().count() >= NO_WORD || value.contains(QUOTES) {
        return hide(message);
    }
    let mut quote = None;
    let parts = message.split_inclusive(QUOTES).map(|part| {
        let is_quoted = quote.is_some();
        let end = part.chars().next_back().filter(|c| QUOTES.contains(c));
        if let Some(end) = end {
            quote = if quote == Some(end) {
                None
            } else {
                quote.or(Some(end))
            };
        }
        if is_quoted {
            hide(part)
        } else {
            part.to_owned()
        }
    });
    parts.collect()
}

/// Quotes that messages put around values.
const QUOTES: [char; 2] = ['`', '"'];

/// Length in characters from which a value cannot be an ordinary word of a message.
const NO_WORD: usize = 12;

enum Problem {
    Missing(String),
    /// The braces hold something else than a name. It is not repeated: it may hold a secret.
    NoName,
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
        let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !is_name || name.is_empty() {
            return Err(Problem::NoName);
        }
        out.push_str(&lookup(name).ok_or_else(|| Problem::Missing(name.to_owned()))?);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}
