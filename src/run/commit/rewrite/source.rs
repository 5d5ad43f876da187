//! Reads the rows of committed files with the columns that they are rewritten with.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, new_null_array};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::load::files::failed as lake_failed;
use crate::load::{LakeError, columns};
use crate::query::duckdb::{Database, DatabaseLimits};
use crate::query::rewrite::rows_as_declared;
use crate::run::error::RunError;
use crate::spec::table::Table;

/// Number of rows in a batch that is read.
const ROWS: usize = 8_192;

/// The rows of files of one table.
pub struct StoredRows<'s> {
    files: &'s [PathBuf],
    /// The columns that the files are rewritten with.
    pub schema: SchemaRef,
    /// The rows of these runs are left out.
    but_runs: &'s [&'s str],
    conversion: Option<Conversion>,
}

/// DuckDB, and the query for the rows. Views convert values of an old type as DuckDB does, and a
/// value must not change when its file is rewritten.
struct Conversion {
    database: Database,
    rows: String,
}

/// A column of the files.
struct FileColumn<'s> {
    /// One for each file that has the column.
    fields: Vec<&'s Field>,
    /// True if every file has the column, declared without nulls.
    required: bool,
}

impl<'s> StoredRows<'s> {
    /// Reads the footers of the files. The columns are those of the contract in its order, then those
    /// that it does not know, so that no data is lost. With `but_runs`, a column keeps its type, which
    /// may be older than the contract, if it has the same one in all files.
    ///
    /// # Errors
    /// A footer cannot be read, or DuckDB cannot read the files together.
    pub fn open(
        table: &Table,
        files: &'s [PathBuf],
        but_runs: &'s [&'s str],
        scratch: &Path,
        limits: DatabaseLimits,
    ) -> Result<Self, RunError> {
        let footer = |file: &PathBuf| columns::schema(file).map_err(|e| unreadable(file, e));
        let schemas: Vec<Schema> = files.iter().map(footer).collect::<Result<_, _>>()?;
        let stored = columns_of(&schemas);
        let mut fields = rewritten(table, &stored, but_runs.is_empty());
        let conversion = if fields.iter().all(|field| has_type(&stored, field)) {
            None
        } else {
            let database = Database::of_files(scratch, limits)?;
            let names: Vec<&str> = stored.keys().copied().collect();
            let is_uniform = stored.values().all(|column| column.is_uniform(files.len()));
            let rows = rows_as_declared(table, &names, files, is_uniform);
            let answer = database.query(&format!("FROM ({rows}) LIMIT 0"))?;
            for (field, read) in fields.iter_mut().zip(answer.schema.fields()) {
                field.set_data_type(read.data_type().clone());
            }
            Some(Conversion { database, rows })
        };
        Ok(StoredRows {
            files,
            schema: Arc::new(Schema::new(fields)),
            but_runs,
            conversion,
        })
    }

    /// Calls `take` with all rows, batch by batch.
    ///
    /// # Errors
    /// A file cannot be read, or the error of `take`.
    pub fn read(
        &self,
        mut take: impl FnMut(RecordBatch) -> Result<(), ArrowError>,
    ) -> Result<(), RunError> {
        let take = |rows| {
            let taken = without_runs(rows, self.but_runs).and_then(&mut take);
            taken.map_err(RunError::Rewrite)
        };
        match &self.conversion {
            Some(conversion) => conversion.read(&self.schema, take),
            None => read_files(self.files, &self.schema, take),
        }
    }
}

impl FileColumn<'_> {
    /// Returns true if all files have the column with the same type.
    fn is_uniform(&self, files: usize) -> bool {
        let mut kinds = self.fields.windows(2);
        self.fields.len() == files && kinds.all(|pair| pair[0].data_type() == pair[1].data_type())
    }
}

impl Conversion {
    fn read(
        &self,
        schema: &SchemaRef,
        mut take: impl FnMut(RecordBatch) -> Result<(), RunError>,
    ) -> Result<(), RunError> {
        let Conversion { database, rows } = self;
        database.stream(rows, &BTreeMap::new(), |_, batches| {
            for rows in batches {
                let columns = rows?.columns().to_vec();
                let rows = RecordBatch::try_new(Arc::clone(schema), columns);
                take(rows.map_err(RunError::Rewrite)?)?;
            }
            Ok(())
        })?
    }
}

