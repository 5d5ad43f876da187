//! Loads the contracts of sources, tables, marts and views: the embedded ones, or those in a folder.

mod files;
mod views;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use indexmap::IndexMap;

use super::class::CallClass;
use super::mart::{Mart, MartFile};
use super::source::{Source, checks as source_checks};
use super::table::{CommonColumns, RowsFrom, Table};
use crate::spec::references::{known_columns, possible_decimals};
use crate::spec::yaml::diagnostic::{Diagnostic, Diagnostics, SourceFile, nearest};
use crate::spec::yaml::document::Spanned;
use files::{built_in_marts, read, read_folder, same_name};
use views::views;

pub use files::embedded;

/// The contracts of sources, tables and marts.
#[derive(Clone, Debug)]
pub struct Contracts {
    pub sources: BTreeMap<String, Contract<Source>>,
    /// Tables by name, in alphabetical order.
    pub tables: IndexMap<String, Table>,
    /// Tables that are computed from `tables`, by name, in alphabetical order.
    pub marts: IndexMap<String, Mart>,
    /// Views that are computed from tables and other views, by name. A view comes after those that
    /// it reads.
    pub views: IndexMap<String, Table>,
    /// True for the built-in contracts, whose files a user does not have.
    pub are_built_in: bool,
    /// The files of the tables, by table name.
    pub(super) table_files: BTreeMap<String, SourceFile>,
    /// The file of the common columns.
    pub(super) common_file: Option<SourceFile>,
}

/// A contract and its file, for errors that are found when the contract is compiled.
#[derive(Clone, Debug)]
pub struct Contract<T> {
    pub value: T,
    pub file: SourceFile,
}

impl<T> std::ops::Deref for Contract<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

impl Contracts {
    /// Loads the contracts in `dir`; without it, the built-in ones.
    ///
    /// # Errors
    /// Returns a diagnostic for every mistake in any of the files.
    pub fn load(dir: Option<&Path>) -> Result<Self, Diagnostics> {
        let mut found = Vec::new();
        let files = match dir {
            Some(dir) => read_folder(dir, &mut found),
            None => embedded(),
        };
        let mut contracts = Self::told(&files, found, dir.is_some())?;
        contracts.are_built_in = dir.is_none();
        Ok(contracts)
    }

    /// Adds the tables and columns of the built-in ledger that are missing: redlake itself writes
    /// them, and contracts that an earlier version exported lack new ones. A column that a contract
    /// declares as removed stays out.
    fn complete_ledger(&mut self) {
        let is_ledger = |path: &Path, text: &str| {
            path == Path::new(COMMON) || text.contains("\nrows_from: redlake\n")
        };
        let mut files = embedded();
        files.retain(|path, file| is_ledger(path, file.text()));
        let built_in = Self::from_files(&files, &mut Vec::new(), false);
        let ledger = built_in.tables.into_iter();
        for (name, table) in ledger.filter(|(_, table)| table.rows_from == RowsFrom::Redlake) {
            match self.tables.get_mut(&name) {
                Some(own) => {
                    for (column, contract) in table.columns {
                        if !own.has_removed(&column) {
                            own.columns.entry(column).or_insert(contract);
                        }
                    }
                }
                None => {
                    self.table_files.extend(
                        built_in
                            .table_files
                            .get_key_value(&name)
                            .map(|(name, file)| (name.clone(), file.clone())),
                    );
                    self.tables.insert(name, table);
                }
            }
        }
        self.tables.sort_keys();
    }

    /// Loads the contracts in these files. The keys are paths inside a folder such as
    /// `schemas`.
    ///
    /// # Errors
    /// Returns a diagnostic for every mistake in any of the files.
    pub fn from_texts(files: &BTreeMap<PathBuf, SourceFile>) -> Result<Self, Diagnostics> {
        Self::told(files, Vec::new(), false)
    }

    /// Returns the contracts if `found` is empty before and after they are read. With
    /// `completes_ledger`, what the tables of the ledger lack is taken from the built-in ones.
    fn told(
        files: &BTreeMap<PathBuf, SourceFile>,
        mut found: Vec<Diagnostic>,
        completes_ledger: bool,
    ) -> Result<Self, Diagnostics> {
        let mut contracts = Self::from_files(files, &mut found, completes_ledger);
        if found.is_empty() {
            contracts.views = views(files, &contracts.tables, &mut found);
        }
        if found.is_empty() {
            Ok(contracts)
        } else {
            Err(Diagnostics(found))
        }
    }

