//! Schema evolution: compares contracts with the columns of a lake. A column may be added at any
//! time. A contract must declare a removed or retyped column, or old files would be misread
//! silently. Pure.

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;

use super::columns::Stored;
use crate::load::{Lake, LakeError};
use crate::spec::contracts::Contracts;
use crate::spec::table::{Column, ColumnType, RowsFrom, Table};
use crate::spec::table::{FileColumns, Unreadable};
use crate::spec::yaml::diagnostic::{Diagnostic, Diagnostics};

/// A column that differs between a lake and its contract.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    pub table: String,
    pub column: String,
    /// The column's types in the files that differ from the contract's.
    pub stored: BTreeSet<ColumnType>,
    pub kind: ChangeKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// The contract no longer has the column and does not declare it as removed.
    Gone,
    /// The column has another type, and the contract does not list the old type in `was`.
    Retyped(ColumnType),
    /// The contract lists the old types, but old values cannot be read as the new type.
    Unreadable(ColumnType),
}

/// The operation on the lake that the contracts are checked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Adding files: old files must stay readable beside them.
    Add,
    /// Rewriting old files, which removes values of an old type.
    Replace,
}

/// Returns the differences that the contracts do not account for.
pub fn differences(stored: &Stored, tables: &IndexMap<String, Table>) -> Vec<Difference> {
    let mut found = Vec::new();
    for name in stored.0.keys() {
        // Marts are recomputed when their contracts change.
        let table = tables.get(name);
        let Some(table) = table.filter(|table| table.rows_from != RowsFrom::Tables) else {
            continue;
        };
        for (column, kinds) in stored.kinds(name) {
            let Some((kind, stored)) = difference(table, column, &kinds) else {
                continue;
            };
            found.push(Difference {
                table: name.clone(),
                column: column.to_owned(),
                stored,
                kind,
            });
        }
    }
    found
}

fn difference(
    table: &Table,
    name: &str,
    kinds: &BTreeSet<ColumnType>,
) -> Option<(ChangeKind, BTreeSet<ColumnType>)> {
    let Some(column) = table.columns.get(name) else {
        return (!table.has_removed(name)).then(|| (ChangeKind::Gone, kinds.clone()));
    };
    let others = others(column, kinds);
    if !others.iter().all(|kind| column.was.contains(kind)) {
        Some((ChangeKind::Retyped(column.kind), others))
    } else if !readable(column.kind, &others) {
        Some((ChangeKind::Unreadable(column.kind), others))
    } else {
        None
    }
}

/// Returns the types of a column that differ from the contract's.
fn others(column: &Column, kinds: &BTreeSet<ColumnType>) -> BTreeSet<ColumnType> {
    let others = kinds.iter().filter(|kind| **kind != column.kind);
    others.copied().collect()
}

/// Returns true if old values can be read as `kind`. With two old types they cannot: both would be
/// unified to a third type first, so their text would depend on which files exist.
fn readable(kind: ColumnType, others: &BTreeSet<ColumnType>) -> bool {
    others.len() <= 1 && others.iter().all(|other| kind.can_read(*other))
}

/// Checks contracts against the columns of a lake.
///
/// # Errors
/// Returns every difference that its contract does not account for, with the place in the contract
/// to change.
pub fn check(stored: &Stored, contracts: &Contracts, purpose: Purpose) -> Result<(), Diagnostics> {
    let differences = differences(stored, &contracts.tables);
    let matters =
        |d: &&Difference| purpose == Purpose::Add || !matches!(d.kind, ChangeKind::Unreadable(_));
    let told = differences.iter().filter(matters);
    let told: Vec<Diagnostic> = told.filter_map(|d| diagnostic(d, contracts)).collect();
    if told.is_empty() {
        Ok(())
    } else {
        Err(Diagnostics(told))
    }
}

/// Returns the tables of a lake that no contract declares any more. No view shows them.
pub fn undeclared<'s>(
    stored: &'s Stored,
    tables: &IndexMap<String, Table>,
) -> impl Iterator<Item = &'s str> {
    let has_columns = |name: &&String| !stored.kinds(name).is_empty();
    let names = stored.0.keys().filter(has_columns).map(String::as_str);
    names.filter(|name| !tables.contains_key(*name))
}

