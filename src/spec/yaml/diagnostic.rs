//! Diagnostics of files: the mistake, its place and a hint.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use crate::spec::yaml::escape::{escaped, escaped_line};

/// A file's path and text. Cheap to clone, so that many diagnostics can share it.
#[derive(Clone, Debug)]
pub struct SourceFile(Arc<(PathBuf, String)>);

impl SourceFile {
    pub fn new(path: impl Into<PathBuf>, text: impl Into<String>) -> Self {
        SourceFile(Arc::new((path.into(), text.into())))
    }

    pub fn path(&self) -> &Path {
        &self.0.0
    }

    pub fn text(&self) -> &str {
        &self.0.1
    }

    /// Returns line and column of a byte offset. Both count from 1; the column counts characters.
    pub fn position(&self, offset: usize) -> (usize, usize) {
        let before = &self.text()[..offset.min(self.text().len())];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        (
            before.matches('\n').count() + 1,
            before[line_start..].chars().count() + 1,
        )
    }
}

/// A mistake in a file, or a warning about a valid but probably unintended part.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    pub file: SourceFile,
    /// Byte range in the file; `None` for the file as a whole.
    pub span: Option<ByteSpan>,
    pub message: String,
    pub hint: Option<String>,
    /// True if the file is valid.
    pub is_warning: bool,
}

impl Diagnostic {
    pub fn error(file: &SourceFile, span: Option<ByteSpan>, message: impl Into<String>) -> Self {
        Diagnostic {
            file: file.clone(),
            span,
            message: message.into(),
            hint: None,
            is_warning: false,
        }
    }

    pub fn warning(file: &SourceFile, span: Option<ByteSpan>, message: impl Into<String>) -> Self {
        Diagnostic {
            is_warning: true,
            ..Diagnostic::error(file, span, message)
        }
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Returns line and column (from 1) of the place; `None` without a place.
    pub fn position(&self) -> Option<(usize, usize)> {
        self.span.as_ref().map(|s| self.file.position(s.start))
    }

    /// Returns the diagnostic on one line, for a log: `file:line:column: message; hint`.
    pub fn line(&self) -> String {
        let path = self.file.path().display();
        let place = match self.position() {
            Some((line, column)) => format!("{path}:{line}:{column}"),
            None => path.to_string(),
        };
        let hint = self.hint.as_deref();
        let hint = hint.map_or(String::new(), |hint| format!("; {hint}"));
        format!("{place}: {}{hint}", self.message)
    }

    /// Renders the diagnostic for people: message, place, the line with the place underlined, hint.
    ///
    /// Escapes characters that act on a terminal.
    pub fn render(&self, color: bool) -> String {
        let renderer = if color {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        let path = self.file.path().display().to_string();
        let path = escaped_line(&path);
        let message = escaped(&self.message);
        let hint = self.hint.as_deref().map(escaped);
        let text = self.file.text();
        let source = escaped(text);
        let level = if self.is_warning {
            Level::WARNING
        } else {
            Level::ERROR
        };
        let title = level.primary_title(&*message);
        let mut group = match &self.span {
            Some(span) => {
                let shown = |offset: usize| escaped(&text[..offset]).len();
                let ByteSpan { start, end } = first_line(text, span);
                let primary = AnnotationKind::Primary.span(shown(start)..shown(end));
                title.element(Snippet::source(&*source).path(&*path).annotation(primary))
            }
            None => title.element(annotate_snippets::Origin::path(&*path)),
        };
        if let Some(hint) = &hint {
            group = group.element(Level::HELP.with_name("hint").message(&**hint));
        }
        renderer.render(&[group])
    }
}

/// Cuts a span at the end of its first line: a mapping spans many lines, and one is enough to
/// find it.
fn first_line(text: &str, span: &ByteSpan) -> ByteSpan {
    let end = text[span.clone()]
        .find('\n')
        .map_or(span.end, |at| span.start + at);
    span.start..end.max(span.start)
}

/// All diagnostics of a pipeline and its contracts.
#[derive(Debug)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl Diagnostics {
    /// Returns the number of mistakes, without warnings.
    pub fn mistakes(&self) -> usize {
        self.0.iter().filter(|d| !d.is_warning).count()
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        for (i, diagnostic) in self.0.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            write!(f, "{}", diagnostic.render(false))?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

/// Returns the candidate most similar to `word`, ignoring case; `None` if the similarity of all is
/// below 0.5.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    candidates
        .into_iter()
        .map(|c| {
            (
                strsim::normalized_damerau_levenshtein(&word, &c.to_lowercase()),
                c,
            )
        })
        .filter(|(likeness, _)| *likeness >= 0.5)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, c)| c)
}

/// A byte range in the text that a value was read from.
pub type ByteSpan = std::ops::Range<usize>;
