//! Converts rows from Arrow to polars and back by Arrow IPC streams, because polars has its own
//! implementation of Arrow.

use std::io::Cursor;
use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, RecordBatch};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{Field, Schema};
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use chrono::NaiveDate;
use polars::prelude::{
    DataFrame, IntoLazy, IpcStreamReader, IpcStreamWriter, LazyFrame, SerReader, SerWriter,
};

use super::{MartError, Relation};
use crate::spec::table::Table;

/// Names of the columns with the date of the partition. Their value is the same in all rows.
pub(super) const DATES: [&str; 2] = ["snapshot_date", "week_start"];

pub(super) fn to_polars(relation: &Relation) -> Result<LazyFrame, MartError> {
    let mut stream = Vec::new();
    let written = StreamWriter::try_new(&mut stream, &relation.schema).and_then(|mut writer| {
        relation.batches.iter().try_for_each(|b| writer.write(b))?;
        writer.finish()
    });
    written.map_err(MartError::Exchange)?;
    let read = IpcStreamReader::new(Cursor::new(stream)).finish();
    Ok(read.map_err(MartError::Polars)?.lazy())
}

/// Converts computed rows to Arrow, with only the columns that the contract declares. A column in
/// [`DATES`] has `date` in all rows.
pub(super) fn to_arrow(
    mut computed: DataFrame,
    table: &Table,
    date: NaiveDate,
) -> Result<RecordBatch, MartError> {
    let mut stream = Vec::new();
    let written = IpcStreamWriter::new(&mut stream).finish(&mut computed);
    written.map_err(MartError::Polars)?;
    drop(computed);
    let computed = read(stream).map_err(MartError::Exchange)?;
    let mut columns = Vec::new();
    for (name, column) in &table.columns {
        let values = if DATES.contains(&name.as_str()) {
            Some(dates(date, computed.num_rows()))
        } else {
            computed.column_by_name(name).cloned()
        };
        let values = values.ok_or_else(|| MartError::NoColumn {
            mart: table.name().to_owned(),
            column: name.clone(),
        })?;
        let field = column.to_arrow(name);
        let values = cast(&values, field.data_type()).map_err(MartError::Exchange)?;
        columns.push((field, values));
    }
    let (fields, values): (Vec<Field>, Vec<ArrayRef>) = columns.into_iter().unzip();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), values).map_err(MartError::Exchange)
}

fn read(stream: Vec<u8>) -> Result<RecordBatch, ArrowError> {
    let reader = StreamReader::try_new(Cursor::new(stream), None)?;
    let schema = reader.schema();
    let batches = reader.collect::<Result<Vec<_>, _>>()?;
    concat_batches(&schema, &batches)
}

fn dates(date: NaiveDate, rows: usize) -> ArrayRef {
    let days = (date - NaiveDate::default()).num_days();
    let days = i32::try_from(days).expect("the days of a date fit into 32 bits");
    Arc::new(Date32Array::from(vec![days; rows]))
}
