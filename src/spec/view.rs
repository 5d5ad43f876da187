//! Types of `schemas/views/<view>.yaml`: a view that SQL computes from tables and other views.

use indexmap::IndexMap;
use serde::Deserialize;

use super::table::{Column, DerivedKind, RowsFrom, Table, ViewQuery, owner};
use crate::spec::references::near_or;
use crate::spec::yaml::diagnostic::{Diagnostic, SourceFile};
use crate::spec::yaml::document::Spanned;

/// A view file, as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::spec) struct ViewFile {
    view: Spanned<String>,
    description: String,
    reads: IndexMap<Spanned<String>, Vec<Spanned<String>>>,
    columns: IndexMap<String, Column>,
    sql: String,
}

impl ViewFile {
    pub(in crate::spec) fn name(&self) -> &Spanned<String> {
        &self.view
    }

    /// Returns the names of the relations that the view reads.
    pub(in crate::spec) fn reads(&self) -> impl Iterator<Item = &str> {
        self.reads.keys().map(|name| name.value.as_str())
    }

    /// Returns true if there is everything that the view reads.
    pub(in crate::spec) fn is_possible(
        &self,
        tables: &IndexMap<String, Table>,
        views: &[String],
    ) -> bool {
        self.unknown(tables, views).next().is_none()
    }

    /// Adds a diagnostic to `found` for each table or column that the view reads and that does not
    /// exist. `views` are the names of the other views.
    pub(in crate::spec) fn check(
        &self,
        tables: &IndexMap<String, Table>,
        views: &[String],
        file: &SourceFile,
        found: &mut Vec<Diagnostic>,
    ) {
        if tables.contains_key(&self.view.value) {
            let message = format!("`{}` is a table, too", self.view.value);
            let hint = "rename the view, and its file";
            found.push(Diagnostic::error(file, Some(self.view.span()), message).hint(hint));
        }
        for (table, column) in self.unknown(tables, views) {
            let (name, message, names): (_, _, Vec<&String>) = match column {
                None => {
                    let message = format!("there is no table or view `{}`", table.value);
                    (table, message, tables.keys().chain(views).collect())
                }
                Some(column) => {
                    let message = format!("`{}` has no column `{}`", table.value, column.value);
                    let columns = tables.get(&table.value).map(|table| table.columns.keys());
                    (column, message, columns.into_iter().flatten().collect())
                }
            };
            let hint = near_or(
                name,
                names.into_iter(),
                "correct the name, or remove the view's file",
            );
            found.push(Diagnostic::error(file, Some(name.span()), message).hint(hint));
        }
    }

    /// Returns the relations that do not exist, and the columns that a table or its latest view does
    /// not have. Columns of other views are checked when the view is created.
    fn unknown<'v>(
        &'v self,
        tables: &'v IndexMap<String, Table>,
        views: &'v [String],
    ) -> impl Iterator<Item = (&'v Spanned<String>, Option<&'v Spanned<String>>)> {
        self.reads.iter().flat_map(move |(name, columns)| {
            let unknown: Vec<_> = match (owner(name, tables), views.contains(&name.value)) {
                (Some((table, kind)), _) => {
                    let is_unknown = |column: &&Spanned<String>| !has_column(table, kind, column);
                    let columns = columns.iter().filter(is_unknown);
                    columns.map(|column| (name, Some(column))).collect()
                }
                (None, true) => Vec::new(),
                (None, false) => vec![(name, None)],
            };
            unknown
        })
    }

    /// Returns the view as a relation.
    pub(in crate::spec) fn into_table(self) -> Table {
        let words = |names: Vec<Spanned<String>>| names.into_iter().map(|name| name.value);
        let reads = self.reads.into_iter();
        let reads = reads.map(|(name, columns)| (name.value, words(columns).collect()));
        Table {
            table: self.view,
            description: self.description,
            rows_from: RowsFrom::Query,
            sort_by: Vec::new(),
            latest_by: Vec::new(),
            latest_with: None,
            bloom_filter: Vec::new(),
            latest_view: None,
            delta_by: Vec::new(),
            columns: self.columns,
            view_columns: IndexMap::new(),
            removed: IndexMap::new(),
            query: Some(ViewQuery {
                reads: reads.collect(),
                sql: self.sql,
            }),
        }
    }
}

fn has_column(table: &Table, kind: Option<DerivedKind>, column: &str) -> bool {
    let more: &[&str] = match kind {
        None => &["dt"],
        Some(DerivedKind::Latest) => &["endpoints", "last_pipeline"],
        Some(DerivedKind::LatestByPipeline) => &["endpoints"],
        Some(DerivedKind::Delta | DerivedKind::DeltaByKey) => return true,
    };
    let is_of_view = kind.is_none() && table.view_columns.contains_key(column);
    table.columns.contains_key(column) || is_of_view || more.contains(&column)
}
