//! Explains YAML syntax errors in words for users.

use granit_parser::ErrorKind;

use crate::spec::yaml::diagnostic::{ByteSpan, Diagnostic, SourceFile};

/// Hint for a text that begins with a special character of YAML.
pub const QUOTE: &str = "put the text in quotes, as in \"@a\"";

const COLON: &str = "write `: `, an ASCII colon and a space";

const INDENT: &str = "indent the lines of one list or mapping alike, with spaces";

/// Returns the diagnostic of a file whose parsing fails at byte `at`.
///
/// `read` is the end offset of the parsed part. `open` is the start offset of the innermost list or
/// mapping that is not closed.
pub fn explained(
    file: &SourceFile,
    kind: &ErrorKind,
    at: usize,
    read: usize,
    open: Option<usize>,
) -> Diagnostic {
    let text = file.text();
    let Finding {
        span,
        message,
        hint,
    } = tab(text, kind, at)
        .or_else(|| full_width_colon(text, at))
        .or_else(|| variable(text, at))
        .or_else(|| unclosed_bracket(file, kind, at, open))
        .unwrap_or_else(|| of_kind(text, kind, at, read));
    Diagnostic::error(file, Some(span), message).hint(hint)
}

/// Returns the diagnostic of a file that is a single text (at `span`) without a key; `None` if no
/// reason is found.
pub fn no_key(file: &SourceFile, span: &ByteSpan, value: &str) -> Option<Diagnostic> {
    let text = file.text();
    let found = match value.find('：') {
        Some(_) => full_width_colon(text, span.start),
        None => no_space(text, span.start),
    };
    let Finding {
        span,
        message,
        hint,
    } = found?;
    Some(Diagnostic::error(file, Some(span), message).hint(hint))
}

struct Finding {
    span: ByteSpan,
    message: String,
    hint: String,
}

fn finding(span: ByteSpan, message: impl Into<String>, hint: impl Into<String>) -> Finding {
    Finding {
        span,
        message: message.into(),
        hint: hint.into(),
    }
}

/// Finds a tab in the indentation of the line at `at`. If the error is about a tab, the lines below
/// are searched, too.
fn tab(text: &str, kind: &ErrorKind, at: usize) -> Option<Finding> {
    let is_tab = matches!(
        kind,
        ErrorKind::TabNotAllowed
            | ErrorKind::TabInBlockIndentation
            | ErrorKind::TabAtBlockScalarStart
            | ErrorKind::TabInIndentation
            | ErrorKind::TabInPlainScalar
    );
    let lines = if is_tab { usize::MAX } else { 1 };
    let start = line_start(text, at);
    let mut offset = start;
    for line in text[start..].split_inclusive('\n').take(lines) {
        let content = line.trim_start_matches([' ', '\t']);
        if let Some(tab) = line[..line.len() - content.len()].find('\t') {
            let span = offset + tab..offset + tab + 1;
            let message = "this line is indented with a tab";
            return Some(finding(span, message, "indent it with spaces"));
        }
        offset += line.len();
    }
    is_tab.then(|| {
        finding(
            character(text, at),
            "a tab is not allowed here",
            "write a space",
        )
    })
}

/// Finds a full-width colon after a key, in the line at `at` or in the line above. Of consecutive
/// lines with one, the first is returned.
fn full_width_colon(text: &str, at: usize) -> Option<Finding> {
    let in_line = |start: usize| {
        let line = text[start..].lines().next().unwrap_or_default();
        let colon = line.find('：')?;
        let is_key = !line[..colon].contains(": ") && !line.trim_start().starts_with('#');
        is_key.then_some(start + colon)
    };
    let above = |start: &usize| (*start > 0).then(|| line_start(text, start - 1));
    let lines = std::iter::successors(Some(line_start(text, at)), above);
    let colons: Vec<_> = lines.map(in_line).collect();
    // Return the first of several consecutive lines.
    let skipped = usize::from(colons.first()?.is_none());
    let colon = colons
        .into_iter()
        .skip(skipped)
        .map_while(|colon| colon)
        .last()?;
    let message = "`：` is a full-width colon, which does not end a key";
    Some(finding(colon..colon + '：'.len_utf8(), message, COLON))
}

/// Finds a colon in the line at `at` that lacks a space after it.
fn no_space(text: &str, at: usize) -> Option<Finding> {
    let start = line_start(text, at);
    let line = text[start..].lines().next().unwrap_or_default();
    let colon = line.find(':')?;
    if line[..colon].trim().is_empty() || line[colon..].starts_with("://") {
        return None;
    }
    let span = start + colon..start + colon + 1;
    let message = "no space follows this colon, so that it does not end a key";
    Some(finding(span, message, "write `: `, a colon and a space"))
}

/// Finds a variable without quotes inside brackets, in the line at `at`.
fn variable(text: &str, at: usize) -> Option<Finding> {
    let start = line_start(text, at);
    let variable = start + text[start..].lines().next()?.find("${")?;
    let message = "a variable needs quotes here";
    let hint = "inside {…} and […] write \"${NAME}\" in quotes";
    Some(finding(variable..variable + 2, message, hint))
}

/// Finds the unclosed bracket, if an earlier line opened it.
fn unclosed_bracket(
    file: &SourceFile,
    kind: &ErrorKind,
    at: usize,
    open: Option<usize>,
) -> Option<Finding> {
    let text = file.text();
    let open = open.filter(|open| text[*open..].starts_with(['[', '{']));
    let is_told = matches!(kind, ErrorKind::UnclosedFlowCollection { .. });
    let open = if is_told { at } else { open? };
    let (line, _) = file.position(open);
    if !is_told && line == file.position(at).0 {
        return None;
    }
    let (bracket, closing) = match text[open..].chars().next()? {
        '{' => ('{', '}'),
        _ => ('[', ']'),
    };
    let message = format!("this `{bracket}` is not closed");
    let hint = format!("close it with `{closing}`, before the next key");
    Some(finding(character(text, open), message, hint))
}

