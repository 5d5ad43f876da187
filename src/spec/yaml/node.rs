//! Tree of a YAML document, each node with its place.

use crate::spec::yaml::diagnostic::ByteSpan;

/// A YAML value and its place.
#[derive(Clone, Debug)]
pub struct Node {
    pub span: ByteSpan,
    pub kind: NodeKind,
}

#[derive(Clone, Debug)]
pub enum NodeKind {
    /// A scalar without quotes, as written; empty if nothing is written. The expected type decides
    /// what it means: `no` is a text for a keyword, and false for a switch.
    Plain(String),
    /// A text in quotes, or a text of several lines.
    Quoted(String),
    Seq(Vec<Node>),
    Map(Vec<(Node, Node)>),
}

impl Node {
    /// Returns the text of a scalar; `None` for a list or mapping.
    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            NodeKind::Plain(text) | NodeKind::Quoted(text) => Some(text),
            NodeKind::Seq(_) | NodeKind::Map(_) => None,
        }
    }

    /// Returns the value of a key; `None` if the node is no mapping or lacks the key.
    pub fn entry(&self, key: &str) -> Option<&Node> {
        let NodeKind::Map(entries) = &self.kind else {
            return None;
        };
        let mut entries = entries.iter();
        let (_, value) = entries.find(|(name, _)| name.text() == Some(key))?;
        Some(value)
    }

    /// Returns true if the node is a null, which stands for no value where a value is optional.
    pub fn is_null(&self) -> bool {
        matches!(&self.kind, NodeKind::Plain(text) if is_null(text))
    }

    /// Returns the number of nodes in the tree, this one included.
    pub(in crate::spec) fn size(&self) -> usize {
        1 + self.children().map(Node::size).sum::<usize>()
    }

    /// Returns the nesting depth of the tree: 0 for a scalar.
    pub(in crate::spec) fn depth(&self) -> usize {
        self.children()
            .map(|child| child.depth() + 1)
            .max()
            .unwrap_or(0)
    }

    fn children(&self) -> impl Iterator<Item = &Node> {
        let (items, entries): (&[Node], &[(Node, Node)]) = match &self.kind {
            NodeKind::Seq(items) => (items, &[]),
            NodeKind::Map(entries) => (&[], entries),
            NodeKind::Plain(_) | NodeKind::Quoted(_) => (&[], &[]),
        };
        items
            .iter()
            .chain(entries.iter().flat_map(|(key, value)| [key, value]))
    }
}

/// Returns whether a scalar without quotes is one of YAML's words for no value.
pub(in crate::spec) fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}
