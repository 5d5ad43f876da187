//! Runs the query of a finding, and takes the rows that were not told yet.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema};
use arrow::error::ArrowError;
use arrow::json::WriterBuilder;
use arrow::json::writer::LineDelimited;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use chrono::{DateTime, NaiveDate};
use chrono_tz::Tz;
use indexmap::IndexMap;
use serde_json::Value;
use thiserror::Error;
use url::Url;

use super::message::RowCard;
use crate::extract::error::with_causes;
use crate::load::Lake;
use crate::plan::Plan;
use crate::plan::money::grouped;
use crate::plan::notify::Finding;
use crate::query::checks::columns;
use crate::query::duckdb::{Comments, Database, QueryError};
use crate::run::catalog::{self, Opened};
use crate::run::error::RunError;

#[derive(Debug, Error)]
pub enum FindingError {
    #[error(transparent)]
    Query(#[from] QueryError),
    #[error("its key names the column `{column}`, and the query returns {}", names.join(", "))]
    NoKey { column: String, names: Vec<String> },
    #[error("the queries of all findings took longer than half of the longest `timeout`")]
    Late,
    #[error("its rows cannot be read: {0}")]
    Rows(#[from] ArrowError),
    #[error("the lake cannot be read: {0}")]
    Lake(String),
}

/// Rows of a finding that were not told yet.
#[derive(Debug, Default)]
pub struct NewRows {
    /// At most `at_most` rows, each with the hash of its key.
    pub rows: Vec<NewRow>,
    /// Hashes of further rows that were not told.
    pub more: BTreeSet<String>,
    /// Hashes of the returned rows that were told before.
    pub seen: BTreeSet<String>,
}

impl NewRows {
    /// Takes all rows as told before.
    pub fn mark_seen(&mut self) {
        self.seen.extend(self.rows.drain(..).map(|row| row.key));
        self.seen.append(&mut self.more);
    }
}

#[derive(Debug)]
pub struct NewRow {
    pub key: String,
    pub values: IndexMap<String, Value>,
    pub card: RowCard,
}

/// Maximum length of a text in a message, in characters.
const LONGEST_TEXT: usize = 300;

/// Maximum length of a link, in bytes. A longer address is shown as a text.
const LONGEST_LINK: usize = 1_000;

/// Opens the lake for the queries of findings. They can read only tables and marts.
///
/// # Errors
/// The lake cannot be read.
pub fn with_database<T>(
    plan: &Plan,
    lake: &Path,
    read: impl FnOnce(&Database) -> T,
) -> Result<T, FindingError> {
    let open = |scratch: &Path, lake: &Lake| -> Result<Opened, RunError> {
        let opened = catalog::open_still(lake, &plan.contracts.relations(), Comments::Without)?;
        opened.spill_to(Some(scratch))?;
        opened.confine(lake.root())?;
        Ok(opened)
    };
    let unreadable = |error: &dyn std::error::Error| FindingError::Lake(with_causes(error));
    let lake = Lake::open_existing(lake).map_err(|error| unreadable(&error))?;
    let scratch = lake.scratch().map_err(|error| unreadable(&error))?;
    let opened = open(scratch.path(), &lake).map_err(|error| unreadable(&error))?;
    Ok(read(&opened))
}

/// Runs the query of a finding.
///
/// # Errors
/// The query cannot be run, or the key names another column.
pub fn find(
    database: &Database,
    finding: &Finding,
    told: &BTreeMap<String, NaiveDate>,
    timezone: Tz,
) -> Result<NewRows, FindingError> {
    let read = database.stream(&finding.sql, &BTreeMap::new(), |schema, batches| {
        let key = key_columns(finding, &schema)?;
        let mut found = NewRows::default();
        for batch in batches {
            take_new(&batch?, &key, finding.at_most, told, timezone, &mut found)?;
        }
        Ok(found)
    });
    read?
}

/// Returns the places of the key's columns.
fn key_columns(finding: &Finding, schema: &Schema) -> Result<Vec<usize>, FindingError> {
    if finding.key.is_empty() {
        return Ok(vec![0]);
    }
    let place = |column: &String| {
        schema.index_of(column).map_err(|_| FindingError::NoKey {
            column: column.clone(),
            names: schema.fields().iter().map(|f| f.name().clone()).collect(),
        })
    };
    finding.key.iter().map(place).collect()
}

/// Takes the rows of a batch that were not told, and that an earlier row of the result does not
/// repeat.
fn take_new(
    batch: &RecordBatch,
    key: &[usize],
    at_most: usize,
    told: &BTreeMap<String, NaiveDate>,
    timezone: Tz,
    found: &mut NewRows,
) -> Result<(), ArrowError> {
    let options = FormatOptions::default();
    let columns = key.iter().map(|at| batch.column(*at));
    let columns = columns.map(|column| ArrayFormatter::try_new(column, &options));
    let columns: Vec<ArrayFormatter<'_>> = columns.collect::<Result<_, _>>()?;
    for row in 0..batch.num_rows() {
        let mut hasher = blake3::Hasher::new();
        for column in &columns {
            let text = column.value(row).try_to_string()?;
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        }
        let hash = hasher.finalize().to_hex()[..32].to_owned();
        if told.contains_key(&hash) {
            found.seen.insert(hash);
        } else if found.rows.iter().any(|row| row.key == hash) {
            continue;
        } else if found.rows.len() == at_most {
            found.more.insert(hash);
        } else {
            let mut values = values(&batch.slice(row, 1))?;
            let card = card(&values, batch.schema_ref(), timezone);
            values.values_mut().for_each(shorten);
            found.rows.push(NewRow {
                key: hash,
                values,
                card,
            });
        }
    }
    Ok(())
}

/// Returns the values of a batch of one row.
fn values(row: &RecordBatch) -> Result<IndexMap<String, Value>, ArrowError> {
    let mut json = Vec::new();
    let builder = WriterBuilder::new().with_explicit_nulls(true);
    let mut writer = builder.build::<_, LineDelimited>(&mut json);
    writer.write(row)?;
    writer.finish()?;
    let values = serde_json::from_slice(&json);
    values.map_err(|error| ArrowError::JsonError(error.to_string()))
}

/// Cuts a long text. A list or an object becomes a text.
fn shorten(value: &mut Value) {
    match value {
        Value::String(text) => cut(text),
        Value::Array(_) | Value::Object(_) => {
            let mut text = value.to_string();
            cut(&mut text);
            *value = Value::String(text);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Cuts a text at [`LONGEST_TEXT`].
fn cut(text: &mut String) {
    if let Some((end, _)) = text.char_indices().nth(LONGEST_TEXT) {
        text.truncate(end);
        text.push('…');
    }
}

/// Returns a row for people: the column `title`, or else the first one, is the heading, and the first
/// http(s) address in a column whose name ends in `url` is its link.
fn card(values: &IndexMap<String, Value>, schema: &Schema, timezone: Tz) -> RowCard {
    let is_time = |name: &str| {
        let field = schema.field_with_name(name);
        field.is_ok_and(|field| matches!(field.data_type(), DataType::Timestamp(_, _)))
    };
    let shown = |name: &str, value: &Value| {
        let mut text = match value {
            Value::Null => return None,
            Value::String(text) if is_time(name) => local(text, timezone),
            Value::String(text) => text.clone(),
            Value::Number(number) => shown_number(number),
            Value::Bool(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
        };
        cut(&mut text);
        Some(text)
    };
    let link = values.iter().find_map(|(name, value)| {
        let address = value.as_str().filter(|_| name.ends_with("url"))?;
        let url = Url::parse(address).ok()?;
        let is_short = address.len() <= LONGEST_LINK;
        (is_short && matches!(url.scheme(), "http" | "https"))
            .then(|| (name.clone(), url.to_string()))
    });
    let heading = if values.contains_key("title") {
        Some("title")
    } else {
        values.keys().next().map(String::as_str)
    };
    let text = heading.and_then(|name| shown(name, values.get(name)?));
    let is_rest = |name: &str| {
        Some(name) != heading && link.as_ref().is_none_or(|(column, _)| name != column)
    };
    let rest = values.iter().filter(|(name, _)| is_rest(name));
    RowCard {
        values: rest
            .filter_map(|(name, value)| Some((name.clone(), shown(name, value)?)))
            .collect(),
        heading: text.unwrap_or_else(|| "(no title)".to_owned()),
        link: link.map(|(_, url)| url),
    }
}

/// Returns an instant in a time zone, for people.
fn local(text: &str, timezone: Tz) -> String {
    let at = DateTime::parse_from_rfc3339(text);
    at.map_or_else(
        |_| text.to_owned(),
        |at| {
            at.with_timezone(&timezone)
                .format("%F %H:%M %:z")
                .to_string()
        },
    )
}

/// Returns a number for people: a whole number with a comma every three digits, another one with two
/// decimals unless these would hide it.
fn shown_number(number: &serde_json::Number) -> String {
    if let Some(whole) = number.as_i64() {
        let sign = if whole < 0 { "-" } else { "" };
        return format!("{sign}{}", grouped(whole.unsigned_abs()));
    }
    match number
        .as_f64()
        .filter(|float| (0.01..1e15).contains(&float.abs()))
    {
        Some(float) => {
            let text = format!("{float:.2}");
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
        None => number.to_string(),
    }
}

/// Returns the findings of a plan whose query cannot run, by their place in `notify`. Queries are
/// bound to empty tables and not executed.
///
/// # Errors
/// The contracts cannot be turned into views.
pub fn unable(plan: &Plan, lake: &Path) -> Result<Vec<(usize, FindingError)>, QueryError> {
    let findings: Vec<(usize, &Finding)> = plan.findings().collect();
    if findings.is_empty() {
        return Ok(Vec::new());
    }
    let database = Database::open_empty(&plan.contracts.relations())?;
    database.spill_to(None)?;
    database.confine_to(&[lake])?;
    let bound = |(at, finding): (usize, &Finding)| {
        let schema = columns(&database, &finding.sql).map_err(FindingError::Query);
        let key = schema.and_then(|schema| key_columns(finding, &schema));
        Some((at, key.err()?))
    };
    Ok(findings.into_iter().filter_map(bound).collect())
}
