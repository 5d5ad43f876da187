//! The inputs of marts: rows of one business date, and the related rows of earlier dates.
//! Timestamps are in microseconds since 1970.

use chrono::NaiveDate;

use super::duckdb::{Database, QueryAnswer, QueryError};
use crate::query::sql::{identifier, literal};
use crate::spec::table::{ColumnType, Table};

/// Returns these columns of all rows of a table on a date.
///
/// # Errors
/// Fails if the lake cannot be read.
pub fn rows(
    database: &Database,
    table: &Table,
    columns: &[String],
    date: NaiveDate,
) -> Result<QueryAnswer, QueryError> {
    let name = identifier(table.name());
    let columns = select(table, columns);
    database.query(&format!("SELECT {columns} FROM {name} WHERE {}", on(date)))
}

/// Returns `pipeline`, `keyword` and `note_id` of the notes that searches found on a date and on an
/// earlier date.
///
/// # Errors
/// Fails if the lake cannot be read.
pub fn hits_found_before(database: &Database, date: NaiveDate) -> Result<QueryAnswer, QueryError> {
    let hits = "SELECT DISTINCT pipeline, keyword, entity_id AS note_id FROM search_results \
                WHERE entity = 'note' AND";
    database.query(&format!(
        "SELECT * FROM ({hits} {}) SEMI JOIN ({hits} {}) USING (pipeline, keyword, note_id)",
        before(date),
        on(date)
    ))
}

/// Returns `pipeline` and `note_id` of the notes with a row in one of these tables on a date and a
/// row in `notes` on an earlier date.
///
/// # Errors
/// Fails if the lake cannot be read.
pub fn notes_seen_before(
    database: &Database,
    tables: &[&str],
    date: NaiveDate,
) -> Result<QueryAnswer, QueryError> {
    let seen = tables.iter().map(|table| {
        let table = identifier(table);
        format!("SELECT pipeline, note_id FROM {table} WHERE {}", on(date))
    });
    let seen: Vec<String> = seen.collect();
    database.query(&format!(
        "SELECT * FROM (SELECT DISTINCT pipeline, note_id FROM notes WHERE {}) \
         SEMI JOIN ({}) USING (pipeline, note_id)",
        before(date),
        seen.join(" UNION ALL ")
    ))
}

/// Returns these columns of `engagement` for each note with a row on a date: the rows of its last
/// snapshot on earlier dates.
///
/// # Errors
/// Fails if the lake cannot be read.
pub fn counts_before(
    database: &Database,
    engagement: &Table,
    columns: &[String],
    date: NaiveDate,
) -> Result<QueryAnswer, QueryError> {
    database.query(&format!(
        "SELECT {} FROM (SELECT * FROM engagement \
         SEMI JOIN (SELECT pipeline, note_id FROM engagement WHERE {}) USING (pipeline, note_id) \
         WHERE {} QUALIFY snapshot_at = max(snapshot_at) OVER (PARTITION BY pipeline, note_id))",
        select(engagement, columns),
        on(date),
        before(date)
    ))
}

fn on(date: NaiveDate) -> String {
    format!("dt = DATE {}", literal(&date.to_string()))
}

fn before(date: NaiveDate) -> String {
    format!("dt < DATE {}", literal(&date.to_string()))
}

fn select(table: &Table, columns: &[String]) -> String {
    let kind = |name: &String| table.columns.get(name).map(|column| column.kind);
    let read = columns
        .iter()
        .map(|name| match (kind(name), identifier(name)) {
            (Some(ColumnType::Timestamp), name) => format!("epoch_us({name}) AS {name}"),
            (_, name) => name,
        });
    read.collect::<Vec<_>>().join(", ")
}
