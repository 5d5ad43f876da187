//! Instants of a result, for people and for programs.
//!
//! DuckDB gives instants of the type TIMESTAMP WITH TIME ZONE in the time zone of the session.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::datatypes::{
    DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType,
};
use chrono::{DateTime, SecondsFormat};
use chrono_tz::Tz;

/// Form of the instants in a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstantForm {
    /// Instants in UTC, for programs.
    Utc,
    /// Texts such as `2026-02-20 08:19:40+08:00` in the zone of the session, for people.
    Local,
    /// Texts such as `2026-02-20T08:19:40+08:00` in the zone of the session, for programs.
    Rfc3339,
    /// Texts such as `2026-02-20 08:19:40` in the zone of the session, for spreadsheets.
    Clock,
    /// Instants with the zone of the session.
    AsIs,
}

impl InstantForm {
    /// Returns the schema of a result whose instants have this form.
    pub fn schema(self, schema: &SchemaRef) -> SchemaRef {
        let fields = schema.fields().iter().map(|field| self.field(field));
        let fields: Vec<FieldRef> = fields.collect();
        Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
    }

    fn field(self, field: &FieldRef) -> FieldRef {
        let DataType::Timestamp(TimeUnit::Microsecond, Some(_)) = field.data_type() else {
            return Arc::clone(field);
        };
        let kind = match self {
            InstantForm::AsIs => return Arc::clone(field),
            InstantForm::Utc => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            InstantForm::Local | InstantForm::Rfc3339 | InstantForm::Clock => DataType::Utf8,
        };
        Arc::new(Field::new(field.name(), kind, field.is_nullable()))
    }

    /// Returns a batch whose instants have this form. `schema` is that of [`InstantForm::schema`].
    pub fn batch(self, schema: &SchemaRef, batch: &RecordBatch) -> anyhow::Result<RecordBatch> {
        let columns = batch.columns().iter().map(|column| self.column(column));
        let rows = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(
            schema.clone(),
            columns.collect(),
            &rows,
        )?)
    }

    fn column(self, column: &ArrayRef) -> ArrayRef {
        let DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) = column.data_type() else {
            return Arc::clone(column);
        };
        let instants = column.as_primitive::<TimestampMicrosecondType>();
        // DuckDB's names of zones are those of IANA.
        let zone: Tz = zone.parse().unwrap_or(Tz::UTC);
        let texts = |text: &dyn Fn(DateTime<Tz>) -> String| -> ArrayRef {
            let text = |at| {
                let at = DateTime::from_timestamp_micros(at)?;
                Some(text(at.with_timezone(&zone)))
            };
            let texts = instants.iter().map(|at| at.and_then(text));
            Arc::new(texts.collect::<StringArray>())
        };
        match self {
            InstantForm::AsIs => Arc::clone(column),
            InstantForm::Utc => Arc::new(instants.clone().with_timezone("UTC")),
            InstantForm::Local => texts(&|at| at.format("%F %T%.f%:z").to_string()),
            InstantForm::Clock => texts(&|at| at.format("%F %T%.f").to_string()),
            InstantForm::Rfc3339 => texts(&|at| at.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
        }
    }
}
