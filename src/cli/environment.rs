//! Environment variables of a command: those of the process, and those in the file `.env` beside
//! the pipeline.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};

use crate::spec::yaml::text_file::{read_text, reason};

/// Name of the file beside a pipeline.
pub const FILE: &str = ".env";

/// Returns a variable of the process. `None` if it is not set or not UTF-8.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Variables by name. The process's own win over those of the file, also if they are empty.
#[derive(Debug, Default)]
pub struct Environment {
    path: PathBuf,
    file: BTreeMap<String, Assigned>,
    /// Names whose unusable values were warned of.
    warned: RefCell<BTreeSet<String>>,
}

/// The value of a variable in the file.
#[derive(Debug)]
enum Assigned {
    Value(SecretString),
    /// The line that has no usable value. Its text is not kept: it may be a secret.
    Unusable {
        line: usize,
    },
}

/// A `.env` file that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {}: {reason}", path.display())]
pub struct EnvFileError {
    path: PathBuf,
    reason: String,
}

impl Environment {
    /// Reads the file `.env` beside a pipeline, if there is one. Logs a warning if other accounts
    /// can read it.
    ///
    /// # Errors
    /// The file is not UTF-8, or an I/O error occurs.
    pub fn beside(pipeline: &Path) -> Result<Self, EnvFileError> {
        let path = pipeline.with_file_name(FILE);
        if path.is_dir() {
            // Some tools keep a virtual environment there.
            return Ok(Environment::default());
        }
        let text = match read_text(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Environment::default()),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                let path = path.display();
                tracing::warn!("this account cannot read {path}: its variables are not used");
                return Ok(Environment::default());
            }
            Err(error) => {
                let reason = reason(&error);
                return Err(EnvFileError { path, reason });
            }
        };
        warn_of_readers(&path);
        Ok(Environment {
            file: assignments(&text),
            path,
            warned: RefCell::default(),
        })
    }

    /// Returns the value of a variable. `HOME` is always that of the process. Logs a warning if the
    /// file has no usable value for it.
    pub fn get(&self, name: &str) -> Option<String> {
        variable(name).or_else(|| match self.file.get(name)? {
            _ if name == "HOME" => None,
            Assigned::Value(value) => Some(value.expose_secret().to_owned()),
            Assigned::Unusable { line } => {
                self.warn_of_value(name, *line);
                None
            }
        })
    }

    /// Returns true if a variable is set in the process, and not in the file.
    pub fn is_of_process(&self, name: &str) -> bool {
        variable(name).is_some() && !self.file.contains_key(name) && name != "HOME"
    }

    fn warn_of_value(&self, name: &str, line: usize) {
        if self.warned.borrow_mut().insert(name.to_owned()) {
            let path = self.path.display();
            tracing::warn!(
                "{path}:{line}: the value of {name} cannot be used; put it in single quotes, on one line"
            );
        }
    }
}

/// Returns the variables of a `.env` file by name. Only lines with an assignment count. A `$` outside
/// single quotes makes a value unusable: it would be expanded, and a part of a token would be lost.
fn assignments(text: &str) -> BTreeMap<String, Assigned> {
    let mut variables = BTreeMap::new();
    for (at, line) in text.lines().enumerate() {
        let Some((name, value)) = line.split_once('=') else {
            continue;
        };
        let name = name.trim();
        let name = name.strip_prefix("export ").unwrap_or(name).trim();
        if name.starts_with('#') {
            continue;
        }
        let is_literal = !value.contains('$') || value.trim_start().starts_with('\'');
        let parsed = dotenvy::from_read_iter(line.as_bytes()).next();
        let assigned = match parsed {
            Some(Ok((_, value))) if is_literal => Assigned::Value(SecretString::from(value)),
            Some(_) | None => Assigned::Unusable { line: at + 1 },
        };
        variables.insert(name.to_owned(), assigned);
    }
    variables
}

#[cfg(unix)]
fn warn_of_readers(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(path).map(|file| file.permissions().mode());
    if mode.is_ok_and(|mode| mode & 0o077 != 0) {
        let path = path.display();
        tracing::warn!(
            "other accounts can read {path}, which holds secrets; run: chmod 600 '{path}'"
        );
    }
}

#[cfg(not(unix))]
fn warn_of_readers(_: &Path) {}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(String, Result<String, usize>)> {
        let read = |assigned| match assigned {
            Assigned::Value(value) => Ok(value.expose_secret().to_owned()),
            Assigned::Unusable { line } => Err(line),
        };
        let variables = assignments(text).into_iter();
        variables
            .map(|(name, assigned)| (name, read(assigned)))
            .collect()
    }

    fn value(name: &str, value: &str) -> (String, Result<String, usize>) {
        (name.to_owned(), Ok(value.to_owned()))
    }

    fn unusable(name: &str, line: usize) -> (String, Result<String, usize>) {
        (name.to_owned(), Err(line))
    }

    #[test]
    fn assignments_may_have_quotes_comments_and_export() {
        let text = "# tokens\n\nexport A=one # comment\nB='two $x'\nC=\"three\"\r\nD=\n#E=5\n";
        let expected = [
            value("A", "one"),
            value("B", "two $x"),
            value("C", "three"),
            value("D", ""),
        ];
        assert_eq!(read(text), expected);
    }

    #[test]
    fn a_value_that_would_be_cut_or_expanded_is_unusable_and_no_other() {
        let text = "A=real$ecret\nnot an assignment\nB=two words\nC=\"$HOME\"\nD='open\nE=1\n";
        let expected = [
            unusable("A", 1),
            unusable("B", 3),
            unusable("C", 4),
            unusable("D", 5),
            value("E", "1"),
        ];
        assert_eq!(read(text), expected);
    }
}
