//! Where things stand in the contracts of tables. Looked up anew in their text when it is asked for:
//! only mistakes and suggestions need it.

use crate::spec::contracts::Contracts;
use crate::spec::yaml::diagnostic::ByteSpan;
use crate::spec::yaml::diagnostic::SourceFile;
use crate::spec::yaml::document;
use crate::spec::yaml::node::{Node, NodeKind};

impl Contracts {
    /// The file that declares a table, and its name there.
    pub fn place_of_table(&self, table: &str) -> Option<(SourceFile, ByteSpan)> {
        let file = self.table_files.get(table)?;
        Some((file.clone(), self.tables.get(table)?.table.span()))
    }

    /// Where a column of a table is declared: in the table's own file, or among the common columns.
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

/// Where the key at the end of this path stands.
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
