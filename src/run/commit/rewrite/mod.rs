//! Rewrites committed files: merges several into one, or drops the rows of a run.

mod content;
mod source;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use indexmap::IndexMap;

use crate::load::commit::{ScratchFolder, Staging};
use crate::load::inventory::LiveFile;
use crate::load::locks::RewriteLock;
use crate::load::{Lake, encode, evolution};
use crate::plan::parts::Compression;
use crate::query::duckdb::{DatabaseLimits, processors};
use crate::run::error::RunError;
use crate::spec::contracts::Contracts;
use crate::spec::table::{Table, Unreadable};
use crate::transform::tables::shape::Layout;
use crate::transform::tables::sorter::Sorter;
use crate::transform::tables::spill::Scratch;
use content::RowContent;
use source::{StoredRows, read_files};

/// Target size of a file in bytes.
pub const FILE_BYTES: u64 = 192 << 20;

/// Bytes of rows that all rewriters together hold in memory before they spill to disk. Sort keys
/// take memory besides.
const ROWS_MEMORY: usize = 256 << 20;

/// Memory in bytes that the databases of all rewriters together may use before they spill. A
/// conversion of files with different columns opens all of them at once.
const CONVERSION_MEMORY: u64 = 1 << 30;

/// Maximum number of rewriters at the same time.
const MOST: usize = 4;

const COMPRESSION: Compression = Compression::Zstd(3);

/// The tables whose files can be rewritten.
pub struct Rewritable<'l> {
    tables: &'l IndexMap<String, Table>,
    unreadable: Unreadable,
}

/// Rewrites files of a lake.
pub struct Rewriter<'l> {
    lake: &'l Lake,
    folder: ScratchFolder,
    scratch: Scratch,
    /// Bytes of rows in memory.
    memory: usize,
    limits: DatabaseLimits,
}

/// Number of files and rows that a rewrite wrote.
#[derive(Clone, Copy, Debug, Default)]
pub struct Written {
    pub files: u64,
    pub rows: u64,
}

impl<'l> Rewritable<'l> {
    /// Returns those of these tables whose files fit their contracts.
    ///
    /// # Errors
    /// The lake's column summary cannot be read.
    pub fn of(lake: &Lake, tables: &'l IndexMap<String, Table>) -> Result<Self, RunError> {
        let unreadable = lake.file_columns(tables)?.unreadable;
        Ok(Rewritable { tables, unreadable })
    }

    /// Returns the contract of a table whose files can be rewritten. Returns `None` and logs a
    /// warning if a rewrite would lose data: the table has no contract, or its files do not fit.
    pub fn contract(&self, name: &str) -> Option<&'l Table> {
        let Some(table) = self.tables.get(name) else {
            tracing::warn!("the files of {name} are not rewritten: no contract declares it");
            return None;
        };
        let reason = self.unreadable.iter().find(|((of, _), _)| of == name);
        if let Some((_, reason)) = reason {
            tracing::warn!("the files of {name} are not rewritten: {reason}");
            return None;
        }
        Some(table)
    }
}

impl<'l> Rewriter<'l> {
    /// Makes a rewriter with a scratch folder in the lake.
    ///
    /// # Errors
    /// The scratch folder cannot be created.
    pub fn new(lake: &'l Lake) -> Result<Self, RunError> {
        Self::with_share(lake, 1)
    }

    /// Makes rewriters that work at the same time: one for each processor, but not more than `most`. They
    /// share the processors and the memory.
    ///
    /// # Errors
    /// As [`Rewriter::new`].
    pub fn several(lake: &'l Lake, most: usize) -> Result<Vec<Self>, RunError> {
        let several = processors().min(most).clamp(1, MOST);
        let each = (0..several).map(|_| Self::with_share(lake, several));
        each.collect()
    }

