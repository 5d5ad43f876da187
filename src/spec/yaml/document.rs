//! YAML with places: text → a tree of located values ([`crate::spec::yaml::compose`]) → typed
//! values ([`crate::spec::yaml::decode`]).
//!
//! serde stops at the first error. A contract with three mistakes should show three, so the tree
//! is decoded *tolerantly*: each error is recorded, its part is removed from the tree, and decoding
//! restarts, until it succeeds or nothing more can be removed.

use std::collections::HashSet;
use std::fmt;

use schemars::JsonSchema;
use serde::de::{self, DeserializeOwned, Visitor};
use serde::{Deserialize, Deserializer};

use crate::spec::yaml::compose::compose;
use crate::spec::yaml::diagnostic::{ByteSpan, Diagnostic, SourceFile};
use crate::spec::yaml::node::{Node, NodeKind};

/// A value and its place, for errors that are found after decoding.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Spanned<T> {
    pub value: T,
    start: usize,
    end: usize,
}

impl<T> Spanned<T> {
    /// Returns a value without a place in a file: a default.
    pub fn unplaced(value: T) -> Self {
        Spanned {
            value,
            start: 0,
            end: 0,
        }
    }

    /// Returns a value at this byte range.
    pub fn placed(value: T, span: ByteSpan) -> Self {
        Spanned {
            value,
            start: span.start,
            end: span.end,
        }
    }

    pub fn span(&self) -> ByteSpan {
        self.start..self.end
    }

    /// Replaces the value at the same place. Returns the new one, and the old value.
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

/// Newtype name that [`Spanned`] uses to request the span from the deserializer.
pub(in crate::spec) const SPANNED: &str = "$redlake::Spanned";

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

/// The JSON Schema does not show places.
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

/// Newtype name that [`written`] uses to request texts from the deserializer.
pub(in crate::spec) const WRITTEN: &str = "$redlake::Written";

/// Visits a value and passes its scalars as written texts, even `007`, `no` and `null`.
///
/// # Errors
/// Returns the error of the visitor, or of a value that is not written at all.
pub fn written<'de, D: Deserializer<'de>, V: Visitor<'de>>(
    deserializer: D,
    visitor: V,
) -> Result<V::Value, D::Error> {
    deserializer.deserialize_newtype_struct(WRITTEN, visitor)
}

/// Reads YAML text into a tree; what is wrong with it goes to `found`.
pub fn read(file: &SourceFile, found: &mut Vec<Diagnostic>) -> Option<Node> {
    compose(file, found)
}

/// Reads YAML text into a tree.
///
/// # Errors
/// Returns the first mistake in the YAML, such as a bad indent, a repeated key or an unknown
/// alias.
pub fn parse(file: &SourceFile) -> Result<Node, Box<Diagnostic>> {
    let mut found = Vec::new();
    let tree = compose(file, &mut found);
    match (tree, found.into_iter().next()) {
        (Some(tree), None) => Ok(tree),
        (_, Some(first)) => Err(Box::new(first)),
        (None, None) => Err(Box::new(Diagnostic::error(
            file,
            None,
            "this file cannot be read",
        ))),
    }
}

/// Decodes a tree and adds a diagnostic to `found` for each error. Returns `None` if the rest of
/// the tree has no value of type `T`.
pub fn decode<T: DeserializeOwned>(
    mut root: Node,
    file: &SourceFile,
    found: &mut Vec<Diagnostic>,
) -> Option<T> {
    // Start offsets of nodes that lost a part, so that its absence is not reported as well.
    let mut thinned: HashSet<usize> = HashSet::new();
    loop {
        let error = match T::deserialize(&root) {
            Ok(value) => return Some(value),
            Err(error) => error,
        };
        let span = error.span.clone().unwrap_or_else(|| root.span.clone());
        let follows = error.missing && thinned.contains(&span.start);
        // Each place is reported once: a value behind an alias is in the tree twice, and a value
        // that could not be read must not be reported for its type, too.
        let is_same =
            |d: &Diagnostic| d.file.path() == file.path() && d.span.as_ref() == Some(&span);
        if !follows && !found.iter().any(is_same) {
            let mut diagnostic = Diagnostic::error(file, Some(span.clone()), error.message);
            diagnostic.hint = error.hint;
            found.push(diagnostic);
        }
        let parent = remove(&mut root, &span)?;
        thinned.insert(parent);
    }
}

/// Removes the value at `span`, or the entry with its key or value there, from the tree. Returns
/// the start offset of its parent.
fn remove(node: &mut Node, span: &ByteSpan) -> Option<usize> {
    let start = node.span.start;
    match &mut node.kind {
        NodeKind::Seq(items) => {
            if let Some(at) = items.iter().position(|n| n.span == *span) {
                items.remove(at);
                return Some(start);
            }
            items.iter_mut().find_map(|n| remove(n, span))
        }
        NodeKind::Map(entries) => {
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
