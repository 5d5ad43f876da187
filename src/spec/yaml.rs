//! YAML with places: text → a tree that knows where each value stands → typed values (the last
//! step is in [`super::decode`]).
//!
//! serde stops at the first error. A contract with three mistakes should show three, so the tree
//! is decoded *tolerantly*: each error is noted, the part that caused it is taken out of the tree,
//! and decoding starts again, until it succeeds or nothing more can be taken out.

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;

use schemars::JsonSchema;
use serde::de::{self, DeserializeOwned, Visitor};
use serde::{Deserialize, Deserializer};

use super::diagnostic::{Diagnostic, SourceFile};

/// A byte range in the text that a value was read from.
pub type Span = Range<usize>;

/// A value and where it stands, for errors that are found after decoding.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Spanned<T> {
    pub value: T,
    start: usize,
    end: usize,
}

impl<T> Spanned<T> {
    /// A value that stands in no file: a default.
    pub fn unplaced(value: T) -> Self {
        Spanned {
            value,
            start: 0,
            end: 0,
        }
    }

    pub fn span(&self) -> Span {
        self.start..self.end
    }

    /// Another value in the same place, and the value that was there.
    pub fn replace<U>(self, value: U) -> (Spanned<U>, T) {
        let Spanned {
            start,
            end,
            value: old,
        } = self;
        (Spanned { value, start, end }, old)
    }
}

impl<T> std::ops::Deref for Spanned<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

/// The newtype name by which [`Spanned`] asks our deserializer for the span.
pub(super) const SPANNED: &str = "$redlake::Spanned";

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Spanned<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Parts<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Parts<T> {
            type Value = Spanned<T>;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a value with its place")
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let missing = || de::Error::custom("a place is missing");
                Ok(Spanned {
                    start: seq.next_element()?.ok_or_else(missing)?,
                    end: seq.next_element()?.ok_or_else(missing)?,
                    value: seq.next_element()?.ok_or_else(missing)?,
                })
            }
        }
        deserializer.deserialize_newtype_struct(SPANNED, Parts(std::marker::PhantomData))
    }
}

/// In the JSON Schema a place is invisible.
impl<T: JsonSchema> JsonSchema for Spanned<T> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }
    fn inline_schema() -> bool {
        T::inline_schema()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        T::json_schema(generator)
    }
}

/// A YAML value and where it stands.
#[derive(Clone, Debug)]
pub struct Node {
    pub span: Span,
    pub kind: Kind,
}

#[derive(Clone, Debug)]
pub enum Kind {
    Null,
    Bool(bool),
    /// A plain number, with its text: an id such as `649e46` must not lose a digit.
    Number(String),
    String(String),
    Seq(Vec<Node>),
    Map(Vec<(Node, Node)>),
}

impl Kind {
    pub fn name(&self) -> String {
        match self {
            Kind::Null => "nothing".into(),
            Kind::Bool(b) => format!("`{b}`"),
            Kind::Number(n) => format!("the number `{n}`"),
            Kind::String(s) => format!("the text `{s}`"),
            Kind::Seq(_) => "a list".into(),
            Kind::Map(_) => "a mapping".into(),
        }
    }
}

/// Reads YAML text into a tree.
///
/// # Errors
/// One diagnostic for what is no YAML (a bad indent, a repeated key, an unknown alias).
pub fn parse(file: &SourceFile) -> Result<Node, Box<Diagnostic>> {
    let text = file.text();
    match serde_saphyr::from_str::<serde_saphyr::Spanned<Raw>>(text) {
        Ok(tree) => Ok(located(text, tree)),
        Err(error) => Err(Box::new(unreadable(file, &error))),
    }
}

/// A syntax error. Some of them know only a line and a column.
fn unreadable(file: &SourceFile, error: &serde_saphyr::Error) -> Diagnostic {
    let text = file.text();
    let span = error.location().map(|at| match char_span(text, &at) {
        span if span.start > 0 => span,
        _ => place(text, at.line(), at.column()),
    });
    let message = error.without_snippet().to_string();
    let message = message.split(" at line ").next().unwrap_or(&message);
    let diagnostic = Diagnostic::error(
        file,
        span.clone(),
        format!("this is not valid YAML: {message}"),
    );
    match span.map(|s| line_of(text, s.start).contains("${")) {
        Some(true) => diagnostic.hint("inside {…} and […] write \"${NAME}\" in quotes"),
        _ => diagnostic,
    }
}

/// The character at a line and a column, both from 1.
fn place(text: &str, line: u64, column: u64) -> Span {
    let skipped = usize::try_from(line).unwrap_or(1).saturating_sub(1);
    let start: usize = text.split_inclusive('\n').take(skipped).map(str::len).sum();
    let column = usize::try_from(column).unwrap_or(1).saturating_sub(1);
    let offset = text[start..]
        .char_indices()
        .nth(column)
        .map_or(0, |(at, _)| at);
    start + offset..floor_char_boundary(text, start + offset + 1)
}

