//! Quotes texts for the languages of the files that `redlake deploy` writes. No text has control
//! characters: paths with such characters are refused before.

use std::path::Path;

use crate::cli::error::CliError;
use crate::cli::shell::shell_word;

/// Language of a file, which decides how a value is quoted in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuotedFor {
    Shell,
    Crontab,
    Systemd,
    Yaml,
    Python,
}

impl QuotedFor {
    /// Returns `text` as one word of the language.
    pub fn word(self, text: &str) -> String {
        match self {
            QuotedFor::Shell => shell_word(text),
            QuotedFor::Crontab => crontab_word(text),
            QuotedFor::Systemd => systemd_word(text),
            QuotedFor::Yaml | QuotedFor::Python => double_quoted(text),
        }
    }
}

/// Quotes a word for the shell in a crontab. cron replaces `\%` by `%`, a bare `%` ends the command, and
/// any other character after a backslash is not looked at. So a backslash is never right before `\%`.
fn crontab_word(text: &str) -> String {
    let quoted = shell_word(text).replace("\\%", "\\''%");
    quoted.replace('%', "\\%")
}

/// Quotes a word for a command line of systemd.
fn systemd_word(text: &str) -> String {
    systemd_setting(text).replace('$', "$$")
}

/// Quotes a path for a setting of systemd, where `$` is no variable.
pub fn systemd_setting(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{}\"", escaped.replace('%', "%%"))
}

/// Quotes a text as a string of JSON, which YAML and Python read as the same text.
fn double_quoted(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            // Line ends of YAML 1.1, and characters that YAML does not print.
            '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            _ if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            _ => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Returns a text as a block of YAML whose lines are indented by `indent`, or quoted if a block cannot
/// hold it.
pub fn yaml_block(text: &str, indent: usize) -> String {
    let is_escaped = |c: char| {
        !matches!(c, '\n' | '\t' | '"' | '\\')
            && double_quoted(c.encode_utf8(&mut [0; 4])).contains('\\')
    };
    let has_escapes = text.chars().any(is_escaped);
    let begins_with_space = text.starts_with([' ', '\t', '\n']);
    let ends_plainly = text.ends_with('\n') && !text.ends_with("\n\n");
    if has_escapes || begins_with_space || !ends_plainly {
        return double_quoted(text);
    }
    let margin = " ".repeat(indent);
    let lines = text.lines().map(|line| {
        if line.is_empty() {
            String::new()
        } else {
            format!("{margin}{line}")
        }
    });
    format!("|\n{}", lines.collect::<Vec<_>>().join("\n"))
}

/// Escapes `${{` in a text of a GitHub workflow, where it would begin an expression.
pub fn without_expressions(text: &str) -> String {
    text.replace("${{", "${{ '${{' }}")
}

/// Returns a path for a file of a scheduler.
///
/// # Errors
/// The path is not UTF-8, or has control characters, which crontabs and units do not hold.
pub fn utf8(path: &Path) -> Result<String, CliError> {
    let text = path
        .to_str()
        .filter(|text| !text.contains(char::is_control));
    let text = text.ok_or_else(|| {
        CliError::usage(
            format!(
                "the path {} has a control character or is not UTF-8",
                path.display()
            ),
            "rename it: the files of schedulers cannot hold such a path",
        )
    })?;
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_of_a_shell_is_one_argument() {
        let word = |text| QuotedFor::Shell.word(text);
        assert_eq!(word("/srv/lake"), "/srv/lake");
        assert_eq!(word("/srv/小 红书/it's"), r"'/srv/小 红书/it'\''s'");
        assert_eq!(word("$HOME `id` \"x\""), "'$HOME `id` \"x\"'");
    }

    #[test]
    fn a_percent_sign_ends_no_command_of_a_crontab() {
        /// Returns the command that cron passes to the shell.
        fn passed(line: &str) -> Option<String> {
            let mut out = String::new();
            let mut chars = line.chars();
            while let Some(c) = chars.next() {
                match c {
                    '%' => return None,
                    '\\' => match chars.next() {
                        Some('%') => out.push('%'),
                        after => out.extend(std::iter::once('\\').chain(after)),
                    },
                    _ => out.push(c),
                }
            }
            Some(out)
        }
        let word = |text| QuotedFor::Crontab.word(text);
        assert_eq!(word("/srv/50% off"), r"'/srv/50\% off'");
        for (text, expected) in [
            ("/srv/50% off", "'/srv/50% off'"),
            (r"a\%b", r"'a\''%b'"),
            (r"a\\%b", r"'a\\''%b'"),
            ("it's 5%", r"'it'\''s 5%'"),
            ("'%", r"''\''%'"),
        ] {
            assert_eq!(passed(&word(text)).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn specifiers_and_variables_of_systemd_are_literal() {
        let word = |text| QuotedFor::Systemd.word(text);
        assert_eq!(
            word("/srv/小 红书/50%h $HOME \"x\" \\"),
            r#""/srv/小 红书/50%%h $$HOME \"x\" \\""#
        );
        assert_eq!(systemd_setting("/$x 5%"), "\"/$x 5%%\"");
    }

    #[test]
    fn yaml_and_python_read_a_json_string() {
        let word = |text| QuotedFor::Yaml.word(text);
        assert_eq!(word("小 \"红\" \\ 书"), r#""小 \"红\" \\ 书""#);
        assert_eq!(word("no"), r#""no""#);
        assert_eq!(
            word("a\u{2028}b\u{85}c\u{7f}"),
            r#""a\u2028b\u0085c\u007f""#
        );
        assert_eq!(QuotedFor::Python.word("it's\n"), r#""it's\n""#);
    }

    #[test]
    fn a_block_holds_what_it_can_and_other_texts_are_quoted() {
        assert_eq!(
            yaml_block("a: \"小\"\n\n  b\n", 2),
            "|\n  a: \"小\"\n\n    b"
        );
        for text in [
            "a",
            " a\n",
            "a\n\n",
            "\na\n",
            "a\r\n",
            "a\u{1b}\n",
            "a\u{2028}\n",
            "",
        ] {
            assert_eq!(yaml_block(text, 2), double_quoted(text));
        }
    }

    #[test]
    fn a_path_is_no_expression_of_a_workflow() {
        assert_eq!(without_expressions("a${{ b }}"), "a${{ '${{' }} b }}");
    }
}