/// Calls `take` with the rows of the files, one file after the other. A column that a file lacks is
/// null.
///
/// # Errors
/// A file cannot be read, or the error of `take`.
pub fn read_files(
    files: &[PathBuf],
    schema: &SchemaRef,
    mut take: impl FnMut(RecordBatch) -> Result<(), RunError>,
) -> Result<(), RunError> {
    for path in files {
        let failed = |e: String| unreadable(path, e);
        let file = File::open(path).map_err(lake_failed("open", path))?;
        let reader =
            ParquetRecordBatchReaderBuilder::try_new_with_options(file, columns::options());
        let reader = reader.and_then(|reader| reader.with_batch_size(ROWS).build());
        for rows in reader.map_err(|e| failed(e.to_string()))? {
            let rows = rows.and_then(|rows| with_columns(&rows, schema));
            take(rows.map_err(|e| failed(e.to_string()))?)?;
        }
    }
    Ok(())
}

fn unreadable(path: &Path, reason: String) -> LakeError {
    LakeError::Unreadable {
        path: path.to_owned(),
        reason,
    }
}

/// Returns the columns of all files together, by name.
fn columns_of(schemas: &[Schema]) -> BTreeMap<&str, FileColumn<'_>> {
    let mut columns: BTreeMap<&str, Vec<&Field>> = BTreeMap::new();
    for field in schemas.iter().flat_map(Schema::fields) {
        columns.entry(field.name()).or_default().push(field);
    }
    let columns = columns.into_iter().map(|(name, fields)| {
        let is_everywhere = fields.len() == schemas.len();
        let required = is_everywhere && fields.iter().all(|field| !field.is_nullable());
        (name, FileColumn { fields, required })
    });
    columns.collect()
}

/// Returns the columns to write. With `declared` they have the types of the contract, if it knows
/// them.
fn rewritten(table: &Table, stored: &BTreeMap<&str, FileColumn<'_>>, declared: bool) -> Vec<Field> {
    let known = table.columns.iter().map(|(name, column)| {
        let stored = stored.get(name.as_str());
        let required = column.required && stored.is_some_and(|stored| stored.required);
        let kind = match stored.and_then(|stored| stored.fields.first()) {
            Some(field) if !declared => field.data_type().clone(),
            _ => column.kind.to_arrow(),
        };
        Field::new(name, kind, !required)
    });
    let unknown = stored
        .iter()
        .filter(|(name, _)| !table.columns.contains_key(**name));
    let unknown = unknown.filter_map(|(name, column)| {
        let kind = column.fields.first()?.data_type().clone();
        Some(Field::new(*name, kind, !column.required))
    });
    known.chain(unknown).collect()
}

/// Returns true if all files that have the column have it with the type of this field.
fn has_type(stored: &BTreeMap<&str, FileColumn<'_>>, field: &Field) -> bool {
    let stored = stored.get(field.name().as_str());
    let mut stored = stored.into_iter().flat_map(|stored| &stored.fields);
    stored.all(|stored| stored.data_type() == field.data_type())
}

fn with_columns(rows: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let column = |field: &Arc<Field>| -> ArrayRef {
        let null = || new_null_array(field.data_type(), rows.num_rows());
        rows.column_by_name(field.name())
            .map_or_else(null, Arc::clone)
    };
    let columns = schema.fields().iter().map(column).collect();
    RecordBatch::try_new(Arc::clone(schema), columns)
}

fn without_runs(rows: RecordBatch, runs: &[&str]) -> Result<RecordBatch, ArrowError> {
    if runs.is_empty() {
        return Ok(rows);
    }
    let of_rows = rows.column_by_name("run_id");
    let of_rows = of_rows.and_then(|column| column.as_string_opt::<i32>());
    let Some(of_rows) = of_rows else {
        let reason = "the column `run_id` is missing or not text".to_owned();
        return Err(ArrowError::SchemaError(reason));
    };
    let stays = of_rows
        .iter()
        .map(|run| !run.is_some_and(|run| runs.contains(&run)));
    filter_record_batch(&rows, &stays.collect::<Vec<_>>().into())
}