/// Returns the tables with files of an older contract, including differences that the contract
/// accounts for.
pub fn outdated(stored: &Stored, tables: &IndexMap<String, Table>) -> Vec<String> {
    let is_new = |table: &Table, name: &str, kinds: &BTreeSet<ColumnType>| {
        let column = table.columns.get(name);
        column.is_some_and(|column| others(column, kinds).is_empty())
    };
    let is_outdated = |name: &&String| {
        let columns = stored.kinds(name);
        let old = |table: &Table| columns.iter().any(|(n, kinds)| !is_new(table, n, kinds));
        tables.get(*name).is_some_and(old)
    };
    stored.0.keys().filter(is_outdated).cloned().collect()
}

/// Returns the column properties of the files that readers of these tables need.
pub fn file_columns(stored: &Stored, tables: &IndexMap<String, Table>) -> FileColumns {
    FileColumns {
        unreadable: unreadable(stored, tables),
        uniform: stored.uniform().map(str::to_owned).collect(),
    }
}

/// Returns the columns that cannot be read while old files exist, each with the reason.
pub fn unreadable(stored: &Stored, tables: &IndexMap<String, Table>) -> Unreadable {
    let mut unreadable = BTreeMap::new();
    for difference in differences(stored, tables) {
        if let ChangeKind::Retyped(kind) | ChangeKind::Unreadable(kind) = difference.kind
            && !readable(kind, &difference.stored)
        {
            let message = format!("{}; {}", difference.message(), FLATTEN);
            unreadable.insert((difference.table, difference.column), message);
        }
    }
    unreadable
}

const FLATTEN: &str = "flatten all runs again: redlake transform PIPELINE --raw and the files in the \
                       lake's folder raw/";

/// Hint for a lake that the built-in contracts do not fit.
const OWN_CONTRACTS: &str = "name the contracts that the lake was written with: `schemas:` in the pipeline, \
                             REDLAKE_SCHEMAS or --schemas DIR";

impl Difference {
    /// Describes the difference.
    pub fn message(&self) -> String {
        let Difference { table, column, .. } = self;
        let stored = words(&self.stored, " and ");
        match self.kind {
            ChangeKind::Gone => format!(
                "the lake holds the column `{column}` of `{table}` ({stored}), which its contract no \
                 longer has"
            ),
            ChangeKind::Retyped(kind) => format!(
                "the column `{column}` of `{table}` is {} here, and {stored} in files of the lake",
                kind.as_str()
            ),
            ChangeKind::Unreadable(kind) => format!(
                "the column `{column}` of `{table}` is {kind} here, and files of the lake still hold \
                 {stored}, which cannot be read as {kind}",
                kind = kind.as_str()
            ),
        }
    }

    /// Returns the hint that resolves the difference.
    fn hint(&self, table: &Table) -> String {
        let column = &self.column;
        let was = words(&self.stored, ", ");
        let rename =
            format!("rename the new column, and add `removed: {{{column}: why}}` for this one");
        match self.kind {
            ChangeKind::Gone => {
                format!("put it back, or add `removed: {{{column}: why}}` to leave it out of views")
            }
            ChangeKind::Retyped(kind) if readable(kind, &self.stored) => format!(
                "add `was: [{was}]` to the column, and its old values are read as {}",
                kind.as_str()
            ),
            // Ledger tables are never rewritten.
            _ if table.rows_from != RowsFrom::Pages => rename,
            ChangeKind::Retyped(_) => {
                format!("{rename}; or add `was: [{was}]` and {FLATTEN}")
            }
            ChangeKind::Unreadable(_) => FLATTEN.to_owned(),
        }
    }
}

fn diagnostic(difference: &Difference, contracts: &Contracts) -> Option<Diagnostic> {
    let Difference { table, column, .. } = difference;
    let place = match difference.kind {
        ChangeKind::Gone => contracts.place_of_table(table),
        _ => contracts.place_of_column(table, column),
    };
    let (file, span) = place.or_else(|| contracts.place_of_table(table))?;
    let hint = if contracts.are_built_in {
        OWN_CONTRACTS.to_owned()
    } else {
        difference.hint(contracts.tables.get(table)?)
    };
    Some(Diagnostic::error(&file, Some(span), difference.message()).hint(hint))
}

fn words(kinds: &BTreeSet<ColumnType>, between: &str) -> String {
    let words: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
    words.join(between)
}

impl Lake {
    /// Checks that the contracts account for all columns of the lake.
    ///
    /// # Errors
    /// Fails if a folder cannot be listed. Returns [`LakeError::BelowPartition`], or
    /// [`LakeError::Contracts`] with every difference.
    pub fn check(&self, contracts: &Contracts, purpose: Purpose) -> Result<(), LakeError> {
        self.keep_clear_of_columns(&contracts.tables)?;
        let checked = check(&self.columns()?, contracts, purpose);
        checked.map_err(LakeError::Contracts)
    }
}
