//! Adds the local publication time of notes, in the time zone of the pipeline.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int32Array, Int64Array, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use arrow::error::ArrowError;
use chrono::{DateTime, NaiveDate, NaiveDateTime, Offset, TimeZone, Timelike};
use chrono_tz::Tz;

use super::Relation;

/// Days since 1970.
pub(super) const DATE: &str = "published_date";
pub(super) const HOUR: &str = "published_hour";

/// Adds [`DATE`] and [`HOUR`] to a relation with `pipeline` and `published_at`. They are null where
/// the publication time is null or the zone of the pipeline is not in `zones`.
pub(super) fn with_local_times(
    relation: Relation,
    zones: &BTreeMap<String, Tz>,
) -> Result<Relation, ArrowError> {
    let Relation { schema, batches } = relation;
    let columns = (schema.index_of("pipeline"), schema.index_of("published_at"));
    let (Ok(pipeline), Ok(published)) = columns else {
        return Ok(Relation { schema, batches });
    };
    let added = [
        Field::new(DATE, DataType::Int32, true),
        Field::new(HOUR, DataType::Int64, true),
    ];
    let fields = schema.fields().iter().map(|field| field.as_ref().clone());
    let schema = Arc::new(Schema::new(fields.chain(added).collect::<Vec<_>>()));
    let batches = batches.into_iter().map(|batch| {
        let (dates, hours) = local(batch.column(pipeline), batch.column(published), zones)?;
        let columns = batch.columns().iter().cloned().chain([dates, hours]);
        RecordBatch::try_new(Arc::clone(&schema), columns.collect())
    });
    let batches = batches.collect::<Result<Vec<_>, _>>()?;
    Ok(Relation { schema, batches })
}

fn local(
    pipelines: &ArrayRef,
    published: &ArrayRef,
    zones: &BTreeMap<String, Tz>,
) -> Result<(ArrayRef, ArrayRef), ArrowError> {
    let pipelines = cast(pipelines, &DataType::Utf8)?;
    let published = cast(published, &DataType::Int64)?;
    let rows = pipelines.as_string::<i32>().iter();
    let rows = rows.zip(published.as_primitive::<Int64Type>());
    let times: Vec<Option<NaiveDateTime>> = rows
        .map(|(pipeline, at)| local_time(at?, *zones.get(pipeline?)?))
        .collect();
    let dates = times.iter().map(|time| {
        let days = (time.as_ref()?.date() - NaiveDate::default()).num_days();
        i32::try_from(days).ok()
    });
    let hours = times
        .iter()
        .map(|time| Some(i64::from(time.as_ref()?.hour())));
    let dates: Int32Array = dates.collect();
    let hours: Int64Array = hours.collect();
    Ok((Arc::new(dates), Arc::new(hours)))
}

/// Returns the local time of an instant in microseconds. `None` outside the years that chrono
/// holds.
fn local_time(micros: i64, zone: Tz) -> Option<NaiveDateTime> {
    let utc = DateTime::from_timestamp_micros(micros)?.naive_utc();
    utc.checked_add_offset(zone.offset_from_utc_datetime(&utc).fix())
}
