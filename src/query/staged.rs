//! Views over the staged, uncommitted files of a run.

use std::fmt::Write as _;
use std::path::Path;

use indexmap::IndexMap;

use super::catalog::{Files, ViewPart, table_view, views};
use crate::query::sql::{identifier, literal};
use crate::spec::table::Table;
use crate::spec::table::{FileColumns, Unreadable};

/// The staged files of a run, and the lake that they are for.
#[derive(Clone, Copy)]
pub struct Staged<'a> {
    pub lake: &'a Path,
    /// The staging folder, which contains `tables/`.
    pub folder: &'a Path,
    pub run_id: &'a str,
    /// Returns true for a table whose staged files replace all rows of the run.
    pub replaces: &'a dyn Fn(&str) -> bool,
    /// Other runs whose rows leave the lake with the commit.
    pub leaving: &'a [String],
    /// Returns true for a table that these rows leave.
    pub leaves: &'a dyn Fn(&str) -> bool,
}

/// Returns the statements that create all views: the lake with the run's staged rows instead of its
/// committed rows, and in the schema `run` the rows of the run alone. A table without files is
/// empty. `has_files` returns true if a folder has files of a table below it.
pub fn statements(
    staged: &Staged<'_>,
    tables: &IndexMap<String, Table>,
    columns: &FileColumns,
    has_files: impl Fn(&Path, &Table) -> bool,
) -> Vec<String> {
    let run_id = literal(staged.run_id);
    let of_lake = |condition: Option<String>, table: &Table| {
        has_files(staged.lake, table).then(|| ViewPart {
            condition,
            ..ViewPart::of_lake(staged.lake, table, columns)
        })
    };
    // Two kinds of files may be staged: new files, and files that the run shared with other runs.
    let of_staging = |condition: Option<String>, table: &Table| {
        has_files(staged.folder, table).then_some(ViewPart {
            root: staged.folder,
            files: Files::Any,
            condition,
            uniform: false,
        })
    };
    let others = |table: &Table| {
        let mut others = format!("run_id IS DISTINCT FROM {run_id}");
        let leaving = staged.leaving.iter();
        for run in leaving.filter(|_| (staged.leaves)(table.name())) {
            let _ = write!(others, " AND run_id IS DISTINCT FROM {}", literal(run));
        }
        others
    };
    let ours = format!("run_id = {run_id}");
    // Files that the run shared with others are staged again without its rows. The staged part is
    // filtered, so that the rows of other runs are not read twice.
    let whole = |table: &Table| {
        if (staged.replaces)(table.name()) {
            let before = of_lake(Some(others(table)), table);
            let now = of_staging(Some(ours.clone()), table);
            before.into_iter().chain(now).collect()
        } else {
            of_lake(None, table).into_iter().collect()
        }
    };
    let mut statements = views(tables, &columns.unreadable, whole).all();
    statements.push(format!("CREATE SCHEMA {RUN}"));
    for table in tables.values().filter(|table| table.query.is_none()) {
        let view = of_run(table.name());
        let (part, unreadable) = if (staged.replaces)(table.name()) {
            // New files have the types of the contract.
            (of_staging(Some(ours.clone()), table), &Unreadable::new())
        } else {
            (of_lake(Some(ours.clone()), table), &columns.unreadable)
        };
        statements.push(table_view(&view, table, unreadable, part.as_slice()));
    }
    statements
}

/// Name of the schema of the views with only this run's rows.
pub(crate) const RUN: &str = "run";

/// Returns the name of the view with this run's rows of a table.
pub(crate) fn of_run(table: &str) -> String {
    format!("{RUN}.{}", identifier(table))
}