fn of_kind(text: &str, kind: &ErrorKind, at: usize, read: usize) -> Finding {
    let here = character(text, at);
    let line = text[line_start(text, at)..].lines().next();
    let line = line.unwrap_or_default();
    match kind {
        ErrorKind::UnexpectedCharacter { character } => {
            let character = match character {
                '`' => "a backtick".to_owned(),
                other => format!("`{other}`"),
            };
            let message = format!("a text cannot begin with {character} without quotes");
            finding(here, message, QUOTE)
        }
        ErrorKind::UnclosedQuotedScalar
        | ErrorKind::InvalidQuotedScalarIndent
        | ErrorKind::DocumentIndicatorInQuotedScalar => {
            let quote = text[read..].find(['"', '\'']);
            let start = quote.map_or(at, |quote| read + quote);
            let message = "the quotes that begin here are not closed";
            finding(
                character(text, start),
                message,
                "end the text with the same quotes",
            )
        }
        ErrorKind::InvalidTrailingSingleQuotedScalar
        | ErrorKind::InvalidTrailingDoubleQuotedScalar => {
            let message = "the quotes before this end the text";
            let hint = "put all of the text in quotes; inside \"…\" write a quote as \\\"";
            finding(here, message, hint)
        }
        ErrorKind::UnknownQuotedScalarEscape
        | ErrorKind::InvalidQuotedScalarHexEscape
        | ErrorKind::InvalidLowSurrogateHexEscape => {
            let message = "inside \"…\" a `\\` begins an escape, and this is not a known one";
            finding(
                here,
                message,
                "write `\\\\`, or use '…', where `\\` is a character like others",
            )
        }
        ErrorKind::MisplacedFlowCollectionEnd => {
            let message = "no open bracket matches this one";
            finding(here, message, "remove it, or put the text in quotes")
        }
        ErrorKind::MismatchedFlowCollectionEnd { open, close } => {
            let message = format!("this `{open}` is closed by `{close}`");
            finding(here, message, "close each bracket with its own kind")
        }
        ErrorKind::ExpectedFlowSequenceSeparator => {
            let hint =
                "write `, ` between the entries, or put a text with special characters in quotes";
            finding(here, "the list cannot continue like this", hint)
        }
        ErrorKind::ExpectedFlowMappingSeparator | ErrorKind::InvalidColonPlacement => {
            let hint = "write `, ` between the entries, or put a text with `: ` in quotes";
            finding(
                here,
                "the entries in brackets cannot continue like this",
                hint,
            )
        }
        ErrorKind::MappingValueNotAllowed if text[line_start(text, at)..at].contains(": ") => {
            let message = "a second `: ` in one line";
            finding(
                here,
                message,
                "put the text in quotes if `: ` belongs to it",
            )
        }
        ErrorKind::MappingValueNotAllowed => {
            let message = "this line is indented like a part of the value above";
            let first = at - line[..at - line_start(text, at)].trim_start().len();
            finding(character(text, first), message, INDENT)
        }
        ErrorKind::SimpleKeyExpected => no_space(text, at).unwrap_or_else(|| {
            let end = at + line[at - line_start(text, at)..].trim_end().len();
            let message = "this line is not a `key: value`";
            finding(
                at..end.max(at),
                message,
                "write a colon and a space after the key",
            )
        }),
        ErrorKind::BlockSequenceEntryNotAllowed => {
            let message = "a list cannot begin on the line of its key";
            let hint = "write `- ` on a line of its own, or the list as [a, b]";
            finding(here, message, hint)
        }
        ErrorKind::ExpectedBlockMappingKey if line.trim_start().starts_with("- ") => {
            let message = "a list entry cannot be among keys";
            finding(
                here,
                message,
                "put it below the key of its list, or remove `- `",
            )
        }
        ErrorKind::ExpectedBlockMappingKey => {
            let message = "the indentation of this line matches no line above";
            finding(here, message, INDENT)
        }
        ErrorKind::ExpectedBlockSequenceEntry => {
            let message = "a key cannot be among list entries";
            finding(
                here,
                message,
                "indent it like the keys of the entry above, or begin it with `- `",
            )
        }
        ErrorKind::InvalidBlockScalarHeader
        | ErrorKind::ZeroBlockScalarIndent
        | ErrorKind::InvalidBlockScalarIndent => {
            let message =
                "`|` and `>` begin a text of several lines, which starts on the next line";
            finding(here, message, QUOTE)
        }
        ErrorKind::RecursionLimitExceeded => {
            let hint = "write fewer lists and mappings inside each other";
            finding(here, "this is nested too deeply", hint)
        }
        ErrorKind::MissingAnchorOrAliasName => {
            let character = text[at..].chars().next().unwrap_or_default();
            let message = format!("a text cannot begin with `{character}` without quotes");
            finding(here, message, QUOTE)
        }
        ErrorKind::InvalidIndentation => finding(here, "this line is indented wrongly", INDENT),
        _ => {
            let hint = "look at the quotes, brackets, colons and the indentation here and in the line above";
            finding(here, "this cannot be read as YAML", hint)
        }
    }
}

fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |end| end + 1)
}

/// Returns the byte range of the character at `at`. The range is empty at the end of a line.
fn character(text: &str, at: usize) -> ByteSpan {
    let character = text[at..].chars().next().filter(|c| *c != '\n');
    at..at + character.map_or(0, char::len_utf8)
}