    fn from_files(
        files: &BTreeMap<PathBuf, SourceFile>,
        found: &mut Vec<Diagnostic>,
        completes_ledger: bool,
    ) -> Self {
        let before = found.len();
        let common = files
            .get(Path::new(COMMON))
            .and_then(|file| read(file, found));
        let common_is_whole = found.len() == before;
        let common = common.unwrap_or_else(|| CommonColumns {
            every_table: IndexMap::new(),
            from_pages: IndexMap::new(),
        });
        let mut contracts = Contracts {
            sources: BTreeMap::new(),
            tables: IndexMap::new(),
            marts: IndexMap::new(),
            views: IndexMap::new(),
            are_built_in: false,
            table_files: BTreeMap::new(),
            common_file: files.get(Path::new(COMMON)).cloned(),
        };
        for (path, file) in files {
            let before = found.len();
            if path.starts_with("sources") {
                if let Some(source) = read::<Source>(file, found) {
                    same_name(&source.source, file, found);
                    known_classes(&source, file, found);
                    source_checks::check(&source, file, found);
                    let name = source.source.value.clone();
                    contracts.sources.insert(
                        name,
                        Contract {
                            value: source,
                            file: file.clone(),
                        },
                    );
                }
            } else if path.starts_with("tables")
                && let Some(table) = read::<Table>(file, found)
            {
                let table = table.with_common(&common);
                // A column that could not be read must not be reported as unknown, too.
                if common_is_whole && found.len() == before {
                    known_columns(&table, file, found);
                    removed_columns(&table, file, found);
                    possible_decimals(&table, file, found);
                }
                same_name(&table.table, file, found);
                let name = table.name().to_owned();
                contracts.table_files.insert(name.clone(), file.clone());
                contracts.tables.insert(name, table);
            }
        }
        if completes_ledger {
            contracts.complete_ledger();
        }
        for (name, file) in &contracts.table_files {
            let table = &contracts.tables[name];
            // A table that cannot be read is reported already.
            let is_told = |other: &Spanned<String>| {
                let path = Path::new("tables").join(format!("{}.yaml", other.value));
                files.contains_key(&path) && !contracts.tables.contains_key(&other.value)
            };
            if !table.latest_with.as_ref().is_some_and(is_told) {
                same_groups(table, &contracts.tables, file, found);
            }
        }
        // Tables that could not be read must not be reported as missing, too.
        let tables_are_whole = found.is_empty();
        for (_, file) in files.iter().filter(|(path, _)| path.starts_with("marts")) {
            if let Some(mart) = read::<MartFile>(file, found)
                && tables_are_whole
            {
                same_name(mart.name(), file, found);
                let mart = mart.over(&contracts.tables, &built_in_marts(), file, found);
                contracts.marts.insert(mart.table.name().to_owned(), mart);
            }
        }
        contracts
    }

    /// Returns the relations that a query can name: tables, marts and views. A view comes after
    /// those that it reads.
    pub fn relations(&self) -> IndexMap<String, Table> {
        let marts = self.marts.iter();
        let marts = marts.map(|(name, mart)| (name.clone(), mart.table.clone()));
        let tables = self.tables.clone().into_iter().chain(marts);
        tables.chain(self.views.clone()).collect()
    }

    /// Returns the tables, and the views, which read tables only.
    pub fn tables_and_views(&self) -> IndexMap<String, Table> {
        let views = self.views.clone();
        self.tables.clone().into_iter().chain(views).collect()
    }
}

const COMMON: &str = "common_columns.yaml";

fn known_classes(source: &Source, file: &SourceFile, found: &mut Vec<Diagnostic>) {
    for code in source.codes.values() {
        if !CallClass::OF_CODES.contains(&code.class.value) {
            let message = format!("no code has the class `{}`", code.class.value);
            let classes = CallClass::OF_CODES.map(CallClass::as_str);
            let hint = format!("use one of: {}", classes.join(", "));
            found.push(Diagnostic::error(file, Some(code.class.span()), message).hint(hint));
        }
    }
}

/// Checks that the table in `latest_with` has the same `latest_by`.
fn same_groups(
    table: &Table,
    tables: &IndexMap<String, Table>,
    file: &SourceFile,
    found: &mut Vec<Diagnostic>,
) {
    let Some(with) = &table.latest_with else {
        return;
    };
    let names = |table: &Table| -> Vec<String> {
        table
            .latest_by
            .iter()
            .map(|name| name.value.clone())
            .collect()
    };
    if tables
        .get(&with.value)
        .is_none_or(|other| names(other) != names(table))
    {
        let message = format!("`{}` is not a table with the same `latest_by`", with.value);
        let near = nearest(with, tables.keys().map(String::as_str));
        let hint = match near.filter(|near| *near != with.value) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "name a table whose `latest_by` has the same columns, or remove `latest_with`"
                .to_owned(),
        };
        found.push(Diagnostic::error(file, Some(with.span()), message).hint(hint));
    }
}

/// Checks that no column is both declared and removed.
fn removed_columns(table: &Table, file: &SourceFile, found: &mut Vec<Diagnostic>) {
    for name in table.removed.keys() {
        if table.columns.contains_key(&name.value) {
            let message = format!("`{}` is both a column and removed", name.value);
            let hint = "take it out of `removed`, or out of `columns`";
            found.push(Diagnostic::error(file, Some(name.span()), message).hint(hint));
        }
    }
}