    /// Makes one of `rewriters` that work at the same time.
    fn with_share(lake: &'l Lake, rewriters: usize) -> Result<Self, RunError> {
        let folder = lake.scratch()?;
        Ok(Rewriter {
            lake,
            scratch: Scratch::new(folder.path().to_owned()),
            folder,
            memory: ROWS_MEMORY / rewriters,
            limits: DatabaseLimits {
                memory: CONVERSION_MEMORY / rewriters as u64,
                threads: processors().div_ceil(rewriters),
            },
        })
    }

    /// Stages the rows of files of one table and partition as files of about [`FILE_BYTES`]. Drops
    /// the rows of the runs `but_runs`. `name` is the prefix of the new file names.
    /// Compares row count and checksum before and after.
    ///
    /// # Errors
    /// An input file differs from its commit record or cannot be read, the disk is full, or the rows
    /// read back differ from the rows before.
    pub fn rewrite(
        &self,
        staging: &Staging,
        table: &Table,
        inputs: &[&LiveFile],
        but_runs: &[&str],
        name: &str,
    ) -> Result<Written, RunError> {
        let Some(partition) = inputs.first().map(|file| file.partition()) else {
            return Ok(Written::default());
        };
        // A rewrite would give damaged rows a valid checksum.
        for live in inputs {
            self.lake.require_whole(&live.file)?;
        }
        let files: Vec<PathBuf> = inputs
            .iter()
            .map(|live| self.lake.root().join(&live.file.path))
            .collect();
        let source = StoredRows::open(table, &files, but_runs, self.folder.path(), self.limits)?;
        let layout = layout(table, &source.schema);
        let mut before = RowContent::default();
        let mut sorter = Sorter::new(&layout, &self.scratch, self.memory);
        source.read(|rows| {
            before.add(&rows)?;
            sorter.push(rows)
        })?;
        if before.rows == 0 {
            return Ok(Written::default());
        }
        let all_rows: u64 = inputs.iter().map(|live| live.file.rows).sum();
        let bytes: u64 = inputs.iter().map(|live| live.file.bytes).sum();
        let target = Target {
            table,
            partition,
            name,
            rows_a_file: rows_a_file(all_rows, bytes),
            schema: &source.schema,
        };
        let rows = sorter.finish().map_err(RunError::Rewrite)?;
        let paths = stage_files(staging, target, rows)?;
        let mut after = RowContent::default();
        for path in &paths {
            let content = content_of(&staging.staged_path(path), &source.schema)?;
            staging.holds(path, content.runs.clone());
            after.merge(content);
        }
        if before != after {
            return Err(RunError::Rewritten {
                partition: partition.to_owned(),
                before: before.rows,
                after: after.rows,
            });
        }
        Ok(Written {
            files: paths.len() as u64,
            rows: after.rows,
        })
    }
}

/// Returns the layout of rows in the contract's order. Ties are ordered by snapshot time, run and the
/// other columns. A table without `sort_by` is sorted by all columns.
fn layout(table: &Table, schema: &SchemaRef) -> Layout {
    let place = |name: &str| schema.index_of(name).ok();
    let by: Vec<usize> = table
        .sort_by
        .iter()
        .filter_map(|name| place(&name.value))
        .collect();
    Layout {
        schema: Arc::clone(schema),
        group: if by.is_empty() {
            (0..schema.fields().len()).collect()
        } else {
            by
        },
        latest: false,
        order: ["snapshot_at", "run_id"]
            .into_iter()
            .filter_map(place)
            .collect(),
    }
}

fn content_of(file: &Path, schema: &SchemaRef) -> Result<RowContent, RunError> {
    let mut content = RowContent::default();
    read_files(&[file.to_owned()], schema, |rows| {
        content.add(&rows).map_err(RunError::Rewrite)
    })?;
    Ok(content)
}

