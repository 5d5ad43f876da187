//! Environment variables of a command: those of the process, and those in the file `.env` beside
//! the pipeline.

use std::collections::BTreeMap;
use std::io::{Cursor, ErrorKind};
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
    file: BTreeMap<String, SecretString>,
}

/// A `.env` file that cannot be used. The message has no part of the file: it holds secrets.
#[derive(Debug, thiserror::Error)]
pub enum EnvFileError {
    #[error("cannot read {}: {reason}", path.display())]
    Unreadable { path: PathBuf, reason: String },
    #[error("{}:{line}: this line is not NAME=VALUE", path.display())]
    Syntax { path: PathBuf, line: usize },
}

impl Environment {
    /// Reads the file `.env` beside a pipeline, if there is one. Logs a warning if other accounts
    /// can read it.
    ///
    /// # Errors
    /// The file cannot be read, or has a line that is no assignment.
    pub fn beside(pipeline: &Path) -> Result<Self, EnvFileError> {
        let path = pipeline.with_file_name(FILE);
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
                return Err(EnvFileError::Unreadable { path, reason });
            }
        };
        warn_of_readers(&path);
        Ok(Environment {
            file: assignments(&path, &text)?,
        })
    }

    /// Returns the value of a variable. `HOME` is always that of the process.
    pub fn get(&self, name: &str) -> Option<String> {
        let in_file = || self.file.get(name).filter(|_| name != "HOME");
        variable(name).or_else(|| in_file().map(|value| value.expose_secret().to_owned()))
    }
}

/// Returns the variables of a `.env` file by name.
///
/// # Errors
/// A line is no assignment.
fn assignments(path: &Path, text: &str) -> Result<BTreeMap<String, SecretString>, EnvFileError> {
    let mut variables = BTreeMap::new();
    for assignment in dotenvy::from_read_iter(Cursor::new(text)) {
        match assignment {
            Ok((name, value)) => {
                variables.insert(name, SecretString::from(value));
            }
            Err(error) => {
                let line = match &error {
                    dotenvy::Error::LineParse(line, _) => line_of(text, line),
                    _ => 1,
                };
                let path = path.to_owned();
                return Err(EnvFileError::Syntax { path, line });
            }
        }
    }
    Ok(variables)
}

/// Returns the number of the first line that begins as `wrong` does, from 1.
fn line_of(text: &str, wrong: &str) -> usize {
    let first = wrong.lines().next().unwrap_or_default().trim();
    let at = text.lines().position(|line| line.trim() == first);
    at.map_or(1, |at| at + 1)
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

    fn read(text: &str) -> Result<Vec<(String, String)>, String> {
        let variables = assignments(Path::new(".env"), text).map_err(|e| e.to_string())?;
        let pair = |(name, value): (String, SecretString)| (name, value.expose_secret().to_owned());
        Ok(variables.into_iter().map(pair).collect())
    }

    #[test]
    fn assignments_may_have_quotes_comments_and_export() {
        let text = "# tokens\n\nexport A=one # comment\nB='two $x'\nC=\"three\"\n";
        let pairs = read(text).expect("a valid file");
        let expected = [("A", "one"), ("B", "two $x"), ("C", "three")];
        assert_eq!(pairs, expected.map(|(n, v)| (n.to_owned(), v.to_owned())));
    }

    #[test]
    fn a_line_that_is_no_assignment_is_named_without_its_text() {
        let told = read("A=1\nsecret token\n").expect_err("an invalid file");
        assert_eq!(told, ".env:2: this line is not NAME=VALUE");
        let told = read("A=1\n\nB='secret\n").expect_err("an invalid file");
        assert_eq!(told, ".env:3: this line is not NAME=VALUE");
    }
}