fn line_of(text: &str, offset: usize) -> &str {
    let start = text[..offset].rfind('\n').map_or(0, |at| at + 1);
    text[start..].lines().next().unwrap_or_default()
}

/// What serde-saphyr says of a value before its text is looked up.
enum Raw {
    Null,
    Bool(bool),
    Number,
    String(String),
    Seq(Vec<serde_saphyr::Spanned<Raw>>),
    Map(Vec<(serde_saphyr::Spanned<Raw>, serde_saphyr::Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RawVisitor;
        impl<'de> Visitor<'de> for RawVisitor {
            type Value = Raw;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a YAML value")
            }
            fn visit_unit<E>(self) -> Result<Raw, E> {
                Ok(Raw::Null)
            }
            fn visit_none<E>(self) -> Result<Raw, E> {
                Ok(Raw::Null)
            }
            fn visit_some<D: Deserializer<'de>>(self, d: D) -> Result<Raw, D::Error> {
                Raw::deserialize(d)
            }
            fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
                Ok(Raw::Bool(value))
            }
            fn visit_i64<E>(self, _: i64) -> Result<Raw, E> {
                Ok(Raw::Number)
            }
            fn visit_u64<E>(self, _: u64) -> Result<Raw, E> {
                Ok(Raw::Number)
            }
            fn visit_f64<E>(self, _: f64) -> Result<Raw, E> {
                Ok(Raw::Number)
            }
            fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
                Ok(Raw::String(value.to_owned()))
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Raw, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(Raw::Seq(items))
            }
            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Raw::Map(entries))
            }
        }
        deserializer.deserialize_any(RawVisitor)
    }
}

fn located(text: &str, raw: serde_saphyr::Spanned<Raw>) -> Node {
    let span = char_span(text, &raw.defined);
    let kind = match raw.value {
        Raw::Null => Kind::Null,
        Raw::Bool(b) => Kind::Bool(b),
        Raw::Number => Kind::Number(text[span.clone()].trim().to_owned()),
        Raw::String(s) => Kind::String(s),
        Raw::Seq(items) => Kind::Seq(items.into_iter().map(|n| located(text, n)).collect()),
        Raw::Map(entries) => Kind::Map(
            entries
                .into_iter()
                .map(|(k, v)| (located(text, k), located(text, v)))
                .collect(),
        ),
    };
    Node { span, kind }
}

fn char_span(text: &str, at: &serde_saphyr::Location) -> Span {
    let span = at.span();
    let (start, len) = match (span.byte_offset(), span.byte_len()) {
        (Some(start), Some(len)) => (start as usize, len as usize),
        _ => return 0..0,
    };
    let start = floor_char_boundary(text, start);
    start..floor_char_boundary(text, start + len)
}

fn floor_char_boundary(text: &str, mut at: usize) -> usize {
    at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Decodes a tree, noting every error; `None` if what is left has no value of type `T`.
pub fn decode<T: DeserializeOwned>(
    mut root: Node,
    file: &SourceFile,
    found: &mut Vec<Diagnostic>,
) -> Option<T> {
    // Where something was taken out, so that its absence is not reported as well.
    let mut thinned: HashSet<usize> = HashSet::new();
    let before = found.len();
    loop {
        let error = match T::deserialize(&root) {
            Ok(value) => return Some(value),
            Err(error) => error,
        };
        let span = error.span.clone().unwrap_or_else(|| root.span.clone());
        let follows = error.missing && thinned.contains(&span.start);
        // What stands behind an alias stands in the tree twice, but in the file once.
        let told = |d: &Diagnostic| d.span.as_ref() == Some(&span) && d.message == error.message;
        if !follows && !found[before..].iter().any(told) {
            let mut diagnostic = Diagnostic::error(file, Some(span.clone()), error.message);
            diagnostic.hint = error.hint;
            found.push(diagnostic);
        }
        let parent = remove(&mut root, &span)?;
        thinned.insert(parent);
    }
}

/// Takes the value (or the entry whose key) stands at `span` out of the tree; where its parent starts.
fn remove(node: &mut Node, span: &Span) -> Option<usize> {
    let start = node.span.start;
    match &mut node.kind {
        Kind::Seq(items) => {
            if let Some(at) = items.iter().position(|n| n.span == *span) {
                items.remove(at);
                return Some(start);
            }
            items.iter_mut().find_map(|n| remove(n, span))
        }
        Kind::Map(entries) => {
            if let Some(at) = entries
                .iter()
                .position(|(k, v)| k.span == *span || v.span == *span)
            {
                entries.remove(at);
                return Some(start);
            }
            entries.iter_mut().find_map(|(_, v)| remove(v, span))
        }
        _ => None,
    }
}
