//! The rows of one business date, and what earlier dates know of them: what marts are computed from.
//! Instants come as microseconds since 1970.

use chrono::NaiveDate;

use super::duckdb::{Database, QueryAnswer, QueryError};
use crate::query::sql::{identifier, literal};
use crate::spec::table::{ColumnType, Table};

/// These columns of all rows of a table on a date.
///
/// # Errors
/// The lake cannot be read.
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

/// `pipeline`, `keyword`, `note_id`: the notes that searches found on a date and had found before.
///
/// # Errors
/// The lake cannot be read.
pub fn hits_found_before(database: &Database, date: NaiveDate) -> Result<QueryAnswer, QueryError> {
    let hits = "SELECT DISTINCT pipeline, keyword, entity_id AS note_id FROM search_results \
                WHERE entity = 'note' AND";
    database.query(&format!(
        "SELECT * FROM ({hits} {}) SEMI JOIN ({hits} {}) USING (pipeline, keyword, note_id)",
        before(date),
        on(date)
    ))
}

/// `pipeline`, `note_id`: the notes with a row in one of these tables on a date that have one in
/// `notes` on an earlier date.
///
/// # Errors
/// The lake cannot be read.
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

/// These columns of `engagement`: of each note that has a row there on a date, those of its last
/// snapshot of all earlier dates.
///
/// # Errors
/// The lake cannot be read.
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