/// Removes rows of runs. `runs_of` returns the runs whose rows leave a table. Files that other runs
/// share are staged without them. Returns the paths of the files to remove.
///
/// # Errors
/// As [`Rewriter::rewrite`].
pub fn take_rows_out<'r>(
    lake: &Lake,
    tables: &IndexMap<String, Table>,
    staging: &Staging,
    runs_of: impl Fn(&str) -> &'r [&'r str],
    _rewriting: &RewriteLock,
) -> Result<Vec<String>, RunError> {
    let added = staging.paths();
    let mut removed = Vec::new();
    let mut rewriter = None;
    for (path, live) in lake.live_files()? {
        let leaving = runs_of(&live.file.table);
        let leaves = |run: &String| leaving.contains(&run.as_str());
        if added.contains(&path) || !live.runs.iter().any(leaves) {
            continue;
        }
        if !live.runs.iter().all(leaves) {
            // Without a contract the rows of the other runs could not be written again.
            let Some(table) = tables.get(&live.file.table) else {
                continue;
            };
            let rewriter = match &mut rewriter {
                Some(rewriter) => rewriter,
                None => rewriter.insert(Rewriter::new(lake)?),
            };
            let name = format!("compact-{}-{}", staging.id(), removed.len() + 1);
            rewriter.rewrite(staging, table, &[&live], leaving, &name)?;
        }
        removed.push(path);
    }
    Ok(removed)
}

/// Recounts the columns of tables whose files were replaced or removed. Columns that no file has
/// any more drop out of the summary, so the contracts need not account for them. Logs a warning
/// for each table whose files still do not fit its contract.
///
/// # Errors
/// The lake cannot be read, or its column summary cannot be written.
pub fn forget_old_columns(lake: &Lake, contracts: &Contracts) -> Result<(), RunError> {
    let tables = &contracts.tables;
    let outdated = evolution::outdated(&lake.columns()?, tables);
    // Old files of the other tables may have lacked a column.
    let others = tables.keys().filter(|name| !outdated.contains(name));
    lake.recount_mixed(others.map(String::as_str))?;
    if outdated.is_empty() {
        return Ok(());
    }
    lake.recount_columns(outdated.iter().map(String::as_str))?;
    for reason in lake.file_columns(tables)?.unreadable.values() {
        tracing::warn!("{reason}");
    }
    Ok(())
}

/// Returns the number of rows per file. Files have at most about [`FILE_BYTES`], and the files of
/// a partition are about equal in size.
fn rows_a_file(rows: u64, bytes: u64) -> u64 {
    let files = bytes.div_ceil(FILE_BYTES).max(1);
    rows.div_ceil(files).max(1)
}

/// The files that a rewrite writes.
#[derive(Clone, Copy)]
struct Target<'t> {
    table: &'t Table,
    partition: &'t Path,
    /// Prefix of the names.
    name: &'t str,
    rows_a_file: u64,
    schema: &'t SchemaRef,
}

/// Writes batches into files of at most about [`Target::rows_a_file`] rows. Returns their paths,
/// relative to the lake.
fn stage_files(
    staging: &Staging,
    target: Target<'_>,
    batches: impl Iterator<Item = Result<RecordBatch, ArrowError>>,
) -> Result<Vec<String>, RunError> {
    let Target {
        table,
        partition,
        name,
        rows_a_file,
        schema,
    } = target;
    let mut batches = batches.peekable();
    let mut paths = Vec::new();
    while batches.peek().is_some() {
        let path = partition.join(format!("{name}-{}.parquet", paths.len() + 1));
        let path = path.to_string_lossy().replace('\\', "/");
        let mut rows = 0;
        let mut next = || {
            if rows >= rows_a_file {
                return None;
            }
            let batch = batches.next()?;
            rows += batch.as_ref().map_or(0, |batch| batch.num_rows() as u64);
            Some(batch)
        };
        staging.add(path.clone(), table.name(), schema, |out| {
            let rows = encode::Rows {
                schema: Arc::clone(schema),
                most: rows_a_file,
                batches: &mut std::iter::from_fn(&mut next),
            };
            encode::write_parquet(rows, table, COMPRESSION, out)
        })?;
        paths.push(path);
    }
    Ok(paths)
}
