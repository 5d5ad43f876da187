//! Places of tables and columns in their contract files.
//!
//! Each call parses the file again: only error messages and suggestions need a place.

use crate::spec::contracts::Contracts;
use crate::spec::yaml::diagnostic::{ByteSpan, SourceFile};
use crate::spec::yaml::document;
use crate::spec::yaml::node::{Node, NodeKind};

impl Contracts {
    /// Returns the file that declares a table, and the place of the table's name in it.
    pub fn place_of_table(&self, table: &str) -> Option<(SourceFile, ByteSpan)> {
        let file = self.table_files.get(table)?;
        Some((file.clone(), self.tables.get(table)?.table.span()))
    }

    /// Returns the place of a column's declaration: in the table's own file, or in the file of the
    /// common columns.
    pub fn place_of_column(&self, table: &str, column: &str) -> Option<(SourceFile, ByteSpan)> {
        let own = self.table_files.get(table);
        let own = own.and_then(|file| key(file, &["columns", column]));
        let common = || {
            let file = self.common_file.as_ref()?;
            let groups = ["every_table", "from_pages"];
            groups.iter().find_map(|group| key(file, &[*group, column]))
        };
        own.or_else(common)
    }
}

/// Returns the place of the key at the end of this path.
fn key(file: &SourceFile, path: &[&str]) -> Option<(SourceFile, ByteSpan)> {
    let mut node = document::parse(file).ok()?;
    let mut span = None;
    for name in path {
        let (key, value) = entry(node, name)?;
        (node, span) = (value, Some(key.span));
    }
    Some((file.clone(), span?))
}

fn entry(node: Node, name: &str) -> Option<(Node, Node)> {
    let NodeKind::Map(entries) = node.kind else {
        return None;
    };
    entries
        .into_iter()
        .find(|(key, _)| key.text() == Some(name))
}
